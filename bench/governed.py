"""What governing costs over many rows: 14 million, against plain DuckDB on the same rows.

The same rows are there as a Parquet file, as an Arrow file of plain texts, mapped into memory,
and as the projection that the connector makes of the Parquet file. Plain DuckDB reads each of
them, governed queries read the projection, all with two threads. The governed way is the gate,
the statement that it writes (which counts rows, and units where the agreement asks for that), a
sandboxed child that has loaded its libraries, and the checks of the result. The start of the
child and the making of the projection, which happens once, are stated by themselves.
"""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from bench.measuring import Table, milliseconds
from catalog.model import Column, ColumnRole
from connector.adapters.arrow_projections import ArrowProjections
from connector.adapters.duckdb_queries import DuckdbQueries
from connector.queries.decompose import withhold
from connector.queries.gate import plan_query
from connector.sandbox.launch import Sandbox
from connector.services.auditing import View, examine
from policies.dominance import DominanceRule
from policies.restrictions import QueryRestrictions

ROWS = 14_000_000
TIMES = 7
_UNITS, _BATCH, _THREADS = 400, 131_072, 2
_PAUSE = 1.5
"""Seconds in which the next sandboxed child loads its libraries."""
_SECTORS = ("household", "heat_pump", "charging_point", "commerce", "base_load", "industry")
_COLUMNS = (
    Column("profile", "string", ColumnRole.UNIT, {}),
    Column("sector", "string", ColumnRole.DIMENSION, {}),
    Column("ts", "timestamp[us, tz=UTC]", ColumnRole.TIME, {}),
    Column("load_kw", "float", ColumnRole.MEASURE, {}, "kW", 0.05),
)
_SCHEMA = pa.schema(
    [
        ("profile", pa.string()),
        ("sector", pa.string()),
        ("ts", pa.timestamp("us", tz="UTC")),
        ("load_kw", pa.float32()),
    ]
)
_LIMITS = QueryRestrictions(None, None, 1, 10, 10_000)
_BY_UNIT = replace(_LIMITS, group_unit="profile", minimum_units=5)
_RESTRICTIONS = {
    "rows counted": _LIMITS,
    "units counted": _BY_UNIT,
    "units counted, dominance": replace(_BY_UNIT, dominance=(DominanceRule(2, 90),), p_percent=10),
}
_STATEMENTS = {
    "By sector and hour, 14 million rows": (
        "SELECT sector, hour(ts) AS h, avg(load_kw) AS mean, max(load_kw) AS top "
        "FROM load_profiles GROUP BY ALL"
    ),
    "By sector, 14 million rows": (
        "SELECT sector, avg(load_kw) AS mean, count(*) AS n FROM load_profiles GROUP BY ALL"
    ),
}
_ARROW, _PARQUET = "Arrow file of plain texts", "Parquet file"


@dataclass(frozen=True, slots=True)
class _Rows:
    """The same rows, three times."""

    arrow: Path
    parquet: Path
    projection: Path


def measure() -> list[Table]:
    """Each statement, plain and governed."""
    with tempfile.TemporaryDirectory(prefix="allmende-bench-") as directory:
        return asyncio.run(_tables(Path(directory)))


async def _tables(directory: Path) -> list[Table]:
    arrow, parquet = directory / "load_profiles.arrow", directory / "load_profiles.parquet"
    _write(arrow, parquet)
    began = time.perf_counter()
    projection = await ArrowProjections(directory / "projections").materialise(
        parquet, [column.name for column in _COLUMNS], "digest", numbered=True
    )
    made = time.perf_counter() - began
    note = f"The projection, made once of the Parquet file: {milliseconds(made)}."
    rows = _Rows(arrow, parquet, projection)
    return [await _compared(rows, title, statement, note) for title, statement in _STATEMENTS.items()]


def _write(arrow: Path, parquet: Path) -> None:
    """Write rows whose units, sectors and values are drawn, and whose times advance."""
    chance = np.random.default_rng(14)
    names, sectors = pa.array([f"profile-{unit:03d}" for unit in range(_UNITS)]), pa.array(_SECTORS)
    with pa.ipc.new_file(arrow, _SCHEMA) as writer:
        for first in range(0, ROWS, _BATCH):
            count = min(_BATCH, ROWS - first)
            units = chance.integers(0, _UNITS, count)
            times = 1_451_606_400_000_000 + np.arange(first, first + count) * 2_250_000
            writer.write_batch(
                pa.record_batch(
                    [
                        names.take(pa.array(units)),
                        sectors.take(pa.array(units % len(_SECTORS))),
                        pa.array(times).cast(pa.timestamp("us", tz="UTC")),
                        pa.array(chance.random(count, dtype=np.float32) * 5),
                    ],
                    schema=_SCHEMA,
                )
            )
    pa.parquet.write_table(_mapped(arrow), parquet)


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


