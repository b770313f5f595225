"""Terms of policies, kept between participants: a place, withheld and masked columns, company in answers."""

from typing import Any

import pytest

from connector.protocol.jobs import algorithm_digest
from tests.region.participants import (
    FORECASTING,
    POLICY,
    STATEMENT,
    Participant,
    Region,
    constraint,
    offer,
    publication,
    segment,
)

LOOK_AROUND = {
    "main.py": (
        "import json, pathlib\n"
        "import pyarrow as pa\n"
        "with pa.memory_map('/in/load_profiles.arrow') as memory:\n"
        "    table = pa.ipc.open_file(memory).read_all()\n"
        "    figures = {'columns': table.num_columns, 'rows': table.num_rows,\n"
        "               'empty': table['load_kw'].null_count,\n"
        "               'has_profile': int('profile' in table.schema.names)}\n"
        "pathlib.Path('/out/metrics.json').write_text(json.dumps(figures))\n"
    )
}


def offer_with(*constraints: dict[str, Any]) -> dict[str, Any]:
    """The usual offer, with further constraints on queries."""
    written = offer()
    written["permission"][0]["constraint"] += constraints
    return written


async def contract(region: Region, provider: Participant, written: dict[str, Any]) -> None:
    await region.publish(provider, offer=written)
    await region.read_catalog(provider)
    assert (await region.negotiate(provider))["state"] == "FINALIZED"


async def sites(region: Region) -> list[Any]:
    result = await region.lastwerk.call("POST", "/api/queries", {"statement": STATEMENT})
    return list(result["sites"])


async def test_a_query_is_answered_only_where_the_agreement_wants_it_to_be_computed(
    published: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    await contract(published, published.rheinaue, offer_with(constraint("spatial", "isPartOf", "DE1")))

    [unknown] = await sites(published)
    assert unknown["status"] == "refused"
    assert "place" in unknown["reason"]

    for place, expected in (("DE12", "released"), ("FR1", "refused")):
        monkeypatch.setenv("ALLMENDE_PLACE", place)
        await published.rheinaue.restart()
        [answer] = await sites(published)
        assert answer["status"] == expected, answer["reason"]


async def test_an_agreement_that_has_lasted_long_enough_gives_nothing_more(published: Region) -> None:
    await contract(published, published.rheinaue, offer_with(constraint("elapsedTime", "lteq", "PT0S")))

    [answer] = await sites(published)

    assert answer["status"] == "refused"


async def test_a_job_sees_no_withheld_column_and_masked_ones_as_they_are_left(published: Region) -> None:
    written = offer()
    written["permission"] = [
        {
            "action": POLICY + "compute",
            "constraint": [
                constraint("purpose", "isA", FORECASTING),
                constraint(POLICY + "algorithmDigest", "eq", algorithm_digest(LOOK_AROUND)),
                constraint(POLICY + "deniedColumn", "eq", "profile"),
                constraint(POLICY + "columnMask", "isAllOf", ["load_kw=null", "ts=generalise:day"]),
                constraint(POLICY + "outputKind", "eq", "metrics"),
                constraint(POLICY + "outputReview", "eq", "auto"),
            ],
        }
    ]
    await contract(published, published.rheinaue, written)

    outcome = await published.commission(published.rheinaue, LOOK_AROUND)

    assert outcome["state"] == "RELEASED", outcome
    address = f"/api/computations/{segment(outcome['identifier'])}/outputs/metrics.json"
    content = (await published.lastwerk.file(address)).decode()
    rows = 24 * 14
    assert f'"rows":{rows}' in content.replace(" ", "")
    assert f'"empty":{rows}' in content.replace(" ", "")
    assert '"has_profile":0' in content.replace(" ", "")
    assert '"columns":3' in content.replace(" ", "")


@pytest.mark.parametrize(("fewest", "expected"), [("2", "released"), ("3", "refused")])
async def test_an_answer_of_too_few_providers_is_not_shown(
    agreed: Region, fewest: str, expected: str
) -> None:
    company = constraint(POLICY + "federatedMinParticipants", "gteq", fewest)
    for provider in (agreed.rheinaue, agreed.neckar):
        await contract(agreed, provider, offer_with(company))

    result = await agreed.lastwerk.call("POST", "/api/queries", {"statement": STATEMENT})

    assert [site["status"] for site in result["sites"]] == [expected, expected]
    assert bool(result["rows"]) is (expected == "released")


async def test_whoever_publishes_is_told_what_joins_conditions(published: Region) -> None:
    one_of_two = {"or": [constraint("purpose", "isA", FORECASTING), constraint("spatial", "isPartOf", "DE")]}
    body = publication(published.rheinaue, offer=offer_with(one_of_two))
    answer = await published.rheinaue.answer("POST", "/api/datasets", body)

    assert answer.status_code == 201
    joined = [term for term in answer.json()["terms"] if term["within"]]
    assert [term["within"][0]["connective"] for term in joined] == ["or", "or"]
    assert [term["within"][0]["position"] for term in joined] == [1, 2]
    for position, term in enumerate(joined, 1):
        start = f"At least one of 2 conditions must hold; condition {position}: "
        assert term["sentence"]["en"].startswith(start)
