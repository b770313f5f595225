"""A consumer countersigns what it got, and the provider keeps that; nobody else can."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.evidence.errors import EvidenceError
from connector.evidence.receipts import without_countersignature
from connector.evidence.verification import verify_file
from tests.region.participants import (
    STATEMENT,
    Fault,
    Participant,
    Region,
    Stranger,
    copied,
    running,
    segment,
    until,
    voice_of,
)

UNKNOWN = "urn:uuid:00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def asked(region_stages: Path, tmp_path: Path) -> AsyncIterator[tuple[Region, str]]:
    """One provider has answered a query; with the receipt's name. Countersignatures get lost so far."""
    region = copied(region_stages / "agreed", tmp_path / "region")
    async with running(region, region.rheinaue, region.lastwerk):
        region.network.lose(Fault.REQUEST_LOST, "/countersignature", times=1000)
        yield region, await _ask(region)


async def _ask(region: Region) -> str:
    body = {"statement": STATEMENT, "agreements": [await region.agreement_with(region.rheinaue)]}
    result = await region.lastwerk.call("POST", "/api/queries", body)
    assert [site["status"] for site in result["sites"]] == ["released"]
    return str(result["sites"][0]["receipt"])


async def _file(participant: Participant, receipt: str) -> bytes:
    return await participant.file(f"/api/receipts/{segment(receipt)}")


def _signers(data: bytes) -> list[str]:
    return [party.did for party in verify_file(data).parties]


async def _send(region: Region, receipt: str, data: bytes, sender: Any = None) -> httpx.Response:
    path = f"/receipts/{segment(receipt)}/countersignature"
    return await (sender or voice_of(region.lastwerk)).say(region.rheinaue, path, content=data)


async def test_both_parties_hold_the_same_receipt_with_both_signatures(contracted: Region) -> None:
    receipt = await _ask(contracted)
    both = [contracted.rheinaue.did, contracted.lastwerk.did]
    await until(lambda: contracted.lastwerk.rows("outbox") == [])

    ours, theirs = await _file(contracted.lastwerk, receipt), await _file(contracted.rheinaue, receipt)

    assert ours == theirs
    assert _signers(ours) == both
    assert verify_file(ours).missing == ()
    assert verify_file(ours).steps[-1]["en"] == f"Countersigned by {contracted.lastwerk.did}."


async def test_a_receipt_verifies_before_it_is_countersigned_and_says_so(asked: tuple[Region, str]) -> None:
    region, receipt = asked
    data = await _file(region.rheinaue, receipt)
    assert _signers(data) == [region.rheinaue.did]
    assert [one["en"] for one in verify_file(data).missing] == [
        "The recipient has not countersigned the receipt."
    ]
    assert without_countersignature(await _file(region.lastwerk, receipt)) == data


async def test_a_countersignature_that_got_lost_arrives_after_a_restart(asked: tuple[Region, str]) -> None:
    region, receipt = asked
    region.network.faults.clear()
    await region.lastwerk.restart()
    await until(lambda: region.lastwerk.rows("outbox") == [])
    assert await _file(region.rheinaue, receipt) == await _file(region.lastwerk, receipt)


async def test_a_countersignature_can_be_repeated_and_changes_nothing(asked: tuple[Region, str]) -> None:
    region, receipt = asked
    data = await _file(region.lastwerk, receipt)
    assert [(await _send(region, receipt, data)).status_code for _ in range(2)] == [200, 200]
    assert await _file(region.rheinaue, receipt) == data


async def test_only_the_recipient_reads_a_receipt_and_countersigns_it(
    asked: tuple[Region, str], tmp_path: Path
) -> None:
    region, receipt = asked
    stranger = Stranger(tmp_path / "stranger", region.network)
    data = await _file(region.lastwerk, receipt)
    path = f"/receipts/{segment(receipt)}"

    read = await voice_of(region.lastwerk).say(region.rheinaue, path, method="GET")
    assert read.content == await _file(region.rheinaue, receipt)
    for answer in (
        await stranger.say(region.rheinaue, path, method="GET"),
        await _send(region, receipt, data, stranger),
        await voice_of(region.lastwerk).say(region.rheinaue, f"/receipts/{UNKNOWN}", method="GET"),
        await _send(region, UNKNOWN, data),
    ):
        assert answer.status_code == 404, answer.text
    async with region.rheinaue.public() as client:
        assert (await client.get(f"/dsp/2025-1{path}")).status_code == 401
        assert (await client.post(f"/dsp/2025-1{path}/countersignature", content=data)).status_code == 401
    assert _signers(await _file(region.rheinaue, receipt)) == [region.rheinaue.did]


def _changed(data: bytes, *path: str, value: Any) -> bytes:
    document = json.loads(data)
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


async def test_a_countersignature_of_something_else_is_not_kept(asked: tuple[Region, str]) -> None:
    region, receipt = asked
    data = await _file(region.lastwerk, receipt)
    plain = await _file(region.rheinaue, receipt)
    attacks = {
        "nothing is signed": plain,
        "no receipt": b"{}\n",
        "no JSON": b"\xff",
        "another time": _changed(data, "countersignature", "received", value="2020-01-01T00:00:00.000000Z"),
        "another receipt": _changed(data, "countersignature", "receipt", "digest", value="0" * 64),
        "more uses": _changed(data, "signedReceipt", "uses", "after", value=9),
        "far too much": data + b" " * 30_000,
        "another place": _changed(data, "inclusion", "leafIndex", value=0),
    }
    for name, attack in attacks.items():
        answer = await _send(region, receipt, attack)
        assert answer.status_code == 422, f"{name}: {answer.text}"
    assert await _file(region.rheinaue, receipt) == plain


async def test_somebody_elses_key_countersigns_nothing(asked: tuple[Region, str], tmp_path: Path) -> None:
    region, receipt = asked
    stranger = Stranger(tmp_path / "stranger", region.network)
    data = json.loads(await _file(region.lastwerk, receipt))
    forged = stranger.credentials.prove(
        {name: value for name, value in data["countersignature"].items() if name != "proof"},
        verify_file(await _file(region.lastwerk, receipt)).parties[1].signed,
    )
    attack = _changed(json.dumps(data).encode(), "countersignature", value=forged)
    with pytest.raises(EvidenceError):
        verify_file(attack)
    assert (await _send(region, receipt, attack)).status_code == 422
