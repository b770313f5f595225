"""What one site computes and what it withholds; DuckDB runs the statement, Python is the oracle."""
# ruff: noqa: S608 - the statements are the tests' own, and some are meant to be hostile

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.model import Column, ColumnRole
from connector.queries.decompose import site_statement, withhold
from connector.queries.errors import PartialsInvalidError, QueryRefusedError
from connector.queries.gate import plan_query
from connector.queries.partials import partial_columns
from policies.restrictions import QueryRestrictions

COLUMNS = (
    Column("profile", "string", ColumnRole.UNIT, {}),
    Column("sector", "string", ColumnRole.DIMENSION, {}),
    Column("ts", "timestamp[us, tz=UTC]", ColumnRole.TIME, {}),
    Column("load_kw", "double", ColumnRole.MEASURE, {}, "kW", 0.05),
)
LIMITS = QueryRestrictions(None, "profile", minimum_units=3, minimum_rows=4, maximum_result_rows=100)
Row = tuple[str | None, str | None, datetime | None, float | None]
NOON = datetime(2016, 1, 1, 12, tzinfo=UTC)


def table_of(rows: Sequence[Row]) -> pa.Table:
    types = (pa.string(), pa.string(), pa.timestamp("us", tz="UTC"), pa.float64())
    return pa.table(
        {
            column.name: pa.array([row[index] for row in rows], types[index])
            for index, column in enumerate(COLUMNS)
        }
    )


def answer(
    sql: str, rows: Sequence[Row], limits: QueryRestrictions = LIMITS, zone: str = "UTC"
) -> list[dict[str, Any]]:
    plan = plan_query(sql, table="load_profiles", columns=COLUMNS)
    statement = site_statement(plan, limits, COLUMNS)
    with duckdb.connect() as engine:
        engine.execute(f"SET TimeZone = '{zone}'")
        engine.register("load_profiles", table_of(rows))
        found = engine.sql(statement).to_arrow_table()
    assert isinstance(found, pa.Table)
    assert tuple(found.column_names) == partial_columns(plan)
    withheld = withhold(plan, limits, found)
    # The second look finds nothing that the statement has let through.
    assert withheld.equals(found.cast(withheld.schema))
    return withheld.to_pylist()


def rows_of(units: int, per_unit: int, sector: str = "a", load: float = 1.0) -> list[Row]:
    return [(f"H{unit}", sector, NOON, load) for unit in range(units) for _ in range(per_unit)]


@pytest.mark.parametrize(
    ("units", "per_unit", "status"),
    [(3, 2, "released"), (2, 50, "suppressed"), (3, 1, "suppressed"), (4, 1, "released")],
)
def test_a_group_needs_enough_units_and_enough_rows(units: int, per_unit: int, status: str) -> None:
    (group,) = answer("SELECT sector, avg(load_kw) FROM load_profiles GROUP BY 1", rows_of(units, per_unit))
    assert group["status"] == status


def test_nothing_but_the_key_is_told_of_a_small_group() -> None:
    figures = "count(*), avg(load_kw), stddev(load_kw), max(load_kw), min(load_kw)"
    sql = f"SELECT sector, {figures} FROM load_profiles GROUP BY 1"
    (group,) = answer(sql, rows_of(2, 10))
    assert {name for name, value in group.items() if value is not None} == {"key_0", "status"}


def test_rows_without_a_value_do_not_protect_the_rows_that_have_one() -> None:
    hidden: list[Row] = [("H9", "a", NOON, 17.5)] * 10
    gaps: list[Row] = [(f"H{unit}", "a", NOON, None) for unit in range(20)]
    assert answer("SELECT sum(load_kw) FROM load_profiles", gaps + hidden)[0]["status"] == "suppressed"
    assert answer("SELECT count(*) FROM load_profiles", gaps + hidden)[0]["rows"] == 30


