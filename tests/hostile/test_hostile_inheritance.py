"""Policies that take over rules from elsewhere: nothing is fetched, nothing is skipped, nothing grows."""

from typing import Any

import pytest

from tests.region.participants import (
    DATASETS,
    ORIGINS,
    Region,
    Stranger,
    at_rest,
    dsp,
    leaks_nothing,
    offer,
    publication,
    until,
    voice_of,
)

METADATA = "http://169.254.169.254/latest/meta-data/"
HOUSE = "https://genossenschaft.example/hausregeln/1"
HOUSE_RULES = {"@id": HOUSE, "@type": "Set", "prohibition": [{"action": "distribute"}]}
UNKNOWN = "urn:uuid:dddddddd-0000-4000-8000-000000000000"
FULL = "http://www.w3.org/ns/odrl/2/inheritFrom"
PLAIN = ["https://w3id.org/dspace/2025/1/context.jsonld"]


def heir(key: str = "inheritFrom", parent: Any = METADATA, **changes: Any) -> dict[str, Any]:
    """The provider's own offer, word for word, that also takes over rules of something else."""
    return {**offer(), "@id": UNKNOWN, "target": DATASETS["rheinaue"], key: parent} | changes


@pytest.fixture
async def region(published: Region) -> Region:
    published.network.passed.clear()
    return published


def request_by(who: str, wanted: dict[str, Any], **members: Any) -> dict[str, Any]:
    return dsp(
        "ContractRequestMessage",
        consumerPid=f"urn:uuid:{who}",
        offer=wanted,
        callbackAddress=f"{ORIGINS['stranger']}/dsp/2025-1",
        **members,
    )


async def refused_request(region: Region, stranger: Stranger, message: dict[str, Any]) -> str:
    """Ask for a contract; returns the reason for which the provider ends the negotiation."""
    answer = await stranger.say(region.rheinaue, "/negotiations/request", message)
    assert answer.status_code == 201, answer.text
    leaks_nothing(answer, region)
    (record,) = region.rheinaue.rows("negotiations")
    assert record["pending"] == "termination"
    assert region.rheinaue.rows("agreements") == []
    assert record["reason"]["de"] != record["reason"]["en"]
    return str(record["reason"]["en"])


# what a consumer asks for


@pytest.mark.parametrize("key", ["inheritFrom", "odrl:inheritFrom", FULL])
@pytest.mark.parametrize("context", [PLAIN, PLAIN[0]], ids=["plain", "translated"])
@pytest.mark.parametrize("parent", [METADATA, {"@id": METADATA}, [METADATA, METADATA]])
async def test_an_address_as_a_parent_is_not_fetched_and_the_request_is_refused_with_the_reason(
    region: Region, tmp_path_factory: pytest.TempPathFactory, key: str, context: Any, parent: Any
) -> None:
    stranger = Stranger(tmp_path_factory.mktemp("stranger"), region.network)

    reason = await refused_request(
        region, stranger, {**request_by("c", heir(key, parent)), "@context": context}
    )

    assert f"{METADATA}, whose rules are taken over, is not at hand, and it is not fetched" in reason
    assert {one.url.split("/")[2] for one in region.network.passed} <= {"localhost:18084"}
    (entry,) = (await region.ledger(region.rheinaue))["entries"]
    assert entry["kind"] == "refusal"


