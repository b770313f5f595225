"""The data plane as an attacker uses it: tokens and results of others, questions that nobody agreed to.

Rheinaue has a contract with Lastwerk, which allows five queries and five
computations for load forecasting.
"""

import asyncio
import itertools
import json
import re
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.region.participants import (
    DATASETS,
    FAILING_JOB,
    FORECASTING,
    JOB,
    MARKETING,
    METRICS,
    POLICY,
    SLOW_JOB,
    STATEMENT,
    USES,
    Fault,
    Participant,
    Region,
    dsp,
    leaks_nothing,
    offer,
    segment,
    until,
    voice_of,
)

QUERY, COMPUTE = "AllmendeQuery-PULL", "AllmendeCompute-PULL"
UNKNOWN = "urn:uuid:dddddddd-0000-4000-8000-000000000000"
ARROW = "application/vnd.apache.arrow.stream"


async def open_transfer(consumer: Participant, agreement_id: str, kind: str) -> str:
    """Open access under an agreement; returns the access token that the provider gave."""
    body = {"agreement_id": agreement_id, "format": kind}
    pid = (await consumer.call("POST", "/api/transfers", body))["pid"]
    await until(lambda: transfer_record(consumer, pid)["state"] == "STARTED")
    return token_in(transfer_record(consumer, pid))


def transfer_record(participant: Participant, pid: str) -> Any:
    return next(record for record in participant.rows("transfers") if record["pid"] == pid)


def token_in(record: Any) -> str:
    properties = record["data_address"]["endpointProperties"]
    return next(str(one["value"]) for one in properties if one["name"] == "authorization")


async def tokens_of(region: Region) -> tuple[str, str]:
    """Lastwerk's tokens for queries and for computations at Rheinaue."""
    agreement = await region.agreement_with(region.rheinaue)
    query = await open_transfer(region.lastwerk, agreement, QUERY)
    compute = await open_transfer(region.lastwerk, agreement, COMPUTE)
    await until(lambda: region.rheinaue.rows("outbox") == [])
    return query, compute


async def data(
    region: Region,
    method: str,
    path: str,
    token: str | None,
    body: Any = None,
    *,
    content: bytes | None = None,
) -> httpx.Response:
    """A request to Rheinaue's data plane."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with region.rheinaue.public(headers=headers, timeout=60) as client:
        return await client.request(
            method, f"/data{path}", content=json.dumps(body).encode() if content is None else content
        )


def query(statement: str = STATEMENT, **more: Any) -> dict[str, Any]:
    return {"statement": statement, **more}


def job(identifier: str | None = None, **more: Any) -> dict[str, Any]:
    standard = {"identifier": identifier or f"urn:uuid:{uuid.uuid4()}", "files": JOB, "outputs": METRICS}
    return standard | more


ROUTES = (
    ("POST", "/queries", query()),
    ("POST", "/computations", job(UNKNOWN)),
    ("GET", f"/computations/{UNKNOWN}", None),
    ("GET", f"/computations/{UNKNOWN}/outputs/metrics.json", None),
    ("GET", f"/receipts/{UNKNOWN}", None),
)


def refused(answer: httpx.Response, status: int, region: Region) -> str:
    """An attack was answered with problem details, and without a byte of data."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "allmende-receipt" not in answer.headers
    leaks_nothing(answer, region)
    return str(answer.json()["detail"])


# tokens


async def test_without_a_token_nothing_is_answered_and_nothing_is_read(contracted: Region) -> None:
    before = contracted.rheinaue.state()

    for method, path, body in ROUTES:
        refused(await data(contracted, method, path, None, body), 401, contracted)
    for content in (b"{", b"[" * 5000):
        answer = await data(contracted, "POST", "/queries", None, content=content)
        refused(answer, 401, contracted)
    assert contracted.rheinaue.state() == before


