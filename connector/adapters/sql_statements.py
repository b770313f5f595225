"""SQL that is written once: SQLAlchemy turns each statement into text a single time per database.

Building and compiling an expression takes longer than running it, and a
negotiation runs more than a hundred.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

from sqlalchemy import (
    ClauseElement,
    Dialect,
    Select,
    Table,
    TextClause,
    bindparam,
    delete,
    func,
    insert,
    null,
    select,
    text,
    tuple_,
    update,
)
from sqlmodel import SQLModel

from connector.adapters.sql_tables import (
    AnswerRow,
    DocumentRow,
    EpsilonEntryRow,
    EpsilonRow,
    HeldCredentialRow,
    LedgerRow,
    OutboundRow,
    OutputRow,
    ReservationRow,
    TokenRow,
    TreeHeadRow,
    UseRow,
    UseTimeRow,
)

Row = tuple[Any, ...]


class Cursor(Protocol):
    """What a database driver gives for a statement that has run."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        ...

    def fetchone(self) -> Row | None:
        """The next row; None after the last one."""
        ...

    def fetchall(self) -> Sequence[Row]:
        """All rows that are left."""
        ...


class Driver(Protocol):
    """A connection of a database driver."""

    def execute(self, text: str, values: Any = ..., /) -> Cursor:  # noqa: ANN401 - drivers differ
        """Run a statement."""
        ...


class Statements:
    """Runs statements on one connection of a driver.

    Args:
        dialect: How the database writes SQL.
        driver: The connection.

    Attributes:
        has_written: Whether the transaction has something to write to disk.
    """

    def __init__(self, dialect: Dialect, driver: Driver) -> None:
        self._dialect = dialect
        self._driver = driver
        self._written: dict[ClauseElement, _Written] = {}
        self._patience: int | None = None
        self.has_written = False

    @property
    def dialect(self) -> str:
        """Name of the database's kind: `sqlite` or `postgresql`."""
        return self._dialect.name

    def run(self, statement: ClauseElement, **values: object) -> Cursor:
        """Run a statement of this module, with a value for each of its parameters."""
        written = self._written.get(statement)
        if written is None:
            written = self._written[statement] = _write(statement, self._dialect)
        self.has_written = self.has_written or written.changes
        return self._driver.execute(written.text, written.bound(values))

    def begin(self, *, patience: timedelta) -> None:
        """Begin a transaction.

        Args:
            patience: How long to wait for another process that holds the database.
        """
        if self.dialect == "sqlite":
            milliseconds = int(patience.total_seconds() * 1000)
            if milliseconds != self._patience:
                self._driver.execute(f"PRAGMA busy_timeout={milliseconds}")
                self._patience = milliseconds
            # As a writer from the beginning: a reader that begins to write can be refused.
            self._driver.execute("BEGIN IMMEDIATE")
        else:
            self._driver.execute("BEGIN")
        self.has_written = False

    def begin_reading(self) -> None:
        """Begin a transaction that sees the database as it is now, whatever others write meanwhile."""
        self._driver.execute(
            "BEGIN" if self.dialect == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
        )

    def commit(self) -> None:
        """Write everything to disk."""
        self._driver.execute("COMMIT")

    def begin_part(self) -> None:
        """Begin a part of the transaction that can be taken back alone."""
        self._driver.execute("SAVEPOINT part")

    def keep_part(self) -> None:
        """The part has succeeded."""
        self._driver.execute("RELEASE SAVEPOINT part")

    def take_part_back(self) -> None:
        """The part has failed: nothing of it has happened."""
        self._driver.execute("ROLLBACK TO SAVEPOINT part")


@dataclass(frozen=True, slots=True)
class _Written:
    """A statement as text.

    Attributes:
        text: What the driver gets.
        order: The parameters in the order of their places; None where places carry names.
        constants: Values that stand in the statement itself.
        changes: Whether it changes anything.
    """

    text: str
    order: Sequence[str] | None
    constants: Mapping[str, object]
    changes: bool

    def bound(self, values: dict[str, object]) -> Sequence[object] | Mapping[str, object]:
        """The values as the driver wants them."""
        named = {**self.constants, **values} if self.constants else values
        return named if self.order is None else [named[name] for name in self.order]


def _write(statement: ClauseElement, dialect: Dialect) -> _Written:
    compiled = statement.compile(dialect=dialect)
    constants = {name: value for name, value in (compiled.params or {}).items() if value is not None}
    order = getattr(compiled, "positiontup", None)
    return _Written(str(compiled), order, constants, not isinstance(statement, Select))


