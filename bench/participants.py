"""Connectors to be measured: made by `allmende init`, each a process of its own."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from connector.demo.assets import publication

ALLMENDE = Path(sys.executable).with_name("allmende")
OFFER = "stadtwerke"
PURPOSE = "https://w3id.org/allmende/policy/v1#LoadForecasting"
_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Participant:
    """A participant that has been initialised.

    Attributes:
        directory: Where everything of it lies.
        public: Address of the public listener.
        management: Address of the management listener.
    """

    directory: Path
    public: str
    management: str

    @property
    def did(self) -> str:
        """Its name."""
        return "did:web:" + self.public.removeprefix("http://").replace(":", "%3A")

    @property
    def serve_command(self) -> list[str]:
        """What starts its connector."""
        return [str(ALLMENDE), "serve", "--config", str(self.directory / "allmende.toml")]

    def client(self) -> httpx.AsyncClient:
        """A client of its management API."""
        token = (self.directory / "management.token").read_text(encoding="utf-8").strip()
        headers = {"authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=self.management, headers=headers, timeout=_SECONDS, trust_env=False)


def initialise(directory: Path, name: str) -> Participant:
    """Make a participant that others on this machine can reach."""
    public, management = _free_ports(2)
    address = f"http://localhost:{public}"
    arguments = ("--public-url", address, "--management-port", str(management), "--unsafe-loopback-http")
    subprocess.run(
        [ALLMENDE, "init", str(directory), "--name", name, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return Participant(directory, address, f"http://127.0.0.1:{management}")


@contextmanager
def serving(participant: Participant, observed_in: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A running connector; ended, with its children, when the block ends.

    Args:
        participant: Whose it is.
        observed_in: Where it leaves what it has measured of itself (`bench.observed`); None to run as it is.
    """
    command = participant.serve_command
    if observed_in is not None:
        command = [sys.executable, "-m", "bench.observed", str(observed_in), *command[1:]]
    with (participant.directory / "serve.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the connector did not start; its serve.log says why"
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=_SECONDS)


@dataclass(frozen=True, slots=True)
class Pair:
    """A provider with a dataset on offer, and a consumer that has read its catalog.

    Attributes:
        consumer: The consumer's management API.
        dataset: IRI of the dataset.
        processes: Identifiers of both processes, where we have started them, provider first.
        ready_seconds: How long each took from its start to its announcement.
    """

    consumer: httpx.AsyncClient
    dataset: str
    processes: Sequence[int] = ()
    ready_seconds: Sequence[float] = ()

    async def negotiate(self) -> dict[str, Any]:
        """Ask for a contract, and wait until the negotiation has ended; returns how it stands then."""
        ended = await self.consumer.post(
            "/api/negotiations?wait=60", json={"dataset": self.dataset, "purpose": PURPOSE}
        )
        outcome: dict[str, Any] = ended.raise_for_status().json()
        return outcome

    async def evidence(self, agreement: str) -> bytes:
        """An agreement's evidence file."""
        found = await self.consumer.get(f"/api/agreements/{quote(agreement, safe=':')}/evidence")
        return found.raise_for_status().content


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """Two connector processes that have found each other."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="allmende-bench-")))
        participants = [initialise(root / name, name) for name in ("provider", "consumer")]
        processes, seconds = [], []
        for participant in participants:
            began = time.perf_counter()
            processes.append(stack.enter_context(serving(participant)).pid)
            seconds.append(time.perf_counter() - began)
        async with meet(*participants) as both:
            yield replace(both, processes=processes, ready_seconds=seconds)


@asynccontextmanager
async def meet(provider: Participant, consumer: Participant) -> AsyncIterator[Pair]:
    """The provider puts a dataset on offer, and the consumer reads its catalog; both are running."""
    async with provider.client() as offering, consumer.client() as asking:
        published = await offering.post("/api/datasets", json=publication(OFFER))
        dataset = published.raise_for_status().json()["identifier"]
        (await asking.post("/api/catalogs", json={"provider": provider.did})).raise_for_status()
        yield Pair(asking, dataset)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses at this moment."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports
