"""What an attacker sends as a query, and what the attacker sees.

Three walls, each attacked alone: the gate, the locked engine, the sandboxed child.
"""
# ruff: noqa: S608 - the statements are the tests' own, and some are meant to be hostile

import asyncio
import contextlib
import hashlib
import json
import os
import random
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.model import Column, ColumnRole
from connector.adapters.duckdb_queries import DuckdbQueries, QueryFailedError, QueryTimeoutError
from connector.adapters.masking import redacted_batch, redacted_schema
from connector.adapters.numbering import Numbering
from connector.queries.decompose import site_statement, withhold
from connector.queries.errors import REFUSALS, QueryRefusedError
from connector.queries.gate import plan_query
from connector.queries.merge import merge_partials
from connector.queries.permitted import permitted_columns, projected_columns
from connector.sandbox import memory, query_program
from connector.sandbox.launch import Sandbox, SandboxUnavailableError
from policies.model import Operator
from policies.restrictions import QueryRestrictions
from policies.row_filters import RowFilter

COLUMNS = (
    Column("profile", "string", ColumnRole.UNIT, {}),
    Column("sector", "string", ColumnRole.DIMENSION, {}),
    Column("ts", "timestamp[us, tz=UTC]", ColumnRole.TIME, {}),
    Column("load_kw", "double", ColumnRole.MEASURE, {}, "kW", 0.05),
)
LIMITS = QueryRestrictions(None, "profile", minimum_units=5, minimum_rows=10, maximum_result_rows=1000)
NEARLY_EVERYTHING = replace(LIMITS, minimum_units=2, minimum_rows=2)
SECRET = "SECRET-4711"

# The first wall: hostile_statements.jsonl, one attack per line: what it tries, the statement (long ones as
# pieces, each with how often it comes), and the code of the reason for which it is turned away.


def _corpus() -> list[tuple[str, str]]:
    lines = (Path(__file__).parent / "hostile_statements.jsonl").read_text(encoding="utf-8").splitlines()
    attacks = [json.loads(line) for line in lines]
    return [(_written(attack["statement"]), attack["refused"]) for attack in attacks]


def _written(statement: str | list[tuple[str, int]]) -> str:
    return statement if isinstance(statement, str) else "".join(text * times for text, times in statement)


ATTACKS = _corpus()


def test_the_corpus_is_large_and_every_reason_is_one_that_can_be_told() -> None:
    assert len({sql for sql, _ in ATTACKS}) == len(ATTACKS) >= 150
    assert {code for _, code in ATTACKS} <= set(REFUSALS)


@pytest.mark.parametrize(("sql", "code"), ATTACKS, ids=[sql[:60] for sql, _ in ATTACKS])
def test_the_gate_turns_the_attack_away_and_says_why(sql: str, code: str) -> None:
    with pytest.raises(QueryRefusedError) as refused:
        plan_query(sql, table="load_profiles", columns=COLUMNS)
    assert refused.value.code == code


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda raw: raw.decode("latin-1")))
def test_noise_is_refused_and_nothing_else_happens(noise: str) -> None:
    with pytest.raises(QueryRefusedError):
        plan_query(noise, table="load_profiles", columns=COLUMNS)


WORDS = """
SELECT FROM WHERE GROUP BY ALL ORDER LIMIT load_profiles profile sector ts load_kw count(*) sum( avg( max(
hour( ) ( , . * ; = <> < IN BETWEEN AND OR NOT - 1 2 'a' '2016-01-01' AS x "profile" :: date CASE WHEN
UNION JOIN HAVING OVER FILTER [ ] { } -- /* */ $1 ? @ NULL IS LIKE INTERVAL CAST( EXISTS( ROLLUP( t(a)
read_csv( read_parquet( read_text( glob( sniff_csv( query( COPY ATTACH LOAD '/etc/passwd' '/proc/self/environ'
"/etc/passwd" 'https://attacker.example/x.csv'
"""
FILE_FUNCTIONS = ("read_", "glob(", "sniff_", "query(", "copy", "attach", "load ")
words = st.sampled_from(WORDS.split())