class RecordStatements:
    """The statements for one table of records: found by some columns, saved by its key.

    Args:
        row: The table.
        looked_up: Groups of columns by which a record is found.
    """

    def __init__(self, row: type[SQLModel], *looked_up: tuple[str, ...]) -> None:
        table = table_of(row)
        self.by = {names: _where(select(table.c.record), table, names) for names in looked_up}
        self.all = select(table.c.record).order_by(*(table.c[name] for name in _ORDER if name in table.c))
        self.save = _saving(table)


def table_of(row: type[SQLModel]) -> Table:
    """The table behind a row class."""
    table = row.__table__  # type: ignore[attr-defined]
    assert isinstance(table, Table)  # noqa: S101 - SQLModel types it as Any
    return table


_ORDER: Final = ("created",)


def _parameters(table: Table) -> dict[str, Any]:
    return {column.name: bindparam(column.name) for column in table.columns}


def _saving(table: Table) -> TextClause:
    """Insert a row, or replace the one with the same key; both databases write this alike."""
    names = [column.name for column in table.columns]
    keys = [column.name for column in table.primary_key]
    values = ", ".join(f":{name}" for name in names)
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    return text(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}) "  # noqa: S608 - names of our own columns
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"
    )


def _where(statement: Any, table: Table, names: Sequence[str]) -> Any:  # noqa: ANN401 - select, update or delete
    for name in names:
        statement = statement.where(table.c[name] == bindparam(name))
    return statement


_OUTPUT = table_of(OutputRow)
FORGET_OUTPUT = _where(delete(_OUTPUT), _OUTPUT, ("computation", "name"))
KEEP_OUTPUT = insert(_OUTPUT).values(**_parameters(_OUTPUT))
OUTPUT = _where(select(_OUTPUT.c.content), _OUTPUT, ("computation", "name"))

_INBOX = table_of(AnswerRow)
_ANSWER = (_INBOX.c.peer, _INBOX.c.digest)
_OLD_ANSWERS = select(*_ANSWER).where(_INBOX.c.received < bindparam("before")).limit(bindparam("most"))
FORGET_ANSWERS = delete(_INBOX).where(tuple_(*_ANSWER).in_(_OLD_ANSWERS))

_OUTBOX = table_of(OutboundRow)
DUE = (
    select(_OUTBOX.c.record)
    .where(_OUTBOX.c.not_before <= bindparam("now"))
    .order_by(_OUTBOX.c.not_before)
    .limit(bindparam("most"))
)
NEXT_DUE = select(func.min(_OUTBOX.c.not_before)).where(_OUTBOX.c.not_before > bindparam("now"))
DEQUEUE = _where(delete(_OUTBOX), _OUTBOX, ("exchange", "pid"))

_USES = table_of(UseRow)
# An update keeps the columns' own names for what it writes.
_COUNT = (_USES.c.agreement_id == bindparam("agreement"), _USES.c.rule == bindparam("counted"))
USES = _where(select(_USES.c.rule, _USES.c.used), _USES, ("agreement_id",))
FIRST_USE = insert(_USES).values(**_parameters(_USES))
USED = select(_USES.c.used).where(*_COUNT)
COUNT_USE = update(_USES).where(*_COUNT).values(used=_USES.c.used + 1)
COUNT_USE_BELOW = COUNT_USE.where(_USES.c.used < bindparam("most"))
REFUND_USE = update(_USES).where(*_COUNT).where(_USES.c.used > 0).values(used=_USES.c.used - 1)

_TIMES = table_of(UseTimeRow)
_TIME = (_TIMES.c.agreement_id == bindparam("agreement"), _TIMES.c.rule == bindparam("timed"))
OPEN_TIME = text(
    f"INSERT INTO {_TIMES.name} (agreement_id, rule, metered) VALUES (:agreement, :timed, 0) "  # noqa: S608 - a name of ours
    "ON CONFLICT (agreement_id, rule) DO NOTHING"
)
TIME_OF_USE = select(_TIMES.c.last_used, _TIMES.c.metered).where(*_TIME)
NOTE_USE = (
    update(_TIMES)
    .where(*_TIME)
    .where(_TIMES.c.last_used.is_(None) | (_TIMES.c.last_used <= bindparam("since")))
    .values(last_used=bindparam("now"))
)
"""Looked at and written in one statement, as for each of these."""
FORGET_USE = (
    update(_TIMES).where(*_TIME).where(_TIMES.c.last_used == bindparam("now")).values(last_used=null())
)
METER = (
    update(_TIMES)
    .where(*_TIME)
    .where(_TIMES.c.metered <= bindparam("most"))
    .values(metered=_TIMES.c.metered + bindparam("amount"))
)
"""`most` is what may have been metered before it."""
RETURN_TIME = update(_TIMES).where(*_TIME).values(metered=_TIMES.c.metered - bindparam("amount"))

