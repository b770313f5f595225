"""Signed documents as bytes and digests, and how their members are read.

Source:
    RFC 8785 (JSON Canonicalization Scheme).
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import rfc8785

from connector.evidence.errors import EvidenceError
from schemas.errors import in_english
from schemas.strict_json import JsonObject, JsonValue, MalformedJsonError, loads

_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


def canonical(value: object) -> bytes:
    """The one byte sequence that stands for a JSON value (JCS).

    Raises:
        EvidenceError: The value has no canonical form, such as a number that
            JSON cannot carry exactly.
    """
    try:
        if _is_plain(value):
            return _plain_form(value).encode()
        return rfc8785.dumps(cast("Any", value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise EvidenceError(
            f"The document has no canonical form: {error}.",
            f"Das Dokument hat keine kanonische Form {in_english(error)}.",
        ) from error


_plain_form: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
"""The canonical form of plain values, ten times faster: the standard library escapes as RFC 8785 asks."""
_LARGEST_INTEGER: Final = 2**53 - 1
_SMALLEST_FRACTION, _LARGEST_FRACTION = 1e-4, 1e15
"""Between these, both write a fraction alike: the shortest digits that stand for it, without an exponent."""


def _is_plain(value: object) -> bool:
    """Whether a value holds nothing of which RFC 8785 wants another form than the standard library.

    That is numbers with an exponent, integers that JSON cannot carry exactly,
    and names whose order depends on the encoding.
    """
    if isinstance(value, str) or value is None:
        return True
    if isinstance(value, dict):
        return all(map(_is_plain_name, value)) and all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return _SMALLEST_FRACTION <= abs(value) < _LARGEST_FRACTION and not value.is_integer()
    return isinstance(value, int) and -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and name.isascii()


def digest(value: object) -> str:
    """SHA-256 of a JSON value's canonical form, 64 lower-case hexadecimal digits.

    Raises:
        EvidenceError: The value has no canonical form.
    """
    return hashlib.sha256(canonical(value)).hexdigest()


def file_bytes(document: Mapping[str, JsonValue]) -> bytes:
    """A document as the text that is written to a file: one form per content, for people and diffs.

    Raises:
        EvidenceError: The document has no canonical form.
    """
    # By way of the canonical form where it matters: in it, 1.0 and 1 are the same number.
    content = document if _is_plain(document) else _loaded(canonical(document))
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_file(data: bytes) -> JsonObject:
    """Read a file that `file_bytes` wrote, and no other spelling of it.

    A single spelling leaves no byte that could change without changing the
    content, and no room for two readers to understand the same file differently.

    Raises:
        EvidenceError: It is no JSON object, or not in the form that we write.
    """
    document = _loaded(data)
    if not isinstance(document, dict):
        raise EvidenceError("The file holds no JSON object.", "Die Datei enthält kein JSON-Objekt.")
    if file_bytes(document) != data:
        raise EvidenceError(
            "The file is not in its canonical form: it was edited after it was written.",
            "Die Datei hat nicht ihre kanonische Form: Sie wurde bearbeitet, nachdem sie geschrieben war.",
        )
    return document


def _loaded(data: bytes) -> JsonValue:
    try:
        return loads(data)
    except MalformedJsonError as error:
        raise EvidenceError(
            f"The document is not well-formed JSON: {error}",
            f"Das Dokument ist kein wohlgeformtes JSON {in_english(error)}.",
        ) from error


def require_members(document: Mapping[str, JsonValue], names: Sequence[str], what: str) -> None:
    """Refuse a document that has more, or fewer, members than it should.

    Raises:
        EvidenceError: Names the members that differ.
    """
    differing = sorted(set(document) ^ set(names))
    if differing:
        raise EvidenceError(
            f"{what} has missing or unknown members: {', '.join(differing)}.",
            f"Ein Teil des Dokuments hat fehlende oder unbekannte Member: {', '.join(differing)}.",
        )


def text(document: Mapping[str, JsonValue], name: str) -> str:
    """A member that must be a non-empty string.

    Raises:
        EvidenceError: It is not.
    """
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise EvidenceError(
            f"The member {name!r} must be a non-empty string.",
            f"Das Member {name!r} muss ein nicht leerer Text sein.",
        )
    return value


def moment_of(document: Mapping[str, JsonValue], name: str) -> datetime:
    """A member that must be a time in UTC, such as `2026-11-21T08:00:00Z`.

    Raises:
        EvidenceError: It is not.
    """
    value = text(document, name)
    try:
        if _MOMENT.fullmatch(value):
            return datetime.fromisoformat(value)
    except ValueError:  # the thirtieth of February
        pass
    raise EvidenceError(
        f"The member {name!r} is {value[:40]!r}, not a UTC time such as 2026-11-21T08:00:00Z.",
        f"Das Member {name!r} ist {value[:40]!r}, keine UTC-Zeit wie 2026-11-21T08:00:00Z.",
    )


def exact_moment(moment: datetime, what: str) -> str:
    """A time as it is signed, in UTC and to the microsecond; `moment_of` reads it.

    Args:
        moment: The time.
        what: What it is, to begin the sentence of a refusal with.

    Raises:
        EvidenceError: It has no time zone.
    """
    if moment.utcoffset() is None:
        raise EvidenceError(f"{what} needs a time zone.")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def whole(document: Mapping[str, JsonValue], name: str) -> int:
    """A member that must be a whole number, 0 or more.

    Raises:
        EvidenceError: It is not.
    """
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise EvidenceError(
            f"The member {name!r} must be a whole number, 0 or more.",
            f"Das Member {name!r} muss eine ganze Zahl ab 0 sein.",
        )
    return value


def mapping(document: Mapping[str, JsonValue], name: str) -> JsonObject:
    """A member that must be an object.

    Raises:
        EvidenceError: It is not.
    """
    value = document.get(name)
    if not isinstance(value, dict):
        raise EvidenceError(
            f"The member {name!r} must be an object.", f"Das Member {name!r} muss ein Objekt sein."
        )
    return value


def mappings(document: Mapping[str, JsonValue], name: str) -> tuple[JsonObject, ...]:
    """A member that must be a list of objects.

    Raises:
        EvidenceError: It is not.
    """
    value = document.get(name)
    listed = value if isinstance(value, list) else [value]
    entries = tuple(entry for entry in listed if isinstance(entry, dict))
    if not isinstance(value, list) or len(entries) != len(listed):
        raise EvidenceError(
            f"The member {name!r} must be a list of objects.",
            f"Das Member {name!r} muss eine Liste von Objekten sein.",
        )
    return entries


def texts(document: Mapping[str, JsonValue], name: str) -> tuple[str, ...]:
    """A member that must be a list of strings.

    Raises:
        EvidenceError: It is not.
    """
    value = document.get(name)
    listed = value if isinstance(value, list) else [value]
    entries = tuple(entry for entry in listed if isinstance(entry, str))
    if not isinstance(value, list) or len(entries) != len(listed):
        raise EvidenceError(
            f"The member {name!r} must be a list of strings.",
            f"Das Member {name!r} muss eine Liste von Texten sein.",
        )
    return entries
