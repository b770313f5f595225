"""Merging the sites' partial answers gives what one query over all rows would give."""
# ruff: noqa: S608 - the statements are the tests' own, and some are meant to be hostile

import math
from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.model import Column, ColumnRole
from connector.queries.decompose import site_statement, withhold
from connector.queries.errors import PartialsInvalidError
from connector.queries.gate import plan_query
from connector.queries.merge import merge_partials
from policies.restrictions import QueryRestrictions

COLUMNS = (
    Column("profile", "string", ColumnRole.UNIT, {}),
    Column("sector", "string", ColumnRole.DIMENSION, {}),
    Column("load_kw", "double", ColumnRole.MEASURE, {}, "kW", 0.5),
    Column("price", "double", ColumnRole.MEASURE, {}),
)
LIMITS = QueryRestrictions(None, "profile", minimum_units=2, minimum_rows=3, maximum_result_rows=100)
ORDER = " ORDER BY sector"
FIGURES = (
    "count(*) AS n, sum(load_kw) AS s, avg(load_kw) AS m, var_samp(load_kw) AS v, stddev(load_kw) AS d, "
    "avg(price) AS p"
)
SQL = f"SELECT sector, {FIGURES} FROM load_profiles GROUP BY sector"


def site(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    types = (pa.string(), pa.string(), pa.float64(), pa.float64())
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    return pa.table(
        {
            column.name: pa.array(values, kind)
            for column, values, kind in zip(COLUMNS, columns, types, strict=True)
        }
    )


def merged(sql: str, sites: Sequence[pa.Table], limits: QueryRestrictions = LIMITS) -> list[dict[str, Any]]:
    plan = plan_query(sql, table="load_profiles", columns=COLUMNS)
    statement = site_statement(plan, limits, COLUMNS)
    partials = {}
    for number, rows in enumerate(sites):
        with duckdb.connect() as engine:
            engine.register("load_profiles", rows)
            partials[f"did:web:site-{number}"] = withhold(
                plan, limits, engine.sql(statement).to_arrow_table()
            )
    return merge_partials(plan, partials).to_pylist()


def pooled(sql: str, sites: Sequence[pa.Table]) -> list[dict[str, Any]]:
    with duckdb.connect() as engine:
        engine.register("load_profiles", pa.concat_tables(sites))
        return engine.sql(sql).to_arrow_table().to_pylist()


number = st.integers(0, 10_000_000).map(lambda value: value / 1000)
row = st.tuples(
    st.integers(0, 4).map("H{}".format),
    st.sampled_from(["a", "b", "c", None]),
    st.one_of(number, number, number, st.none()),
    number,
)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.lists(row, min_size=1, max_size=60), min_size=3, max_size=3))
def test_three_sites_merge_to_what_one_query_over_all_rows_gives(rows: list[list[tuple[Any, ...]]]) -> None:
    sites = [site(one) for one in rows]
    expected = {group["sector"]: group for group in pooled(SQL, sites)}
    found = merged(SQL, sites)
    assert {group["sector"] for group in found} == set(expected)
    for group in found:
        if group["status"] == "released":
            oracle = expected[group["sector"]]
            assert group["n"] == oracle["n"]
            for name in ("s", "m", "p"):
                assert group[name] == pytest.approx(oracle[name], rel=1e-9)
            assert group["v"] == pytest.approx(oracle["v"], rel=1e-9, abs=1e-15 * oracle["m"] ** 2)
            assert group["d"] == pytest.approx(math.sqrt(group["v"]), rel=1e-12)


def test_a_small_spread_around_a_large_mean_survives_the_merge() -> None:
    sites = [
        site([(f"H{i % 5}", "a", 1e9 + offset + i % 2, 0.0) for i in range(1000)])
        for offset in (0.0, 1.0, 5.0)
    ]
    (found,) = merged(SQL, sites)
    # By hand: 750 within the sites and 14,000 between them. (DuckDB's own answer is off by 4e-8.)
    assert found["v"] == pytest.approx(14_750 / 2_999, rel=1e-12)


