"""Parts of a data file: each has its own receipt over its own bytes, and all of them are one use."""

import asyncio
import hashlib
from typing import Any

import httpx
import pytest

from connector.evidence.verification import verify_file
from tests.region.participants import (
    Region,
    leaks_nothing,
    segment,
    until,
)

ROWS = 14 * 24


@pytest.fixture
async def raw(raw: Region) -> Region:
    """The contract on raw data, with a pull that has started."""
    body = {"agreement_id": await raw.agreement_with(raw.rheinaue), "format": "HttpData-PULL"}
    await raw.lastwerk.call("POST", "/api/transfers", body)
    await until(lambda: [one["state"] for one in raw.lastwerk.rows("transfers")] == ["STARTED"])
    return raw


def _content(region: Region) -> bytes:
    return (region.rheinaue.directory / "load_profiles.parquet").read_bytes()


async def _get(region: Region, method: str = "GET", **headers: str) -> httpx.Response:
    properties = region.lastwerk.rows("transfers")[0]["data_address"]["endpointProperties"]
    token = next(str(one["value"]) for one in properties if one["name"] == "authorization")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with region.rheinaue.public() as client:
        return await client.request(
            method, "/data/file", headers={"authorization": f"Bearer {token}", **named}
        )


def _uses(region: Region) -> list[int]:
    return [row[2] for row in region.rheinaue.state()["uses"]]


async def _released(region: Region) -> list[tuple[int, int]]:
    entries = (await region.ledger(region.rheinaue))["entries"]
    return [(one["raw_rows_out"], one["raw_bytes_out"]) for one in entries if one["kind"] == "download"]


async def _statement(region: Region, answer: httpx.Response) -> Any:
    receipt = await region.rheinaue.file(f"/api/receipts/{segment(answer.headers['allmende-receipt'])}")
    return verify_file(receipt).statement


async def test_a_part_is_exactly_these_bytes_and_its_receipt_says_so(raw: Region) -> None:
    content = _content(raw)
    answer = await _get(raw, range="bytes=100-199")

    assert answer.status_code == 206
    assert answer.content == content[100:200]
    assert answer.headers["content-range"] == f"bytes 100-199/{len(content)}"
    assert answer.headers["content-length"] == "100"
    assert answer.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    statement = await _statement(raw, answer)
    assert statement["rawData"] == {
        "rowsOut": ROWS,
        "bytesOut": 100,
        "part": f"bytes 100-199/{len(content)}",
    }
    assert await _released(raw) == [(ROWS, 100)]


async def test_a_download_in_parts_is_one_use_and_every_byte_of_it_is_in_the_ledger(raw: Region) -> None:
    content = _content(raw)
    middle = len(content) // 2

    begun = await _get(raw, range=f"bytes=0-{middle - 1}")
    rest = await _get(raw, range=f"bytes={middle}-", if_range=begun.headers["etag"])

    assert begun.content + rest.content == content
    assert _uses(raw) == [1]
    assert await _released(raw) == [(ROWS, middle), (0, len(content) - middle)]
    assert (await _statement(raw, begun))["uses"] == {"before": 0, "after": 1}
    assert (await _statement(raw, rest))["uses"] == {"before": 1, "after": 1}


async def test_the_last_use_can_be_resumed_but_not_begun_again(raw: Region) -> None:
    assert [(await _get(raw)).status_code for _ in range(2)] == [200, 200]

    resumed = await _get(raw, range="bytes=10-")
    again = await _get(raw)

    assert (resumed.status_code, again.status_code) == (206, 403)
    assert resumed.content == _content(raw)[10:]
    assert _uses(raw) == [2]


async def test_parts_over_and_over_are_further_uses(raw: Region) -> None:
    size = len(_content(raw))
    statuses = [(await _get(raw, range="bytes=0-")).status_code for _ in range(5)]
    assert statuses == [206, 206, 206, 206, 403], "two uses, each of them twice the file"
    assert _uses(raw) == [2]
    assert sum(released for _, released in await _released(raw)) == 4 * size


async def test_parts_that_are_asked_for_at_once_are_one_use(raw: Region) -> None:
    answers = await asyncio.gather(*(_get(raw, range=f"bytes={10 * n}-{10 * n + 9}") for n in range(12)))
    assert b"".join(answer.content for answer in answers) == _content(raw)[:120]
    assert _uses(raw) == [1]
    assert sorted(await _released(raw)) == [(0, 10)] * 11 + [(ROWS, 10)]


async def test_another_version_than_the_one_that_was_begun_is_sent_whole(raw: Region) -> None:
    answer = await _get(raw, range="bytes=5-", if_range='"another"')
    assert (answer.status_code, answer.content) == (200, _content(raw))
    assert "content-range" not in answer.headers


async def test_a_part_beyond_the_end_is_refused_and_is_no_use(raw: Region) -> None:
    size = len(_content(raw))
    answer = await _get(raw, range=f"bytes={size}-")
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{size}"
    leaks_nothing(answer, raw)
    assert (_uses(raw), await _released(raw)) == ([], [])


async def test_a_head_request_tells_all_and_gives_nothing(raw: Region) -> None:
    content = _content(raw)
    answer = await _get(raw, "HEAD", range="bytes=0-9")
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert "allmende-receipt" not in answer.headers
    assert (_uses(raw), await _released(raw)) == ([], [])


async def test_a_new_token_begins_a_new_download(raw: Region) -> None:
    assert (await _get(raw, range="bytes=0-9")).status_code == 206
    pid = raw.lastwerk.rows("transfers")[0]["pid"]
    path = f"/api/transfers/{segment(pid)}/moves"
    await raw.lastwerk.call("POST", path, {"action": "suspension"})
    await until(lambda: raw.lastwerk.rows("transfers")[0]["state"] == "SUSPENDED")
    await raw.lastwerk.call("POST", path, {"action": "start"})
    await until(lambda: raw.lastwerk.rows("transfers")[0]["data_address"] is not None)

    assert (await _get(raw, range="bytes=10-19")).status_code == 206

    assert _uses(raw) == [2]


async def test_a_part_is_no_receipt_for_the_whole_file(raw: Region) -> None:
    """The consumer is given a part, with its honest receipt, where it asked for everything."""
    part = await _get(raw, range="bytes=0-99")

    def tamper(request: httpx.Request, answer: httpx.Response, content: bytes) -> httpx.Response:
        if request.url.path != "/data/file":
            return httpx.Response(answer.status_code, headers=answer.headers, content=content)
        named = {"allmende-receipt": part.headers["allmende-receipt"]}
        return httpx.Response(200, headers=named, content=part.content)

    raw.network.tamper = tamper
    pid = raw.lastwerk.rows("transfers")[0]["pid"]

    refused = await raw.lastwerk.answer("POST", f"/api/transfers/{segment(pid)}/data")

    assert refused.status_code == 422
    assert "about another file" in refused.text
