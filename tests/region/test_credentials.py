"""Membership and role from credentials: issued by a cooperative, shown by a member, believed, taken back."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector import worker
from connector.adapters import dcp_verifier
from connector.services import vetting
from tests.region.participants import (
    POLICY,
    STATEMENT,
    Participant,
    Region,
    constraint,
    copied,
    offer,
    running,
    segment,
    until,
)

MEMBERS = "https://neckar.example/#members"
FORECASTER = "https://neckar.example/#forecaster"
JSON = {"content-type": "application/json"}
YEARS = "2099-12-31T23:59:59Z"


def trusting(issuer: Participant, **changes: Any) -> list[dict[str, Any]]:
    """The cooperative's membership credential proves the membership, and its claim `role` the roles."""
    entry = {
        "issuer": issuer.did,
        "credential": "MembershipCredential",
        "memberships": [MEMBERS],
        "claims": {"roles": "role"},
    }
    return [entry | changes]


def offer_for(*constraints: dict[str, Any]) -> dict[str, Any]:
    written = offer(uses=20)
    for permission in written["permission"]:
        permission["constraint"] += constraints
    return written


@pytest.fixture
async def region(
    region_stages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Region]:
    """Neckar is the cooperative, Lastwerk its member; Rheinaue believes the cooperative."""
    monkeypatch.setattr(worker, "BETWEEN_CHECKS", timedelta(seconds=0.1))
    monkeypatch.setattr(dcp_verifier, "_LIST_CACHED_FOR", timedelta(0))
    monkeypatch.setattr(vetting, "_AGAIN_AFTER", timedelta(0))
    region = copied(region_stages / "published", tmp_path / "region")
    async with running(region):
        monkeypatch.setenv("ALLMENDE_TRUSTED_ISSUERS", json.dumps(trusting(region.neckar)))
        await region.rheinaue.restart()
        yield region


async def issued(region: Region, subject: Participant, **changes: Any) -> dict[str, Any]:
    body = {"subject": subject.did, "claims": {"role": FORECASTER}, "valid_until": YEARS} | changes
    answer = await region.neckar.call("POST", "/api/issued-credentials", body)
    assert isinstance(answer, dict)
    return answer


async def member(region: Region, **changes: Any) -> dict[str, Any]:
    """Lastwerk has and keeps a credential of the cooperative."""
    credential = await issued(region, region.lastwerk, **changes)
    await region.lastwerk.call("POST", "/api/credentials", {"credential": credential["credential"]})
    return credential


async def negotiated(region: Region, *constraints: dict[str, Any]) -> Any:
    await region.publish(region.rheinaue, offer=offer_for(*constraints))
    await region.read_catalog(region.rheinaue)
    return await region.negotiate(region.rheinaue)


async def ask(region: Region) -> dict[str, Any]:
    [site] = (await region.lastwerk.call("POST", "/api/queries", {"statement": STATEMENT}))["sites"]
    return dict(site)


async def known(region: Region) -> dict[str, Any]:
    """What Rheinaue says that it knows about Lastwerk."""
    entries = await region.rheinaue.call("GET", "/api/participants")
    return next((one for one in entries if one["participant"] == region.lastwerk.did), {})


MEMBERSHIP = constraint(POLICY + "membership", "eq", MEMBERS)
ROLE = constraint(POLICY + "role", "isAnyOf", [FORECASTER])


async def test_a_member_gets_a_contract_and_answers_by_its_credential(region: Region) -> None:
    await member(region)

    assert (await negotiated(region, MEMBERSHIP, ROLE))["state"] == "FINALIZED"
    assert (await ask(region))["status"] == "released"

    entry = await known(region)
    assert entry["stated"] is None
    assert entry["known"]["memberships"] == [MEMBERS]
    assert entry["known"]["roles"] == [FORECASTER]
    [credential] = entry["credentials"]
    assert (credential["issuer"], credential["revoked"]) == (region.neckar.did, False)


async def test_stewards_see_who_their_partners_are_and_what_they_show_themselves(region: Region) -> None:
    await member(region)
    assert (await negotiated(region, MEMBERSHIP))["state"] == "FINALIZED"

    page = (await region.rheinaue.answer("GET", "/partner")).text
    assert FORECASTER in page
    own = (await region.lastwerk.answer("GET", "/partner")).text
    assert "MembershipCredential" in own


async def test_without_a_credential_there_is_no_contract_and_the_reason_says_so(region: Region) -> None:
    outcome = await negotiated(region, MEMBERSHIP)
    assert outcome["state"] == "TERMINATED"
    assert "membership" in outcome["reason"]
    assert region.network.sent("/presentations/query") == []


async def test_a_credential_that_is_taken_back_opens_nothing_any_more(region: Region) -> None:
    credential = await member(region)
    assert (await negotiated(region, MEMBERSHIP))["state"] == "FINALIZED"
    assert (await ask(region))["status"] == "released"

    await region.neckar.call(
        "POST", "/api/issued-credentials/revocation", {"identifier": credential["identifier"]}
    )
    await until(lambda: region.rheinaue.rows("presentations")[0]["credentials"][0]["taken_back"])

    site = await ask(region)
    assert site["status"] == "refused"
    assert "membership" in site["reason"]
    assert (await known(region))["credentials"][0]["revoked"] is True


