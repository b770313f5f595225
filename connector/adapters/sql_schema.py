"""A database opened, with its tables as this version needs them.

A new database gets them at once. One of an earlier version is changed by
Alembic, in a process of its own: most starts have nothing to change, and
loading Alembic would take a tenth of them.
"""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from connector.adapters.migrations import HEAD
from schemas.errors import WordedError

_MIGRATIONS: Final = (sys.executable, "-P", "-m", "connector.adapters.migrations")
_VERSION: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table, as it makes it."""
_NO_VERSION: Final = ""
_SHOWN: Final = 40


class SchemaError(WordedError):
    """The tables are not, or cannot be brought, up to date; the text says why."""

    german = "Die Tabellen der Datenbank sind nicht die dieser Version"


def open_database(url: str) -> Engine:
    """A database, not yet looked into.

    Args:
        url: SQLAlchemy address of the database.
    """
    # A database that was made without an encoding would otherwise answer in bytes.
    options = {"client_encoding": "utf8"} if url.startswith("postgresql") else {}
    # The store uses its connection from one place at a time, but not always from the same thread.
    shared = {"check_same_thread": False} if url.startswith("sqlite") else {}
    engine = create_engine(url, connect_args=shared, **options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediately)
    return engine


def open_kept_database(url: str) -> Engine:
    """A database that is there already, to be read and left exactly as it is.

    Args:
        url: SQLAlchemy address of the database.

    Raises:
        SchemaError: There is none, or its tables are not those of this version.
        SQLAlchemyError: It cannot be used.
    """
    engine = _kept_file(make_url(url)) if url.startswith("sqlite") else open_database(url)
    try:
        with engine.connect() as connection:
            _require_this_version(_version(connection), _place(engine.url))
    except (SQLAlchemyError, SchemaError):
        engine.dispose()
        raise
    return engine


def _place(address: URL) -> str:
    """Where a database is, for people: without a password."""
    return str(address.database) if address.drivername.startswith("sqlite") else address.render_as_string()


def _require_this_version(version: str | None, place: str) -> None:
    if version == HEAD:
        return
    if version is None:
        raise SchemaError(
            f"{place} is no database of Allmende, or nothing was ever kept in it: it does not say of which "
            "version its tables are. Check database_url and data_dir.",
            f"{place} ist keine Datenbank von Allmende, oder sie wurde noch nie benutzt: Sie nennt keine "
            "Version ihrer Tabellen. Bitte prüfen Sie database_url und data_dir.",
        )
    raise SchemaError(
        f"The database {place} has tables of version {version[:_SHOWN]!r}; this program reads {HEAD!r}. "
        "The connector brings an earlier version up to date when it starts; a later one needs its program.",
        f"Die Datenbank {place} hat Tabellen der Version {version[:_SHOWN]!r}; dieses Programm liest "
        f"{HEAD!r}. Eine frühere Version bringt der Connector beim Start auf den neuen Stand; eine spätere "
        "braucht ihr eigenes Programm.",
    )


def _kept_file(address: URL) -> Engine:
    name = address.database or ""
    path = Path(unquote(urlsplit(name).path) if name.startswith("file:") else name).absolute()
    if not path.exists():
        raise SchemaError(
            f"There is no database at {path}. Check database_url and data_dir; the connector makes the "
            "database when it starts for the first time.",
            f"Unter {path} gibt es keine Datenbank. Bitte prüfen Sie database_url und data_dir; der "
            "Connector legt die Datenbank an, wenn er zum ersten Mal startet.",
        )

    def connect() -> sqlite3.Connection:
        # SQLite makes a file that is missing, unless it is asked not to.
        opened = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None)
        opened.execute("PRAGMA query_only=ON")
        return opened

    return create_engine(address, creator=connect)


def _configure_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's connection
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediately(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def cause_of(problem: Exception) -> str:
    """What the database itself said, in one line."""
    said = str(problem.orig if isinstance(problem, DBAPIError) else problem)
    return (said.splitlines() or [type(problem).__name__])[0]


def bring_up_to_date(engine: Engine, tables: MetaData) -> None:
    """Make the tables, or change those of an earlier version.

    Args:
        engine: The database.
        tables: What this version needs; the migrations lead to the same.

    Raises:
        SQLAlchemyError: The database cannot be used, or only be read.
        SchemaError: A migration failed, or the database is of a later version.
    """
    with engine.connect() as connection, connection.begin() as change:
        version = _version(connection)
        if version is None:
            _create(connection, tables)
        else:
            # A database that can only be read must be found out now, and not with the first message.
            connection.execute(update(_VERSION).values(version_num=version))
            change.rollback()
    if version not in {None, HEAD}:
        _migrate(engine.url)


def _version(connection: Connection) -> str | None:
    """The last migration that was made; None where there was never one."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(select(_VERSION.c.version_num)).scalar() or _NO_VERSION


def _create(connection: Connection, tables: MetaData) -> None:
    # Without a look whether they are there: tables of unknown origin must not be taken for ours.
    tables.create_all(connection, checkfirst=False)
    _VERSION.create(connection)
    connection.execute(insert(_VERSION).values(version_num=HEAD))


def _migrate(url: URL) -> None:
    address = url.render_as_string(hide_password=False)
    done = subprocess.run(  # noqa: S603 - a program of our own
        _MIGRATIONS, input=address, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SchemaError((done.stderr.strip().splitlines() or ["the migration ended without a reason"])[-1])
