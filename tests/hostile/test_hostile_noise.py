"""Statistics with noise as a partner attacks them: averaging, differencing, and what a used-up budget tells.

Rheinaue answers with noise, per profile. The attacker, Lastwerk, knows everything
about Rheinaue's data but one profile.
"""

import json
import math
import statistics
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet
import pytest

from policies.privacy import SensitiveFigures
from tests.region.participants import DATASETS, POLICY, Region, constraint, offer, segment, write_data

pytest.importorskip("opendp", reason="the extra `dp` is not installed")

from connector.adapters.opendp_noise import OpendpNoise

PRIVACY: dict[str, Any] = {
    "unit": "profile",
    "contribution_bound": 24,
    "epsilon_total": "5",
    "bounds": {"load_kw": [0, 2]},
    "values": {"sector": ["household", "heat_pump", "charging_point"]},
}
VICTIM = "RH-charging_point-2"
COUNT = "SELECT count(*) AS n FROM load_profiles WHERE sector = 'charging_point'"


def noisy_offer(each: str = "0.5", total: str = "2") -> dict[str, Any]:
    changed = offer(uses=500)
    rule = changed["permission"][0]
    rule["constraint"] = [
        *rule["constraint"][:4],
        constraint(POLICY + "groupUnit", "eq", "profile"),
        constraint(POLICY + "minGroupRows", "gteq", "1"),
        constraint(POLICY + "epsilonPerQuery", "lteq", each),
        constraint(POLICY + "epsilonTotal", "lteq", total),
    ]
    return changed


async def contract(region: Region, file: Path | None = None, total: str = "2") -> None:
    more = {} if file is None else {"file": str(file)}
    await region.publish(region.rheinaue, offer=noisy_offer(total=total), privacy=PRIVACY, **more)
    await region.read_catalog(region.rheinaue)
    outcome = await region.negotiate(region.rheinaue)
    assert outcome["state"] == "FINALIZED", outcome


async def attack(region: Region, statement: str) -> Any:
    """What the attacker sees: the status, and the first figure of the first group."""
    answer = await region.lastwerk.call("POST", "/api/queries", {"statement": statement})
    [site] = [one for one in answer["sites"] if one["provider"] == region.rheinaue.did]
    return site["status"], answer["rows"]


async def spent(region: Region) -> str:
    account = await region.rheinaue.call("GET", f"/api/epsilon/{segment(DATASETS['rheinaue'])}")
    return str(account["spent"])


async def test_averaging_the_same_question_gives_one_answer(published: Region) -> None:
    await contract(published)

    answers = [await attack(published, COUNT) for _ in range(30)]

    assert len({json.dumps(answer, sort_keys=True) for answer in answers}) == 1
    assert await spent(published) == "0.5"


@pytest.mark.parametrize(
    "wordings",
    [
        [f"{COUNT} LIMIT {number}" for number in range(1, 20)],
        [COUNT.replace(" AS n", f" AS n{number}") for number in range(20)],
        [COUNT.replace("sector =", "(sector =") + ")" for _ in range(3)],
        [f"{COUNT} AND sector IN ({', '.join(order)})" for order in (["'heat_pump'", "'household'"],) * 2]
        + [f"{COUNT} AND sector IN ('household', 'heat_pump', 'household')"],
    ],
    ids=["limits", "names", "parentheses", "orders"],
)
async def test_averaging_the_same_question_in_other_words_gives_one_answer(
    published: Region, wordings: list[str]
) -> None:
    await contract(published)

    answers = [await attack(published, wording) for wording in wordings]

    assert len({json.dumps([[*row.values()] for row in rows]) for _, rows in answers}) == 1
    assert await spent(published) == "0.5"


async def test_averaging_questions_that_only_look_different_ends_with_the_budget(published: Region) -> None:
    """Conditions that are always true make other questions; so each of them is paid for."""
    await contract(published)
    wordings = [f"{COUNT} AND year(ts) < {year}" for year in range(3000, 3040)]

    answers = [await attack(published, wording) for wording in wordings]

    assert [status for status, _ in answers] == ["released"] * 4 + ["refused"] * 36
    assert await spent(published) == "2"


