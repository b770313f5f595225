"""What an agreement would decide now, as a report in RDF, while nothing happens."""

from typing import Any

import pytest

from connector.protocol.jobs import algorithm_digest
from tests.region.participants import (
    DATASETS,
    FORECASTING,
    JOB,
    MARKETING,
    POLICY,
    STATEMENT,
    USES,
    Participant,
    Region,
    offer,
    segment,
)

REPORT = "https://w3id.org/force/compliance-report#"


async def ask(participant: Participant, agreement: str, query: str, accept: str | None = None) -> Any:
    headers = {"authorization": f"Bearer {participant.running.token}"}
    if accept is not None:
        headers["accept"] = accept
    async with participant.management(headers=headers) as client:
        return await client.get(f"/api/agreements/{segment(agreement)}/report?{query}")


async def report(participant: Participant, agreement: str, query: str) -> Any:
    answer = await ask(participant, agreement, query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/ld+json"
    return answer.json()


def decided(told: Any) -> tuple[str, str]:
    """Whether it is permitted, and why in English."""
    sentences = {text["@language"]: text["@value"] for text in told["dct:description"]}
    assert sentences["de"] != sentences["en"]
    return told["allmende:permitted"]["@value"], sentences["en"]


def states(told: Any) -> list[str]:
    return [rule["report:activationState"]["@id"].partition(":")[2] for rule in told["report:ruleReport"]]


@pytest.fixture
async def agreement(contracted: Region) -> str:
    return await contracted.agreement_with(contracted.rheinaue)


async def test_a_report_is_made_from_the_real_account_and_a_used_up_count_makes_its_rule_inactive(
    contracted: Region, agreement: str
) -> None:
    provider = contracted.rheinaue
    before = await report(provider, agreement, "action=query")
    assert decided(before) == ("true", "Permitted by permission/0.")
    assert states(before) == ["Active", "Inactive", "Inactive"]
    books = provider.state()
    for _ in range(3):
        await report(provider, agreement, "action=query")
    assert provider.state() == books, "nothing is counted"

    body = {"statement": STATEMENT, "agreements": [agreement]}
    for _ in range(USES):
        await contracted.lastwerk.call("POST", "/api/queries", body)

    after = await report(provider, agreement, "action=query")
    assert decided(after) == ("false", f"The agreed uses are used up: At most {USES} uses.")
    assert states(after) == ["Inactive", "Inactive", "Inactive"]
    counts = [
        part["report:satisfactionState"]["@id"]
        for part in after["report:ruleReport"][0]["report:premiseReport"]
        if part["@type"] == "report:ConstraintReport"
    ]
    assert counts[3] == "report:Unsatisfied"


async def test_purpose_and_algorithm_are_those_that_would_be_asked_for(
    contracted: Region, agreement: str
) -> None:
    provider = contracted.rheinaue
    assert (
        decided(await report(provider, agreement, f"action=query&purpose={segment(MARKETING)}"))[0] == "false"
    )
    assert (
        decided(await report(provider, agreement, f"action=query&purpose={segment(FORECASTING)}"))[0]
        == "true"
    )
    assert decided(await report(provider, agreement, "action=compute"))[0] == "false", "which algorithm?"
    told = await report(provider, agreement, f"action=compute&algorithm={algorithm_digest(JOB)}")
    assert decided(told) == ("true", "Permitted by permission/1.")
    asked = told["report:policyRequest"]["odrl:permission"]
    assert asked["odrl:assignee"] == {"@id": contracted.lastwerk.did}
    assert asked["odrl:target"] == {"@id": DATASETS["rheinaue"]}


async def test_the_same_report_is_turtle_or_json_ld(contracted: Region, agreement: str) -> None:
    for accept, media_type in (
        ("text/turtle", "text/turtle"),
        ("application/ld+json", "application/ld+json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/ld+json"),
        ("*/*", "application/ld+json"),
    ):
        answer = await ask(contracted.rheinaue, agreement, "action=query", accept)
        assert answer.headers["content-type"].partition(";")[0] == media_type, accept
        assert answer.headers["vary"] == "Accept"
    turtle = await ask(contracted.rheinaue, agreement, "action=query", "text/turtle")
    assert f"@prefix report: <{REPORT}> ." in turtle.text
    assert (await ask(contracted.rheinaue, agreement, "action=query", "image/png")).status_code == 406


async def test_raw_data_are_reported_as_they_are_handed_out_and_not_by_one_action_alone(
    published: Region,
) -> None:
    """The rule permits to reproduce; the data file stays all the same, as extracts are prohibited."""
    permission = {"action": "reproduce"}
    written = {
        "@type": "Offer",
        "permission": [permission, *offer()["permission"]],
        "prohibition": [{"action": "extract"}],
    }
    await published.publish(published.rheinaue, offer=written)
    await published.read_catalog(published.rheinaue)
    outcome = await published.negotiate(published.rheinaue)

    told = await report(published.rheinaue, outcome["agreement_id"], "action=reproduce")

    assert decided(told) == ("false", "The raw data of this dataset are not handed out.")
    assert states(told)[0] == "Active"


async def test_a_consumer_is_told_what_it_cannot_know(contracted: Region, agreement: str) -> None:
    told = await report(contracted.lastwerk, agreement, "action=query")

    answer, reason = decided(told)
    assert answer == "false"
    assert "nothing known" in reason


async def test_an_agreement_that_was_ended_decides_nothing_but_its_end(
    contracted: Region, agreement: str
) -> None:
    ended = {"reason": "The meters were wrong."}
    await contracted.rheinaue.call("POST", f"/api/agreements/{segment(agreement)}/retirement", ended)

    told = await report(contracted.rheinaue, agreement, "action=query")

    assert decided(told) == ("false", "The provider has ended the agreement: The meters were wrong.")
    assert states(told)[0] == "Active", "its rules stand as they stood"


async def test_what_cannot_be_reported_is_refused_with_a_sentence(contracted: Region, agreement: str) -> None:
    unknown = await ask(contracted.rheinaue, "urn:uuid:dddddddd-0000-4000-8000-000000000000", "action=query")
    assert unknown.status_code == 404
    strange = await ask(contracted.rheinaue, agreement, "action=dance")
    assert strange.status_code == 422
    assert "dance is unknown" in strange.json()["detail"]
    assert (await ask(contracted.rheinaue, agreement, "")).status_code == 422


async def test_rules_that_were_inherited_are_reported_like_all_others(published: Region) -> None:
    house = {"@id": "https://genossenschaft.example/1", "prohibition": [{"action": POLICY + "query"}]}
    await published.rheinaue.call("POST", "/api/policies", house)
    await published.publish(published.rheinaue, offer={**offer(), "inheritFrom": house["@id"]})
    await published.read_catalog(published.rheinaue)
    outcome = await published.negotiate(published.rheinaue)

    told = await report(published.rheinaue, outcome["agreement_id"], "action=query")

    assert decided(told) == ("false", "Prohibited is: query.")
    assert states(told)[3] == "Active"
