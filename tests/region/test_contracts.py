"""What three participants agree on, and what they refuse each other."""

import json
from pathlib import Path
from typing import Any

import pytest

from connector.evidence.documents import digest
from connector.evidence.verification import verify_file
from schemas.jsonld import context_document
from tests.region.participants import (
    DATASETS,
    MARKETING,
    POLICY,
    Participant,
    Region,
    constraint,
    offer,
    publication,
    segment,
    until,
)


async def pinned(*participants: Participant) -> dict[str, Any]:
    documents = {}
    for participant in participants:
        async with participant.public() as client:
            documents[participant.did] = (await client.get("/.well-known/did.json")).json()
    return documents


async def test_a_consumer_gets_a_contract_signed_by_both_parties_over_four_messages(
    published: Region,
) -> None:
    outcome = await published.negotiate(published.rheinaue)

    assert outcome["state"] == "FINALIZED"
    paths = [one.path.split("/negotiations/")[1] for one in published.network.passed if "/negot" in one.path]
    assert [path.partition("/")[2] or path for path in paths] == [
        "request",
        "agreement",
        "agreement/verification",
        "events",
    ]
    evidence = f"/api/agreements/{segment(outcome['agreement_id'])}/evidence"
    file = await published.lastwerk.file(evidence)
    verified = verify_file(file, pinned=await pinned(published.rheinaue, published.lastwerk))
    assert verified.kind == "agreement"
    assert verified.dataset_id == DATASETS["rheinaue"]
    assert [party.did for party in verified.parties] == [published.rheinaue.did, published.lastwerk.did]
    assert {party.key_source for party in verified.parties} == {"pinned"}
    await until(lambda: len(published.rheinaue.state()["documents"]) == 1)
    assert await published.rheinaue.file(evidence) == file, "both hold the same evidence"


async def test_the_agreement_has_the_rules_of_the_offer_and_names_both_parties(published: Region) -> None:
    await published.negotiate(published.rheinaue)

    (agreement,) = await published.lastwerk.call("GET", "/api/agreements")

    assert agreement["signed"] is True
    document = agreement["agreement"]
    assert document["@type"] == "Agreement"
    assert document["target"] == DATASETS["rheinaue"]
    assert document["assigner"] == published.rheinaue.did
    assert document["assignee"] == published.lastwerk.did
    stated = [
        {(part["leftOperand"], part["operator"], str(part["rightOperand"])) for part in rule["constraint"]}
        for rule in document["permission"]
    ]
    offered = [
        {(part["leftOperand"], part["operator"], str(part["rightOperand"])) for part in rule["constraint"]}
        for rule in offer()["permission"]
    ]
    assert stated == offered
    assert document["prohibition"] == [{"action": "reproduce"}]


async def test_another_purpose_is_refused_with_the_reason(published: Region) -> None:
    outcome = await published.negotiate(published.rheinaue, purpose=MARKETING)

    assert outcome["state"] == "TERMINATED"
    assert "load forecasting" in outcome["reason"]
    assert outcome["reasons"]["en"] == outcome["reason"]
    assert "Lastprognose" in outcome["reasons"]["de"], "the consumer is told in both languages"
    (record,) = published.rheinaue.rows("negotiations")
    assert record["reason"] == outcome["reasons"]
    (ending,) = published.network.sent("/termination")
    assert json.loads(ending.body)["reason"] == [
        {"@value": outcome["reasons"]["en"], "@language": "en"},
        {"@value": outcome["reasons"]["de"], "@language": "de"},
    ]
    assert await published.lastwerk.call("GET", "/api/agreements") == []
    assert await published.rheinaue.call("GET", "/api/agreements") == []


async def test_a_counter_offer_wider_than_the_offer_is_refused_with_the_reason(published: Region) -> None:
    wider = {**offer(uses=1000), "@id": "urn:uuid:bbbbbbbb-0000-4000-8000-000000000001"}

    outcome = await published.negotiate(published.rheinaue, offer=wider)

    assert outcome["state"] == "TERMINATED"
    assert "At most 5 uses" in outcome["reason"]
    assert await published.rheinaue.call("GET", "/api/agreements") == []


