"""Why a file cannot be read or written, in words for who named the file."""

import errno
from collections.abc import Mapping
from typing import Final

from policies.model import LanguageMap

_CAUSES: Final[Mapping[int, LanguageMap]] = {
    errno.ENOENT: {"de": "Es gibt sie nicht.", "en": "It does not exist."},
    errno.EISDIR: {"de": "Das ist ein Verzeichnis.", "en": "It is a directory."},
    errno.ENOTDIR: {
        "de": "Ein Teil des Pfades ist kein Verzeichnis.",
        "en": "A part of its path is not a directory.",
    },
    errno.EACCES: {"de": "Die Rechte fehlen.", "en": "Permission is denied."},
    errno.EPERM: {"de": "Die Rechte fehlen.", "en": "Permission is denied."},
    errno.EROFS: {"de": "Der Datenträger ist schreibgeschützt.", "en": "The file system is read-only."},
    errno.ENOSPC: {"de": "Der Datenträger ist voll.", "en": "There is no space left."},
    errno.ENAMETOOLONG: {"de": "Der Name ist zu lang.", "en": "Its name is too long."},
}
_NO_FOLDER: Final[LanguageMap] = {
    "de": "Ihr Verzeichnis gibt es nicht.",
    "en": "Its directory does not exist.",
}


def cause_in_words(problem: OSError, *, writing: bool = False) -> LanguageMap:
    """Say what the operating system objects to, as a whole sentence about the file.

    Args:
        problem: What it raised.
        writing: Whether the file was to be written: then it is the directory
            that does not exist.
    """
    if writing and problem.errno == errno.ENOENT:
        return _NO_FOLDER
    known = None if problem.errno is None else _CAUSES.get(problem.errno)
    cause = problem.strerror or str(problem)
    return known or {"de": f"Ursache auf Englisch: {cause}.", "en": f"{cause}."}
