"""Run statements of ours in DuckDB, each in a sandboxed child that ends with its query."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.ipc

from connector.queries.errors import EngineFailedError, QueryFailedError, QueryTimeoutError
from connector.sandbox.launch import Limits, Sandbox, SandboxedProcess, SandboxError

__all__ = ["DuckdbQueries", "QueryFailedError", "QueryTimeoutError"]

_PROGRAM: Final = Path(__file__).parents[1] / "sandbox" / "query_program.py"
"""Never imported here: the engine is loaded where it runs, in the sandbox, and nowhere else."""
_READ_SIZE: Final = 1 << 20
_LONGEST_WAIT: Final = 3600.0
"""A waiting child is stopped by the sandbox after this many seconds …"""
_USABLE_SECONDS: Final = 1800.0
"""… and is not given a query when it has waited longer than this."""
_ENGINE_SHARE: Final = 4
"""The engine manages a quarter of the address space; libraries, stacks and the projection need the rest."""
_SENTENCES: Final = {
    "statement": (
        "The query could not be answered: the engine runs single SELECT statements only.",
        "Die Abfrage konnte nicht beantwortet werden: Die Engine führt nur einzelne SELECT-Anweisungen aus.",
    ),
    "memory": (
        "The query could not be answered: it needs too much memory. Ask for fewer groups.",
        "Die Abfrage konnte nicht beantwortet werden: Sie braucht zu viel Speicher. Fragen Sie weniger ab.",
    ),
    "projection": (
        "The query could not be answered: the provider's copy of the data is unreadable.",
        "Die Abfrage konnte nicht beantwortet werden: Die Kopie der Daten beim Anbieter ist nicht lesbar.",
    ),
}
_LOGGER: Final = logging.getLogger(__name__)
_LOGGED_BYTES: Final = 2000
_FAILED: Final = (
    "The query could not be answered by the engine. The provider's log says more.",
    "Die Engine konnte die Abfrage nicht beantworten. Mehr steht im Protokoll des Anbieters.",
)


@dataclass(frozen=True, slots=True)
class _Child:
    """A sandboxed engine that waits for its one query."""

    process: SandboxedProcess
    control: socket.socket
    started: float

    async def ready(self) -> bool:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            return bool(await loop.sock_recv(self.control, 1))
        return False

    @property
    def usable(self) -> bool:
        waited = time.monotonic() - self.started
        return waited < _USABLE_SECONDS and not self.process.stdout.at_eof()

    async def end(self) -> None:
        self.process.kill()
        self.control.close()
        with contextlib.suppress(SandboxError):
            report = await self.process.finish()
            if report.stderr:
                _LOGGER.warning("The query engine failed: %r", report.stderr[:_LOGGED_BYTES])


class DuckdbQueries:
    """A query engine whose every query runs in a process of its own.

    The child has no network and no files; it holds the open projection and
    nothing else, and can be stopped at any time. One such child waits with its
    libraries loaded, so that a query does not pay for the start.

    Limitations: a projection must be smaller than about half of `memory_bytes`,
    since mapping it takes address space. Where the connector does not run as
    root, the child is the same user outside the sandbox: a program that breaks
    out of DuckDB could change the projection whose descriptor it holds.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        warm: int = 1,
        *,
        memory_bytes: int = 4 << 30,
        result_bytes: int = 64 << 20,
        threads: int = 2,
    ) -> None:
        """Describe the engine; the first child starts with `start` or the first query.

        Args:
            sandbox: Where children run.
            warm: How many children wait for a query.
            memory_bytes: Address space of a child.
            result_bytes: Longest result; a child that writes more is stopped.
            threads: How many threads a child's engine uses.
        """
        self._sandbox = sandbox
        self._warm = warm
        self._memory = memory_bytes
        self._result_bytes = result_bytes
        self._threads = threads
        self._waiting: deque[_Child] = deque()
        self._starts: set[asyncio.Task[None]] = set()
        self._closed = False

    @classmethod
    def on_this_machine(cls) -> "DuckdbQueries":
        """Give an engine for a single query, after finding out whether it can be confined here.

        Raises:
            QueryFailedError: It cannot; the sentence names the remedy.
        """
        try:
            return cls(Sandbox.probe(), warm=0)
        except SandboxError as problem:
            raise QueryFailedError(str(problem)) from None

    async def start(self) -> None:
        """Start the waiting children; they load their libraries while the connector goes on."""
        self._replenish()
        await asyncio.gather(*self._starts, return_exceptions=True)

    async def run(self, statement: str, *, table: str, projection: Path, timeout_seconds: float) -> pa.Table:
        """Run one statement over a projection.

        Args:
            statement: A single SELECT, written by us.
            table: Name under which the statement addresses the projection.
            projection: An uncompressed Arrow IPC file; nothing else exists for the statement.
            timeout_seconds: Wall-clock time for everything, the child's start included.

        Returns:
            The result.

        Raises:
            QueryTimeoutError: Time was up. The child has been stopped.
            QueryFailedError: Anything else went wrong; the sentence carries no
                value and no word of the engine's.
        """
        if self._closed:
            raise QueryFailedError("The query engine is closed.", "Die Engine für Abfragen ist geschlossen.")
        try:
            async with asyncio.timeout(timeout_seconds):
                child = await self._take()
                try:
                    written = await self._ask(child, statement, table, projection, timeout_seconds)
                finally:
                    # Shielded: a query that is cancelled must not leave its child behind.
                    await asyncio.shield(child.end())
                    # Not before: loading libraries would take the processors that the query needs.
                    self._replenish()
        except TimeoutError:
            raise QueryTimeoutError(
                "The query took too long and was stopped. Ask for less.",
                "Die Abfrage dauerte zu lange und wurde beendet. Bitte fragen Sie weniger ab.",
            ) from None
        except (SandboxError, OSError):
            raise EngineFailedError(*_FAILED) from None
        return _read(written)

    async def aclose(self) -> None:
        """Stop every child. No query can be run afterwards."""
        self._closed = True
        for task in self._starts:
            task.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        await asyncio.gather(*(child.end() for child in self._waiting))
        self._waiting.clear()

    async def _ask(
        self, child: _Child, statement: str, table: str, projection: Path, seconds: float
    ) -> bytes:
        if not await child.ready():
            raise EngineFailedError(*_FAILED)
        _hand_over(child.control, projection, self._memory)
        request = {"statement": statement, "table": table, "seconds": seconds}
        child.process.stdin.write(json.dumps(request).encode() + b"\n")
        await child.process.stdin.drain()
        return await self._received(child)

    async def _received(self, child: _Child) -> bytes:
        written = bytearray()
        while chunk := await child.process.stdout.read(_READ_SIZE):
            written += chunk
            if len(written) > self._result_bytes:
                raise QueryFailedError(
                    "The query's result is too large. Ask for fewer groups.",
                    "Das Ergebnis der Abfrage ist zu groß. Bitte fragen Sie weniger Gruppen ab.",
                )
        return bytes(written)

    async def _take(self) -> _Child:
        """Give a waiting child, or start one."""
        while self._waiting:
            child = self._waiting.popleft()
            if child.usable:
                child.process.work()
                return child
            await child.end()
        return await self._launch()

    def _replenish(self) -> None:
        missing = self._warm - len(self._waiting) - len(self._starts)
        for _ in range(0 if self._closed else missing):
            task = asyncio.create_task(self._launch_waiting())
            self._starts.add(task)
            task.add_done_callback(self._starts.discard)

    async def _launch_waiting(self) -> None:
        with contextlib.suppress(SandboxError, OSError):  # the next query starts its own and reports
            child = await self._launch()
            child.process.rest()
            self._waiting.append(child)

    async def _launch(self) -> _Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)  # noqa: FBT003 - the library's own signature
        memory = self._memory // _ENGINE_SHARE >> 20
        program = (str(_PROGRAM), str(theirs.fileno()), str(self._threads), str(memory))
        try:
            process = await self._sandbox.isolated().start(
                program, mounts=(), limits=self._limits(), pass_fds=(theirs.fileno(),)
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return _Child(process, ours, time.monotonic())

    def _limits(self) -> Limits:
        return Limits(
            memory_bytes=self._memory,
            cpu_seconds=600,
            wall_seconds=_LONGEST_WAIT,
            file_bytes=0,
            processes=256,
            scratch_bytes=1 << 20,
        )


def _hand_over(control: socket.socket, projection: Path, memory: int) -> None:
    descriptor = os.open(projection, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size > memory // 2:
            raise QueryFailedError(
                "The query could not be answered: the table is larger than the engine may map. "
                "The provider must raise the engine's memory limit.",
                "Die Abfrage konnte nicht beantwortet werden: Die Tabelle ist größer, als die Engine laden "
                "darf. Der Anbieter muss die Speichergrenze der Engine erhöhen.",
            )
        socket.send_fds(control, [b"F"], [descriptor])
    finally:
        os.close(descriptor)


def _read(written: bytes) -> pa.Table:
    if written.startswith(b"error "):
        code = written.removeprefix(b"error ").decode("ascii", "replace").strip()
        if code in _SENTENCES:
            raise QueryFailedError(*_SENTENCES[code])
        raise EngineFailedError(*_FAILED)
    try:
        with pa.ipc.open_stream(written) as reader:
            return reader.read_all()
    except pa.ArrowInvalid:
        # The child was stopped while it ran: by its memory or processor limit.
        raise EngineFailedError(*_FAILED) from None
