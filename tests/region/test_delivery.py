"""Messages that are lost, repeated or late, connectors that stop: both parties end with the same contract."""

import json
from typing import Any

import pytest

from tests.region.participants import (
    DATASETS,
    STATEMENT,
    Fault,
    Region,
    dsp,
    segment,
    until,
    voice_of,
)

MESSAGES = (
    "/negotiations/request",
    "/agreement",
    "/agreement/verification",
    "/events",
)


def both_states(region: Region, table: str = "negotiations") -> set[Any]:
    return {
        record["state"]
        for participant in (region.rheinaue, region.lastwerk)
        for record in participant.rows(table)
    }


async def finalised_once(region: Region, pid: str) -> None:
    """Both parties hold one and the same agreement, signed, and nothing waits for delivery."""
    assert (await region.outcome(pid))["state"] == "FINALIZED"
    await until(lambda: both_states(region) == {"FINALIZED"})
    await until(lambda: region.rheinaue.rows("outbox") == region.lastwerk.rows("outbox") == [])
    (ours,), (theirs,) = (one.rows("agreements") for one in (region.lastwerk, region.rheinaue))
    assert ours["signed"] is theirs["signed"] is True
    assert ours["document"] == theirs["document"]
    assert len(region.rheinaue.state()["documents"]) == len(region.lastwerk.state()["documents"]) == 1
    assert region.rheinaue.state()["documents"] == region.lastwerk.state()["documents"]


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
async def test_a_lost_message_or_a_lost_answer_leads_to_the_same_contract(
    published: Region, fault: Fault, message: str
) -> None:
    published.network.lose(fault, message)

    pid = await published.request(published.rheinaue)

    await finalised_once(published, pid)


async def test_when_every_answer_is_lost_once_the_contract_is_made_all_the_same(published: Region) -> None:
    for message in MESSAGES:
        published.network.lose(Fault.ANSWER_LOST, message)

    pid = await published.request(published.rheinaue)

    await finalised_once(published, pid)


async def test_a_message_is_delivered_when_a_provider_that_was_down_comes_back(published: Region) -> None:
    await published.rheinaue.stop()
    pid = await published.request(published.rheinaue)
    await until(lambda: published.lastwerk.rows("outbox")[0]["attempts"] >= 1)
    assert (await published.lastwerk.call("GET", f"/api/negotiations/{pid}"))["state"] is None

    await published.rheinaue.start()

    await finalised_once(published, pid)


async def test_a_message_is_delivered_when_a_consumer_that_was_down_comes_back(published: Region) -> None:
    await published.publish(published.rheinaue, approval="manual")
    pid = await published.request(published.rheinaue)
    await until(lambda: any(record["held"] for record in published.rheinaue.rows("negotiations")))
    (record,) = published.rheinaue.rows("negotiations")
    await published.lastwerk.stop()

    await published.rheinaue.call("POST", f"/api/negotiations/{record['pid']}/accept")
    await until(lambda: published.rheinaue.rows("outbox")[0]["attempts"] >= 1)
    await published.lastwerk.start()

    await finalised_once(published, pid)


@pytest.mark.parametrize("message", MESSAGES)
async def test_a_negotiation_that_a_restart_interrupts_goes_on(published: Region, message: str) -> None:
    """One message does not get through; then both connectors are stopped and started again."""
    published.network.lose(Fault.REQUEST_LOST, message, times=3)
    pid = await published.request(published.rheinaue)
    await until(lambda: len(published.network.faults) < 3)

    await published.lastwerk.stop()
    await published.rheinaue.stop()
    published.network.faults.clear()
    await published.rheinaue.start()
    await published.lastwerk.start()

    await finalised_once(published, pid)