async def test_a_token_that_nobody_gave_opens_nothing(contracted: Region) -> None:
    """Not even those that open something elsewhere."""
    real, _ = await tokens_of(contracted)
    voice = voice_of(contracted.lastwerk)
    strange = (
        "x",
        real[:-1],
        real + "x",
        real.swapcase(),
        contracted.rheinaue.running.token,
        contracted.rheinaue.rows("transfers")[0]["token_digest"],
        (await voice.token(contracted.rheinaue)).removeprefix("Bearer "),
        "' OR 1=1 --",
    )
    before = contracted.rheinaue.state()

    for token, (method, path, body) in itertools.product(strange, ROUTES):
        answer = await data(contracted, method, path, token, body)
        assert refused(answer, 404, contracted) == "There is nothing here for you."
    assert contracted.rheinaue.state() == before


async def test_the_provider_does_not_keep_the_tokens_that_it_gave(contracted: Region) -> None:
    """Whoever reads its database can use no token from it, once the start message has been delivered."""
    tokens = await tokens_of(contracted)

    kept = repr(contracted.rheinaue.state())

    for token in tokens:
        assert token not in kept


async def test_a_token_for_queries_computes_nothing_and_the_other_way_round(contracted: Region) -> None:
    for_queries, for_computations = await tokens_of(contracted)
    before = contracted.rheinaue.state()

    for token, (method, path, body) in (
        (for_computations, ROUTES[0]),
        *((for_queries, route) for route in ROUTES[1:4]),
    ):
        refused(await data(contracted, method, path, token, body), 404, contracted)
    assert contracted.rheinaue.state() == before


@pytest.mark.parametrize("action", ["suspension", "completion", "termination"])
@pytest.mark.parametrize("by", ["rheinaue", "lastwerk"])
async def test_a_token_opens_nothing_once_its_transfer_is_not_running(
    contracted: Region, by: str, action: str
) -> None:
    token, _ = await tokens_of(contracted)
    assert (await data(contracted, "POST", "/queries", token, query())).status_code == 200
    actor = getattr(contracted, by)
    pid = next(one["pid"] for one in actor.rows("transfers") if one["transfer_format"] == QUERY)

    await actor.call("POST", f"/api/transfers/{pid}/moves", {"action": action})
    await until(lambda: all(one.rows("outbox") == [] for one in (contracted.rheinaue, contracted.lastwerk)))
    before = contracted.rheinaue.state()

    refused(await data(contracted, "POST", "/queries", token, query()), 404, contracted)
    assert contracted.rheinaue.state() == before


async def test_a_consumer_cannot_lift_a_suspension_that_the_provider_ordered(contracted: Region) -> None:
    token, _ = await tokens_of(contracted)
    record = next(one for one in contracted.rheinaue.rows("transfers") if one["transfer_format"] == QUERY)
    await contracted.rheinaue.call(
        "POST", f"/api/transfers/{record['pid']}/moves", {"action": "suspension", "reason": "Missbrauch"}
    )
    await until(lambda: contracted.rheinaue.rows("outbox") == [])
    message = dsp("TransferStartMessage", providerPid=record["pid"], consumerPid=record["peer_pid"])

    await voice_of(contracted.lastwerk).say(contracted.rheinaue, f"/transfers/{record['pid']}/start", message)

    refused(await data(contracted, "POST", "/queries", token, query()), 404, contracted)


@pytest.mark.parametrize("action", ["suspension", "completion", "termination"])
async def test_a_consumer_keeps_no_access_by_not_answering_or_by_refusing_the_end_of_it(
    contracted: Region, action: str
) -> None:
    token, _ = await tokens_of(contracted)
    pid = next(one["pid"] for one in contracted.rheinaue.rows("transfers") if one["transfer_format"] == QUERY)
    contracted.network.lose(Fault.REQUEST_LOST, f"/{action}")
    contracted.network.tamper = lambda request, answer, content: (
        httpx.Response(400) if request.url.path.endswith(f"/{action}") else replaced(answer, content)
    )

    await contracted.rheinaue.call("POST", f"/api/transfers/{pid}/moves", {"action": action})

    unanswered = await data(contracted, "POST", "/queries", token, query())
    assert contracted.rheinaue.rows("outbox")[0]["kind"] == action
    refused(unanswered, 404, contracted)
    await until(lambda: contracted.rheinaue.rows("outbox") == [])
    refused(await data(contracted, "POST", "/queries", token, query()), 404, contracted)
    totals = (await contracted.ledger(contracted.rheinaue))["totals"][DATASETS["rheinaue"]]
    assert totals["releases"] == 0