@pytest.mark.parametrize("strange", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_no_numbers_take_no_part(strange: float) -> None:
    rows = [*rows_of(4, 2), ("H1", "a", NOON, strange)]
    sql = "SELECT sum(load_kw), stddev(load_kw), max(load_kw), min(load_kw) FROM load_profiles"
    (group,) = answer(sql, rows)
    assert (group["n_0"], group["sum_0"], group["m2_0"]) == (8, 8.0, 0.0)
    assert (group["high_0"], group["low_0"]) == (1.0, 1.0)


def test_rows_that_name_no_unit_take_part_in_nothing() -> None:
    rows = [*rows_of(3, 2), *[(None, "a", NOON, 99.0)] * 5]
    (group,) = answer("SELECT sum(load_kw) FROM load_profiles", rows)
    assert (group["units"], group["rows"], group["sum_0"]) == (3, 6, 6.0)


def test_one_group_over_no_rows_is_suppressed() -> None:
    sql = "SELECT count(*), avg(load_kw) FROM load_profiles WHERE sector = 'z'"
    for unit in ("profile", None):
        (group,) = answer(sql, rows_of(9, 9), replace(LIMITS, group_unit=unit))
        assert group["status"] == "suppressed"


def test_a_unit_that_towers_over_the_others_does_not_show_in_the_highest_value() -> None:
    rows = [*rows_of(5, 2, load=2.0), ("H99", "a", NOON, 1000.0), ("H98", "a", NOON, 900.0)]
    (group,) = answer("SELECT max(load_kw) FROM load_profiles", rows)
    assert group["high_0"] == 2.0


def test_one_unit_cannot_fill_the_places_of_others() -> None:
    rows = [*rows_of(5, 2, load=2.0), *[("H99", "a", NOON, 1000.0)] * 50]
    (group,) = answer("SELECT max(load_kw) FROM load_profiles", rows)
    assert group["high_0"] == 2.0


loads = st.lists(
    st.tuples(st.integers(0, 6), st.integers(-200, 4000).map(lambda hundredths: hundredths / 100)),
    min_size=1,
    max_size=60,
)


@settings(deadline=None, max_examples=60)
@given(loads)
def test_extremes_are_the_step_that_enough_units_reached(found: list[tuple[int, float]]) -> None:
    rows: list[Row] = [(f"H{unit}", "a", NOON, load) for unit, load in found]
    (group,) = answer("SELECT max(load_kw), min(load_kw) FROM load_profiles", rows)
    if group["status"] == "released":
        step = Decimal("0.05")
        units = {unit for unit, _ in found}
        highest = sorted(max(load for who, load in found if who == unit) for unit in units)[-3]
        lowest = sorted(min(load for who, load in found if who == unit) for unit in units)[2]
        reached = [
            unit for unit in units if any(load >= group["high_0"] for who, load in found if who == unit)
        ]
        assert len(reached) >= 3
        assert 0 <= Decimal(str(highest)) - Decimal(str(group["high_0"])) < step
        assert 0 <= Decimal(str(group["low_0"])) - Decimal(str(lowest)) < step
    else:
        assert len({unit for unit, _ in found}) < 3 or len(found) < 4


def test_without_a_unit_rows_take_its_place() -> None:
    limits = replace(LIMITS, group_unit=None)
    rows: list[Row] = [("H0", "a", NOON, float(load)) for load in range(10)]
    (group,) = answer("SELECT max(load_kw), min(load_kw), count(*) FROM load_profiles", rows, limits)
    assert group == {
        "status": "released",
        "units": None,
        "rows": 10,
        "n_0": 10,
        "high_0": 6.0,
        "low_0": 3.0,
    }


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati"])
def test_times_are_utc_whatever_the_zone_of_the_engine(zone: str) -> None:
    late = datetime(2016, 12, 31, 23, 59, tzinfo=UTC)
    rows: list[Row] = [(f"H{unit}", "a", late, 1.0) for unit in range(4)]
    sql = (
        "SELECT hour(ts), dayofweek(ts), month(ts), year(ts), date_trunc('day', ts), "
        "date_trunc('month', ts), count(*) FROM load_profiles WHERE ts < '2017-01-01' GROUP BY ALL"
    )
    (group,) = answer(sql, rows, zone=zone)
    keys = [group[f"key_{index}"] for index in range(6)]
    assert keys == [23, 6, 12, 2016, date(2016, 12, 31), date(2016, 12, 1)]


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("sector = 'it''s'", 4),
        ("sector IN ('a', 'b''; DROP TABLE load_profiles; --')", 5),
        ("NOT sector = 'a'", 4),
        ("ts BETWEEN '2016-01-01' AND '2016-01-02' AND hour(ts) >= 12 OR year(ts) = 1999", 9),
        ("date_trunc('day', ts) <> DATE '2016-01-01'", None),
    ],
)
def test_conditions_choose_the_rows_that_they_name(condition: str, rows: int | None) -> None:
    data: list[Row] = [(f"H{unit}", "it's" if unit < 4 else "a", NOON, 1.0) for unit in range(9)]
    (group,) = answer(f"SELECT count(*) FROM load_profiles WHERE {condition}", data)
    assert group["rows"] == rows


