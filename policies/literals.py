"""Values that say their own type: XSD literals, and how two of them compare.

Whoever compares two literals gets an answer only where both are of one kind:
times with times, durations with durations, numbers with numbers, texts with
texts. Everything else is unknown, never false.

A date is the whole day: a moment is equal to the day that it falls on, at most
the day if it is on it, and before the day only if the day has not begun.

Source:
    XML Schema Part 2: Datatypes, sections 3.2.6 (duration), 3.2.7 (dateTime)
    and 3.2.9 (date); ODRL Vocabulary 2.2, section 4.6 (operators).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from policies.logic import Truth
from policies.values import MAXIMUM_LENGTH
from schemas.vocabulary import XSD


class Literal(NamedTuple):
    """A value as it is written: its text, its datatype and its unit, where they are stated."""

    lexical: str
    data_type: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A moment, which begins and ends at once, or a day."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time; months have no fixed length, so they are kept apart."""

    months: int
    seconds: Decimal


Typed = Span | Duration | Decimal | bool | str
"""What a literal means."""


class Kind(Enum):
    """The kinds of values that compare with each other."""

    TIME = "time"
    DURATION = "duration"
    NUMBER = "number"
    TRUTH = "truth"
    TEXT = "text"


class Order(Enum):
    """How one value lies to another one."""

    BEFORE = -1
    SAME = 0
    AFTER = 1


_NUMBER_TYPES: Final = (
    *("decimal", "integer", "long", "int", "short", "byte", "double", "float"),
    *("nonNegativeInteger", "positiveInteger", "nonPositiveInteger", "negativeInteger"),
    *("unsignedLong", "unsignedInt", "unsignedShort", "unsignedByte"),
)

_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys((XSD + "dateTime", XSD + "dateTimeStamp", XSD + "date"), Kind.TIME),
    **dict.fromkeys((XSD + "duration", XSD + "dayTimeDuration", XSD + "yearMonthDuration"), Kind.DURATION),
    **dict.fromkeys(
        (XSD + name for name in _NUMBER_TYPES),
        Kind.NUMBER,
    ),
    XSD + "boolean": Kind.TRUTH,
    **dict.fromkeys((XSD + "string", XSD + "token", XSD + "anyURI", XSD + "normalizedString"), Kind.TEXT),
}

# ASCII digits only: int() and fromisoformat() take digits of every script, and underscores.
_TIME = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:T(?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?))?"
    r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?"
)
_DURATION = re.compile(
    r"(?P<sign>-)?P(?=[0-9T])(?:(?P<years>[0-9]{1,6})Y)?(?:(?P<months>[0-9]{1,6})M)?(?:(?P<days>[0-9]{1,6})D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]{1,6})H)?(?:(?P<minutes>[0-9]{1,6})M)?"
    r"(?:(?P<seconds>[0-9]{1,9}(?:\.[0-9]{1,9})?)S)?)?"
)
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,2})?")
_TRUTHS: Final[Mapping[str, bool]] = {"true": True, "1": True, "false": False, "0": False}


def kind_of(literal: Literal) -> Kind | None:
    """Tell the kind that a literal states; None where it states none, or an unknown one."""
    return None if literal.data_type is None else _KINDS.get(literal.data_type)


@lru_cache(maxsize=8_192)
def read_literal(lexical: str, kind: Kind, zone: tzinfo | None = None) -> Typed | None:
    """Read a text as a value of one kind.

    Args:
        lexical: The text.
        kind: What it has to be.
        zone: Where a time without a zone is; None where that is not known,
            and then such a time is not read.

    Returns:
        The value; None where the text is not of this kind.
    """
    return None if len(lexical) > MAXIMUM_LENGTH else _READERS[kind](lexical, zone)


def _read_time(lexical: str, zone: tzinfo | None) -> Typed | None:
    found = _TIME.fullmatch(lexical)
    if not found or (found["zone"] is None and zone is None):
        return None
    clock, offset = found["clock"], found["zone"] or ""
    try:
        begin = datetime.fromisoformat(f"{found['day']}T{_microseconds(clock or '00:00')}{offset}")
        begin = begin.replace(tzinfo=begin.tzinfo or zone).astimezone(UTC)
        return Span(begin, begin if clock else begin + timedelta(days=1))
    except (ValueError, OverflowError):  # the 30th of February, or a day outside the calendar
        return None


def _microseconds(clock: str) -> str:
    whole, dot, fraction = clock.partition(".")
    return whole + dot + fraction[:6].ljust(6, "0") if dot else whole


