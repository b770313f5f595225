"""The participant's memory in SQLite or PostgreSQL.

Source:
    docs/adr/0004-one-store.md
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlmodel import SQLModel

from connector.adapters import sql_statements as sql
from connector.adapters.sql_schema import SchemaError, bring_up_to_date, open_database, open_kept_database
from connector.adapters.sql_statements import Driver, RecordStatements, Row, Statements
from connector.adapters.sql_tables import (
    AgreementRow,
    AnswerRow,
    ComputationRow,
    DatasetRow,
    EpsilonEntryRow,
    HeldCredentialRow,
    IssuedCredentialRow,
    KeptPolicyRow,
    NegotiationRow,
    NoisyAnswerRow,
    OutboundRow,
    PresentationRow,
    QueryRow,
    RemoteDatasetRow,
    TransferRow,
    TreeHeadRow,
)
from connector.ports import (
    MOST_DUE,
    MOST_FORGOTTEN,
    EpsilonEntry,
    EvidenceExistsError,
    HeldCredential,
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
    StoredAnswer,
    TimeOfUse,
)
from connector.protocol.computation import Computation
from connector.protocol.negotiation import ContractAgreement, ContractNegotiation
from connector.protocol.transfer import TransferProcess
from policies.privacy import EPSILON_DIGITS
from schemas.errors import WordedError

T = TypeVar("T")
R = TypeVar("R")
_MOST_TOGETHER = 64
"""Transactions that are written to disk together at most."""
_PATIENCE = timedelta(seconds=10)
"""How long another process may hold the database, such as a backup."""
_EPOCH = datetime.fromtimestamp(0, UTC)
_SPOILT = (ValidationError, TypeError, ValueError, OverflowError, OSError)
"""What comes of values that somebody else has written: SQLite keeps any in any column."""
_MOST_RECENT = 128
"""Records of one type that are kept in memory; they are frozen, and nobody changes the JSON inside them."""


class StoreUnavailableError(WordedError):
    """The database cannot be opened; the sentence names the cause and the remedy."""

    german = "Die Datenbank kann nicht benutzt werden"


class _Kind(Generic[R]):
    """How records of one type are written and read: as JSON, in one table.

    What reads and writes the JSON is made at its first use, as that takes longer than both.
    """

    def __init__(self, record: type[R], statements: RecordStatements) -> None:
        self.statements = statements
        self._record = record
        self._made: TypeAdapter[R] | None = None
        self._recent: dict[str, R] = {}

    def read(self, text: str) -> R:
        """A record from its JSON; one that was read or written lately is not made again."""
        found = self._recent.get(text)
        return self._keep(text, self._adapter.validate_json(text)) if found is None else found

    def written(self, record: R) -> str:
        """A record as JSON."""
        text = self._adapter.dump_json(record).decode()
        self._keep(text, record)
        return text

    def _keep(self, text: str, record: R) -> R:
        self._recent[text] = record
        if len(self._recent) > _MOST_RECENT:
            self._recent.pop(next(iter(self._recent)))
        return record

    @property
    def _adapter(self) -> TypeAdapter[R]:
        if self._made is None:
            self._made = TypeAdapter(self._record)
        return self._made


_DATASETS = _Kind(PublishedDataset, RecordStatements(DatasetRow, ("identifier",)))
_KEPT_POLICIES = _Kind(KeptPolicy, RecordStatements(KeptPolicyRow, ("identifier",)))
_NEGOTIATIONS = _Kind(ContractNegotiation, RecordStatements(NegotiationRow, ("pid",), ("peer", "peer_pid")))
_AGREEMENTS = _Kind(ContractAgreement, RecordStatements(AgreementRow, ("identifier",)))
_TRANSFERS = _Kind(
    TransferProcess, RecordStatements(TransferRow, ("pid",), ("peer", "peer_pid"), ("token_digest",))
)
_COMPUTATIONS = _Kind(Computation, RecordStatements(ComputationRow, ("identifier",)))
_ANSWERS = _Kind(StoredAnswer, RecordStatements(AnswerRow, ("peer", "digest")))
_OUTBOX = _Kind(OutboundMessage, RecordStatements(OutboundRow, ("exchange", "pid")))
_QUERIES = _Kind(QueryRecord, RecordStatements(QueryRow))
_EPSILON = _Kind(EpsilonEntry, RecordStatements(EpsilonEntryRow))
_NOISY = _Kind(NoisyAnswer, RecordStatements(NoisyAnswerRow, ("agreement_id", "question")))
_HEADS = _Kind(KnownHead, RecordStatements(TreeHeadRow, ("ledger", "size")))
_REMOTE_DATASETS = _Kind(RemoteDataset, RecordStatements(RemoteDatasetRow, ("identifier",)))
_HELD = _Kind(HeldCredential, RecordStatements(HeldCredentialRow, ("identifier",)))
_PRESENTATIONS = _Kind(Presentation, RecordStatements(PresentationRow, ("partner",)))
_ISSUED = _Kind(IssuedCredential, RecordStatements(IssuedCredentialRow, ("identifier",)))


class SqlTransaction:
    """All changes of one use case, in one database transaction.

    Args:
        statements: Runs them.
        leaf_hash: How the ledger hashes a leaf.
    """

    def __init__(self, statements: Statements, leaf_hash: Callable[[bytes], bytes]) -> None:
        self._run = statements.run
        self._leaf_hash = leaf_hash
        self.posted: list[OutboundMessage] = []

    def _one(self, kind: _Kind[R], **where: object) -> R | None:
        found = self._run(kind.statements.by[tuple(where)], **where).fetchone()
        return None if found is None else kind.read(found[0])

    def _all(self, kind: _Kind[R]) -> tuple[R, ...]:
        return tuple(kind.read(row[0]) for row in self._run(kind.statements.all).fetchall())

    def _save(self, kind: _Kind[R], record: R, **values: object) -> None:
        self._run(kind.statements.save, record=kind.written(record), **values)

    # datasets

    def dataset(self, identifier: str) -> PublishedDataset | None:
        return self._one(_DATASETS, identifier=identifier)

    def datasets(self) -> tuple[PublishedDataset, ...]:
        return self._all(_DATASETS)

    def save_dataset(self, record: PublishedDataset) -> None:
        dataset = record.dataset
        self._save(_DATASETS, record, identifier=dataset.identifier, created=dataset.issued.timestamp())

    # policies that others inherit from

    def kept_policy(self, identifier: str) -> KeptPolicy | None:
        return self._one(_KEPT_POLICIES, identifier=identifier)

    def kept_policies(self) -> tuple[KeptPolicy, ...]:
        return self._all(_KEPT_POLICIES)

    def keep_policy(self, record: KeptPolicy) -> None:
        self._save(_KEPT_POLICIES, record, identifier=record.identifier, created=record.kept.timestamp())

    # negotiations and agreements

    def negotiation(self, pid: str) -> ContractNegotiation | None:
        return self._one(_NEGOTIATIONS, pid=pid)

    def negotiation_of(self, peer: str, peer_pid: str) -> ContractNegotiation | None:
        return self._one(_NEGOTIATIONS, peer=peer, peer_pid=peer_pid)

    def negotiations(self) -> tuple[ContractNegotiation, ...]:
        return self._all(_NEGOTIATIONS)

    def save_negotiation(self, record: ContractNegotiation) -> None:
        self._save(
            _NEGOTIATIONS,
            record,
            pid=record.pid,
            peer=record.peer,
            peer_pid=record.peer_pid,
            state=record.state,
            created=record.created.timestamp(),
        )

    def agreement(self, identifier: str) -> ContractAgreement | None:
        return self._one(_AGREEMENTS, identifier=identifier)

    def agreements(self) -> tuple[ContractAgreement, ...]:
        return self._all(_AGREEMENTS)

    def save_agreement(self, record: ContractAgreement) -> None:
        self._save(_AGREEMENTS, record, identifier=record.identifier, created=record.agreed.timestamp())

    # transfers

    def transfer(self, pid: str) -> TransferProcess | None:
        return self._one(_TRANSFERS, pid=pid)

    def transfer_of(self, peer: str, peer_pid: str) -> TransferProcess | None:
        return self._one(_TRANSFERS, peer=peer, peer_pid=peer_pid)

    def transfer_with_token(self, token_digest: str) -> TransferProcess | None:
        return self._one(_TRANSFERS, token_digest=token_digest)

    def transfers(self) -> tuple[TransferProcess, ...]:
        return self._all(_TRANSFERS)

    def save_transfer(self, record: TransferProcess) -> None:
        self._save(
            _TRANSFERS,
            record,
            pid=record.pid,
            peer=record.peer,
            peer_pid=record.peer_pid,
            token_digest=record.token_digest,
            state=record.state,
            created=record.created.timestamp(),
        )

    # computations

    def computation(self, identifier: str) -> Computation | None:
        return self._one(_COMPUTATIONS, identifier=identifier)

    def computations(self) -> tuple[Computation, ...]:
        return self._all(_COMPUTATIONS)

    def save_computation(self, record: Computation) -> None:
        self._save(
            _COMPUTATIONS,
            record,
            identifier=record.identifier,
            state=record.state,
            created=record.created.timestamp(),
        )

    def save_output(self, computation: str, name: str, content: bytes) -> None:
        self._run(sql.FORGET_OUTPUT, computation=computation, name=name)
        self._run(sql.KEEP_OUTPUT, computation=computation, name=name, content=content)

    def output(self, computation: str, name: str) -> bytes | None:
        return _content(self._run(sql.OUTPUT, computation=computation, name=name).fetchone())

    # messages

    def answer(self, peer: str, digest: str) -> StoredAnswer | None:
        return self._one(_ANSWERS, peer=peer, digest=digest)

    def save_answer(self, peer: str, digest: str, answer: StoredAnswer, now: datetime) -> None:
        self._save(_ANSWERS, answer, peer=peer, digest=digest, received=now.timestamp())

    def forget_answers(self, before: datetime) -> int:
        return self._run(sql.FORGET_ANSWERS, before=before.timestamp(), most=MOST_FORGOTTEN).rowcount

    def enqueue(self, message: OutboundMessage) -> None:
        self._save(
            _OUTBOX,
            message,
            exchange=message.exchange,
            pid=message.pid,
            not_before=message.not_before.timestamp(),
        )
        self.posted.append(message)

    def outbound(self, exchange: str, pid: str) -> OutboundMessage | None:
        return self._one(_OUTBOX, exchange=exchange, pid=pid)

    def due(self, now: datetime) -> tuple[OutboundMessage, ...]:
        rows = self._run(sql.DUE, now=now.timestamp(), most=MOST_DUE).fetchall()
        return tuple(_OUTBOX.read(row[0]) for row in rows)

    def next_due(self, now: datetime) -> datetime | None:
        row = self._run(sql.NEXT_DUE, now=now.timestamp()).fetchone()
        return None if row is None or row[0] is None else datetime.fromtimestamp(row[0], UTC)

    def dequeue(self, exchange: str, pid: str) -> None:
        self._run(sql.DEQUEUE, exchange=exchange, pid=pid)

    # uses

    def uses(self, agreement_id: str) -> Mapping[str, int]:
        return dict(self._run(sql.USES, agreement_id=agreement_id).fetchall())

    def reserve(self, agreement_id: str, rule: str, limit: int | None) -> bool:
        count = {"agreement": agreement_id, "counted": rule}
        if self._run(sql.USED, **count).fetchone() is None:
            self._run(sql.FIRST_USE, agreement_id=agreement_id, rule=rule, used=0)
        if limit is None:
            return self._run(sql.COUNT_USE, **count).rowcount == 1
        return self._run(sql.COUNT_USE_BELOW, **count, most=limit).rowcount == 1

    def refund(self, agreement_id: str, rule: str) -> None:
        self._run(sql.REFUND_USE, agreement=agreement_id, counted=rule)

    def time_of_use(self, agreement_id: str, rule: str) -> TimeOfUse:
        row = self._run(sql.TIME_OF_USE, agreement=agreement_id, timed=rule).fetchone()
        if row is None:
            return TimeOfUse()
        last = None if row[0] is None else _EPOCH + timedelta(microseconds=row[0])
        return TimeOfUse(last, timedelta(microseconds=row[1]))

    def note_use(self, agreement_id: str, rule: str, now: datetime, apart: timedelta) -> bool:
        of = {"agreement": agreement_id, "timed": rule}
        self._run(sql.OPEN_TIME, **of)
        since = _microseconds(now - apart - _EPOCH)
        return self._run(sql.NOTE_USE, **of, now=_microseconds(now - _EPOCH), since=since).rowcount == 1

    def forget_use(self, agreement_id: str, rule: str, at: datetime) -> None:
        self._run(sql.FORGET_USE, agreement=agreement_id, timed=rule, now=_microseconds(at - _EPOCH))

    def meter(self, agreement_id: str, rule: str, time: timedelta, total: timedelta) -> bool:
        of = {"agreement": agreement_id, "timed": rule}
        self._run(sql.OPEN_TIME, **of)
        amount, most = _microseconds(time), _microseconds(total - time)
        return self._run(sql.METER, **of, amount=amount, most=most).rowcount == 1

    def return_time(self, agreement_id: str, rule: str, time: timedelta) -> None:
        self._run(sql.RETURN_TIME, agreement=agreement_id, timed=rule, amount=_microseconds(time))

    def open_reservation(self, reservation: Reservation) -> None:
        self._run(
            sql.OPEN_RESERVATION,
            identifier=reservation.identifier,
            agreement_id=reservation.agreement_id,
            rule=reservation.rule,
            created=reservation.created.timestamp(),
        )

    def close_reservation(self, identifier: str) -> bool:
        return self._run(sql.CLOSE_RESERVATION, identifier=identifier).rowcount == 1

    def reservations(self) -> tuple[Reservation, ...]:
        rows = self._run(sql.RESERVATIONS).fetchall()
        return tuple(Reservation(*(*row[:3], datetime.fromtimestamp(row[3], UTC))) for row in rows)

    # epsilon

    def epsilon_spent(self, account: str) -> Decimal:
        row = self._run(sql.EPSILON_SPENT, of=account).fetchone()
        return Decimal(0) if row is None else Decimal(row[0]).scaleb(-EPSILON_DIGITS)

    def spend_epsilon(self, account: str, epsilon: Decimal, total: Decimal) -> bool:
        amount = _billionths(epsilon)
        self._run(sql.OPEN_ACCOUNT, account=account)
        most = _billionths(total) - amount
        return self._run(sql.SPEND_EPSILON, of=account, amount=amount, most=most).rowcount == 1

    def refund_epsilon(self, account: str, epsilon: Decimal) -> None:
        self._run(sql.REFUND_EPSILON, of=account, amount=_billionths(epsilon))

    def append_epsilon(self, entry: EpsilonEntry) -> None:
        self._run(
            sql.APPEND_EPSILON,
            identifier=entry.identifier,
            dataset=entry.dataset,
            created=entry.recorded.timestamp(),
            record=_EPSILON.written(entry),
        )

    def epsilon_entries(self, dataset: str) -> tuple[EpsilonEntry, ...]:
        rows = self._run(sql.EPSILON_ENTRIES, dataset=dataset).fetchall()
        return tuple(_EPSILON.read(row[0]) for row in rows)

    def noisy_answer(self, agreement_id: str, question: str) -> NoisyAnswer | None:
        return self._one(_NOISY, agreement_id=agreement_id, question=question)

    def save_noisy_answer(self, record: NoisyAnswer) -> NoisyAnswer:
        known = self.noisy_answer(record.agreement_id, record.question)
        if known is not None:
            return known
        self._save(
            _NOISY,
            record,
            agreement_id=record.agreement_id,
            question=record.question,
            created=record.drawn.timestamp(),
        )
        return record

    # ledger and evidence

    def append_ledger(self, entry: LedgerEntry) -> None:
        self._run(
            sql.APPEND,
            index=entry.index,
            identifier=entry.identifier,
            dataset=entry.dataset,
            leaf_hash=self._leaf_hash(entry.leaf),
            leaf=entry.leaf,
            kind=entry.kind,
            agreement_id=entry.agreement_id,
            raw_rows_out=entry.raw_rows_out,
            raw_bytes_out=entry.raw_bytes_out,
            result_bytes_out=entry.result_bytes_out,
            recorded=entry.recorded.timestamp(),
        )

    def ledger_size(self) -> int:
        row = self._run(sql.LEDGER_SIZE).fetchone()
        return 0 if row is None else int(row[0])

    def ledger_hashes(self) -> tuple[bytes, ...]:
        return tuple(row[0] for row in self._run(sql.LEAF_HASHES).fetchall())

    def ledger(self) -> tuple[LedgerEntry, ...]:
        return tuple(_entry(row) for row in self._run(sql.ENTRIES).fetchall())

    def ledger_entry(self, identifier: str) -> LedgerEntry | None:
        row = self._run(sql.ENTRY, identifier=identifier).fetchone()
        return None if row is None else _entry(row)

    def save_head(self, record: KnownHead) -> None:
        known = self._one(_HEADS, ledger=record.ledger, size=record.size)
        if known is not None and known.root != record.root:
            raise EvidenceExistsError(
                f"There are two tree heads of {record.ledger} for {record.size} entries: one is false."
            )
        self._save(_HEADS, record, ledger=record.ledger, size=record.size, created=record.seen.timestamp())

    def heads(self, ledger: str) -> tuple[KnownHead, ...]:
        rows = self._run(sql.HEADS, ledger=ledger).fetchall()
        return tuple(_HEADS.read(row[0]) for row in rows)

    def latest_head(self, ledger: str) -> KnownHead | None:
        row = self._run(sql.LATEST_HEAD, ledger=ledger).fetchone()
        return None if row is None else _HEADS.read(row[0])

    def save_document(self, identifier: str, content: bytes) -> None:
        known = self.document(identifier)
        if known is None:
            self._run(sql.KEEP_DOCUMENT, identifier=identifier, content=content)
        elif known != content:
            raise EvidenceExistsError(f"There is other evidence named {identifier} already.")

    def document(self, identifier: str) -> bytes | None:
        return _content(self._run(sql.DOCUMENT, identifier=identifier).fetchone())

    def save_remote_dataset(self, record: RemoteDataset) -> None:
        self._save(
            _REMOTE_DATASETS, record, identifier=record.view.identifier, created=record.read.timestamp()
        )

    def remote_dataset(self, identifier: str) -> RemoteDataset | None:
        return self._one(_REMOTE_DATASETS, identifier=identifier)

    def remote_datasets(self) -> tuple[RemoteDataset, ...]:
        return self._all(_REMOTE_DATASETS)

    # credentials

    def held_credentials(self) -> tuple[HeldCredential, ...]:
        return self._all(_HELD)

    def save_held_credential(self, record: HeldCredential) -> None:
        self._save(_HELD, record, identifier=record.credential.identifier, created=record.kept.timestamp())

    def discard_held_credential(self, identifier: str) -> bool:
        return self._run(sql.FORGET_HELD_CREDENTIAL, identifier=identifier).rowcount > 0

    def presentations(self) -> tuple[Presentation, ...]:
        return self._all(_PRESENTATIONS)

    def save_presentation(self, record: Presentation) -> None:
        self._save(_PRESENTATIONS, record, partner=record.partner, created=record.shown.timestamp())

    def issued_credentials(self) -> tuple[IssuedCredential, ...]:
        return self._all(_ISSUED)

    def save_issued_credential(self, record: IssuedCredential) -> None:
        self._save(
            _ISSUED,
            record,
            identifier=record.identifier,
            place=record.index,
            created=record.issued.timestamp(),
        )

    def save_query(self, record: QueryRecord) -> None:
        self._save(_QUERIES, record, identifier=record.identifier, created=record.created.timestamp())

    def queries(self) -> tuple[QueryRecord, ...]:
        return self._all(_QUERIES)

    def remember_token(self, token: str, expires: datetime, now: datetime) -> bool:
        self._run(sql.FORGET_TOKENS, now=now.timestamp())
        if self._run(sql.TOKEN, token=token).fetchone() is not None:
            return False
        self._run(sql.KEEP_TOKEN, token=token, expires=expires.timestamp())
        return True


def _billionths(epsilon: Decimal) -> int:
    """Epsilon as it is counted."""
    return int(epsilon.scaleb(EPSILON_DIGITS).to_integral_exact())


def _microseconds(time: timedelta) -> int:
    return time // timedelta(microseconds=1)


def _content(row: Row | None) -> bytes | None:
    return None if row is None else bytes(row[0])


def _entry(row: Row) -> LedgerEntry:
    # SQLite keeps text where bytes belong, if somebody has written some: then that is what has to be checked.
    leaf = row[5].encode() if isinstance(row[5], str) else row[5]
    return LedgerEntry(*(*row[:5], leaf, *row[6:9], datetime.fromtimestamp(row[9], UTC)))


@dataclass(frozen=True, slots=True)
class _Job:
    """A use case that waits for its transaction."""

    work: Callable[[SqlTransaction], Any]
    answer: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a use case, once it is on disk."""

    job: _Job
    value: Any = None
    error: BaseException | None = None
    posted: Sequence[OutboundMessage] = ()

    def tell(self) -> None:
        """Let whoever waits know; somebody who was cancelled does not wait any more."""
        if self.job.answer.done():
            return
        if self.error is None:
            self.job.answer.set_result(self.value)
        else:
            self.job.answer.set_exception(self.error)


