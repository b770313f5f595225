"""Real `allmende` processes: start them, watch them, and see that nothing of them is left."""

import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner

from connector.cli import app

ALLMENDE = (sys.executable, "-m", "connector")
PATIENCE = 60.0


def run(
    *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with nothing on standard input."""
    return subprocess.run(
        [*ALLMENDE, *map(str, arguments)],
        env=environment(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )


def call(*arguments: str | Path, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """The same within this process: the whole command but for a new interpreter, which takes a second."""
    outcome = CliRunner().invoke(app, list(map(str, arguments)), env=environment(env))
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return subprocess.CompletedProcess(arguments, outcome.exit_code, outcome.stdout, outcome.stderr)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without settings of a connector, and what a test adds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALLMENDE_")}
    return {**kept, "COLUMNS": "100", **(extra or {})}


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed command said, which must be one line for people on stderr and nothing else."""
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("allmende: ")
    return lines[0].removeprefix("allmende: ")


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def until(question: Callable[[], Any], what: str) -> Any:
    """Ask again until the answer is true."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := question()):
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)
    return answer


def processes_about(path: Path) -> list[int]:
    """Processes whose command line names something below a path, such as a connector's configuration."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(path) in command:
                found.append(int(entry.name))
    return found


def is_listening(address: str) -> bool:
    """Whether somebody accepts connections at an address such as `http://localhost:8080`."""
    parts = httpx.URL(address)
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", parts.port or 80)) == 0


def addresses(facts: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Both listeners of each participant, from the `urls` of the demonstration."""
    return [one[name] for one in facts.values() for name in ("public", "management")]


@contextmanager
def started(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Iterator["Running"]:
    """Start the command in a process group of its own; whatever happens, the group ends with the test."""
    process = subprocess.Popen(
        [*ALLMENDE, *map(str, arguments)],
        env=environment(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
        process_group=0,
    )
    running = Running(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()


@dataclass
class Running:
    """A command that runs."""

    process: "subprocess.Popen[str]"
    said: str = ""

    def await_line(self, pattern: str) -> str:
        """Read stderr until a line matches."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            if re.search(pattern, line):
                return line
        raise AssertionError(f"it ended without {pattern!r}: {self.said}")

    def read_object(self) -> dict[str, Any]:
        """The JSON object on stdout, of one line or many, while the command goes on."""
        assert self.process.stdout is not None
        text = ""
        for line in self.process.stdout:
            text += line
            if line.startswith(("}", "{")) and line.rstrip().endswith("}"):
                value: dict[str, Any] = json.loads(text)
                return value
        raise AssertionError(f"it ended without an answer: {text} {self.rest()}")

    def rest(self) -> str:
        """Everything else that it says on stderr until its end."""
        assert self.process.stderr is not None
        self.said += self.process.stderr.read()
        return self.said

    def wait(self) -> int:
        """Its exit status."""
        return self.process.wait(PATIENCE)


@dataclass(frozen=True)
class Demonstration:
    """One whole run of `allmende demo --json`.

    Attributes:
        done: How it ended, and what it said.
        result: The object on stdout.
        temporary: The directory that was its TMPDIR.
    """

    done: "subprocess.CompletedProcess[str]"
    result: dict[str, Any]
    temporary: Path


@functools.cache
def demonstration(base: Path) -> Demonstration:
    """The demonstration as a newcomer runs it, once per test session.

    Its environment holds settings of some connector: they must not get into the three of the demonstration.

    Args:
        base: Directory of the test session.
    """
    temporary = base / "demonstration"
    temporary.mkdir()
    done = run(
        "demo",
        "--json",
        env={
            "TMPDIR": str(temporary),
            "ALLMENDE_PUBLIC_URL": "https://elsewhere.example",
            "ALLMENDE_PUBLIC__HOST": "203.0.113.7",
            "ALLMENDE_DATABASE_URL": "sqlite:////nowhere/at/all.sqlite",
        },
        cwd=temporary,
    )
    assert done.returncode == 0, done.stderr
    return Demonstration(done, json.loads(done.stdout), temporary)


class Participant:
    """A participant that `allmende init` has made, and its management API.

    Args:
        directory: Where to make it.
        name: What it calls itself.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.directory = directory
        self.public = f"http://localhost:{free_port()}"
        self.management_port = free_port()
        done = run(
            *("init", directory, "--name", name, "--public-url", self.public),
            *("--management-port", str(self.management_port), "--unsafe-loopback-http"),
        )
        assert done.returncode == 0, done.stderr
        self.did = "did:web:" + self.public.removeprefix("http://").replace(":", "%3A")

    @contextmanager
    def serving(self, env: Mapping[str, str] | None = None) -> Iterator[Running]:
        """Its connector, once it is ready."""
        with started("serve", "--config", self.directory / "allmende.toml", env=env) as running:
            running.read_object()
            yield running

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Call its management API."""
        token = (self.directory / "management.token").read_text().strip()
        return httpx.request(
            method,
            f"http://127.0.0.1:{self.management_port}{path}",
            headers={"authorization": f"Bearer {token}"},
            json=body,
            timeout=PATIENCE,
            trust_env=False,
        )

    def get(self, path: str) -> Any:
        """Something that must be there."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: object) -> Any:
        """Something that must succeed."""
        answer = self.ask("POST", path, body)
        assert answer.is_success, answer.text
        return answer.json()
