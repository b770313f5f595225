"""One statement over several providers: what each contributes, what it costs, what is proven."""

import hashlib
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from connector.evidence.documents import mappings, text
from connector.evidence.verification import verify_file
from connector.queries.decompose import withhold
from connector.queries.errors import QueryFailedError
from connector.queries.plan import QueryPlan
from connector.services import querying
from policies.restrictions import QueryRestrictions
from tests.region.participants import (
    DATASETS,
    MARKETING,
    STATEMENT,
    USES,
    Participant,
    QueriesHere,
    Region,
    mean_kw,
    publication,
    segment,
    write_data,
)


async def ask(region: Region, **changes: Any) -> Any:
    return await region.lastwerk.call("POST", "/api/queries", {"statement": STATEMENT} | changes)


def site(result: Any, provider: Participant) -> Any:
    return next(one for one in result["sites"] if one["provider"] == provider.did)


async def test_a_federated_query_merges_two_sites(sandboxed: Region) -> None:
    result = await ask(sandboxed)

    rows = {row["sector"]: row for row in result["rows"]}
    # 24 hours of 6 profiles here and of 5 there, whose means are weighted by their rows.
    both = (6 * mean_kw("rheinaue", "household") + 5 * mean_kw("neckar", "household")) / 11
    assert rows["household"] == {
        "sector": "household",
        "n": 24 * 11,
        "mean_kw": pytest.approx(both),
        "sites": 2,
        "status": "released",
    }
    assert rows["commerce"]["n"] == 24 * 7
    assert rows["commerce"]["mean_kw"] == pytest.approx(mean_kw("neckar", "commerce"))
    assert rows["commerce"]["sites"] == 1
    assert [one["status"] for one in result["sites"]] == ["released", "released"]


async def test_a_group_of_too_few_is_shown_as_suppressed_and_without_figures(agreed: Region) -> None:
    result = await ask(agreed)

    (group,) = [row for row in result["rows"] if row["sector"] == "charging_point"]
    assert group == {
        "sector": "charging_point",
        "n": None,
        "mean_kw": None,
        "sites": 0,
        "status": "suppressed",
    }
    assert site(result, agreed.rheinaue)["suppressed"] == 1


async def test_a_refusing_site_is_listed_with_its_reason_and_the_others_answer(agreed: Region) -> None:
    only_one = [await agreed.agreement_with(agreed.rheinaue)]
    for _ in range(USES):
        await ask(agreed, agreements=only_one)

    result = await ask(agreed)

    refused, released = site(result, agreed.rheinaue), site(result, agreed.neckar)
    assert refused["status"] == "refused"
    assert "5" in refused["reason"]
    assert refused["groups"] == 0
    assert refused["receipt"] is None
    assert released["status"] == "released"
    assert {row["sector"] for row in result["rows"]} == {"household", "commerce"}


async def test_a_site_that_is_down_is_listed_as_unreachable_and_the_others_answer(agreed: Region) -> None:
    await ask(agreed)  # opens both data planes
    await agreed.rheinaue.stop()

    result = await ask(agreed)

    assert site(result, agreed.rheinaue)["status"] == "unreachable"
    assert site(result, agreed.neckar)["status"] == "released"


def out_of_bounds(honest: pa.Table) -> pa.Table:
    """The same table, but its texts lead outside the message that they come in."""
    offsets = pa.py_buffer(struct.pack("<4i", 0, 1 << 30, 1 << 30, 8))
    keys = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"x" * 8)])
    return honest.set_column(0, "key_0", keys)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: pa.table({"profile": ["RH-household-0"]}),
        lambda _: pa.table({}),
        lambda honest: pa.concat_tables([honest, honest]),
        lambda honest: honest.set_column(3, "rows", pa.array([-1, -1, -1])),
        out_of_bounds,
    ],
    ids=["rows", "nothing", "every group twice", "impossible counts", "texts that lead outside"],
)
async def test_an_answer_that_is_not_what_was_asked_for_costs_only_its_own_site(
    agreed: Region, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[pa.Table], pa.Table]
) -> None:
    """The receipt is genuine: the provider really sends this."""

    def from_rheinaue(plan: QueryPlan, limits: QueryRestrictions, partials: pa.Table) -> pa.Table:
        honest = withhold(plan, limits, partials)
        return spoil(honest) if "heat_pump" in honest.column("key_0").to_pylist() else honest

    monkeypatch.setattr(querying, "withhold", from_rheinaue)
    monkeypatch.setattr(querying, "raw_rows", lambda *_: 0)
    monkeypatch.setattr(querying, "_suppressed", lambda _: 0)

    result = await ask(agreed)

    assert site(result, agreed.rheinaue)["status"] == "refused"
    assert site(result, agreed.neckar)["status"] == "released"
    assert {row["sector"] for row in result["rows"]} == {"household", "commerce"}


async def test_uses_are_counted_and_the_one_after_the_last_is_refused(agreed: Region) -> None:
    only_one = [await agreed.agreement_with(agreed.rheinaue)]

    answers = [site(await ask(agreed, agreements=only_one), agreed.rheinaue) for _ in range(USES + 1)]

    assert [answer["status"] for answer in answers] == ["released"] * USES + ["refused"]
    uses = []
    for answer in answers[:USES]:
        receipt = await agreed.lastwerk.file(f"/api/receipts/{segment(answer['receipt'])}")
        uses.append(verify_file(receipt).statement["uses"])
    assert uses == [{"before": number, "after": number + 1} for number in range(USES)]


