"""Handing over: a data file leaves as it is, where the agreement permits it to be reproduced.

Only here do rows leave. The receipt with their number is signed and in the
ledger before the first byte goes out; whether the last one arrives, nobody can
know, so a delivery that breaks off is counted all the same. What is missing can
be fetched as a part (`Range`): it belongs to the download that has been counted,
and has a receipt of its own over its own bytes.

Source:
    docs/adr/0006-enforcement.md
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

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
    TimeOfUse,
    Transaction,
)
from connector.protocol.negotiation import ContractAgreement
from connector.protocol.transfer import Download, TransferFormat, TransferMessage, TransferProcess
from connector.queries.errors import DATA_UNREADABLE, DataUnreadableError
from connector.services.accessing import (
    Access,
    AccessDeniedError,
    UseRefusedError,
    access_of,
    agreement_behind,
    open_access,
    permitted,
    reserve,
)
from connector.services.deciding import Deciding, refused_under
from connector.services.delivering import reason_in
from connector.services.receipting import DOWNLOAD, RECEIPT_HEADER, Leaving, release_of
from connector.services.releasing import record_release
from connector.services.transferring import Transferring
from policies.actions import RAW
from policies.circumstances import NOTHING_STATED, Circumstances
from policies.model import LanguageMap, Permission
from policies.restrictions import opens_raw_data
from schemas.messages import DataAddress, parse_message

MOST_PER_USE: Final = 2
"""One use releases each byte at most so often; fetching parts over and over is a new download."""
_PUSH_SECONDS: Final = 300
_SLOWEST_PUSH: Final = 1_000_000
"""Bytes per second, beyond the time that every push has."""
_OK: Final = range(200, 300)
_INTERRUPTED: Final = "The provider's connector stopped while it sent the data; ask for them again."
_MEDIA_TYPES: Final = {
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".arrows": "application/vnd.apache.arrow.stream",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file.

    Attributes:
        first: Position of its first byte.
        last: Position of its last byte.
    """

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.last - self.first + 1

    def of(self, size: int) -> str:
        """The part as HTTP names it, of a file with this many bytes."""
        return f"bytes {self.first}-{self.last}/{size}"


