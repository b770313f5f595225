"""Write pieces of our own SQL from a plan's values; nothing of a client's text is in them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from connector.queries.plan import (
    Comparison,
    Condition,
    Junction,
    KeyExpression,
    KeyKind,
    Literal,
    Membership,
    Negation,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UTC: Final = "make_timestamp(epoch_us({column}))"
"""A time in UTC whatever the session's zone, and four times faster than the zone's own functions."""
_KEY_TEMPLATES: Final = {
    KeyKind.VALUE: "{column}",
    KeyKind.HOUR: f"hour({_UTC})",
    KeyKind.DAY_OF_WEEK: f"dayofweek({_UTC})",
    KeyKind.MONTH: f"month({_UTC})",
    KeyKind.YEAR: f"year({_UTC})",
    KeyKind.DAY_START: f"CAST({_UTC} AS DATE)",
    KeyKind.MONTH_START: f"CAST(date_trunc('month', {_UTC}) AS DATE)",
}


def select(outputs: Sequence[str], source: str, rest: str = "") -> str:
    """Write a SELECT."""
    return " ".join(["SELECT", ", ".join(outputs), "FROM", source + rest])


def key_sql(key: KeyExpression) -> str:
    """Write a dimension, or a part of a time."""
    return _KEY_TEMPLATES[key.kind].format(column=identifier(key.column))


def number_name(column: str) -> str:
    """Name the column that an engine gives beside another one: equal where that is, and faster to compare."""
    return f"{column} #"


def condition_sql(condition: Condition) -> str:
    """Write a condition."""
    match condition:
        case Comparison(operand, operator, value):
            return f"{_operand_sql(operand, value)} {operator.value} {_literal_sql(value)}"
        case Membership(operand, values):
            listed = ", ".join(_literal_sql(value) for value in values)
            return f"{_operand_sql(operand, values[0])} IN ({listed})"
        case Negation(operand):
            return f"NOT ({condition_sql(operand)})"
        case Junction(connective, operands):
            return f" {connective.value} ".join(f"({condition_sql(operand)})" for operand in operands)


def _operand_sql(operand: KeyExpression, value: Literal) -> str:
    if isinstance(value, datetime):
        return f"epoch_us({identifier(operand.column)})"
    return key_sql(operand)


def _literal_sql(value: Literal) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return str((value - _EPOCH) // timedelta(microseconds=1))
        case date():
            return f"DATE '{value.isoformat()}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case int() | float():
            return repr(value)


def identifier(name: str) -> str:
    """Write a name."""
    return '"' + name.replace('"', '""') + '"'
