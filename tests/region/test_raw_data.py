"""Raw data leave where the agreement permits it, and only there; the receipt goes first."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from connector.evidence.verification import verify_file
from tests.region.participants import (
    DATASETS,
    Fault,
    Participant,
    Region,
    at_rest,
    dsp,
    leaks_nothing,
    segment,
    until,
    voice_of,
)

PULL, PUSH, QUERY = "HttpData-PULL", "HttpData-PUSH", "AllmendeQuery-PULL"
ROWS = 14 * 24
"""14 profiles of the Rheinaue, 24 hours."""


async def _transfer(region: Region, transfer_format: str = PULL) -> str:
    """Ask for a transfer, and wait until it rests; returns the consumer's pid."""
    body = {"agreement_id": await region.agreement_with(region.rheinaue), "format": transfer_format}
    pid = str((await region.lastwerk.call("POST", "/api/transfers", body))["pid"])
    await until(lambda: _record(region.lastwerk, pid)["state"] in {"STARTED", "TERMINATED"})
    return pid


def _record(participant: Participant, pid: str) -> Any:
    return next(one for one in participant.rows("transfers") if one["pid"] == pid)


async def _pull(region: Region, pid: str) -> httpx.Response:
    return await region.lastwerk.answer("POST", f"/api/transfers/{segment(pid)}/data")


async def _move(region: Region, pid: str, action: str) -> None:
    await region.lastwerk.call("POST", f"/api/transfers/{segment(pid)}/moves", {"action": action})


def _token(region: Region, pid: str) -> str:
    properties = _record(region.lastwerk, pid)["data_address"]["endpointProperties"]
    return next(str(one["value"]) for one in properties if one["name"] == "authorization")


def _source(region: Region) -> Path:
    return region.rheinaue.directory / "load_profiles.parquet"


async def _downloads(region: Region) -> list[tuple[int, int, int]]:
    entries = (await region.ledger(region.rheinaue))["entries"]
    return [
        (one["raw_rows_out"], one["raw_bytes_out"], one["result_bytes_out"])
        for one in entries
        if one["kind"] == "download"
    ]


async def test_the_catalog_offers_raw_data_only_where_the_policy_lets_them_leave(raw: Region) -> None:
    shown = await raw.read_catalog(raw.rheinaue)
    assert shown["datasets"][0]["formats"] == [QUERY, "AllmendeCompute-PULL", PULL, PUSH]

    await raw.publish(raw.rheinaue)

    shown = await raw.read_catalog(raw.rheinaue)
    assert shown["datasets"][0]["formats"] == [QUERY, "AllmendeCompute-PULL"]


async def test_a_pull_gives_the_file_and_a_receipt_with_the_real_figures(raw: Region) -> None:
    answer = await _pull(raw, await _transfer(raw))

    content = _source(raw).read_bytes()
    assert answer.content == content
    assert answer.headers["content-type"] == "application/octet-stream"
    assert await _downloads(raw) == [(ROWS, len(content), 0)]
    receipt = await raw.rheinaue.file(f"/api/receipts/{segment(answer.headers['allmende-receipt'])}")
    statement = verify_file(receipt).statement
    assert statement["kind"] == "download"
    assert statement["rawData"] == {"rowsOut": ROWS, "bytesOut": len(content)}
    assert statement["uses"] == {"before": 0, "after": 1}


async def test_each_pull_is_a_use_and_the_last_one_too_many_gets_nothing(raw: Region) -> None:
    pid = await _transfer(raw)
    assert [(await _pull(raw, pid)).status_code for _ in range(2)] == [200, 200]

    refused = await _pull(raw, pid)

    assert refused.status_code == 422
    assert "403" in refused.text
    assert len(await _downloads(raw)) == 2