class SqlStore:
    """Runs transactions one after another.

    Those that wait at the same time are written to disk together: each is a
    part of its own, so one that fails takes nothing of the others with it.

    SQLite answers from memory: its statements run in the event loop, where they
    cost a third of what they cost in a thread that shares the interpreter. What
    waits, for the disk or for another process, waits in the store's thread.
    PostgreSQL is a network away, so everything runs there.

    Args:
        url: SQLAlchemy address of the database.
        leaf_hash: How the ledger hashes a leaf (RFC 6962).

    Raises:
        StoreUnavailableError: The database cannot be opened or brought up to date.
    """

    def __init__(self, url: str, leaf_hash: Callable[[bytes], bytes]) -> None:
        self._leaf_hash = leaf_hash
        self._waiting: deque[_Job] = deque()
        self._is_busy = False
        self._is_closed = False
        self._follow: Callable[[Sequence[OutboundMessage]], None] = lambda _: None
        try:
            self._engine = open_database(url)
            bring_up_to_date(self._engine, SQLModel.metadata)
        except (SQLAlchemyError, SchemaError, ImportError, OSError) as problem:
            raise StoreUnavailableError(
                f"The database cannot be opened: {_said(problem)}. "
                "Check database_url and the rights on the data directory, then start again."
            ) from problem
        self._connection: PoolProxiedConnection | None = None
        self._statements: Statements | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def transact(self, work: Callable[[SqlTransaction], T]) -> T:
        """Run one use case's changes, alone, and save them durably."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Job(work, answer))
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._go_on)
        return await answer

    def follow_outbox(self, follow: Callable[[Sequence[OutboundMessage]], None]) -> None:
        """Tell somebody about messages that have been put into the outbox, once they are on disk."""
        self._follow = follow

    def close(self) -> None:
        """Finish what has begun, and close the database."""
        self._is_closed = True
        self._thread.shutdown(wait=True)
        self._disconnect()
        self._engine.dispose()

    # in the event loop

    def _go_on(self) -> None:
        """Run what waits, together."""
        jobs = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_TOGETHER))]
        if not jobs:
            self._is_busy = False
        elif self._is_closed:
            self._end(_failed(jobs, StoreUnavailableError("The database is closed.")))
        else:
            self._begin(jobs)

    def _begin(self, jobs: Sequence[_Job]) -> None:
        outcomes = self._performed_at_once(jobs)
        if outcomes is None:
            self._elsewhere(lambda: self._performed(jobs))
        elif self._statements is not None and self._statements.has_written:
            self._elsewhere(lambda: self._committed(outcomes))
        else:
            self._end(self._committed(outcomes))

    def _performed_at_once(self, jobs: Sequence[_Job]) -> list[_Outcome] | None:
        """What became of some jobs, still to be committed; None where that would have to wait."""
        if self._engine.dialect.name != "sqlite":
            return None
        try:
            statements = self._statements or self._connect()
            statements.begin(patience=timedelta(0))
        except Exception:  # noqa: BLE001 - whatever it is, it is tried again where waiting holds nobody up
            return None
        return self._parts(statements, jobs)

    def _elsewhere(self, act: Callable[[], list[_Outcome]]) -> None:
        """Do in the store's thread what may have to wait."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, act)
        done.add_done_callback(lambda future: self._end(future.result()))

    def _end(self, outcomes: Sequence[_Outcome]) -> None:
        posted = [message for outcome in outcomes for message in outcome.posted]
        if posted:
            self._follow(posted)
        for outcome in outcomes:
            outcome.tell()
        asyncio.get_running_loop().call_soon(self._go_on)

    # wherever the database is used

    def _performed(self, jobs: Sequence[_Job]) -> list[_Outcome]:
        """What became of some jobs, committed; waits for another process as long as it takes."""
        try:
            statements = self._statements or self._connect()
            statements.begin(patience=_PATIENCE)
        except Exception as problem:  # noqa: BLE001 - whoever asked gets it, whatever it is
            self._disconnect()
            return _failed(jobs, problem)
        return self._committed(self._parts(statements, jobs))

    def _parts(self, statements: Statements, jobs: Sequence[_Job]) -> list[_Outcome]:
        try:
            return [self._part(statements, job) for job in jobs]
        except Exception as problem:  # noqa: BLE001 - a part could not be taken back: nothing may be kept
            self._disconnect()
            return _failed(jobs, problem)

    def _part(self, statements: Statements, job: _Job) -> _Outcome:
        statements.begin_part()
        transaction = SqlTransaction(statements, self._leaf_hash)
        try:
            value = job.work(transaction)
        except Exception as problem:  # noqa: BLE001 - whoever asked gets it, whatever it is
            statements.take_part_back()
            return _Outcome(job, error=problem)
        statements.keep_part()
        return _Outcome(job, value, None, transaction.posted)

    def _committed(self, outcomes: list[_Outcome]) -> list[_Outcome]:
        if self._statements is None:
            return outcomes
        try:
            self._statements.commit()
        except Exception as problem:  # noqa: BLE001 - whoever asked gets it, whatever it is
            self._disconnect()
            return _failed([outcome.job for outcome in outcomes], problem)
        return outcomes

    def _connect(self) -> Statements:
        self._connection = self._engine.raw_connection()
        driver = self._connection.driver_connection
        if self._engine.dialect.name == "postgresql":
            driver.autocommit = True  # type: ignore[union-attr]
        self._statements = Statements(self._engine.dialect, cast("Driver", driver))
        return self._statements

    def _disconnect(self) -> None:
        """Let the connection go; the database takes back what was not committed."""
        if self._connection is not None:
            self._connection.invalidate()
        self._connection, self._statements = None, None


