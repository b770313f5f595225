"""House rules: kept once, taken over by offers, and enforced under every agreement made from them."""

from typing import Any

import pytest

from connector.evidence.documents import digest
from connector.evidence.verification import verify_file
from tests.region.participants import (
    DATASETS,
    FORECASTING,
    JOB,
    METRICS,
    POLICY,
    STATEMENT,
    Participant,
    Region,
    offer,
    publication,
    segment,
    until,
)

HOUSE = "https://genossenschaft.example/hausregeln/1"
QUERY, COMPUTE = offer(uses=2)["permission"]
HOUSE_RULES = {
    "@id": HOUSE,
    "@type": "Set",
    "profile": "https://w3id.org/allmende/policy/v1",
    "permission": [QUERY],
    "prohibition": [{"action": POLICY + "compute"}, {"action": "distribute"}],
}
HEIR = {
    "@type": "Offer",
    "inheritFrom": HOUSE,
    "permission": [COMPUTE],
    "prohibition": [{"action": "reproduce"}],
}
PROHIBITED = [{"action": "reproduce"}, {"action": POLICY + "compute"}, {"action": "distribute"}]


async def keep(participant: Participant, policy: Any = HOUSE_RULES) -> Any:
    return await participant.call("POST", "/api/policies", policy)


@pytest.fixture
async def heir(published: Region) -> Region:
    """A provider whose offer takes over its house rules, and a consumer that has read its catalog."""
    await keep(published.rheinaue)
    await published.publish(published.rheinaue, offer=HEIR)
    await published.read_catalog(published.rheinaue)
    return published


# keeping policies


async def test_a_kept_policy_is_shown_with_its_digest_and_what_its_terms_are_worth(
    published: Region,
) -> None:
    kept = await keep(published.rheinaue)

    assert kept["identifier"] == HOUSE
    assert kept["digest"] == digest(HOUSE_RULES)
    assert {use["level"] for use in kept["terms"]} == {"enforced", "declared"}
    (shown,) = await published.rheinaue.call("GET", "/api/policies")
    assert shown == {name: value for name, value in kept.items() if name != "terms"}
    assert (shown["policy"], shown["withdrawn"]) == (HOUSE_RULES, None)


async def test_the_same_policy_may_be_kept_again_and_another_one_under_its_name_may_not(
    published: Region,
) -> None:
    first = await keep(published.rheinaue)
    assert await keep(published.rheinaue, dict(reversed(HOUSE_RULES.items()))) == first

    other = {**HOUSE_RULES, "prohibition": [{"action": "distribute"}]}
    answer = await published.rheinaue.answer("POST", "/api/policies", other)

    assert answer.status_code == 422
    assert "cannot change; choose a new identifier" in answer.json()["detail"]
    (shown,) = await published.rheinaue.call("GET", "/api/policies")
    assert shown["policy"] == HOUSE_RULES


async def test_a_withdrawn_policy_keeps_its_name_and_can_be_brought_back(published: Region) -> None:
    await keep(published.rheinaue)
    await published.rheinaue.call("DELETE", f"/api/policies/{segment(HOUSE)}")

    (shown,) = await published.rheinaue.call("GET", "/api/policies")
    assert shown["withdrawn"] is not None
    other = {**HOUSE_RULES, "prohibition": [{"action": "distribute"}]}
    assert (await published.rheinaue.answer("POST", "/api/policies", other)).status_code == 422
    refused = await published.rheinaue.answer(
        "POST", "/api/negotiations", {"dataset": "urn:x", "offer": HEIR}
    )
    assert refused.status_code == 422
    assert (await keep(published.rheinaue))["withdrawn"] is None
    assert (await published.rheinaue.answer("DELETE", "/api/policies/urn:unknown")).status_code == 404


UNFIT = [
    ("no name", {"@id": None}, "exactly one name"),
    ("a relative name", {"@id": "hausregeln"}, "absolute IRI"),
    ("a target", {"target": "urn:d"}, "must not name its own target"),
    ("an assignee", {"assignee": "did:web:b"}, "must not name its own assignee"),
    ("an agreement", {"@type": "Agreement"}, "has no target"),
    ("an unknown term", {"prohibition": [{"action": "dance"}]}, "dance"),
    ("a term that nobody keeps", {"permission": [{"action": "sell"}]}, "sell"),
    ("another strategy", {"conflict": "perm"}, "prohibition always wins"),
    ("a parent that is not at hand", {"inheritFrom": "urn:gone"}, "urn:gone, whose rules are taken over"),
    ("itself", {"inheritFrom": HOUSE}, "in a circle"),
]


@pytest.mark.parametrize(("change", "said"), [case[1:] for case in UNFIT], ids=[case[0] for case in UNFIT])
async def test_a_policy_that_nobody_could_take_over_is_not_kept(
    published: Region, change: Any, said: str
) -> None:
    document = {name: value for name, value in (HOUSE_RULES | change).items() if value is not None}
    before = published.rheinaue.state()

    answer = await published.rheinaue.answer("POST", "/api/policies", document)

    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert published.rheinaue.state() == before


# offers


async def test_the_catalog_shows_the_offer_with_all_its_rules(heir: Region) -> None:
    (dataset,) = (await heir.read_catalog(heir.rheinaue))["datasets"]

    (shown,) = dataset["offers"]
    assert "inheritFrom" not in shown
    assert [rule["action"] for rule in shown["permission"]] == [POLICY + "compute", POLICY + "query"]
    assert shown["prohibition"] == PROHIBITED
    assert shown["profile"] == ["https://w3id.org/allmende/policy/v1"]