async def test_a_pull_is_used_only_with_a_receipt_about_exactly_these_bytes(raw: Region) -> None:
    pid = await _transfer(raw)

    def other_bytes(request: httpx.Request, answer: httpx.Response, content: bytes) -> httpx.Response:
        changed = content[:-1] + b"?" if request.url.path == "/data/file" else content
        return httpx.Response(answer.status_code, headers=answer.headers, content=changed)

    def no_receipt(_: httpx.Request, answer: httpx.Response, content: bytes) -> httpx.Response:
        answer.headers.pop("allmende-receipt", None)
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)

    for tamper, words in ((other_bytes, "about another file"), (no_receipt, "names no receipt")):
        raw.network.tamper = tamper
        refused = await _pull(raw, pid)
        assert (refused.status_code, words in refused.text) == (422, True), refused.text
    assert raw.lastwerk.rows("outbox") == [], "nothing was countersigned"


async def test_a_pull_whose_answer_is_lost_has_left_its_receipt_behind(raw: Region) -> None:
    pid = await _transfer(raw)
    raw.network.lose(Fault.ANSWER_LOST, "/data/file")

    assert (await _pull(raw, pid)).status_code == 502

    assert len(await _downloads(raw)) == 1


async def test_a_file_that_is_not_the_published_one_does_not_leave(raw: Region) -> None:
    pid = await _transfer(raw)
    _source(raw).write_bytes(_source(raw).read_bytes() + b"one more row")

    refused = await _pull(raw, pid)

    assert refused.status_code == 422
    assert "could not read its data" in refused.text
    assert await _downloads(raw) == []
    assert raw.rheinaue.state()["uses"] == []
    leaks_nothing(refused, raw)


async def test_nobody_gets_the_file_with_a_token_for_something_else(raw: Region) -> None:
    pid = await _transfer(raw, QUERY)
    async with raw.rheinaue.public() as client:
        answers = [
            await client.get("/data/file"),
            await client.get("/data/file", headers={"authorization": _token(raw, pid)}),
            await client.get("/data/file", headers={"authorization": f"Bearer {_token(raw, pid)}"}),
            await client.get("/data/file", headers={"authorization": "Bearer"}),
        ]
    assert [answer.status_code for answer in answers] == [401, 404, 404, 404]
    assert await _downloads(raw) == []


async def test_an_agreement_that_prohibits_copying_gives_no_raw_data(contracted: Region) -> None:
    agreement = await contracted.agreement_with(contracted.rheinaue)
    body = {"agreement_id": agreement, "format": PULL}
    pid = (await contracted.lastwerk.call("POST", "/api/transfers", body))["pid"]

    await until(lambda: _record(contracted.lastwerk, pid)["state"] == "TERMINATED")

    assert "does not let the data leave" in _record(contracted.lastwerk, pid)["reason"]
    assert contracted.rheinaue.rows("transfers") == []


async def test_raw_data_that_are_withdrawn_from_the_offer_do_not_leave_under_an_old_agreement(
    raw: Region,
) -> None:
    pid = await _transfer(raw)
    await raw.publish(raw.rheinaue)

    refused = await _pull(raw, pid)

    assert refused.status_code == 422
    assert "are not handed out" in refused.text
    assert await _downloads(raw) == []


async def test_a_consumer_that_resumes_gets_a_new_token_and_the_old_one_stays_closed(raw: Region) -> None:
    pid = await _transfer(raw)
    old = _token(raw, pid)
    await _move(raw, pid, "suspension")
    await until(lambda: _record(raw.lastwerk, pid)["state"] == "SUSPENDED")
    assert (await _pull(raw, pid)).status_code == 422
    assert _record(raw.lastwerk, pid)["data_address"] is None

    await _move(raw, pid, "start")
    answer = await _pull(raw, pid)

    assert answer.content == _source(raw).read_bytes()
    assert _token(raw, pid) != old
    async with raw.rheinaue.public() as client:
        assert (await client.get("/data/file", headers={"authorization": old})).status_code == 404
    await until(lambda: raw.rheinaue.rows("outbox") == raw.lastwerk.rows("outbox") == [])
    assert {one["state"] for one in raw.rheinaue.rows("transfers")} == {"STARTED"}


