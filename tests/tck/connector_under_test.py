"""The connector under test: our own, as a process, with the seeds and the workflow of the TCK's tests."""

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.interop.allmende import NotStartedError, running_allmende
from tests.interop.processes import free_ports
from tests.tck.suite import Addresses

HERE = Path(__file__).parent
PEER = "TCK_PARTICIPANT"
"""How the TCK calls itself."""


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
    (callback,) = free_ports(1)
    tck = f"http://localhost:{callback}"
    token = "tck-" + os.urandom(12).hex()
    identity = f'[[static_tokens]]\nparticipant = "{PEER}"\ntoken = "{token}"'
    workflow = (HERE / "workflow.toml").read_text()
    with running_allmende(directory, "Connector under test", [identity, workflow]) as ours:
        _seed(ours.management, directory, ours.did, tck)
        with _triggers(ours.management) as triggers:
            yield Addresses(
                participant=ours.did,
                root=ours.public,
                base=ours.base,
                negotiate=f"{triggers}/negotiations",
                transfer=f"{triggers}/transfers",
                callback=tck,
                authorization=f"Bearer {token}",
            )


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
