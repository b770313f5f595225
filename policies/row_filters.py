"""Row filters: which rows of a dataset exist under an agreement.

A filter is defined by the provider, as data; a policy only names it. So nothing
that comes over the wire decides how rows are compared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from policies.errors import PolicyError
from policies.model import Operator

FilterValue = str | int | float | bool

_SINGLE: Final = frozenset(
    {Operator.EQ, Operator.NEQ, Operator.LT, Operator.LTEQ, Operator.GT, Operator.GTEQ}
)
_LISTED: Final = frozenset({Operator.IS_ANY_OF, Operator.IS_NONE_OF})


class RowFilterError(PolicyError):
    """A row filter is malformed, or one that a policy names is not defined."""


@dataclass(frozen=True, slots=True)
class RowFilter:
    """One comparison that a row has to satisfy to exist.

    Attributes:
        column: The column that is compared; it need not be one that the agreement permits.
        operator: `eq`, `neq`, `lt`, `lteq`, `gt`, `gteq` with one value, or
            `isAnyOf`, `isNoneOf` with a list.
        values: What it is compared with. Points in time are ISO 8601 texts. A
            row without a value satisfies no filter, `neq` and `isNoneOf` neither.
    """

    column: str
    operator: Operator
    values: tuple[FilterValue, ...]


def read_row_filter(name: str, description: Mapping[str, object]) -> RowFilter:
    """Read a filter as a provider writes it: `{"column": …, "operator": …, "values": […]}`.

    Args:
        name: What policies call it; for the error.
        description: The three members; a single value may stand without brackets.

    Raises:
        RowFilterError: A member is missing, unknown or of another form.
    """
    if set(description) != {"column", "operator", "values"}:
        raise RowFilterError(
            f"The row filter {name!r} needs column, operator and values, and nothing else.",
            f"Der Zeilenfilter {name!r} braucht column, operator und values und sonst nichts.",
        )
    column, operator = description["column"], description["operator"]
    known = {one.value: one for one in _SINGLE | _LISTED}
    if not isinstance(column, str) or not column:
        raise RowFilterError(
            f"The column of the row filter {name!r} is no name.",
            f"Die Spalte (column) des Zeilenfilters {name!r} ist kein Name.",
        )
    if not isinstance(operator, str) or operator not in known:
        possible = ", ".join(sorted(known))
        raise RowFilterError(
            f"The row filter {name!r} has an unknown operator; known are: {possible}.",
            f"Der Operator des Zeilenfilters {name!r} ist unbekannt; möglich sind: {possible}.",
        )
    return RowFilter(column, known[operator], _values(name, known[operator], description["values"]))


def _values(name: str, operator: Operator, stated: object) -> tuple[FilterValue, ...]:
    listed = list(stated) if isinstance(stated, list | tuple) else [stated]
    values = tuple(value for value in listed if isinstance(value, str | int | float))
    if len(values) != len(listed) or not values:
        raise RowFilterError(
            f"The values of the row filter {name!r} must be texts, numbers or truth values.",
            f"Die Werte des Zeilenfilters {name!r} müssen Texte, Zahlen oder Wahrheitswerte sein.",
        )
    if operator in _SINGLE and len(values) != 1:
        raise RowFilterError(
            f"The operator of the row filter {name!r} takes exactly one value.",
            f"Der Operator des Zeilenfilters {name!r} nimmt genau einen Wert.",
        )
    return values


def named_filters(names: Iterable[str], defined: Mapping[str, RowFilter]) -> tuple[RowFilter, ...]:
    """Look up the filters that a policy names.

    Args:
        names: The names.
        defined: The provider's filters.

    Raises:
        RowFilterError: A name is not defined. Nothing may be answered then.
    """
    wanted = tuple(names)
    if unknown := sorted(set(wanted) - set(defined)):
        raise RowFilterError(
            f"The provider has not defined the row filters {', '.join(unknown)}; it must correct its offer.",
            f"Der Anbieter hat die Zeilenfilter {', '.join(unknown)} nicht festgelegt; "
            "er muss sein Angebot berichtigen.",
        )
    return tuple(defined[name] for name in wanted)