async def test_a_counter_offer_without_a_prohibition_of_the_offer_is_refused(published: Region) -> None:
    wider = {**offer(), "@id": "urn:uuid:bbbbbbbb-0000-4000-8000-000000000002"}
    del wider["prohibition"]

    outcome = await published.negotiate(published.rheinaue, offer=wider)

    assert outcome["state"] == "TERMINATED"
    assert await published.rheinaue.call("GET", "/api/agreements") == []


async def test_a_counter_offer_tighter_than_the_offer_is_agreed_as_it_was_asked_for(
    published: Region,
) -> None:
    tighter = {**offer(uses=2), "@id": "urn:uuid:bbbbbbbb-0000-4000-8000-000000000003"}

    outcome = await published.negotiate(published.rheinaue, offer=tighter)

    assert outcome["state"] == "FINALIZED"
    (agreement,) = await published.rheinaue.call("GET", "/api/agreements")
    counts = {
        part["rightOperand"]
        for rule in agreement["agreement"]["permission"]
        for part in rule["constraint"]
        if part["leftOperand"] == "count"
    }
    assert counts == {"2"}


async def test_an_offer_that_was_tightened_after_the_catalog_was_read_is_not_agreed_as_it_was(
    published: Region,
) -> None:
    await published.publish(published.rheinaue, offer=offer(uses=1))

    outcome = await published.negotiate(published.rheinaue)

    assert outcome["state"] == "TERMINATED"
    assert await published.rheinaue.call("GET", "/api/agreements") == []
    await published.read_catalog(published.rheinaue)
    assert (await published.negotiate(published.rheinaue))["state"] == "FINALIZED"


async def test_an_offer_that_is_tightened_while_a_person_decides_is_not_agreed_as_it_was(
    published: Region,
) -> None:
    await published.publish(published.rheinaue, approval="manual")
    outcome, held = await held_negotiation(published)
    await published.publish(published.rheinaue, approval="manual", offer=offer(uses=1))

    await published.rheinaue.call("POST", f"/api/negotiations/{held}/accept")

    assert (await published.outcome(outcome))["state"] == "TERMINATED"
    assert await published.lastwerk.call("GET", "/api/agreements") == []


async def test_a_contract_stays_in_force_when_the_offer_changes_or_is_withdrawn(contracted: Region) -> None:
    await contracted.publish(contracted.rheinaue, offer=offer(purpose=MARKETING))
    await contracted.rheinaue.call("DELETE", f"/api/datasets/{segment(DATASETS['rheinaue'])}")

    outcome = await contracted.commission(contracted.rheinaue)

    assert outcome["state"] == "RELEASED"


async def test_a_withdrawn_offer_is_in_no_catalog_and_cannot_be_negotiated(published: Region) -> None:
    await published.rheinaue.call("DELETE", f"/api/datasets/{segment(DATASETS['rheinaue'])}")

    assert (await published.read_catalog(published.rheinaue))["datasets"] == []
    pid = await published.request(published.rheinaue)
    await until(lambda: any(one.status == 404 for one in published.network.sent("/negotiations/request")))
    assert (await published.lastwerk.call("GET", f"/api/negotiations/{pid}"))["state"] is None
    assert published.rheinaue.rows("negotiations") == []


async def held_negotiation(region: Region) -> tuple[str, str]:
    """Ask for a contract that a person decides about; returns the consumer's and the provider's pid."""
    pid = await region.request(region.rheinaue)
    await until(lambda: any(record["held"] for record in region.rheinaue.rows("negotiations")))
    (record,) = region.rheinaue.rows("negotiations")
    return pid, str(record["pid"])


async def test_a_held_negotiation_waits_until_a_person_accepts_it(published: Region) -> None:
    await published.publish(published.rheinaue, approval="manual")

    ours, theirs = await held_negotiation(published)

    held = await published.rheinaue.call("GET", f"/api/negotiations/{theirs}")
    assert held["state"] == "REQUESTED"
    assert "a person" in held["held"]
    assert (await published.lastwerk.call("GET", f"/api/negotiations/{ours}"))["state"] == "REQUESTED"
    assert await published.rheinaue.call("GET", "/api/agreements") == []
    await published.rheinaue.call("POST", f"/api/negotiations/{theirs}/accept")
    assert (await published.outcome(ours))["state"] == "FINALIZED"


