"""The program that runs one query inside the sandbox, and then ends.

It stands alone: nothing of the connector's code is visible where it runs. The
libraries are loaded before the query is known, so that a waiting child answers at
once. Its arguments are the number of a Unix socket, DuckDB's number of threads and
its memory limit in MiB. Then:

1. it writes `R` to the socket: ready;
2. it receives the projection's open file over the socket, and one line of JSON on
   standard input: `{"statement": …, "table": …, "seconds": …}`;
   The table has a second column beside each of the projection's, see `with_numbers`;
3. it writes an Arrow IPC stream to standard output, or, where anything fails, one
   line `error CODE`. An engine's own words can quote values, so they stay here.

DuckDB's settings are the second lock. They alone stop about half of the known
attacks (see the tests under tests/hostile); the sandbox around this process is
what holds, and the statement is never a client's.

Source:
    https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview
"""

import json
import mmap
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.ipc

READY: Final = b"R"
_SETTINGS: Final = (
    "SET temp_directory = ''",
    "SET max_temp_directory_size = '0KB'",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET allow_unsigned_extensions = false",
    "SET allow_persistent_secrets = false",
    "SET python_enable_replacements = false",
    "SET python_scan_all_frames = false",
    "SET TimeZone = 'UTC'",
    "SET max_expression_depth = 100",
)
_LOCKS: Final = ("SET enable_external_access = false", "SET lock_configuration = true")


class QueryError(Exception):
    """The query cannot be answered; the message is a code, never a value."""


def main(arguments: Sequence[str]) -> None:
    """Wait for one query, answer it, and end.

    Args:
        arguments: Number of the socket, threads, memory limit in MiB.
    """
    control, threads, memory = (int(argument) for argument in arguments)
    engine = prepare(threads, memory)
    with socket.socket(fileno=control) as channel:
        try:
            channel.sendall(READY)
            _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        except OSError:
            return  # the connector has closed its end
    request = sys.stdin.buffer.readline()
    if not descriptors or not request:
        return
    try:
        answer = _serialised(_answer(engine, descriptors[0], json.loads(request)))
    except QueryError as error:
        answer = f"error {error}\n".encode()
    except (MemoryError, pa.ArrowMemoryError, duckdb.OutOfMemoryException):
        answer = b"error memory\n"
    except Exception as error:  # noqa: BLE001 - whatever went wrong inside, its words must not leave
        # The kind of error is for the provider's log; its message could quote a value.
        sys.stderr.write(type(error).__name__)
        sys.stderr.flush()
        answer = b"error failed\n"
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    # Tearing an engine down takes time that nobody needs to wait for.
    os._exit(0)


def prepare(threads: int, memory_mebibytes: int) -> duckdb.DuckDBPyConnection:
    """Start an engine that knows no file, no extension and no other program.

    Args:
        threads: How many threads it uses.
        memory_mebibytes: How much memory it may manage.
    """
    engine = duckdb.connect(":memory:")
    engine.register("warm", pa.table({"value": [1.0]}))
    _result(engine, engine.extract_statements("SELECT sum(value) FROM warm")[0])
    engine.unregister("warm")
    for setting in _SETTINGS:
        engine.execute(setting)
    engine.execute(f"SET memory_limit = '{memory_mebibytes}MiB'")
    engine.execute(f"SET threads = {threads}")
    return engine


def lock(engine: duckdb.DuckDBPyConnection, seconds: float) -> None:
    """Set the engine's own time limit, and make every setting final.

    Args:
        engine: A prepared engine.
        seconds: Longest run of a statement. Some functions do not look at this
            clock: whoever started the process stops it.
    """
    engine.execute(f"SET max_execution_time = {max(1, int(seconds * 1000))}")
    for statement in _LOCKS:
        engine.execute(statement)


def run(engine: duckdb.DuckDBPyConnection, statement: str) -> pa.Table:
    """Run a single SELECT.

    Args:
        engine: A locked engine.
        statement: The text.

    Raises:
        QueryError: It is no single SELECT.
    """
    statements = engine.extract_statements(statement)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError("statement")
    return _result(engine, statements[0])


def _result(engine: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> pa.Table:
    # As a relation the result is made in Arrow at once; a cursor's result would be copied.
    table = engine.sql(statement).to_arrow_table()
    if not isinstance(table, pa.Table):
        raise QueryError("statement")
    return table


def _answer(engine: duckdb.DuckDBPyConnection, descriptor: int, request: dict[str, object]) -> pa.Table:
    engine.register(str(request["table"]), with_numbers(_mapped(descriptor)))
    lock(engine, float(str(request["seconds"])))
    return run(engine, str(request["statement"]))


def with_numbers(table: pa.Table) -> pa.Table:
    """Put beside each column `c` a column `c #` that is equal where `c` is equal, and faster to compare.

    It is the number of a numbered text, and otherwise the column itself: nothing is copied,
    and what a statement does not name is not read. A file has one dictionary per column, in
    which each text is once, so that equal numbers are equal texts.

    Raises:
        QueryError: The projection has a column of such a name itself.
    """
    known = {name.lower() for name in table.column_names}
    for name, column in zip(table.column_names, table.columns, strict=True):
        number = f"{name} #"
        if number.lower() in known:
            raise QueryError("projection")
        table = table.append_column(number, _numbers(column))
    return table


def _numbers(column: Any) -> Any:  # noqa: ANN401 - Arrow's columns of any type
    if not pa.types.is_dictionary(column.type):
        return column
    return pa.chunked_array([chunk.indices for chunk in column.chunks], column.type.index_type)


def _mapped(descriptor: int) -> pa.Table:
    """Map the projection. Opening it again by a path would need rights that this user lacks."""
    try:
        mapping = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapping))).read_all()
    except (OSError, ValueError, pa.ArrowInvalid):
        raise QueryError("projection") from None


def _serialised(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


if __name__ == "__main__":
    main(sys.argv[1:])
