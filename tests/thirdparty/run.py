"""Let somebody else's software verify our evidence: `make verify-thirdparty`.

Runs the demonstration with three real connectors, and Digital Bazaar's npm packages on the agreements,
receipts, countersignatures and tree heads that come out of it. Every one must be accepted as it is, and
refused once any one of its values has one character changed.

Exit codes: 0 all as it should be, 1 not so, 3 not tried, because node or npm is missing or cannot install.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which
from typing import Final

from tests.thirdparty.evidence import SignedDocument, altered, did_documents_in, signed_documents_in

HERE: Final = Path(__file__).parent
NOT_TRIED: Final = 3
_SECONDS: Final = 600


class NotTriedError(Exception):
    """The verifier cannot run here; the sentence says why."""


def main() -> int:
    """Make evidence, have it verified, and say what came of it."""
    try:
        install()
    except NotTriedError as reason:
        sys.stderr.write(f"verify-thirdparty: {reason}\n")
        return NOT_TRIED
    with tempfile.TemporaryDirectory(prefix="allmende-thirdparty-") as directory:
        _say("Three connectors agree, query and compute …")
        files = demonstrated(Path(directory))
        _say(f"They left {len(files)} evidence files. Digital Bazaar's packages verify them …")
        return report(files)


def demonstrated(directory: Path) -> list[bytes]:
    """The evidence files of one demonstration."""
    done = subprocess.run(
        [sys.executable, "-m", "connector", "demo", "--json", "--dir", directory / "demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"The demonstration failed: {done.stderr}")
    return [path.read_bytes() for path in sorted((directory / "demo" / "evidence").glob("*.json"))]


def report(files: list[bytes]) -> int:
    """Verify all files and their altered forms; returns the exit code."""
    documents = [document for data in files for document in signed_documents_in(json.loads(data))]
    did_documents = {did: one for data in files for did, one in did_documents_in(json.loads(data)).items()}
    wrong = 0
    for document in documents:
        changed = altered(document)
        answers = verify([document, *changed], did_documents)
        accepted = answers[document.name]["verified"] is True
        refused = sum(answers[one.name]["verified"] is False for one in changed)
        good = accepted and refused == len(changed)
        wrong += not good
        verdict = "valid" if accepted else f"REFUSED ({answers[document.name]['reason']})"
        _say(
            f"{'ok ' if good else 'BAD'} {document.name}: {verdict} with {document.signers} signature(s); "
            f"{refused} of {len(changed)} one-character changes refused"
        )
    _say(f"{len(documents) - wrong} of {len(documents)} signed documents are as they should be.")
    return 1 if wrong or not documents else 0


def verify(documents: list[SignedDocument], did_documents: dict[str, object]) -> dict[str, dict[str, object]]:
    """What Digital Bazaar's packages say about each document, by its name."""
    request = {
        "documents": [
            {"name": one.name, "document": one.content, "signers": one.signers} for one in documents
        ],
        "didDocuments": did_documents,
    }
    done = subprocess.run(
        ["node", HERE / "verify.mjs"],
        input=json.dumps(request).encode(),
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"The verifier failed: {done.stderr.decode(errors='replace')}")
    answers: dict[str, dict[str, object]] = json.loads(done.stdout)
    return answers


def is_installed() -> bool:
    """Whether node is here, and the packages of the lock file are installed."""
    installed = HERE / "node_modules" / ".package-lock.json"
    lock = HERE / "package-lock.json"
    return (
        which("node") is not None
        and installed.is_file()
        and installed.stat().st_mtime >= lock.stat().st_mtime
    )


def install() -> None:
    """Install the verifier's packages, unless they are there.

    Raises:
        NotTriedError: node or npm is missing, or npm cannot install.
    """
    for program in ("node", "npm"):
        if which(program) is None:
            raise NotTriedError(f"{program} is not here; install Node.js 20 or newer and try again.")
    if is_installed():
        return
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=HERE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise NotTriedError(f"npm cannot install the verifier's packages: {done.stderr.strip()[-300:]}")


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
