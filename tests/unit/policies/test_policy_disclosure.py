"""Small groups are withheld: their values are gone, and it shows."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.disclosure import Disclosure, withhold_small_groups
from policies.errors import DisclosureError


def groups(units: list, rows: list) -> pa.Table:
    return pa.table(
        {
            "hour": list(range(len(units))),
            "units": pa.array(units, pa.int64()),
            "rows": pa.array(rows, pa.int64()),
            "mean_kw": [float(position) for position in range(len(units))],
        }
    )


def withheld(table: pa.Table, units_column: str | None = "units", **others: object) -> Disclosure:
    limits = {"minimum_units": 5, "minimum_rows": 10, "value_columns": ["mean_kw"], **others}
    return withhold_small_groups(table, units_column=units_column, rows_column="rows", **limits)


def test_groups_under_either_threshold_lose_their_values() -> None:
    result = withheld(groups([5, 4, 5, 100], [10, 10, 9, 1000]))
    assert result.table.column("mean_kw").to_pylist() == [0.0, None, None, 3.0]
    assert result.table.column("status").to_pylist() == ["released", "suppressed", "suppressed", "released"]
    assert result.suppressed == 2
    assert result.table.column("hour").to_pylist() == [0, 1, 2, 3]


def test_a_group_of_unknown_size_is_withheld() -> None:
    result = withheld(groups([None, 5], [10, None]))
    assert result.table.column("mean_kw").to_pylist() == [None, None]
    assert result.suppressed == 2


def test_counts_can_be_withheld_with_the_values() -> None:
    result = withheld(groups([4], [10]), value_columns=["mean_kw", "units", "rows"])
    assert result.table.drop_columns("status").to_pylist() == [
        {"hour": 0, "units": None, "rows": None, "mean_kw": None}
    ]


def test_without_a_unit_rows_decide_alone() -> None:
    assert withheld(groups([1, 1], [10, 9]), None).suppressed == 1


def test_an_empty_result_stays_empty() -> None:
    result = withheld(groups([], []))
    assert result.suppressed == 0
    assert result.table.column_names == ["hour", "units", "rows", "mean_kw", "status"]


def test_a_chunked_table_is_checked_as_a_whole() -> None:
    table = pa.concat_tables([groups([5], [10]), groups([4, 5], [10, 10])])
    assert withheld(table).table.column("status").to_pylist() == ["released", "suppressed", "released"]


@pytest.mark.parametrize(
    ("table", "others", "sentence"),
    [
        (groups([5], [10]).drop_columns("rows"), {}, "0 columns named rows"),
        (groups([5], [10]).append_column("rows", [[99]]), {}, "2 columns named rows"),
        (groups([5], [10]), {"value_columns": ["secret"]}, "0 columns named secret"),
        (groups([5], [10]).append_column("status", [["released"]]), {}, "column named status"),
        (groups([5], [10]).set_column(1, "units", [["many"]]), {}, "holds no whole numbers"),
    ],
)
def test_a_table_that_cannot_be_checked_is_refused(table: pa.Table, others: object, sentence: str) -> None:
    with pytest.raises(DisclosureError, match=sentence):
        withheld(table, **others)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40)), max_size=20),
    st.integers(0, 10),
    st.integers(0, 20),
)
def test_no_value_of_a_small_group_ever_stays(sizes: list, minimum_units: int, minimum_rows: int) -> None:
    table = groups([units for units, _ in sizes], [rows for _, rows in sizes])
    result = withheld(table, minimum_units=minimum_units, minimum_rows=minimum_rows)
    for row in result.table.to_pylist():
        small = row["units"] < minimum_units or row["rows"] < minimum_rows
        assert (row["mean_kw"] is None) == small == (row["status"] == "suppressed")
