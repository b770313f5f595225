"""Algorithms that travel to the data: what runs, what leaves, and what a person decides."""

import asyncio
import hashlib
import json
from typing import Any

import pytest

from connector.evidence.documents import mappings
from connector.evidence.verification import verify_file
from connector.sandbox.launch import Sandbox, SandboxUnavailableError
from tests.region.participants import (
    DATASETS,
    FAILING_JOB,
    JOB,
    SECTORS,
    SLOW_JOB,
    UNDECLARED_JOB,
    USES,
    Region,
    mean_kw,
    offer,
    segment,
    until,
)


async def test_a_permitted_job_runs_and_its_checked_output_arrives_with_a_receipt(contracted: Region) -> None:
    outcome = await contracted.commission(contracted.rheinaue)

    assert outcome["state"] == "RELEASED"
    (output,) = outcome["outputs"]
    address = f"/api/computations/{segment(outcome['identifier'])}/outputs/metrics.json"
    content = await contracted.lastwerk.file(address)
    # 6 households, 5 heat pumps and 3 charging points, 24 hours each.
    weighted = [(count, mean_kw("rheinaue", sector)) for sector, count in SECTORS["rheinaue"].items()]
    mean = sum(count * kw for count, kw in weighted) / 14
    assert json.loads(content) == {"mean": pytest.approx(mean, rel=1e-5), "rows": 24 * 14}
    receipt = await contracted.lastwerk.file(f"/api/receipts/{segment(outcome['receipt'])}")
    verified = verify_file(receipt)
    assert [party.did for party in verified.parties] == [contracted.rheinaue.did, contracted.lastwerk.did]
    (stated,) = mappings(verified.statement, "outputs")
    assert stated["sha256"] == output["sha256"] == hashlib.sha256(content).hexdigest()
    assert verified.statement["kind"] == "computation"
    assert verified.statement["uses"] == {"before": 0, "after": 1}
    assert verified.statement["requestDigest"] == outcome["algorithm"]


async def nothing_left(region: Region) -> None:
    """Neither an output, nor a receipt, nor a byte in the ledger."""
    totals = (await region.ledger(region.rheinaue))["totals"].get(DATASETS["rheinaue"], {})
    assert totals.get("result_bytes_out", 0) == 0
    assert totals.get("releases", 0) == 0
    assert region.rheinaue.state()["outputs"] == []
    assert region.lastwerk.state()["outputs"] == []
    assert not [passed for passed in region.network.passed if "/outputs/" in passed.path]


async def test_a_job_with_an_undeclared_output_is_refused_and_nothing_of_it_leaves(
    contracted: Region,
) -> None:
    outcome = await contracted.commission(contracted.rheinaue, UNDECLARED_JOB)

    assert outcome["state"] == "TERMINATED"
    assert outcome["outputs"] == []
    assert "declared" in outcome["reason"]
    assert "RH-household" not in json.dumps(outcome)
    await nothing_left(contracted)


async def test_a_job_that_fails_is_ended_and_its_own_words_do_not_leave(contracted: Region) -> None:
    outcome = await contracted.commission(contracted.rheinaue, FAILING_JOB)

    assert outcome["state"] == "TERMINATED"
    assert "ended with an error" in outcome["reason"]
    assert b"RH-household" not in b"".join(passed.answer for passed in contracted.network.passed)
    await nothing_left(contracted)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"files": {"main.py": JOB["main.py"] + "# one byte more\n"}}, "algorithm"),
        ({"files": {**JOB, "other.py": ""}}, "algorithm"),
        ({"outputs": {"metrics.json": "metrics", "model.safetensors": "model"}}, "kind model"),
        ({"outputs": {"rows.csv": "rows"}}, "kind rows"),
        ({"purpose": "https://w3id.org/dpv#Marketing"}, "load forecasting"),
    ],
    ids=["a byte more", "a file more", "a kind more", "raw rows", "another purpose"],
)
async def test_a_job_that_the_contract_does_not_permit_is_refused_before_it_runs(
    contracted: Region, change: Any, reason: str
) -> None:
    body = {
        "agreement_id": await contracted.agreement_with(contracted.rheinaue),
        "files": JOB,
        "outputs": {"metrics.json": "metrics"},
    }

    answer = await contracted.lastwerk.answer("POST", "/api/computations", body | change)

    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert contracted.rheinaue.rows("computations") == []
    assert contracted.rheinaue.state()["uses"] == []
    await nothing_left(contracted)