def _read_duration(lexical: str, _: tzinfo | None) -> Typed | None:
    found = _DURATION.fullmatch(lexical)
    if not found:
        return None
    part = {
        name: Decimal(found[name] or 0) for name in ("years", "months", "days", "hours", "minutes", "seconds")
    }
    sign = -1 if found["sign"] else 1
    hours = part["days"] * 24 + part["hours"]
    seconds = (hours * 60 + part["minutes"]) * 60 + part["seconds"]
    return Duration(sign * int(part["years"] * 12 + part["months"]), sign * seconds)


_READERS: Final[Mapping[Kind, Callable[[str, tzinfo | None], Typed | None]]] = {
    Kind.TIME: _read_time,
    Kind.DURATION: _read_duration,
    Kind.NUMBER: lambda lexical, _: Decimal(lexical) if _NUMBER.fullmatch(lexical) else None,
    Kind.TRUTH: lambda lexical, _: _TRUTHS.get(lexical),
    Kind.TEXT: lambda lexical, _: lexical,
}

_GUESSED: Final = (Kind.TIME, Kind.DURATION, Kind.NUMBER)
"""The kinds that two untyped texts are tried for, where both have the shape; text comes last."""


def order(left: Literal, right: Literal, zone: tzinfo | None = None) -> Order | None:
    """Tell how one literal lies to another one.

    A literal without a datatype takes the kind of the other one; two without
    any are read as what both look like.

    Args:
        left: The one.
        right: The other.
        zone: Where times without a zone are; None where that is not known.

    Returns:
        Before, the same or after. None where the two are of different kinds
        or units, where one cannot be read, or where they have no order: texts
        are the same or unordered, a month is neither more nor less than 30 days.
    """
    if left.unit is not None and right.unit is not None and left.unit != right.unit:
        return None
    pair = _read_pair(left, right, zone)
    return None if pair is None else _ORDERS[type(pair[0])](*pair)


def same(left: Literal, right: Literal, zone: tzinfo | None = None) -> Truth:
    """Tell whether two literals mean the same; None where they cannot be compared."""
    found = order(left, right, zone)
    if found is not None:
        return found is Order.SAME
    # Texts and truths have no order, but whether they are equal is known.
    pair = _read_pair(left, right, zone)
    comparable = pair is not None and isinstance(pair[0], str | bool) and left.unit == right.unit
    return False if comparable else None


def _read_pair(left: Literal, right: Literal, zone: tzinfo | None) -> tuple[Typed, Typed] | None:
    kinds = {kind_of(literal) for literal in (left, right) if literal.data_type is not None}
    for kind in kinds or (*_GUESSED, Kind.TEXT):
        if kind is None or len(kinds) > 1:
            return None
        mine, theirs = read_literal(left.lexical, kind, zone), read_literal(right.lexical, kind, zone)
        if mine is not None and theirs is not None:
            return mine, theirs
    return None


def _order_spans(left: Span, right: Span) -> Order | None:
    if left == right or _within(left, right) or _within(right, left):
        return Order.SAME
    if left.end <= right.begin:
        return Order.BEFORE
    return Order.AFTER if left.begin >= right.end else None


def _within(moment: Span, day: Span) -> bool:
    return moment.begin == moment.end and day.begin <= moment.begin < day.end


_STARTS: Final = (date(1696, 9, 1), date(1697, 2, 1), date(1903, 3, 1), date(1903, 7, 1))
"""The four days from which XML Schema measures durations to compare them."""


def _order_durations(left: Duration, right: Duration) -> Order | None:
    orders = {_order_numbers(_lasts(left, start), _lasts(right, start)) for start in _STARTS}
    return orders.pop() if len(orders) == 1 else None


def _lasts(duration: Duration, start: date) -> Decimal:
    """Measure a duration in seconds from a day on; beyond the calendar, in Gregorian months on average."""
    year, month = divmod(start.month - 1 + duration.months, 12)
    year += start.year
    if not date.min.year <= year <= date.max.year:
        return duration.months * _AVERAGE_MONTH + duration.seconds
    days = (date(year, month + 1, 1) - start).days
    return days * _SECONDS_A_DAY + duration.seconds


_SECONDS_A_DAY: Final = Decimal(86_400)
_AVERAGE_MONTH: Final = Decimal(2_629_746)


def _order_numbers(left: Decimal, right: Decimal) -> Order:
    return Order((left > right) - (left < right))


def _order_texts(left: object, right: object) -> Order | None:
    return Order.SAME if left == right else None


_ORDERS: Final[Mapping[type, Callable[..., Order | None]]] = {
    Span: _order_spans,
    Duration: _order_durations,
    Decimal: _order_numbers,
    bool: _order_texts,
    str: _order_texts,
}
