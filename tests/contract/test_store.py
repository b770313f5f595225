"""What every store owes to the rest of the connector.

PostgreSQL is the real server, from a package that brings its programs.
"""

import asyncio
import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlmodel import SQLModel

from catalog.dsp import DatasetView
from catalog.model import Column, ColumnRole, Dataset, Offer
from connector.adapters import migrations
from connector.adapters.sql_store import SqlStore, StoreUnavailableError, read_kept
from connector.evidence.credentials import Credential, StatusEntry
from connector.evidence.ledger import leaf_hash
from connector.ports import (
    MOST_FORGOTTEN,
    EpsilonEntry,
    EvidenceExistsError,
    HeldCredential,
    InheritedPolicy,
    IssuedCredential,
    KeptPolicy,
    KnownHead,
    LedgerEntry,
    NoisyAnswer,
    OutboundMessage,
    Presentation,
    PublishedDataset,
    QueryRecord,
    RemoteDataset,
    Reservation,
    ShownCredential,
    StoredAnswer,
    TimeOfUse,
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
from policies.model import (
    Connective,
    Constraint,
    Duty,
    LogicalConstraint,
    Operator,
    Permission,
    Policy,
    PolicyKind,
    Prohibition,
)
from schemas.strict_json import JsonObject
from tests.postgres import new_database

NOW = datetime(2026, 11, 21, 8, 0, 0, 123456, tzinfo=UTC)
PEER = "did:web:lastwerk.example"
TRICKY = "ß „x“ \"y\" 'z' \\ \t\n 🌾 %s :name ?  2026-01-01 true null 007"
"""Text that a careless store would quote, escape, convert or bind wrongly."""


# stores under test


@dataclass
class Place:
    """An empty database, and who has opened it."""

    url: str
    opened: list[SqlStore] = field(default_factory=list)

    def open(self) -> SqlStore:
        store = SqlStore(self.url, leaf_hash)
        self.opened.append(store)
        return store


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'allmende.sqlite'}"
    else:
        url = new_database(request.getfixturevalue("postgres"))
    found = Place(url)
    yield found
    for store in found.opened:
        store.close()


@pytest.fixture
async def store(place: Place) -> SqlStore:
    return place.open()


# full examples of every record


