"""A provider ends an agreement before its time: nothing more is had under it, and everybody is told why."""

import asyncio
import json
from typing import Any

from tests.region.participants import (
    JOB,
    METRICS,
    STATEMENT,
    Fault,
    Participant,
    Region,
    at_rest,
    dsp,
    offer,
    segment,
    until,
    voice_of,
)
from tests.region.processes import call

REASON = "The meters were installed wrongly."
GERMAN = "Der Anbieter hat den Vertrag beendet: " + REASON
ENGLISH = "The provider has ended the agreement: " + REASON


async def end(region: Region, provider: Participant | None = None) -> str:
    """The provider ends its agreement; returns the agreement's identifier."""
    provider = provider or region.rheinaue
    identifier = await region.agreement_with(provider)
    await provider.call("POST", f"/api/agreements/{identifier}/retirement", {"reason": REASON})
    return identifier


async def ask(region: Region, *providers: Participant) -> Any:
    """The consumer asks some providers, under whatever agreements it has with them."""
    listed = await region.lastwerk.call("GET", "/api/agreements")
    asked = {provider.did for provider in providers or (region.rheinaue,)}
    names = [one["identifier"] for one in listed if one["provider"] in asked]
    return await region.lastwerk.answer("POST", "/api/queries", {"statement": STATEMENT, "agreements": names})


def agreement_of(participant: Participant) -> Any:
    return next(one for one in participant.rows("agreements") if "18081" in one["provider"])


async def test_running_transfers_end_and_the_consumer_learns_why(contracted: Region) -> None:
    assert (await ask(contracted)).status_code == 200
    await at_rest(contracted.rheinaue, contracted.lastwerk)

    identifier = await end(contracted)

    for participant in (contracted.rheinaue, contracted.lastwerk):
        await until(lambda: [one["state"] for one in participant.rows("transfers")] == ["TERMINATED"])  # noqa: B023 - at once
        (record,) = participant.rows("transfers")
        assert record["reason"] == ENGLISH
        (listed,) = (
            one for one in await participant.call("GET", "/api/agreements") if one["identifier"] == identifier
        )
        assert listed["reason"] == REASON
        assert listed["ended"] is not None


async def test_nothing_is_had_under_an_ended_agreement(contracted: Region) -> None:
    assert (await ask(contracted)).status_code == 200
    identifier = await end(contracted)
    await at_rest(contracted.rheinaue, contracted.lastwerk)
    before = contracted.rheinaue.state("transfers", "inbox")

    refused = await ask(contracted)

    assert refused.status_code == 422
    assert "no agreement in force" in refused.json()["detail"]
    request = {"agreement_id": identifier, "format": "AllmendeQuery-PULL"}
    asked = await contracted.lastwerk.answer("POST", "/api/transfers", request)
    assert (asked.status_code, asked.json()["detail"]) == (422, ENGLISH)
    body = {"agreement_id": identifier, "files": JOB, "outputs": METRICS}
    sent = await contracted.lastwerk.answer("POST", "/api/computations", body)
    assert sent.status_code in {202, 422}
    await at_rest(contracted.rheinaue, contracted.lastwerk)
    assert contracted.rheinaue.state("transfers", "inbox") == before


async def test_a_consumer_that_insists_is_refused_with_the_reason(contracted: Region) -> None:
    """It asks again, and shows the token that it still has."""
    assert (await ask(contracted)).status_code == 200
    (record,) = contracted.lastwerk.rows("transfers")
    address = {one["name"]: one["value"] for one in record["data_address"]["endpointProperties"]}
    identifier = await end(contracted)
    await at_rest(contracted.rheinaue, contracted.lastwerk)
    before = contracted.rheinaue.state()

    message = dsp(
        "TransferRequestMessage",
        consumerPid="urn:uuid:again",
        agreementId=identifier,
        format="AllmendeQuery-PULL",
        callbackAddress=contracted.lastwerk.origin + "/dsp/2025-1",
    )
    again = await voice_of(contracted.lastwerk).say(contracted.rheinaue, "/transfers/request", message)
    async with contracted.rheinaue.public(
        headers={"authorization": f"Bearer {address['authorization']}"}
    ) as client:
        shown = await client.post("/data/queries", json={"statement": STATEMENT})

    assert (again.status_code, again.json()["@type"]) == (400, "TransferError")
    assert again.json()["reason"] == [ENGLISH]
    assert shown.status_code == 403
    assert shown.json()["reason"] == {"de": GERMAN, "en": ENGLISH}
    after = contracted.rheinaue.state()
    assert after["transfers"] == before["transfers"]
    assert after["uses"] == before["uses"]


