"""What an agreement hides of the data and of the answers, as the partner sees it."""

from copy import deepcopy
from typing import Any

import pytest

from tests.region.participants import (
    POLICY,
    STATEMENT,
    Participant,
    Region,
    constraint,
    offer,
    publication,
)

FILTERS = {"no_pumps": {"column": "sector", "operator": "neq", "values": ["heat_pump"]}}
TOTAL = "SELECT count(*) AS n FROM load_profiles"


async def ask(region: Region, statement: str = STATEMENT) -> Any:
    answer = await region.lastwerk.call("POST", "/api/queries", {"statement": statement})
    return next(one for one in answer["sites"] if one["provider"] == region.rheinaue.did), answer["rows"]


def restricted(*constraints: dict) -> dict[str, Any]:
    changed = deepcopy(offer(uses=20))
    changed["permission"][0]["constraint"] += constraints
    return changed


async def under(region: Region, *constraints: dict, **changes: Any) -> Region:
    """A contract on an offer with more restrictions."""
    await region.publish(region.rheinaue, offer=restricted(*constraints), **changes)
    await region.read_catalog(region.rheinaue)
    outcome = await region.negotiate(region.rheinaue)
    assert outcome["state"] == "FINALIZED", outcome
    return region


def projections(provider: Participant) -> bytes:
    return b"".join(path.read_bytes() for path in provider.directory.rglob("projections/*.arrow"))


async def test_a_masked_column_leaves_masked_and_is_not_in_the_projection(published: Region) -> None:
    masks = [constraint(POLICY + "columnMask", "eq", f"{column}=hash") for column in ("sector", "profile")]
    region = await under(published, *masks)

    _, rows = await ask(region)

    released = {row["sector"]: row["n"] for row in rows if row["status"] == "released"}
    assert sorted(released.values()) == [24 * 5, 24 * 6]
    assert all(len(sector) == 32 for sector in released)
    assert b"household" not in projections(region.rheinaue)
    secret = next(region.rheinaue.directory.rglob("mask.secret"))
    assert secret.stat().st_mode & 0o777 == 0o600


async def test_rows_outside_the_providers_filter_do_not_exist(published: Region) -> None:
    region = await under(published, constraint(POLICY + "rowFilter", "eq", "no_pumps"), row_filters=FILTERS)

    _, rows = await ask(region)

    assert {row["sector"] for row in rows} == {"household", "charging_point"}
    assert b"heat_pump" not in projections(region.rheinaue)


@pytest.mark.parametrize(
    "changes",
    [
        {"offer": restricted(constraint(POLICY + "rowFilter", "eq", "no_pumps"))},
        {"row_filters": {"no_pumps": {"column": "sector", "operator": "like", "values": ["%"]}}},
        {"row_filters": {"no_pumps": {"column": "city", "operator": "eq", "values": ["x"]}}},
        {"row_filters": {"no_pumps": "sector <> 'heat_pump'"}},
        {"offer": restricted(constraint(POLICY + "columnMask", "eq", "city=null"))},
    ],
)
async def test_a_restriction_that_cannot_be_applied_is_not_published(
    published: Region, changes: dict
) -> None:
    answer = await published.rheinaue.answer(
        "POST", "/api/datasets", publication(published.rheinaue, **changes)
    )

    assert answer.status_code == 422


async def test_rounded_counts_leave(published: Region) -> None:
    region = await under(published, constraint(POLICY + "roundingBase", "eq", "50"))

    _, rows = await ask(region)

    assert {row["n"] for row in rows} == {100, 150, None}


async def test_the_total_after_its_parts_is_refused_and_costs_a_use(published: Region) -> None:
    region = await under(published)
    assert (await ask(region))[0]["status"] == "released"

    site, rows = await ask(region, TOTAL)

    assert (site["status"], rows) == ("refused", [])
    assert "earlier answers" in site["reason"]
    assert [used for *_, used in region.rheinaue.state()["uses"]] == [2]


async def test_the_parts_after_the_total_lose_one_more(published: Region) -> None:
    region = await under(published)
    assert (await ask(region, TOTAL))[0]["status"] == "released"

    site, rows = await ask(region)

    assert site["suppressed"] == 2
    assert [row["sector"] for row in rows if row["status"] == "released"] == ["household"]


async def test_earlier_answers_are_known_after_a_restart(published: Region) -> None:
    region = await under(published)
    await ask(region, TOTAL)
    await ask(region)
    await region.rheinaue.restart()

    site, _ = await ask(region, "SELECT avg(load_kw) FROM load_profiles WHERE sector = 'heat_pump'")

    # Total, less the households, less the heat pumps: that would be the three charging points.
    assert site["status"] == "refused"
    assert (await ask(region))[0]["suppressed"] == 2


async def test_a_job_gets_the_masked_columns_as_well(published: Region) -> None:
    changed = restricted()
    changed["permission"][1]["constraint"].append(constraint(POLICY + "columnMask", "eq", "load_kw=null"))
    await published.publish(published.rheinaue, offer=changed)
    await published.read_catalog(published.rheinaue)
    await published.negotiate(published.rheinaue)

    computation = await published.commission(published.rheinaue)

    # The job computes the mean of nothing, which is no number and is not released.
    assert computation["state"] == "TERMINATED"