POLICY = Policy(
    kind=PolicyKind.OFFER,
    uid="urn:uuid:offer",
    target="urn:uuid:dataset",
    assigner="did:web:rheinaue.example",
    assignee=None,
    profiles=("https://w3id.org/allmende/policy/v1",),
    permissions=(
        Permission(
            identifier="permission/0",
            action="https://w3id.org/allmende/policy/v1#query",
            constraints=(
                Constraint("http://www.w3.org/ns/odrl/2/count", Operator.LTEQ, ("20",)),
                Constraint(
                    "http://www.w3.org/ns/odrl/2/dateTime",
                    Operator.GTEQ,
                    ("2026-01-01T00:00:00Z",),
                    data_type="http://www.w3.org/2001/XMLSchema#dateTime",
                    unit="http://qudt.org/vocab/unit/HR",
                ),
                LogicalConstraint(
                    Connective.XONE,
                    (
                        Constraint("urn:a", Operator.IS_ANY_OF, ("1", "true", "null", "1.50")),
                        LogicalConstraint(
                            Connective.AND_SEQUENCE, (Constraint("urn:b", Operator.NEQ, (TRICKY,)),)
                        ),
                    ),
                ),
            ),
            refinements=(Constraint("urn:c", Operator.EQ, ("",)),),
            duties=(Duty("urn:inform", consequences=(Duty("urn:pay"),)),),
        ),
    ),
    prohibitions=(Prohibition("prohibition/0", "urn:reproduce", remedies=(Duty("urn:delete"),)),),
    obligations=(Duty("urn:delete", constraints=(Constraint("urn:d", Operator.LT, ("3",)),)),),
)
DOCUMENT: JsonObject = {
    "@type": "Offer",
    "@id": "urn:uuid:offer",
    "numbers": [0, -1, 1.5, 1e-9, 2**53, True, None],
    "text": TRICKY,
    "nested": {"": {"ä": []}},
}
COLUMNS = (
    Column("profile", "string", ColumnRole.UNIT, {"de": "Profil", "en": "profile"}),
    Column("load_kw", "float", ColumnRole.MEASURE, {"de": "Last", "en": "load"}, unit="kW", step=0.05),
    Column("ts", "timestamp[us, tz=UTC]", ColumnRole.TIME, {"de": "Zeit", "en": "time"}),
    Column("sector", "string", ColumnRole.DIMENSION, {"de": "Art", "en": "kind"}),
)
DATASET = PublishedDataset(
    dataset=Dataset(
        identifier="urn:uuid:dataset",
        table="load_profiles",
        title={"de": TRICKY, "en": "Load profiles"},
        description={"de": "", "en": ""},
        keywords=("a", "b"),
        license="http://opendatacommons.org/licenses/odbl/1.0/",
        source_note={"de": "Woher", "en": "Where from"},
        columns=COLUMNS,
        rows=2**40,
        digest="a" * 64,
        formats=("AllmendeQuery-PULL", "AllmendeCompute-PULL"),
        offer=Offer(POLICY, DOCUMENT),
        issued=NOW,
        modified=NOW + timedelta(microseconds=1),
        publishing=False,
        themes=("ENER",),
    ),
    source=Path("/srv/data/ein Ordner/lastprofile.parquet"),
    approval="manual",
)
KEPT = KeptPolicy("https://coop.example/rules#1", "b" * 64, DOCUMENT, NOW)
NEGOTIATION = ContractNegotiation(
    pid="urn:uuid:p1",
    role=Party.PROVIDER,
    peer=PEER,
    peer_pid="urn:uuid:c1",
    peer_address="https://lastwerk.example/dsp",
    peer_document={"id": PEER},
    dataset="urn:uuid:dataset",
    state=NegotiationState.VERIFIED,
    pending=NegotiationMessage.FINALIZATION,
    offer=DOCUMENT,
    agreement_id="urn:uuid:a1",
    purpose="https://w3id.org/allmende/policy/v1#LoadForecasting",
    approved=True,
    held=TRICKY,
    reason={"de": TRICKY, "en": "Why"},
    signing=True,
    occurrences={"REQUESTED": 2, "OFFERED": 1},
    created=NOW,
    updated=NOW,
)
AGREEMENT = ContractAgreement(
    identifier="urn:uuid:a1",
    provider="did:web:rheinaue.example",
    consumer=PEER,
    role=Party.CONSUMER,
    dataset="urn:uuid:dataset",
    negotiation="urn:uuid:p1",
    document=DOCUMENT,
    statement={"agreement": DOCUMENT, "proof": [{"proofValue": "z1"}]},
    documents={PEER: {"id": PEER}, "did:web:rheinaue.example": {}},
    signed=True,
    agreed=NOW,
    peer_address="https://rheinaue.example/dsp",
)
TRANSFER = TransferProcess(
    pid="urn:uuid:t1",
    role=Party.PROVIDER,
    peer=PEER,
    peer_pid="urn:uuid:t2",
    peer_address="https://lastwerk.example/dsp",
    agreement_id="urn:uuid:a1",
    transfer_format="AllmendeQuery-PULL",
    state=TransferState.SUSPENDED,
    pending=TransferMessage.START,
    data_address=DOCUMENT,
    token_digest="d" * 64,
    reason=TRICKY,
    occurrences={"STARTED": 3},
    created=NOW,
    updated=NOW,
)
COMPUTATION = Computation(
    identifier="urn:uuid:j1",
    role=Party.PROVIDER,
    peer=PEER,
    agreement_id="urn:uuid:a1",
    transfer_pid="urn:uuid:t1",
    dataset="urn:uuid:dataset",
    purpose=None,
    files={"main.py": TRICKY, "model/__init__.py": ""},
    algorithm_digest="e" * 64,
    parameters=DOCUMENT,
    declared={"metrics.json": "metrics"},
    state=ComputationState.REVIEWED,
    reservation="permission/1",
    held=TRICKY,
    reason={"de": "Nein", "en": "No"},
    outputs=(Output("metrics.json", "metrics", "application/json", "f" * 64, 24, ("declared", "numbers")),),
    receipt="urn:uuid:r1",
    tier="bubblewrap",
    said=TRICKY,
    created=NOW,
    started=NOW,
    updated=NOW,
)
OUTBOUND = OutboundMessage(
    exchange="negotiations",
    pid="urn:uuid:p1",
    kind="agreement",
    peer=PEER,
    address="https://lastwerk.example/dsp",
    path="/negotiations/urn:uuid:c1/agreement",
    body='{"ä":"' + TRICKY.replace("\\", "").replace('"', "").replace("\n", "").replace("\t", "") + '"}',
    not_before=NOW,
    attempts=3,
)
ENTRY = LedgerEntry(
    index=0,
    kind="query",
    identifier="urn:uuid:r0",
    agreement_id="urn:uuid:a1",
    dataset="urn:uuid:dataset",
    leaf=b'{"id":"urn:uuid:r0"}',
    raw_rows_out=0,
    raw_bytes_out=0,
    result_bytes_out=2**40,
    recorded=NOW,
)
QUERY = QueryRecord(
    identifier="urn:uuid:q1",
    role=Party.CONSUMER,
    peer=PEER,
    dataset="urn:uuid:dataset",
    agreement_id="urn:uuid:a1",
    statement="SELECT '" + TRICKY,
    purpose=None,
    refusal={"de": "Nein", "en": "No"},
    groups_out=1,
    bytes_out=2**40,
    suppressed_groups=2,
    created=NOW,
)
CREDENTIAL = Credential(
    identifier="urn:uuid:v1",
    issuer="did:web:issuer.example",
    subject=PEER,
    types=("VerifiableCredential", "MembershipCredential"),
    claims={"role": [TRICKY, {"id": "urn:role"}], "level": 7, "none": None},
    enveloped=True,
    valid_from=NOW,
    valid_until=None,
    statuses=(StatusEntry("revocation", "https://issuer.example/1", 94_567),),
)
HELD = HeldCredential(CREDENTIAL, "a.b.c", NOW)
PRESENTATION = Presentation(
    PEER, NOW, (ShownCredential(CREDENTIAL, NOW, taken_back=True),), ({"de": TRICKY, "en": "x"},)
)
ISSUED = IssuedCredential(
    "urn:uuid:v2", 131_071, PEER, "MembershipCredential", "a.b.c", NOW, NOW + timedelta(days=1), NOW
)
REMOTE = RemoteDataset(
    provider="did:web:rheinaue.example",
    provider_name=TRICKY,
    address="https://rheinaue.example/dsp",
    view=DatasetView(
        identifier="urn:uuid:dataset",
        title={"und": TRICKY},
        description={},
        table=None,
        columns=COLUMNS,
        formats=("AllmendeQuery-PULL",),
        offers=(DOCUMENT, {}),
        endpoint=None,
    ),
    read=NOW,
)
SLIM_NEGOTIATION = replace(
    NEGOTIATION,
    pid="urn:uuid:slim",
    peer_pid=None,
    peer_document=None,
    state=None,
    pending=None,
    agreement_id=None,
    purpose=None,
    held=None,
    reason=None,
    occurrences={},
)
SLIM_TRANSFER = replace(
    TRANSFER,
    pid="urn:uuid:slim",
    peer_pid=None,
    state=None,
    pending=None,
    data_address=None,
    token_digest=None,
    reason=None,
    occurrences={},
)
SLIM_COMPUTATION = replace(
    COMPUTATION,
    identifier="urn:uuid:slim",
    parameters={},
    reservation=None,
    held=None,
    reason=None,
    outputs=(),
    receipt=None,
    started=None,
)

