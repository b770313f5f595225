"""JSON as every reader understands it: what two parsers could read differently is refused.

Source:
    RFC 8259; RFC 7493 (I-JSON), sections 2.1 to 2.3.
"""

import json
import re
from collections.abc import Sequence
from typing import Final, NoReturn, TypeAlias

from pydantic import JsonValue

from schemas.errors import MalformedJsonError

__all__ = ["JsonObject", "JsonValue", "MalformedJsonError", "loads"]

JsonObject: TypeAlias = dict[str, JsonValue]
"""A JSON object; `JsonValue` is any JSON value."""

LARGEST_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 7493, section 2.2)."""

_UTF8_BOM: Final = b"\xef\xbb\xbf"
_DIGITS_OF_LARGEST_INTEGER: Final = 16
_SHOWN: Final = 60
# Possessive quantifiers and the optional closing quote keep the scan linear
# on unterminated strings.
_STRING_OR_BRACKET: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def loads(data: bytes | str, *, max_bytes: int = 1_000_000, max_depth: int = 32) -> JsonValue:
    """Read one JSON value, and refuse everything that readers disagree about.

    Args:
        data: The text, as UTF-8 where it is bytes.
        max_bytes: Largest size of the text as UTF-8.
        max_depth: Most arrays and objects that may be open inside each other.

    Returns:
        The value. Numbers without fraction and exponent are `int`, all others `float`.

    Raises:
        MalformedJsonError: The text is too large, too deep, not UTF-8, starts
            with a byte order mark, is not JSON, repeats a key of an object, or
            holds NaN, an infinite or unsafe number or a lone surrogate.

    Source:
        RFC 7493, section 2.
    """
    text = _decoded(data, max_bytes)
    _check_depth(text, max_depth)
    try:
        value: JsonValue = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise MalformedJsonError(
            f"The text is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from error
    except RecursionError as error:
        raise MalformedJsonError("The text is nested too deeply for this reader") from error
    if "\\u" in text:
        _check_surrogates(value)
    return value


def _decoded(data: bytes | str, max_bytes: int) -> str:
    """Return the text after the checks on its size and encoding."""
    try:
        raw = data.encode() if isinstance(data, str) else bytes(data)
    except UnicodeEncodeError as error:
        raise MalformedJsonError("The text holds a lone surrogate, which is no character") from error
    if len(raw) > max_bytes:
        raise MalformedJsonError(f"The text has {len(raw)} bytes; at most {max_bytes} are read")
    if raw.startswith(_UTF8_BOM):
        raise MalformedJsonError("The text starts with a byte order mark; send UTF-8 without it")
    if isinstance(data, str):
        return data
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedJsonError(f"The text is not UTF-8 (byte {error.start})") from error


def _check_depth(text: str, max_depth: int) -> None:
    """Count open brackets before the parser, which is recursive, sees them."""
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        bracket = match.group()
        if bracket in {"[", "{"}:
            depth += 1
            if depth > max_depth:
                raise MalformedJsonError(f"The text is nested deeper than {max_depth} levels")
        elif bracket in {"]", "}"}:
            depth -= 1


def _object_without_duplicates(pairs: Sequence[tuple[str, JsonValue]]) -> JsonObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise MalformedJsonError(f"An object has the key {_shown(key)} twice")
            seen.add(key)
    return members


def _safe_integer(literal: str) -> int:
    # The length is checked first: converting a long literal takes quadratic time.
    if len(literal.removeprefix("-")) <= _DIGITS_OF_LARGEST_INTEGER:
        number = int(literal)
        if -LARGEST_INTEGER <= number <= LARGEST_INTEGER:
            return number
    raise MalformedJsonError(
        f"The integer {_shown(literal)} is beyond 2^53 - 1, which not every reader keeps; send a string"
    )


def _finite_number(literal: str) -> float:
    number = float(literal)
    if number in {float("inf"), float("-inf")}:
        raise MalformedJsonError(f"The number {_shown(literal)} is too large")
    return number


def _refuse_constant(literal: str) -> NoReturn:
    raise MalformedJsonError(f"{literal} is not a JSON value")


def _check_surrogates(value: JsonValue) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise MalformedJsonError("A string holds a lone surrogate, which is no character") from error


def _shown(text: str) -> str:
    shortened = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return json.dumps(shortened)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object_without_duplicates,
    parse_int=_safe_integer,
    parse_float=_finite_number,
    parse_constant=_refuse_constant,
)
