"""Handing over: a data file leaves as it is, where the agreement permits it to be reproduced.

Only here do rows leave. The receipt with their number is signed and in the
ledger before the first byte goes out; whether the last one arrives, nobody can
know, so a delivery that breaks off is counted all the same.

Source:
    docs/adr/0006-enforcement.md
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from connector.evidence.documents import digest
from connector.evidence.receipts import Release
from connector.ports import (
    Clock,
    Credentials,
    DataFile,
    DataFiles,
    Identifiers,
    PeerRefusedError,
    Peers,
    PeerUnreachableError,
    Store,
    Transaction,
)
from connector.protocol.transfer import TransferFormat, TransferMessage, TransferProcess
from connector.queries.errors import DataUnreadableError
from connector.services.accessing import (
    Access,
    AccessDeniedError,
    UseRefusedError,
    access_of,
    open_access,
    permitted,
    reserve,
)
from connector.services.delivering import reason_in
from connector.services.releasing import record_release
from connector.services.transferring import Transferring
from policies.actions import RAW
from policies.model import Permission
from policies.restrictions import opens_raw_data
from schemas.messages import DataAddress, parse_message

KIND: Final = "download"
"""What the receipt and the ledger call it."""
MOST_PUSHED_BYTES: Final = 256_000_000
"""A push holds the whole file in memory; a larger one has to be pulled."""
_PUSH_SECONDS: Final = 300
_OK: Final = range(200, 300)
_UNREADABLE: Final = "The provider could not read its data. The use was not counted."
_INTERRUPTED: Final = "The provider's connector stopped while it sent the data; ask for them again."
_MEDIA_TYPES: Final = {
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".arrows": "application/vnd.apache.arrow.stream",
}


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A data file that is about to leave; its receipt exists.

    Attributes:
        chunks: Its bytes, piece by piece.
        size: How many there are.
        media_type: What they are.
        name: What the file is called outside.
        receipt: IRI of the receipt.
    """

    chunks: AsyncIterator[bytes]
    size: int
    media_type: str
    name: str
    receipt: str