@dataclass(frozen=True, slots=True)
class Offered:
    """A data file that may leave.

    Attributes:
        size: How many bytes it has.
        digest: SHA-256 of them.
        media_type: What they are.
        name: What the file is called outside.
    """

    size: int
    digest: str
    media_type: str
    name: str


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A data file, or a part of one, that is about to leave; its receipt exists.

    Attributes:
        chunks: Its bytes, piece by piece.
        file: The whole file.
        part: Which part of it leaves; None for all of it.
        receipt: IRI of the receipt.
    """

    chunks: AsyncIterator[bytes]
    file: Offered
    part: Part | None
    receipt: str

    @property
    def size(self) -> int:
        """How many bytes leave."""
        return self.file.size if self.part is None else self.part.size


def _whole(_: Offered) -> None:
    """The whole file is wanted."""


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
        deciding: Writes decisions into the ledger.
        circumstances: What we state about ourselves, the calendar and our partners.
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
        deciding: Deciding,
        circumstances: Circumstances = NOTHING_STATED,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._credentials = credentials
        self._files = files
        self._peers = peers
        self._transferring = transferring
        self._deciding = deciding
        self._circumstances = circumstances
        self._under_way: set[str] = set()

    async def look(self, token: str) -> Offered:
        """What a consumer would get; nothing leaves, nothing is counted.

        Raises:
            AccessDeniedError: The token opens nothing.
            UseRefusedError: The agreement does not permit it, or no longer.
            DataUnreadableError: The file is missing, or another one than was published.
            TooManyRefusalsError: It is refused, like too many before it.
        """
        try:
            access = await self._store.transact(lambda tx: open_access(tx, token, TransferFormat.DOWNLOAD))
            raw_permission(_without_download(access), self._clock.now(), self._circumstances)
        except UseRefusedError as refusal:
            await self._turn_away(lambda tx: agreement_behind(tx, token), refusal.reason)
            raise
        return _offered(access, await self._examined(access))

    async def open(self, token: str, choose: Callable[[Offered], Part | None] = _whole) -> HandedOver:
        """Let a consumer have a data file, or a part of it.

        The first request counts as a use, and so does every request for the
        whole file. A part of the same file, with the same token, belongs to the
        use that has been counted, until that use has released twice the file.

        Args:
            token: Access token of the transfer process.
            choose: Tells which part is wanted, once the file is known; may raise.

        Raises:
            AccessDeniedError: The token opens nothing.
            UseRefusedError: The agreement does not permit it, or no longer.
            DataUnreadableError: The file is missing, or another one than was published.
            TooManyRefusalsError: It is refused, like too many before it.
        """

        def opened(tx: Transaction) -> Access:
            return open_access(tx, token, TransferFormat.DOWNLOAD)

        try:
            return await self._release(opened, lambda *_: None, choose)
        except UseRefusedError as refusal:
            await self._turn_away(lambda tx: agreement_behind(tx, token), refusal.reason)
            raise

    async def _turn_away(
        self, behind: Callable[[Transaction], ContractAgreement | None], reason: LanguageMap
    ) -> None:
        """Note that a data file may not leave."""

        def work(tx: Transaction) -> None:
            agreement = behind(tx)
            if agreement is not None:
                refused = refused_under(
                    agreement,
                    reason,
                    action=RAW[0],
                    purpose=None,
                    request_digest=hashlib.sha256(agreement.dataset.encode()).hexdigest(),
                )
                self._deciding.tell(tx, refused)

        await self._store.transact(work)

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
            handed = await self._release(lambda tx: access_of(tx, record), noted)
            return await self._posted(record, handed)
        except UseRefusedError as refusal:
            await self._turn_away(lambda tx: tx.agreement(record.agreement_id), refusal.reason)
            return str(refusal)
        except (AccessDeniedError, PeerUnreachableError, PeerRefusedError) as refusal:
            return str(refusal)
        except DataUnreadableError:
            return DATA_UNREADABLE["en"]

    async def _posted(self, record: TransferProcess, handed: HandedOver) -> str | None:
        address = parse_message(record.data_address or {}, DataAddress)
        answer = await self._peers.send(
            "POST",
            address.destination or "",
            authorization=address.authorization,
            headers={"content-length": str(handed.size), RECEIPT_HEADER: handed.receipt},
            body=handed.chunks,
            media_type=handed.file.media_type,
            timeout=timedelta(seconds=_PUSH_SECONDS + handed.size // _SLOWEST_PUSH),
        )
        return None if answer.status in _OK else f"The destination refused the data: {reason_in(answer)}."

    async def _release(
        self,
        open_: Callable[[Transaction], Access],
        note: Callable[[Transaction, str], None],
        choose: Callable[[Offered], Part | None] = _whole,
    ) -> HandedOver:
        """Decide, count, sign: after this the bytes may leave."""
        access = await self._store.transact(open_)
        started = self._clock.now()
        raw_permission(_without_download(access), started, self._circumstances)
        file = await self._examined(access)
        offered = _offered(access, file)
        part = choose(offered)
        receipt = self._identifiers.new()

        def work(tx: Transaction) -> None:
            current = open_(tx)
            now = self._clock.now()
            counted = _count(tx, current, file, part, now, self._circumstances)
            note(tx, receipt)
            leaving = _leaving(current, counted, file, part, started)
            release = release_of(tx, self._credentials, current, leaving, identifier=receipt, ended=now)
            record_release(tx, self._credentials, release)

        await self._store.transact(work)
        first, end = (0, None) if part is None else (part.first, part.last + 1)
        return HandedOver(self._files.chunks(file, first, end), offered, part, receipt)

    async def _examined(self, access: Access) -> DataFile:
        """The data file, if it is the one that was published: the receipt states its rows and its digest."""
        try:
            file = await self._files.examine(access.published.source)
        except DataUnreadableError as problem:
            raise DataUnreadableError.for_counterparties() from problem
        if file.digest != access.published.dataset.digest:
            raise DataUnreadableError.for_counterparties()
        return file


@dataclass(frozen=True, slots=True)
class _Counted:
    """On whose account a release stands.

    Attributes:
        permission: The permission that opens it.
        uses: Uses before and after; the same where it belongs to a use that was counted before.
    """

    permission: Permission
    uses: tuple[int, int]

    @property
    def is_new(self) -> bool:
        """Whether this is a use of its own."""
        before, after = self.uses
        return before != after


def _count(
    tx: Transaction,
    access: Access,
    file: DataFile,
    part: Part | None,
    now: datetime,
    circumstances: Circumstances,
) -> _Counted:
    """Put a release on the account: a new use, or more of the download that is under way.

    Raises:
        UseRefusedError: The agreement does not permit it, or no longer.
    """
    size = file.size if part is None else part.size
    known = access.transfer.download
    if part is not None and known is not None and _belongs(known, access.transfer, file, size):
        permission = raw_permission(_without_download(access), now, circumstances)
        if permission.identifier == known.rule:
            uses = access.uses[known.rule]
            grown = replace(known, released=known.released + size)
            tx.save_transfer(replace(access.transfer, download=grown))
            return _Counted(permission, (uses, uses))
    permission = raw_permission(access, now, circumstances)
    uses_now = reserve(tx, access, permission, now)
    download = Download(permission.identifier, access.transfer.token_digest or "", file.digest, size)
    tx.save_transfer(replace(access.transfer, download=download))
    return _Counted(permission, uses_now)


def _belongs(known: Download, transfer: TransferProcess, file: DataFile, size: int) -> bool:
    same = (known.token_digest, known.file_digest) == (transfer.token_digest, file.digest)
    return same and known.released + size <= MOST_PER_USE * file.size


def _without_download(access: Access) -> Access:
    """The account without the use of the download under way: it does not stand in its own way."""
    known = access.transfer.download
    if known is None or known.token_digest != access.transfer.token_digest:
        return access
    before = max(access.uses.get(known.rule, 0) - 1, 0)
    # Where its rule asks for time between two uses, the one before it was long enough ago.
    times = {rule: time for rule, time in access.times.items() if rule != known.rule}
    return replace(access, uses={**access.uses, known.rule: before}, times={**times, known.rule: TimeOfUse()})


def _offered(access: Access, file: DataFile) -> Offered:
    suffix = file.path.suffix.lower()
    media_type = _MEDIA_TYPES.get(suffix, "application/octet-stream")
    return Offered(file.size, file.digest, media_type, access.published.dataset.table + suffix)


def _leaving(
    access: Access, counted: _Counted, file: DataFile, part: Part | None, started: datetime
) -> Leaving:
    asked = access.transfer.pid if part is None else f"{access.transfer.pid} {part.of(file.size)}"
    return Leaving(
        kind=DOWNLOAD,
        action=RAW[0],
        rule=counted.permission.identifier,
        purpose=None,
        request_digest=hashlib.sha256(asked.encode()).hexdigest(),
        restrictions={},
        started=started,
        uses=counted.uses,
        tier="none",
        data_digest=file.digest,
        # How many rows a part holds, nobody can tell: the first one counts for all of them.
        raw_rows=access.published.dataset.rows if counted.is_new else 0,
        raw_bytes=file.size if part is None else part.size,
        part=None if part is None else part.of(file.size),
    )


def raw_permission(
    access: Access, now: datetime, circumstances: Circumstances = NOTHING_STATED
) -> Permission:
    """The permission under which a data file may leave as it is.

    Handing out a copy is reproducing, extracting and copying: a prohibition of
    any of them stops it. A permission that limits queries or computations does
    not count, because a raw copy knows no such limits.

    Raises:
        UseRefusedError: There is none now, or the dataset is not on offer in this form.
    """
    if access.transfer.transfer_format not in access.published.dataset.formats:
        raise UseRefusedError(NO_RAW_DATA)
    wide = tuple(one for one in access.policy.permissions if opens_raw_data(one))
    unlimited = replace(access, policy=replace(access.policy, permissions=wide))
    found = [
        permitted(unlimited, action=action, purpose=None, now=now, circumstances=circumstances)
        for action in RAW
    ]
    return found[0]


NO_RAW_DATA: Final[LanguageMap] = {
    "de": "Die Rohdaten dieses Datensatzes werden nicht herausgegeben.",
    "en": "The raw data of this dataset are not handed out.",
}
