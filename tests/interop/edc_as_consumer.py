"""EDC as the consumer of a provider: another EDC, or our connector."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import httpx

from tests.interop.data_server import DataServer
from tests.interop.edc import PUSH, Access, Edc, Json, items
from tests.interop.steps import Step, require

CONTENT: Final = b"ts,load_kw\n2026-01-01T00:00:00Z,1.25\n"
"""The data of a run."""
ASSET: Final = "load-profiles"
"""What they are called in a catalog."""
_NOT_PERMITTED: Final = range(400, 500)


class Provider(Protocol):
    """A provider, as far as a run looks at it from its own side; `Edc` is one."""

    @property
    def participant(self) -> str:
        """Its participant identifier."""
        ...

    @property
    def address(self) -> str:
        """Base address of its protocol endpoints."""
        ...

    async def offer(self, asset: str, url: str) -> None:
        """Put data on offer."""
        ...

    async def negotiations(self) -> Sequence[Json]:
        """Its negotiations, with `type` and `state`."""
        ...

    async def transfers(self) -> Sequence[Json]:
        """Its transfer processes, with `@id` and the consumer's `correlationId`."""
        ...

    async def transferred(self, identifier: str, state: str) -> None:
        """Wait until a transfer process is in a state."""
        ...


class EdcAsConsumer:
    """What an EDC does with a provider's data.

    Args:
        provider: Offers the data.
        consumer: Gets them.
        data: Source and destination.
    """

    def __init__(self, provider: Provider, consumer: Edc, data: DataServer) -> None:
        self.provider = provider
        self.consumer = consumer
        self.data = data
        self.found: Json = {}
        self.agreement = ""
        self.pulling = ""
        self.access = Access("", "")

    def steps(self) -> list[Step]:
        """All steps, in their order."""
        return [
            ("the provider has an offer", self.offer),
            ("the consumer finds it in the catalog", self.catalog),
            ("a negotiation is FINALIZED for both", self.negotiate),
            ("a pull is STARTED, and its access known", self.start),
            ("the data arrive through the provider's data plane", self.pull),
            ("the consumer suspends: both are SUSPENDED, the token is refused", self.suspend),
            ("the consumer resumes: STARTED, the data arrive again", self.resume),
            ("the consumer terminates: both are TERMINATED, the token is refused", self.terminate),
            ("a push arrives, and both are COMPLETED", self.push),
        ]

    async def offer(self) -> None:
        await self.provider.offer(ASSET, self.data.source)

    async def catalog(self) -> None:
        catalog = await self.consumer.catalog(self.provider.address, self.provider.participant)
        found = {dataset["@id"]: dataset for dataset in items(catalog, "dataset")}
        require(ASSET in found, f"The catalog holds {sorted(found)}.")
        self.found = found[ASSET]

    async def negotiate(self) -> None:
        negotiation = await self.consumer.negotiate(
            self.provider.address, self.provider.participant, self.found
        )
        self.agreement = await self.consumer.agreed(negotiation)
        states = [(one["type"], one["state"]) for one in await self.provider.negotiations()]
        require(states == [("PROVIDER", "FINALIZED")], f"The provider has {states}.")

    async def start(self) -> None:
        self.pulling = await self.consumer.transfer(self.provider.address, self.agreement)
        await self.consumer.transferred(self.pulling, "STARTED")
        self.access = await self.consumer.access(self.pulling)

    async def pull(self) -> None:
        answer = await self._fetch()
        require(answer.content == CONTENT, f"{answer.status_code} {answer.text}")

    async def suspend(self) -> None:
        await self.consumer.suspend(self.pulling, "a pause")
        await self._both("SUSPENDED")

    async def resume(self) -> None:
        await self.consumer.resume(self.pulling)
        await self.consumer.transferred(self.pulling, "STARTED")
        self.access = await self.consumer.access(self.pulling)
        await self.pull()

    async def terminate(self) -> None:
        await self.consumer.terminate(self.pulling, "done")
        await self._both("TERMINATED")

    async def push(self) -> None:
        pushing = await self.consumer.transfer(
            self.provider.address, self.agreement, PUSH, self.data.destination
        )
        received = await asyncio.to_thread(self.data.next_received)
        require(received == CONTENT, f"The destination has got {received!r}.")
        await self.consumer.transferred(pushing, "COMPLETED")
        await self.provider.transferred(await self._counterpart(pushing), "COMPLETED")

    async def _both(self, state: str) -> None:
        """Both are in a state in which the token is worth nothing."""
        await self.consumer.transferred(self.pulling, state)
        counterpart = await self._counterpart(self.pulling)
        await self.provider.transferred(counterpart, state)
        answer = await self._fetch()
        require(answer.status_code in _NOT_PERMITTED, f"The token still works: {answer.status_code}.")

    async def _counterpart(self, transfer: str) -> str:
        """The provider's identifier of a transfer process of the consumer's."""
        everything = await self.provider.transfers()
        found = [one["@id"] for one in everything if one["correlationId"] == transfer]
        require(len(found) == 1, f"The provider has {len(found)} such transfer processes.")
        return str(found[0])

    async def _fetch(self) -> httpx.Response:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            return await client.get(self.access.endpoint, headers={"authorization": self.access.token})
