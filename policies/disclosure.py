"""Output checks on Arrow tables: what a result may not show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from policies.errors import DisclosureError

STATUS: Final = "status"
RELEASED: Final = "released"
SUPPRESSED: Final = "suppressed"


@dataclass(frozen=True, slots=True)
class Disclosure:
    """A result that may be released.

    Attributes:
        table: The result, with a last column `status`: `released`, or
            `suppressed` where the values of a row were withheld.
        suppressed: Number of rows whose values were withheld.
    """

    table: pa.Table
    suppressed: int


def withhold_small_groups(
    table: pa.Table,
    *,
    units_column: str | None,
    rows_column: str,
    minimum_units: int,
    minimum_rows: int,
    value_columns: Sequence[str],
) -> Disclosure:
    """Withhold the values of every group that is too small to be shown.

    A threshold alone does not stop differences between overlapping queries
    from telling about one unit; complementary suppression is not done here.

    Args:
        table: Aggregates, one row per group.
        units_column: Column with the number of distinct units of a group; None
            where the agreement counts rows only.
        rows_column: Column with the number of rows of a group.
        minimum_units: Fewest units of a group that is shown.
        minimum_rows: Fewest rows of a group that is shown.
        value_columns: Columns to withhold. The exact size of a small group
            tells something, too: name the two counting columns here unless
            they are dropped afterwards.

    Returns:
        The table with null in `value_columns` where a group is too small or
        its size is not known, and how many groups that were.

    Raises:
        DisclosureError: A named column is missing or stands twice, a count is
            no integer, or the table has a column `status` already.
    """
    counts = [rows_column] if units_column is None else [rows_column, units_column]
    _check_columns(table, counts, value_columns)
    shown = _at_least(table, rows_column, minimum_rows)
    if units_column is not None:
        shown = pc.and_(shown, _at_least(table, units_column, minimum_units))
    for name in dict.fromkeys(value_columns):
        position = table.schema.get_field_index(name)
        field = table.schema.field(position).with_nullable(nullable=True)
        withheld = pc.if_else(shown, table.column(position), pa.scalar(None, field.type))
        table = table.set_column(position, field, withheld)
    status = pc.if_else(shown, pa.scalar(RELEASED), pa.scalar(SUPPRESSED))
    return Disclosure(table.append_column(STATUS, status), shown.false_count)


def _at_least(table: pa.Table, name: str, minimum: int) -> pa.BooleanArray:
    """Tell for each row whether a count reaches a minimum; an unknown count does not."""
    counts = table.column(name).to_pylist()
    return pa.array([count is not None and count >= minimum for count in counts], pa.bool_())


def _check_columns(table: pa.Table, counts: Sequence[str], values: Sequence[str]) -> None:
    for name in (*counts, *values):
        found = table.schema.get_all_field_indices(name)
        if len(found) != 1:
            raise DisclosureError(
                f"The result has {len(found)} columns named {name}, so its groups cannot be checked; "
                "name each column once."
            )
    for name in counts:
        if not pa.types.is_integer(table.schema.field(name).type):
            raise DisclosureError(f"The column {name} holds no whole numbers, so groups cannot be counted.")
    if STATUS in table.schema.names:
        raise DisclosureError(
            "A result must not have a column named status: the check adds it; rename yours."
        )