def test_more_groups_than_agreed_are_refused_and_not_cut_off() -> None:
    plan = plan_query(
        "SELECT sector, count(*) FROM load_profiles GROUP BY 1", table="load_profiles", columns=COLUMNS
    )
    rows = [row for sector in "abcd" for row in rows_of(5, 5, sector)]
    limits = replace(LIMITS, maximum_result_rows=3)
    with pytest.raises(QueryRefusedError) as refused:
        answer("SELECT sector, count(*) FROM load_profiles GROUP BY 1", rows, limits)
    assert refused.value.code == "too-many-groups"
    assert site_statement(plan, limits, COLUMNS).endswith("LIMIT 4")


@pytest.mark.parametrize(
    ("limits", "sql", "code"),
    [
        (replace(LIMITS, columns=("sector",)), "SELECT avg(load_kw) FROM load_profiles", "unknown-column"),
        (
            replace(LIMITS, columns=("load_kw",)),
            "SELECT avg(load_kw) FROM load_profiles WHERE sector = 'a'",
            "unknown-column",
        ),
        (replace(LIMITS, group_unit="machine"), "SELECT count(*) FROM load_profiles", "group-unit-missing"),
        (replace(LIMITS, minimum_units=1), "SELECT max(load_kw) FROM load_profiles", "extreme-unprotected"),
        (
            replace(LIMITS, group_unit=None, minimum_rows=1),
            "SELECT min(load_kw) FROM load_profiles",
            "extreme-unprotected",
        ),
    ],
)
def test_what_the_agreement_does_not_cover_is_refused(limits: QueryRestrictions, sql: str, code: str) -> None:
    plan = plan_query(sql, table="load_profiles", columns=COLUMNS)
    with pytest.raises(QueryRefusedError) as refused:
        site_statement(plan, limits, COLUMNS)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("units", "rows", "n"), [(2, 9, 9), (9, 3, 3), (9, 9, 3), (None, 9, 9), (9, None, 9)]
)
def test_the_second_look_withholds_what_an_engine_should_not_have_released(
    units: int | None, rows: int | None, n: int
) -> None:
    plan = plan_query("SELECT avg(load_kw) FROM load_profiles", table="load_profiles", columns=COLUMNS)
    released = pa.table(
        {
            "status": ["released"],
            "units": pa.array([units], pa.int64()),
            "rows": pa.array([rows], pa.int64()),
            "n_0": [n],
            "sum_0": [1.0],
        }
    )
    assert withhold(plan, LIMITS, released).to_pylist() == [
        {"status": "suppressed", "units": None, "rows": None, "n_0": None, "sum_0": None}
    ]


def test_an_answer_of_another_shape_does_not_leave() -> None:
    plan = plan_query("SELECT avg(load_kw) FROM load_profiles", table="load_profiles", columns=COLUMNS)
    with pytest.raises(PartialsInvalidError):
        withhold(plan, LIMITS, pa.table({"profile": ["H0"]}))
