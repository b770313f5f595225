"""Fetching: a consumer pulls a data file as it is through the provider's data plane, with its receipt.

Source:
    docs/conformance.md
"""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from connector.ports import Peers, Store
from connector.protocol.machine import Party
from connector.protocol.transfer import (
    TransferFormat,
    TransferMessage,
    TransferProcess,
    TransferState,
)
from connector.services.delivering import reason_in
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from connector.services.opening import Opening
from connector.services.receipting import RECEIPT_HEADER, Receipting
from schemas.messages import DataAddress, parse_message

MOST_BYTES: Final = 256_000_000
"""The whole file is held in memory."""
_SECONDS: Final = 300
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """What a provider's data plane gave.

    Attributes:
        content: The bytes.
        receipt: IRI of the provider's receipt, which has been checked and countersigned;
            None where the provider signs nothing, as EDC.
    """

    content: bytes
    receipt: str | None


class Fetching:
    """Pulls data files.

    Args:
        store: Where transfer processes are kept.
        peers: Talks to the provider's data plane.
        opening: Waits for access.
        receipting: Checks and countersigns receipts.
    """

    def __init__(self, *, store: Store, peers: Peers, opening: Opening, receipting: Receipting) -> None:
        self._store = store
        self._peers = peers
        self._opening = opening
        self._receipting = receipting

    async def fetch(self, pid: str) -> FetchedFile:
        """Pull the data of a transfer process.

        Args:
            pid: Our pid of it.

        Raises:
            UnknownExchangeError: We are the consumer of no such transfer process.
            RequestRefusedError: It is no pull of a file, it is not open, or the
                provider refuses, if only its receipt.
            EvidenceError: The receipt is about something else than what arrived.
            PeerUnreachableError: The data plane does not answer.
            PeerRefusedError: Its address is one that we never call, or the file is too large.
        """
        record = await self._store.transact(lambda tx: tx.transfer(pid))
        if record is None or record.role is not Party.CONSUMER:
            raise UnknownExchangeError(pid)
        if record.transfer_format != TransferFormat.DOWNLOAD:
            raise RequestRefusedError(f"This transfer is {record.transfer_format}, not a file to be pulled.")
        if record.state is TransferState.SUSPENDED and record.pending is not TransferMessage.START:
            raise RequestRefusedError("The transfer is suspended; resume it first.")
        opened = await self._opening.started(pid)
        address = parse_message(opened.data_address or {}, DataAddress)
        url = address.value_of("endpoint")
        if url is None:
            raise RequestRefusedError("The provider's data address names no endpoint.")
        answer = await self._peers.send(
            "GET",
            url,
            authorization=address.authorization,
            timeout=timedelta(seconds=_SECONDS),
            max_bytes=MOST_BYTES,
        )
        if answer.status != _OK:
            raise RequestRefusedError(f"The provider's data plane refuses: {reason_in(answer)}.")
        announced = answer.headers.get(RECEIPT_HEADER)
        await self._require_receipt(opened, announced, answer.body)
        return FetchedFile(answer.body, announced)

    async def _require_receipt(
        self, transfer: TransferProcess, announced: str | None, content: bytes
    ) -> None:
        digest = await asyncio.to_thread(hashlib.sha256, content)
        receipt = await self._receipting.of_file(
            transfer, announced, size=len(content), sha256=digest.hexdigest()
        )
        if announced is not None and receipt is not None:
            await self._store.transact(lambda tx: self._receipting.keep(tx, announced, receipt, transfer.pid))
