"""Time between two uses, and computing time in all, kept between participants."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector import app as composition
from connector.protocol.jobs import algorithm_digest
from tests.region.participants import (
    METRICS,
    POLICY,
    SLOW_JOB,
    STATEMENT,
    Region,
    constraint,
    offer,
    segment,
)

ENDLESS_JOB = {"main.py": "while True:\n    pass\n"}


class MovedClock:
    """The system's clock, moved; implements `connector.ports.Clock`."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[MovedClock]:
    monkeypatch.setattr(MovedClock, "ahead", timedelta(0))
    monkeypatch.setattr(composition, "SystemClock", MovedClock)
    return MovedClock


async def contract(region: Region, written: dict[str, Any]) -> None:
    await region.publish(region.rheinaue, offer=written)
    await region.read_catalog(region.rheinaue)
    assert (await region.negotiate(region.rheinaue))["state"] == "FINALIZED"


async def ask(region: Region) -> dict[str, Any]:
    result = await region.lastwerk.call("POST", "/api/queries", {"statement": STATEMENT})
    [site] = result["sites"]
    return dict(site)


def an_hour_apart() -> dict[str, Any]:
    written = offer(uses=20)
    written["permission"][0]["constraint"].append(constraint("timeInterval", "gteq", "PT1H"))
    return written


async def test_two_uses_lie_as_far_apart_as_was_agreed(published: Region, clock: type[MovedClock]) -> None:
    for participant in published.participants:
        await participant.restart()
    await contract(published, an_hour_apart())
    assert (await ask(published))["status"] == "released"

    clock.ahead = timedelta(minutes=59)
    too_soon = await ask(published)
    clock.ahead = timedelta(minutes=61)
    later = await ask(published)

    assert too_soon["status"] == "refused"
    assert "1 hour" in too_soon["reason"]
    assert later["status"] == "released"
    assert [used for *_, used in published.rheinaue.state()["uses"]] == [2]


async def test_of_many_at_once_one_gets_an_answer(published: Region) -> None:
    await contract(published, an_hour_apart())

    statuses = [site["status"] for site in await asyncio.gather(*(ask(published) for _ in range(8)))]

    assert sorted(statuses) == [*["refused"] * 7, "released"]


async def test_a_use_that_failed_at_the_provider_makes_nobody_wait(published: Region) -> None:
    await contract(published, an_hour_apart())
    data = published.rheinaue.directory / "load_profiles.parquet"
    aside = data.rename(data.with_suffix(".aside"))
    assert (await ask(published))["status"] != "released"

    aside.rename(data)

    assert (await ask(published))["status"] == "released"


def seconds_in_all(text: str) -> dict[str, Any]:
    written = offer(uses=20)
    jobs = [algorithm_digest(files) for files in (SLOW_JOB, ENDLESS_JOB)]
    written["permission"] = [
        {
            "action": POLICY + "compute",
            "constraint": [
                constraint("meteredTime", "lteq", text),
                constraint(POLICY + "algorithmDigest", "isAnyOf", jobs),
                constraint(POLICY + "outputKind", "eq", "metrics"),
                constraint(POLICY + "outputReview", "eq", "auto"),
            ],
        }
    ]
    return written


async def slow_job(region: Region) -> dict[str, Any]:
    agreement = await region.agreement_with(region.rheinaue)
    return {"agreement_id": agreement, "files": SLOW_JOB, "outputs": METRICS}


def metered(region: Region) -> timedelta:
    [(*_, microseconds)] = region.rheinaue.state()["use_times"]
    return timedelta(microseconds=microseconds)


async def test_a_computation_costs_the_time_that_it_ran_and_no_more(published: Region) -> None:
    await contract(published, seconds_in_all("PT1H"))

    outcome = await published.commission(published.rheinaue, SLOW_JOB)

    assert outcome["state"] == "RELEASED", outcome
    assert timedelta(seconds=1) < metered(published) < timedelta(seconds=30)


async def test_a_computation_is_stopped_when_its_time_is_over_and_no_other_one_starts(
    published: Region,
) -> None:
    await contract(published, seconds_in_all("PT2S"))

    stopped = await published.commission(published.rheinaue, ENDLESS_JOB)
    next_one = await published.lastwerk.answer("POST", "/api/computations", await slow_job(published))

    assert stopped["state"] == "TERMINATED"
    assert "took too long" in str(stopped["reason"])
    assert next_one.status_code == 422
    assert "agreed (2 seconds) is used up" in next_one.text
    assert metered(published) == timedelta(seconds=2)


async def test_computations_at_once_do_not_share_the_time_that_is_left(published: Region) -> None:
    await contract(published, seconds_in_all("PT20S"))
    body = await slow_job(published)

    answers = await asyncio.gather(
        *(published.lastwerk.answer("POST", "/api/computations", body) for _ in range(3))
    )

    # The first one reserves all that is left; the others may come again when it has ended.
    assert sorted(answer.status_code for answer in answers) == [202, 422, 422]
    [begun] = [answer.json()["identifier"] for answer in answers if answer.is_success]
    await published.lastwerk.call("GET", f"/api/computations/{segment(begun)}?wait=40")
    assert timedelta(seconds=1) < metered(published) < timedelta(seconds=20)
    assert (await published.commission(published.rheinaue, SLOW_JOB))["state"] == "RELEASED"


async def test_a_computation_that_could_not_be_run_costs_no_time(published: Region) -> None:
    await contract(published, seconds_in_all("PT1H"))
    (published.rheinaue.directory / "load_profiles.parquet").unlink()

    outcome = await published.commission(published.rheinaue, SLOW_JOB)

    assert outcome["state"] == "TERMINATED"
    assert metered(published) == timedelta(0)
