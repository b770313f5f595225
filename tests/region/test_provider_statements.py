"""What a provider states: its calendar, its partners and the consents it has, kept between participants."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from connector.protocol.jobs import algorithm_digest
from tests.region.participants import (
    DATASETS,
    FORECASTING,
    JOB,
    POLICY,
    STATEMENT,
    Participant,
    Region,
    constraint,
    offer,
    publication,
    segment,
    until,
)

COOPERATIVE = "https://example.org/cooperative"
ALWAYS = {"from": "2020-01-01T00:00:00Z", "until": "2099-12-31T23:59:59Z"}
OVER = {"from": "2020-01-01T00:00:00+01:00", "until": "2020-12-31T23:59:59+01:00"}


def offer_with(*constraints: dict[str, Any], uses: int = 20) -> dict[str, Any]:
    """The usual offer, with further constraints on queries."""
    written = offer(uses=uses)
    written["permission"][0]["constraint"] += constraints
    return written


async def ask(region: Region) -> tuple[dict[str, Any], dict[str, int | None]]:
    """What the provider says, and the numbers of rows by sector."""
    result = await region.lastwerk.call("POST", "/api/queries", {"statement": STATEMENT})
    [site] = result["sites"]
    return site, {row["sector"]: row["n"] for row in result["rows"]}


async def negotiated(region: Region, written: dict[str, Any], **changes: Any) -> Any:
    await region.publish(region.rheinaue, offer=written, **changes)
    await region.read_catalog(region.rheinaue)
    return await region.negotiate(region.rheinaue)


class Configured:
    """A provider whose configuration changes, with a restart each time."""

    def __init__(self, provider: Participant, patch: pytest.MonkeyPatch) -> None:
        self._provider = provider
        self._patch = patch

    async def state(self, setting: str, entries: list[dict[str, Any]]) -> None:
        self._patch.setenv(f"ALLMENDE_{setting.upper()}", json.dumps(entries))
        await self._provider.restart()


@pytest.fixture
def configured(published: Region, monkeypatch: pytest.MonkeyPatch) -> Configured:
    return Configured(published.rheinaue, monkeypatch)


# the calendar


async def test_an_event_that_is_in_no_calendar_is_not_published(
    published: Region, configured: Configured
) -> None:
    await configured.state("events", [{"name": "Hannover Messe", **ALWAYS}])
    written = offer_with({"or": [constraint("event", "eq", "Hanover Fair"), constraint("event", "eq", "x")]})

    answer = await published.rheinaue.answer(
        "POST", "/api/datasets", publication(published.rheinaue, offer=written)
    )

    assert answer.status_code == 422
    assert "Hanover Fair, x" in answer.text
    assert "there are: Hannover Messe" in answer.text


async def test_data_are_used_only_while_the_event_goes_on(published: Region, configured: Configured) -> None:
    fair = constraint("event", "eq", "Hannover Messe")
    await configured.state("events", [{"name": "Hannover Messe", **ALWAYS}])
    assert (await negotiated(published, offer_with(fair)))["state"] == "FINALIZED"
    assert (await ask(published))[0]["status"] == "released"

    await configured.state("events", [{"name": "Hannover Messe", **OVER}])

    site, _ = await ask(published)
    assert site["status"] == "refused"
    assert "event" in site["reason"]


async def test_an_event_that_has_left_the_calendar_opens_nothing_and_lifts_no_prohibition(
    published: Region, configured: Configured
) -> None:
    written = offer(uses=20)
    written["prohibition"].append({"action": "use", "constraint": [constraint("event", "eq", "Blackout")]})
    await configured.state("events", [{"name": "Blackout", **OVER}])
    assert (await negotiated(published, written))["state"] == "FINALIZED"
    assert (await ask(published))[0]["status"] == "released"

    await configured.state("events", [])

    assert (await ask(published))[0]["status"] == "refused"


# the register of participants


def entry(region: Region, **stated: Any) -> dict[str, Any]:
    return {"participant": region.lastwerk.did, **stated}


async def test_nobody_negotiates_whom_the_provider_does_not_vouch_for(
    published: Region, configured: Configured
) -> None:
    members = offer_with(constraint(POLICY + "membership", "eq", COOPERATIVE))
    for permission in members["permission"][1:]:
        permission["constraint"].append(constraint(POLICY + "membership", "eq", COOPERATIVE))
    for register in ([], [entry(published, memberships=["https://example.org/other"])]):
        await configured.state("participants", register)
        outcome = await negotiated(published, members)
        assert outcome["state"] == "TERMINATED"
        assert "membership" in json.dumps(outcome)


HOLDS = [
    ("membership", "isAnyOf", [COOPERATIVE], {"memberships": [COOPERATIVE]}, {"memberships": []}),
    ("organisation", "eq", "urn:org:grid", {"organisation": "urn:org:grid"}, {}),
    ("role", "isNoneOf", ["urn:role:trader"], {"roles": []}, {"roles": ["urn:role:trader"]}),
    ("securityLevel", "eq", "urn:level:2", {"security_levels": ["urn:level:2"]}, {}),
    ("seat", "isPartOf", "DE", {"seat": "DE12"}, {"seat": "FR1"}),
]


@pytest.mark.parametrize(("term", "operator", "value", "before", "after"), HOLDS)
async def test_what_the_provider_says_of_a_partner_counts_from_the_next_access_on(
    published: Region, configured: Configured, term: str, operator: str, value: Any, before: Any, after: Any
) -> None:
    await configured.state("participants", [entry(published, **before)])
    outcome = await negotiated(published, offer_with(constraint(POLICY + term, operator, value)))
    assert outcome["state"] == "FINALIZED"
    assert (await ask(published))[0]["status"] == "released"

    await configured.state("participants", [entry(published, **after)])

    assert (await ask(published))[0]["status"] == "refused"


async def test_nobody_starts_a_transfer_who_has_left_the_register(
    published: Region, configured: Configured
) -> None:
    written = offer(uses=20)
    for permission in written["permission"]:
        permission["constraint"].append(constraint(POLICY + "membership", "eq", COOPERATIVE))
    await configured.state("participants", [entry(published, memberships=[COOPERATIVE])])
    assert (await negotiated(published, written))["state"] == "FINALIZED"

    await configured.state("participants", [])

    site, _ = await ask(published)
    assert site["status"] == "refused"
    assert not [one for one in published.rheinaue.rows("transfers") if one["state"] == "STARTED"]


async def test_raw_data_leave_only_for_those_in_the_register(
    published: Region, configured: Configured
) -> None:
    raw = {
        "@type": "Offer",
        "profile": ["https://w3id.org/allmende/policy/v1"],
        "permission": [
            {"action": "reproduce", "constraint": [constraint(POLICY + "membership", "eq", COOPERATIVE)]}
        ],
    }
    await configured.state("participants", [entry(published, memberships=[COOPERATIVE])])
    assert (await negotiated(published, raw))["state"] == "FINALIZED"
    body = {"agreement_id": await published.agreement_with(published.rheinaue), "format": "HttpData-PULL"}
    pid = str((await published.lastwerk.call("POST", "/api/transfers", body))["pid"])
    await until(lambda: [one["state"] for one in published.lastwerk.rows("transfers")] == ["STARTED"])
    address = f"/api/transfers/{segment(pid)}/data"
    assert (await published.lastwerk.answer("POST", address)).is_success

    await configured.state("participants", [entry(published)])

    refused = await published.lastwerk.answer("POST", address)
    assert not refused.is_success
    assert "membership" in refused.text


async def test_a_catena_x_policy_is_kept_by_the_register(published: Region, configured: Configured) -> None:
    catena_x = "https://w3id.org/catenax/2025/9/policy/"
    number = "BPNL00000000002Z"
    terms = [
        constraint(catena_x + "Membership", "eq", "active"),
        constraint(catena_x + "BusinessPartnerNumber", "isAnyOf", [number]),
        constraint(catena_x + "FrameworkAgreement", "eq", "DataExchangeGovernance:1.0"),
    ]
    stated = {
        "catena_x_member": True,
        "business_partner_number": number,
        "framework_agreements": ["DataExchangeGovernance:1.0"],
    }
    await configured.state("participants", [entry(published, **stated)])
    written = offer_with(*terms)
    written["permission"] = written["permission"][:1]
    assert (await negotiated(published, written))["state"] == "FINALIZED"
    assert (await ask(published))[0]["status"] == "released"

    await configured.state("participants", [entry(published, **stated | {"catena_x_member": False})])

    assert (await ask(published))[0]["status"] == "refused"


# consent

HOUSEHOLDS = [f"RH-household-{number}" for number in range(6)]
CONSENTED = constraint(POLICY + "consent", "eq", "households")


class Register:
    """A register of consents beside the provider's data."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "consents.csv"

    @property
    def stated(self) -> dict[str, Any]:
        return {"households": {"column": "profile", "file": str(self.path)}}

    def write(self, rows: Iterable[str], header: str = "subject") -> None:
        self.path.write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture
