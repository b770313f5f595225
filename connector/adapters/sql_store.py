"""The participant's memory in SQLite or PostgreSQL.

Each record is one row: columns for what is looked up, and the whole record as
JSON, readable without this software. Rows never leave this module.

Source:
    docs/adr/0004-one-store.md
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    LargeBinary,
    Select,
    Table,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlmodel import Column, Field, SQLModel, create_engine

from connector.ports import (
    EvidenceExistsError,
    LedgerEntry,
    OutboundMessage,
    PublishedDataset,
    QueryRecord,
    RemoteDataset,
    StoredAnswer,
)
from connector.protocol.computation import Computation
from connector.protocol.negotiation import ContractAgreement, ContractNegotiation
from connector.protocol.transfer import TransferProcess

T = TypeVar("T")
R = TypeVar("R")


class StoreUnavailableError(Exception):
    """The database cannot be opened; the sentence names the cause and the remedy."""


class DatasetRow(SQLModel, table=True):
    """An offered dataset."""

    __tablename__ = "datasets"
    identifier: str = Field(primary_key=True)
    created: float
    record: str


class NegotiationRow(SQLModel, table=True):
    """A contract negotiation."""

    __tablename__ = "negotiations"
    pid: str = Field(primary_key=True)
    peer: str = Field(index=True)
    peer_pid: str | None = Field(default=None, index=True)
    state: str | None
    created: float
    record: str


class AgreementRow(SQLModel, table=True):
    """An agreement with its evidence."""

    __tablename__ = "agreements"
    identifier: str = Field(primary_key=True)
    created: float
    record: str


class TransferRow(SQLModel, table=True):
    """A transfer process."""

    __tablename__ = "transfers"
    pid: str = Field(primary_key=True)
    peer: str = Field(index=True)
    peer_pid: str | None = Field(default=None, index=True)
    token_digest: str | None = Field(default=None, index=True)
    state: str | None
    created: float
    record: str


class ComputationRow(SQLModel, table=True):
    """A computation."""

    __tablename__ = "computations"
    identifier: str = Field(primary_key=True)
    state: str
    created: float
    record: str


class OutputRow(SQLModel, table=True):
    """The content of a checked output."""

    __tablename__ = "outputs"
    computation: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class AnswerRow(SQLModel, table=True):
    """The inbox: messages already taken, with the answers given."""

    __tablename__ = "inbox"
    peer: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    received: float
    record: str


class OutboundRow(SQLModel, table=True):
    """The outbox: at most one undelivered message per exchange."""

    __tablename__ = "outbox"
    exchange: str = Field(primary_key=True)
    pid: str = Field(primary_key=True)
    not_before: float = Field(index=True)
    record: str


class UseRow(SQLModel, table=True):
    """Uses counted under one rule of an agreement, reserved ones included."""

    __tablename__ = "uses"
    agreement_id: str = Field(primary_key=True)
    rule: str = Field(primary_key=True)
    used: int


class LedgerRow(SQLModel, table=True):
    """The ledger: append-only."""

    __tablename__ = "ledger"
    index: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    identifier: str = Field(index=True)
    dataset: str = Field(index=True)
    leaf_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    leaf: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    kind: str
    agreement_id: str
    raw_rows_out: int = Field(sa_type=BigInteger)
    raw_bytes_out: int = Field(sa_type=BigInteger)
    result_bytes_out: int = Field(sa_type=BigInteger)
    recorded: float


class DocumentRow(SQLModel, table=True):
    """Evidence files, byte for byte."""

    __tablename__ = "documents"
    identifier: str = Field(primary_key=True)
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class QueryRow(SQLModel, table=True):
    """A federated query that this participant has asked."""

    __tablename__ = "queries"
    identifier: str = Field(primary_key=True)
    created: float
    record: str


class RemoteDatasetRow(SQLModel, table=True):
    """A dataset in another participant's catalog, as last read."""

    __tablename__ = "remote_datasets"
    identifier: str = Field(primary_key=True)
    created: float
    record: str


class TokenRow(SQLModel, table=True):
    """Tokens that counterparties have used: each counts once."""

    __tablename__ = "used_tokens"
    token: str = Field(primary_key=True)
    expires: float = Field(index=True)


