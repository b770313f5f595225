"""What every store promises. SQLite here; another database only has to be added to `STORES`."""

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from catalog.dsp import DatasetView
from connector.adapters import sql_store
from connector.adapters.sql_store import SqlStore, StoreUnavailableError
from connector.evidence.ledger import leaf_hash
from connector.ports import (
    EvidenceExistsError,
    LedgerEntry,
    OutboundMessage,
    PublishedDataset,
    QueryRecord,
    RemoteDataset,
    StoredAnswer,
    Transaction,
)
from connector.protocol.computation import Computation, ComputationState, Output
from connector.protocol.machine import Party
from connector.protocol.negotiation import (
    ContractAgreement,
    ContractNegotiation,
    NegotiationMessage,
    NegotiationState,
)
from connector.protocol.transfer import TransferMessage, TransferProcess, TransferState
from tests.unit.catalog.example_catalog import columns, dataset

NOW = datetime(2026, 11, 22, 8, 0, 0, 123456, tzinfo=UTC)
PEER = "did:web:daten.example.de"

NEGOTIATION = ContractNegotiation(
    pid="urn:uuid:n",
    role=Party.PROVIDER,
    peer=PEER,
    peer_pid="urn:uuid:theirs",
    peer_address="https://daten.example.de/dsp",
    peer_document={"id": PEER, "verificationMethod": [{"id": PEER + "#contracts"}]},
    dataset="urn:uuid:d",
    state=NegotiationState.REQUESTED,
    pending=NegotiationMessage.AGREEMENT,
    offer={"@type": "Offer", "permission": [{"action": "use"}], "target": "urn:uuid:d"},
    agreement_id="urn:uuid:a",
    purpose="https://example.org/purpose",
    approved=True,
    held="Straße, 日本",
    reason=None,
    signing=True,
    occurrences={"REQUESTED": 2},
    created=NOW,
    updated=NOW + timedelta(seconds=1),
)
AGREEMENT = ContractAgreement(
    identifier="urn:uuid:a",
    provider=PEER,
    consumer="did:web:other.example.de",
    role=Party.CONSUMER,
    dataset="urn:uuid:d",
    negotiation="urn:uuid:n",
    document={"@type": "Agreement", "@id": "urn:uuid:a"},
    statement={"id": "urn:uuid:a#signed", "proof": [{"proofValue": "z1"}, {"proofValue": "z2"}]},
    documents={PEER: {"id": PEER}},
    signed=True,
    agreed=NOW,
    peer_address="https://daten.example.de/dsp",
)
TRANSFER = TransferProcess(
    pid="urn:uuid:t",
    role=Party.CONSUMER,
    peer=PEER,
    peer_pid=None,
    peer_address="https://daten.example.de/dsp",
    agreement_id="urn:uuid:a",
    transfer_format="AllmendeQuery-PULL",
    state=TransferState.STARTED,
    pending=TransferMessage.SUSPENSION,
    data_address={"@type": "DataAddress", "endpoint": "https://daten.example.de/data"},
    token_digest="ab" * 32,
    reason=None,
    occurrences={"STARTED": 1},
    created=NOW,
    updated=NOW,
)
COMPUTATION = Computation(
    identifier="urn:uuid:c",
    role=Party.PROVIDER,
    peer=PEER,
    agreement_id="urn:uuid:a",
    transfer_pid="urn:uuid:t",
    dataset="urn:uuid:d",
    purpose=None,
    files={"main.py": "print('ä')\n"},
    algorithm_digest="cd" * 32,
    parameters={"holdout_days": 7, "nested": {"list": [1, 2.5, None, True]}},
    declared={"metrics.json": "metrics"},
    state=ComputationState.REVIEWED,
    reservation="permission/1",
    held="wait",
    reason={"de": "Grund", "en": "Reason"},
    outputs=(Output("metrics.json", "metrics", "application/json", "ef" * 32, 12, ("finite",)),),
    receipt=None,
    tier="tier",
    said="Traceback",
    created=NOW,
    started=NOW,
    updated=NOW,
)
DATASET = PublishedDataset(dataset(), Path("/data/a b/ä.parquet"), "manual")
REMOTE = RemoteDataset(
    PEER,
    "Stadtwerke",
    "https://daten.example.de/dsp",
    DatasetView(
        identifier="urn:uuid:d",
        title={"de": "Titel", "en": "Title"},
        description={},
        table="load_profiles",
        columns=columns(),
        formats=("AllmendeQuery-PULL",),
        offers=({"@id": "urn:uuid:o", "permission": [{"action": "use"}]},),
        endpoint=None,
    ),
    NOW,
)
QUERY = QueryRecord(
    identifier="urn:uuid:q",
    role=Party.PROVIDER,
    peer=PEER,
    dataset="urn:uuid:d",
    agreement_id="urn:uuid:a",
    statement="SELECT count(*) FROM t",
    purpose=None,
    refusal={"de": "Nein", "en": "No"},
    groups_out=0,
    bytes_out=0,
    suppressed_groups=0,
    created=NOW,
)
MESSAGE = OutboundMessage(
    exchange="negotiations",
    pid="urn:uuid:n",
    kind="agreement",
    peer=PEER,
    address="https://daten.example.de/dsp",
    path="/negotiations/urn:uuid:theirs/agreement",
    body='{"@type":"ContractAgreementMessage"}',
    not_before=NOW,
)