async def test_after_a_restart_everything_goes_on(agreed: Region) -> None:
    ask = {"statement": STATEMENT}
    before = await agreed.lastwerk.call("POST", "/api/queries", ask)
    assert (await agreed.commission(agreed.rheinaue))["state"] == "RELEASED"
    books = await agreed.ledger(agreed.rheinaue)
    receipts = agreed.lastwerk.state()["documents"]

    for participant in agreed.participants:
        await participant.stop()
    for participant in agreed.participants:
        await participant.start()

    assert await agreed.ledger(agreed.rheinaue) == books
    assert agreed.lastwerk.state()["documents"] == receipts
    after = await agreed.lastwerk.call("POST", "/api/queries", ask)
    assert after["rows"] == before["rows"]
    assert (await agreed.commission(agreed.rheinaue))["state"] == "RELEASED"
    totals = (await agreed.ledger(agreed.rheinaue))["totals"][DATASETS["rheinaue"]]
    assert totals["releases"] == 4
    assert [row[2] for row in agreed.rheinaue.state()["uses"]] == [2, 2]


# repetitions


def repeatable(region: Region, ending: str) -> Any:
    """A message as it went over the wire, byte for byte."""
    return region.network.sent(ending)[0]


@pytest.mark.parametrize("message", MESSAGES)
async def test_a_repeated_message_gets_the_same_answer_and_changes_nothing(
    published: Region, message: str
) -> None:
    await finalised_once(published, await published.request(published.rheinaue))
    first = repeatable(published, message)
    to_provider = first.url.startswith(published.rheinaue.origin)
    sender, receiver = (
        (published.lastwerk, published.rheinaue) if to_provider else (published.rheinaue, published.lastwerk)
    )
    before = receiver.state()

    path = first.path.removeprefix("/dsp/2025-1")
    again = await voice_of(sender).say(receiver, path, content=first.body)

    assert again.status_code == first.status
    assert again.content == first.answer
    assert receiver.state() == before


async def test_a_repeated_message_without_an_identifier_is_recognised_too(published: Region) -> None:
    await published.publish(published.rheinaue, approval="manual")
    offer = (await published.read_catalog(published.rheinaue))["datasets"][0]["offers"][0]
    request = dsp(
        "ContractRequestMessage",
        consumerPid="urn:uuid:cccccccc-0000-4000-8000-000000000001",
        callbackAddress=published.lastwerk.origin + "/dsp/2025-1",
        offer={**offer, "target": DATASETS["rheinaue"]},
    )
    voice = voice_of(published.lastwerk)
    first = await voice.say(published.rheinaue, "/negotiations/request", request)
    assert first.status_code == 201
    pid = first.json()["providerPid"]
    ending = dsp("ContractNegotiationTerminationMessage", consumerPid=request["consumerPid"], providerPid=pid)
    assert (
        await voice.say(published.rheinaue, f"/negotiations/{pid}/termination", ending)
    ).status_code == 200
    before = published.rheinaue.state()

    answers = [
        await voice.say(published.rheinaue, f"/negotiations/{pid}/termination", ending) for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert published.rheinaue.state() == before


async def test_another_request_under_a_number_that_is_taken_is_refused(published: Region) -> None:
    await finalised_once(published, await published.request(published.rheinaue))
    first = json.loads(repeatable(published, "/negotiations/request").body)
    before = published.rheinaue.state()

    other = {**first, "@id": "urn:uuid:cccccccc-0000-4000-8000-000000000002"}
    answer = await voice_of(published.lastwerk).say(published.rheinaue, "/negotiations/request", other)

    assert answer.status_code == 400
    assert published.rheinaue.state() == before


async def test_a_query_reaches_the_data_plane_although_the_first_start_message_was_lost(
    contracted: Region,
) -> None:
    contracted.network.lose(Fault.REQUEST_LOST, "/start")
    contracted.network.lose(Fault.ANSWER_LOST, "/transfers/request")

    body = {"statement": STATEMENT, "agreements": [await contracted.agreement_with(contracted.rheinaue)]}
    result = await contracted.lastwerk.call("POST", "/api/queries", body)

    assert [site["status"] for site in result["sites"]] == ["released"]
    await until(lambda: both_states(contracted, "transfers") == {"STARTED"})
    assert segment(contracted.lastwerk.rows("transfers")[0]["peer_pid"])