@settings(max_examples=500, deadline=None)
@given(st.lists(words, max_size=60))
def test_any_row_of_words_is_a_plan_or_a_refusal_and_never_a_crash(found: list[str]) -> None:
    sql = "SELECT count(*) FROM load_profiles " + " ".join(found)
    with contextlib.suppress(QueryRefusedError):
        plan = plan_query(sql, table="load_profiles", columns=COLUMNS)
        assert "profile" not in {key.column for key in plan.keys}
        assert {aggregate.column for aggregate in plan.aggregates} <= {None, "load_kw"}
        statement = site_statement(plan, LIMITS, COLUMNS)
        # A path may be compared with, as any text; it stands nowhere else.
        assert not any(word in _without_texts(statement).lower() for word in (*FILE_FUNCTIONS, "passwd"))


def _without_texts(statement: str) -> str:
    return re.sub(r"'(?:[^']|'')*'", "''", statement)


HIDDEN = Column("salary", "double", ColumnRole.MEASURE, {}, step=1.0)
WITHHELD = replace(LIMITS, denied=("salary",))
figures_of_anything = st.lists(
    st.sampled_from(["sum", "avg", "max", "min", "stddev"]).flatmap(
        lambda name: st.sampled_from(["load_kw", "salary", "SALARY", '"salary"', "load_profiles.salary"]).map(
            lambda column: f"{name}({column})"
        )
    ),
    min_size=1,
    max_size=4,
    unique=True,
)


@settings(max_examples=200, deadline=None)
@given(
    figures_of_anything,
    st.sampled_from(["", " WHERE salary > 1", " AS l(salary, sector)", " GROUP BY salary"]),
)
def test_a_withheld_column_is_in_no_plan_and_in_no_projection(figures: list[str], rest: str) -> None:
    columns = permitted_columns((*COLUMNS, HIDDEN), WITHHELD)
    assert "salary" not in projected_columns((*COLUMNS, HIDDEN), WITHHELD)
    sql = f"SELECT {', '.join(figures)} FROM load_profiles{rest}"
    try:
        plan = plan_query(sql, table="load_profiles", columns=columns)
    except QueryRefusedError as refused:
        reason = dict(refused.reason)
    else:
        assert plan.used_columns <= {"load_kw"}
        assert "salary" not in site_statement(plan, WITHHELD, (*COLUMNS, HIDDEN))
        return
    assert "salary" in sql.lower()
    assert "salary" not in str(reason)


def test_the_deepest_statement_that_is_let_through_leaves_half_of_the_stack() -> None:
    condition = "hour(ts) = 1"
    for _ in range(11):
        condition = f"NOT ({condition})"
    sql = f"SELECT count(*) FROM load_profiles WHERE {condition}"

    def deeper(frames: int) -> object:
        if frames:
            return deeper(frames - 1)
        return plan_query(sql, table="load_profiles", columns=COLUMNS)

    assert deeper(400)


def test_the_clients_text_never_reaches_the_engine() -> None:
    sql = (
        "SELECT /* c0mment */ sector AS k1, count(*) AS n1 FROM load_profiles AS t4ble -- c0mment\n"
        "WHERE t4ble.sector IN ('v4lue', '''); DROP VIEW load_profiles; --') GROUP BY k1 ORDER BY n1 LIMIT 77"
    )
    plan = plan_query(sql, table="load_profiles", columns=COLUMNS)
    statement = site_statement(plan, LIMITS, COLUMNS, numbered=True)
    assert not any(text in statement for text in ("c0mment", "t4ble", "k1", "n1", "77"))
    assert "('v4lue', '''); DROP VIEW load_profiles; --')" in statement
    assert len(duckdb.extract_statements(statement)) == 1


# What the gate lets through, answered by the real engine.

UNITS = [f"{SECRET}-{number:02d}" for number in range(12)]
START = datetime(2016, 1, 1, tzinfo=UTC)


