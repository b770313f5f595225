"""A provider and a consumer as processes that are killed and started again, and what their databases hold.

The processes are forked from one that has loaded all modules already, so that a
start takes a fifth of a second; otherwise they are what `allmende serve` is.
"""

import json
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from connector.initialising import initialise
from tests.region.crashing import Counters, Moment, Point, serve
from tests.region.processes import PATIENCE, free_port

_PAUSE = 0.01
_TURN = threading.Lock()
"""Two threads that ask after one child process at once would take its exit status from each other."""
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["pytest", "connector.serving", "tests.region.crashing"])

Row = dict[str, Any]


class KilledError(Exception):
    """The connector was killed before it could answer."""


class Side:
    """One participant: its directory, and its connector while it lives.

    Args:
        directory: A new directory.
        name: What it calls itself.
        confined: Whether it has a sandbox, and can answer queries.
    """

    def __init__(self, directory: Path, name: str, *, confined: bool = False) -> None:
        self.name = name
        self._confined = confined
        self.directory = directory
        public, management = free_port(), free_port()
        self.did = f"did:web:localhost%3A{public}"
        self.configuration = initialise(
            directory,
            name=name.title(),
            public_url=f"http://localhost:{public}",
            public=("127.0.0.1", public),
            management=("127.0.0.1", management),
            unsafe_loopback_http=True,
        )
        self.counters = Counters(_FORKS.RawArray("q", len(Moment)), _FORKS.RawArray("q", 2))
        self.counters.begin(None)
        self.deaths = 0
        self._deaths_to_come: list[Point] = []
        self._process: Any = None
        token = (directory / "management.token").read_text().strip()
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{management}",
            headers={"authorization": f"Bearer {token}"},
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=PATIENCE,
            trust_env=False,
        )

    # the process

    def start(self) -> None:
        """Start its connector; returns once it is ready."""
        hearing, telling = _FORKS.Pipe(duplex=False)
        arguments = (self.configuration, self.counters, telling)
        named = {"confined": self._confined}
        with _TURN:
            self._process = _FORKS.Process(target=serve, args=arguments, kwargs=named, daemon=True)
            self._process.start()
        telling.close()
        with hearing, os.fdopen(os.dup(hearing.fileno())) as announced:
            line = announced.readline()
        # A connector can also be killed before it is ready; then there is nothing to read.
        assert line or self._has_been_killed(), self._log()

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None and self._is_alive():
            self._process.kill()
            assert self._has_been_killed()

    def forget(self) -> None:
        """Let go of its management API."""
        self._client.close()

    def tend(self) -> None:
        """Start it again if it has been killed, and see that it died of nothing else."""
        while not self._is_alive():
            assert self._has_been_killed(), self._log()
            self.deaths += 1
            self.counters.begin(self._next_death())
            self.start()

    def dies_at(self, *points: Point) -> None:
        """Have it killed at the first point, its successor at the second, and so on; count from zero."""
        self.deaths = 0
        self._deaths_to_come = list(points)
        self.counters.begin(self._next_death())

    def _next_death(self) -> Point | None:
        return self._deaths_to_come.pop(0) if self._deaths_to_come else None

    def _is_alive(self) -> bool:
        with _TURN:
            return bool(self._process.is_alive())

    def _has_been_killed(self) -> bool:
        with _TURN:
            self._process.join(PATIENCE)
        # A sandbox that is just being set up does not notice that its connector has died.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return bool(self._process.exitcode == -signal.SIGKILL)

    def _log(self) -> str:
        return f"{self.name} ended: {self._process.exitcode} {(self.directory / 'serve.log').read_text()}"

    # the management API

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Call its management API.

        Raises:
            KilledError: There was no answer.
        """
        try:
            return self._client.request(method, path, json=body)
        except httpx.TransportError as broken:
            raise KilledError from broken

    def post(self, path: str, body: object = None) -> Any:
        """Something that must succeed, if the connector lives."""
        answer = self.ask("POST", path, body)
        assert answer.is_success, f"{path}: {answer.text}"
        return answer.json() if answer.content else None

    # the database

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What its database holds, seen by another process."""
        database = sqlite3.connect(f"file:{self.directory / 'allmende.sqlite'}?mode=ro", uri=True)
        try:
            return database.execute(statement, values).fetchall()
        finally:
            database.close()

    def records(self, table: str) -> list[Row]:
        """All records of a table."""
        return [json.loads(text) for (text,) in self.rows(f"SELECT record FROM {table}")]  # noqa: S608 - our names

    def record(self, table: str, pid: str) -> Row:
        """The record of one exchange."""
        [(text,)] = self.rows(f"SELECT record FROM {table} WHERE pid = ?", pid)  # noqa: S608 - our names
        found: Row = json.loads(text)
        return found

    def records_of_peer(self, table: str, peer_pid: str) -> list[Row]:
        """The records of the exchange that the counterparty knows under its own identifier."""
        found = self.rows(f"SELECT record FROM {table} WHERE peer_pid = ?", peer_pid)  # noqa: S608 - our names
        return [json.loads(text) for (text,) in found]

    def pids(self, table: str) -> set[str]:
        """Its own identifiers of all exchanges of a kind."""
        return {pid for (pid,) in self.rows(f"SELECT pid FROM {table}")}  # noqa: S608 - our names

    def count(self, table: str) -> int:
        """How many rows a table has."""
        [(number,)] = self.rows(f"SELECT count(*) FROM {table}")  # noqa: S608 - our names
        return int(number)


@dataclass
class Pair:
    """A provider and a consumer, both running."""

    provider: Side
    consumer: Side
    sides: tuple[Side, Side] = field(init=False)

    def __post_init__(self) -> None:
        self.sides = (self.provider, self.consumer)

    def tend(self) -> None:
        """Start again whoever was killed."""
        for side in self.sides:
            side.tend()

    def forget_deaths(self) -> None:
        """From now on nobody dies."""
        for side in self.sides:
            side.dies_at()

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        """Wait for something, and start again whoever is killed meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.tend()
            answer = holds()
            if answer:
                return answer
            assert time.monotonic() < deadline, f"in vain: {what}"
            time.sleep(_PAUSE)

    def insist(self, attempt: Callable[[], Any], what: str) -> Any:
        """Do what a person does: try again until it works, but only after a look at what there is already.

        Args:
            attempt: Returns something true once it is done; a connector may be killed in the middle.
            what: What is tried.
        """

        def tried() -> Any:
            try:
                return attempt()
            except KilledError:
                return None

        return self.until(tried, what)


@contextmanager
def pair(directory: Path, *, confined: bool = False) -> Iterator[Pair]:
    """Two connectors; they end with the block."""
    provider = Side(directory / "provider", "provider", confined=confined)
    both = Pair(provider, Side(directory / "consumer", "consumer"))
    try:
        for side in both.sides:
            side.dies_at()
            side.start()
        yield both
    finally:
        for side in both.sides:
            side.stop()
            side.forget()


def segment(identifier: str) -> str:
    """An identifier as a path segment."""
    return quote(identifier, safe=":")
