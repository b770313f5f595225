"""What a running connector throws away by itself, and what it keeps for good."""

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connector.services.housekeeping import ANSWERS_KEPT
from tests.region.participants import (
    DATASETS,
    STATEMENT,
    Participant,
    Region,
    publication,
    segment,
    until,
    write_data,
)


def projections_of(provider: Participant) -> list[Path]:
    return sorted((provider.directory / "projections").glob("*"))


def long_ago(path: Path) -> None:
    then = (datetime.now(UTC) - timedelta(days=40)).timestamp()
    os.utime(path, (then, then))


def change(provider: Participant, statement: str, *values: object) -> None:
    with sqlite3.connect(provider.directory / "allmende.sqlite") as connection:
        connection.execute(statement, values)
    connection.close()


async def ask(region: Region) -> str:
    body = {"statement": STATEMENT, "agreements": [await region.agreement_with(region.rheinaue)]}
    (site,) = (await region.lastwerk.call("POST", "/api/queries", body))["sites"]
    return str(site["status"])


async def test_a_start_forgets_what_is_old_and_keeps_what_is_young_or_evidence(contracted: Region) -> None:
    provider = contracted.rheinaue
    assert await ask(contracted) == "released"
    (current,) = projections_of(provider)
    orphan = current.with_name("f" * 32 + "-" + "0" * 64 + ".arrow")
    orphan.write_bytes(b"of a data file that nobody offers any more")
    job = provider.directory / "jobs" / "job-left"
    job.mkdir(parents=True)
    received = provider.directory / "received" / "a-file.csv"
    received.parent.mkdir(exist_ok=True)
    received.write_text("1,2")
    for path in (current, orphan, received):
        long_ago(path)
    await provider.stop()
    limit = (datetime.now(UTC) - ANSWERS_KEPT).timestamp()
    change(provider, "UPDATE inbox SET received = ? WHERE rowid = 1", limit - 60)
    change(provider, "UPDATE inbox SET received = ? WHERE rowid = 2", limit + 60)
    before = provider.state("inbox")
    answers = provider.state()["inbox"]
    assert len(answers) > 2

    await provider.start()

    await until(lambda: not orphan.exists() and not job.exists())
    await until(lambda: len(provider.state()["inbox"]) == len(answers) - 1)
    assert [row for row in answers if row not in provider.state()["inbox"]] == [
        row for row in answers if limit - 61 < row[2] < limit
    ]
    assert provider.state("inbox") == before
    assert projections_of(provider) == [current]
    assert received.read_text() == "1,2"
    assert await ask(contracted) == "released"


async def tidied(provider: Participant) -> None:
    """Start it again, and wait until it has tidied up: a folder of a dead job shows when."""
    job = provider.directory / "jobs" / "job-left"
    job.mkdir(parents=True)
    dead = provider.directory / "projections" / ".dead.part"
    dead.touch()
    for path in projections_of(provider):
        long_ago(path)
    await provider.restart()
    await until(lambda: not job.exists() and not dead.exists())


async def test_data_that_have_been_replaced_are_not_kept_as_a_projection(contracted: Region) -> None:
    provider = contracted.rheinaue
    assert await ask(contracted) == "released"
    (old,) = projections_of(provider)
    other = provider.directory / "other.parquet"
    write_data(other, "neckar")
    await provider.call("POST", "/api/datasets", publication(provider, file=str(other)))
    assert await ask(contracted) == "released"
    assert len(projections_of(provider)) == 2

    await tidied(provider)

    (left,) = projections_of(provider)
    assert left != old


async def test_a_dataset_that_is_withdrawn_keeps_its_projection_until_its_agreements_have_ended(
    contracted: Region,
) -> None:
    provider = contracted.rheinaue
    assert await ask(contracted) == "released"
    (projection,) = projections_of(provider)
    await provider.call("DELETE", f"/api/datasets/{DATASETS['rheinaue']}")

    await tidied(provider)
    assert projections_of(provider) == [projection]
    assert await ask(contracted) == "released"

    agreement = segment(await contracted.agreement_with(provider))
    await provider.call("POST", f"/api/agreements/{agreement}/retirement", {"reason": "The data are gone."})
    await tidied(provider)
    assert projections_of(provider) == []
