"""Numbered texts change no answer: every statement is run over both forms of the same rows."""
# ruff: noqa: S608 - the statements are the tests' own

import math
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
from connector.adapters.numbering import Numbering
from connector.queries.decompose import site_statement, withhold
from connector.queries.gate import plan_query
from connector.queries.history import Answered, atoms_statement, protect
from connector.queries.merge import merge_partials
from connector.queries.noisy import bounded_statement, noisy_question
from connector.queries.writing import number_name
from connector.sandbox import query_program
from policies.dominance import DominanceRule
from policies.privacy import NoiseTerms, PrivacyDescription
from policies.restrictions import QueryRestrictions

COLUMNS = (
    Column("profile", "string", ColumnRole.UNIT, {}),
    Column("sector", "string", ColumnRole.DIMENSION, {}),
    Column("place", "large_string", ColumnRole.DIMENSION, {}),
    Column("level", "int64", ColumnRole.DIMENSION, {}),
    Column("ts", "timestamp[us, tz=UTC]", ColumnRole.TIME, {}),
    Column("load_kw", "double", ColumnRole.MEASURE, {}, "kW", 0.25),
)
TYPES = (
    pa.string(),
    pa.string(),
    pa.large_string(),
    pa.int64(),
    pa.timestamp("us", tz="UTC"),
    pa.float64(),
)
ROWS_COUNTED = QueryRestrictions(None, None, 1, 2, 1000)
UNITS_COUNTED = replace(ROWS_COUNTED, group_unit="profile", minimum_units=2)
DOMINATED = replace(UNITS_COUNTED, dominance=(DominanceRule(1, 60), DominanceRule(2, 90)), p_percent=10)
WORDS = [
    "",
    " ",
    "a",
    "A",
    "b",
    "ä",
    "a\u0308",
    "Z",
    "ß",
    "日本",
    "🦉",
    "%",
    "_",
    "O'Neil",
    "released",
    "x" * 30,
]
Row = tuple[str | None, str | None, str | None, int | None, datetime | None, float | None]
ROWS = st.lists(
    st.tuples(
        st.none() | st.sampled_from(["", *(f"H{number}" for number in range(6))]),
        st.none() | st.sampled_from(WORDS),
        st.none() | st.sampled_from(WORDS[:6]),
        st.none() | st.integers(-1, 2),
        st.none() | st.builds(lambda hour: datetime(2016, 1, 1, hour, tzinfo=UTC), st.integers(0, 3)),
        # Quarters are added without rounding, in whatever order.
        st.none() | st.sampled_from([math.nan, math.inf]) | st.integers(-40, 40).map(lambda n: n / 4),
    ),
    max_size=60,
)
CONDITIONS = (
    "",
    "sector = 'a'",
    "sector <> 'a'",
    "sector < 'a'",
    "sector >= 'ä'",
    "sector IN ('', 'a', 'nowhere')",
    "NOT sector IN ('a', '日本')",
    "sector BETWEEN 'A' AND 'b' AND place <> ''",
    "place = 'a' OR level = 1",
    "ts >= '2016-01-01T02:00:00Z'",
)
KEYS = ("", "sector", "place", "level", "sector, place", "sector, hour(ts)", "level, sector", "hour(ts)")
FIGURES = "count(*) AS n, sum(load_kw) AS s, avg(load_kw) AS m, max(load_kw) AS top, min(load_kw) AS low"


def table_of(rows: Sequence[Row]) -> pa.Table:
    return pa.table(
        {
            column.name: pa.array([row[index] for row in rows], TYPES[index])
            for index, column in enumerate(COLUMNS)
        }
    )


def numbered_of(table: pa.Table) -> pa.Table:
    """The same table as the child gets it, in batches, of which all but the last hold two rows."""
    numbering = Numbering(table.schema, frozenset())
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.ipc.new_file(sink, numbering.schema, options=options) as writer:
        for batch in table.to_batches(max_chunksize=2):
            writer.write_batch(numbering.batch(batch))
    return query_program.with_numbers(pa.ipc.open_file(sink.getvalue()).read_all())


@cache
def engine() -> duckdb.DuckDBPyConnection:
    return query_program.prepare(threads=2, memory_mebibytes=256)


def run(statement: str, table: pa.Table) -> pa.Table:
    engine().register("t", table)
    found = engine().sql(statement).to_arrow_table()
    assert isinstance(found, pa.Table)
    return found


def grouped(keys: str, figures: str, condition: str) -> str:
    outputs = f"{keys}, {figures}" if keys else figures
    where = f" WHERE {condition}" if condition else ""
    return f"SELECT {outputs} FROM t{where}" + (f" GROUP BY {keys}" if keys else "")


@settings(max_examples=150, deadline=None)
@given(
    rows=ROWS,
    keys=st.sampled_from(KEYS),
    condition=st.sampled_from(CONDITIONS),
    limits=st.sampled_from([ROWS_COUNTED, UNITS_COUNTED, DOMINATED, replace(DOMINATED, rounding_base=3)]),
)
@example(rows=[], keys="sector", condition="", limits=UNITS_COUNTED)
@example(
    rows=[("H1", None, "a", 1, None, 1.0), ("H2", None, "a", 1, None, 2.0)] * 2,
    keys="sector, place",
    condition="",
    limits=UNITS_COUNTED,
)
def test_a_site_answers_the_same_and_so_does_the_merge(
    rows: list[Row], keys: str, condition: str, limits: QueryRestrictions
) -> None:
    plan = plan_query(grouped(keys, FIGURES, condition), table="t", columns=COLUMNS)
    table = table_of(rows)
    before = run(site_statement(plan, limits, COLUMNS), table)
    after = run(site_statement(plan, limits, COLUMNS, numbered=True), numbered_of(table))
    assert after.equals(before), (after, before)
    assert after.schema.equals(before.schema)
    left = [withhold(plan, limits, partials) for partials in (before, after)]
    merged = [merge_partials(plan, {"one": one, "two": left[0]}) for one in left]
    assert merged[0].equals(merged[1])


