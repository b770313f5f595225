"""Our connector in both roles, as a run with EDC sees it through the management API."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from connector.evidence.verification import verify_file
from tests.interop.allmende import Running
from tests.interop.data_server import DataServer
from tests.interop.edc import PULL, PUSH, Edc, Json
from tests.interop.edc_as_consumer import ASSET, CONTENT
from tests.interop.steps import Step, StepFailedError, require

_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02
_DATASET: Final[Json] = {
    "table": "load_profiles",
    "title": {"de": "Lastprofile", "en": "Load profiles"},
    "description": {"de": "Für den Lauf mit EDC.", "en": "For the run with EDC."},
    "license": "http://dcat-ap.de/def/licenses/cc-zero",
    "source_note": {"de": "Erfunden.", "en": "Invented."},
    "columns": [
        {
            "name": "load_kw",
            "data_type": "double",
            "role": "measure",
            "description": {"de": "Last", "en": "Load"},
        }
    ],
    "offer": {"@type": "Offer", "permission": [{"action": "use"}]},
    "accepts_unsigned": True,
}


class Allmende:
    """A running connector of ours; as provider it is one that `EdcAsConsumer` can look at.

    Args:
        running: The connector.
        directory: Where its data file is put.
    """

    def __init__(self, running: Running, directory: Path) -> None:
        self._client = running.management
        self._directory = directory
        self.participant = running.did
        self.address = running.base

    async def call(self, method: str, path: str, body: Json | None = None) -> httpx.Response:
        """Call the management API."""
        answer = await asyncio.to_thread(self._client.request, method, path, json=body)
        if answer.is_error:
            raise StepFailedError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    # as provider

    async def offer(self, asset: str, url: str) -> None:
        """Put a file with the data on offer under an open policy."""
        del url
        file = self._directory / "load-profiles.csv"
        await asyncio.to_thread(file.write_bytes, CONTENT)
        await self.call("POST", "/api/datasets", {**_DATASET, "identifier": asset, "file": str(file)})

    async def negotiations(self) -> Sequence[Json]:
        """All negotiations."""
        found = (await self.call("GET", "/api/negotiations")).json()
        return [{"type": str(one["role"]).upper(), "state": one["state"]} for one in found]

    async def transfers(self) -> Sequence[Json]:
        """All transfer processes."""
        found = (await self.call("GET", "/api/transfers")).json()
        return [{"@id": one["pid"], "correlationId": one["peer_pid"]} for one in found]

    async def transferred(self, identifier: str, state: str) -> None:
        """Wait until a transfer process is in a state."""
        deadline = time.monotonic() + _SECONDS
        while (found := await self._transfer(identifier))["state"] != state:
            if time.monotonic() > deadline:
                raise StepFailedError(f"Our transfer is {found['state']}, not {state}: {found['reason']}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _transfer(self, identifier: str) -> Json:
        found = (await self.call("GET", "/api/transfers")).json()
        return next(one for one in found if one["pid"] == identifier)

    async def releases(self) -> None:
        """What left is in the ledger, each with a receipt that anybody can check."""
        whole = (await self.call("GET", "/api/ledger")).json()["entries"]
        kinds = {one["kind"] for one in whole}
        require(kinds == {"permit", "download"}, f"The ledger holds {kinds}.")
        entries = [one for one in whole if one["kind"] == "download"]
        figures = [(one["raw_rows_out"], one["raw_bytes_out"]) for one in entries]
        require(figures == [(1, len(CONTENT))] * 3, f"The ledger holds {figures}.")
        for entry in entries:
            path = f"/api/receipts/{quote(entry['identifier'], safe='')}"
            receipt = (await self.call("GET", path)).content
            require(verify_file(receipt).identifier == entry["identifier"], "The receipt is another one.")


class AllmendeAsConsumer:
    """What our connector does with EDC's data.

    Args:
        ours: Our connector.
        edc: The provider.
        data: Where EDC's data lie.
    """

    def __init__(self, ours: Allmende, edc: Edc, data: DataServer) -> None:
        self.ours = ours
        self.edc = edc
        self.data = data
        self.agreement = ""
        self.pulling = ""

    def steps(self) -> list[Step]:
        """All steps, in their order."""
        return [
            ("EDC has an offer", self.offer),
            ("we find it in EDC's catalog", self.catalog),
            ("a negotiation, unsigned, is FINALIZED for both", self.negotiate),
            ("a pull is STARTED for both", self.start),
            ("the data arrive through EDC's data plane", self.pull),
            ("we suspend: both are SUSPENDED, and we do not pull", self.suspend),
            ("we resume: STARTED, the data arrive again", self.resume),
            ("we terminate: both are TERMINATED", self.terminate),
            ("EDC pushes the data to us, and both are COMPLETED", self.push),
        ]

    async def offer(self) -> None:
        await self.edc.offer(ASSET, self.data.source)

    async def catalog(self) -> None:
        body = {"provider": self.edc.participant, "address": self.edc.address}
        found = (await self.ours.call("POST", "/api/catalogs", body)).json()
        offered = {one["identifier"]: one["formats"] for one in found["datasets"]}
        require(PULL in offered.get(ASSET, ()), f"The catalog holds {offered}.")

    async def negotiate(self) -> None:
        pid = (await self.ours.call("POST", "/api/negotiations", {"dataset": ASSET})).json()["pid"]
        path = f"/api/negotiations/{quote(pid, safe='')}?wait=30"
        negotiation = (await self.ours.call("GET", path)).json()
        require(negotiation["state"] == "FINALIZED", f"Ours is {negotiation}.")
        self.agreement = negotiation["agreement_id"]
        theirs = [one["state"] for one in await self.edc.negotiations() if one["correlationId"] == pid]
        require(theirs == ["FINALIZED"], f"EDC has {theirs}.")

    async def start(self) -> None:
        body = {"agreement_id": self.agreement, "format": PULL}
        self.pulling = (await self.ours.call("POST", "/api/transfers", body)).json()["pid"]
        await self._both("STARTED")

    async def pull(self) -> None:
        answer = await self.ours.call("POST", self._path("data"))
        require(answer.content == CONTENT, f"{answer.status_code} {answer.text}")

    async def suspend(self) -> None:
        await self._move("suspension", "a pause")
        await self._both("SUSPENDED")
        await self._refused()

    async def resume(self) -> None:
        await self._move("start")
        await self.ours.transferred(self.pulling, "STARTED")
        await self.pull()
        await self._both("STARTED")

    async def terminate(self) -> None:
        await self._move("termination", "done")
        await self._both("TERMINATED")
        await self._refused()

    async def push(self) -> None:
        body = {"agreement_id": self.agreement, "format": PUSH}
        self.pulling = (await self.ours.call("POST", "/api/transfers", body)).json()["pid"]
        await self._both("COMPLETED")
        answer = await self.ours.call("GET", self._path("data"))
        require(answer.content == CONTENT, f"We have got {answer.content!r}.")

    async def _move(self, action: str, reason: str | None = None) -> None:
        await self.ours.call("POST", self._path("moves"), {"action": action, "reason": reason})

    async def _both(self, state: str) -> None:
        await self.ours.transferred(self.pulling, state)
        theirs: list[Any] = [
            one for one in await self.edc.transfers() if one["correlationId"] == self.pulling
        ]
        require(len(theirs) == 1, f"EDC has {len(theirs)} such transfer processes.")
        await self.edc.transferred(theirs[0]["@id"], state)

    async def _refused(self) -> None:
        try:
            answer = await self.ours.call("POST", self._path("data"))
        except StepFailedError:
            return
        raise StepFailedError(f"The data still arrive: {answer.status_code}.")

    def _path(self, last: str) -> str:
        return f"/api/transfers/{quote(self.pulling, safe='')}/{last}"
