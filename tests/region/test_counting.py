"""A number of uses that was agreed is kept, however many ask at once, on both databases."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from connector.evidence.verification import verify_file
from connector.queries.errors import QueryFailedError
from tests.postgres import new_database
from tests.region.participants import (
    DATASETS,
    METRICS,
    STATEMENT,
    UNDECLARED_JOB,
    QueriesHere,
    Region,
    offer,
    proven_sandbox,
    running,
    segment,
    until,
)

AGREED = 10
ASKED = 50


@pytest.fixture(params=["sqlite", "postgres"])
async def counted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Region]:
    """A provider on SQLite or PostgreSQL, a consumer, and a contract on ten uses."""
    proven_sandbox()
    region = Region(tmp_path)
    region.rheinaue.initialise()
    region.lastwerk.initialise()
    if request.param == "postgres":
        move(region, new_database(request.getfixturevalue("postgres")))
    async with running(region, region.rheinaue, region.lastwerk):
        await region.publish(region.rheinaue, offer=offer(uses=AGREED))
        await region.read_catalog(region.rheinaue)
        assert (await region.negotiate(region.rheinaue))["state"] == "FINALIZED"
        yield region


def move(region: Region, database_url: str) -> None:
    """Let the provider keep its memory in another database."""
    configuration = region.rheinaue.directory / "allmende.toml"
    before = configuration.read_text()
    configuration.write_text(f'database_url = "{database_url}"\n{before}')


def select(region: Region, statement: str) -> list[tuple[Any, ...]]:
    """What the provider's database says."""
    engine = create_engine(region.rheinaue.running.settings.store_url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]
    finally:
        engine.dispose()


def uses(region: Region) -> list[int]:
    """Uses per rule for which there ever was one, and no reservation is open."""
    assert select(region, "SELECT identifier FROM reservations") == []
    return [used for (used,) in select(region, "SELECT used FROM uses")]


async def ask(region: Region) -> Any:
    """Ask the statement; gives what the provider's part came to."""
    result = await region.lastwerk.call("POST", "/api/queries", {"statement": STATEMENT})
    (site,) = result["sites"]
    return site


async def test_of_fifty_queries_at_once_ten_are_answered_and_forty_refused(counted: Region) -> None:
    sites = await asyncio.gather(*(ask(counted) for _ in range(ASKED)))

    assert Counter(site["status"] for site in sites) == {"released": AGREED, "refused": ASKED - AGREED}
    refused = [site for site in sites if site["status"] == "refused"]
    assert all("10" in site["reason"] and "use" in site["reason"] for site in refused), refused
    assert all(site["receipt"] is None and site["groups"] == 0 for site in refused)
    assert uses(counted) == [AGREED]

    receipts = {site["receipt"] for site in sites if site["status"] == "released"}
    ledger = await counted.ledger(counted.rheinaue)
    assert ledger["totals"][DATASETS["rheinaue"]]["releases"] == AGREED
    released = [entry["identifier"] for entry in ledger["entries"] if entry["kind"] == "query"]
    assert sorted(released) == sorted(receipts)
    numbers = []
    for receipt in receipts:
        verified = verify_file(await counted.rheinaue.file(f"/api/receipts/{segment(receipt)}"))
        assert verified.kind == "receipt"
        numbers.append((verified.statement["uses"]["before"], verified.statement["uses"]["after"]))
    assert sorted(numbers) == [(number, number + 1) for number in range(AGREED)]


async def test_the_refused_ones_are_on_record_with_their_reason(counted: Region) -> None:
    await asyncio.gather(*(ask(counted) for _ in range(AGREED + 3)))

    records = select(counted, "SELECT record FROM queries")
    assert len(records) == AGREED + 3
    assert sum('"refusal":{' in record for (record,) in records) == 3


async def test_of_fifty_computations_at_once_ten_are_taken(counted: Region) -> None:
    agreement = await counted.agreement_with(counted.rheinaue)
    body = {"agreement_id": agreement, "files": UNDECLARED_JOB, "outputs": METRICS}
    sent = [counted.lastwerk.answer("POST", "/api/computations", body) for _ in range(ASKED)]
    await asyncio.gather(*sent)

    assert select(counted, "SELECT count(*) FROM computations") == [(AGREED,)]
    assert uses(counted) == [AGREED]


async def test_queries_that_fail_at_the_provider_cost_nothing_also_in_between(
    counted: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = QueriesHere.run, []

    async def fails_often(self: QueriesHere, *arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        if len(calls) % 2:
            raise QueryFailedError("The query could not be answered by the engine.")
        return await run(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(QueriesHere, "run", fails_often)
        sites = await asyncio.gather(*(ask(counted) for _ in range(AGREED)))
        released = [site for site in sites if site["status"] == "released"]
        assert 0 < len(released) < AGREED
    assert uses(counted) == [len(released)]

    rest = await asyncio.gather(*(ask(counted) for _ in range(ASKED)))

    assert [site["status"] for site in rest].count("released") == AGREED - len(released)
    assert uses(counted) == [AGREED]


async def test_a_use_that_a_shutdown_cuts_off_is_given_back_at_the_next_start(
    counted: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task is cancelled: nobody is left who could give it back."""
    computing = asyncio.Event()

    async def hangs(*_: Any, **__: Any) -> Any:
        computing.set()
        await asyncio.Event().wait()

    await ask(counted)
    with monkeypatch.context() as patch:
        patch.setattr(QueriesHere, "run", hangs)
        asking = asyncio.create_task(ask(counted))
        await computing.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert select(counted, "SELECT used FROM uses") == [(2,)]
    ((left,),) = select(counted, "SELECT identifier FROM reservations")

    await counted.rheinaue.restart()

    assert uses(counted) == [1]
    await until(lambda: select(counted, "SELECT identifier FROM reservations") == [])
    sites = await asyncio.gather(*(ask(counted) for _ in range(ASKED)))
    assert [site["status"] for site in sites].count("released") == AGREED - 1
    assert left not in {site["receipt"] for site in sites}