@settings(max_examples=40, deadline=None)
@given(ROWS, st.sampled_from([ROWS_COUNTED, UNITS_COUNTED]))
def test_a_spread_is_the_same_up_to_the_order_of_its_sums(rows: list[Row], limits: QueryRestrictions) -> None:
    sql = grouped("sector, place", "count(*) AS n, var_samp(load_kw) AS v", "")
    plan, table = plan_query(sql, table="t", columns=COLUMNS), table_of(rows)
    before = run(site_statement(plan, limits, COLUMNS), table).to_pylist()
    after = run(site_statement(plan, limits, COLUMNS, numbered=True), numbered_of(table)).to_pylist()
    for one, other in zip(before, after, strict=True):
        spread, same = one.pop("m2_0"), other.pop("m2_0")
        assert same == (spread if spread is None else pytest.approx(spread, rel=1e-9, abs=1e-9))
        assert one == other


@settings(max_examples=40, deadline=None)
@given(ROWS, st.sampled_from([ROWS_COUNTED, UNITS_COUNTED]))
def test_the_audit_of_earlier_answers_comes_to_the_same(rows: list[Row], limits: QueryRestrictions) -> None:
    plans = [
        plan_query(grouped(keys, "count(*) AS n", condition), table="t", columns=COLUMNS)
        for keys, condition in (("sector", ""), ("place", "sector <> 'a'"), ("", "level = 1"))
    ]
    answers = []
    for table in (table_of(rows), numbered_of(table_of(rows))):
        numbered = table.num_columns > len(COLUMNS)
        history: list[Answered] = []
        for plan in plans:
            partials = run(site_statement(plan, limits, COLUMNS, numbered=numbered), table)
            atoms = run(atoms_statement(plan, history, limits), table) if history else None
            try:
                _, told = protect(plan, limits, partials, history, atoms)
            except Exception as refused:  # noqa: BLE001 - a refusal is an answer, too
                answers.append(repr(refused))
            else:
                history.append(told)
                answers.append(repr((sorted(told.released, key=repr), sorted(told.withheld, key=repr))))
    assert answers[: len(plans)] == answers[len(plans) :]


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_what_noise_is_added_to_is_the_same(rows: list[Row]) -> None:
    limits = replace(UNITS_COUNTED, noise=NoiseTerms(Decimal("0.5"), Decimal(5)))
    description = PrivacyDescription(
        unit="profile",
        contribution_bound=2,
        epsilon_total=Decimal(10),
        bounds={"load_kw": (-5.0, 5.0)},
        values={"sector": ("", "a", "ä", "日本")},
    )
    plan = plan_query(grouped("sector", "count(*), sum(load_kw)", ""), table="t", columns=COLUMNS)
    statement = bounded_statement(noisy_question(plan, limits, description, COLUMNS)) + " ORDER BY ALL"
    assert run(statement, numbered_of(table_of(rows))).equals(run(statement, table_of(rows)))


MEANINGS = (
    "sector LIKE 'a%'",
    "sector LIKE '_'",
    "sector LIKE '\\%' ESCAPE '\\'",
    "sector = ''",
    "sector IS NULL",
    "sector IS DISTINCT FROM 'a'",
    "sector < place",
    "sector = place",
    "coalesce(sector, place, 'none')",
    "CASE WHEN sector > 'a' THEN sector ELSE place END",
    "upper(sector) || '-' || length(sector)",
    "hash(sector)",
    "typeof(sector) || typeof(place)",
    "min(sector) OVER () || max(place) OVER ()",
    "count(DISTINCT sector) OVER (PARTITION BY place)",
    "row_number() OVER (ORDER BY sector DESC NULLS FIRST, place, profile, level, ts, load_kw)",
    "(SELECT count(*) FROM t AS other WHERE other.sector = t.sector)",
    "sector IN (SELECT place FROM t)",
)


@pytest.mark.parametrize("meaning", MEANINGS)
@settings(max_examples=15, deadline=None)
@given(rows=ROWS)
def test_a_text_means_the_same_whether_numbered_or_not(meaning: str, rows: list[Row]) -> None:
    statement = f"SELECT profile, sector, place, {meaning} AS meant FROM t ORDER BY ALL"
    table = table_of(rows)
    before, after = run(statement, table), run(statement, numbered_of(table))
    assert after.schema.equals(before.schema)
    assert after.to_pylist() == before.to_pylist()


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_numbers_are_equal_where_texts_are_and_null_where_they_are(rows: list[Row]) -> None:
    table = numbered_of(table_of(rows))
    for column in COLUMNS[:4]:
        texts: list[Any] = table[column.name].to_pylist()
        numbers: list[Any] = table[number_name(column.name)].to_pylist()
        assert len({*zip(texts, numbers, strict=True)}) == len({*texts}) == len({*numbers})
        assert [text is None for text in texts] == [number is None for number in numbers]


def test_a_table_without_numbered_texts_has_the_columns_themselves_beside_them() -> None:
    table = table_of([("H1", "a", "b", 1, None, 0.5)])
    found = query_program.with_numbers(table)
    assert found.column_names == [*table.column_names, *map(number_name, table.column_names)]
    assert found["sector #"].equals(table["sector"])


def test_a_projection_with_a_name_of_the_engines_own_answers_nothing() -> None:
    with pytest.raises(query_program.QueryError, match="projection"):
        query_program.with_numbers(pa.table({"a": [1], "A #": [2]}))