def _table(row: type[SQLModel]) -> Table:
    table = row.__table__  # type: ignore[attr-defined]
    assert isinstance(table, Table)  # noqa: S101 - SQLModel types it as Any
    return table


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(record: type[R]) -> TypeAdapter[R]:
    """How records of a type are read and written; made at their first use, as that takes longer than both."""
    if record not in _ADAPTERS:
        _ADAPTERS[record] = TypeAdapter(record)
    return _ADAPTERS[record]


class _Records(Generic[R]):
    """Saves records of one type as rows of one table."""

    def __init__(self, connection: Connection, row: type[SQLModel], record: type[R]) -> None:
        self._connection = connection
        self._table = _table(row)
        self._record = record

    def one(self, **where: object) -> R | None:
        found = self._connection.execute(self._where(where)).scalar_one_or_none()
        return None if found is None else _adapter(self._record).validate_json(found)

    def all(self) -> tuple[R, ...]:
        statement = select(self._table.c.record).order_by(self._table.c.created)
        return tuple(
            _adapter(self._record).validate_json(text)
            for text in self._connection.execute(statement).scalars()
        )

    def save(self, record: R, **values: object) -> None:
        values["record"] = _adapter(self._record).dump_json(record).decode()
        keys = {column.name: values[column.name] for column in self._table.primary_key}
        changed = update(self._table).values(**values)
        for name, value in keys.items():
            changed = changed.where(self._table.c[name] == value)
        if self._connection.execute(changed).rowcount == 0:
            self._connection.execute(insert(self._table).values(**values))

    def _where(self, where: Mapping[str, object]) -> Select[Any]:
        statement = select(self._table.c.record)
        for name, value in where.items():
            statement = statement.where(self._table.c[name] == value)
        return statement