def entry(index: int, identifier: str) -> LedgerEntry:
    return LedgerEntry(
        index=index,
        kind="query",
        identifier=identifier,
        agreement_id="urn:uuid:a",
        dataset="urn:uuid:d",
        leaf=identifier.encode(),
        raw_rows_out=0,
        raw_bytes_out=0,
        result_bytes_out=10**12,
        recorded=NOW,
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'allmende.sqlite'}"


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    opened = SqlStore(url, leaf_hash)
    yield opened
    opened.close()


def save_all(tx: Transaction) -> None:
    tx.save_dataset(DATASET)
    tx.save_negotiation(NEGOTIATION)
    tx.save_agreement(AGREEMENT)
    tx.save_transfer(TRANSFER)
    tx.save_computation(COMPUTATION)
    tx.save_output("urn:uuid:c", "metrics.json", b"\0\xff")
    tx.save_remote_dataset(REMOTE)
    tx.save_query(QUERY)
    tx.enqueue(MESSAGE)
    tx.save_answer(PEER, "digest", StoredAnswer(201, {"state": "REQUESTED"}), NOW)
    tx.save_document("urn:uuid:r", b"evidence")


async def test_every_record_comes_back_as_it_was_also_after_a_restart(url: str) -> None:
    first = SqlStore(url, leaf_hash)
    await first.transact(save_all)
    first.close()
    second = SqlStore(url, leaf_hash)

    def read(tx: Transaction) -> None:
        assert tx.dataset(DATASET.dataset.identifier) == DATASET
        assert tx.datasets() == (DATASET,)
        assert tx.negotiation("urn:uuid:n") == NEGOTIATION == tx.negotiation_of(PEER, "urn:uuid:theirs")
        assert tx.agreement("urn:uuid:a") == AGREEMENT
        assert tx.transfer("urn:uuid:t") == TRANSFER == tx.transfer_with_token("ab" * 32)
        assert tx.computation("urn:uuid:c") == COMPUTATION
        assert tx.output("urn:uuid:c", "metrics.json") == b"\0\xff"
        assert tx.remote_datasets() == (REMOTE,)
        assert tx.queries() == (QUERY,)
        assert tx.outbound("negotiations", "urn:uuid:n") == MESSAGE
        assert tx.answer(PEER, "digest") == StoredAnswer(201, {"state": "REQUESTED"})
        assert tx.document("urn:uuid:r") == b"evidence"

    await second.transact(read)
    second.close()


async def test_what_is_not_there_is_none(store: SqlStore) -> None:
    def read(tx: Transaction) -> None:
        assert tx.dataset("x") is None
        assert tx.negotiation("x") is None
        assert tx.negotiation_of(PEER, "x") is None
        assert tx.agreement("x") is None
        assert tx.transfer("x") is None
        assert tx.transfer_of(PEER, "x") is None
        assert tx.transfer_with_token("x") is None
        assert tx.computation("x") is None
        assert tx.output("x", "y") is None
        assert tx.answer(PEER, "x") is None
        assert tx.outbound("negotiations", "x") is None
        assert tx.next_due(NOW) is None
        assert tx.ledger_entry("x") is None
        assert tx.document("x") is None
        assert tx.remote_dataset("x") is None
        assert tx.uses("x") == {}

    await store.transact(read)


async def test_a_transaction_that_fails_saves_nothing(store: SqlStore) -> None:
    def fail(tx: Transaction) -> None:
        save_all(tx)
        tx.append_ledger(entry(0, "urn:uuid:r"))
        tx.reserve("urn:uuid:a", "permission/0", 10)
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.transact(fail)

    def read(tx: Transaction) -> tuple[object, ...]:
        return tx.negotiations(), tx.agreements(), tx.due(NOW), tx.ledger_size(), dict(tx.uses("urn:uuid:a"))

    assert await store.transact(read) == ((), (), (), 0, {})


async def test_fifty_at_once_get_ten_uses_between_them(store: SqlStore) -> None:
    async def use() -> bool:
        return await store.transact(lambda tx: tx.reserve("urn:uuid:a", "permission/0", 10))

    assert sum(await asyncio.gather(*(use() for _ in range(50)))) == 10
    assert await store.transact(lambda tx: dict(tx.uses("urn:uuid:a"))) == {"permission/0": 10}