def register(published: Region) -> Register:
    return Register(published.rheinaue.directory)


async def test_only_rows_of_those_who_consent_exist_and_a_withdrawal_counts_at_once(
    published: Region, register: Register
) -> None:
    register.write(HOUSEHOLDS)
    outcome = await negotiated(published, offer_with(CONSENTED), consents=register.stated)
    assert outcome["state"] == "FINALIZED"
    assert (await ask(published))[1] == {"household": 24 * 6}

    register.write(HOUSEHOLDS[:5])
    assert (await ask(published))[1] == {"household": 24 * 5}

    register.write(HOUSEHOLDS[:4])  # fewer than the five of the smallest group
    assert (await ask(published))[1] == {"household": None}

    register.write([])
    site, rows = await ask(published)
    assert (site["status"], rows) == ("released", {})


async def test_a_consent_counts_for_its_purposes_and_for_its_time(
    published: Region, register: Register
) -> None:
    grid, other = POLICY + "GridOperation", "https://w3id.org/dpv#Marketing"
    rows = [
        f"{HOUSEHOLDS[0]},{grid},",
        f"{HOUSEHOLDS[1]},{FORECASTING},2099-12-31",
        f"{HOUSEHOLDS[2]},,2099-12-31T23:59:59Z",
        *(f"{household},," for household in HOUSEHOLDS[3:5]),
        f"{HOUSEHOLDS[5]},{other},",
        f"{HOUSEHOLDS[5]},{grid},2020-01-01",
    ]
    register.write(rows, "subject,purpose,until")
    await negotiated(published, offer_with(CONSENTED), consents=register.stated)

    assert (await ask(published))[1] == {"household": 24 * 5}


