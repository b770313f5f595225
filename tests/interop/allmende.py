"""Our own connector as a process, as somebody would run it: `allmende init`, then `allmende serve`."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.interop.processes import free_ports, stop

_START_SECONDS = 30
_ALLMENDE = [sys.executable, "-m", "connector"]
_ENVIRONMENT = {"NO_COLOR": "1"}


class NotStartedError(Exception):
    """The connector cannot be tested; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Running:
    """A connector that runs.

    Attributes:
        did: Its participant identifier.
        public: Address of its public listener.
        base: Base address of its protocol endpoints.
        management: Client of its management API.
    """

    did: str
    public: str
    base: str
    management: httpx.Client


@contextmanager
def running_allmende(directory: Path, name: str, settings: Sequence[str]) -> Iterator[Running]:
    """Run a connector of ours until the block ends.

    Args:
        directory: Where its data and its log go.
        name: What the participant calls itself.
        settings: Parts of its configuration, each with sections of TOML.

    Yields:
        The connector, ready.

    Raises:
        NotStartedError: It does not start.
    """
    public, management = free_ports(2)
    configuration = _configuration(directory, name, public, management, settings)
    with _process(directory, configuration) as facts, _client(directory, facts) as client:
        base = f"{facts['public']}{_version_path(facts['public'])}"
        yield Running(did=facts["did"], public=facts["public"], base=base, management=client)


def _configuration(directory: Path, name: str, public: int, management: int, settings: Sequence[str]) -> Path:
    """A participant as `allmende init` makes it, with more settings."""
    participant = directory / "participant"
    command = [
        *(*_ALLMENDE, "init", str(participant), "--name", name),
        *("--public-url", f"http://localhost:{public}", "--management-port", str(management)),
        "--unsafe-loopback-http",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotStartedError(f"`allmende init` failed: {_last_line(done.stderr)}")
    file = participant / "allmende.toml"
    file.write_text("\n\n".join([file.read_text(), *settings]))
    return file


@contextmanager
def _process(directory: Path, configuration: Path) -> Iterator[dict[str, str]]:
    with (directory / "connector.log").open("wb") as log:
        process = subprocess.Popen(
            [*_ALLMENDE, "serve", "--config", str(configuration), "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **_ENVIRONMENT},
        )
    try:
        yield _first_line(process, directory / "connector.log")
    finally:
        stop(process)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def _first_line(process: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    """What the connector says once both listeners accept connections."""
    assert process.stdout is not None
    late = threading.Timer(_START_SECONDS, process.kill)
    late.start()
    line = process.stdout.readline()
    late.cancel()
    if not line:
        raise NotStartedError(f"The connector did not start: {_last_line(log.read_text(errors='replace'))}")
    facts: dict[str, str] = json.loads(line)
    return facts


@contextmanager
def _client(directory: Path, facts: Mapping[str, str]) -> Iterator[httpx.Client]:
    token = (directory / "participant" / "management.token").read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=facts["management"], headers=headers, timeout=60, trust_env=False) as client:
        _await_ready(client)
        yield client


def _await_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while client.get("/readyz").status_code != httpx.codes.OK:
        if time.monotonic() > deadline:
            raise NotStartedError(f"The connector was not ready within {_START_SECONDS} s.")
        time.sleep(0.05)


def _version_path(root: str) -> str:
    document = httpx.get(f"{root}/.well-known/dspace-version", timeout=10, trust_env=False).json()
    return str(next(entry["path"] for entry in document["protocolVersions"] if entry["version"] == "2025-1"))


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "no reason given")