async def test_a_consumer_cannot_resume_what_the_provider_has_suspended(raw: Region) -> None:
    pid = await _transfer(raw)
    old = _token(raw, pid)
    theirs = raw.rheinaue.rows("transfers")[0]["pid"]
    path = f"/api/transfers/{segment(theirs)}/moves"
    await raw.rheinaue.call("POST", path, {"action": "suspension", "reason": "a question"})
    await until(lambda: _record(raw.lastwerk, pid)["state"] == "SUSPENDED")

    await _move(raw, pid, "start")
    await at_rest(*raw.participants)

    assert _record(raw.lastwerk, pid)["state"] == "STARTED"
    assert _record(raw.lastwerk, pid)["data_address"] is None
    async with raw.rheinaue.public() as client:
        assert (await client.get("/data/file", headers={"authorization": old})).status_code == 404
    await raw.rheinaue.call("POST", path, {"action": "start"})
    assert (await _pull(raw, pid)).content == _source(raw).read_bytes()


# pushes, to a consumer that takes them


class _Destination:
    """Stands before the consumer's connector: takes its transfer messages and what is pushed to `/sink`."""

    def __init__(self, region: Region, status: int = 200) -> None:
        self.region = region
        self.status = status
        self.messages: list[Any] = []
        self.pushed: list[tuple[bytes, int]] = []
        self._behind: ASGIApp = region.network.apps[region.lastwerk.origin]
        region.network.apps[region.lastwerk.origin] = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/sink" and "/transfers/" not in scope["path"]:
            await self._behind(scope, receive, send)
            return
        body = b""
        more = True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        if scope["path"] == "/sink":
            self.pushed.append((body, len(self.region.rheinaue.state()["ledger"])))
            await Response(status_code=self.status)(scope, receive, send)
            return
        self.messages.append(json.loads(body))
        await JSONResponse({})(scope, receive, send)

    def types(self) -> list[str]:
        return [one["@type"] for one in self.messages]


async def _ask_for_push(region: Region, **changes: Any) -> httpx.Response:
    base = "https://w3id.org/edc/v0.0.1/ns/baseUrl"
    sink = {"@type": "EndpointProperty", "name": base, "value": f"{region.lastwerk.origin}/sink"}
    address = {"@type": "DataAddress", "endpointType": "HttpData", "endpointProperties": [sink]}
    message = dsp(
        "TransferRequestMessage",
        **{
            "@id": "urn:uuid:00000000-0000-4000-8000-00000000000a",
            "consumerPid": "push-1",
            "agreementId": await region.agreement_with(region.rheinaue),
            "format": PUSH,
            "callbackAddress": f"{region.lastwerk.origin}/dsp/2025-1",
            "dataAddress": address,
        }
        | changes,
    )
    return await voice_of(region.lastwerk).say(region.rheinaue, "/transfers/request", message)


async def test_a_push_sends_the_file_once_after_its_receipt_and_then_the_completion(raw: Region) -> None:
    destination = _Destination(raw)
    assert (await _ask_for_push(raw)).status_code == 201
    await until(lambda: destination.types() == ["TransferStartMessage", "TransferCompletionMessage"])

    content = _source(raw).read_bytes()
    assert destination.pushed == [(content, 3)], "the receipt was in the ledger already"
    assert "dataAddress" not in destination.messages[0]
    assert await _downloads(raw) == [(ROWS, len(content), 0)]
    await until(lambda: raw.rheinaue.rows("transfers")[0]["state"] == "COMPLETED")


async def test_a_push_that_its_destination_refuses_ends_with_the_reason(raw: Region) -> None:
    destination = _Destination(raw, status=403)

    await _ask_for_push(raw)
    await until(lambda: destination.types() == ["TransferStartMessage", "TransferTerminationMessage"])

    assert "The destination refused the data" in str(destination.messages[1]["reason"])
    assert len(await _downloads(raw)) == 1, "the bytes have left"


async def test_a_push_without_a_destination_or_to_a_forbidden_one_sends_nothing(raw: Region) -> None:
    destination = _Destination(raw)
    nowhere = {"@type": "DataAddress", "endpointType": "HttpData"}
    private = {**nowhere, "endpoint": "http://10.0.0.1/sink"}

    assert (await _ask_for_push(raw, dataAddress=nowhere)).status_code == 400
    changes = {"@id": "urn:uuid:00000000-0000-4000-8000-00000000000b", "dataAddress": private}
    assert (await _ask_for_push(raw, **changes)).status_code == 201
    await until(lambda: "TransferTerminationMessage" in destination.types())

    assert destination.pushed == []