async def test_a_held_negotiation_that_a_person_rejects_ends_with_that_persons_reason(
    published: Region,
) -> None:
    await published.publish(published.rheinaue, approval="manual")
    ours, theirs = await held_negotiation(published)

    reason = {"reason": "Erst nach der Netzprüfung."}
    await published.rheinaue.call("POST", f"/api/negotiations/{theirs}/reject", reason)

    outcome = await published.outcome(ours)
    assert outcome["state"] == "TERMINATED"
    assert outcome["reason"] == "Erst nach der Netzprüfung."
    assert outcome["reasons"] == {"de": "Erst nach der Netzprüfung.", "en": "Erst nach der Netzprüfung."}
    (ending,) = published.network.sent("/termination")
    assert json.loads(ending.body)["reason"] == ["Erst nach der Netzprüfung."], "nobody translates a person"


async def test_a_decision_is_taken_once(published: Region) -> None:
    await published.publish(published.rheinaue, approval="manual")
    ours, theirs = await held_negotiation(published)
    await published.rheinaue.call("POST", f"/api/negotiations/{theirs}/accept")
    await published.outcome(ours)

    again = await published.rheinaue.answer("POST", f"/api/negotiations/{theirs}/reject", {"reason": "Nein."})

    assert again.status_code == 422
    assert "does not wait" in again.json()["detail"]
    assert (await published.outcome(ours))["state"] == "FINALIZED"


async def test_a_person_cannot_grant_what_the_offer_does_not_hold(published: Region) -> None:
    await published.publish(published.rheinaue, approval="manual")

    wider = {**offer(uses=1000), "@id": "urn:uuid:bbbbbbbb-0000-4000-8000-000000000004"}
    outcome = await published.negotiate(published.rheinaue, offer=wider)

    assert outcome["state"] == "TERMINATED", "it does not even reach a person"


async def test_what_is_agreed_after_an_offer_of_ours_is_that_offer_and_not_what_was_asked_for(
    published: Region,
) -> None:
    """A workflow rule answers every request with the dataset's own offer; somebody asks for more first."""
    settings = published.rheinaue.directory / "allmende.toml"
    rule = '\n[[workflow]]\nrole = "provider"\ndataset = "*"\nstate = "REQUESTED"\naction = "offer"\n'
    settings.write_text(settings.read_text() + rule)
    await published.rheinaue.restart()

    wider = {**offer(uses=1000), "@id": "urn:uuid:bbbbbbbb-0000-4000-8000-000000000006"}
    pid = await published.request(published.rheinaue, offer=wider)
    held = await published.outcome(pid)
    assert held["state"] == "OFFERED"
    await published.lastwerk.call("POST", f"/api/negotiations/{pid}/accept")

    assert (await published.outcome(pid))["state"] == "FINALIZED"
    (agreement,) = await published.rheinaue.call("GET", "/api/agreements")
    counts = {
        part["rightOperand"]
        for permission in agreement["agreement"]["permission"]
        for part in permission["constraint"]
        if part["leftOperand"] == "count"
    }
    assert counts == {"5"}


OBJECTIONS = [
    ("another purpose", {"purpose": MARKETING}, "Lastprognose", "load forecasting"),
    ("more uses", {"offer": {**offer(uses=9), "@id": "urn:x"}}, "Höchstens 5 Nutzungen", "At most 5 uses"),
    (
        "fewer prohibitions",
        {"offer": {**offer(), "@id": "urn:x", "prohibition": [{"action": "sell"}]}},
        "Rohdaten",
        "raw data",
    ),
]


@pytest.mark.parametrize(
    ("change", "german", "english"),
    [case[1:] for case in OBJECTIONS],
    ids=[case[0] for case in OBJECTIONS],
)
async def test_a_steward_reads_in_either_language_why_a_request_was_refused(
    published: Region, change: Any, german: str, english: str
) -> None:
    pid = (await published.negotiate(published.rheinaue, **change))["pid"]

    (record,) = published.rheinaue.rows("negotiations")
    for participant, own in ((published.rheinaue, record["pid"]), (published.lastwerk, pid)):
        for language, said, other in (("de", german, english), ("en", english, german)):
            headers = {"authorization": f"Bearer {participant.running.token}", "accept": "text/html"}
            async with participant.management(headers=headers) as client:
                page = (await client.get(f"/anfragen/{segment(own)}?lang={language}")).text
            reason = page.partition('id="reason-given"')[2].partition("</section>")[0]
            assert said in reason, (participant.name, language)
            assert other not in reason, (participant.name, language)