async def test_a_new_start_after_a_suspension_closes_the_old_token(contracted: Region) -> None:
    token, _ = await tokens_of(contracted)
    record = next(one for one in contracted.rheinaue.rows("transfers") if one["transfer_format"] == QUERY)
    for action in ("suspension", "start"):
        await contracted.rheinaue.call("POST", f"/api/transfers/{record['pid']}/moves", {"action": action})
        await until(lambda: contracted.rheinaue.rows("outbox") == [])

    refused(await data(contracted, "POST", "/queries", token, query()), 404, contracted)
    fresh = token_in(transfer_record(contracted.lastwerk, record["peer_pid"]))
    assert fresh != token
    assert (await data(contracted, "POST", "/queries", fresh, query())).status_code == 200


# what belongs to others


async def second_consumer(region: Region) -> tuple[str, str]:
    """Neckar becomes a consumer of Rheinaue, too; returns its tokens."""
    neckar = region.neckar
    await neckar.call("POST", "/api/catalogs", {"provider": region.rheinaue.did})
    body = {"dataset": DATASETS["rheinaue"], "purpose": FORECASTING}
    pid = (await neckar.call("POST", "/api/negotiations", body))["pid"]
    outcome = await region.outcome(pid, neckar)
    agreement = outcome["agreement_id"]
    return await open_transfer(neckar, agreement, QUERY), await open_transfer(neckar, agreement, COMPUTE)


async def test_a_consumer_sees_nothing_of_another_consumers_computations_and_receipts(agreed: Region) -> None:
    outcome = await agreed.commission(agreed.rheinaue)
    answer = await agreed.lastwerk.call("POST", "/api/queries", query())
    receipts = [outcome["receipt"], *(site["receipt"] for site in answer["sites"])]
    for_queries, for_computations = await second_consumer(agreed)
    await until(lambda: agreed.rheinaue.rows("outbox") == [])
    before = agreed.rheinaue.state()

    theirs = segment(outcome["identifier"])
    for path in (f"/computations/{theirs}", f"/computations/{theirs}/outputs/metrics.json"):
        real = await data(agreed, "GET", path, for_computations)
        none = await data(agreed, "GET", path.replace(theirs, UNKNOWN), for_computations)
        refused(real, 404, agreed)
        assert real.text == none.text
    for token, receipt in itertools.product((for_queries, for_computations), receipts):
        refused(await data(agreed, "GET", f"/receipts/{segment(receipt)}", token), 404, agreed)
    assert agreed.rheinaue.state() == before


async def test_a_consumer_cannot_take_the_name_of_another_consumers_computation(agreed: Region) -> None:
    outcome = await agreed.commission(agreed.rheinaue)
    _, token = await second_consumer(agreed)
    await until(lambda: agreed.rheinaue.rows("outbox") == [])
    before = agreed.rheinaue.state()

    refused(await data(agreed, "POST", "/computations", token, job(outcome["identifier"])), 404, agreed)

    assert agreed.rheinaue.state() == before