async def test_a_push_that_was_interrupted_is_ended_and_not_sent_again(raw: Region) -> None:
    destination = _Destination(raw)
    raw.network.lose(Fault.REQUEST_LOST, "/completion", times=1000)
    await _ask_for_push(raw)
    await until(lambda: len(destination.pushed) == 1)
    record = raw.rheinaue.rows("transfers")[0]
    assert (record["state"], bool(record["pushed"])) == ("STARTED", True)
    await raw.rheinaue.stop()
    _forget_completion(raw)

    await raw.rheinaue.start()
    await until(lambda: "TransferTerminationMessage" in destination.types())

    assert "stopped while it sent the data" in str(destination.messages[-1]["reason"])
    assert len(destination.pushed) == 1


def _forget_completion(region: Region) -> None:
    """As if the process had died before it could say that it was done."""
    with sqlite3.connect(region.rheinaue.directory / "allmende.sqlite") as database:
        database.execute("DELETE FROM outbox")
        [(pid, text)] = database.execute("SELECT pid, record FROM transfers").fetchall()
        record = json.dumps({**json.loads(text), "pending": None})
        database.execute("UPDATE transfers SET record = ? WHERE pid = ?", (record, pid))


# what EDC says twice, and says no to at first


async def _said_again(region: Region, ending: str, **changes: Any) -> httpx.Response:
    """The provider sends a message of the negotiation once more, as a new one."""
    sent = region.network.sent(ending)[0]
    message = {**json.loads(sent.body), "@id": "urn:uuid:00000000-0000-4000-8000-00000000000c", **changes}
    path = sent.path.removeprefix("/dsp/2025-1")
    return await voice_of(region.rheinaue).say(region.lastwerk, path, message)


@pytest.mark.parametrize("ending", ["/agreement", "/events"])
async def test_a_provider_may_repeat_itself_in_a_new_message(published: Region, ending: str) -> None:
    await published.negotiate(published.rheinaue)
    before = published.lastwerk.state("inbox")

    assert (await _said_again(published, ending)).status_code == 200

    assert published.lastwerk.state("inbox") == before


async def test_a_consumer_may_repeat_its_verification_in_a_new_message(published: Region) -> None:
    """As long as it has not been told that all is over."""
    published.network.lose(Fault.REQUEST_LOST, "/events", 1000)
    await published.request(published.rheinaue)
    await until(lambda: [one["state"] for one in published.rheinaue.rows("negotiations")] == ["VERIFIED"])
    before = published.rheinaue.state("inbox", "outbox")
    sent = published.network.sent("/agreement/verification")[0]
    again = {**json.loads(sent.body), "@id": "urn:uuid:00000000-0000-4000-8000-00000000000e"}
    path = sent.path.removeprefix("/dsp/2025-1")

    answer = await voice_of(published.lastwerk).say(published.rheinaue, path, again)

    assert answer.status_code == 200
    assert published.rheinaue.state("inbox", "outbox") == before


async def test_another_agreement_than_the_one_that_was_made_is_no_repetition(published: Region) -> None:
    await published.negotiate(published.rheinaue)
    agreement = json.loads(published.network.sent("/agreement")[0].body)["agreement"]
    before = published.lastwerk.state()

    widened = {**agreement, "permission": [{"action": "use"}]}
    renamed = {**agreement, "@id": "urn:uuid:00000000-0000-4000-8000-00000000000d"}
    answers = [await _said_again(published, "/agreement", agreement=one) for one in (widened, renamed)]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert published.lastwerk.state() == before


async def test_a_message_that_meets_409_is_sent_again(published: Region) -> None:
    met: list[str] = []

    def conflict(request: httpx.Request, answer: httpx.Response, content: bytes) -> httpx.Response:
        if request.url.path.endswith("/agreement/verification") and not met:
            met.append(request.url.path)
            return httpx.Response(409, content=b"{}")
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)

    published.network.tamper = conflict

    assert (await published.negotiate(published.rheinaue))["state"] == "FINALIZED"
    assert met
    assert DATASETS["rheinaue"] in {one["dataset"] for one in published.lastwerk.rows("negotiations")}
