"""A job: code that travels to the data, and what came out when it ran.

Source:
    docs/sandbox.md
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import rfc8785

from policies.model import LanguageMap
from schemas.strict_json import JsonObject

ENTRY_POINT = "main.py"
MOST_FILES = 64
MOST_BYTES = 1 << 20


class JobRefusedError(Exception):
    """A job is not run, because its files or its input's name break a rule.

    Attributes:
        name: The file that breaks it; empty where the rule is about all of them.
        reason: Why, in German and English.
    """

    def __init__(self, name: str, reason: LanguageMap) -> None:
        """Keep the reason; the message is the English one."""
        super().__init__(reason["en"])
        self.name = name
        self.reason = reason


@dataclass(frozen=True, slots=True)
class JobLimits:
    """How much a job may use.

    Attributes:
        memory_bytes: Address space of each process, and private memory of all
            of them together.
        cpu_seconds: Processor time of each process.
        wall_seconds: Time from start to end.
        processes: Processes and threads at the same time.
        scratch_bytes: Size of `/tmp`.
        output_bytes: All of `/out` together, and each file in it.
        output_files: Files in `/out`.
    """

    memory_bytes: int = 2 << 30
    cpu_seconds: int = 120
    wall_seconds: float = 120.0
    processes: int = 64
    scratch_bytes: int = 64 << 20
    output_bytes: int = 4 << 20
    output_files: int = 16


@dataclass(frozen=True, slots=True)
class Job:
    """One run of an algorithm over one projection of a dataset.

    Attributes:
        computation_id: The computation this run belongs to.
        files: The algorithm: relative path to text. `main.py` is run.
        parameters: What the consumer sets; the job reads it as `/in/parameters.json`.
        projection: Arrow IPC file that holds only the permitted columns and rows.
        input_name: The name under which the job finds it below `/in`.
        limits: How much the run may use.
    """

    computation_id: str
    files: Mapping[str, str]
    parameters: JsonObject
    projection: Path
    input_name: str
    limits: JobLimits = JobLimits()


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A plain file that a job left in `/out`: not yet checked, not yet released."""

    name: str
    content: bytes

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.content)


@dataclass(frozen=True, slots=True)
class RefusedOutput:
    """Something in `/out` that was not even read, and why."""

    name: str
    reason: LanguageMap


@dataclass(frozen=True, slots=True)
class ComputationOutcome:
    """What a run of a job came to.

    Attributes:
        exit_code: The job's own exit code; None if it was stopped from outside.
        timed_out: Whether its time was up.
        cancelled: Whether somebody stopped it.
        wall_seconds: Time from start to end.
        outputs: The plain files it left, by name.
        refused: What it left and nobody may have.
        stderr: The first 64 KiB of what the job said, for the provider's own steward only;
            it is never released.
        tier: Which protections were in force.
        out_of_memory: Whether it was stopped because it held too much.
    """

    exit_code: int | None
    timed_out: bool
    cancelled: bool
    wall_seconds: float
    outputs: tuple[OutputFile, ...]
    refused: tuple[RefusedOutput, ...]
    stderr: bytes
    tier: str
    out_of_memory: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the job ended by itself, without an error and without a forbidden output."""
        return self.exit_code == 0 and not self.timed_out and not self.cancelled and not self.refused


def algorithm_digest(files: Mapping[str, str]) -> str:
    """Name an algorithm by its content, as a policy's `algorithmDigest` does.

    Args:
        files: Relative path to text.

    Returns:
        SHA-256 of the RFC 8785 form of the object `{path: text}`, in lower-case hex.

    Raises:
        JobRefusedError: A path or a text is not valid Unicode.
    """
    try:
        canonical = rfc8785.dumps(dict(files))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise JobRefusedError("", _NOT_UNICODE) from error
    return hashlib.sha256(canonical).hexdigest()


def check_job(job: Job) -> None:
    """Refuse a job whose files could reach outside their directory or are too large.

    Args:
        job: The job as it was received.

    Raises:
        JobRefusedError: Naming the first file that breaks a rule.
    """
    if ENTRY_POINT not in job.files:
        raise JobRefusedError(ENTRY_POINT, _NO_ENTRY_POINT)
    if len(job.files) > MOST_FILES:
        raise JobRefusedError("", _TOO_MANY_FILES)
    for path in job.files:
        _check_path(path, job.files)
    if not is_plain_name(job.input_name) or job.input_name == PARAMETERS:
        raise JobRefusedError(job.input_name, _BAD_INPUT_NAME)
    if sum(_size(path, text) for path, text in job.files.items()) > MOST_BYTES:
        raise JobRefusedError("", _TOO_LARGE)


def is_plain_name(name: str) -> bool:
    """Tell whether a name is one component of a path and nothing that moves about in it."""
    return name not in {"", ".", ".."} and "/" not in name and _is_printable(name) and _is_short(name)


PARAMETERS = "parameters.json"
_LONGEST_NAME = 128


def _check_path(path: str, files: Mapping[str, str]) -> None:
    if not all(is_plain_name(part) for part in path.split("/")):
        raise JobRefusedError(path, _bad_path(path))
    if any(str(parent) in files for parent in PurePosixPath(path).parents[:-1]):
        raise JobRefusedError(path, _file_and_directory(path))


def _is_printable(name: str) -> bool:
    return name.isprintable() and "\\" not in name


def _is_short(name: str) -> bool:
    return len(name.encode("utf-8", "surrogatepass")) <= _LONGEST_NAME


def _size(path: str, text: str) -> int:
    try:
        return len(path.encode()) + len(text.encode())
    except UnicodeEncodeError as error:
        raise JobRefusedError(path, _NOT_UNICODE) from error


_NOT_UNICODE: LanguageMap = {
    "en": "The job's files are not valid Unicode text. Send them as UTF-8.",
    "de": "Die Dateien des Auftrags sind kein gültiger Unicode-Text. Senden Sie sie als UTF-8.",
}
_NO_ENTRY_POINT: LanguageMap = {
    "en": "The job has no file main.py. Name the program that is to run main.py.",
    "de": "Der Auftrag hat keine Datei main.py. Nennen Sie das auszuführende Programm main.py.",
}
_TOO_MANY_FILES: LanguageMap = {
    "en": f"The job has more than {MOST_FILES} files. Send fewer.",
    "de": f"Der Auftrag hat mehr als {MOST_FILES} Dateien. Senden Sie weniger.",
}
_TOO_LARGE: LanguageMap = {
    "en": f"The job's files are larger than {MOST_BYTES} bytes together. Send less code.",
    "de": f"Die Dateien des Auftrags sind zusammen größer als {MOST_BYTES} Bytes. Senden Sie weniger Code.",
}
_BAD_INPUT_NAME: LanguageMap = {
    "en": f"The input's name is no plain file name, or it is {PARAMETERS}. Choose another name.",
    "de": f"Der Name der Eingabe ist kein einfacher Dateiname, oder er ist {PARAMETERS}. "
    "Wählen Sie einen anderen.",
}


def _bad_path(path: str) -> LanguageMap:
    return {
        "en": f"The path {path!r} is not a plain path below the job. Use no '..' and no leading '/'.",
        "de": f"Der Pfad {path!r} liegt nicht im Auftrag. Verwenden Sie kein '..' und kein '/' am Anfang.",
    }


def _file_and_directory(path: str) -> LanguageMap:
    return {
        "en": f"A directory of the path {path!r} is also a file of the job. Rename one of them.",
        "de": f"Ein Verzeichnis im Pfad {path!r} ist zugleich eine Datei. Benennen Sie eines davon um.",
    }