RECORDS: dict[str, tuple[Any, Callable[[Any, Any], None], Callable[[Any], Any]]] = {
    "dataset": (
        DATASET,
        lambda tx, record: tx.save_dataset(record),
        lambda tx: tx.dataset("urn:uuid:dataset"),
    ),
    "dataset that accepts unsigned agreements": (
        replace(DATASET, accepts_unsigned=True),
        lambda tx, record: tx.save_dataset(record),
        lambda tx: tx.dataset("urn:uuid:dataset"),
    ),
    "dataset whose offer takes over rules": (
        replace(DATASET, inherited=(InheritedPolicy("https://coop.example/rules#1", "b" * 64),)),
        lambda tx, record: tx.save_dataset(record),
        lambda tx: tx.dataset("urn:uuid:dataset"),
    ),
    "kept policy": (
        KEPT,
        lambda tx, record: tx.keep_policy(record),
        lambda tx: tx.kept_policy("https://coop.example/rules#1"),
    ),
    "withdrawn policy": (
        replace(KEPT, identifier="urn:uuid:old", withdrawn=NOW + timedelta(days=1)),
        lambda tx, record: tx.keep_policy(record),
        lambda tx: tx.kept_policy("urn:uuid:old"),
    ),
    "negotiation": (
        NEGOTIATION,
        lambda tx, record: tx.save_negotiation(record),
        lambda tx: tx.negotiation("urn:uuid:p1"),
    ),
    "slim negotiation": (
        SLIM_NEGOTIATION,
        lambda tx, record: tx.save_negotiation(record),
        lambda tx: tx.negotiation("urn:uuid:slim"),
    ),
    "agreement": (
        AGREEMENT,
        lambda tx, record: tx.save_agreement(record),
        lambda tx: tx.agreement("urn:uuid:a1"),
    ),
    "unsigned agreement": (
        replace(AGREEMENT, identifier="urn:uuid:slim", statement=None, documents={}, signed=False),
        lambda tx, record: tx.save_agreement(record),
        lambda tx: tx.agreement("urn:uuid:slim"),
    ),
    "transfer": (
        TRANSFER,
        lambda tx, record: tx.save_transfer(record),
        lambda tx: tx.transfer("urn:uuid:t1"),
    ),
    "slim transfer": (
        SLIM_TRANSFER,
        lambda tx, record: tx.save_transfer(record),
        lambda tx: tx.transfer("urn:uuid:slim"),
    ),
    "computation": (
        COMPUTATION,
        lambda tx, record: tx.save_computation(record),
        lambda tx: tx.computation("urn:uuid:j1"),
    ),
    "slim computation": (
        SLIM_COMPUTATION,
        lambda tx, record: tx.save_computation(record),
        lambda tx: tx.computation("urn:uuid:slim"),
    ),
    "outbound": (
        OUTBOUND,
        lambda tx, record: tx.enqueue(record),
        lambda tx: tx.outbound("negotiations", "urn:uuid:p1"),
    ),
    "ledger entry": (
        ENTRY,
        lambda tx, record: tx.append_ledger(record),
        lambda tx: tx.ledger_entry("urn:uuid:r0"),
    ),
    "query": (QUERY, lambda tx, record: tx.save_query(record), lambda tx: tx.queries()[0]),
    "answered query": (
        replace(QUERY, refusal=None, purpose="urn:x"),
        lambda tx, record: tx.save_query(record),
        lambda tx: tx.queries()[0],
    ),
    "remote dataset": (
        REMOTE,
        lambda tx, record: tx.save_remote_dataset(record),
        lambda tx: tx.remote_dataset("urn:uuid:dataset"),
    ),
    "held credential": (
        HELD,
        lambda tx, record: tx.save_held_credential(record),
        lambda tx: next(iter(tx.held_credentials()), None),
    ),
    "presentation": (
        PRESENTATION,
        lambda tx, record: tx.save_presentation(record),
        lambda tx: next(iter(tx.presentations()), None),
    ),
    "issued credential": (
        ISSUED,
        lambda tx, record: tx.save_issued_credential(record),
        lambda tx: next(iter(tx.issued_credentials()), None),
    ),
    "answer": (
        StoredAnswer(201, DOCUMENT),
        lambda tx, record: tx.save_answer(PEER, "digest", record, NOW),
        lambda tx: tx.answer(PEER, "digest"),
    ),
    "empty answer": (
        StoredAnswer(200, None),
        lambda tx, record: tx.save_answer(PEER, "digest", record, NOW),
        lambda tx: tx.answer(PEER, "digest"),
    ),
    "output": (
        bytes(range(256)) * 3,
        lambda tx, record: tx.save_output("urn:uuid:j1", "model.safetensors", record),
        lambda tx: tx.output("urn:uuid:j1", "model.safetensors"),
    ),
    "empty output": (
        b"",
        lambda tx, record: tx.save_output("urn:uuid:j1", "metrics.json", record),
        lambda tx: tx.output("urn:uuid:j1", "metrics.json"),
    ),
    "document": (
        b"\x00\xff{}\r\n",
        lambda tx, record: tx.save_document("urn:uuid:r1", record),
        lambda tx: tx.document("urn:uuid:r1"),
    ),
}


@pytest.mark.parametrize("name", RECORDS)
async def test_a_record_comes_back_as_it_was_saved_also_after_a_restart(place: Place, name: str) -> None:
    record, save, load = RECORDS[name]
    first = place.open()
    await first.transact(lambda tx: save(tx, record))
    assert await first.transact(load) == record
    first.close()

    again = place.open()

    found = await again.transact(load)
    assert found == record
    assert type(found) is type(record)


@pytest.mark.parametrize("name", RECORDS)
async def test_a_record_that_nobody_saved_is_not_there(store: SqlStore, name: str) -> None:
    _, _, load = RECORDS[name]
    if "query" in name:
        assert await store.transact(lambda tx: tx.queries()) == ()
    else:
        assert await store.transact(load) is None


async def test_a_policy_comes_back_as_the_same_kinds_of_things(store: SqlStore) -> None:
    """Words that look like numbers, times or truth values stay words, and constraints keep their kind."""
    await store.transact(lambda tx: tx.save_dataset(DATASET))

    found = await store.transact(lambda tx: tx.dataset("urn:uuid:dataset"))

    assert found is not None
    assert repr(found.dataset.offer.policy) == repr(POLICY)
    first, second, third = found.dataset.offer.policy.permissions[0].constraints
    assert isinstance(first, Constraint)
    assert isinstance(second, Constraint)
    assert isinstance(third, LogicalConstraint)
    assert second.right_operand == ("2026-01-01T00:00:00Z",)
    assert isinstance(found.source, Path)
    assert isinstance(found.dataset.columns[0].role, ColumnRole)
    assert found.dataset.issued.utcoffset() == timedelta(0)


async def test_saving_again_replaces_and_lists_are_oldest_first(store: SqlStore) -> None:
    late = replace(NEGOTIATION, pid="urn:uuid:late", created=NOW + timedelta(seconds=1))
    early = replace(NEGOTIATION, pid="urn:uuid:early", created=NOW - timedelta(seconds=1))
    changed = replace(NEGOTIATION, state=NegotiationState.FINALIZED, pending=None)

    def work(tx: Any) -> Any:
        for record in (late, NEGOTIATION, early, changed):
            tx.save_negotiation(record)
        return tx.negotiations()

    assert await store.transact(work) == (early, changed, late)


