"""Take from a directory what a foreign program has left in it, without falling for any of it.

The directory is flat: plain files with plain names, few and small. A link, a
pipe, a device or a subdirectory is refused by name and never opened.
"""

import itertools
import os
import stat
from pathlib import Path

from connector.protocol.jobs import JobLimits, OutputFile, RefusedOutput, is_plain_name
from policies.model import LanguageMap

_READ_SIZE = 1 << 20


def collect(directory: Path, limits: JobLimits) -> tuple[tuple[OutputFile, ...], tuple[RefusedOutput, ...]]:
    """Read the files that a program has left.

    Args:
        directory: Where it could write. The program and all its children must
            have ended.
        limits: How many files and bytes it may leave.

    Returns:
        The files, by name, and what was refused. Where the whole is too much,
        no file is returned.
    """
    directory.chmod(stat.S_IRWXU)  # the program may have taken our own permission away
    with os.scandir(directory) as entries:
        found = sorted(itertools.islice(entries, limits.output_files + 1), key=lambda entry: entry.name)
    if len(found) > limits.output_files:
        return (), (RefusedOutput("", _too_many(limits.output_files)),)
    if sum(map(_size_now, found)) > limits.output_bytes:
        return (), (RefusedOutput("", _too_large(limits.output_bytes)),)
    results = [_take(entry) for entry in found]
    outputs = tuple(result for result in results if isinstance(result, OutputFile))
    return outputs, tuple(result for result in results if isinstance(result, RefusedOutput))


def overflows(directory: Path, limits: JobLimits) -> bool:
    """Tell whether a running program has already left more than it may.

    A subdirectory counts as too much, because what is below it is not counted.

    Args:
        directory: Where it can write.
        limits: How many files and bytes it may leave.
    """
    try:
        with os.scandir(directory) as entries:
            found = list(itertools.islice(entries, limits.output_files + 1))
    except PermissionError:  # the program does not want to be watched
        return True
    too_many = len(found) > limits.output_files
    too_large = sum(_size_now(entry) for entry in found) > limits.output_bytes
    return too_many or too_large or any(entry.is_dir(follow_symlinks=False) for entry in found)


def remove(directory: Path) -> None:
    """Delete a directory in which a foreign program could write.

    Subdirectories are moved up before they are emptied: a program can nest
    them deeper than any recursion or path name reaches.

    Args:
        directory: To be deleted; its own entries are ours, those below may not be.
    """
    numbers = itertools.count()
    while entries := list(os.scandir(directory)):
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _move_up(Path(entry.path), directory, numbers)
            else:
                Path(entry.path).unlink()
    directory.rmdir()


def _move_up(directory: Path, top: Path, numbers: "itertools.count[int]") -> None:
    directory.chmod(stat.S_IRWXU)
    with os.scandir(directory) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                path.chmod(stat.S_IRWXU)
                path.rename(top / f"moved-{next(numbers)}")
            else:
                path.unlink()
    directory.rmdir()


def _size_now(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat().st_size if entry.is_file(follow_symlinks=False) else 0
    except FileNotFoundError:  # the program has deleted it since
        return 0


def _take(entry: "os.DirEntry[str]") -> OutputFile | RefusedOutput:
    if not is_plain_name(entry.name):
        return RefusedOutput(ascii(entry.name), _BAD_NAME)
    if not entry.is_file(follow_symlinks=False):
        return RefusedOutput(entry.name, _NOT_PLAIN)
    try:
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return RefusedOutput(entry.name, _UNREADABLE)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - it is open already
        opened = os.fstat(descriptor)
        if not stat.S_ISREG(opened.st_mode) or opened.st_nlink != 1:
            return RefusedOutput(entry.name, _NOT_PLAIN)
        return OutputFile(entry.name, file.read(opened.st_size))


_BAD_NAME: LanguageMap = {
    "en": "The output's name is not a plain file name. Use letters, digits, dots and hyphens.",
    "de": "Der Name der Ausgabe ist kein einfacher Dateiname. "
    "Verwenden Sie Buchstaben, Ziffern, Punkte und Striche.",
}
_NOT_PLAIN: LanguageMap = {
    "en": "The output is not a plain file but a link, a directory or a device. Write plain files to /out.",
    "de": "Die Ausgabe ist keine einfache Datei, sondern ein Verweis, Verzeichnis oder Gerät. "
    "Schreiben Sie einfache Dateien nach /out.",
}
_UNREADABLE: LanguageMap = {
    "en": "The output cannot be read. Leave its permissions as they are.",
    "de": "Die Ausgabe ist nicht lesbar. Lassen Sie ihre Zugriffsrechte, wie sie sind.",
}


def _too_many(limit: int) -> LanguageMap:
    return {
        "en": f"The job left more than {limit} outputs. Write fewer files.",
        "de": f"Der Auftrag hat mehr als {limit} Ausgaben hinterlassen. Schreiben Sie weniger Dateien.",
    }


def _too_large(limit: int) -> LanguageMap:
    return {
        "en": f"The job's outputs are larger than {limit} bytes together. Write less.",
        "de": f"Die Ausgaben des Auftrags sind zusammen größer als {limit} Bytes. Schreiben Sie weniger.",
    }