@contextlib.contextmanager
def _plain(rows: _Rows) -> Iterator[Mapping[str, duckdb.DuckDBPyConnection]]:
    """Plain DuckDB over each of the files."""
    with contextlib.ExitStack() as stack:
        engines = {name: stack.enter_context(duckdb.connect()) for name in (_ARROW, _PARQUET, "projection")}
        for engine in engines.values():
            engine.execute(f"SET threads = {_THREADS}")
            engine.execute("SET TimeZone = 'UTC'")
        engines[_ARROW].register("load_profiles", _mapped(rows.arrow))
        engines["projection"].register("load_profiles", _mapped(rows.projection))
        engines[_PARQUET].read_parquet(str(rows.parquet)).create_view("load_profiles")
        yield engines


async def _compared(rows: _Rows, title: str, statement: str, note: str) -> Table:
    engine = DuckdbQueries(Sandbox.probe(), threads=_THREADS)
    try:
        with _plain(rows) as plain:
            seconds = await _measured(statement, rows.projection, plain, engine)
    finally:
        await engine.aclose()
    bases = [statistics.median(seconds[f"plain DuckDB, {name}"]) for name in (_ARROW, _PARQUET)]
    table = []
    for name, measured in seconds.items():
        middle = statistics.median(measured)
        ratios = [f"{middle / base:.2f}" for base in bases]
        table.append([name, milliseconds(middle), milliseconds(min(measured)), *ratios])
    start = milliseconds(statistics.median(await _starts(rows.projection)))
    notes = [
        f"Medians of {TIMES}, in turns. The statement: `{statement}`.",
        f"Start of a child that did not wait, with its libraries: {start} more (median of 3).",
        note,
    ]
    return Table(title, ("query", "median", "fastest", "of plain, Arrow", "of plain, Parquet"), table, notes)


async def _measured(
    statement: str, projection: Path, plain: Mapping[str, duckdb.DuckDBPyConnection], engine: DuckdbQueries
) -> Mapping[str, list[float]]:
    """Take turns, so that what else runs on the machine meets all of them."""
    counting = statement.replace(" FROM ", ", count(DISTINCT profile) AS units FROM ")
    asked = {
        f"plain DuckDB, {name}{addition}": (one, text)
        for name, one in plain.items()
        for addition, text in (("", statement), (", with count(DISTINCT profile)", counting))
    }
    for one, text in asked.values():
        one.sql(text).to_arrow_table()
    seconds: dict[str, list[float]] = {}
    await engine.start()
    for _ in range(TIMES):
        for name, (one, text) in asked.items():
            elapsed = _timed(lambda one=one, text=text: one.sql(text).to_arrow_table())  # type: ignore[misc]
            seconds.setdefault(name, []).append(elapsed)
        for name, restrictions in _RESTRICTIONS.items():
            await asyncio.sleep(_PAUSE)
            elapsed = await _governed(statement, projection, restrictions, engine)
            seconds.setdefault(f"governed, {name}", []).append(elapsed)
    return seconds


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


async def _governed(
    statement: str, path: Path, restrictions: QueryRestrictions, engine: DuckdbQueries
) -> float:
    began = time.perf_counter()
    plan = plan_query(statement, table="load_profiles", columns=_COLUMNS)
    partials, _ = await examine(engine, View("load_profiles", _COLUMNS, restrictions, path), plan, ())
    answer = withhold(plan, restrictions, partials)
    elapsed = time.perf_counter() - began
    assert answer.num_rows >= len(_SECTORS), answer
    assert set(answer["status"].to_pylist()) == {"released"}, answer
    return elapsed


async def _starts(path: Path) -> list[float]:
    """Seconds of an empty query whose child starts with it."""
    engine = DuckdbQueries(Sandbox.probe(), warm=0, threads=_THREADS)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        await engine.run("SELECT 1", table="load_profiles", projection=path, timeout_seconds=30.0)
        seconds.append(time.perf_counter() - began)
    await engine.aclose()
    return seconds