async def test_a_query_whose_engine_fails_costs_no_use(
    agreed: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise QueryFailedError("The query could not be answered by the engine.")

    only_one = [await agreed.agreement_with(agreed.rheinaue)]
    with monkeypatch.context() as patch:
        patch.setattr(QueriesHere, "run", fail)
        failed = await ask(agreed, agreements=only_one)

    assert failed["rows"] == []
    assert site(failed, agreed.rheinaue)["status"] != "released"
    assert agreed.rheinaue.state()["uses"] == [(*only_one, agreed.rheinaue.state()["uses"][0][1], 0)]
    answers = [site(await ask(agreed, agreements=only_one), agreed.rheinaue) for _ in range(USES)]
    assert [answer["status"] for answer in answers] == ["released"] * USES


async def test_data_that_have_gone_cost_no_use_and_their_place_is_not_told(agreed: Region) -> None:
    path = agreed.rheinaue.directory / "gone.parquet"
    write_data(path, "rheinaue")
    await agreed.rheinaue.call("POST", "/api/datasets", publication(agreed.rheinaue, file=str(path)))
    path.unlink()

    result = await ask(agreed)

    refused = site(result, agreed.rheinaue)
    assert refused["status"] != "released"
    for secret in ("gone.parquet", str(agreed.rheinaue.directory), "load_profiles"):
        assert secret not in refused["reason"]
    assert [row[2] for row in agreed.rheinaue.state()["uses"]] == [0]
    assert site(result, agreed.neckar)["status"] == "released"


async def test_the_receipt_of_every_release_verifies_offline_and_names_the_bytes_that_arrived(
    agreed: Region,
) -> None:
    result = await ask(agreed)

    arrived = {
        passed.url.partition("/data/")[0]: passed.answer for passed in agreed.network.sent("/data/queries")
    }
    for provider in (agreed.rheinaue, agreed.neckar):
        answer = site(result, provider)
        async with provider.public() as client:
            document = (await client.get("/.well-known/did.json")).json()
        file = await agreed.lastwerk.file(f"/api/receipts/{segment(answer['receipt'])}")
        verified = verify_file(file, pinned={provider.did: document})
        assert verified.kind == "receipt"
        assert verified.dataset_id == DATASETS[provider.name]
        assert [party.did for party in verified.parties] == [provider.did, agreed.lastwerk.did]
        (output,) = mappings(verified.statement, "outputs")
        assert text(output, "sha256") == hashlib.sha256(arrived[provider.origin]).hexdigest()
        assert output["bytes"] == len(arrived[provider.origin]) == answer["result_bytes"]
        assert verified.statement["rawData"] == {"rowsOut": 0, "bytesOut": 0}
        assert verified.statement["recipient"] == agreed.lastwerk.did
        assert verified.statement["requestDigest"] == hashlib.sha256(STATEMENT.encode()).hexdigest()


async def test_the_ledgers_bytes_are_the_bytes_that_arrived_at_the_consumer(agreed: Region) -> None:
    await ask(agreed)
    await ask(agreed)
    for provider in (agreed.rheinaue, agreed.neckar):
        assert (await agreed.commission(provider))["state"] == "RELEASED"

    for provider in (agreed.rheinaue, agreed.neckar):
        arrived = sum(
            len(passed.answer)
            for passed in agreed.network.passed
            if passed.url.startswith(provider.origin + "/data/")
            and passed.status == 200
            and (passed.path == "/data/queries" or "/outputs/" in passed.path)
        )
        ledger = await agreed.ledger(provider)
        totals = ledger["totals"][DATASETS[provider.name]]
        assert totals == {
            "raw_rows_out": 0,
            "raw_bytes_out": 0,
            "result_bytes_out": arrived,
            "releases": 3,
        }
        assert [entry["index"] for entry in ledger["entries"]] == list(range(7))
        assert [entry["kind"] for entry in ledger["entries"]] == [
            "agreement",
            "permit",
            "query",
            "query",
            "permit",
            "permit",
            "computation",
        ]


async def test_a_row_level_query_is_refused_with_the_reason_and_asked_of_nobody(agreed: Region) -> None:
    body = {"statement": "SELECT profile, ts, load_kw FROM load_profiles"}

    answer = await agreed.lastwerk.answer("POST", "/api/queries", body)

    assert answer.status_code == 403
    assert "Row-level" in answer.json()["detail"]
    assert answer.json()["reason"]["de"].startswith("Zeilenweise")
    assert agreed.network.sent("/data/queries") == []


async def test_another_purpose_is_refused_by_every_site_with_the_reason(agreed: Region) -> None:
    result = await ask(agreed, purpose=MARKETING)

    assert result["rows"] == []
    assert [one["status"] for one in result["sites"]] == ["refused", "refused"]
    assert all("load forecasting" in one["reason"] for one in result["sites"])
    assert (await agreed.ledger(agreed.rheinaue))["totals"][DATASETS["rheinaue"]]["releases"] == 0


async def test_a_query_without_any_contract_is_refused(published: Region) -> None:
    answer = await published.lastwerk.answer("POST", "/api/queries", {"statement": STATEMENT})

    assert answer.status_code == 422
    assert "negotiate one first" in answer.json()["detail"]
    assert published.network.passed == []


async def test_two_contracts_on_one_dataset_count_its_rows_once(agreed: Region) -> None:
    assert (await agreed.negotiate(agreed.neckar))["state"] == "FINALIZED"

    result = await ask(agreed)

    assert len(result["sites"]) == 2
    (commerce,) = [row for row in result["rows"] if row["sector"] == "commerce"]
    assert commerce["n"] == 24 * 7
