"""A consumer asks for a push, and its data plane takes the file: once, with the token, with the receipt."""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from connector.evidence.documents import mapping
from connector.evidence.verification import verify_file
from tests.region.participants import (
    Participant,
    Region,
    segment,
    until,
)

PUSH = "HttpData-PUSH"


async def _ask(region: Region) -> str:
    body = {"agreement_id": await region.agreement_with(region.rheinaue), "format": PUSH}
    return str((await region.lastwerk.call("POST", "/api/transfers", body))["pid"])


def _record(participant: Participant) -> Any:
    (record,) = participant.rows("transfers")
    return record


def _ended(region: Region) -> bool:
    states = [one["state"] for side in (region.rheinaue, region.lastwerk) for one in side.rows("transfers")]
    return len(states) == 2 and set(states) <= {"COMPLETED", "TERMINATED"}


async def _data(region: Region, pid: str) -> httpx.Response:
    return await region.lastwerk.answer("GET", f"/api/transfers/{segment(pid)}/data")


def _received(region: Region) -> list[Path]:
    directory = region.lastwerk.directory / "received"
    return sorted(directory.iterdir()) if directory.exists() else []


def _source(region: Region) -> bytes:
    return (region.rheinaue.directory / "load_profiles.parquet").read_bytes()


async def _post(region: Region, path: str, token: str | None, content: bytes) -> httpx.Response:
    authorization = {} if token is None else {"authorization": f"Bearer {token}"}
    async with region.lastwerk.public() as client:
        return await client.post(path, content=content, headers=authorization)


def _address(body: bytes) -> Any:
    """The data address in a transfer request: where the data go, and its properties."""
    address = json.loads(body)["dataAddress"]
    return address["endpoint"], {one["name"]: one["value"] for one in address["endpointProperties"]}


def _asked_for(region: Region) -> tuple[str, str]:
    """Path and token of the push, as the provider was told."""
    endpoint, properties = _address(region.network.sent("/transfers/request")[0].body)
    return httpx.URL(endpoint).path, properties["authorization"]


async def test_a_push_arrives_with_its_receipt_and_both_have_completed(raw: Region) -> None:
    pid = await _ask(raw)
    await until(lambda: _ended(raw))

    record = _record(raw.lastwerk)
    content = _source(raw)
    assert (record["state"], _record(raw.rheinaue)["state"]) == ("COMPLETED", "COMPLETED"), record["reason"]
    assert record["received"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["received"]["size"] == len(content)
    answer = await _data(raw, pid)
    assert answer.content == content
    assert [path.read_bytes() for path in _received(raw)] == [content]
    await until(lambda: raw.lastwerk.rows("outbox") == [])
    for participant in (raw.lastwerk, raw.rheinaue):
        receipt = await participant.file(f"/api/receipts/{segment(answer.headers['allmende-receipt'])}")
        verified = verify_file(receipt)
        assert [one.did for one in verified.parties] == [raw.rheinaue.did, raw.lastwerk.did]
        assert mapping(verified.statement, "rawData")["bytesOut"] == len(content)


async def test_the_transfer_is_shown_with_what_it_has_brought(raw: Region) -> None:
    await _ask(raw)
    await until(lambda: _ended(raw))
    (shown,) = await raw.lastwerk.call("GET", "/api/transfers")
    assert shown["received"]["bytes"] == len(_source(raw))
    assert shown["received"]["file"] == _received(raw)[0].name


async def test_the_address_of_a_push_is_one_that_edc_reads(raw: Region) -> None:
    await _ask(raw)
    await until(lambda: _ended(raw))
    (sent,) = raw.network.sent("/transfers/request")
    endpoint, properties = _address(sent.body)
    token = properties["authorization"]
    edc = "https://w3id.org/edc/v0.0.1/ns/"
    assert json.loads(sent.body)["dataAddress"]["endpointType"] == "HttpData"
    assert properties[edc + "baseUrl"] == endpoint
    assert properties[edc + "authKey"] == "Authorization"
    assert properties[edc + "authCode"] == f"Bearer {token}"
    assert token not in str(raw.lastwerk.rows("transfers")), "only its digest is kept"


async def test_nobody_else_can_put_a_file_there_and_nobody_twice(raw: Region) -> None:
    await _ask(raw)
    await until(lambda: _ended(raw))
    path, token = _asked_for(raw)
    before = _received(raw)

    answers = [
        await _post(raw, path, None, b"x"),
        await _post(raw, path, "guessed", b"x"),
        await _post(raw, path, token, b"x"),
        await _post(raw, "/data/received/urn:uuid:00000000-0000-4000-8000-000000000000", token, b"x"),
    ]

    assert [answer.status_code for answer in answers] == [401, 404, 404, 404]
    assert _received(raw) == before
    assert before[0].read_bytes() == _source(raw)
    async with raw.lastwerk.public() as client:
        for path in ("/data/file", f"/data/receipts/{segment(_record(raw.lastwerk)['received']['receipt'])}"):
            answer = await client.get(path, headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == 404, "a token that takes data gives none"


def _answering(path: str, answer: httpx.Response | None, *, body: bytes | None = None) -> Any:
    """A network in which one path answers differently; every other as it does."""

    def tamper(request: httpx.Request, given: httpx.Response, content: bytes) -> httpx.Response:
        if request.url.path.startswith(path):
            return answer or httpx.Response(given.status_code, content=body or b"")
        return httpx.Response(given.status_code, headers=given.headers, content=content)

    return tamper


@pytest.mark.parametrize("spoilt", [httpx.Response(404), None])
async def test_a_push_whose_receipt_is_missing_or_forged_is_not_kept(
    raw: Region, spoilt: httpx.Response | None
) -> None:
    raw.network.tamper = _answering("/dsp/2025-1/receipts/", spoilt, body=b"{}\n")

    pid = await _ask(raw)
    await until(lambda: _ended(raw))

    assert {_record(one)["state"] for one in (raw.rheinaue, raw.lastwerk)} == {"TERMINATED"}
    assert _received(raw) == []
    assert (await _data(raw, pid)).status_code == 422


async def test_nothing_is_taken_after_the_transfer_has_ended(raw: Region) -> None:
    raw.network.tamper = _answering("/dsp/2025-1/receipts/", httpx.Response(404))
    await _ask(raw)
    await until(lambda: _ended(raw))

    answer = await _post(raw, *_asked_for(raw), _source(raw))

    assert answer.status_code == 404, "the token ended with the transfer"


async def test_a_provider_that_signs_cannot_leave_its_receipt_away(raw: Region) -> None:
    await raw.rheinaue.stop()
    pid = await _ask(raw)
    endpoint, properties = _address(raw.lastwerk.rows("outbox")[0]["body"].encode())

    answer = await _post(raw, httpx.URL(endpoint).path, properties["authorization"], b"data")

    assert answer.status_code == 422
    assert "names no receipt" in answer.text
    assert _received(raw) == []
    assert (await _data(raw, pid)).status_code == 422


async def test_a_file_that_is_too_large_leaves_nothing_behind(
    raw: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=200))

    await _ask(raw)
    await until(lambda: _ended(raw))

    assert _record(raw.rheinaue)["state"] == "TERMINATED"
    assert "More than 100 bytes are not taken" in _record(raw.rheinaue)["reason"]
    assert _received(raw) == []
