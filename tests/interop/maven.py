"""Java programs from Maven Central: whether they can run here, and where their jars are."""

import hashlib
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
_RESOLVE_SECONDS = 900
_MARK = "resolved.sha256"


class JavaMissingError(Exception):
    """Java or Maven is not installed; the sentence says which."""


class UnresolvedError(Exception):
    """Maven could not fetch the jars; the sentence is Maven's own."""


def require_java() -> None:
    """Make sure that `java` and `mvn` can be started.

    Raises:
        JavaMissingError: One of them is not on the path.
    """
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if missing:
        raise JavaMissingError(
            f"This needs Java 17 and Maven; install {' and '.join(missing)}, and try again."
        )


def resolve(pom: Path, into: Path) -> Path:
    """Fetch a pom's jars once; later calls with the same pom use what is there.

    Args:
        pom: The pom file.
        into: A directory of its own for the jars.

    Returns:
        The directory that holds the jars.

    Raises:
        UnresolvedError: Maven failed.
    """
    library = into / "lib"
    mark = into / _MARK
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()
    if mark.is_file() and mark.read_text().strip() == digest and any(library.glob("*.jar")):
        return library
    shutil.rmtree(library, ignore_errors=True)
    mark.unlink(missing_ok=True)
    library.mkdir(parents=True)
    command = [
        *("mvn", "--quiet", "--batch-mode", "-f", str(pom), "dependency:copy-dependencies"),
        *("-DincludeScope=runtime", "-Dmdep.prependGroupId=true", f"-DoutputDirectory={library}"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_RESOLVE_SECONDS, check=False)
    except subprocess.TimeoutExpired as late:
        raise UnresolvedError(f"Maven did not finish within {_RESOLVE_SECONDS} s for {pom.name}.") from late
    if done.returncode != 0:
        raise UnresolvedError(f"Maven cannot resolve {pom.name}: {_first_error(done.stdout + done.stderr)}")
    mark.write_text(digest + "\n")
    return library


def class_path(library: Path) -> str:
    """All jars of a directory, as `java -cp` wants them."""
    return f"{library}/*"


def _first_error(output: str) -> str:
    return next(
        (line for line in output.splitlines() if "ERROR" in line), output.strip()[-500:] or "no reason given"
    )