def _rows() -> list[tuple[str, str, datetime, float | None]]:
    # Fixed data: small and large groups, gaps, and one unit that towers over the rest.
    chance = random.Random(4711)  # noqa: S311 - the same rows in every run
    rows = []
    for _ in range(900):
        unit = int(abs(chance.gauss(0, 5))) % len(UNITS)
        sector = chance.choice("aaaaaabbbc") if unit < 9 else "d"
        when = START + timedelta(minutes=15 * chance.randrange(96 * 90))
        # In sector c two units alone have values: many rows, but few units behind every figure.
        gap = chance.random() < 0.2 or (sector == "c" and unit > 1)
        load = None if gap else chance.random() * (500 if unit == 7 else 5)
        rows.append((UNITS[unit], sector, when, load))
    return rows


ROWS = _rows()
TABLE = pa.table(
    {
        "profile": [row[0] for row in ROWS],
        "sector": [row[1] for row in ROWS],
        "ts": pa.array([row[2] for row in ROWS], pa.timestamp("us", tz="UTC")),
        "load_kw": pa.array([row[3] for row in ROWS], pa.float64()),
    }
)

Row = tuple[str, str, datetime, float | None]
KEYS: dict[str, Callable[[Row], object]] = {
    "sector": lambda row: row[1],
    "hour(ts)": lambda row: row[2].hour,
    "dayofweek(ts)": lambda row: row[2].isoweekday() % 7,
    "month(ts)": lambda row: row[2].month,
    "date_trunc('day', ts)": lambda row: row[2].date(),
}
CONDITIONS: dict[str, Callable[[Row], bool]] = {
    "sector = 'a'": lambda row: row[1] == "a",
    "sector IN ('b', 'd')": lambda row: row[1] in "bd",
    "hour(ts) BETWEEN 3 AND 5": lambda row: 3 <= row[2].hour <= 5,
    "13 <= hour(ts)": lambda row: row[2].hour >= 13,
    "ts >= '2016-02-01'": lambda row: row[2] >= datetime(2016, 2, 1, tzinfo=UTC),
    "ts < TIMESTAMP '2016-01-01 06:00:00'": lambda row: row[2] < datetime(2016, 1, 1, 6, tzinfo=UTC),
    "dayofweek(ts) <> 0": lambda row: row[2].isoweekday() % 7 != 0,
}
EVIL_KEYS = [
    "profile",
    "load_kw",
    "ts",
    "minute(ts)",
    "rowid",
    "lower(profile)",
    "'x'",
    "date_trunc('minute', ts)",
    "read_text('/etc/passwd')",
    "'/etc/passwd'",
]
EVIL_CONDITIONS = [
    f"profile = '{UNITS[7]}'",
    "load_kw > 400",
    "rowid = 3",
    "true",
    "profile IS NULL",
    "1 = 1",
    "sector IN (SELECT content FROM read_text('/etc/passwd'))",
    "sector = read_text('/etc/passwd')",
]
FIGURES = [
    "count(*)",
    "sum(load_kw)",
    "avg(load_kw)",
    "var_samp(load_kw)",
    "stddev(load_kw)",
    "max(load_kw)",
    "min(load_kw)",
]
EVIL_FIGURES = [
    "max(profile)",
    "list(load_kw)",
    "max(load_kw, 3)",
    "first(profile)",
    "sum(load_kw + 1)",
    "max(ts)",
    "max(read_text('/etc/passwd'))",
    "count(read_csv('/etc/passwd'))",
    "getenv('HOME')",
]
EVIL_SOURCES = [
    "read_csv('/etc/passwd')",
    "read_parquet('/etc/passwd') AS load_profiles",
    "'/etc/passwd'",
    "glob('/**') load_profiles",
    "load_profiles, read_text('/etc/passwd')",
    '"/etc/passwd"',
]

Condition = tuple[str, Callable[[Row], bool] | None]


def _joined(left: Condition, right: Condition, word: str) -> Condition:
    (text, first), (other, second) = left, right
    sql = f"({text}) {word} ({other})"
    if first is None or second is None:
        return sql, None
    if word == "AND":
        return sql, lambda row: first(row) and second(row)
    return sql, lambda row: first(row) or second(row)