async def test_the_dataset_is_recorded_with_what_its_offer_took_over(published: Region) -> None:
    await keep(published.rheinaue, {**HOUSE_RULES, "@id": "urn:uuid:top", "permission": []})
    middle = {"@id": HOUSE, "@type": "Set", "inheritFrom": "urn:uuid:top", "permission": [QUERY]}
    await keep(published.rheinaue, middle)

    await published.publish(published.rheinaue, offer=HEIR)

    (shown,) = await published.rheinaue.call("GET", "/api/datasets")
    top = {**HOUSE_RULES, "@id": "urn:uuid:top", "permission": []}
    assert shown["inherited"] == [
        {"identifier": HOUSE, "digest": digest(middle)},
        {"identifier": "urn:uuid:top", "digest": digest(top)},
    ]


async def test_an_offer_may_consist_of_what_it_takes_over(published: Region) -> None:
    await keep(published.rheinaue)
    await published.publish(published.rheinaue, offer={"@type": "Offer", "inheritFrom": [HOUSE]})
    await published.read_catalog(published.rheinaue)

    assert (await published.negotiate(published.rheinaue))["state"] == "FINALIZED"


async def test_an_offer_whose_parent_is_not_at_hand_is_not_published(published: Region) -> None:
    before = published.rheinaue.state()
    answer = await published.rheinaue.answer(
        "POST", "/api/datasets", publication(published.rheinaue, offer=HEIR)
    )

    assert answer.status_code == 422
    assert HOUSE in answer.json()["detail"]
    assert "POST /api/policies" in answer.json()["detail"]
    assert "hinterlegen" in answer.json()["reason"]["de"].lower()
    assert published.rheinaue.state() == before


# agreements


async def test_the_agreement_states_the_rules_of_the_parent_and_both_parties_sign_them(heir: Region) -> None:
    outcome = await heir.negotiate(heir.rheinaue)

    assert outcome["state"] == "FINALIZED"
    await until(lambda: len(heir.rheinaue.state()["documents"]) == 1)
    for participant in (heir.rheinaue, heir.lastwerk):
        (agreement,) = await participant.call("GET", "/api/agreements")
        document = agreement["agreement"]
        assert agreement["signed"] is True
        assert "inheritFrom" not in document
        assert [rule["action"] for rule in document["permission"]] == [POLICY + "compute", POLICY + "query"]
        counts = [part for part in document["permission"][1]["constraint"] if part["leftOperand"] == "count"]
        assert counts == [{"leftOperand": "count", "operator": "lteq", "rightOperand": "2"}]
        assert document["prohibition"] == PROHIBITED
        evidence = f"/api/agreements/{segment(outcome['agreement_id'])}/evidence"
        verified = verify_file(await participant.file(evidence))
        assert [party.did for party in verified.parties] == [heir.rheinaue.did, heir.lastwerk.did]


async def test_what_the_parent_limits_and_prohibits_is_enforced_although_it_is_withdrawn(
    heir: Region,
) -> None:
    await heir.negotiate(heir.rheinaue)
    await heir.rheinaue.call("DELETE", f"/api/policies/{segment(HOUSE)}")
    before = await heir.rheinaue.call("GET", "/api/agreements")

    body = {"statement": STATEMENT, "agreements": [await heir.agreement_with(heir.rheinaue)]}
    told = [(await heir.lastwerk.call("POST", "/api/queries", body))["sites"][0] for _ in range(3)]

    assert [site["status"] for site in told] == ["released", "released", "refused"]
    assert "used up" in told[2]["reason"]
    job = {"agreement_id": await heir.agreement_with(heir.rheinaue), "files": JOB, "outputs": METRICS}
    computed = await heir.lastwerk.answer("POST", "/api/computations", job)
    assert computed.status_code == 422
    assert "Prohibited is: compute" in computed.json()["detail"]
    assert await heir.rheinaue.call("GET", "/api/agreements") == before
    refused = await heir.rheinaue.answer("POST", "/api/datasets", publication(heir.rheinaue, offer=HEIR))
    assert refused.status_code == 422, "no new offer takes its rules over"
    (dataset,) = (await heir.read_catalog(heir.rheinaue))["datasets"]
    assert dataset["offers"][0]["prohibition"] == PROHIBITED, "what is on offer stays as it was"


async def test_a_consumer_fills_in_what_it_asks_for_from_the_policies_that_it_keeps(heir: Region) -> None:
    wanted = {**HEIR, "@id": "urn:uuid:bbbbbbbb-0000-4000-8000-000000000011"}
    body = {"dataset": DATASETS["rheinaue"], "purpose": FORECASTING, "offer": wanted}
    missing = await heir.lastwerk.answer("POST", "/api/negotiations", body)
    assert missing.status_code == 422
    assert f"{HOUSE}, whose rules are taken over, is not at hand" in missing.json()["detail"]

    await keep(heir.lastwerk)
    outcome = await heir.negotiate(heir.rheinaue, offer=wanted)

    assert outcome["state"] == "FINALIZED"
    (request,) = heir.network.sent("/negotiations/request")
    assert b"inheritFrom" not in request.body
