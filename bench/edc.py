"""Two real EDCs to be measured, assembled from Maven Central as for the interoperability run.

Their stores are EDC's default: in memory, so nothing is durable; and nobody
signs an agreement. EDC tells by an HTTP callback when a negotiation has ended,
so no polling takes its time or blurs the figures.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.interop.edc import Edc, Json, running_edc

VERSION: Final = "0.14.0"
TUNED_MILLISECONDS: Final = 50
"""What EDC's own end-to-end tests set."""
_ASSET: Final = "load-profiles"
_PATIENCE: Final = 120.0
_STATES: Final = {
    "ContractNegotiationFinalized": "FINALIZED",
    "ContractNegotiationTerminated": "TERMINATED",
}


@dataclass(slots=True)
class Endings:
    """What EDC has told about negotiations that have ended; a word can come before anybody waits for it."""

    address: str
    told: "dict[str, asyncio.Future[str]]" = field(default_factory=dict)

    def of(self, negotiation: str) -> "asyncio.Future[str]":
        """The state in which a negotiation has ended, or will."""
        return self.told.setdefault(negotiation, asyncio.get_running_loop().create_future())

    async def take(self, request: Request) -> Response:
        """One event of EDC."""
        event: dict[str, Any] = json.loads(await request.body())
        state = _STATES.get(event["type"])
        ending = self.of(event["payload"]["contractNegotiationId"])
        if state is not None and not ending.done():
            ending.set_result(state)
        return Response()


@dataclass(frozen=True, slots=True)
class EdcPair:
    """A provider with an asset on offer, and a consumer that has read its catalog.

    Attributes:
        provider: Offers the asset.
        consumer: Negotiates.
        dataset: The asset as in the catalog.
        endings: What the consumer tells.
    """

    provider: Edc
    consumer: Edc
    dataset: Json
    endings: Endings

    async def negotiate(self) -> str:
        """Ask for a contract, and wait until the negotiation has ended; returns its state then."""
        negotiation = await self.consumer.negotiate(
            self.provider.address, self.provider.participant, self.dataset, callback=self.endings.address
        )
        try:
            return await asyncio.wait_for(self.endings.of(negotiation), _PATIENCE)
        except TimeoutError:
            return str((await self.consumer.negotiation(negotiation))["state"])


@asynccontextmanager
async def edc_pair(loop_milliseconds: int | None) -> AsyncIterator[EdcPair]:
    """Two EDCs that have found each other.

    Args:
        loop_milliseconds: How long their state machines wait between two looks; EDC's own 1000 if None.
    """
    with TemporaryDirectory(prefix="allmende-bench-edc-") as directory:
        root = Path(directory)
        async with (
            running_edc(
                VERSION, "provider", root / "provider", loop_milliseconds=loop_milliseconds
            ) as provider,
            running_edc(
                VERSION, "consumer", root / "consumer", loop_milliseconds=loop_milliseconds
            ) as consumer,
            _listening() as endings,
        ):
            await provider.offer(_ASSET, "http://localhost:1/nobody-fetches-it")
            dataset = await consumer.dataset(provider.address, provider.participant, _ASSET)
            yield EdcPair(provider, consumer, dataset, endings)


@asynccontextmanager
async def _listening() -> AsyncIterator[Endings]:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        endings = Endings(f"http://127.0.0.1:{bound.getsockname()[1]}/")
        app = Starlette(routes=[Route("/", endings.take, methods=["POST"])])
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield endings
        finally:
            server.should_exit = True
            await serving