async def test_exchanges_are_found_by_the_counterpartys_pid_and_by_token(store: SqlStore) -> None:
    def save(tx: Any) -> None:
        tx.save_negotiation(NEGOTIATION)
        tx.save_negotiation(replace(NEGOTIATION, pid="urn:uuid:p2", peer="did:web:other.example"))
        tx.save_transfer(TRANSFER)
        tx.save_transfer(replace(TRANSFER, pid="urn:uuid:t3", peer_pid="urn:uuid:t4", token_digest=None))

    await store.transact(save)

    def find(tx: Any) -> list[Any]:
        return [
            tx.negotiation_of(PEER, "urn:uuid:c1"),
            tx.negotiation_of(PEER, "urn:uuid:other"),
            tx.negotiation_of("did:web:nobody.example", "urn:uuid:c1"),
            tx.transfer_of(PEER, "urn:uuid:t2"),
            tx.transfer_with_token("d" * 64),
            tx.transfer_with_token("D" * 64),
            tx.transfer_with_token(""),
        ]

    assert await store.transact(find) == [NEGOTIATION, None, None, TRANSFER, TRANSFER, None, None]


async def test_a_credential_is_forgotten_once_and_no_two_have_the_same_place(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.save_held_credential(HELD))
    assert await store.transact(lambda tx: tx.discard_held_credential("urn:uuid:v1"))
    assert not await store.transact(lambda tx: tx.discard_held_credential("urn:uuid:v1"))
    assert await store.transact(lambda tx: tx.held_credentials()) == ()

    await store.transact(lambda tx: tx.save_issued_credential(ISSUED))
    twin = replace(ISSUED, identifier="urn:uuid:twin")
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.transact(lambda tx: tx.save_issued_credential(twin))
    assert await store.transact(lambda tx: tx.issued_credentials()) == (ISSUED,)


async def test_kept_policies_are_listed_oldest_first_and_withdrawing_one_loses_nothing(
    store: SqlStore,
) -> None:
    later = replace(KEPT, identifier="urn:uuid:later", kept=NOW + timedelta(seconds=1))
    withdrawn = replace(KEPT, withdrawn=NOW + timedelta(hours=1))

    def work(tx: Any) -> None:
        for record in (later, KEPT, withdrawn):
            tx.keep_policy(record)

    await store.transact(work)

    assert await store.transact(lambda tx: tx.kept_policies()) == (withdrawn, later)
    assert await store.transact(lambda tx: tx.kept_policy("urn:uuid:unknown")) is None


# transactions


async def test_an_exception_saves_nothing_and_the_store_goes_on(store: SqlStore) -> None:
    def work(tx: Any) -> None:
        tx.save_dataset(DATASET)
        tx.save_negotiation(NEGOTIATION)
        tx.append_ledger(ENTRY)
        tx.reserve("urn:uuid:a1", "permission/0", 5)
        tx.remember_token("t", NOW, NOW)
        raise LookupError("in the middle")

    with pytest.raises(LookupError, match="in the middle"):
        await store.transact(work)

    def look(tx: Any) -> list[Any]:
        return [tx.datasets(), tx.negotiations(), tx.ledger_size(), dict(tx.uses("urn:uuid:a1"))]

    assert await store.transact(look) == [(), (), 0, {}]
    assert await store.transact(lambda tx: tx.remember_token("t", NOW, NOW))


async def test_a_task_that_is_cancelled_leaves_the_store_usable(store: SqlStore) -> None:
    task = asyncio.create_task(store.transact(lambda tx: tx.save_dataset(DATASET)))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert await store.transact(lambda tx: len(tx.datasets())) in {0, 1}


async def test_one_that_fails_takes_nothing_with_it_of_those_that_are_saved_together(store: SqlStore) -> None:
    def work(number: int) -> Callable[[Any], None]:
        def changes(tx: Any) -> None:
            tx.remember_token(f"token-{number}", NOW, NOW)
            if number % 3 == 0:
                raise LookupError(str(number))

        return changes

    outcomes = await asyncio.gather(
        *(store.transact(work(number)) for number in range(30)), return_exceptions=True
    )
    assert [str(one) for one in outcomes if one is not None] == [str(number) for number in range(0, 30, 3)]

    def kept(tx: Any) -> list[int]:
        return [number for number in range(30) if not tx.remember_token(f"token-{number}", NOW, NOW)]

    assert await store.transact(kept) == [number for number in range(30) if number % 3]


async def test_messages_are_announced_once_they_are_saved_and_only_then(store: SqlStore) -> None:
    announced: list[str] = []
    store.follow_outbox(lambda messages: announced.extend(message.pid for message in messages))

    def fails(tx: Any) -> None:
        tx.enqueue(OUTBOUND)
        raise LookupError

    with pytest.raises(LookupError):
        await store.transact(fails)
    assert announced == []
    await store.transact(lambda tx: tx.enqueue(OUTBOUND))
    assert announced == [OUTBOUND.pid]


async def test_transactions_see_what_was_saved_before_them_and_run_alone(store: SqlStore) -> None:
    """Fifty tasks read and write one number; none overwrites another's."""
    await store.transact(lambda tx: tx.save_negotiation(replace(NEGOTIATION, occurrences={"n": 0})))

    def work(tx: Any) -> None:
        record = tx.negotiation(NEGOTIATION.pid)
        tx.save_negotiation(replace(record, occurrences={"n": record.occurrences["n"] + 1}))

    await asyncio.gather(*(store.transact(work) for _ in range(50)))

    found = await store.transact(lambda tx: tx.negotiation(NEGOTIATION.pid))
    assert found is not None
    assert found.occurrences == {"n": 50}


# uses


async def test_of_fifty_reservations_at_once_exactly_as_many_succeed_as_the_limit_allows(
    store: SqlStore,
) -> None:
    granted = await asyncio.gather(
        *(store.transact(lambda tx: tx.reserve("urn:uuid:a1", "permission/0", 10)) for _ in range(50))
    )

    assert granted.count(True) == 10
    assert await store.transact(lambda tx: dict(tx.uses("urn:uuid:a1"))) == {"permission/0": 10}