def read_kept(url: str, leaf_hash: Callable[[bytes], bytes], work: Callable[[SqlTransaction], T]) -> T:
    """Let somebody read a database that is there, in one transaction; nothing in it is made or changed.

    Args:
        url: SQLAlchemy address of the database.
        leaf_hash: How the ledger hashes a leaf (RFC 6962).
        work: Reads it.

    Raises:
        StoreUnavailableError: There is none, it is not of this version, or it cannot be read.
    """
    try:
        engine = open_kept_database(url)
    except SchemaError as problem:
        raise StoreUnavailableError(problem.reason["en"], problem.reason["de"]) from problem
    except (SQLAlchemyError, ImportError, OSError) as problem:
        raise _unreadable(problem) from problem
    try:
        return _read(engine, lambda statements: work(SqlTransaction(statements, leaf_hash)))
    except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error, *_SPOILT) as problem:
        raise _unreadable(problem) from problem
    finally:
        engine.dispose()


def _read(engine: Engine, read: Callable[[Statements], T]) -> T:
    connection = engine.raw_connection()
    try:
        driver = connection.driver_connection
        if engine.dialect.name == "postgresql":
            driver.autocommit = True  # type: ignore[union-attr]
        statements = Statements(engine.dialect, cast("Driver", driver))
        statements.begin_reading()
        return read(statements)
    finally:
        connection.invalidate()


def _unreadable(problem: Exception) -> StoreUnavailableError:
    said = _said(problem)
    return StoreUnavailableError(
        f"The database cannot be read: {said}. Check database_url and the rights on the data directory, or "
        "restore the database from a copy.",
        f"Die Datenbank kann nicht gelesen werden ({said}). Bitte prüfen Sie database_url und die Rechte am "
        "Datenverzeichnis, oder stellen Sie die Datenbank aus einer Kopie wieder her.",
    )


def _said(problem: Exception) -> str:
    """What a database says, in one line; PostgreSQL says it in several."""
    if isinstance(problem, ValidationError):
        return f"a record of the kind {problem.title} is damaged"
    if isinstance(problem, _SPOILT):
        return "a value in it has another type than was written"
    cause = problem.orig if isinstance(problem, DBAPIError) else problem
    return " ".join(str(cause).split()).rstrip(".?")


def _failed(jobs: Sequence[_Job], problem: Exception) -> list[_Outcome]:
    return [_Outcome(job, error=problem) for job in jobs]
