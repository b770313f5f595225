"""Fixed values of conditions, read to the type of what they are compared with.

A value of the wrong type is refused here: the engine would try to convert the
column instead, and its error would show a value of the column.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Final

from sqlglot import exp

from catalog.model import Column
from connector.queries.errors import refusal
from connector.queries.plan import KeyExpression, KeyKind, Literal

_INTEGER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)
_MAXIMUM_TEXT: Final = 500
_TIME_TYPES: Final = frozenset(
    {
        exp.DType.DATE,
        exp.DType.TIMESTAMP,
        exp.DType.TIMESTAMPNTZ,
        exp.DType.TIMESTAMPTZ,
    },
)


class _Family(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    DAY = "day"


def literal_value(node: object, operand: KeyExpression, columns: Mapping[str, Column]) -> Literal:
    """Read a fixed value.

    Args:
        node: Where it stands in the syntax tree.
        operand: What it is compared with.
        columns: The columns by their lower-case names.

    Returns:
        A value of the operand's type. A point in time without an offset is
        understood as UTC.

    Raises:
        QueryRefusedError: It is no fixed value, or none of that type.
    """
    while type(node) is exp.Paren:
        node = node.this
    family = _family(operand, columns[operand.column.lower()])
    match family:
        case _Family.TEXT:
            return _text(node)
        case _Family.INTEGER:
            return int(_digits(node, _INTEGER))
        case _Family.NUMBER:
            return float(_digits(node, _NUMBER))
        case _Family.BOOLEAN:
            return _boolean(node)
        case _Family.TIME:
            return _instant(node)
        case _Family.DAY:
            return _day(node)


def _family(operand: KeyExpression, column: Column) -> _Family:
    if operand.kind in {KeyKind.DAY_START, KeyKind.MONTH_START}:
        return _Family.DAY
    if operand.kind is not KeyKind.VALUE:
        return _Family.INTEGER
    return _family_of_type(column.data_type)


def _family_of_type(data_type: str) -> _Family:
    """Find what a value of an Arrow type is compared with; an unknown type with nothing."""
    if re.match(r"dictionary<values=(large_)?string\b", data_type):
        return _Family.TEXT
    families = {
        _Family.TEXT: r"(large_)?string|string_view|utf8",
        _Family.INTEGER: r"u?int(8|16|32|64)",
        _Family.NUMBER: r"half_?float|float|double|float(16|32|64)|decimal.*",
        _Family.BOOLEAN: r"bool",
        _Family.TIME: r"timestamp\[.*\]|date32.*|date64.*",
    }
    for family, pattern in families.items():
        if re.fullmatch(pattern, data_type):
            return family
    raise refusal("column-role")


def _text(node: object) -> str:
    if type(node) is not exp.Literal or not node.is_string:
        raise refusal("literal")
    text = str(node.this)
    if len(text) > _MAXIMUM_TEXT or not text.isprintable():
        raise refusal("literal")
    return text


def _digits(node: object, pattern: re.Pattern[str]) -> str:
    sign = ""
    if type(node) is exp.Neg:
        sign, node = "-", node.this
    if type(node) is not exp.Literal or node.is_string or not pattern.fullmatch(str(node.this)):
        raise refusal("literal")
    return sign + str(node.this)


def _boolean(node: object) -> bool:
    if type(node) is not exp.Boolean:
        raise refusal("literal")
    return bool(node.this)


def _instant(node: object) -> datetime:
    text = _text(_without_time_cast(node))
    try:
        instant = datetime.fromisoformat(text.strip())
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise refusal("literal") from None


def _day(node: object) -> date:
    instant = _instant(node)
    if instant.time() != time(0):
        raise refusal("literal")
    return instant.date()


def _without_time_cast(node: object) -> object:
    if type(node) is not exp.Cast:
        return node
    target = node.args.get("to")
    plain = set(node.args) <= {"this", "to"} or not any(
        value for name, value in node.args.items() if name not in {"this", "to"}
    )
    if not plain or not isinstance(target, exp.DataType) or target.this not in _TIME_TYPES:
        raise refusal("literal")
    if target.expressions:
        raise refusal("literal")
    return node.this