async def test_a_start_by_the_consumer_does_not_bring_a_transfer_back(contracted: Region) -> None:
    await ask(contracted)
    (record,) = contracted.rheinaue.rows("transfers")
    await contracted.rheinaue.call("POST", f"/api/transfers/{record['pid']}/moves", {"action": "suspension"})
    await at_rest(contracted.rheinaue, contracted.lastwerk)
    await end(contracted)
    await at_rest(contracted.rheinaue, contracted.lastwerk)

    message = dsp("TransferStartMessage", providerPid=record["pid"], consumerPid=record["peer_pid"])
    path = f"/transfers/{record['pid']}/start"
    answer = await voice_of(contracted.lastwerk).say(contracted.rheinaue, path, message)

    assert answer.status_code == 400
    assert contracted.rheinaue.rows("transfers")[0]["state"] == "TERMINATED"


async def test_the_end_is_a_signed_line_of_the_ledger_and_no_release(contracted: Region) -> None:
    before = await contracted.ledger(contracted.rheinaue)
    identifier = await end(contracted)
    after = await contracted.ledger(contracted.rheinaue)

    (line,) = after["entries"][len(before["entries"]) :]
    assert line["kind"] == "retirement"
    assert line["agreement_id"] == identifier
    assert line["raw_rows_out"] == line["result_bytes_out"] == 0
    assert after["totals"] == before["totals"]
    configuration = contracted.rheinaue.directory / "allmende.toml"
    audited = await asyncio.to_thread(call, "ledger", "verify", "--config", configuration, "--json")
    assert json.loads(audited.stdout)["holds"], audited.stdout


async def test_outputs_that_wait_for_a_person_are_kept(published: Region) -> None:
    await published.publish(published.rheinaue, offer=offer(review="manual"))
    await published.read_catalog(published.rheinaue)
    assert (await published.negotiate(published.rheinaue))["state"] == "FINALIZED"
    body = {
        "agreement_id": await published.agreement_with(published.rheinaue),
        "files": JOB,
        "outputs": METRICS,
    }
    held = await published.lastwerk.call("POST", "/api/computations", body)
    await until(
        lambda: [one["state"] for one in published.rheinaue.rows("computations")] == ["REVIEWED"], seconds=60
    )

    await end(published)

    (record,) = published.rheinaue.rows("computations")
    assert (record["state"], record["held"], record["outputs"]) == ("TERMINATED", None, [])
    assert record["reason"] == {"de": GERMAN, "en": ENGLISH}
    release = f"/api/computations/{segment(held['identifier'])}/release"
    assert (await published.rheinaue.answer("POST", release)).status_code == 422
    kinds = [one["kind"] for one in (await published.ledger(published.rheinaue))["entries"]]
    assert kinds == ["agreement", "permit", "permit", "retirement"]


async def test_the_other_providers_agreement_goes_on(agreed: Region) -> None:
    """The consumer had no transfer running, so that it learns of the end when it asks."""
    await end(agreed)
    result = (await ask(agreed, agreed.rheinaue, agreed.neckar)).json()
    sites = {site["provider"]: site for site in result["sites"]}
    assert sites[agreed.neckar.did]["status"] == "released"
    assert sites[agreed.rheinaue.did]["status"] == "refused"
    assert ENGLISH in sites[agreed.rheinaue.did]["reason"]


async def test_a_new_agreement_on_the_same_dataset_is_as_good_as_the_first(contracted: Region) -> None:
    await end(contracted)
    await at_rest(contracted.rheinaue, contracted.lastwerk)
    assert (await contracted.negotiate(contracted.rheinaue))["state"] == "FINALIZED"
    assert (await ask(contracted)).status_code == 200


async def test_only_the_provider_ends_an_agreement_once_and_with_a_reason(contracted: Region) -> None:
    identifier = await contracted.agreement_with(contracted.rheinaue)
    path = f"/api/agreements/{identifier}/retirement"
    before = [contracted.rheinaue.state(), contracted.lastwerk.state()]
    for participant, address, body, status in (
        (contracted.lastwerk, path, {"reason": REASON}, 422),
        (contracted.rheinaue, path, {}, 422),
        (contracted.rheinaue, path, {"reason": ""}, 422),
        (contracted.rheinaue, path, {"reason": "x" * 1001}, 422),
        (contracted.rheinaue, "/api/agreements/urn:uuid:none/retirement", {"reason": REASON}, 404),
    ):
        answer = await participant.answer("POST", address, body)
        assert answer.status_code == status, answer.text
        assert [contracted.rheinaue.state(), contracted.lastwerk.state()] == before
    await end(contracted)
    again = await contracted.rheinaue.answer("POST", path, {"reason": REASON})
    assert (again.status_code, again.json()["detail"]) == (422, "The agreement has ended already.")


async def test_the_end_holds_although_the_message_about_it_is_lost(contracted: Region) -> None:
    await ask(contracted)
    contracted.network.lose(Fault.REQUEST_LOST, "/termination", times=2)
    await end(contracted)
    assert agreement_of(contracted.rheinaue)["retirement"]["reason"] == REASON
    await until(lambda: contracted.lastwerk.rows("transfers")[0]["state"] == "TERMINATED")
    assert agreement_of(contracted.lastwerk)["retirement"]["reason"] == REASON
