"""A database opened, with its tables as this version needs them.

A new database gets them at once. One of an earlier version is changed by
Alembic, in a process of its own: most starts have nothing to change, and
loading Alembic would take a tenth of them.
"""

import subprocess
import sys
from typing import Any, Final

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
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from connector.adapters.migrations import HEAD

_MIGRATIONS: Final = (sys.executable, "-P", "-m", "connector.adapters.migrations")
_VERSION: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table, as it makes it."""
_NO_VERSION: Final = ""


class SchemaError(Exception):
    """The tables cannot be brought up to date; the text says why."""


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
