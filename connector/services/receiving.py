"""Receiving: a consumer takes the data file that a provider pushes to it, once, and with its receipt.

The file is on disk before its receipt is asked for, and is kept only if that
receipt is the provider's signed word about exactly these bytes. The provider
learns that by our answer, and completes the transfer process.

Source:
    docs/data-plane.md
"""

import asyncio
import hmac
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from connector.ports import ReceivedFiles, Store, Transaction, Wake
from connector.protocol.machine import Party
from connector.protocol.transfer import ReceivedData, TransferProcess
from connector.services.accessing import AccessDeniedError
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from connector.services.receipting import Receipting
from connector.services.transferring import token_digest

_STALL_SECONDS: Final = 60
_SUFFIXES: Final = {
    "text/csv": ".csv",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apache.arrow.file": ".arrow",
    "application/vnd.apache.arrow.stream": ".arrows",
}


@dataclass(frozen=True, slots=True)
class Pushed:
    """A data file on its way to us.

    Attributes:
        chunks: Its bytes, piece by piece.
        media_type: What the provider says it is.
        receipt: IRI of the receipt, where the provider names one.
    """

    chunks: AsyncIterator[bytes]
    media_type: str
    receipt: str | None


class Receiving:
    """Takes pushes.

    Args:
        store: Where transfer processes are kept.
        files: Where the data go.
        receipting: Checks and countersigns receipts.
        wake: Called with the pid of a transfer whose file has arrived.
    """

    def __init__(self, *, store: Store, files: ReceivedFiles, receipting: Receipting, wake: Wake) -> None:
        self._store = store
        self._files = files
        self._receipting = receipting
        self._wake = wake
        self._under_way: set[str] = set()

    async def take(self, pid: str, token: str, pushed: Pushed) -> ReceivedData:
        """Take a data file.

        Args:
            pid: Our pid of the transfer process.
            token: What the sender shows; it is good for one file.
            pushed: The file.

        Raises:
            AccessDeniedError: The token opens nothing, or the transfer has ended.
            TooMuchDataError: The file is larger than what we keep.
            RequestRefusedError: It is being sent already, comes too slowly, or without its receipt.
            EvidenceError: Its receipt is about another file.
            PeerUnreachableError: The provider does not show its receipt.
        """
        record = await self._store.transact(lambda tx: _awaited(tx, pid, token))
        if pid in self._under_way:
            raise RequestRefusedError("The file of this transfer is being sent already.")
        self._under_way.add(pid)
        try:
            received = await self._received(record, token, pushed)
        finally:
            self._under_way.discard(pid)
        self._wake(pid)
        return received

    async def _received(self, record: TransferProcess, token: str, pushed: Pushed) -> ReceivedData:
        name = _name(record.pid, pushed.media_type)
        size, sha256 = await self._files.keep(name, _flowing(pushed.chunks))
        received = ReceivedData(name, pushed.media_type, size, sha256, pushed.receipt)
        try:
            receipt = await self._receipting.of_file(record, pushed.receipt, size=size, sha256=sha256)
            await self._store.transact(lambda tx: self._noted(tx, token, record.pid, received, receipt))
        except BaseException:
            await self._files.discard(name)
            raise
        return received

    def _noted(
        self, tx: Transaction, token: str, pid: str, received: ReceivedData, receipt: bytes | None
    ) -> None:
        # Asked again: the transfer may have ended while the data were on their way.
        record = _awaited(tx, pid, token)
        if receipt is not None and received.receipt is not None:
            self._receipting.keep(tx, received.receipt, receipt, pid)
        tx.save_transfer(replace(record, received=received))

    async def content(self, pid: str) -> tuple[ReceivedData, AsyncIterator[bytes]]:
        """What a transfer process has brought us.

        Args:
            pid: Our pid of it.

        Raises:
            UnknownExchangeError: We are the consumer of no such transfer process.
            RequestRefusedError: Nothing has arrived.
        """
        record = await self._store.transact(lambda tx: tx.transfer(pid))
        if record is None or record.role is not Party.CONSUMER:
            raise UnknownExchangeError(pid)
        if record.received is None:
            raise RequestRefusedError("Nothing has been pushed to us in this transfer.")
        return record.received, self._files.chunks(record.received.name)


def _awaited(tx: Transaction, pid: str, token: str) -> TransferProcess:
    """The transfer process that a push belongs to, as long as it waits for one."""
    record = tx.transfer(pid)
    known = record.token_digest if record else None
    if (
        record is None
        or known is None
        or not hmac.compare_digest(known, token_digest(token))
        or not record.takes_push
    ):
        raise AccessDeniedError("Nothing is awaited here, or not from this sender.")
    return record


async def _flowing(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What a sender sends, unless it falls silent: it must not hold the transfer for ever."""
    pieces = aiter(chunks)
    while True:
        try:
            async with asyncio.timeout(_STALL_SECONDS):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError as silence:
            sentence = f"Nothing came for {_STALL_SECONDS} seconds; send it again."
            raise RequestRefusedError(sentence) from silence
        yield piece


def _name(pid: str, media_type: str) -> str:
    """What a received file is called: nothing of what the sender says gets into it but a known suffix."""
    return re.sub(r"[^0-9A-Za-z-]", "-", pid) + _SUFFIXES.get(media_type, ".bin")
