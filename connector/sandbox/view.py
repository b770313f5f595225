"""What of this machine a foreign program can see: a Python interpreter, its libraries, nothing else.

There is no `/etc` but the dynamic linker's cache, no home, no shell and no
file of the connector's. The directories are bound at the paths they have
outside, so an interpreter below root's home works as well.

Limitation: a program can read everything below the interpreter's `lib`
directories. No secret belongs there.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/etc/ld.so.cache")
_ROOT_LIBRARIES = ("/lib", "/lib64")
_PACKAGE_DIRECTORIES = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The connector's own Python, as a sandbox needs it.

    Attributes:
        executable: The real file, with every symbolic link followed.
        import_path: The directories of installed packages, without the
            standard library and without editable installations.
        libraries: Every directory that must be visible for it to run.
    """

    executable: Path
    import_path: tuple[str, ...]
    libraries: tuple[Path, ...]

    @classmethod
    def of_this_process(cls) -> "Interpreter":
        """Describe the interpreter that runs the connector."""
        packages = tuple(entry for entry in sys.path if Path(entry).name in _PACKAGE_DIRECTORIES)
        prefixes = [Path(prefix) for prefix in (sys.prefix, sys.exec_prefix, sys.base_prefix)]
        # Some installers make the prefix itself a link; programs ask for either name.
        roots = {path for prefix in prefixes for path in (prefix, prefix.resolve())}
        found = {root / name for root in roots for name in ("lib", "lib64")} | {
            Path(path) for path in packages
        }
        libraries = sorted(path for path in found if path.is_dir())
        return cls(Path(sys.executable).resolve(), packages, tuple(libraries))

    def arguments(self) -> tuple[str, ...]:
        """Write bubblewrap's arguments that make the interpreter visible."""
        system = [path for path in map(Path, _LIBRARIES) if path.exists()]
        covered = [*system, *self.libraries]
        paths = [*_without_nested(covered), *_outside([self.executable], covered)]
        bound = [part for path in paths for part in ("--ro-bind", str(path), str(path))]
        return (*directories_above(paths), *bound, *_root_links())


def directories_above(paths: Iterable[Path]) -> list[str]:
    """Write the arguments that make the directories above some paths, for everybody to pass through.

    Left to itself, bubblewrap gives them the permissions that they have on the
    host, and below root's home nobody but root would get through.

    Args:
        paths: Absolute paths inside the sandbox.

    Returns:
        bubblewrap's arguments, outermost directory first.
    """
    above = sorted({parent for path in paths for parent in path.parents} - {Path("/")})
    return [part for directory in above for part in ("--dir", str(directory))]


def _without_nested(paths: Iterable[Path]) -> list[Path]:
    kept: list[Path] = []
    for path in sorted(set(paths)):
        kept.extend(_outside([path], kept))
    return kept


def _outside(paths: Iterable[Path], covered: Iterable[Path]) -> list[Path]:
    return [path for path in paths if not any(path.is_relative_to(directory) for directory in covered)]


def _root_links() -> list[str]:
    arguments: list[str] = []
    for name in _ROOT_LIBRARIES:
        path = Path(name)
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            arguments += ["--ro-bind", name, name]
    return arguments