def _negated(inner: Condition) -> Condition:
    text, predicate = inner
    return f"NOT ({text})", None if predicate is None else lambda row: not predicate(row)


conditions: st.SearchStrategy[Condition] = st.recursive(
    st.sampled_from([*CONDITIONS.items()] * 3 + [(text, None) for text in EVIL_CONDITIONS]),
    lambda inner: (
        st.builds(_joined, inner, inner, st.sampled_from(["AND", "OR"])) | st.builds(_negated, inner)
    ),
    max_leaves=4,
)
statements = st.tuples(
    st.lists(st.sampled_from([*KEYS] * 3 + EVIL_KEYS), max_size=3, unique=True),
    st.lists(st.sampled_from(FIGURES * 4 + EVIL_FIGURES), min_size=1, max_size=3, unique=True),
    st.none() | conditions,
    st.sampled_from(["ALL", "names", "numbers"]),
)


@pytest.fixture(scope="module")
def locked_engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with query_program.prepare(1, 512) as engine:
        numbering = Numbering(TABLE.schema, frozenset())
        numbered = pa.Table.from_batches([numbering.batch(batch) for batch in TABLE.to_batches()])
        engine.register("load_profiles", query_program.with_numbers(numbered))
        query_program.lock(engine, 60)
        yield engine


def _statement(keys: list[str], figures: list[str], condition: Condition | None, style: str) -> str:
    where = f" WHERE {condition[0]}" if condition else ""
    grouping = {
        "ALL": "ALL",
        "names": ", ".join(keys),
        "numbers": ", ".join(map(str, range(1, len(keys) + 1))),
    }
    group = f" GROUP BY {grouping[style]}" if keys else ""
    return f"SELECT {', '.join([*keys, *figures])} FROM load_profiles{where}{group}"


@settings(max_examples=250, deadline=None)
@given(statements)
def test_whatever_the_gate_lets_through_shows_no_small_group_and_no_unit(
    locked_engine: duckdb.DuckDBPyConnection,
    statement: tuple[list[str], list[str], Condition | None, str],
) -> None:
    keys, figures, condition, _ = statement
    sql = _statement(*statement)
    try:
        plan = plan_query(sql, table="load_profiles", columns=COLUMNS)
    except QueryRefusedError:
        evil = {*EVIL_KEYS, *EVIL_FIGURES} & {*keys, *figures}
        assert evil or (condition and condition[1] is None), f"a lawful query was refused: {sql}"
        return
    assert set(keys) <= set(KEYS), sql
    assert set(figures) <= set(FIGURES), sql
    predicate = condition[1] if condition else lambda _: True
    assert predicate is not None, sql

    partials = query_program.run(locked_engine, site_statement(plan, LIMITS, COLUMNS, numbered=True))
    result = merge_partials(plan, {"did:web:site": withhold(plan, LIMITS, partials)})

    assert SECRET not in repr(partials.to_pydict()) + repr(result.to_pydict())
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in ROWS:
        if predicate(row):
            groups.setdefault(tuple(KEYS[key](row) for key in keys), []).append(row)
    measured = any("load_kw" in figure for figure in figures)
    for group in partials.to_pylist():
        members = groups.get(tuple(group[f"key_{index}"] for index in range(len(keys))), [])
        counted = [row for row in members if row[3] is not None] if measured else members
        large = len({row[0] for row in counted}) >= 5 and len(counted) >= 10
        assert group["status"] == ("released" if large else "suppressed"), sql
        if not large:
            assert all(value is None for name, value in group.items() if name[:3] not in {"key", "sta"})
        _check_extremes(group, counted)


@settings(max_examples=150, deadline=None)
@given(statements, st.sampled_from(EVIL_SOURCES))
def test_no_file_and_no_function_stands_in_for_the_table(
    statement: tuple[list[str], list[str], Condition | None, str], source: str
) -> None:
    sql = _statement(*statement).replace(" FROM load_profiles", f" FROM {source}", 1)
    with pytest.raises(QueryRefusedError) as refused:
        plan_query(sql, table="load_profiles", columns=COLUMNS)
    assert "passwd" not in str(dict(refused.value.reason))


