"""The connector under test: our own, as a process, with the seeds and the workflow of the TCK's tests."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.interop.processes import free_ports, stop
from tests.tck.suite import Addresses

HERE = Path(__file__).parent
PEER = "TCK_PARTICIPANT"
"""How the TCK calls itself."""
_START_SECONDS = 30
_ALLMENDE = [sys.executable, "-c", "from connector.cli import main; main()"]
_ENVIRONMENT = {"ALLMENDE_REQUIRE_SIGNATURES": "false", "NO_COLOR": "1"}
"""The TCK signs nothing."""


class NotStartedError(Exception):
    """The connector under test cannot be tested; the sentence says why."""


@contextmanager
def connector_under_test(directory: Path) -> Iterator[Addresses]:
    """Run a connector that the TCK can test.

    Args:
        directory: A new directory for its data and logs.

    Yields:
        Where the TCK finds it.

    Raises:
        NotStartedError: It does not start, or refuses its seeds.
    """
    public, management, callback = free_ports(3)
    tck = f"http://localhost:{callback}"
    token = "tck-" + os.urandom(12).hex()
    configuration = _configuration(directory, public, management, token)
    with _process(directory, configuration) as facts, _client(directory, facts) as client:
        _seed(client, directory, facts["did"], tck)
        with _triggers(client) as triggers:
            yield Addresses(
                participant=facts["did"],
                root=facts["public"],
                base=f"{facts['public']}{_version_path(facts['public'])}",
                negotiate=f"{triggers}/negotiations",
                transfer=f"{triggers}/transfers",
                callback=tck,
                authorization=f"Bearer {token}",
            )


def _configuration(directory: Path, public: int, management: int, token: str) -> Path:
    """A participant as `allmende init` makes it, with the rules of the TCK's tests and its token."""
    participant = directory / "participant"
    command = [
        *(*_ALLMENDE, "init", str(participant), "--name", "Connector under test"),
        *("--public-url", f"http://localhost:{public}", "--management-port", str(management)),
        "--unsafe-loopback-http",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotStartedError(f"`allmende init` failed: {_last_line(done.stderr)}")
    file = participant / "allmende.toml"
    identity = [
        "[[static_tokens]]",
        f'participant = "{PEER}"',
        f'token = "{token}"',
    ]
    parts = [file.read_text(), "\n".join(identity), (HERE / "workflow.toml").read_text()]
    file.write_text("\n\n".join(parts))
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
    with httpx.Client(base_url=facts["management"], headers=headers, timeout=10, trust_env=False) as client:
        _await_ready(client)
        yield client


def _await_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while client.get("/readyz").status_code != httpx.codes.OK:
        if time.monotonic() > deadline:
            raise NotStartedError(f"The connector was not ready within {_START_SECONDS} s.")
        time.sleep(0.05)


def _seed(client: httpx.Client, directory: Path, participant: str, tck: str) -> None:
    """The datasets on offer, all with the same small table, and the agreements that transfers rest on."""
    data = directory / "data.csv"
    data.write_text("place,value\nStuttgart,1\n")
    text = (HERE / "seeds.json").read_text()
    for name, value in {"participant": participant, "callback": tck, "file": str(data)}.items():
        text = text.replace("{" + name + "}", value)
    seeds = json.loads(text)
    seeds["datasets"] = [{**seeds["dataset"], **dataset} for dataset in seeds["datasets"]]
    for path, bodies in (("/api/datasets", seeds["datasets"]), ("/api/agreements", seeds["agreements"])):
        for body in bodies:
            answer = client.post(path, json=body)
            if answer.is_error:
                raise NotStartedError(
                    f"The connector refuses a seed: POST {path}: {answer.status_code} {answer.text}"
                )


def _version_path(root: str) -> str:
    document = httpx.get(f"{root}/.well-known/dspace-version", timeout=10, trust_env=False).json()
    return str(next(entry["path"] for entry in document["protocolVersions"] if entry["version"] == "2025-1"))


@contextmanager
def _triggers(client: httpx.Client) -> Iterator[str]:
    """The two addresses at which the TCK makes the connector act as consumer."""

    class Trigger(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            path, wanted = _wanted(self.path, body)
            answer = client.post(path, json=wanted)
            if answer.is_error:
                sys.stderr.write(f"POST {path} was refused: {answer.status_code} {answer.text}\n")
            self.send_response(answer.status_code)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Trigger)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _wanted(path: str, body: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """What the TCK asks for, in the words of our management API."""
    if path == "/negotiations":
        peer = {"provider": body["providerId"], "address": body["connectorAddress"]}
        offer = {"@type": "Offer", "@id": body["offerId"], "permission": [{"action": "use"}]}
        return "/api/negotiations", {**peer, "dataset": body["datasetId"], "offer": offer}
    return "/api/transfers", {"agreement_id": body["agreementId"], "format": body["format"]}


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "no reason given")
