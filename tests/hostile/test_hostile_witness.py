"""A keeper that rewrites its ledger, and a partner that remembers what it was shown."""

import contextlib
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector import worker
from connector.adapters.own_credentials import load_credentials
from connector.evidence.ledger import Frontier, leaf_hash, tree_head
from connector.evidence.proofs import add_proof, sign
from tests.region.participants import (
    STATEMENT,
    Network,
    Participant,
    Region,
    copied,
    running,
    segment,
    until,
)

LEDGER = "/dsp/2025-1/ledger/"


async def ask(region: Region) -> Any:
    body = {"statement": STATEMENT, "agreements": [await region.agreement_with(region.rheinaue)]}
    return await region.lastwerk.call("POST", "/api/queries", body)


async def compare(region: Region) -> Any:
    return await region.lastwerk.call("POST", "/api/partner-ledgers", {"partner": region.rheinaue.did})


def forged_head(keeper: Participant, *leaves: bytes) -> Any:
    """A tree head of another ledger, signed with the keeper's own key: the keeper is the attacker."""
    credentials = load_credentials(keeper.directory, did=keeper.did, base_url=keeper.origin + "/dsp/2025-1")
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf_hash(leaf)).frontier
    now = datetime.now(UTC)
    head = tree_head(size=frontier.size, root=frontier.root(), ledger_id=keeper.did, created=now)
    method = credentials.verification_method
    return add_proof(head, sign(head, key=credentials.contracts_key, verification_method=method, created=now))


def shows(network: Network, head: Any, path: list[str] | None = None) -> None:
    """Let every question about a ledger be answered with this, whatever the keeper's database says."""

    def answer(request: httpx.Request, genuine: httpx.Response, _: bytes) -> httpx.Response:
        if request.url.path == LEDGER + "head":
            return httpx.Response(200, json=head)
        if path is not None and request.url.path == LEDGER + "consistency":
            return httpx.Response(200, json={"path": path})
        return genuine

    network.tamper = answer


async def test_partners_see_each_others_ledgers_grow(contracted: Region) -> None:
    assert [one["size"] for one in await contracted.lastwerk.call("GET", "/api/partner-ledgers")][:1] == [
        None
    ]

    first = await compare(contracted)
    await ask(contracted)
    second = await compare(contracted)

    assert (first["size"], first["problem"]) == (1, None)
    assert (second["size"], second["problem"]) == (3, None)
    assert second["compared"] is not None
    theirs = await contracted.rheinaue.call(
        "POST", "/api/partner-ledgers", {"partner": contracted.lastwerk.did}
    )
    assert theirs["problem"] is None
    own = await contracted.rheinaue.call("GET", "/api/ledger/head")
    assert (own["type"], own["treeSize"], own["ledger"]) == ("TreeHead", 3, contracted.rheinaue.did)