# what cannot be offered at all


@pytest.mark.parametrize(
    ("term", "named"),
    [
        (constraint("moonPhase", "eq", "full"), "moonPhase"),
        (constraint("https://example.org/terms#weather", "eq", "dry"), "https://example.org/terms#weather"),
        (constraint("count", "gteq", "3"), "count"),
        (constraint(POLICY + "outputReview", "eq", "sometimes"), "outputReview"),
    ],
)
async def test_a_term_that_cannot_be_enforced_is_refused_when_the_offer_is_published(
    published: Region, term: Any, named: str
) -> None:
    before = published.rheinaue.state()
    hostile = offer()
    hostile["permission"][1]["constraint"].append(term)

    answer = await publish(published, offer=hostile)

    assert answer.status_code == 422
    assert named in answer.json()["detail"]
    assert published.rheinaue.state() == before


async def test_a_term_that_we_do_not_know_is_refused_before_we_ask_for_it(published: Region) -> None:
    before = published.lastwerk.state()
    strange = {**offer(), "@id": "urn:uuid:bbbbbbbb-0000-4000-8000-000000000005"}
    strange["permission"][0]["constraint"].append(constraint("moonPhase", "eq", "full"))

    body = {"dataset": DATASETS["rheinaue"], "offer": strange}
    answer = await published.lastwerk.answer("POST", "/api/negotiations", body)

    assert answer.status_code == 422
    assert "moonPhase" in answer.json()["detail"]
    assert published.lastwerk.state() == before


async def publish(region: Region, **changes: Any) -> Any:
    return await region.rheinaue.answer("POST", "/api/datasets", publication(region.rheinaue, **changes))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.parquet", None),
        ("broken.parquet", b"PAR1 and then nothing of the kind"),
        ("empty.parquet", b""),
        ("table.xlsx", b"PK"),
    ],
)
async def test_a_data_file_that_cannot_be_read_is_refused_by_name_and_changes_nothing(
    published: Region, tmp_path: Path, name: str, content: bytes | None
) -> None:
    before = published.rheinaue.state()
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    answer = await publish(published, file=str(path))

    assert answer.status_code == 422
    assert name in answer.json()["detail"]
    assert published.rheinaue.state() == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "load_mw"}, "load_mw"),
        ({"data_type": "double"}, "load_kw"),
    ],
)
async def test_columns_that_the_file_does_not_have_are_refused_by_name(
    published: Region, change: Any, named: str
) -> None:
    before = published.rheinaue.state()
    body = publication(published.rheinaue)
    body["columns"][3] |= change

    answer = await published.rheinaue.answer("POST", "/api/datasets", body)

    assert answer.status_code == 422
    assert named in answer.json()["detail"]
    assert published.rheinaue.state() == before


async def test_both_sign_what_the_dataset_is_said_to_be_and_what_the_profile_means(published: Region) -> None:
    outcome = await published.negotiate(published.rheinaue)

    evidence = f"/api/agreements/{segment(outcome['agreement_id'])}/evidence"
    statement = verify_file(await published.lastwerk.file(evidence)).statement
    (view,) = [
        one["view"]
        for one in published.lastwerk.rows("remote_datasets")
        if one["view"]["identifier"] == DATASETS["rheinaue"]
    ]
    names = ("identifier", "title", "description", "table", "columns")
    assert statement["datasetDescriptionDigest"] == digest({name: view[name] for name in names})
    profile = "https://w3id.org/allmende/policy/v1"
    assert statement["policyProfileDigests"] == {profile: digest(context_document(profile))}


async def test_a_dataset_that_is_described_otherwise_since_the_catalog_was_read_is_not_agreed_on(
    published: Region,
) -> None:
    other = {"de": "Etwas anderes", "en": "Something else"}
    await published.publish(published.rheinaue, title=other)

    pid = await published.request(published.rheinaue)

    outcome = await published.lastwerk.call("GET", f"/api/negotiations/{pid}?wait=2")
    assert outcome["state"] != "FINALIZED"
    assert await published.lastwerk.call("GET", "/api/agreements") == []
    await published.read_catalog(published.rheinaue)
    assert (await published.negotiate(published.rheinaue))["state"] == "FINALIZED"
