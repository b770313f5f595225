"""The typed values of right operands: read strictly, or not at all."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final

from schemas.vocabulary import XSD

Value = datetime | timedelta | Decimal | int | str
"""What a right operand means once its lexical form has been read."""

MAXIMUM_LENGTH: Final = 2_048
"""Most characters in one value."""


class ValueType(StrEnum):
    """What the right operand of a left operand has to look like."""

    DATE_TIME = "dateTime"
    COUNT = "non-negative integer"
    POSITIVE = "positive integer"
    DECIMAL = "decimal"
    DURATION = "duration of days, hours, minutes and seconds, such as P30D or PT12H"
    """Years and months have no fixed length, so two parties could count them differently."""
    IRI = "absolute IRI"
    DIGEST = "SHA-256 in 64 lower-case hexadecimal digits"
    NAME = "column name in lower-case letters, digits and underscores"
    TEXT = "text"


# ASCII digits only: int() and fromisoformat() take digits of every script, and underscores.
_DATE_TIME = re.compile(
    r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_INTEGER = re.compile(r"[0-9]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_DURATION = re.compile(
    r"P(?=[0-9T])(?:([0-9]{1,5})D)?(?:T(?=[0-9])(?:([0-9]{1,5})H)?(?:([0-9]{1,7})M)?(?:([0-9]{1,9})S)?)?"
)
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_TEXT = re.compile(r"[^\x00-\x1f]+")

_STRINGS: Final = frozenset({XSD + "string", XSD + "token", XSD + "anyURI"})
_INTEGERS: Final = frozenset(
    XSD + name for name in ("integer", "nonNegativeInteger", "positiveInteger", "int", "long", "decimal")
)
_DATA_TYPES: Final[Mapping[ValueType, frozenset[str]]] = {
    ValueType.DATE_TIME: frozenset({XSD + "dateTime", XSD + "dateTimeStamp"}),
    ValueType.COUNT: _INTEGERS,
    ValueType.POSITIVE: _INTEGERS,
    ValueType.DECIMAL: _INTEGERS,
    ValueType.DURATION: frozenset({XSD + "duration", XSD + "dayTimeDuration"}),
    ValueType.IRI: _STRINGS,
    ValueType.DIGEST: _STRINGS | {XSD + "hexBinary"},
    ValueType.NAME: _STRINGS,
}


@lru_cache(maxsize=8_192)
def read_value(value_type: ValueType, lexical: str, data_type: str | None = None) -> Value | None:
    """Read a value in the one form that its type has.

    Args:
        value_type: What the value has to be.
        lexical: The value as written in the policy.
        data_type: Absolute IRI of the datatype that the policy states, if any.

    Returns:
        The value: points in time in UTC; None where the text is not of this
        type or the stated datatype is another one.
    """
    if len(lexical) > MAXIMUM_LENGTH or not _admits(value_type, data_type):
        return None
    return _READERS[value_type](lexical)


def _admits(value_type: ValueType, data_type: str | None) -> bool:
    return data_type is None or value_type is ValueType.TEXT or data_type in _DATA_TYPES[value_type]


def _read_date_time(lexical: str) -> Value | None:
    if not _DATE_TIME.fullmatch(lexical):
        return None
    try:
        return datetime.fromisoformat(lexical).astimezone(UTC)
    except ValueError:  # the 30th of February
        return None


def _read_integer(lexical: str, least: int) -> Value | None:
    if not _INTEGER.fullmatch(lexical):
        return None
    number = int(lexical)
    return number if number >= least else None


def _read_decimal(lexical: str) -> Value | None:
    return Decimal(lexical) if _DECIMAL.fullmatch(lexical) else None


def _read_duration(lexical: str) -> Value | None:
    found = _DURATION.fullmatch(lexical)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days, seconds, minutes=minutes, hours=hours)


def _matching(pattern: re.Pattern[str]) -> Callable[[str], Value | None]:
    return lambda lexical: lexical if pattern.fullmatch(lexical) else None


_READERS: Final[Mapping[ValueType, Callable[[str], Value | None]]] = {
    ValueType.DATE_TIME: _read_date_time,
    ValueType.COUNT: lambda lexical: _read_integer(lexical, 0),
    ValueType.POSITIVE: lambda lexical: _read_integer(lexical, 1),
    ValueType.DECIMAL: _read_decimal,
    ValueType.DURATION: _read_duration,
    ValueType.IRI: _matching(_IRI),
    ValueType.DIGEST: _matching(_DIGEST),
    ValueType.NAME: _matching(_NAME),
    ValueType.TEXT: _matching(_TEXT),
}