async def test_uses_are_counted_per_agreement_and_rule(store: SqlStore) -> None:
    def work(tx: Any) -> list[Any]:
        reserved = [
            tx.reserve("urn:uuid:a1", "permission/0", 1),
            tx.reserve("urn:uuid:a1", "permission/1", 1),
            tx.reserve("urn:uuid:a2", "permission/0", 1),
            tx.reserve("urn:uuid:a1", "permission/0", 1),
            tx.reserve("urn:uuid:a3", "permission/0", 0),
            tx.reserve("urn:uuid:a4", "permission/0", None),
            tx.reserve("urn:uuid:a4", "permission/0", None),
        ]
        return [reserved, dict(tx.uses("urn:uuid:a1")), dict(tx.uses("urn:uuid:a4"))]

    assert await store.transact(work) == [
        [True, True, True, False, False, True, True],
        {"permission/0": 1, "permission/1": 1},
        {"permission/0": 2},
    ]


async def test_a_use_that_is_given_back_can_be_taken_again_and_none_below_zero(store: SqlStore) -> None:
    def work(tx: Any) -> list[Any]:
        taken = [tx.reserve("a", "r", 1), tx.reserve("a", "r", 1)]
        tx.refund("a", "r")
        tx.refund("a", "r")
        tx.refund("nobody", "r")
        return [taken, dict(tx.uses("a")), tx.reserve("a", "r", 1), tx.reserve("a", "r", 1)]

    assert await store.transact(work) == [[True, False], {"r": 0}, True, False]


async def test_of_fifty_uses_at_once_one_keeps_its_distance_to_the_last(place: Place) -> None:
    """Two connectors on one database: neither knows of the other one's uses."""
    stores = [place.open(), place.open()]
    hour = timedelta(hours=1)

    async def noted(moment: datetime) -> int:
        granted = await asyncio.gather(
            *(
                stores[number % 2].transact(
                    lambda tx: tx.note_use("urn:uuid:a1", "permission/0", moment, hour)
                )
                for number in range(50)
            )
        )
        return granted.count(True)

    assert [await noted(NOW), await noted(NOW + hour - timedelta(microseconds=1))] == [1, 0]
    assert [await noted(NOW + hour), await noted(NOW + hour)] == [1, 0]
    assert await stores[0].transact(lambda tx: tx.time_of_use("urn:uuid:a1", "permission/0")) == TimeOfUse(
        NOW + hour
    )
    assert await stores[0].transact(lambda tx: tx.time_of_use("urn:uuid:a1", "permission/1")) == TimeOfUse()


async def test_a_use_that_has_not_happened_is_not_the_last_one(store: SqlStore) -> None:
    hour = timedelta(hours=1)

    def work(tx: Any) -> list[Any]:
        noted = [tx.note_use("a", "r", NOW, hour)]
        tx.forget_use("a", "r", NOW - hour)
        noted += [tx.note_use("a", "r", NOW, hour)]
        tx.forget_use("a", "r", NOW)
        return [*noted, tx.note_use("a", "r", NOW, hour)]

    assert await store.transact(work) == [True, False, True]


async def test_of_fifty_computations_at_once_no_more_time_is_reserved_than_was_agreed(place: Place) -> None:
    stores = [place.open(), place.open()]
    each, total = timedelta(seconds=120), timedelta(minutes=10, seconds=119)

    granted = await asyncio.gather(
        *(
            stores[number % 2].transact(lambda tx: tx.meter("urn:uuid:a1", "permission/1", each, total))
            for number in range(50)
        )
    )

    assert granted.count(True) == 5
    await stores[0].transact(lambda tx: tx.return_time("urn:uuid:a1", "permission/1", timedelta(seconds=1)))
    again = await stores[1].transact(lambda tx: tx.meter("urn:uuid:a1", "permission/1", each, total))
    assert again
    metered = await stores[0].transact(lambda tx: tx.time_of_use("urn:uuid:a1", "permission/1").metered)
    assert metered == total


async def test_a_reservation_is_open_until_it_is_closed_once_and_survives_a_restart(place: Place) -> None:
    first = place.open()
    one = Reservation("urn:uuid:r1", "urn:uuid:a1", "permission/0", NOW)
    other = Reservation("urn:uuid:r2", "urn:uuid:a1", "permission/0", NOW - timedelta(seconds=1))
    await first.transact(lambda tx: [tx.open_reservation(one), tx.open_reservation(other)])
    first.close()

    again = place.open()

    assert await again.transact(lambda tx: tx.reservations()) == (other, one)
    closed = [await again.transact(lambda tx: tx.close_reservation("urn:uuid:r1")) for _ in range(2)]
    assert closed == [True, False]
    assert await again.transact(lambda tx: tx.reservations()) == (other,)


async def test_a_reservation_has_a_name_of_its_own(store: SqlStore) -> None:
    one = Reservation("urn:uuid:r1", "urn:uuid:a1", "permission/0", NOW)
    await store.transact(lambda tx: tx.open_reservation(one))

    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.transact(lambda tx: tx.open_reservation(replace(one, agreement_id="urn:uuid:a2")))

    assert await store.transact(lambda tx: tx.reservations()) == (one,)


async def test_of_fifty_that_want_to_close_a_reservation_one_does(store: SqlStore) -> None:
    one = Reservation("urn:uuid:r1", "urn:uuid:a1", "permission/0", NOW)
    await store.transact(lambda tx: tx.open_reservation(one))

    closed = await asyncio.gather(
        *(store.transact(lambda tx: tx.close_reservation("urn:uuid:r1")) for _ in range(50))
    )

    assert closed.count(True) == 1


# epsilon


ACCOUNT = "agreement:urn:uuid:a1"


async def test_of_fifty_questions_at_once_exactly_as_many_are_paid_for_as_epsilon_allows(
    place: Place,
) -> None:
    """Two connectors on one database: neither knows what the other one spends."""
    stores = [place.open(), place.open()]

    paid = await asyncio.gather(
        *(
            stores[number % 2].transact(lambda tx: tx.spend_epsilon(ACCOUNT, Decimal("0.3"), Decimal("3.1")))
            for number in range(50)
        )
    )

    assert paid.count(True) == 10
    assert await stores[0].transact(lambda tx: tx.epsilon_spent(ACCOUNT)) == Decimal("3.0")


