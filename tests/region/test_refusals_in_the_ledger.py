"""What is decided is in the ledger, signed, before anybody is told; unsigned agreements open nothing."""

import asyncio
import contextlib
import hashlib
import json
import sqlite3
from typing import Any

import pytest

from connector.protocol.jobs import algorithm_digest
from connector.services import deciding
from tests.region.conftest import RAW_OFFER
from tests.region.participants import (
    JOB,
    MARKETING,
    METRICS,
    STATEMENT,
    Participant,
    Region,
    offer,
    segment,
    until,
)
from tests.region.processes import call

ROWS = "SELECT * FROM load_profiles"
QUERY, COMPUTE, PULL = "AllmendeQuery-PULL", "AllmendeCompute-PULL", "HttpData-PULL"
COMPUTATION = "urn:uuid:dddddddd-0000-4000-8000-000000000001"
REFUSE = "CREATE TRIGGER refuse BEFORE INSERT ON ledger BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"


def change(participant: Participant, statement: str, *parameters: str) -> None:
    path = participant.directory / "allmende.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement, parameters)
        connection.commit()


def documents(participant: Participant, kind: str = "refusal") -> list[Any]:
    """The signed documents of one kind in the ledger, in its order."""
    path = participant.directory / "allmende.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = connection.execute('SELECT leaf FROM ledger WHERE kind = ? ORDER BY "index"', [kind])
        return [json.loads(leaf) for (leaf,) in found]


def unsign(participant: Participant) -> None:
    """As if the partner's software could not sign; nothing else is changed."""
    for record in participant.rows("agreements"):
        changed = json.dumps({**record, "signed": False})
        change(participant, "UPDATE agreements SET record = ?", changed)


async def verified(participant: Participant) -> None:
    await participant.stop()
    # The command has an event loop of its own.
    configuration = participant.directory / "allmende.toml"
    done = await asyncio.to_thread(call, "ledger", "verify", "--config", configuration)
    assert done.returncode == 0, done.stdout


async def ask(region: Region, statement: str = STATEMENT, **changes: Any) -> Any:
    body = {"statement": statement, "agreements": [await region.agreement_with(region.rheinaue)]} | changes
    (site,) = (await region.lastwerk.call("POST", "/api/queries", body))["sites"]
    return site


async def started(region: Region, transfer_format: str) -> str:
    """Ask for a transfer process, and wait until it has started; returns the consumer's pid."""
    body = {"agreement_id": await region.agreement_with(region.rheinaue), "format": transfer_format}
    pid = str((await region.lastwerk.call("POST", "/api/transfers", body))["pid"])

    def record() -> Any:
        return next(one for one in region.lastwerk.rows("transfers") if one["pid"] == pid)

    await until(lambda: record()["state"] == "STARTED")
    return pid


def token(region: Region, pid: str) -> str:
    record = next(one for one in region.lastwerk.rows("transfers") if one["pid"] == pid)
    properties = record["data_address"]["endpointProperties"]
    return next(str(one["value"]) for one in properties if one["name"] == "authorization")


async def post(region: Region, pid: str, path: str, *bodies: Any) -> list[int]:
    """What the provider's data plane says to a consumer whose software does not judge for itself."""
    headers = {"authorization": f"Bearer {token(region, pid)}"}
    async with region.rheinaue.public(headers=headers) as client:
        return [(await client.post(path, json=body)).status_code for body in bodies]


async def pull(region: Region, pid: str) -> Any:
    return await region.lastwerk.answer("POST", f"/api/transfers/{segment(pid)}/data")


async def test_a_refused_query_is_signed_with_its_reason_and_without_its_text(contracted: Region) -> None:
    pid = await started(contracted, QUERY)
    bodies = ({"statement": ROWS}, {"statement": STATEMENT, "purpose": MARKETING})
    assert await post(contracted, pid, "/data/queries", *bodies) == [403, 403]

    first, second = documents(contracted.rheinaue)
    assert set(first["reason"]) == {"de", "en"}
    assert first["requester"] == contracted.lastwerk.did
    assert first["action"].endswith("#query")
    assert first["requestDigest"] == hashlib.sha256(ROWS.encode()).hexdigest()
    assert second["purpose"] == MARKETING
    totals = (await contracted.ledger(contracted.rheinaue))["totals"]
    assert [line["releases"] for line in totals.values()] == [0]
    await verified(contracted.rheinaue)


async def test_what_may_begin_is_signed_with_the_rule_that_permits_it(contracted: Region) -> None:
    pid = await started(contracted, COMPUTE)
    body = {"identifier": COMPUTATION, "files": dict(JOB), "outputs": METRICS}
    assert await post(contracted, pid, "/data/computations", body, body) == [201, 201]

    opened, begun = documents(contracted.rheinaue, "permit")
    assert [one["type"] for one in (opened, begun)] == ["Permit", "Permit"]
    assert all(one["requester"] == contracted.lastwerk.did for one in (opened, begun))
    assert all(one["action"].endswith("#compute") for one in (opened, begun))
    assert begun["requestDigest"] == algorithm_digest(JOB)
    assert begun["reason"] == {
        "de": "Der Vertrag erlaubt das in der Regel permission/1.",
        "en": "The agreement permits this in its rule permission/1.",
    }
    await verified(contracted.rheinaue)


async def test_a_refused_computation_is_noted_once_however_often_it_is_sent(contracted: Region) -> None:
    pid = await started(contracted, COMPUTE)
    body = {
        "identifier": COMPUTATION,
        "files": {"main.py": "print('not the permitted one')"},
        "outputs": METRICS,
    }
    assert await post(contracted, pid, "/data/computations", body, body, body) == [403] * 3

    (noted,) = documents(contracted.rheinaue)
    assert noted["action"].endswith("#compute")
    assert contracted.rheinaue.rows("computations") == []
    await verified(contracted.rheinaue)