async def test_a_refund_gives_one_use_back_and_never_more_than_was_used(store: SqlStore) -> None:
    def work(tx: Transaction) -> list[object]:
        outcomes: list[object] = [tx.reserve("a", "r", 1), tx.reserve("a", "r", 1)]
        tx.refund("a", "r")
        tx.refund("a", "r")
        return [*outcomes, dict(tx.uses("a")), tx.reserve("a", "r", 1), tx.reserve("a", "r", None)]

    assert await store.transact(work) == [True, False, {"r": 0}, True, True]


async def test_uses_are_counted_for_each_rule_and_agreement(store: SqlStore) -> None:
    def work(tx: Transaction) -> tuple[object, object]:
        for agreement, rule in (("a", "x"), ("a", "y"), ("a", "y"), ("b", "x")):
            tx.reserve(agreement, rule, 5)
        return dict(tx.uses("a")), dict(tx.uses("b"))

    assert await store.transact(work) == ({"x": 1, "y": 2}, {"x": 1})


async def test_the_ledger_keeps_its_order_and_hashes_its_leaves(store: SqlStore) -> None:
    def work(tx: Transaction) -> None:
        for index in range(12):
            tx.append_ledger(entry(tx.ledger_size(), f"urn:uuid:{index}"))

    await store.transact(work)

    def read(tx: Transaction) -> None:
        assert [line.index for line in tx.ledger()] == list(range(12))
        assert tx.ledger_hashes()[3] == leaf_hash(b"urn:uuid:3")
        assert tx.ledger_entry("urn:uuid:7") == entry(7, "urn:uuid:7")

    await store.transact(read)


async def test_a_line_of_the_ledger_cannot_be_written_twice(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.append_ledger(entry(0, "urn:uuid:first")))
    with pytest.raises(Exception, match="UNIQUE"):
        await store.transact(lambda tx: tx.append_ledger(entry(0, "urn:uuid:second")))
    assert await store.transact(lambda tx: [line.identifier for line in tx.ledger()]) == ["urn:uuid:first"]


async def test_evidence_is_never_overwritten(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.save_document("urn:uuid:r", b"first"))
    await store.transact(lambda tx: tx.save_document("urn:uuid:r", b"first"))
    with pytest.raises(EvidenceExistsError):
        await store.transact(lambda tx: tx.save_document("urn:uuid:r", b"second"))
    assert await store.transact(lambda tx: tx.document("urn:uuid:r")) == b"first"


async def test_a_token_is_remembered_until_it_expires(store: SqlStore) -> None:
    later = NOW + timedelta(minutes=5)

    def work(tx: Transaction) -> list[bool]:
        return [
            tx.remember_token("t", later, NOW),
            tx.remember_token("t", later, NOW),
            tx.remember_token("u", later, NOW),
            tx.remember_token("t", later, later + timedelta(seconds=1)),
        ]

    assert await store.transact(work) == [True, False, True, True]


async def test_the_outbox_holds_one_message_per_exchange_and_tells_what_is_due(store: SqlStore) -> None:
    soon = NOW + timedelta(seconds=5)

    def work(tx: Transaction) -> None:
        tx.enqueue(MESSAGE)
        tx.enqueue(replace(MESSAGE, body="newer", not_before=soon))
        tx.enqueue(replace(MESSAGE, exchange="transfers"))

    await store.transact(work)

    def read(tx: Transaction) -> None:
        assert [message.exchange for message in tx.due(NOW)] == ["transfers"]
        assert tx.next_due(NOW) == soon
        assert [message.body for message in tx.due(soon)] == [MESSAGE.body, "newer"]
        tx.dequeue("negotiations", "urn:uuid:n")
        assert tx.outbound("negotiations", "urn:uuid:n") is None
        assert tx.next_due(NOW) is None

    await store.transact(read)


def test_the_migrations_make_the_tables_that_the_store_uses(url: str) -> None:
    SqlStore(url, leaf_hash).close()
    made = inspect(create_engine(url))
    for table in sql_store.SQLModel.metadata.sorted_tables:
        found = {column["name"]: column["nullable"] for column in made.get_columns(table.name)}
        stated = {column.name: bool(column.nullable) for column in table.columns}
        assert found == stated, table.name
        indexed = {tuple(index["column_names"]) for index in made.get_indexes(table.name)}
        assert indexed == {tuple(column.name for column in index.columns) for index in table.indexes}, (
            table.name
        )


def test_a_file_that_is_no_database_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "allmende.sqlite"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailableError, match=r"not a database.*database_url"):
        SqlStore(f"sqlite:///{path}", leaf_hash)


def test_a_directory_that_is_missing_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="database_url"):
        SqlStore(f"sqlite:///{tmp_path / 'missing' / 'allmende.sqlite'}", leaf_hash)


async def test_what_is_saved_is_readable_without_this_software(url: str, store: SqlStore) -> None:
    await store.transact(save_all)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        row = connection.execute(
            "SELECT json_extract(record, '$.document.@type') FROM agreements WHERE identifier = 'urn:uuid:a'"
        ).fetchone()
    connection.close()
    assert row == ("Agreement",)
