"""Two EDCs with each other: proves the recipe, before one of them is our counterparty.

    python -m tests.interop.two_edcs [--edc VERSION] [--loop MILLISECONDS] [--keep DIRECTORY]

Exit codes: 0 every step held, 1 one did not, 2 it could not be tried, 3 Java or Maven is missing.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.interop.data_server import DataServer, serving_data
from tests.interop.edc import PUSH, VERSIONS, Access, Edc, EdcError, Json, items, running_edc
from tests.interop.maven import JavaMissingError, UnresolvedError, require_java
from tests.interop.processes import end_on_termination
from tests.interop.steps import Report, Step, require

_CONTENT = b"ts,load_kw\n2026-01-01T00:00:00Z,1.25\n"
_ASSET = "load-profiles"
_NOT_PERMITTED = range(400, 500)


class TwoEdcs:
    """What one EDC does with another's data.

    Args:
        provider: Offers the data.
        consumer: Gets them.
        data: Source and destination.
    """

    def __init__(self, provider: Edc, consumer: Edc, data: DataServer) -> None:
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
        await self.provider.offer(_ASSET, self.data.source)

    async def catalog(self) -> None:
        catalog = await self.consumer.catalog(self.provider.address, self.provider.participant)
        found = {dataset["@id"]: dataset for dataset in items(catalog, "dataset")}
        require(_ASSET in found, f"The catalog holds {sorted(found)}.")
        self.found = found[_ASSET]

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
        require(answer.content == _CONTENT, f"{answer.status_code} {answer.text}")

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
        require(received == _CONTENT, f"The destination has got {received!r}.")
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


async def _run(version: str, directory: Path, loop_milliseconds: int | None) -> int:
    report = Report()
    with serving_data(_CONTENT) as data:
        async with (
            running_edc(
                version, "edc-provider", directory / "provider", loop_milliseconds=loop_milliseconds
            ) as provider,
            running_edc(
                version, "edc-consumer", directory / "consumer", loop_milliseconds=loop_milliseconds
            ) as consumer,
        ):
            for one in (provider, consumer):
                print(f"{one.ready_seconds * 1000:7.0f} ms  EDC {version}: {one.participant} is ready")  # noqa: T201
            await report.run(f"EDC {version}", TwoEdcs(provider, consumer, data).steps())
    return report.finish()


def main(arguments: list[str]) -> int:
    """Run both EDCs and all steps."""
    parser = argparse.ArgumentParser(prog="tests.interop.two_edcs", description="Two EDCs with each other.")
    parser.add_argument("--edc", choices=VERSIONS, default=VERSIONS[0], help="which version")
    parser.add_argument("--loop", type=int, help="milliseconds between two looks of EDC's state machines")
    parser.add_argument("--keep", type=Path, help="keep configuration and logs in this new directory")
    options = parser.parse_args(arguments)
    end_on_termination()
    try:
        require_java()
        with _directory(options.keep) as directory:
            return asyncio.run(_run(options.edc, directory, options.loop))
    except JavaMissingError as missing:
        return _say(str(missing), 3)
    except (UnresolvedError, EdcError) as problem:
        return _say(str(problem), 2)


@contextmanager
def _directory(kept: Path | None) -> Iterator[Path]:
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="allmende-interop-") as made:
            yield Path(made)
        return
    kept.mkdir(parents=True)
    yield kept.absolute()


def _say(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - this is a command
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