class HandingOver:
    """Lets data files leave, pulled or pushed.

    Args:
        store: Where agreements, uses and the ledger are kept.
        clock: Tells the time.
        identifiers: Names receipts.
        credentials: Who signs receipts.
        files: Reads data files.
        peers: Takes a push to its destination.
        transferring: Knows which pushes are due, and ends them.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        credentials: Credentials,
        files: DataFiles,
        peers: Peers,
        transferring: Transferring,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._credentials = credentials
        self._files = files
        self._peers = peers
        self._transferring = transferring
        self._under_way: set[str] = set()

    async def open(self, token: str) -> HandedOver:
        """Let a consumer have a data file.

        Args:
            token: Access token of the transfer process.

        Raises:
            AccessDeniedError: The token opens nothing.
            UseRefusedError: The agreement does not permit it, or no longer.
            DataUnreadableError: The file is missing, or another one than was published.
        """

        def opened(tx: Transaction) -> Access:
            return open_access(tx, token, TransferFormat.DOWNLOAD)

        return await self._release(opened, lambda *_: None)

    def due(self) -> tuple[str, ...]:
        """Our pids of the pushes that have been started since the last call."""
        return self._transferring.due_pushes()

    async def push(self, pid: str) -> None:
        """Send a data file to where a started push wants it, once, and end the transfer process."""
        if pid in self._under_way:
            return
        self._under_way.add(pid)
        try:
            await self._push(pid)
        finally:
            self._under_way.discard(pid)

    async def _push(self, pid: str) -> None:
        record = await self._store.transact(lambda tx: tx.transfer(pid))
        if record is None or not record.is_started_push:
            return
        failure = None if record.pushed else await self._sent(record)
        ended = TransferMessage.COMPLETION if failure is None else TransferMessage.TERMINATION
        await self._transferring.move(pid, ended, failure)

    async def take_up(self) -> tuple[str, ...]:
        """Look through the pushes that an earlier process left behind.

        One that had begun is ended: nobody knows how much has arrived.

        Returns:
            Our pids of those that have not begun.
        """
        records = await self._store.transact(lambda tx: tx.transfers())
        started = [record for record in records if record.is_started_push and record.pending is None]
        for record in started:
            if record.pushed:
                await self._transferring.move(record.pid, TransferMessage.TERMINATION, _INTERRUPTED)
        return tuple(record.pid for record in started if not record.pushed)

    async def _sent(self, record: TransferProcess) -> str | None:
        """Why a file could not be sent; None where it was."""

        def noted(tx: Transaction, receipt: str) -> None:
            current = tx.transfer(record.pid)
            if current is None or not current.is_started_push:
                raise AccessDeniedError("The transfer process is not started any more.")
            tx.save_transfer(replace(current, pushed=receipt))

        try:
            handed = await self._release(
                lambda tx: access_of(tx, record), noted, most_bytes=MOST_PUSHED_BYTES
            )
            content = b"".join([chunk async for chunk in handed.chunks])
            return await self._posted(record, handed, content)
        except (AccessDeniedError, UseRefusedError, PeerUnreachableError, PeerRefusedError) as refusal:
            return str(refusal)
        except DataUnreadableError:
            return _UNREADABLE

    async def _posted(self, record: TransferProcess, handed: HandedOver, content: bytes) -> str | None:
        address = parse_message(record.data_address or {}, DataAddress)
        answer = await self._peers.send(
            "POST",
            address.destination or "",
            authorization=address.authorization,
            body=content,
            media_type=handed.media_type,
            timeout=timedelta(seconds=_PUSH_SECONDS),
        )
        return None if answer.status in _OK else f"The destination refused the data: {reason_in(answer)}."

    async def _release(
        self,
        open_: Callable[[Transaction], Access],
        note: Callable[[Transaction, str], None],
        *,
        most_bytes: int | None = None,
    ) -> HandedOver:
        """Decide, count, sign: after this the bytes may leave."""
        access = await self._store.transact(open_)
        started = self._clock.now()
        raw_permission(access, started)
        file = await self._examined(access)
        if most_bytes is not None and file.size > most_bytes:
            raise UseRefusedError(
                {
                    "de": f"Die Datei ist mit {file.size} Bytes zu groß; rufen Sie sie ab (HttpData-PULL).",
                    "en": f"The file has {file.size} bytes and is too large; pull it (HttpData-PULL).",
                }
            )
        receipt = self._identifiers.new()

        def work(tx: Transaction) -> None:
            current = open_(tx)
            now = self._clock.now()
            permission = raw_permission(current, now)
            uses = reserve(tx, current, permission)
            note(tx, receipt)
            release = self._statement(current, permission, file, uses, receipt, (started, now))
            record_release(tx, self._credentials, release)

        await self._store.transact(work)
        suffix = file.path.suffix.lower()
        return HandedOver(
            chunks=self._files.chunks(file),
            size=file.size,
            media_type=_MEDIA_TYPES.get(suffix, "application/octet-stream"),
            name=access.published.dataset.table + suffix,
            receipt=receipt,
        )

    async def _examined(self, access: Access) -> DataFile:
        """The data file, if it is the one that was published: the receipt states its rows and its digest."""
        try:
            file = await self._files.examine(access.published.source)
        except DataUnreadableError as problem:
            raise DataUnreadableError(_UNREADABLE) from problem
        if file.digest != access.published.dataset.digest:
            raise DataUnreadableError(_UNREADABLE)
        return file

    def _statement(
        self,
        access: Access,
        permission: Permission,
        file: DataFile,
        uses: tuple[int, int],
        receipt: str,
        times: tuple[datetime, datetime],
    ) -> Release:
        before, after = uses
        started, ended = times
        return Release(
            identifier=receipt,
            issuer=self._credentials.did,
            verification_method=self._credentials.verification_method,
            did_document_digest=self._credentials.document.digest,
            recipient=access.agreement.consumer,
            agreement_id=access.agreement.identifier,
            agreement_digest=digest(access.agreement.document),
            dataset_id=access.agreement.dataset,
            dataset_digest=file.digest,
            kind=KIND,
            purpose=access.purpose or "",
            request_digest=hashlib.sha256(access.transfer.pid.encode()).hexdigest(),
            rules_applied={"rule": permission.identifier},
            started=started,
            ended=ended,
            uses_before=before,
            uses_after=after,
            sandbox_tier="none",
            outputs=(),
            raw_rows_out=access.published.dataset.rows,
            raw_bytes_out=file.size,
            suppressed_groups=0,
        )


def raw_permission(access: Access, now: datetime) -> Permission:
    """The permission under which a data file may leave as it is.

    Handing out a copy is reproducing, extracting and copying: a prohibition of
    any of them stops it. A permission that limits queries or computations does
    not count, because a raw copy knows no such limits.

    Raises:
        UseRefusedError: There is none now, or the dataset is not on offer in this form.
    """
    if access.transfer.transfer_format not in access.published.dataset.formats:
        raise UseRefusedError(_NOT_OFFERED)
    wide = tuple(one for one in access.policy.permissions if opens_raw_data(one))
    unlimited = replace(access, policy=replace(access.policy, permissions=wide))
    found = [permitted(unlimited, action=action, purpose=None, now=now) for action in RAW]
    return found[0]


_NOT_OFFERED: Final = {
    "de": "Die Rohdaten dieses Datensatzes werden nicht herausgegeben.",
    "en": "The raw data of this dataset are not handed out.",
}