_RESERVATIONS = table_of(ReservationRow)
OPEN_RESERVATION = insert(_RESERVATIONS).values(**_parameters(_RESERVATIONS))
CLOSE_RESERVATION = _where(delete(_RESERVATIONS), _RESERVATIONS, ("identifier",))
RESERVATIONS = select(
    _RESERVATIONS.c.identifier, _RESERVATIONS.c.agreement_id, _RESERVATIONS.c.rule, _RESERVATIONS.c.created
).order_by(_RESERVATIONS.c.created)
"""In the order of `connector.ports.Reservation`."""

_EPSILON = table_of(EpsilonRow)
_SPENT = _EPSILON.c.spent
_ACCOUNT = _EPSILON.c.account == bindparam("of")
OPEN_ACCOUNT = text(
    f"INSERT INTO {_EPSILON.name} (account, spent) VALUES (:account, 0) ON CONFLICT (account) DO NOTHING"  # noqa: S608 - a name of ours
)
"""Two connectors may open it at once."""
EPSILON_SPENT = select(_SPENT).where(_ACCOUNT)
SPEND_EPSILON = (
    update(_EPSILON)
    .where(_ACCOUNT)
    .where(bindparam("most") >= _SPENT)
    .values(spent=_SPENT + bindparam("amount"))
)
"""Looked at and written in one statement; `most` is what may have been spent before it."""
REFUND_EPSILON = update(_EPSILON).where(_ACCOUNT).values(spent=_SPENT - bindparam("amount"))
_ENTRIES = table_of(EpsilonEntryRow)
APPEND_EPSILON = insert(_ENTRIES).values(**_parameters(_ENTRIES))
EPSILON_ENTRIES = _where(select(_ENTRIES.c.record), _ENTRIES, ("dataset",)).order_by(_ENTRIES.c.created)

_LEDGER = table_of(LedgerRow)
APPEND = insert(_LEDGER).values(**_parameters(_LEDGER))
LEDGER_SIZE = select(func.coalesce(func.max(_LEDGER.c.index) + 1, 0))
"""Lines are numbered without gaps, so that nothing has to be counted."""
LEAF_HASHES = select(_LEDGER.c.leaf_hash).order_by(_LEDGER.c.index)
_ENTRY = select(
    _LEDGER.c.index,
    _LEDGER.c.kind,
    _LEDGER.c.identifier,
    _LEDGER.c.agreement_id,
    _LEDGER.c.dataset,
    _LEDGER.c.leaf,
    _LEDGER.c.raw_rows_out,
    _LEDGER.c.raw_bytes_out,
    _LEDGER.c.result_bytes_out,
    _LEDGER.c.recorded,
)
"""In the order of `connector.ports.LedgerEntry`."""
ENTRIES = _ENTRY.order_by(_LEDGER.c.index)
ENTRY = _where(_ENTRY, _LEDGER, ("identifier",))

_DOCUMENTS = table_of(DocumentRow)
DOCUMENT = _where(select(_DOCUMENTS.c.content), _DOCUMENTS, ("identifier",))
KEEP_DOCUMENT = insert(_DOCUMENTS).values(**_parameters(_DOCUMENTS))

_HEADS = table_of(TreeHeadRow)
HEADS = _where(select(_HEADS.c.record), _HEADS, ("ledger",)).order_by(_HEADS.c.size)
LATEST_HEAD = _where(select(_HEADS.c.record), _HEADS, ("ledger",)).order_by(_HEADS.c.size.desc()).limit(1)

_HELD = table_of(HeldCredentialRow)
FORGET_HELD_CREDENTIAL = _where(delete(_HELD), _HELD, ("identifier",))

_TOKENS = table_of(TokenRow)
FORGET_TOKENS = delete(_TOKENS).where(_TOKENS.c.expires < bindparam("now"))
TOKEN = _where(select(_TOKENS.c.token), _TOKENS, ("token",))
KEEP_TOKEN = insert(_TOKENS).values(**_parameters(_TOKENS))
