"""What governing costs over many rows: 14 million, against plain DuckDB on the same rows.

Both read the same Arrow file, mapped into memory, with two threads. The governed way is the
gate, the statement that it writes (which counts rows, and units where the agreement asks for
that), a sandboxed child that has loaded its libraries, and the checks of the result. The
start of the child is stated by itself: a connector keeps one waiting.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.ipc

from bench.measuring import Table, milliseconds
from catalog.model import Column, ColumnRole
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
_PLAIN, _COUNTING = "plain DuckDB", "plain DuckDB, with count(DISTINCT profile)"


def measure() -> list[Table]:
    """Each statement, plain and governed."""
    with tempfile.TemporaryDirectory(prefix="allmende-bench-") as directory:
        path = Path(directory) / "load_profiles.arrow"
        _write(path)
        return [asyncio.run(_compared(path, title, statement)) for title, statement in _STATEMENTS.items()]


def _write(path: Path) -> None:
    """Write rows whose units, sectors and values are drawn, and whose times advance."""
    chance = np.random.default_rng(14)
    names, sectors = pa.array([f"profile-{unit:03d}" for unit in range(_UNITS)]), pa.array(_SECTORS)
    with pa.ipc.new_file(path, _SCHEMA) as writer:
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


async def _compared(path: Path, title: str, statement: str) -> Table:
    with duckdb.connect() as plain:
        plain.execute(f"SET threads = {_THREADS}")
        plain.execute("SET TimeZone = 'UTC'")
        plain.register("load_profiles", pa.ipc.open_file(pa.memory_map(str(path))).read_all())
        engine = DuckdbQueries(Sandbox.probe(), threads=_THREADS)
        try:
            return await _measured(title, statement, path, plain, engine)
        finally:
            await engine.aclose()


async def _measured(
    title: str, statement: str, path: Path, plain: duckdb.DuckDBPyConnection, engine: DuckdbQueries
) -> Table:
    """Take turns, so that what else runs on the machine meets all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in (_PLAIN, _COUNTING, *_RESTRICTIONS)}
    counting = statement.replace(" FROM ", ", count(DISTINCT profile) AS units FROM ")
    plain.sql(counting).to_arrow_table()
    await engine.start()
    for _ in range(TIMES):
        seconds[_PLAIN].append(_timed(lambda: plain.sql(statement).to_arrow_table()))
        seconds[_COUNTING].append(_timed(lambda: plain.sql(counting).to_arrow_table()))
        for name, restrictions in _RESTRICTIONS.items():
            await asyncio.sleep(_PAUSE)
            seconds[name].append(await _governed(statement, path, restrictions, engine))
    base = statistics.median(seconds[_PLAIN])
    rows = []
    for name, measured in seconds.items():
        middle = statistics.median(measured)
        label = f"governed, {name}" if name in _RESTRICTIONS else name
        rows.append([label, milliseconds(middle), milliseconds(min(measured)), f"{middle / base:.2f}"])
    start = milliseconds(statistics.median(await _starts(path)))
    notes = [
        f"Medians of {TIMES}, in turns. The statement: `{statement}`.",
        f"Start of a child that did not wait, with its libraries: {start} more (median of 3).",
    ]
    return Table(title, ("query", "median", "fastest", "ratio"), rows, notes)


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