async def test_the_address_of_a_participant_as_a_parent_is_not_asked_for(
    region: Region, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Stranger(tmp_path_factory.mktemp("stranger"), region.network)

    await refused_request(region, stranger, request_by("c", heir(parent=f"{stranger.origin}/policy")))

    await at_rest(region.lastwerk)
    assert "/policy" not in stranger.called


CROOKED = [
    ("itself", {"parent": UNKNOWN}, "not at hand|in a circle"),
    ("a number", {"parent": 5}, "is not a text"),
    ("a whole policy", {"parent": HOUSE_RULES}, "cannot be skipped"),
    ("a thousand names", {"parent": [f"urn:{number}" for number in range(1000)]}, "more than 100"),
    ("a long name", {"parent": "urn:" + "x" * 100_000}, "is not a text of at most"),
    (
        "a hundred rules of its own beside ours",
        {"parent": HOUSE, "prohibition": [{"action": "sell"}] * 100},
        "more than 100 rules",
    ),
    (
        "ten thousand rules",
        {"parent": HOUSE, "prohibition": [{"action": "sell"}] * 10_000},
        "more than 100 rules",
    ),
    ("another strategy", {"parent": HOUSE, "conflict": "perm"}, "prohibition always wins"),
]


@pytest.mark.parametrize(
    ("crooked", "said"), [case[1:] for case in CROOKED], ids=[case[0] for case in CROOKED]
)
async def test_a_crooked_heir_is_refused_with_the_reason(
    region: Region, tmp_path_factory: pytest.TempPathFactory, crooked: dict[str, Any], said: str
) -> None:
    await region.rheinaue.call("POST", "/api/policies", HOUSE_RULES)
    stranger = Stranger(tmp_path_factory.mktemp("stranger"), region.network)

    reason = await refused_request(region, stranger, request_by("c", heir(**crooked)))

    assert any(part in reason for part in said.split("|")), reason


async def test_a_kept_parent_makes_a_request_no_wider(
    region: Region, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Somebody asks for what a house policy of the provider permits, and the dataset's offer does not."""
    wide = {"@id": HOUSE, "@type": "Set", "permission": [{"action": "reproduce"}]}
    await region.rheinaue.call("POST", "/api/policies", wide)
    stranger = Stranger(tmp_path_factory.mktemp("stranger"), region.network)

    reason = await refused_request(region, stranger, request_by("c", heir(parent=HOUSE)))

    assert "not offered" in reason


async def test_a_request_that_takes_over_a_kept_parent_is_agreed_with_all_its_rules(region: Region) -> None:
    """Its own words alone would be those of the offer; what it adds must not get lost on the way."""
    await region.rheinaue.call("POST", "/api/policies", HOUSE_RULES)
    message = request_by("c", heir(parent=HOUSE)) | {"callbackAddress": f"{ORIGINS['lastwerk']}/dsp/2025-1"}

    answer = await voice_of(region.lastwerk).say(region.rheinaue, "/negotiations/request", message)

    assert answer.status_code == 201, answer.text
    (agreement,) = region.rheinaue.rows("agreements")
    document = agreement["document"]
    assert {"action": "distribute"} in document["prohibition"]
    assert not [name for name in document if "inheritFrom" in name]


PASSED_OVER = [
    ("conflict", "perm", "prohibition always wins"),
    ("odrl:conflict", "perm", "prohibition always wins"),
    ("http://www.w3.org/ns/odrl/2/conflict", "perm", "prohibition always wins"),
    ("hasPolicy", "urn:x", "hasPolicy"),
    ("https://w3id.org/allmende/policy/v1#more", "urn:x", "cannot be skipped"),
]


@pytest.mark.parametrize(
    ("key", "value", "said"), PASSED_OVER, ids=[f"{key.rpartition('/')[2]}" for key, _, _ in PASSED_OVER]
)
async def test_a_request_in_the_words_of_the_offer_with_one_word_more_is_not_taken_for_the_offer(
    region: Region, tmp_path_factory: pytest.TempPathFactory, key: str, value: str, said: str
) -> None:
    stranger = Stranger(tmp_path_factory.mktemp("stranger"), region.network)
    wanted = {name: member for name, member in heir().items() if name != "inheritFrom"} | {key: value}

    reason = await refused_request(region, stranger, request_by("c", wanted))

    assert said in reason


async def test_a_counter_offer_with_a_parent_that_is_not_at_hand_ends_the_negotiation(
    region: Region,
) -> None:
    dataset = {
        "dataset": DATASETS["rheinaue"],
        "consumer": region.lastwerk.did,
        "address": f"{ORIGINS['lastwerk']}/dsp/2025-1",
    }
    theirs = (await region.rheinaue.call("POST", "/api/offers", dataset))["pid"]
    await until(lambda: any(record["held"] for record in region.lastwerk.rows("negotiations")))
    await at_rest(region.rheinaue, region.lastwerk)
    (record,) = region.lastwerk.rows("negotiations")

    message = dsp("ContractRequestMessage", offer=heir(), providerPid=theirs, consumerPid=record["pid"])
    answer = await voice_of(region.lastwerk).say(region.rheinaue, f"/negotiations/{theirs}/request", message)

    assert answer.status_code == 200, answer.text
    outcome = await region.outcome(theirs, region.rheinaue)
    assert outcome["state"] == "TERMINATED"
    assert "not at hand" in outcome["reason"]
    assert region.rheinaue.rows("agreements") == []


# what a provider sends


async def test_an_offer_with_a_parent_that_is_not_at_hand_is_refused_by_the_consumer(region: Region) -> None:
    before = region.lastwerk.state()
    message = dsp(
        "ContractOfferMessage",
        providerPid="urn:uuid:p",
        offer=heir(),
        callbackAddress=f"{ORIGINS['rheinaue']}/dsp/2025-1",
    )

    answer = await voice_of(region.rheinaue).say(region.lastwerk, "/negotiations/offers", message)

    assert answer.status_code == 400
    assert "not at hand" in str(answer.json()["reason"])
    leaks_nothing(answer, region)
    assert region.lastwerk.state() == before
    assert [one.path for one in region.network.passed] in ([], ["/.well-known/did.json"])


@pytest.mark.parametrize("key", ["inheritFrom", "odrl:inheritFrom", FULL])
async def test_an_agreement_that_takes_over_rules_is_refused_by_the_consumer(
    region: Region, key: str
) -> None:
    """All else in it is what was negotiated: the rules, the parties and the dataset."""
    await region.publish(region.rheinaue, approval="manual")
    await region.read_catalog(region.rheinaue)
    ours = await region.request(region.rheinaue)
    await until(lambda: any(record["held"] for record in region.rheinaue.rows("negotiations")))
    await at_rest(region.rheinaue, region.lastwerk)
    (record,) = region.lastwerk.rows("negotiations")
    agreement = {
        **record["offer"],
        "@type": "Agreement",
        "@id": UNKNOWN,
        "assigner": region.rheinaue.did,
        "assignee": region.lastwerk.did,
        key: HOUSE,
    }
    await region.lastwerk.call("POST", "/api/policies", HOUSE_RULES)
    before = region.lastwerk.state()
    message = dsp(
        "ContractAgreementMessage", agreement=agreement, providerPid=record["peer_pid"], consumerPid=ours
    )

    answer = await voice_of(region.rheinaue).say(region.lastwerk, f"/negotiations/{ours}/agreement", message)

    assert answer.status_code == 400, answer.text
    assert "has to state all its rules itself" in str(answer.json()["reason"])
    assert region.lastwerk.state() == before


async def test_an_agreement_made_elsewhere_that_takes_over_rules_is_not_brought_in(region: Region) -> None:
    before = region.lastwerk.state()
    agreement = {
        **heir(),
        "@type": "Agreement",
        "assigner": region.rheinaue.did,
        "assignee": region.lastwerk.did,
    }
    body = {
        "role": "consumer",
        "peer": region.rheinaue.did,
        "address": f"{ORIGINS['rheinaue']}/dsp/2025-1",
        "agreement": agreement,
    }

    answer = await region.lastwerk.answer("POST", "/api/agreements", body)

    assert answer.status_code == 422
    assert "has to state all its rules itself" in answer.json()["detail"]
    assert region.lastwerk.state() == before


# what a steward is talked into


async def test_a_bomb_of_kept_policies_does_not_go_off(region: Region) -> None:
    """Ten policies of thirty rules each can be kept one by one, but nothing takes over all of them."""
    rules = [{"action": "sell"}] * 30
    for number in range(10):
        policy = {"@id": f"urn:uuid:{number}", "@type": "Set", "prohibition": rules}
        await region.rheinaue.call("POST", "/api/policies", policy)
    everything = {**offer(), "inheritFrom": [f"urn:uuid:{number}" for number in range(10)]}
    before = region.rheinaue.state()

    answer = await region.rheinaue.answer(
        "POST", "/api/datasets", publication(region.rheinaue, offer=everything)
    )

    assert answer.status_code == 422
    assert "more than 100 rules" in answer.json()["detail"]
    assert region.rheinaue.state() == before


async def test_a_policy_cannot_be_exchanged_for_another_one_by_withdrawing_it(region: Region) -> None:
    await region.rheinaue.call("POST", "/api/policies", HOUSE_RULES)
    await region.rheinaue.call("DELETE", f"/api/policies/{HOUSE}")

    harmless = {**HOUSE_RULES, "prohibition": [{"action": "archive"}]}
    answer = await region.rheinaue.answer("POST", "/api/policies", harmless)

    assert answer.status_code == 422
    assert "already" in answer.json()["detail"]
    (kept,) = await region.rheinaue.call("GET", "/api/policies")
    assert kept["policy"] == HOUSE_RULES


@pytest.mark.parametrize(
    "body", [[], "urn:x", 5, None, {}, {"@id": "urn:x"}, {"@id": "urn:x", "permission": "all"}]
)
async def test_what_is_no_policy_is_refused_with_a_sentence(region: Region, body: Any) -> None:
    before = region.rheinaue.state()

    answer = await region.rheinaue.answer("POST", "/api/policies", body)

    assert answer.status_code == 422
    assert answer.json()["detail"]
    leaks_nothing(answer, region)
    assert region.rheinaue.state() == before
