"""The demonstration's participants: three connectors, each a process of its own with its own database."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from connector.initialising import CONFIGURATION, initialise
from connector.settings import ENVIRONMENT_PREFIX, ConfigurationError

_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_CALL_SECONDS = 90.0
_PAUSE_SECONDS = 0.2
_MOST_RESTARTS = 3
_ERRORS = 400
_COUNTERPARTY_UNREACHABLE = 502
_LOG = "serve.log"


class DemonstrationError(Exception):
    """The demonstration cannot go on; the sentence says why."""


class Participant:
    """One company of the demonstration, and its connector process.

    A connector that dies is started again: it resumes from its database.

    Args:
        directory: The participant's directory; one from an earlier run is used again.
        name: What it calls itself.
        notify: Told when a connector has died and is started again.
    """

    def __init__(self, directory: Path, name: str, notify: Callable[[str], None]) -> None:
        self.directory = directory
        self.name = name
        self.facts: dict[str, str] = {}
        self._notify = notify
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        """Make the participant if it is new, and start its connector."""
        self._initialise()
        try:
            await self._start()
            self._client = self._connect()
        except BaseException:
            await self._stop()
            raise
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the connector."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
        await self._stop()

    def retire(self) -> None:
        """Tell the connector to stop, without waiting: several can then stop at the same time."""
        if self._watching is not None:
            self._watching.cancel()
        self._terminate()

    @property
    def did(self) -> str:
        """The participant's DID."""
        return self.facts["did"]

    @property
    def pid(self) -> int:
        """Process identifier of the connector."""
        return self._process.pid if self._process else 0

    async def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Call the participant's management API; wait for connectors that are being started again.

        Raises:
            DemonstrationError: It answered with an error; the sentence is its own.
        """
        answer = await self._answer(method, path, body)
        if answer.status_code >= _ERRORS:
            raise DemonstrationError(f"{self.name}: {_detail(answer)}")
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return json.loads(answer.content) if is_json else answer.content

    async def content(self, path: str) -> bytes:
        """Fetch a file from the management API, byte for byte."""
        answer = await self._answer("GET", path, None)
        if answer.status_code >= _ERRORS:
            raise DemonstrationError(f"{self.name}: {_detail(answer)}")
        return answer.content

    async def refusal(self, method: str, path: str, body: object) -> str:
        """The sentence with which a request is refused.

        Raises:
            DemonstrationError: It was not refused.
        """
        answer = await self._answer(method, path, body)
        if answer.status_code < _ERRORS:
            raise DemonstrationError(f"{self.name} granted what it had to refuse: {path}.")
        return _detail(answer)

    async def _answer(self, method: str, path: str, body: object) -> httpx.Response:
        """The answer, once both this connector and its counterparty are there."""
        if self._client is None:
            raise DemonstrationError(f"{self.name} has not been started.")
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while True:
            is_last = asyncio.get_running_loop().time() > deadline
            try:
                answer = await self._client.request(method, path, json=body)
            except httpx.TransportError as failure:
                self._require_watched()
                if is_last:
                    raise DemonstrationError(f"{self.name} does not answer: {failure}.") from failure
            else:
                if is_last or answer.status_code != _COUNTERPARTY_UNREACHABLE:
                    return answer
            await asyncio.sleep(_PAUSE_SECONDS)

    def _require_watched(self) -> None:
        """Give up where nobody starts the connector again."""
        if self._watching is None or not self._watching.done():
            return
        failure = None if self._watching.cancelled() else self._watching.exception()
        raise DemonstrationError(str(failure) if failure else f"{self.name} dies again and again.")

    def _initialise(self) -> None:
        if (self.directory / CONFIGURATION).exists():
            return
        public, management = _free_ports(2)
        try:
            initialise(
                self.directory,
                name=self.name,
                public_url=f"http://localhost:{public}",
                public=("127.0.0.1", public),
                management=("127.0.0.1", management),
                unsafe_loopback_http=True,
            )
        except ConfigurationError as problem:
            raise DemonstrationError(str(problem)) from problem

    def _connect(self) -> httpx.AsyncClient:
        token = (self.directory / "management.token").read_text().strip()
        return httpx.AsyncClient(
            base_url=self.facts["management"],
            headers={"authorization": f"Bearer {token}"},
            timeout=_CALL_SECONDS,
            trust_env=False,
        )

    async def _start(self) -> None:
        with (self.directory / _LOG).open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "connector",
                "serve",
                "--config",
                str(self.directory / CONFIGURATION),
                "--until-stdin-closes",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=_environment(),
                # Ctrl-C in a terminal is for us: we stop the connectors, in order.
                start_new_session=True,
            )
        self.facts = json.loads(await self._first_line())

    async def _first_line(self) -> bytes:
        assert self._process is not None  # noqa: S101 - started above
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), _START_SECONDS)
        except TimeoutError as late:
            raise DemonstrationError(f"{self.name} did not start within {_START_SECONDS:.0f} s.") from late
        if not line:
            raise DemonstrationError(f"{self.name} did not start: {self._last_words()}")
        return line

    def _last_words(self) -> str:
        last = (self.directory / _LOG).read_text(errors="replace").strip().splitlines()[-1:]
        return "".join(last).removeprefix("allmende: ") or "it gave no reason."

    async def _watch(self) -> None:
        """Start a connector that has died again, a few times."""
        for _ in range(_MOST_RESTARTS):
            cause = await self._end()
            self._notify(f"{self.name} has died ({cause}); starting it again: it resumes from its database.")
            await self._start()
        await self._end()

    async def _end(self) -> str:
        """Wait until the connector ends; returns how it ended."""
        assert self._process is not None  # noqa: S101 - started before
        code = await self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _terminate(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)


def _environment() -> dict[str, str]:
    """Our environment, without settings: they are meant for one connector, not for each of three."""
    names = [name for name in os.environ if not name.upper().startswith(ENVIRONMENT_PREFIX)]
    return {**{name: os.environ[name] for name in names}, "NO_COLOR": "1"}


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses at this moment."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in held]
