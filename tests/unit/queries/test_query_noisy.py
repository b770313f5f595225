"""Queries with noise: what may be asked, and that one unit moves exact figures no further than is stated."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from catalog.model import Column, ColumnRole
from connector.queries.errors import PartialsInvalidError, QueryRefusedError
from connector.queries.gate import plan_query
from connector.queries.merge import merge_partials
from connector.queries.noisy import (
    NoisyQuestion,
    bounded_statement,
    exact_figures,
    noisy_partials,
    noisy_question,
    require_described,
)
from connector.queries.partials import partial_columns
from policies.masks import parse_mask
from policies.privacy import (
    NoiseTerms,
    PrivacyDescription,
    PrivacyDescriptionError,
    SensitiveFigures,
    read_privacy,
)
from policies.restrictions import QueryRestrictions

COLUMNS = (
    Column("profile", "string", ColumnRole.UNIT, {}),
    Column("sector", "string", ColumnRole.DIMENSION, {}),
    Column("level", "int64", ColumnRole.DIMENSION, {}),
    Column("ts", "timestamp[us, tz=UTC]", ColumnRole.TIME, {}),
    Column("load_kw", "double", ColumnRole.MEASURE, {}, "kW", 0.05),
    Column("cost", "double", ColumnRole.MEASURE, {}),
    Column("other", "double", ColumnRole.MEASURE, {}),
)
TERMS = NoiseTerms(Decimal("0.5"), Decimal(5))
LIMITS = QueryRestrictions(
    None, "profile", minimum_units=1, minimum_rows=1, maximum_result_rows=100, noise=TERMS
)
DESCRIPTION = PrivacyDescription(
    unit="profile",
    contribution_bound=3,
    epsilon_total=Decimal(10),
    bounds={"load_kw": (0.0, 10.0), "cost": (-4.0, 1.0)},
    values={"sector": ("a", "b"), "level": (1, 2)},
)
NOON = datetime(2016, 1, 1, 12, tzinfo=UTC)
Row = tuple[str | None, str | None, int | None, datetime | None, float | None, float | None]
EVERYTHING = "SELECT sector, count(*), avg(load_kw), sum(cost) FROM t GROUP BY sector"


def question(
    sql: str,
    limits: QueryRestrictions = LIMITS,
    description: PrivacyDescription | None = DESCRIPTION,
    columns: Sequence[Column] = COLUMNS,
) -> NoisyQuestion:
    return noisy_question(plan_query(sql, table="t", columns=columns), limits, description, columns)


def exact(asked: NoisyQuestion, rows: Sequence[Row]) -> dict[str, SensitiveFigures]:
    types = (pa.string(), pa.string(), pa.int64(), pa.timestamp("us", tz="UTC"), pa.float64(), pa.float64())
    table = pa.table(
        {
            column.name: pa.array([row[index] for row in rows], types[index])
            for index, column in enumerate(COLUMNS[:6])
        }
    )
    engine().register("t", table)
    answer = engine().sql(bounded_statement(asked)).to_arrow_table()
    return dict(exact_figures(asked, answer))


@cache
def engine() -> duckdb.DuckDBPyConnection:
    """One for all tests: starting it takes longer than a statement."""
    made = duckdb.connect()
    made.execute("SET TimeZone = 'UTC'; SET threads = 1")
    return made


def refused(sql: str, **changes: Any) -> str:
    with pytest.raises(QueryRefusedError) as caught:
        question(sql, **changes)
    return caught.value.code


# what one unit can do


UNITS = ("p", "q", "r")
ROWS = st.lists(
    st.tuples(
        st.sampled_from([*UNITS, None]),
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from([1, 2, 3, None]),
        st.sampled_from([NOON, NOON.replace(hour=3), None]),
        st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 10.0, 5.0, -1.0, 1e300])),
        st.one_of(st.none(), st.floats(), st.sampled_from([-4.0, 1.0])),
    ),
    max_size=30,
)
STATEMENTS = (
    "SELECT count(*) FROM t",
    "SELECT avg(load_kw) FROM t",
    "SELECT sum(cost), count(*) FROM t WHERE sector = 'a'",
    "SELECT hour(ts), sum(load_kw), avg(cost) FROM t GROUP BY 1",
    "SELECT sector, level, count(*), sum(cost) FROM t WHERE NOT level = 2 GROUP BY 1, 2",
    EVERYTHING,
)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, sql=st.sampled_from(STATEMENTS), gone=st.sampled_from(UNITS), bound=st.integers(1, 4))
@example(
    rows=[("p", "a", 1, NOON, 10.0, -4.0)] * 9 + [("q", "a", 1, NOON, 10.0, -4.0)],
    sql=EVERYTHING,
    gone="p",
    bound=3,
)
def test_without_one_unit_no_figure_moves_further_than_its_sensitivity(
    rows: list[Row], sql: str, gone: str, bound: int
) -> None:
    asked = question(sql, description=replace(DESCRIPTION, contribution_bound=bound))
    before, after = exact(asked, rows), exact(asked, [row for row in rows if row[0] != gone])
    assert set(before) == set(after)
    for name, figures in before.items():
        moved = sum(abs(a - b) for a, b in zip(figures.values, after[name].values, strict=True))
        assert moved <= figures.sensitivity, name


def test_the_sensitivity_is_reached_so_it_is_not_stated_too_large() -> None:
    asked = question(EVERYTHING)
    rows: list[Row] = [("p", "a", 1, NOON, 1e9, -1e9)] * 9
    figures = exact(asked, rows)
    assert {name: sum(map(abs, one.values)) for name, one in figures.items()} == {
        name: one.sensitivity for name, one in figures.items()
    }


@settings(max_examples=50, deadline=None)
@given(rows=ROWS, sql=st.sampled_from(STATEMENTS))
def test_what_counts_of_a_unit_does_not_depend_on_the_order_of_rows(rows: list[Row], sql: str) -> None:
    asked = question(sql)
    assert exact(asked, rows) == exact(asked, rows[::-1])


def test_a_unit_with_many_rows_counts_with_as_many_as_the_bound_over_all_groups() -> None:
    asked = question("SELECT sector, count(*) FROM t GROUP BY 1")
    rows: list[Row] = [("p", sector, 1, NOON, 1.0, 0.0) for sector in "ab" for _ in range(5)]
    assert sum(exact(asked, rows)["rows"].values) == 3
    tighter = replace(LIMITS, noise=replace(TERMS, contribution_bound=2))
    asked = question("SELECT sector, count(*) FROM t GROUP BY 1", limits=tighter)
    assert sum(exact(asked, rows)["rows"].values) == 2


def test_rows_outside_the_stated_values_use_up_nothing() -> None:
    asked = question("SELECT sector, count(*) FROM t GROUP BY 1")
    rows: list[Row] = [("p", "elsewhere", 1, NOON, 1.0, 0.0)] * 9 + [("p", "a", 1, NOON, 1.0, 0.0)] * 2
    assert exact(asked, rows)["rows"].values == (2, 0)


def test_values_are_moved_to_their_bounds_and_no_numbers_take_no_part() -> None:
    asked = question("SELECT sum(load_kw) FROM t")
    rows: list[Row] = [
        (f"p{number}", "a", 1, NOON, value, 0.0)
        for number, value in enumerate([1e300, -5.0, 2.5, float("nan"), float("inf"), None])
    ]
    figures = exact(asked, rows)
    assert figures["n_0"].values == (3,)
    assert figures["sum_0"].values[0] * asked.grids[0].step == pytest.approx(12.5, rel=1e-5)


def test_every_group_that_could_be_there_has_figures_and_no_other() -> None:
    asked = question("SELECT hour(ts), count(*) FROM t GROUP BY 1")
    assert asked.groups == tuple((hour,) for hour in range(24))
    assert sum(exact(asked, [])["rows"].values) == 0
    assert question("SELECT sector, count(*) FROM t WHERE sector = 'b' GROUP BY 1").groups == (("b",),)
    either = "SELECT sector, count(*) FROM t WHERE sector = 'b' OR level = 1 GROUP BY 1"
    assert question(either).groups == (("a",), ("b",))


# what may be asked


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT max(load_kw) FROM t", "noise-aggregate"),
        ("SELECT min(load_kw) FROM t", "noise-aggregate"),
        ("SELECT stddev_samp(load_kw) FROM t", "noise-aggregate"),
        ("SELECT var_samp(load_kw) FROM t", "noise-aggregate"),
        ("SELECT avg(other) FROM t", "noise-bounds"),
        ("SELECT date_trunc('day', ts), count(*) FROM t GROUP BY 1", "noise-values"),
        ("SELECT year(ts), count(*) FROM t GROUP BY 1", "noise-values"),
        ("SELECT sector, count(*) FROM t WHERE sector = 'c' GROUP BY 1", "noise-values"),
        ("SELECT sector, level, hour(ts), dayofweek(ts), count(*) FROM t GROUP BY ALL", "too-many-groups"),
    ],
)
def test_what_noise_cannot_protect_is_refused(sql: str, code: str) -> None:
    assert refused(sql) == code


def test_without_a_description_of_the_dataset_nothing_is_answered() -> None:
    assert refused("SELECT count(*) FROM t", description=None) == "noise-not-described"
    other = replace(DESCRIPTION, unit="sector")
    assert refused("SELECT count(*) FROM t", description=other) == "noise-not-described"


def test_a_dimension_without_stated_values_or_with_masked_ones_makes_no_groups() -> None:
    statement = "SELECT sector, count(*) FROM t GROUP BY 1"
    assert refused(statement, description=replace(DESCRIPTION, values={})) == "noise-values"
    masked = replace(LIMITS, masks=(parse_mask("sector=truncate:1"),))
    assert refused(statement, limits=masked) == "noise-values"


def test_withheld_columns_do_not_exist() -> None:
    narrow = replace(LIMITS, columns=("load_kw",))
    assert refused("SELECT sector, avg(load_kw) FROM t GROUP BY 1", limits=narrow) == "unknown-column"


def test_epsilon_that_cannot_be_split_is_too_little() -> None:
    tiny = replace(LIMITS, noise=replace(TERMS, epsilon_per_query=Decimal("0.000000001")))
    assert refused("SELECT avg(load_kw) FROM t", limits=tiny) == "noise-too-little-epsilon"
    nothing = replace(LIMITS, noise=replace(TERMS, epsilon_per_query=Decimal(0)))
    assert refused("SELECT count(*) FROM t", limits=nothing) == "noise-too-little-epsilon"


# the same question


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT count(*) FROM t", "SELECT count(*) AS n FROM t LIMIT 5"),
        ("SELECT avg(load_kw) FROM t", "SELECT sum(load_kw) AS s, avg(load_kw) AS m FROM t"),
        (
            "SELECT sector, level, count(*) FROM t GROUP BY sector, level ORDER BY 3",
            "SELECT level, count(*), sector FROM t GROUP BY level, sector",
        ),
        (
            "SELECT count(*) FROM t WHERE sector IN ('a', 'b', 'a') AND level = 1",
            "SELECT count(*) FROM t WHERE level = 1 AND sector IN ('b', 'a')",
        ),
    ],
)
def test_the_same_question_in_other_words_is_the_same(one: str, other: str) -> None:
    assert question(one).as_data == question(other).as_data
    assert question(one) == question(other)


@pytest.mark.parametrize(
    "other",
    [
        "SELECT sector, avg(load_kw) FROM t GROUP BY sector",
        "SELECT sector, count(*) FROM t WHERE level = 2 GROUP BY sector",
        "SELECT level, count(*) FROM t GROUP BY level",
        "SELECT count(*) FROM t",
    ],
)
def test_another_question_is_another(other: str) -> None:
    first = "SELECT sector, count(*) FROM t WHERE level = 1 GROUP BY sector"
    assert question(other).as_data != question(first).as_data


def test_another_bound_makes_another_question() -> None:
    wide = replace(DESCRIPTION, bounds={"load_kw": (0.0, 20.0)})
    asked = "SELECT avg(load_kw) FROM t"
    assert question(asked).as_data != question(asked, description=wide).as_data


# the answer


def test_epsilon_is_split_over_the_figures_and_never_more_than_the_whole() -> None:
    figures = exact(question(EVERYTHING), [])
    assert set(figures) == {"rows", "n_0", "sum_0", "n_1", "sum_1"}
    assert sum(one.epsilon for one in figures.values()) <= Decimal("0.5")
    assert {one.epsilon for one in figures.values()} == {Decimal("0.1")}


def test_an_answer_has_the_shape_of_every_partial_answer_and_merges_with_others() -> None:
    sql = "SELECT level, avg(cost) AS cost, count(*) AS n, sector FROM t GROUP BY sector, level"
    plan = plan_query(sql, table="t", columns=COLUMNS)
    asked = question(sql)
    step = asked.grids[0].step
    noisy = {"rows": (5, 6, 0, 9), "n_0": (5, 6, 7, -3), "sum_0": tuple(round(4 / step) for _ in range(4))}

    partials = noisy_partials(plan, asked, noisy)

    assert tuple(partials.column_names) == partial_columns(plan)
    assert partials.column("status").to_pylist() == ["released", "released", "suppressed", "suppressed"]
    both = merge_partials(plan, {"one": partials, "other": partials}).to_pylist()
    assert both[0] == {
        "level": 1,
        "cost": pytest.approx(0.8, rel=1e-4),
        "n": 10,
        "sector": "a",
        "sites": 2,
        "status": "released",
    }
    assert (both[3]["level"], both[3]["sector"], both[3]["n"]) == (2, "b", None)


def test_a_group_with_few_noisy_rows_is_withheld_with_all_its_figures() -> None:
    sql = "SELECT sector, sum(cost) FROM t GROUP BY 1"
    asked = question(sql, limits=replace(LIMITS, minimum_rows=10))
    plan = plan_query(sql, table="t", columns=COLUMNS)
    first, second = noisy_partials(plan, asked, {"n_0": (9, 10), "sum_0": (8, 8)}).to_pylist()
    assert {name for name, value in first.items() if value is not None} == {"key_0", "status"}
    assert second["rows"] == second["n_0"] == 10


def test_an_answer_of_another_shape_is_refused() -> None:
    asked = question("SELECT count(*) FROM t")
    plan = plan_query("SELECT count(*) FROM t", table="t", columns=COLUMNS)
    with pytest.raises(PartialsInvalidError):
        exact_figures(asked, pa.table({"n": [1]}))
    for spoilt in ({}, {"rows": (1, 2)}, {"rows": (1,), "n_0": (1,)}):
        with pytest.raises(PartialsInvalidError):
            noisy_partials(plan, asked, spoilt)
    by_sector = question("SELECT sector, count(*) FROM t GROUP BY 1")
    with pytest.raises(PartialsInvalidError):
        exact_figures(by_sector, pa.table({"key_0": ["c"], "rows": [1]}))


# the description


WRITTEN: dict[str, Any] = {
    "unit": "profile",
    "contribution_bound": 3,
    "epsilon_total": "10",
    "bounds": {"load_kw": [0, 10], "cost": [-4, 1.0]},
    "values": {"sector": ["a", "b"], "level": [1, 2]},
}


def test_a_description_is_read_as_it_is_written() -> None:
    assert read_privacy(WRITTEN) == DESCRIPTION
    require_described(DESCRIPTION, COLUMNS)
    assert read_privacy({name: WRITTEN[name] for name in list(WRITTEN)[:3]}).bounds == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": ""},
        {"unit": None},
        {"contribution_bound": 0},
        {"contribution_bound": True},
        {"contribution_bound": "3"},
        {"contribution_bound": 10**9},
        {"epsilon_total": 10},
        {"epsilon_total": "0"},
        {"epsilon_total": "-1"},
        {"epsilon_total": "1e3"},
        {"epsilon_total": "0.0000000001"},
        {"bounds": [0, 1]},
        {"bounds": {"load_kw": [1, 1]}},
        {"bounds": {"load_kw": [2, 1]}},
        {"bounds": {"load_kw": [0]}},
        {"bounds": {"load_kw": "01"}},
        {"bounds": {"load_kw": [0, float("inf")]}},
        {"bounds": {"load_kw": [0, float("nan")]}},
        {"bounds": {"load_kw": [0, 1e-300]}},
        {"values": {"sector": []}},
        {"values": {"sector": "ab"}},
        {"values": {"sector": ["a", "a"]}},
        {"values": {"sector": ["a", 1]}},
        {"values": {"sector": [1.5]}},
        {"values": {"sector": [None]}},
        {"delta": "0.1"},
    ],
)
def test_a_description_of_another_form_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PrivacyDescriptionError):
        read_privacy(WRITTEN | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": "sector"},
        {"unit": "nobody"},
        {"bounds": {"sector": (0.0, 1.0)}},
        {"values": {"load_kw": (1, 2)}},
        {"values": {"sector": (1, 2)}},
        {"values": {"level": ("1",)}},
        {"values": {"level": (True,)}},
    ],
)
def test_a_description_of_other_columns_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PrivacyDescriptionError):
        require_described(replace(DESCRIPTION, **changes), COLUMNS)
