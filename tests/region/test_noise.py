"""Statistics with noise between two participants: what a question costs, and that it is answered once."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from connector.evidence.verification import verify_file
from connector.queries.errors import QueryFailedError
from tests.region.participants import (
    DATASETS,
    POLICY,
    Participant,
    QueriesHere,
    Region,
    constraint,
    offer,
    publication,
    segment,
)

pytest.importorskip("opendp", reason="the extra `dp` is not installed")

PRIVACY: dict[str, Any] = {
    "unit": "profile",
    "contribution_bound": 24,
    "epsilon_total": "100000",
    "bounds": {"load_kw": [0, 2]},
    "values": {"sector": ["household", "heat_pump", "charging_point"]},
}
BY_SECTOR = "SELECT sector, count(*) AS n, avg(load_kw) AS mean_kw FROM load_profiles GROUP BY sector"
OTHER_WORDS = "SELECT avg(load_kw) AS a, sector AS s, count(*) FROM load_profiles GROUP BY 2 ORDER BY s"
TOTAL = "SELECT count(*) AS n FROM load_profiles"


def noisy_offer(each: str, total: str, uses: int = 100) -> dict[str, Any]:
    changed = offer(uses=uses)
    rule = changed["permission"][0]
    rule["constraint"] = [
        *rule["constraint"][:4],
        constraint(POLICY + "groupUnit", "eq", "profile"),
        constraint(POLICY + "epsilonPerQuery", "lteq", each),
        constraint(POLICY + "epsilonTotal", "lteq", total),
    ]
    return changed


async def under(region: Region, each: str, total: str, uses: int = 100, **privacy: Any) -> Region:
    """A contract on statistics with noise."""
    await region.publish(region.rheinaue, offer=noisy_offer(each, total, uses), privacy=PRIVACY | privacy)
    await region.read_catalog(region.rheinaue)
    outcome = await region.negotiate(region.rheinaue)
    assert outcome["state"] == "FINALIZED", outcome
    return region


async def ask(region: Region, statement: str) -> tuple[Any, list[dict[str, Any]]]:
    answer = await region.lastwerk.call("POST", "/api/queries", {"statement": statement})
    return next(one for one in answer["sites"] if one["provider"] == region.rheinaue.did), answer["rows"]


async def receipt(region: Region, site: Any) -> Any:
    file = await region.lastwerk.file(f"/api/receipts/{segment(site['receipt'])}")
    return verify_file(file).statement


async def budget(provider: Participant) -> Any:
    return await provider.call("GET", f"/api/epsilon/{segment(DATASETS[provider.name])}")


async def test_an_answer_with_little_noise_is_close_to_the_truth(published: Region) -> None:
    region = await under(published, "10000", "20000")

    site, rows = await ask(region, BY_SECTOR)

    assert site["status"] == "released"
    found = {row["sector"]: row for row in rows}
    # Six households, three charging points with 24 hours each; noise of the scale 24 · 3 / 10000.
    assert found["household"]["n"] == pytest.approx(144, abs=1)
    assert found["charging_point"]["n"] == pytest.approx(72, abs=1)
    assert found["household"]["mean_kw"] == pytest.approx(0.875, abs=0.01)
    # No minimum of units: noise protects three profiles as well as thirty.
    assert {row["status"] for row in rows} == {"released"}


async def test_the_receipt_states_what_was_spent_and_the_provider_reads_the_account(
    published: Region,
) -> None:
    region = await under(published, "0.5", "1.25", epsilon_total="3")

    first, _ = await ask(region, BY_SECTOR)
    second, _ = await ask(region, TOTAL)

    statements = [await receipt(region, site) for site in (first, second)]
    assert [statement["uses"]["epsilon"] for statement in statements] == [
        {"spent": "0.5", "before": "0", "after": "0.5", "total": "1.25"},
        {"spent": "0.5", "before": "0.5", "after": "1", "total": "1.25"},
    ]
    assert statements[0]["rawData"] == {"rowsOut": 0, "bytesOut": 0}
    assert statements[0]["rulesApplied"]["noise"]["epsilon_per_query"] == "0.5"
    checks = statements[0]["outputs"][0]["checks"]
    assert "noise (differential privacy) per profile: epsilon 0.5 per new question, 1.25 in total" in checks
    agreement = await region.agreement_with(region.rheinaue)
    account = await budget(region.rheinaue)
    assert (account["total"], account["spent"], account["agreements"]) == ("3", "1", {agreement: "1"})
    assert [line["epsilon"] for line in account["entries"]] == ["0.5", "0.5"]


async def test_the_same_question_gets_the_same_answer_and_spends_nothing(published: Region) -> None:
    region = await under(published, "0.5", "0.5")
    site, rows = await ask(region, BY_SECTOR)

    again, same = await ask(region, BY_SECTOR)
    await region.rheinaue.restart()
    other, in_other_words = await ask(region, OTHER_WORDS)

    assert same == rows
    assert {row["s"]: row["a"] for row in in_other_words} == {row["sector"]: row["mean_kw"] for row in rows}
    spent = [(await receipt(region, one))["uses"]["epsilon"]["spent"] for one in (site, again, other)]
    assert spent == ["0.5", "0", "0"]
    assert (await budget(region.rheinaue))["spent"] == "0.5"


async def test_a_used_up_budget_refuses_with_a_sentence_and_costs_no_use(published: Region) -> None:
    region = await under(published, "0.5", "0.9", uses=3)
    first, rows = await ask(region, TOTAL)

    refused, nothing = await ask(region, BY_SECTOR)

    assert (refused["status"], nothing) == ("refused", [])
    assert "epsilon that was agreed" in refused["reason"]
    assert [used for *_, used in region.rheinaue.state()["uses"]] == [1]
    again, same = await ask(region, TOTAL)
    assert (again["status"], same) == ("released", rows)
    assert first["status"] == "released"


async def test_the_dataset_has_a_budget_over_all_agreements(published: Region) -> None:
    region = await under(published, "0.5", "5", epsilon_total="1")
    assert (await ask(region, TOTAL))[0]["status"] == "released"
    await region.negotiate(region.rheinaue)  # the consumer asks under its latest agreement

    assert (await ask(region, TOTAL))[0]["status"] == "released"
    refused, _ = await ask(region, BY_SECTOR)

    assert refused["status"] == "refused"
    assert "all partners together" in refused["reason"]
    account = await budget(region.rheinaue)
    assert account["spent"] == "1"
    assert sorted(account["agreements"].values()) == ["0.5", "0.5"]


async def test_what_failed_before_noise_was_drawn_is_given_back(
    published: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise QueryFailedError("The query could not be answered by the engine.")

    region = await under(published, "0.5", "0.5", uses=1)
    with monkeypatch.context() as patch:
        patch.setattr(QueriesHere, "run", fail)
        failed, _ = await ask(region, TOTAL)

    assert failed["status"] != "released"
    account = await budget(region.rheinaue)
    assert (account["spent"], [line["epsilon"] for line in account["entries"]]) == ("0", ["0.5", "-0.5"])
    assert (await ask(region, TOTAL))[0]["status"] == "released"


async def test_what_fails_after_noise_was_drawn_stays_spent(
    published: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = await under(published, "0.5", "0.5")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("connector.services.querying.record_release", fail)
        failed, _ = await ask(region, TOTAL)

    assert failed["status"] != "released"
    assert (await budget(region.rheinaue))["spent"] == "0.5"
    refused, _ = await ask(region, TOTAL)
    assert "epsilon that was agreed" in refused["reason"]


async def test_many_at_once_never_spend_more_than_was_agreed(published: Region) -> None:
    region = await under(published, "0.5", "2")
    statements = [f"{TOTAL} WHERE hour(ts) = {hour}" for hour in range(12)]

    answers = await asyncio.gather(*(ask(region, statement) for statement in statements))

    assert sorted(site["status"] for site, _ in answers) == ["refused"] * 8 + ["released"] * 4
    assert Decimal((await budget(region.rheinaue))["spent"]) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"privacy": None}, "description of its privacy"),
        ({"privacy": PRIVACY | {"unit": "sector"}}, "not described as unit"),
        ({"privacy": PRIVACY | {"bounds": {"power": [0, 1]}}}, "power"),
        ({"privacy": PRIVACY | {"epsilon_total": 3}}, "as a text"),
        ({"privacy": PRIVACY | {"delta": "0.1"}}, "delta"),
    ],
)
async def test_an_offer_whose_noise_cannot_be_drawn_is_not_published(
    published: Region, changes: dict[str, Any], said: str
) -> None:
    body = publication(published.rheinaue, offer=noisy_offer("0.5", "5"), **changes)

    answer = await published.rheinaue.answer("POST", "/api/datasets", body)

    assert answer.status_code == 422
    assert said in answer.json()["detail"]


async def test_a_dataset_without_noise_has_no_account(published: Region) -> None:
    answer = await published.rheinaue.answer("GET", f"/api/epsilon/{segment(DATASETS['rheinaue'])}")
    assert answer.status_code == 404