async def test_epsilon_is_counted_exactly_to_the_last_billionth(store: SqlStore) -> None:
    tenth, total = Decimal("0.1"), Decimal("0.3")
    tiny, huge = Decimal("0.000000001"), Decimal("999999999.999999999")

    def work(tx: Any) -> list[bool]:
        paid = [tx.spend_epsilon(ACCOUNT, tenth, total) for _ in range(4)]
        tx.refund_epsilon(ACCOUNT, tiny)
        paid += [tx.spend_epsilon(ACCOUNT, tiny, total) for _ in range(2)]
        return [*paid, tx.spend_epsilon("dataset:x", huge, huge), tx.spend_epsilon("dataset:x", tiny, huge)]

    assert await store.transact(work) == [True, True, True, False, True, False, True, False]
    assert await store.transact(lambda tx: tx.epsilon_spent(ACCOUNT)) == total
    assert await store.transact(lambda tx: tx.epsilon_spent("dataset:x")) == huge
    assert await store.transact(lambda tx: tx.epsilon_spent("dataset:y")) == 0


async def test_accounts_that_are_checked_together_are_spent_together_or_not_at_all(store: SqlStore) -> None:
    def work(tx: Any) -> None:
        assert tx.spend_epsilon(ACCOUNT, Decimal(1), Decimal(2))
        if not tx.spend_epsilon("dataset:x", Decimal(1), Decimal("0.5")):
            raise LookupError

    with pytest.raises(LookupError):
        await store.transact(work)

    assert await store.transact(lambda tx: tx.epsilon_spent(ACCOUNT)) == 0


async def test_lines_about_epsilon_are_added_and_never_written_over(place: Place) -> None:
    first = place.open()
    spent = EpsilonEntry("urn:uuid:e1", "urn:uuid:a1", "urn:uuid:d1", "f" * 64, Decimal("0.5"), NOW)
    back = replace(spent, identifier="urn:uuid:e2", epsilon=Decimal("-0.5"), recorded=NOW + timedelta(1))
    other = replace(spent, identifier="urn:uuid:e3", dataset="urn:uuid:d2")
    for entry in (back, spent, other):
        await first.transact(lambda tx, entry=entry: tx.append_epsilon(entry))
    first.close()

    again = place.open()

    assert await again.transact(lambda tx: tx.epsilon_entries("urn:uuid:d1")) == (spent, back)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await again.transact(lambda tx: tx.append_epsilon(replace(spent, epsilon=Decimal(0))))
    assert await again.transact(lambda tx: tx.epsilon_entries("urn:uuid:d1")) == (spent, back)


async def test_the_first_noisy_answer_to_a_question_stays_the_only_one(place: Place) -> None:
    first = place.open()
    figures = {"rows": (3, -7, 2**62), "sum_0": (0,)}
    answer = NoisyAnswer("urn:uuid:a1", "f" * 64, figures, NOW)
    other = replace(answer, figures={"rows": (4,)}, drawn=NOW + timedelta(1))
    assert await first.transact(lambda tx: tx.noisy_answer("urn:uuid:a1", "f" * 64)) is None
    assert await first.transact(lambda tx: tx.save_noisy_answer(answer)) == answer
    first.close()

    again = place.open()

    assert await again.transact(lambda tx: tx.save_noisy_answer(other)) == answer
    assert await again.transact(lambda tx: tx.noisy_answer("urn:uuid:a1", "f" * 64)) == answer
    assert await again.transact(lambda tx: tx.noisy_answer("urn:uuid:a2", "f" * 64)) is None


# the inbox


async def test_answers_are_forgotten_by_their_age_and_no_younger_one_with_them(store: SqlStore) -> None:
    answer = StoredAnswer(200, DOCUMENT)

    def work(tx: Any) -> list[Any]:
        for days in (-2, -1, 0, 1):
            tx.save_answer(PEER, f"digest {days}", answer, NOW + timedelta(days=days))
        tx.save_answer("did:web:other.example", "digest -2", answer, NOW - timedelta(days=2))
        forgotten = [tx.forget_answers(NOW), tx.forget_answers(NOW)]
        return [forgotten, [days for days in (-2, -1, 0, 1) if tx.answer(PEER, f"digest {days}")]]

    assert await store.transact(work) == [[3, 0], [0, 1]]
    assert await store.transact(lambda tx: tx.answer("did:web:other.example", "digest -2")) is None


async def test_old_answers_are_forgotten_a_thousand_at_a_time(store: SqlStore) -> None:
    def work(tx: Any) -> list[int]:
        for number in range(MOST_FORGOTTEN + 3):
            tx.save_answer(PEER, str(number), StoredAnswer(200, None), NOW)
        return [tx.forget_answers(NOW + timedelta(seconds=1)) for _ in range(3)]

    assert await store.transact(work) == [1000, 3, 0]


# the ledger and evidence


def entry(index: int) -> LedgerEntry:
    return replace(
        ENTRY,
        index=index,
        identifier=f"urn:uuid:r{index}",
        leaf=b"%d" % index,
        recorded=NOW - timedelta(seconds=index),
    )


async def test_the_ledger_keeps_its_order_and_hashes_its_leaves(store: SqlStore) -> None:
    for index in range(12):
        await store.transact(lambda tx, index=index: tx.append_ledger(entry(index)))  # type: ignore[misc] # bound at once

    assert await store.transact(lambda tx: tx.ledger()) == tuple(entry(index) for index in range(12))
    assert await store.transact(lambda tx: tx.ledger_size()) == 12
    # RFC 6962, section 2.1: the hash of a leaf is SHA-256 of a zero byte and the leaf.
    expected = tuple(hashlib.sha256(b"\0%d" % index).digest() for index in range(12))
    assert await store.transact(lambda tx: tx.ledger_hashes()) == expected


async def test_a_line_of_the_ledger_is_never_written_over(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.append_ledger(entry(0)))

    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.transact(lambda tx: tx.append_ledger(replace(entry(0), identifier="urn:uuid:other")))

    assert await store.transact(lambda tx: tx.ledger()) == (entry(0),)


async def test_evidence_is_never_written_over(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.save_document("urn:uuid:r1", b"first"))
    await store.transact(lambda tx: tx.save_document("urn:uuid:r1", b"first"))

    with pytest.raises(EvidenceExistsError):
        await store.transact(lambda tx: tx.save_document("urn:uuid:r1", b"second"))

    assert await store.transact(lambda tx: tx.document("urn:uuid:r1")) == b"first"