FILTERS: dict[RowFilter, Callable[[Row], bool]] = {
    RowFilter("sector", Operator.NEQ, ("a",)): lambda row: row[1] != "a",
    RowFilter("sector", Operator.IS_ANY_OF, ("a", "d")): lambda row: row[1] in "ad",
    RowFilter("sector", Operator.IS_NONE_OF, ("b", "c", "d")): lambda row: row[1] == "a",
    RowFilter("profile", Operator.NEQ, (UNITS[7],)): lambda row: row[0] != UNITS[7],
    RowFilter("ts", Operator.GTEQ, ("2016-02-01T00:00:00Z",)): lambda row: (
        row[2] >= datetime(2016, 2, 1, tzinfo=UTC)
    ),
    RowFilter("load_kw", Operator.LT, (3.0,)): lambda row: row[3] is not None and row[3] < 3.0,
}


@pytest.fixture(scope="module")
def filtered_engines() -> Iterator[dict[RowFilter, duckdb.DuckDBPyConnection]]:
    """An engine per row filter, over what the connector's own projection leaves."""
    with contextlib.ExitStack() as engines:
        yield {one: engines.enter_context(_engine_over(one)) for one in FILTERS}


@contextlib.contextmanager
def _engine_over(one: RowFilter) -> Iterator[duckdb.DuckDBPyConnection]:
    left = redacted_schema(TABLE.schema, TABLE.column_names, [])
    numbering = Numbering(left, frozenset())
    batches = [numbering.batch(redacted_batch(batch, left, [], [one], b"")) for batch in TABLE.to_batches()]
    with query_program.prepare(1, 512) as engine:
        engine.register("load_profiles", query_program.with_numbers(pa.Table.from_batches(batches)))
        query_program.lock(engine, 60)
        yield engine


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(FILTERS)), statements)
def test_a_row_that_a_filter_hides_counts_in_no_answer(
    filtered_engines: dict[RowFilter, duckdb.DuckDBPyConnection],
    hidden_by: RowFilter,
    statement: tuple[list[str], list[str], Condition | None, str],
) -> None:
    keys, figures, condition, _ = statement
    try:
        plan = plan_query(_statement(*statement), table="load_profiles", columns=COLUMNS)
    except QueryRefusedError:
        return
    predicate = condition[1] if condition else lambda _: True
    assert predicate is not None
    partials = query_program.run(
        filtered_engines[hidden_by], site_statement(plan, NEARLY_EVERYTHING, COLUMNS, numbered=True)
    )

    members: dict[tuple[object, ...], list[Row]] = {}
    for row in ROWS:
        if FILTERS[hidden_by](row) and predicate(row):
            members.setdefault(tuple(KEYS[key](row) for key in keys), []).append(row)
    shown = {
        tuple(group[f"key_{index}"] for index in range(len(keys))): group["rows"]
        for group in partials.to_pylist()
        if group["status"] == "released"
    }
    assert set(shown) <= set(members)
    if not any("load_kw" in figure for figure in figures):
        large = {key: rows for key, rows in members.items() if len({row[0] for row in rows}) > 1}
        assert shown == {key: len(rows) for key, rows in large.items()}


def _check_extremes(group: dict[str, Any], counted: list[Row]) -> None:
    if group.get("high_0") is not None:
        assert len({row[0] for row in counted if (row[3] or 0) >= group["high_0"]}) >= 5
    if group.get("low_0") is not None:
        assert len({row[0] for row in counted if (row[3] or 0) <= group["low_0"]}) >= 5


# The second wall: the engine, as if the gate and our own statement were not there.