async def test_computations_are_counted_and_the_one_after_the_last_is_refused(contracted: Region) -> None:
    states = [(await contracted.commission(contracted.rheinaue, FAILING_JOB))["state"] for _ in range(USES)]
    assert states == ["TERMINATED"] * USES

    body = {
        "agreement_id": await contracted.agreement_with(contracted.rheinaue),
        "files": JOB,
        "outputs": {"metrics.json": "metrics"},
    }
    answer = await contracted.lastwerk.answer("POST", "/api/computations", body)

    assert answer.status_code == 422
    assert "5" in answer.json()["detail"]
    assert len(contracted.rheinaue.rows("computations")) == USES


# outputs that a person looks at first


async def held(region: Region) -> str:
    """A computation whose outputs wait for a person; returns its identifier."""
    await region.publish(region.rheinaue, offer=offer(review="manual"))
    await region.read_catalog(region.rheinaue)
    assert (await region.negotiate(region.rheinaue))["state"] == "FINALIZED"
    body = {
        "agreement_id": await region.agreement_with(region.rheinaue),
        "files": JOB,
        "outputs": {"metrics.json": "metrics"},
    }
    answer = await region.lastwerk.call("POST", "/api/computations", body)
    identifier = str(answer["identifier"])
    await region.rheinaue.call("GET", f"/api/computations/{segment(identifier)}?wait=20")
    return identifier


async def test_outputs_wait_for_a_person_where_the_contract_says_so(published: Region) -> None:
    identifier = await held(published)

    shown = await published.rheinaue.call("GET", f"/api/computations/{segment(identifier)}")
    assert shown["state"] == "REVIEWED"
    assert "a person" in shown["held"]
    await until(lambda: published.lastwerk.rows("computations")[0]["state"] == "REVIEWED")
    theirs = await published.lastwerk.call("GET", f"/api/computations/{segment(identifier)}")
    assert theirs["outputs"] == []
    assert theirs["receipt"] is None
    assert published.lastwerk.state()["outputs"] == []
    await published.rheinaue.call("POST", f"/api/computations/{segment(identifier)}/release")
    released = await published.lastwerk.call("GET", f"/api/computations/{segment(identifier)}?wait=20")
    assert released["state"] == "RELEASED"
    assert [output["name"] for output in released["outputs"]] == ["metrics.json"]


async def test_outputs_that_a_person_refuses_stay_and_the_consumer_learns_why(published: Region) -> None:
    identifier = await held(published)

    reason = {"reason": "Die Kennzahl nennt die Zeilenzahl."}
    await published.rheinaue.call("POST", f"/api/computations/{segment(identifier)}/refuse", reason)

    outcome = await published.lastwerk.call("GET", f"/api/computations/{segment(identifier)}?wait=20")
    assert outcome["state"] == "TERMINATED"
    assert outcome["reason"] == "Die Kennzahl nennt die Zeilenzahl."
    assert outcome["outputs"] == []
    assert published.lastwerk.state()["outputs"] == []
    totals = (await published.ledger(published.rheinaue))["totals"][DATASETS["rheinaue"]]
    assert totals["result_bytes_out"] == 0


# faults at the provider


async def test_without_a_sandbox_nothing_runs_and_a_refused_computation_costs_no_use(
    contracted: Region,
) -> None:
    def missing() -> Sandbox:
        raise SandboxUnavailableError("There is no sandbox on this machine.")

    await contracted.rheinaue.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("connector.app.Sandbox.probe", missing)
        await contracted.rheinaue.start()
    assert contracted.rheinaue.running.notices

    outcome = await contracted.commission(contracted.rheinaue)

    assert outcome["state"] == "TERMINATED"
    assert "no sandbox" in outcome["reason"]
    assert [row[2] for row in contracted.rheinaue.state()["uses"]] == [0]
    await nothing_left(contracted)


async def test_a_computation_that_a_restart_interrupts_runs_again_and_counts_once(contracted: Region) -> None:
    body = {
        "agreement_id": await contracted.agreement_with(contracted.rheinaue),
        "files": SLOW_JOB,
        "outputs": {"metrics.json": "metrics"},
    }
    identifier = (await contracted.lastwerk.call("POST", "/api/computations", body))["identifier"]
    await until(lambda: contracted.rheinaue.rows("computations")[0]["state"] == "RUNNING")
    await asyncio.sleep(0.4)  # the job itself has begun

    async with asyncio.timeout(20):
        await contracted.rheinaue.restart()

    outcome = await contracted.lastwerk.call("GET", f"/api/computations/{segment(identifier)}?wait=30")
    assert outcome["state"] == "RELEASED"
    assert [row[2] for row in contracted.rheinaue.state()["uses"]] == [1]
    totals = (await contracted.ledger(contracted.rheinaue))["totals"][DATASETS["rheinaue"]]
    assert totals["releases"] == 1