class SqlTransaction:
    """All changes of one use case, in one database transaction."""

    def __init__(self, connection: Connection, leaf_hash: Callable[[bytes], bytes]) -> None:
        self._connection = connection
        self._leaf_hash = leaf_hash
        self._datasets = _Records(connection, DatasetRow, PublishedDataset)
        self._negotiations = _Records(connection, NegotiationRow, ContractNegotiation)
        self._agreements = _Records(connection, AgreementRow, ContractAgreement)
        self._transfers = _Records(connection, TransferRow, TransferProcess)
        self._computations = _Records(connection, ComputationRow, Computation)
        self._answers = _Records(connection, AnswerRow, StoredAnswer)
        self._outbox = _Records(connection, OutboundRow, OutboundMessage)
        self._queries = _Records(connection, QueryRow, QueryRecord)
        self._remote_datasets = _Records(connection, RemoteDatasetRow, RemoteDataset)

    # datasets

    def dataset(self, identifier: str) -> PublishedDataset | None:
        return self._datasets.one(identifier=identifier)

    def datasets(self) -> tuple[PublishedDataset, ...]:
        return self._datasets.all()

    def save_dataset(self, record: PublishedDataset) -> None:
        dataset = record.dataset
        self._datasets.save(record, identifier=dataset.identifier, created=dataset.issued.timestamp())

    # negotiations and agreements

    def negotiation(self, pid: str) -> ContractNegotiation | None:
        return self._negotiations.one(pid=pid)

    def negotiation_of(self, peer: str, peer_pid: str) -> ContractNegotiation | None:
        return self._negotiations.one(peer=peer, peer_pid=peer_pid)

    def negotiations(self) -> tuple[ContractNegotiation, ...]:
        return self._negotiations.all()

    def save_negotiation(self, record: ContractNegotiation) -> None:
        self._negotiations.save(
            record,
            pid=record.pid,
            peer=record.peer,
            peer_pid=record.peer_pid,
            state=record.state,
            created=record.created.timestamp(),
        )

    def agreement(self, identifier: str) -> ContractAgreement | None:
        return self._agreements.one(identifier=identifier)

    def agreements(self) -> tuple[ContractAgreement, ...]:
        return self._agreements.all()

    def save_agreement(self, record: ContractAgreement) -> None:
        self._agreements.save(record, identifier=record.identifier, created=record.agreed.timestamp())

    # transfers

    def transfer(self, pid: str) -> TransferProcess | None:
        return self._transfers.one(pid=pid)

    def transfer_of(self, peer: str, peer_pid: str) -> TransferProcess | None:
        return self._transfers.one(peer=peer, peer_pid=peer_pid)

    def transfer_with_token(self, token_digest: str) -> TransferProcess | None:
        return self._transfers.one(token_digest=token_digest)

    def transfers(self) -> tuple[TransferProcess, ...]:
        return self._transfers.all()

    def save_transfer(self, record: TransferProcess) -> None:
        self._transfers.save(
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
        return self._computations.one(identifier=identifier)

    def computations(self) -> tuple[Computation, ...]:
        return self._computations.all()

    def save_computation(self, record: Computation) -> None:
        self._computations.save(
            record, identifier=record.identifier, state=record.state, created=record.created.timestamp()
        )

    def save_output(self, computation: str, name: str, content: bytes) -> None:
        table = _table(OutputRow)
        where = (table.c.computation == computation) & (table.c.name == name)
        self._connection.execute(delete(table).where(where))
        self._connection.execute(insert(table).values(computation=computation, name=name, content=content))

    def output(self, computation: str, name: str) -> bytes | None:
        table = _table(OutputRow)
        where = (table.c.computation == computation) & (table.c.name == name)
        return self._connection.execute(select(table.c.content).where(where)).scalar_one_or_none()

    # messages

    def answer(self, peer: str, digest: str) -> StoredAnswer | None:
        return self._answers.one(peer=peer, digest=digest)

    def save_answer(self, peer: str, digest: str, answer: StoredAnswer, now: datetime) -> None:
        self._answers.save(answer, peer=peer, digest=digest, received=now.timestamp())

    def enqueue(self, message: OutboundMessage) -> None:
        self._outbox.save(
            message,
            exchange=message.exchange,
            pid=message.pid,
            not_before=message.not_before.timestamp(),
        )

    def outbound(self, exchange: str, pid: str) -> OutboundMessage | None:
        return self._outbox.one(exchange=exchange, pid=pid)

    def due(self, now: datetime) -> tuple[OutboundMessage, ...]:
        table = _table(OutboundRow)
        statement = (
            select(table.c.record)
            .where(table.c.not_before <= now.timestamp())
            .order_by(table.c.not_before)
            .limit(100)
        )
        texts = self._connection.execute(statement).scalars()
        return tuple(_adapter(OutboundMessage).validate_json(text) for text in texts)

    def next_due(self, now: datetime) -> datetime | None:
        moments = _table(OutboundRow).c.not_before
        later = select(func.min(moments)).where(moments > now.timestamp())
        moment = self._connection.execute(later).scalar_one()
        return None if moment is None else datetime.fromtimestamp(moment, UTC)

    def dequeue(self, exchange: str, pid: str) -> None:
        table = _table(OutboundRow)
        where = (table.c.exchange == exchange) & (table.c.pid == pid)
        self._connection.execute(delete(table).where(where))

    # uses

    def uses(self, agreement_id: str) -> Mapping[str, int]:
        table = _table(UseRow)
        statement = select(table.c.rule, table.c.used).where(table.c.agreement_id == agreement_id)
        return {row.rule: row.used for row in self._connection.execute(statement)}

    def reserve(self, agreement_id: str, rule: str, limit: int | None) -> bool:
        table = _table(UseRow)
        where = (table.c.agreement_id == agreement_id) & (table.c.rule == rule)
        if self._connection.execute(select(table.c.used).where(where)).first() is None:
            self._connection.execute(insert(table).values(agreement_id=agreement_id, rule=rule, used=0))
        counted = update(table).where(where).values(used=table.c.used + 1)
        if limit is not None:
            counted = counted.where(table.c.used < limit)
        return self._connection.execute(counted).rowcount == 1

    def refund(self, agreement_id: str, rule: str) -> None:
        table = _table(UseRow)
        where = (table.c.agreement_id == agreement_id) & (table.c.rule == rule) & (table.c.used > 0)
        self._connection.execute(update(table).where(where).values(used=table.c.used - 1))

    # ledger and evidence

    def append_ledger(self, entry: LedgerEntry) -> None:
        self._connection.execute(
            insert(_table(LedgerRow)).values(
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
        )

    def ledger_size(self) -> int:
        return self._connection.execute(select(func.count()).select_from(_table(LedgerRow))).scalar_one()

    def ledger_hashes(self) -> tuple[bytes, ...]:
        table = _table(LedgerRow)
        return tuple(self._connection.execute(select(table.c.leaf_hash).order_by(table.c.index)).scalars())

    def ledger(self) -> tuple[LedgerEntry, ...]:
        return self._ledger_entries(select(_table(LedgerRow)).order_by(_table(LedgerRow).c.index))

    def ledger_entry(self, identifier: str) -> LedgerEntry | None:
        table = _table(LedgerRow)
        found = self._ledger_entries(select(table).where(table.c.identifier == identifier))
        return found[0] if found else None

    def _ledger_entries(self, statement: Select[Any]) -> tuple[LedgerEntry, ...]:
        return tuple(
            LedgerEntry(
                index=row["index"],
                kind=row["kind"],
                identifier=row["identifier"],
                agreement_id=row["agreement_id"],
                dataset=row["dataset"],
                leaf=row["leaf"],
                raw_rows_out=row["raw_rows_out"],
                raw_bytes_out=row["raw_bytes_out"],
                result_bytes_out=row["result_bytes_out"],
                recorded=datetime.fromtimestamp(row["recorded"], UTC),
            )
            for row in self._connection.execute(statement).mappings()
        )

    def save_document(self, identifier: str, content: bytes) -> None:
        known = self.document(identifier)
        if known is None:
            row = {"identifier": identifier, "content": content}
            self._connection.execute(insert(_table(DocumentRow)).values(**row))
        elif known != content:
            raise EvidenceExistsError(f"There is other evidence named {identifier} already.")

    def document(self, identifier: str) -> bytes | None:
        table = _table(DocumentRow)
        statement = select(table.c.content).where(table.c.identifier == identifier)
        return self._connection.execute(statement).scalar_one_or_none()

    def save_remote_dataset(self, record: RemoteDataset) -> None:
        self._remote_datasets.save(record, identifier=record.view.identifier, created=record.read.timestamp())

    def remote_dataset(self, identifier: str) -> RemoteDataset | None:
        return self._remote_datasets.one(identifier=identifier)

    def remote_datasets(self) -> tuple[RemoteDataset, ...]:
        return self._remote_datasets.all()

    def save_query(self, record: QueryRecord) -> None:
        self._queries.save(record, identifier=record.identifier, created=record.created.timestamp())

    def queries(self) -> tuple[QueryRecord, ...]:
        return self._queries.all()

    def remember_token(self, token: str, expires: datetime, now: datetime) -> bool:
        table = _table(TokenRow)
        self._connection.execute(delete(table).where(table.c.expires < now.timestamp()))
        if self._connection.execute(select(table.c.token).where(table.c.token == token)).first():
            return False
        self._connection.execute(insert(table).values(token=token, expires=expires.timestamp()))
        return True


class SqlStore:
    """Runs transactions one after another in a thread of its own.

    Args:
        url: SQLAlchemy address of the database.
        leaf_hash: How the ledger hashes a leaf (RFC 6962).

    Raises:
        StoreUnavailableError: The database cannot be opened or brought up to date.
    """

    def __init__(self, url: str, leaf_hash: Callable[[bytes], bytes]) -> None:
        self._leaf_hash = leaf_hash
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        try:
            self._engine = _open(url)
            _upgrade(self._engine)
        except (SQLAlchemyError, CommandError, ImportError, OSError) as problem:
            cause = problem.orig if isinstance(problem, DBAPIError) else problem
            raise StoreUnavailableError(
                f"The database cannot be opened: {cause}. "
                "Check database_url and the rights on the data directory, then start again."
            ) from problem

    async def transact(self, work: Callable[[SqlTransaction], T]) -> T:
        """Run one use case's changes, alone, and save them durably."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def close(self) -> None:
        """Finish the running transaction and close the database."""
        self._thread.shutdown(wait=True)
        self._engine.dispose()

    def _run(self, work: Callable[[SqlTransaction], T]) -> T:
        with self._engine.begin() as connection:
            return work(SqlTransaction(connection, self._leaf_hash))


def _open(url: str) -> Engine:
    # A database that was made without an encoding would otherwise answer in bytes.
    options = {"client_encoding": "utf8"} if url.startswith("postgresql") else {}
    engine = create_engine(url, **options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediately)
    return engine


def _configure_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's connection
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediately(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _upgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        # A database that can only be read must be found out now, and not with the first message.
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")