async def test_a_credential_ends_by_itself_and_a_renewed_one_is_shown_without_being_asked(
    region: Region,
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=4)
    await member(region, valid_until=soon.isoformat())
    assert (await negotiated(region, MEMBERSHIP))["state"] == "FINALIZED"
    assert (await ask(region))["status"] == "released"

    await until(lambda: datetime.now(UTC) > soon)
    assert (await ask(region))["status"] == "refused"

    await member(region)
    assert (await ask(region))["status"] == "released"


async def test_what_partners_have_shown_outlives_a_restart(region: Region) -> None:
    await member(region)
    assert (await negotiated(region, MEMBERSHIP))["state"] == "FINALIZED"
    await ask(region)

    await region.rheinaue.restart()

    assert (await ask(region))["status"] == "released"


async def test_an_issuer_that_cannot_be_asked_is_believed_for_a_quarter_of_an_hour_only(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    await member(region)
    assert (await negotiated(region, MEMBERSHIP))["state"] == "FINALIZED"
    assert (await ask(region))["status"] == "released"

    await region.neckar.stop()
    assert (await ask(region))["status"] == "released"

    monkeypatch.setattr(vetting, "UNCHECKED_FOR", timedelta(0))
    assert (await ask(region))["status"] == "refused"


async def test_only_what_the_provider_trusts_an_issuer_for_is_believed(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    await member(region)
    others = trusting(region.neckar, memberships=[MEMBERS + "-of-others"], claims={})
    monkeypatch.setenv("ALLMENDE_TRUSTED_ISSUERS", json.dumps(others))
    await region.rheinaue.restart()

    assert (await negotiated(region, ROLE))["state"] == "TERMINATED"


async def test_leaving_a_credential_at_home_proves_nothing_and_excuses_nothing(region: Region) -> None:
    """Who is barred by its role cannot get in by not showing it: what is not shown is unknown, not absent."""
    barred = constraint(POLICY + "role", "isNoneOf", [FORECASTER])
    assert (await negotiated(region, barred))["state"] == "TERMINATED"
    await member(region, claims={})
    assert (await negotiated(region, barred))["state"] == "TERMINATED"


async def test_nobody_keeps_a_credential_about_somebody_else_or_a_forged_one(region: Region) -> None:
    about_rheinaue = (await issued(region, region.rheinaue))["credential"]
    refused = await region.lastwerk.answer("POST", "/api/credentials", {"credential": about_rheinaue})
    assert (refused.status_code, "about" in refused.text) == (422, True)

    header, payload, signature = (await issued(region, region.lastwerk))["credential"].split(".")
    forged = f"{header}.{payload}.{signature[:-4]}AAAA"
    refused = await region.lastwerk.answer("POST", "/api/credentials", {"credential": forged})
    assert (refused.status_code, "signature" in refused.text) == (422, True)
    assert await region.lastwerk.call("GET", "/api/credentials") == []


async def test_a_credential_that_is_discarded_is_not_shown_any_more(region: Region) -> None:
    credential = await member(region)
    await region.lastwerk.call("DELETE", f"/api/credentials/{segment(credential['identifier'])}")

    assert (await negotiated(region, MEMBERSHIP))["state"] == "TERMINATED"
    again = await region.lastwerk.answer("DELETE", f"/api/credentials/{segment(credential['identifier'])}")
    assert again.status_code == 404


async def test_whoever_trusts_nobody_asks_nobody(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    await member(region)
    monkeypatch.setenv("ALLMENDE_TRUSTED_ISSUERS", "[]")
    await region.rheinaue.restart()
    assert (await negotiated(region))["state"] == "FINALIZED"
    assert region.network.sent("/presentations/query") == []


async def test_the_issuer_lists_what_it_has_issued_and_refuses_what_would_be_over_at_once(
    region: Region,
) -> None:
    credential = await issued(region, region.lastwerk)
    [listed] = await region.neckar.call("GET", "/api/issued-credentials")
    assert listed == credential
    body = {"subject": region.lastwerk.did, "valid_until": "2020-01-01T00:00:00Z"}
    refused = await region.neckar.answer("POST", "/api/issued-credentials", body)
    assert (refused.status_code, "expired" in refused.text) == (422, True)
    for claims in ({"id": region.rheinaue.did}, {"share": 1e400}):
        body = {"subject": region.lastwerk.did, "valid_until": YEARS, "claims": claims}
        sent = json.dumps(body).replace("Infinity", "1e400").encode()
        async with region.neckar.management() as client:
            headers = {"authorization": f"Bearer {region.neckar.running.token}"} | JSON
            answer = await client.post("/api/issued-credentials", content=sent, headers=headers)
        assert answer.status_code == 422, answer.text
    unknown = {"identifier": "urn:uuid:never"}
    assert (
        await region.neckar.answer("POST", "/api/issued-credentials/revocation", unknown)
    ).status_code == 404
