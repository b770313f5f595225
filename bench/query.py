"""What governing a query costs: over a provider's data plane, against plain DuckDB over the same file.

Both compute the mean and the peak per sector and hour. The governed way adds
contract, gate, projection, a sandboxed child, thresholds, ledger, a signed
receipt and its check, and HTTP between two processes; plain DuckDB has none.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import duckdb
import pyarrow as pa
from pydantic import TypeAdapter

from bench.measuring import Table, milliseconds, ratio, timed
from bench.participants import OFFER, Pair, pair
from catalog.model import Column
from connector.adapters.arrow_projections import ArrowProjections
from connector.adapters.duckdb_queries import DuckdbQueries
from connector.demo.assets import publication
from connector.demo.steps import STATEMENT
from connector.queries.decompose import site_statement, withhold
from connector.queries.gate import plan_query
from connector.queries.merge import merge_partials
from connector.queries.plan import QueryPlan
from connector.sandbox.launch import Sandbox
from policies.odrl import parse_policy
from policies.restrictions import QueryRestrictions, query_restrictions
from schemas.strict_json import JsonObject

TIMES = 9
"""Twice this and one query stay below the twenty uses that the contract allows."""
_PAUSE = 1.0
"""Seconds in which the next sandboxed child loads its libraries."""
_SECONDS = 30.0


def measure() -> list[Table]:
    """The governed query and the plain one, and what the governed one consists of."""
    dataset = publication(OFFER)
    plain = statistics.median(timed(lambda: _plain(str(dataset["file"])), TIMES))
    first, paused, following = asyncio.run(_governed())
    rows = [["plain DuckDB over the Parquet file", milliseconds(plain), "1.0"]]
    for name, seconds in (
        ("governed, a child waiting", paused),
        ("governed, one after another without a pause", following),
        ("governed, the first one: no projection yet", first),
    ):
        rows.append([name, milliseconds(seconds), ratio(seconds, plain)])
    note = f"Medians of {TIMES}; the first one happens once. The statement: `{STATEMENT}`."
    return [
        Table("A governed query against plain DuckDB", ("query", "time", "ratio"), rows, [note]),
        asyncio.run(_stations(dataset)),
    ]


def _plain(file: str) -> None:
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.sql(STATEMENT.replace("load_profiles", f"read_parquet('{file}')")).to_arrow_table()


async def _governed() -> tuple[float, float, float]:
    """Seconds of the first query, of one with a child waiting, and of one right after another."""
    async with pair() as both:
        outcome = await both.negotiate()
        assert outcome["state"] == "FINALIZED", outcome
        await asyncio.sleep(_PAUSE)
        first = await _ask(both)
        paused = []
        for _ in range(TIMES):
            await asyncio.sleep(_PAUSE)
            paused.append(await _ask(both))
        following = [await _ask(both) for _ in range(TIMES)]
    return first, statistics.median(paused), statistics.median(following)


async def _ask(both: Pair) -> float:
    began = time.perf_counter()
    answer = await both.consumer.post("/api/queries", json={"statement": STATEMENT})
    elapsed = time.perf_counter() - began
    sites = answer.raise_for_status().json()["sites"]
    assert [site["status"] for site in sites] == ["released"], sites
    return elapsed


async def _stations(dataset: JsonObject) -> Table:
    """Each part of a governed query, alone and in this process."""
    columns = TypeAdapter(tuple[Column, ...]).validate_python(dataset["columns"])
    offer = parse_policy(
        {**cast("JsonObject", dataset["offer"]), "@id": "urn:bench"}, default_target="urn:bench"
    )
    permission = next(one for one in offer.permissions if one.action.endswith("query"))
    restrictions = query_restrictions(permission)
    source, names = Path(str(dataset["file"])), [column.name for column in columns]
    plan = plan_query(STATEMENT, table=str(dataset["table"]), columns=columns)
    statement = site_statement(plan, restrictions, columns, numbered=True)

    def gate() -> None:
        asked = plan_query(STATEMENT, table=str(dataset["table"]), columns=columns)
        site_statement(asked, restrictions, columns, numbered=True)

    with tempfile.TemporaryDirectory(prefix="allmende-bench-") as directory:
        projections = ArrowProjections(Path(directory))
        cold = await _medians(
            lambda number: projections.materialise(source, names, f"cold {number}", numbered=True)
        )
        warm = await _medians(lambda _: projections.materialise(source, names, "cold 0", numbered=True))
        projection = await projections.materialise(source, names, "cold 0", numbered=True)
        child, partials = await _child(statement, str(dataset["table"]), projection)
    rows = [
        ["gate: parse, allow-list, rewrite", milliseconds(statistics.median(timed(gate, TIMES)))],
        ["projection, made", milliseconds(cold)],
        ["projection, found", milliseconds(warm)],
        ["sandboxed child, waiting: map, run, send", milliseconds(child)],
        ["thresholds and merge", milliseconds(_merge(plan, restrictions, partials))],
    ]
    note = "The rest of a governed query: transfer process, tokens, HTTP, ledger, the receipt and its check."
    return Table(f"What a governed query consists of (median of {TIMES})", ("part", "time"), rows, [note])


async def _medians(step: Callable[[int], Awaitable[object]]) -> float:
    seconds = []
    for number in range(TIMES):
        began = time.perf_counter()
        await step(number)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


async def _child(statement: str, table: str, projection: Path) -> tuple[float, pa.Table]:
    """Seconds of a query that a waiting child answers, and its result."""
    engine = DuckdbQueries(Sandbox.probe())
    try:
        await engine.start()
        seconds = []
        for _ in range(TIMES):
            await asyncio.sleep(_PAUSE)
            began = time.perf_counter()
            partials = await engine.run(
                statement, table=table, projection=projection, timeout_seconds=_SECONDS
            )
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds), partials
    finally:
        await engine.aclose()


def _merge(plan: QueryPlan, restrictions: QueryRestrictions, partials: pa.Table) -> float:
    def merge() -> None:
        merge_partials(plan, {"one": withhold(plan, restrictions, partials)})

    return statistics.median(timed(merge, TIMES))