async def test_ledgers_are_compared_without_being_asked_and_a_fork_is_noticed(
    region_stages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_BETWEEN_COMPARISONS", timedelta(seconds=0.2))
    region = copied(region_stages / "agreed", tmp_path / "region")
    async with running(region, region.rheinaue, region.lastwerk):
        await until(lambda: any(head["compared"] for head in region.lastwerk.rows("tree_heads")))
        shows(region.network, forged_head(region.rheinaue, b"another past"))
        await until(lambda: any(head["problem"] for head in region.lastwerk.rows("tree_heads")))
        page = (await region.lastwerk.answer("GET", "/partner")).text
        assert "widerspricht" in page or "contradicts" in page


async def test_a_receipts_tree_head_is_kept_at_once_and_compared_later(contracted: Region) -> None:
    await ask(contracted)
    (before,) = [one for one in await ledgers(contracted) if one["size"] is not None]
    assert (before["partner"], before["size"], before["compared"]) == (contracted.rheinaue.did, 3, None)
    await compare(contracted)
    (after,) = [one for one in await ledgers(contracted) if one["size"] is not None]
    assert after["compared"] is not None


async def ledgers(region: Region) -> Any:
    return await region.lastwerk.call("GET", "/api/partner-ledgers")


async def test_a_ledger_that_was_rolled_back_is_found_out(contracted: Region) -> None:
    await ask(contracted)
    await compare(contracted)
    database = contracted.rheinaue.directory / "allmende.sqlite"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute('DELETE FROM ledger WHERE "index" = 2')
        connection.execute("DELETE FROM tree_heads WHERE size = 3")
        connection.commit()

    found = await compare(contracted)

    assert "shrank from 3 to 2" in found["problem"]["en"]
    assert "widerspricht" in found["problem"]["de"]
    listed = [
        one["problem"] for one in await ledgers(contracted) if one["partner"] == contracted.rheinaue.did
    ]
    assert listed == [found["problem"]], "it stays known"


async def test_two_ledgers_of_the_same_size_are_found_out_and_kept_as_evidence(contracted: Region) -> None:
    await compare(contracted)
    shows(contracted.network, forged_head(contracted.rheinaue, b"another agreement"))

    found = await compare(contracted)

    assert "different roots" in found["problem"]["en"]
    documents = contracted.lastwerk.state()["documents"]
    (kept,) = [json.loads(row[1]) for row in documents if "#contradiction-" in row[0]]
    assert kept["type"] == "LedgerContradiction"
    assert len({head["rootHash"] for head in kept["treeHeads"]}) == 2


async def test_a_rewritten_and_longer_ledger_is_found_out(contracted: Region) -> None:
    await compare(contracted)
    shows(
        contracted.network, forged_head(contracted.rheinaue, b"another", b"and more"), [leaf_hash(b"x").hex()]
    )

    assert "history was changed" in (await compare(contracted))["problem"]["en"]


async def test_an_empty_proof_of_growth_is_no_proof(contracted: Region) -> None:
    await compare(contracted)
    shows(contracted.network, forged_head(contracted.rheinaue, b"another", b"and more", b"and"), [])

    assert (await compare(contracted))["problem"] is not None


async def test_a_trouble_once_found_does_not_go_away_when_the_keeper_behaves(contracted: Region) -> None:
    await compare(contracted)
    shows(contracted.network, forged_head(contracted.rheinaue, b"another agreement"))
    await compare(contracted)
    contracted.network.tamper = None

    assert (await compare(contracted))["problem"] is not None


async def test_a_tree_head_that_the_keeper_did_not_sign_is_refused_and_not_kept(contracted: Region) -> None:
    head = forged_head(contracted.rheinaue, b"another agreement")
    shows(contracted.network, {**head, "treeSize": 7})
    body = {"partner": contracted.rheinaue.did}
    answer = await contracted.lastwerk.answer("POST", "/api/partner-ledgers", body)
    assert answer.status_code == 422
    assert [
        one["size"] for one in await ledgers(contracted) if one["partner"] == contracted.rheinaue.did
    ] == [None]


async def test_somebody_elses_tree_head_is_refused(contracted: Region) -> None:
    shows(contracted.network, forged_head(contracted.lastwerk, b"another agreement"))
    body = {"partner": contracted.rheinaue.did}
    answer = await contracted.lastwerk.answer("POST", "/api/partner-ledgers", body)
    assert (answer.status_code, "no tree head of the ledger of" in answer.text) == (422, True)


async def test_a_stranger_is_asked_nothing(contracted: Region) -> None:
    before = len(contracted.network.passed)
    body = {"partner": "did:web:stranger.example"}
    assert (await contracted.lastwerk.answer("POST", "/api/partner-ledgers", body)).status_code == 404
    assert len(contracted.network.passed) == before


async def test_without_a_token_nobody_learns_anything_about_a_ledger(contracted: Region) -> None:
    agreement = await contracted.agreement_with(contracted.rheinaue)
    async with contracted.rheinaue.public() as client:
        for path in (
            "head",
            "consistency?first=0&second=1",
            f"inclusion?identifier={segment(agreement)}&size=1",
        ):
            assert (await client.get(LEDGER + path)).status_code == 401