async def test_outputs_that_a_person_keeps_back_are_noted(published: Region) -> None:
    await published.publish(published.rheinaue, offer=offer(review="manual"))
    await published.read_catalog(published.rheinaue)
    await published.negotiate(published.rheinaue)
    body = {
        "agreement_id": await published.agreement_with(published.rheinaue),
        "files": dict(JOB),
        "outputs": METRICS,
    }
    identifier = (await published.lastwerk.call("POST", "/api/computations", body))["identifier"]
    path = f"/api/computations/{segment(identifier)}"
    held = await published.rheinaue.call("GET", path + "?wait=20")
    assert held["held"]
    await published.rheinaue.call("POST", path + "/refuse", {"reason": "Too detailed."})

    (noted,) = documents(published.rheinaue)
    assert noted["reason"]["en"] == "Too detailed."


async def test_a_download_beyond_the_agreed_number_is_noted(raw: Region) -> None:
    pid = await started(raw, PULL)
    answers = [await pull(raw, pid) for _ in range(3)]

    assert [one.status_code for one in answers] == [200, 200, 422]
    (noted,) = documents(raw.rheinaue)
    assert noted["action"] == "http://www.w3.org/ns/odrl/2/reproduce"
    assert len(documents(raw.rheinaue, "download")) == 2
    await verified(raw.rheinaue)


async def test_a_download_whose_entry_cannot_be_written_withholds_the_file(raw: Region) -> None:
    pid = await started(raw, PULL)
    change(raw.rheinaue, REFUSE)
    content = (raw.rheinaue.directory / "load_profiles.parquet").read_bytes()

    answer = await pull(raw, pid)

    assert answer.status_code >= 400
    (passed,) = raw.network.sent("/data/file")
    assert passed.status == 500
    assert len(passed.answer) < 1000
    assert content[:4] not in passed.answer
    assert documents(raw.rheinaue, "download") == []
    assert raw.rheinaue.state()["uses"] == []


async def test_a_refusal_whose_entry_cannot_be_written_is_not_told(contracted: Region) -> None:
    pid = await started(contracted, QUERY)
    change(contracted.rheinaue, REFUSE)

    assert await post(contracted, pid, "/data/queries", {"statement": ROWS}) == [500]

    assert contracted.rheinaue.rows("queries") == []


async def test_a_refused_negotiation_is_noted(published: Region) -> None:
    assert (await published.negotiate(published.rheinaue, purpose=MARKETING))["state"] == "TERMINATED"

    (noted,) = documents(published.rheinaue)
    (record,) = published.rheinaue.rows("negotiations")
    assert noted["agreement"] == {"id": record["pid"]}
    assert noted["reason"] == record["reason"]
    assert "load forecasting" in noted["reason"]["en"]
    assert "Lastprognose" in noted["reason"]["de"]
    await verified(published.rheinaue)


async def test_a_flood_of_refused_queries_does_not_fill_the_disk(
    contracted: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "MOST_REFUSALS", 3)
    pid = await started(contracted, QUERY)
    bodies = [{"statement": f"{ROWS} LIMIT {number}"} for number in range(6)]

    assert await post(contracted, pid, "/data/queries", *bodies) == [403] * 3 + [429] * 3

    assert len(documents(contracted.rheinaue)) == 3
    assert len(contracted.rheinaue.rows("queries")) == 3
    assert (await ask(contracted))["status"] == "released", "what is permitted goes on"


async def test_a_flood_of_refused_negotiations_does_not_fill_the_disk(
    published: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "MOST_REFUSALS", 2)
    for _ in range(4):
        assert (await published.negotiate(published.rheinaue, purpose=MARKETING))["state"] == "TERMINATED"

    assert len(published.rheinaue.rows("negotiations")) == 2
    assert len(documents(published.rheinaue)) == 2


async def test_an_unsigned_agreement_opens_a_dataset_only_where_its_provider_accepts_that(
    raw: Region,
) -> None:
    """Access that is open already ends with the setting, and comes back with it."""
    pulling, computing = await started(raw, PULL), await started(raw, COMPUTE)
    assert (await ask(raw))["status"] == "released"
    unsign(raw.rheinaue)

    site, pulled = await ask(raw), await pull(raw, pulling)
    job = {"identifier": COMPUTATION, "files": dict(JOB), "outputs": METRICS}

    assert (site["status"], pulled.status_code) == ("refused", 422)
    assert all("accepts_unsigned" in told for told in (site["reason"], pulled.text)), "the remedy is named"
    assert await post(raw, computing, "/data/computations", job) == [403]
    assert raw.rheinaue.rows("computations") == []
    assert len(documents(raw.rheinaue)) == 3
    assert "unterschrieben" in documents(raw.rheinaue)[0]["reason"]["de"]

    await raw.publish(raw.rheinaue, offer=RAW_OFFER, accepts_unsigned=True)
    (listed,) = await raw.rheinaue.call("GET", "/api/datasets")
    assert listed["accepts_unsigned"] is True
    assert (await pull(raw, pulling)).status_code == 200


async def test_a_dataset_from_before_the_setting_existed_accepts_only_signed_agreements(raw: Region) -> None:
    (record,) = raw.rheinaue.rows("datasets")
    assert record.pop("accepts_unsigned") is False
    change(raw.rheinaue, "UPDATE datasets SET record = ?", json.dumps(record))
    assert (await ask(raw))["status"] == "released"

    unsign(raw.rheinaue)

    assert (await ask(raw))["status"] == "refused"