async def test_an_output_that_is_made_again_replaces_the_one_before(store: SqlStore) -> None:
    def work(tx: Any) -> list[Any]:
        tx.save_output("j", "a", b"1")
        tx.save_output("j", "b", b"2")
        tx.save_output("j", "a", b"3")
        return [tx.output("j", "a"), tx.output("j", "b"), tx.output("other", "a")]

    assert await store.transact(work) == [b"3", b"2", None]


# tokens


async def test_a_token_counts_once_however_many_ask_at_once(place: Place) -> None:
    store = place.open()
    expires = NOW + timedelta(minutes=5)

    remembered = await asyncio.gather(
        *(store.transact(lambda tx: tx.remember_token("token", expires, NOW)) for _ in range(20))
    )
    store.close()
    later = await place.open().transact(lambda tx: tx.remember_token("token", expires, NOW))

    assert remembered.count(True) == 1
    assert later is False


async def test_a_token_is_forgotten_once_it_has_expired(store: SqlStore) -> None:
    expires = NOW + timedelta(minutes=5)

    def remember(now: datetime) -> Callable[[Any], bool]:
        return lambda tx: bool(tx.remember_token("token", expires, now))

    assert await store.transact(remember(NOW))
    assert not await store.transact(remember(expires))
    assert await store.transact(remember(expires + timedelta(seconds=1)))


# the outbox


def message(pid: str, seconds: float = 0.0, **changes: Any) -> OutboundMessage:
    return replace(OUTBOUND, pid=pid, not_before=NOW + timedelta(seconds=seconds), **changes)


async def test_an_exchange_has_at_most_one_undelivered_message(store: SqlStore) -> None:
    def work(tx: Any) -> list[Any]:
        tx.enqueue(message("p", kind="agreement"))
        tx.enqueue(message("p", kind="termination"))
        tx.enqueue(message("p", exchange="transfers", kind="start"))
        return [tx.outbound("negotiations", "p").kind, tx.outbound("transfers", "p").kind, len(tx.due(NOW))]

    assert await store.transact(work) == ["termination", "start", 2]


async def test_messages_fall_due_in_their_order_and_the_next_one_is_announced(store: SqlStore) -> None:
    def work(tx: Any) -> list[Any]:
        for pid, seconds in (("c", 0), ("a", -5), ("b", -1), ("d", 3), ("e", 9)):
            tx.enqueue(message(pid, seconds))
        return [
            [one.pid for one in tx.due(NOW)],
            tx.next_due(NOW),
            [one.pid for one in tx.due(NOW + timedelta(seconds=3))],
            tx.next_due(NOW + timedelta(seconds=3)),
            tx.next_due(NOW + timedelta(seconds=9)),
        ]

    due, following, later, last, none = await store.transact(work)
    assert due == ["a", "b", "c"]
    assert later == ["a", "b", "c", "d"]
    assert abs(following - (NOW + timedelta(seconds=3))) < timedelta(milliseconds=1)
    assert abs(last - (NOW + timedelta(seconds=9))) < timedelta(milliseconds=1)
    assert none is None


async def test_a_delivered_message_is_gone(store: SqlStore) -> None:
    def work(tx: Any) -> list[Any]:
        tx.enqueue(message("p"))
        tx.enqueue(message("p", exchange="transfers"))
        tx.dequeue("negotiations", "p")
        tx.dequeue("negotiations", "nobody")
        return [tx.outbound("negotiations", "p"), [one.exchange for one in tx.due(NOW)], tx.next_due(NOW)]

    assert await store.transact(work) == [None, ["transfers"], None]


async def test_a_hundred_messages_are_handed_out_at_a_time(store: SqlStore) -> None:
    def fill(tx: Any) -> None:
        for number in range(130):
            tx.enqueue(message(f"p{number:03}", seconds=-number))

    await store.transact(fill)

    due = await store.transact(lambda tx: tx.due(NOW))
    assert [one.pid for one in due] == [f"p{number:03}" for number in range(129, 29, -1)]


# the schema


def _before_the_first_migration(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
    engine.dispose()


def _version(url: str) -> str:
    engine = create_engine(url)
    with engine.connect() as connection:
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    return str(version)


def test_the_version_that_a_database_gets_is_that_of_the_last_migration(place: Place) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    place.open()
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD == _version(place.url)


def test_tables_of_unknown_origin_are_not_taken_for_ours(tmp_path: Path) -> None:
    path = tmp_path / "allmende.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE ledger (anything TEXT)")

    assert "already exists" in unavailable(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("ledger",)]