ENGINE_REFUSES = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_parquet('/etc/passwd')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/**')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'https://attacker.example/x.parquet'",
    "SELECT * FROM parquet_metadata('/etc/passwd')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "SELECT * FROM query_table('/etc/passwd')",
    "SELECT getenv('HOME')",
    "SELECT * FROM TABLE_OF_THE_TEST",
    "COPY load_profiles TO '/tmp/allmende-escape.csv'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "EXPORT DATABASE '/tmp/allmende-escape'",
    "ATTACH '/tmp/allmende-escape.db'",
    "ATTACH ':memory:' AS m",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '1TB'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET threads",
    "PRAGMA enable_profiling",
    "PRAGMA database_list",
    "CREATE TABLE t AS SELECT 1",
    "CREATE PERSISTENT SECRET s (TYPE s3)",
    "DROP VIEW load_profiles",
    "SET VARIABLE x = 1",
    "CHECKPOINT",
    "EXPLAIN ANALYZE SELECT 1",
    "SELECT 1; SELECT 2",
    "",
    "SELECT (" + "(" * 500 + "1" + ")" * 500 + ")",
]
TABLE_OF_THE_TEST = pa.table({"secret": [SECRET]})


@pytest.mark.parametrize("statement", ENGINE_REFUSES, ids=[statement[:60] for statement in ENGINE_REFUSES])
def test_the_locked_engine_reads_no_file_and_changes_nothing(
    locked_engine: duckdb.DuckDBPyConnection, statement: str
) -> None:
    with pytest.raises((duckdb.Error, query_program.QueryError)):
        query_program.run(locked_engine, statement)
    assert not list(Path("/tmp").glob("allmende-escape*"))  # noqa: S108 - where the attack would write


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_views()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM duckdb_databases()",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM duckdb_logs()",
        "SELECT current_setting('temp_directory')",
    ],
)
def test_what_the_engine_tells_about_itself_names_nothing_of_this_machine(
    locked_engine: duckdb.DuckDBPyConnection, statement: str
) -> None:
    told = repr(query_program.run(locked_engine, statement).to_pylist())
    assert str(Path.cwd()) not in told
    assert SECRET not in told


def test_the_engine_holds_only_the_permitted_projection(locked_engine: duckdb.DuckDBPyConnection) -> None:
    found = query_program.run(locked_engine, "SELECT table_name FROM information_schema.tables")
    assert found.to_pylist() == [{"table_name": "load_profiles"}]


# The third wall: the child process. Each test starts real sandboxed children.


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return Sandbox.probe()
    except SandboxUnavailableError as error:
        pytest.skip(f"no sandbox on this machine: {error}")


@pytest.fixture
def projection(tmp_path: Path) -> Path:
    path = tmp_path / "projection.arrow"
    with pa.ipc.new_file(path, TABLE.schema) as writer:
        writer.write_table(TABLE)
    path.chmod(0o600)
    return path


@pytest.fixture
async def queries(sandbox: Sandbox) -> AsyncIterator[DuckdbQueries]:
    engine = DuckdbQueries(sandbox)
    yield engine
    await engine.aclose()


async def _seen(queries: DuckdbQueries, projection: Path, statement: str, seconds: float = 20.0) -> str:
    """Give everything that the attacker sees."""
    try:
        found = await queries.run(
            statement, table="load_profiles", projection=projection, timeout_seconds=seconds
        )
    except QueryTimeoutError:
        return "timeout"
    except QueryFailedError as error:
        return f"failed: {error}"
    return repr(found.to_pylist())


def _children() -> set[int]:
    return set(memory.children_of(os.getpid()))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT CAST(profile AS INTEGER) FROM load_profiles",
        "SELECT error(profile) FROM load_profiles",
        "SELECT profil FROM load_profiles",
        "SELECT * FROM read_text('/proc/self/environ')",
    ],
)
async def test_the_engines_errors_carry_no_value_and_no_name(
    queries: DuckdbQueries, projection: Path, statement: str
) -> None:
    seen = await _seen(queries, projection, statement)
    assert seen == "failed: The query could not be answered by the engine. The provider's log says more."


CROSS_JOIN = ", ".join(f"load_profiles {alias}" for alias in "abcd")


@pytest.mark.parametrize(
    "bomb",
    [
        "SELECT length(repeat('x', 2000000000))",
        "SELECT length(repeat(repeat('x', 100000), 100000))",
        "SELECT list_sum(range(2000000000))",
        f"SELECT sum(a.load_kw * b.load_kw * c.load_kw * d.load_kw) FROM {CROSS_JOIN}",
        f"SELECT a.profile FROM {CROSS_JOIN}",
    ],
)
async def test_a_bomb_ends_its_child_and_the_next_query_is_answered(
    queries: DuckdbQueries, projection: Path, bomb: str
) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    seen = await _seen(queries, projection, bomb, seconds=4.0)
    assert seen == "timeout" or seen.startswith("failed: The query")
    assert SECRET not in seen
    assert loop.time() - started < 8.0
    assert await _seen(queries, projection, "SELECT count(*) AS n FROM load_profiles") == "[{'n': 900}]"


async def test_the_memory_of_a_child_is_bounded(sandbox: Sandbox, projection: Path) -> None:
    limit = 1 << 30
    queries = DuckdbQueries(sandbox, warm=0, memory_bytes=limit)
    for bomb in ("SELECT length(repeat('x', 2000000000))", "SELECT list_sum(range(2000000000))"):
        seen, most = await _watched(queries, projection, bomb)
        assert seen.startswith(("failed", "timeout"))
        assert 0 < most <= limit
    await queries.aclose()


async def _watched(queries: DuckdbQueries, projection: Path, statement: str) -> tuple[str, int]:
    """Give what the attacker sees, and the most memory that the child held."""
    most = 0
    asking = asyncio.create_task(_seen(queries, projection, statement, seconds=10.0))
    while not asking.done():
        most = max(most, *(memory.private_bytes(child) for child in _children()), 0)
        await asyncio.sleep(0.005)
    return await asking, most


def _of_mebibytes(size: int) -> str:
    return f"SELECT repeat('x', 1048576) AS text FROM range({size})"


def test_the_engine_does_not_count_what_its_results_need() -> None:
    with query_program.prepare(1, 32) as engine:
        query_program.lock(engine, 60)
        assert query_program.run(engine, _of_mebibytes(128)).nbytes > 128 << 20


async def test_the_operating_system_stops_what_the_engine_does_not_count(
    sandbox: Sandbox, projection: Path
) -> None:
    limit = 1 << 30
    queries = DuckdbQueries(sandbox, warm=0, memory_bytes=limit)
    seen, most = await _watched(queries, projection, _of_mebibytes(4096))
    assert seen == "failed: The query could not be answered: it needs too much memory. Ask for fewer groups."
    # The engine's own limit is a quarter, and it was passed.
    assert limit // 4 < most <= limit
    assert await _seen(queries, projection, "SELECT count(*) AS n FROM load_profiles") == "[{'n': 900}]"
    await queries.aclose()


async def test_no_child_outlives_its_query_or_its_engine(sandbox: Sandbox, projection: Path) -> None:
    before = _children()
    queries = DuckdbQueries(sandbox)
    for statement in ("SELECT 1", "SELECT length(repeat('x', 2000000000))", "nonsense"):
        await _seen(queries, projection, statement, seconds=2.0)
    assert len(_children() - before) <= 1
    await queries.aclose()
    assert _children() == before


async def test_a_query_that_is_cancelled_takes_its_child_along(sandbox: Sandbox, projection: Path) -> None:
    before = _children()
    queries = DuckdbQueries(sandbox, warm=0)
    bomb = f"SELECT sum(a.load_kw + b.load_kw + c.load_kw + d.load_kw) FROM {CROSS_JOIN}"
    task = asyncio.create_task(_seen(queries, projection, bomb))
    await asyncio.sleep(2.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await queries.aclose()
    assert _children() == before


async def test_the_projection_stays_as_it_is(queries: DuckdbQueries, projection: Path) -> None:
    before = hashlib.sha256(projection.read_bytes()).digest()  # noqa: ASYNC240 - a small file of the test's
    for statement in (
        "DELETE FROM load_profiles",
        "UPDATE load_profiles SET load_kw = 0",
        "DROP VIEW load_profiles",
    ):
        assert (await _seen(queries, projection, statement)).startswith("failed")
    assert hashlib.sha256(projection.read_bytes()).digest() == before  # noqa: ASYNC240 - as above
