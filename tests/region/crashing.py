"""A connector that kills itself, as SIGKILL does, at the moment that a test has chosen.

`serve` is `allmende serve` with counters around it: at each commit that changes
the database, at each message that is sent, and at each that arrives. The
counters lie in memory that the test shares, so they outlive the process.
Nothing of this is in the product.
"""

import asyncio
import ctypes
import os
import signal
import sqlite3
import sqlite3.dbapi2
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connector import serving
from connector.__main__ import main
from connector.adapters.http_peers import HttpPeers
from connector.sandbox.launch import Sandbox, SandboxUnavailableError

T = TypeVar("T")
_NOWHERE = -1
_LISTENED = ("/dsp/", "/data/")
"""Paths where counterparties call; the management API is not among them."""


class Moment(IntEnum):
    """Where a connector can be killed."""

    BEFORE_COMMIT = 0
    AFTER_COMMIT = 1
    BEFORE_SENDING = 2
    ANSWER_HAS_COME = 3
    MESSAGE_HAS_COME = 4
    BEFORE_ANSWERING = 5
    ANSWER_HAS_LEFT = 6


@dataclass(frozen=True)
class Point:
    """One moment of a run: the first commit, the second message sent and so on."""

    moment: Moment
    number: int

    def __str__(self) -> str:
        return f"{self.moment.name.lower().replace('_', ' ')}, no. {self.number}"


@dataclass(frozen=True)
class Counters:
    """How often each moment has come, and at which the connector has to die.

    Attributes:
        reached: One figure per moment.
        deadly: The moment and the number; -1 for none.
    """

    reached: "ctypes.Array[ctypes.c_longlong]"
    deadly: "ctypes.Array[ctypes.c_longlong]"

    def begin(self, point: Point | None) -> None:
        """Count from zero, and die at a point."""
        self.deadly[0] = _NOWHERE
        for moment in Moment:
            self.reached[moment] = 0
        if point is not None:
            self.deadly[1] = point.number
            self.deadly[0] = point.moment

    def pass_by(self, moment: Moment) -> None:
        """One of the moments has come; it can be the last one."""
        self.reached[moment] += 1
        if self.deadly[0] == moment and self.deadly[1] == self.reached[moment]:
            os.kill(os.getpid(), signal.SIGKILL)


def serve(configuration: Path, counters: Counters, announcement: Connection, *, confined: bool) -> None:
    """Be `allmende serve`, counted; started in a process of its own.

    Args:
        configuration: Whose connector it is.
        counters: Shared with the test.
        announcement: Takes what it says on stdout once it is ready.
        confined: With the sandbox for queries; without it, a start takes half a second less.
    """
    os.setpgid(0, 0)
    if not confined:
        Sandbox.probe = classmethod(_no_sandbox)  # type: ignore[method-assign, assignment]
    _count_commits(counters)
    _count_sending(counters)
    _count_listening(counters)
    os.dup2(announcement.fileno(), 1)
    log = os.open(configuration.with_name("serve.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 2)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115 - for the life of the process
    sys.argv = ["allmende", "serve", "--config", str(configuration)]
    main()


def _no_sandbox(_: type[Sandbox]) -> Sandbox:
    raise SandboxUnavailableError("This connector answers no queries.")


def _count_commits(counters: Counters) -> None:
    connect = sqlite3.dbapi2.connect

    class Counted(sqlite3.Connection):
        """Passes by the moments before and after a commit, if it changes anything."""

        saved = 0

        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            whole: Callable[[], sqlite3.Cursor] = partial(super().execute, sql, *arguments)
            return self._around(whole) if sql == "COMMIT" else whole()

        def commit(self) -> None:
            self._around(super().commit)

        def _around(self, save: Callable[[], T]) -> T:
            if self.total_changes == self.saved:
                return save()
            counters.pass_by(Moment.BEFORE_COMMIT)
            outcome = save()
            self.saved = self.total_changes
            counters.pass_by(Moment.AFTER_COMMIT)
            return outcome

    def counted(*arguments: Any, **named: Any) -> sqlite3.Connection:
        return connect(*arguments, factory=Counted, **named)

    sqlite3.dbapi2.connect = counted  # type: ignore[assignment]


def _count_sending(counters: Counters) -> None:
    send = HttpPeers.send

    async def counted(self: HttpPeers, method: str, *arguments: Any, **named: Any) -> Any:
        counters.pass_by(Moment.BEFORE_SENDING)
        answer = await send(self, method, *arguments, **named)
        counters.pass_by(Moment.ANSWER_HAS_COME)
        return answer

    HttpPeers.send = counted  # type: ignore[method-assign]


def _count_listening(counters: Counters) -> None:
    listener = serving.listener  # type: ignore[attr-defined]

    def counted(app: ASGIApp) -> uvicorn.Server:
        async def taking(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"].startswith(_LISTENED):
                counters.pass_by(Moment.MESSAGE_HAS_COME)
                await app(scope, receive, _answering(send, counters))
                await _let_the_bytes_leave()
                counters.pass_by(Moment.ANSWER_HAS_LEFT)
            else:
                await app(scope, receive, send)

        return listener(taking)

    serving.listener = counted  # type: ignore[attr-defined]


def _answering(send: Send, counters: Counters) -> Callable[[Message], Awaitable[None]]:
    async def answering(event: Message) -> None:
        if event["type"] == "http.response.start":
            counters.pass_by(Moment.BEFORE_ANSWERING)
        await send(event)

    return answering


async def _let_the_bytes_leave() -> None:
    """The event loop writes to a socket after the step that has asked for it."""
    await asyncio.sleep(0.001)