def test_a_migration_that_fails_leaves_the_database_as_it_was_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "allmende.sqlite"
    _before_the_first_migration(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE used_tokens (anything TEXT)")

    assert "used_tokens" in unavailable(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        assert tables.fetchall() == [("alembic_version",), ("used_tokens",)]


@pytest.mark.parametrize("migrated", [False, True])
async def test_the_tables_are_exactly_those_of_the_models(place: Place, *, migrated: bool) -> None:
    if migrated:
        _before_the_first_migration(place.url)
    place.open()
    engine = create_engine(place.url)
    try:
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
        inspector = inspect(engine)
        assert set(inspector.get_table_names()) == {*SQLModel.metadata.tables, "alembic_version"}
        for name, table in SQLModel.metadata.tables.items():
            migrated = {column["name"]: column for column in inspector.get_columns(name)}
            assert list(migrated) == [column.name for column in table.columns], name
            for column in table.columns:
                assert migrated[column.name]["nullable"] == column.nullable, f"{name}.{column.name}"
            keys = inspector.get_pk_constraint(name)["constrained_columns"]
            assert set(keys) == {column.name for column in table.primary_key}, name
    finally:
        engine.dispose()


async def test_opening_again_migrates_nothing_and_loses_nothing(place: Place) -> None:
    first = place.open()
    await first.transact(lambda tx: tx.save_dataset(DATASET))
    first.close()

    for _ in range(2):
        again = place.open()
        assert await again.transact(lambda tx: tx.datasets()) == (DATASET,)
        again.close()


async def test_a_database_from_before_policies_were_kept_keeps_its_datasets(place: Place) -> None:
    first = place.open()
    await first.transact(lambda tx: tx.save_dataset(DATASET))
    first.close()
    engine = create_engine(place.url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE kept_policies"))
        record = connection.execute(text("SELECT record FROM datasets")).scalar_one()
        earlier = {name: value for name, value in json.loads(record).items() if name != "inherited"}
        connection.execute(text("UPDATE datasets SET record = :record"), {"record": json.dumps(earlier)})
        connection.execute(text("UPDATE alembic_version SET version_num = '0006'"))
    engine.dispose()

    again = place.open()

    assert await again.transact(lambda tx: tx.datasets()) == (DATASET,)
    await again.transact(lambda tx: tx.keep_policy(KEPT))
    assert await again.transact(lambda tx: tx.kept_policies()) == (KEPT,)
    assert _version(place.url) == migrations.HEAD


async def test_a_reason_that_was_kept_in_one_language_is_kept_for_both(place: Place) -> None:
    ended = replace(NEGOTIATION, pid="urn:uuid:ended", reason={"de": TRICKY, "en": TRICKY})
    running = replace(NEGOTIATION, pid="urn:uuid:running", peer_pid="urn:uuid:c2", reason=None)
    first = place.open()
    for record in (ended, running):
        await first.transact(lambda tx, record=record: tx.save_negotiation(record))
    first.close()
    engine = create_engine(place.url)
    with engine.begin() as connection:
        select = text("SELECT record FROM negotiations WHERE pid = 'urn:uuid:ended'")
        earlier = {**json.loads(connection.execute(select).scalar_one()), "reason": TRICKY}
        update = text("UPDATE negotiations SET record = :record WHERE pid = 'urn:uuid:ended'")
        connection.execute(update, {"record": json.dumps(earlier)})
        connection.execute(text("UPDATE alembic_version SET version_num = '0007'"))
    engine.dispose()

    again = place.open()

    assert await again.transact(lambda tx: tx.negotiation("urn:uuid:ended")) == ended
    assert await again.transact(lambda tx: tx.negotiation("urn:uuid:running")) == running
    assert _version(place.url) == migrations.HEAD


async def test_what_is_saved_can_be_read_without_this_software(tmp_path: Path) -> None:
    path = tmp_path / "allmende.sqlite"
    store = SqlStore(f"sqlite:///{path}", leaf_hash)
    await store.transact(lambda tx: tx.save_agreement(AGREEMENT))
    store.close()

    connection = sqlite3.connect(path)
    row = connection.execute("SELECT json_extract(record, '$.document.text') FROM agreements").fetchone()
    connection.close()

    assert row == (TRICKY,)


# read, and left as it is


async def test_what_is_kept_can_be_read_while_somebody_writes_it(place: Place) -> None:
    store = place.open()
    await store.transact(lambda tx: tx.save_dataset(DATASET))
    assert read_kept(place.url, leaf_hash, lambda tx: tx.datasets()) == (DATASET,)
    assert await store.transact(lambda tx: tx.datasets()) == (DATASET,)


async def test_whoever_only_reads_can_change_nothing(place: Place) -> None:
    store = place.open()
    with pytest.raises(StoreUnavailableError, match="read"):
        read_kept(place.url, leaf_hash, lambda tx: tx.save_dataset(DATASET))
    assert await store.transact(lambda tx: tx.datasets()) == ()


def test_a_database_in_which_nothing_was_ever_kept_is_not_read_and_stays_empty(place: Place) -> None:
    engine = create_engine(place.url)
    engine.connect().close()  # SQLite makes its file
    with pytest.raises(StoreUnavailableError, match="no database of Allmende"):
        read_kept(place.url, leaf_hash, lambda tx: tx.datasets())
    assert inspect(engine).get_table_names() == []
    engine.dispose()


# databases that cannot be opened


def unavailable(url: str) -> str:
    with pytest.raises(StoreUnavailableError) as caught:
        SqlStore(url, leaf_hash)
    sentence = str(caught.value)
    assert sentence.startswith("The database cannot be opened: ")
    assert "Check database_url" in sentence
    assert "Traceback" not in sentence
    return sentence


def test_a_file_that_is_no_database_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "allmende.sqlite"
    path.write_bytes(b"this is no database, but somebody needs it" * 100)
    before = path.read_bytes()

    assert "not a database" in unavailable(f"sqlite:///{path}")

    assert path.read_bytes() == before


def test_a_database_that_somebody_else_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "allmende.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN EXCLUSIVE")
    try:
        assert "locked" in unavailable(f"sqlite:///{path}?timeout=0.1")
    finally:
        other.close()


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()

    for path in ("missing/allmende.sqlite", "file/allmende.sqlite", "directory"):
        assert "unable to open" in unavailable(f"sqlite:///{tmp_path / path}")


def test_a_database_that_can_only_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "allmende.sqlite"
    SqlStore(f"sqlite:///{path}", leaf_hash).close()

    assert "readonly" in unavailable(f"sqlite:///file:{path}?mode=ro&uri=true").replace("-", "")


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "allmende.sqlite"
    SqlStore(f"sqlite:///{path}", leaf_hash).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()

    assert "9999" in unavailable(f"sqlite:///{path}")


@pytest.mark.parametrize("url", ["", "nonsense", "oracle://somewhere/x", "sqlite+nothing:///x"])
def test_an_address_that_leads_to_no_database_is_refused(url: str) -> None:
    unavailable(url)


# tree heads


def known_head(size: int, root: str = "0" * 64, ledger: str = "did:web:a.example") -> KnownHead:
    return KnownHead(ledger, size, root, {"type": "TreeHead", "treeSize": size}, NOW, peaks=("1" * 64,))


async def test_tree_heads_are_kept_per_ledger_and_the_largest_is_the_latest(store: SqlStore) -> None:
    heads = [known_head(size) for size in (10, 2, 9)]
    for one in [*heads, known_head(11, ledger="did:web:b.example")]:
        await store.transact(lambda tx, one=one: tx.save_head(one))  # type: ignore[misc] # bound at once

    assert await store.transact(lambda tx: tx.heads("did:web:a.example")) == (heads[1], heads[2], heads[0])
    assert await store.transact(lambda tx: tx.latest_head("did:web:a.example")) == heads[0]
    assert await store.transact(lambda tx: tx.latest_head("did:web:c.example")) is None


async def test_a_tree_head_of_the_same_size_with_another_root_is_refused(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.save_head(known_head(3)))
    with pytest.raises(EvidenceExistsError, match="two tree heads"):
        await store.transact(lambda tx: tx.save_head(known_head(3, root="f" * 64)))

    compared = replace(known_head(3), compared=NOW, problem={"de": "Nein.", "en": "No."})
    await store.transact(lambda tx: tx.save_head(compared))
    assert await store.transact(lambda tx: tx.heads("did:web:a.example")) == (compared,)