def household(sector: str, load: float, units: int = 3) -> list[tuple[Any, ...]]:
    return [(f"H{unit}", sector, load, 1.0) for unit in range(units) for _ in range(2)]


def test_the_result_says_which_groups_sites_withheld() -> None:
    sites = [
        site(household("open", 1.0) + household("mixed", 1.0) + household("closed", 1.0, units=1)),
        site(household("open", 3.0) + household("mixed", 3.0, units=1)),
    ]
    found = merged(
        f"SELECT sector, avg(load_kw) AS m, count(*) AS n FROM load_profiles GROUP BY 1{ORDER}", sites
    )
    assert found == [
        {"sector": "closed", "m": None, "n": None, "sites": 0, "status": "suppressed"},
        {"sector": "mixed", "m": 1.0, "n": 6, "sites": 1, "status": "partly suppressed"},
        {"sector": "open", "m": 2.0, "n": 12, "sites": 2, "status": "released"},
    ]


def test_of_the_sites_highest_and_lowest_steps_the_outermost_is_taken() -> None:
    sites = [site(household("a", 1.2)), site(household("a", 7.7)), site(household("a", 3.0))]
    (found,) = merged("SELECT max(load_kw) AS high, min(load_kw) AS low FROM load_profiles", sites)
    assert (found["high"], found["low"], found["sites"]) == (7.5, 1.5, 3)


def test_the_limit_is_applied_to_the_merged_result_only() -> None:
    sites = [
        site(household("a", 1.0) + household("b", 5.0)),
        site(household("b", 5.0) + household("c", 4.0)),
    ]
    sql = "SELECT sector, sum(load_kw) AS s FROM load_profiles GROUP BY 1 ORDER BY s DESC LIMIT 2"
    assert [(group["sector"], group["s"]) for group in merged(sql, sites)] == [("b", 60.0), ("c", 24.0)]


def test_unknown_values_sort_last_unless_asked_otherwise() -> None:
    sites = [site(household("a", 1.0, units=1) + household("b", 5.0) + household("c", 2.0))]
    for ordering, expected in [("s", "cba"), ("s DESC", "bca"), ("s NULLS FIRST", "acb"), ("1 DESC", "cba")]:
        sql = f"SELECT sector, sum(load_kw) AS s FROM load_profiles GROUP BY 1 ORDER BY {ordering}"
        assert "".join(group["sector"] for group in merged(sql, sites)) == expected


def partial(**changes: list[Any]) -> pa.Table:
    columns = {"key_0": ["a"], "status": ["released"], "units": [5], "rows": [9], "n_0": [9], "sum_0": [1.0]}
    return pa.table({**columns, **changes})


@pytest.mark.parametrize(
    "bad",
    [
        partial().drop_columns(["units"]),
        partial().append_column("profile", pa.array(["H0"])),
        partial(status=["open"]),
        partial(sum_0=[math.nan]),
        partial(sum_0=pa.array([None], pa.float64())),
        partial(n_0=[0]),
        partial(rows=pa.array([None], pa.int64())),
        pa.concat_tables([partial(), partial()]),
        partial(key_0=[3]),
    ],
)
def test_a_site_whose_answer_does_not_fit_the_plan_is_named(bad: pa.Table) -> None:
    plan = plan_query(
        "SELECT sector, avg(load_kw) FROM load_profiles GROUP BY 1", table="load_profiles", columns=COLUMNS
    )
    with pytest.raises(PartialsInvalidError):
        merge_partials(plan, {"did:web:good": partial(), "did:web:bad": bad})


def test_without_an_answer_there_is_no_result() -> None:
    plan = plan_query("SELECT count(*) FROM load_profiles", table="load_profiles", columns=COLUMNS)
    with pytest.raises(PartialsInvalidError):
        merge_partials(plan, {})
