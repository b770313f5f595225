"""Commissioning, the consumer's half of a computation: send the algorithm, follow it, fetch what is released.

Source:
    docs/adr/0005-computations.md
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import cast
from urllib.parse import quote

from connector.evidence.errors import EvidenceError
from connector.ports import (
    Changes,
    Clock,
    EvidenceExistsError,
    Identifiers,
    PeerAnswer,
    PeerRefusedError,
    Peers,
    PeerUnreachableError,
    Store,
    Transaction,
)
from connector.protocol.computation import Computation, ComputationState, Output
from connector.protocol.jobs import algorithm_digest
from connector.protocol.machine import Party
from connector.protocol.transfer import TransferFormat
from connector.services.delivering import reason_in
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from connector.services.opening import OpenedEndpoint, Opening
from connector.services.receipting import Receipting, require_receipt
from schemas.strict_json import JsonObject, MalformedJsonError, loads

_SECONDS = 30
_WAIT_SECONDS = 20
_MOST_BYTES = 16_000_000
_OK = 200
_FINAL = frozenset({ComputationState.RELEASED, ComputationState.TERMINATED})


class Commissioning:
    """Has algorithms of ours run where the data are.

    Args:
        store: Where computations are kept.
        clock: Tells the time.
        identifiers: Names computations.
        peers: Talks to providers.
        opening: Opens their data planes.
        receipting: Countersigns receipts.
        changes: Tells who waits.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        peers: Peers,
        opening: Opening,
        receipting: Receipting,
        changes: Changes,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._peers = peers
        self._opening = opening
        self._receipting = receipting
        self._changes = changes
        self._followed: set[str] = set()

    async def commission(
        self,
        agreement_id: str,
        *,
        files: Mapping[str, str],
        parameters: JsonObject,
        declared: Mapping[str, str],
        purpose: str | None = None,
    ) -> str:
        """Send an algorithm to a provider.

        It is kept before it is sent: a provider that does not answer gets it
        later, also after a restart of ours, and starts it once.

        Args:
            agreement_id: IRI of the agreement.
            files: The algorithm: path to text.
            parameters: What the algorithm is told.
            declared: Declared outputs: file name to kind.
            purpose: What for; None for the purpose declared in the negotiation.

        Returns:
            Identifier of the computation.

        Raises:
            RequestRefusedError: The provider refused; the sentence is its reason.
            JobRefusedError: The files are no Unicode text.
        """
        endpoint = await self._opening.endpoint(agreement_id, TransferFormat.COMPUTE)
        agreement = await self._store.transact(lambda tx: tx.agreement(agreement_id))
        if agreement is None:
            raise UnknownExchangeError(agreement_id)
        now = self._clock.now()
        record = Computation(
            identifier=self._identifiers.new(),
            role=Party.CONSUMER,
            peer=agreement.provider,
            agreement_id=agreement_id,
            transfer_pid=endpoint.transfer_pid,
            dataset=agreement.dataset,
            purpose=purpose,
            files=dict(files),
            algorithm_digest=algorithm_digest(files),
            parameters=parameters,
            declared=dict(declared),
            state=ComputationState.REQUESTED,
            reservation=None,
            held=None,
            reason=None,
            outputs=(),
            receipt=None,
            tier="",
            said="",
            created=now,
            started=None,
            updated=now,
        )
        await self._begin(record, endpoint)
        return record.identifier

    async def _begin(self, record: Computation, endpoint: OpenedEndpoint) -> None:
        """Keep a computation, then send it; meanwhile nobody else follows it."""
        self._followed.add(record.identifier)
        try:
            await self._store.transact(lambda tx: tx.save_computation(record))
            await self._moved(record, await self._submit(record, endpoint))
        except PeerUnreachableError:
            return
        except RequestRefusedError as refusal:
            await self._end(record, str(refusal))
            raise
        finally:
            self._followed.discard(record.identifier)
            self._changes.notify()

    async def _submit(self, record: Computation, endpoint: OpenedEndpoint) -> JsonObject:
        body: JsonObject = {
            "identifier": record.identifier,
            "files": dict(record.files),
            "parameters": record.parameters,
            "outputs": dict(record.declared),
            **({"purpose": record.purpose} if record.purpose else {}),
        }
        return await self._call("POST", f"{endpoint.url}/computations", endpoint, json.dumps(body).encode())

    async def _moved(self, record: Computation, shown: JsonObject) -> None:
        state = _state(shown)
        if state is not record.state:
            current = replace(record, state=state, updated=self._clock.now())
            await self._store.transact(lambda tx: tx.save_computation(current))

    async def follow_open(self) -> None:
        """Follow every computation of ours that has not ended, also after a restart."""
        records = await self._store.transact(lambda tx: tx.computations())
        open_ones = [
            record.identifier
            for record in records
            if record.role is Party.CONSUMER
            and record.state not in _FINAL
            and record.identifier not in self._followed
        ]
        # Claimed before anything is awaited: another round must not follow the same one.
        self._followed.update(open_ones)
        await asyncio.gather(*(self._follow(identifier) for identifier in open_ones))

    async def _follow(self, identifier: str) -> None:
        try:
            while not self._changes.closed and not await self._step(identifier):
                self._changes.notify()
        finally:
            self._followed.discard(identifier)
            self._changes.notify()

    async def _step(self, identifier: str) -> bool:
        """Ask once how a computation stands; returns whether it has ended."""
        record = await self._store.transact(lambda tx: tx.computation(identifier))
        if record is None or record.state in _FINAL:
            return True
        try:
            return await self._advance(record)
        except PeerUnreachableError:
            await asyncio.sleep(1)
            return False
        except (RequestRefusedError, PeerRefusedError, EvidenceError, EvidenceExistsError) as refusal:
            await self._end(record, str(refusal))
            return True

    async def _advance(self, record: Computation) -> bool:
        endpoint = await self._opening.endpoint(record.agreement_id, TransferFormat.COMPUTE)
        base = f"{endpoint.url}/computations/{quote(record.identifier, safe=':')}"
        if record.state is ComputationState.REQUESTED:
            # The provider has not said yet that it has it; it starts what it knows already only once.
            shown = await self._submit(record, endpoint)
        else:
            shown = await self._call("GET", f"{base}?wait={_WAIT_SECONDS}&after={record.state}", endpoint)
        state = _state(shown)
        if state is ComputationState.TERMINATED:
            await self._end(record, str(shown.get("reason") or "no reason given"))
            return True
        if state is ComputationState.RELEASED:
            await self._collect(record, endpoint, base, shown)
            return True
        await self._moved(record, shown)
        return False

    async def _collect(
        self, record: Computation, endpoint: OpenedEndpoint, base: str, shown: JsonObject
    ) -> None:
        """Fetch outputs and receipt; without a valid receipt nothing is kept."""
        outputs = tuple(_output(entry) for entry in cast("list[JsonObject]", shown["outputs"]))
        contents = {
            output.name: await self._fetch(f"{base}/outputs/{quote(output.name)}", endpoint)
            for output in outputs
        }
        receipt = str(shown["receipt"])
        data = await self._fetch(f"{endpoint.url}/receipts/{quote(receipt, safe=':')}", endpoint)
        agreement = await self._store.transact(lambda tx: tx.agreement(record.agreement_id))
        if agreement is None:
            raise UnknownExchangeError(record.agreement_id)
        require_receipt(data, receipt, agreement, contents)
        released = replace(
            record,
            state=ComputationState.RELEASED,
            outputs=outputs,
            receipt=receipt,
            tier=str(shown.get("tier", "")),
            updated=self._clock.now(),
        )

        def work(tx: Transaction) -> None:
            for name, content in contents.items():
                tx.save_output(record.identifier, name, content)
            self._receipting.keep(tx, receipt, data, record.transfer_pid)
            tx.save_computation(released)

        await self._store.transact(work)

    async def _end(self, record: Computation, reason: str) -> None:
        ended = replace(
            record,
            state=ComputationState.TERMINATED,
            reason={"de": reason, "en": reason},
            updated=self._clock.now(),
        )
        await self._store.transact(lambda tx: tx.save_computation(ended))

    async def _fetch(self, url: str, endpoint: OpenedEndpoint) -> bytes:
        answer = await self._send("GET", url, endpoint, None)
        if answer.status != _OK:
            raise RequestRefusedError(
                f"The provider did not hand over {url.rsplit('/', 1)[1]}: {reason_in(answer)}."
            )
        return answer.body

    async def _call(
        self, method: str, url: str, endpoint: OpenedEndpoint, body: bytes | None = None
    ) -> JsonObject:
        answer = await self._send(method, url, endpoint, body)
        if answer.status not in {_OK, 201}:
            raise RequestRefusedError(reason_in(answer))
        try:
            value = loads(answer.body)
        except MalformedJsonError as problem:
            raise RequestRefusedError(f"The provider's answer cannot be read: {problem}") from problem
        if not isinstance(value, dict):
            raise RequestRefusedError("The provider's answer is no JSON object.")
        return value

    async def _send(self, method: str, url: str, endpoint: OpenedEndpoint, body: bytes | None) -> PeerAnswer:
        return await self._peers.send(
            method,
            url,
            token=endpoint.token,
            body=body,
            timeout=timedelta(seconds=_SECONDS),
            max_bytes=_MOST_BYTES,
        )


def _state(answer: JsonObject) -> ComputationState:
    try:
        return ComputationState(str(answer.get("state")))
    except ValueError as problem:
        raise RequestRefusedError("The provider's answer names no state of a computation.") from problem


def _output(entry: JsonObject) -> Output:
    return Output(
        name=str(entry["name"]),
        kind=str(entry["kind"]),
        media_type=str(entry["mediaType"]),
        sha256=str(entry["sha256"]),
        size=int(cast("int", entry["bytes"])),
        checks=tuple(map(str, cast("list[str]", entry["checks"]))),
    )