async def test_a_register_that_cannot_be_read_closes_the_data_and_costs_no_use(
    published: Region, register: Register
) -> None:
    register.write(HOUSEHOLDS)
    await negotiated(published, offer_with(CONSENTED), consents=register.stated)

    for broken in ("subject,withdrawn\nRH-household-0,yes\n", "subject,until\nRH-household-0,soon\n", None):
        if broken is None:
            register.path.unlink()
        else:
            register.path.write_text(broken)
        site, _ = await ask(published)
        assert site["status"] != "released"
        assert "consents.csv" not in json.dumps(site)
    assert [used for *_, used in published.rheinaue.state()["uses"]] in ([], [0])


async def test_a_job_sees_only_the_rows_of_those_who_consent(published: Region, register: Register) -> None:
    register.write(HOUSEHOLDS)
    written = offer()
    written["permission"] = [
        {
            "action": POLICY + "compute",
            "constraint": [
                constraint(POLICY + "algorithmDigest", "eq", algorithm_digest(JOB)),
                constraint(POLICY + "consent", "isAllOf", ["households"]),
                constraint(POLICY + "outputKind", "eq", "metrics"),
                constraint(POLICY + "outputReview", "eq", "auto"),
            ],
        }
    ]
    await negotiated(published, written, consents=register.stated)
    register.write(HOUSEHOLDS[:2])

    outcome = await published.commission(published.rheinaue, JOB)

    assert outcome["state"] == "RELEASED", outcome
    address = f"/api/computations/{segment(outcome['identifier'])}/outputs/metrics.json"
    assert json.loads(await published.lastwerk.file(address))["rows"] == 24 * 2


async def test_a_policy_on_a_register_that_is_not_there_is_not_published(
    published: Region, register: Register
) -> None:
    register.write(HOUSEHOLDS)
    elsewhere = {"households": {"column": "city", "file": str(register.path)}}
    numbers = {"households": {"column": "load_kw", "file": str(register.path)}}
    missing = {"households": {"column": "profile", "file": str(register.path.with_name("none.csv"))}}
    for consents in ({}, elsewhere, numbers, missing):
        body = publication(published.rheinaue, offer=offer_with(CONSENTED), consents=consents)
        assert (await published.rheinaue.answer("POST", "/api/datasets", body)).status_code == 422


async def test_a_counter_offer_that_leaves_out_the_consent_is_wider(
    published: Region, register: Register
) -> None:
    register.write(HOUSEHOLDS)
    await published.publish(published.rheinaue, offer=offer_with(CONSENTED), consents=register.stated)
    await published.read_catalog(published.rheinaue)

    body = {
        "dataset": DATASETS["rheinaue"],
        "provider": published.rheinaue.did,
        "address": published.rheinaue.origin + "/dsp/2025-1",
        "offer": {**offer(uses=20), "@id": "urn:uuid:counter"},
        "purpose": FORECASTING,
    }
    pid = (await published.lastwerk.call("POST", "/api/negotiations", body))["pid"]

    assert (await published.outcome(str(pid)))["state"] == "TERMINATED"