async def test_a_repeated_submission_runs_once_and_costs_one_use(contracted: Region) -> None:
    _, token = await tokens_of(contracted)
    request = job(files=FAILING_JOB)

    answers = await asyncio.gather(
        *(data(contracted, "POST", "/computations", token, request) for _ in range(5))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len(contracted.rheinaue.rows("computations")) == 1
    assert [row[2] for row in contracted.rheinaue.state()["uses"]] == [1]
    await until(lambda: contracted.rheinaue.rows("computations")[0]["state"] == "TERMINATED")


async def test_an_agreement_is_no_receipt(contracted: Region) -> None:
    """The data plane hands out receipts; the agreement in the same ledger is another kind of evidence."""
    token, _ = await tokens_of(contracted)
    agreement = await contracted.agreement_with(contracted.rheinaue)

    refused(await data(contracted, "GET", f"/receipts/{segment(agreement)}", token), 404, contracted)


# outputs


async def test_an_output_does_not_leave_before_a_person_has_released_it(published: Region) -> None:
    await published.publish(published.rheinaue, offer=offer(review="manual"))
    await published.read_catalog(published.rheinaue)
    assert (await published.negotiate(published.rheinaue))["state"] == "FINALIZED"
    _, token = await tokens_of(published)
    request = job()
    await data(published, "POST", "/computations", token, request)
    await until(lambda: published.rheinaue.rows("computations")[0]["state"] == "REVIEWED")
    identifier = segment(request["identifier"])
    before = published.rheinaue.state()

    refused(
        await data(published, "GET", f"/computations/{identifier}/outputs/metrics.json", token),
        404,
        published,
    )
    shown = await data(published, "GET", f"/computations/{identifier}", token)
    assert shown.json()["outputs"] == []
    assert shown.json()["receipt"] is None
    assert published.rheinaue.state() == before
    await published.rheinaue.call("POST", f"/api/computations/{identifier}/refuse", {"reason": "Nein."})
    refused(
        await data(published, "GET", f"/computations/{identifier}/outputs/metrics.json", token),
        404,
        published,
    )


async def test_an_output_does_not_leave_when_access_ended_while_the_job_ran(contracted: Region) -> None:
    _, token = await tokens_of(contracted)
    request = job(files=SLOW_JOB)
    await data(contracted, "POST", "/computations", token, request)
    await until(lambda: contracted.rheinaue.rows("computations")[0]["state"] == "RUNNING")
    pid = next(
        one["pid"] for one in contracted.rheinaue.rows("transfers") if one["transfer_format"] == COMPUTE
    )

    await contracted.rheinaue.call("POST", f"/api/transfers/{pid}/moves", {"action": "termination"})

    await until(lambda: contracted.rheinaue.rows("computations")[0]["state"] == "TERMINATED")
    totals = (await contracted.ledger(contracted.rheinaue))["totals"][DATASETS["rheinaue"]]
    assert totals["releases"] == totals["result_bytes_out"] == 0


async def test_tricks_with_paths_lead_to_no_file(contracted: Region) -> None:
    outcome = await contracted.commission(contracted.rheinaue)
    token = token_in(contracted.lastwerk.rows("transfers")[0])
    base = f"/computations/{segment(outcome['identifier'])}/outputs"
    await until(lambda: contracted.rheinaue.rows("outbox") == contracted.lastwerk.rows("outbox") == [])
    before = contracted.rheinaue.state()

    for name in (
        "../metrics.json",
        "%2e%2e%2fmetrics.json",
        "..%2f..%2f..%2fallmende.sqlite",
        "..%5c..%5callmende.sqlite",
        "%2fetc%2fpasswd",
        "metrics.json%00",
        "metrics.json%00.txt",
        "metrics.json/",
        "METRICS.JSON",
        "metrics.json%20",
        "%25",
        "*",
        "",
        ".",
        "main.py",
        "parameters.json",
    ):
        answer = await data(contracted, "GET", f"{base}/{name}", token)
        assert answer.status_code in {404, 307}, name
        leaks_nothing(answer, contracted)
        assert b"mean" not in answer.content
    assert (await data(contracted, "GET", f"{base}/metrics.json", token)).status_code == 200
    assert contracted.rheinaue.state() == before


async def test_a_declared_output_whose_name_leads_elsewhere_writes_nothing_there(
    contracted: Region,
) -> None:
    _, token = await tokens_of(contracted)
    before = files_below(contracted.directory)
    outside = f"{contracted.directory}/escaped.json"

    for name in ("../escaped.json", outside, "..", "\x00", "x" * 5000):
        await data(contracted, "POST", "/computations", token, job(outputs={name: "metrics"}))
    await until(
        lambda: {one["state"] for one in contracted.rheinaue.rows("computations")} <= {"TERMINATED"},
        seconds=30,
    )

    assert contracted.rheinaue.state()["outputs"] == []
    assert not [path for path in files_below(contracted.directory) - before if "escaped" in path]
    totals = (await contracted.ledger(contracted.rheinaue))["totals"][DATASETS["rheinaue"]]
    assert totals["releases"] == 0


def files_below(directory: Path) -> set[str]:
    return {str(path) for path in directory.rglob("*")}


# questions


ROW_LEVEL = {
    "rows": "SELECT profile, ts, load_kw FROM load_profiles",
    "everything": "SELECT * FROM load_profiles",
    "units": "SELECT profile, avg(load_kw) FROM load_profiles GROUP BY profile",
    "one unit": "SELECT avg(load_kw) FROM load_profiles WHERE profile = 'RH-household-0'",
    "a subquery": "SELECT sector, count(*) AS n FROM (SELECT * FROM load_profiles) GROUP BY sector",
    "a file": "SELECT sector, count(*) AS n FROM read_parquet('load_profiles.parquet') GROUP BY sector",
    "another table": "SELECT count(*) AS n FROM sqlite_master",
    "two statements": STATEMENT + "; SELECT * FROM load_profiles",  # noqa: S608 - the attack
    "a list": "SELECT sector, list(load_kw) AS l FROM load_profiles GROUP BY sector",
    "a change": "DELETE FROM load_profiles",
    "a setting": "PRAGMA database_list",
    "nothing": "",
    "no SQL": "\x00\x01",
}


LEDGER = ("ledger", "tree_heads")
"""Where refusals are noted, too."""


async def test_a_row_level_statement_sent_straight_to_the_data_plane_is_refused_and_costs_no_use(
    contracted: Region,
) -> None:
    """The consumer's own connector would refuse these; an attacker does not use one."""
    token, _ = await tokens_of(contracted)
    before = contracted.rheinaue.state("queries", *LEDGER)

    for name, statement in ROW_LEVEL.items():
        answer = await data(contracted, "POST", "/queries", token, query(statement))
        assert answer.status_code == 403, f"{name}: {answer.text}"
        sentence = refused(answer, 403, contracted)
        assert len(sentence) < 400
        assert set(answer.json()["reason"]) == {"de", "en"}
    assert contracted.rheinaue.state("queries", *LEDGER) == before
    noted = contracted.rheinaue.rows("queries")
    assert [one["statement"] for one in noted] == list(ROW_LEVEL.values())
    assert all(one["refusal"] and one["bytes_out"] == 0 for one in noted)
    entries = (await contracted.ledger(contracted.rheinaue))["entries"]
    assert [one["kind"] for one in entries] == [
        "agreement",
        "permit",
        "permit",
        *["refusal"] * len(ROW_LEVEL),
    ]


async def test_another_purpose_in_the_question_is_refused_and_costs_no_use(contracted: Region) -> None:
    token, for_computations = await tokens_of(contracted)
    before = contracted.rheinaue.state("queries", *LEDGER)

    for purpose in (
        MARKETING,
        POLICY + "GridOperation",
        FORECASTING + " ",
        " " + FORECASTING,
        FORECASTING.lower(),
        FORECASTING + "2",
        FORECASTING + "\n" + MARKETING,
        "LoadForecasting",
        "https://w3id.org/dpv#Purpose",
        "*",
        "null",
    ):
        answer = await data(contracted, "POST", "/queries", token, query(purpose=purpose))
        assert answer.status_code == 403, purpose
        refused(answer, 403, contracted)
        answer = await data(contracted, "POST", "/computations", for_computations, job(purpose=purpose))
        assert answer.status_code == 403, purpose
        refused(answer, 403, contracted)
    assert contracted.rheinaue.state("queries", *LEDGER) == before


async def test_a_purpose_that_is_no_text_is_refused(contracted: Region) -> None:
    token, _ = await tokens_of(contracted)
    before = contracted.rheinaue.state()

    for purpose in ([FORECASTING], {"@id": FORECASTING}, True, 7):
        answer = await data(contracted, "POST", "/queries", token, query(purpose=purpose))
        refused(answer, 422, contracted)
    assert contracted.rheinaue.state() == before


async def test_who_negotiated_without_a_purpose_must_declare_one_with_every_question(
    published: Region,
) -> None:
    assert (await published.negotiate(published.rheinaue, purpose=None))["state"] == "FINALIZED"
    token, _ = await tokens_of(published)

    silent = await data(published, "POST", "/queries", token, query())
    other = await data(published, "POST", "/queries", token, query(purpose=MARKETING))
    declared = await data(published, "POST", "/queries", token, query(purpose=FORECASTING))

    refused(silent, 403, published)
    refused(other, 403, published)
    assert declared.status_code == 200
    assert [row[2] for row in published.rheinaue.state()["uses"]] == [1]


async def test_a_question_with_more_in_it_than_a_question_is_refused(contracted: Region) -> None:
    token, for_computations = await tokens_of(contracted)
    before = contracted.rheinaue.state()
    attacks: tuple[tuple[str, str, bytes, set[int]], ...] = (
        (token, "/queries", json.dumps(query(table="datasets")).encode(), {422}),
        (token, "/queries", json.dumps(query(agreement_id=UNKNOWN)).encode(), {422}),
        (token, "/queries", b'{"statement": "a", "statement": "b"}', {400}),
        (token, "/queries", b"[]", {400}),
        (token, "/queries", b"", {400}),
        (token, "/queries", json.dumps(query("SELECT " + "x" * 30_000)).encode(), {400, 413}),
        (token, "/queries", b'{"statement": ' + b"[" * 3000 + b"]" * 3000 + b"}", {400}),
        (for_computations, "/computations", json.dumps(job("../etc/passwd")).encode(), {422}),
        (for_computations, "/computations", json.dumps(job(state="RELEASED")).encode(), {422}),
        (for_computations, "/computations", json.dumps(job(files={"../main.py": ""})).encode(), {422}),
        (
            for_computations,
            "/computations",
            json.dumps(job(files={"main.py": "\ud800"})).encode(),
            {400, 422},
        ),
        (for_computations, "/computations", json.dumps(job(files={})).encode(), {422}),
    )

    for used, path, content, statuses in attacks:
        answer = await data(contracted, "POST", path, used, content=content)
        assert answer.status_code in statuses, f"{content[:80]!r}: {answer.text}"
        refused(answer, answer.status_code, contracted)
    assert contracted.rheinaue.state() == before


async def test_twenty_questions_at_once_get_exactly_the_five_answers_that_were_agreed(
    contracted: Region,
) -> None:
    token, _ = await tokens_of(contracted)

    answers = await asyncio.gather(*(data(contracted, "POST", "/queries", token, query()) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200] * USES + [403] * (20 - USES)
    for answer in answers:
        if answer.status_code == 200:
            assert answer.headers["content-type"] == ARROW
        else:
            refused(answer, 403, contracted)
    assert [row[2] for row in contracted.rheinaue.state()["uses"]] == [USES]
    totals = (await contracted.ledger(contracted.rheinaue))["totals"][DATASETS["rheinaue"]]
    assert totals["releases"] == USES
    assert totals["result_bytes_out"] == sum(
        len(answer.content) for answer in answers if answer.status_code == 200
    )


async def test_a_second_token_or_a_second_transfer_brings_no_second_count(contracted: Region) -> None:
    agreement = await contracted.agreement_with(contracted.rheinaue)
    statuses = []
    for _ in range(2):
        token = await open_transfer(contracted.lastwerk, agreement, QUERY)
        statuses += [
            (await data(contracted, "POST", "/queries", token, query())).status_code for _ in range(USES - 1)
        ]
        (record, *_) = [one for one in contracted.lastwerk.rows("transfers") if one["state"] == "STARTED"]
        await contracted.lastwerk.call(
            "POST", f"/api/transfers/{record['pid']}/moves", {"action": "completion"}
        )
        await until(lambda: contracted.lastwerk.rows("outbox") == [])

    assert statuses == [200] * USES + [403] * (USES - 2)


# the consumer, attacked by its provider


def replaced(answer: httpx.Response, content: bytes, **headers: str) -> httpx.Response:
    return httpx.Response(
        answer.status_code,
        headers={**dict(answer.headers), **headers, "content-length": str(len(content))},
        content=content,
    )


async def ask(region: Region) -> Any:
    only_one = [await region.agreement_with(region.rheinaue)]
    return await region.lastwerk.call("POST", "/api/queries", query(agreements=only_one))


async def test_a_result_that_was_changed_on_its_way_is_not_used(contracted: Region) -> None:
    def tamper(request: httpx.Request, answer: httpx.Response, content: bytes) -> httpx.Response:
        if request.url.path != "/data/queries":
            return replaced(answer, content)
        position = len(content) // 2
        return replaced(answer, content[:position] + b"\x01" + content[position + 1 :])

    contracted.network.tamper = tamper
    evidence = contracted.lastwerk.state()["documents"]

    result = await ask(contracted)

    assert [site["status"] for site in result["sites"]] == ["refused"]
    assert result["rows"] == []
    assert contracted.lastwerk.state()["documents"] == evidence


async def test_a_receipt_that_was_changed_or_is_missing_makes_its_result_unusable(
    contracted: Region,
) -> None:
    def changed(request: httpx.Request, answer: httpx.Response, content: bytes) -> httpx.Response:
        if not request.url.path.startswith("/data/receipts/"):
            return replaced(answer, content)
        spoilt = re.sub(rb'"before":( ?)0', rb'"before":\g<1>4', content)
        assert spoilt != content
        return replaced(answer, spoilt)

    def missing(request: httpx.Request, answer: httpx.Response, content: bytes) -> httpx.Response:
        is_receipt = request.url.path.startswith("/data/receipts/")
        return httpx.Response(404) if is_receipt else replaced(answer, content)

    evidence = contracted.lastwerk.state()["documents"]
    for tamper in (changed, missing):
        contracted.network.tamper = tamper

        result = await ask(contracted)

        assert [site["status"] for site in result["sites"]] == ["refused"]
        assert result["rows"] == []
        assert contracted.lastwerk.state()["documents"] == evidence


async def test_a_provider_cannot_overwrite_other_evidence_by_naming_its_receipt_like_it(
    agreed: Region,
) -> None:
    """It announces its receipt under the name of the consumer's contract with somebody else."""
    victim = await agreed.agreement_with(agreed.neckar)
    genuine: dict[str, str] = {}

    def renamed(request: httpx.Request, answer: httpx.Response, content: bytes) -> httpx.Response:
        if request.url.path == "/data/queries":
            genuine["receipt"] = answer.headers["allmende-receipt"]
            return replaced(answer, content, **{"allmende-receipt": victim})
        return replaced(answer, content)

    agreed.network.tamper = renamed
    evidence = agreed.lastwerk.state()["documents"]

    result = await ask(agreed)

    assert genuine["receipt"]
    assert [site["status"] for site in result["sites"]] == ["refused"]
    assert agreed.lastwerk.state()["documents"] == evidence