async def test_further_agreements_draw_on_the_same_budget_of_the_dataset(published: Region) -> None:
    """One partner that comes back, or several that tell each other: together they get no more."""
    seen = []
    for _ in range(3):
        await contract(published)
        seen += [(await attack(published, f"{COUNT} AND hour(ts) = {hour}"))[0] for hour in range(4)]

    assert seen == ["released"] * 10 + ["refused"] * 2
    assert await spent(published) == "5"


def without(victim: str, source: Path) -> Path:
    table = pyarrow.parquet.read_table(source)
    target = source.with_name("neighbour.parquet")
    pyarrow.parquet.write_table(table.filter(pc.not_equal(table.column("profile"), victim)), target)
    return target


async def test_differencing_with_and_without_one_profile_hardly_moves_the_odds(published: Region) -> None:
    """The attacker knows the other two of three charging points, 48 rows, and sees one noisy answer."""
    await contract(published)
    await attack(published, COUNT)
    [account] = (await published.rheinaue.call("GET", f"/api/epsilon/{segment(DATASETS['rheinaue'])}"))[
        "entries"
    ]
    epsilon = Decimal(account["epsilon"])
    noise, seen = OpendpNoise(), {}
    for rows in (72, 48):
        seen[rows] = await noise.add(
            SensitiveFigures((rows,) * 40_000, PRIVACY["contribution_bound"], epsilon)
        )

    for threshold in (0, 48, 60, 72, 120):
        for comparison in (int.__ge__, int.__lt__):
            odds = [sum(comparison(value, threshold) for value in drawn) for drawn in seen.values()]
            # What is counted 40,000 times is off by less than a twentieth.
            assert max(odds) <= math.exp(epsilon) * 1.05 * min(odds)


async def test_when_the_budget_ends_does_not_depend_on_the_data(published: Region) -> None:
    """Differencing by exhaustion: over neighbouring data the same questions end at the same place."""
    source = published.rheinaue.directory / "victims.parquet"
    write_data(source, "rheinaue")
    statements = [f"{COUNT} AND hour(ts) = {hour}" for hour in range(6)] + [
        "SELECT sector, avg(load_kw) FROM load_profiles WHERE hour(ts) = 99 GROUP BY sector",
        "SELECT sum(load_kw) FROM load_profiles WHERE sector = 'charging_point' AND month(ts) = 7",
    ]
    seen = []
    for file in (source, without(VICTIM, source)):
        await contract(published, file=file)
        seen.append([(await attack(published, statement))[0] for statement in statements])

    assert seen[0] == seen[1] == ["released"] * 4 + ["refused"] * 4


async def test_what_leaves_is_what_was_drawn_and_few_noisy_rows_are_not_shown(published: Region) -> None:
    await contract(published)

    status, rows = await attack(published, "SELECT sector, count(*) AS n FROM load_profiles GROUP BY sector")

    assert status == "released"
    [record] = published.rheinaue.rows("noisy_answers")
    assert [row["n"] for row in rows] == [n if n >= 1 else None for n in record["figures"]["rows"]]
    assert {row["sector"] for row in rows} == set(PRIVACY["values"]["sector"])


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT max(load_kw) FROM load_profiles",
        "SELECT min(load_kw) FROM load_profiles",
        "SELECT stddev_samp(load_kw) FROM load_profiles",
        "SELECT date_trunc('day', ts), count(*) FROM load_profiles GROUP BY 1",
        "SELECT year(ts), count(*) FROM load_profiles GROUP BY 1",
    ],
)
async def test_what_noise_cannot_protect_is_refused_and_costs_nothing(
    published: Region, statement: str
) -> None:
    await contract(published)

    assert await attack(published, statement) == ("refused", [])
    assert await spent(published) == "0"
    assert published.rheinaue.state()["uses"] == []


async def test_noise_that_was_drawn_anew_could_be_averaged_away_and_is_not(published: Region) -> None:
    """Why the first answer is kept: the mean of many draws would be near the truth."""
    drawn = await OpendpNoise().add(SensitiveFigures((72,) * 4000, 24, Decimal("0.5")))
    assert statistics.fmean(drawn) == pytest.approx(72, abs=9)
    assert len(set(drawn)) > 100
    await contract(published)
    first = await attack(published, COUNT)
    assert [await attack(published, COUNT) for _ in range(5)] == [first] * 5
