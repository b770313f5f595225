"""What the use cases need from the world: one small protocol per need."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa

from catalog.dsp import DatasetView
from catalog.model import Dataset
from connector.evidence.did import DidDocument
from connector.protocol.computation import Computation
from connector.protocol.jobs import ComputationOutcome, Job
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement, ContractNegotiation
from connector.protocol.transfer import TransferProcess
from policies.model import LanguageMap
from schemas.strict_json import JsonObject

T = TypeVar("T")


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The current time in UTC."""
        ...


class Identifiers(Protocol):
    """Makes names and secrets that nobody can guess."""

    def new(self) -> str:
        """A fresh `urn:uuid:` IRI."""
        ...

    def secret(self) -> str:
        """A fresh access token."""
        ...


@dataclass(frozen=True, slots=True)
class Participant:
    """A counterparty whose identity has been verified.

    Attributes:
        did: Its DID, or another identifier that both sides have agreed on.
        document: The DID document that proves it; None where something else does.
    """

    did: str
    document: DidDocument | None


class IdentityRefusedError(Exception):
    """A caller did not prove who it is; the sentence is for our log, not for the caller."""


class IdentityUnavailableError(IdentityRefusedError):
    """A participant's DID document could not be read now; the same request may succeed later."""


class Credentials(Protocol):
    """Our own identity: what we are called, and what we sign with."""

    @property
    def did(self) -> str:
        """Our DID."""
        ...

    @property
    def document(self) -> DidDocument:
        """Our DID document."""
        ...

    @property
    def verification_method(self) -> str:
        """Identifier of the key that `prove` signs with."""
        ...

    def prove(self, statement: JsonObject, created: datetime) -> JsonObject:
        """Sign a statement; returns the statement with our proof added to its proofs."""
        ...


@dataclass(frozen=True, slots=True)
class PublishedDataset:
    """A dataset with what stays inside: where its data lie, and whether a person decides.

    Attributes:
        dataset: What the catalog shows.
        source: The data file.
        approval: `automatic`, or `manual` where a person accepts each negotiation.
    """

    dataset: Dataset
    source: Path
    approval: str


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """A message that waits for delivery.

    Attributes:
        exchange: `negotiations` or `transfers`.
        pid: Our pid of the exchange.
        kind: The message's kind in the protocol table.
        peer: The counterparty's DID: audience of our token.
        address: Base address of the counterparty.
        path: Path below it.
        body: The message as JSON text, exactly as it is repeated.
        not_before: Earliest time of the next attempt.
        attempts: Attempts so far.
    """

    exchange: str
    pid: str
    kind: str
    peer: str
    address: str
    path: str
    body: str
    not_before: datetime
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer that a message was given: a repeated message gets it again."""

    status: int
    body: JsonObject | None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the ledger.

    Attributes:
        index: Position, from 0.
        kind: `agreement`, `query`, `computation` or `download`.
        identifier: IRI of the agreement or receipt.
        agreement_id: IRI of the agreement that it belongs to.
        dataset: IRI of the dataset.
        leaf: Canonical bytes of the signed document: what the Merkle tree hashes.
        raw_rows_out: Rows of raw data that left.
        raw_bytes_out: Bytes of raw data that left.
        result_bytes_out: Bytes of results that left.
        recorded: When it was written.
    """

    index: int
    kind: str
    identifier: str
    agreement_id: str
    dataset: str
    leaf: bytes
    raw_rows_out: int
    raw_bytes_out: int
    result_bytes_out: int
    recorded: datetime


@dataclass(frozen=True, slots=True)
class RemoteDataset:
    """A dataset in another participant's catalog, as last read.

    Attributes:
        provider: The provider's DID.
        provider_name: What the provider calls itself.
        address: DSP base address at which it is negotiated.
        view: What the catalog shows.
        read: When it was read.
    """

    provider: str
    provider_name: str
    address: str
    view: DatasetView
    read: datetime


@dataclass(frozen=True, slots=True)
class QueryRecord:
    """A governed query as one of its parties remembers it, refused ones included.

    Attributes:
        identifier: IRI of the query; of the receipt where it was answered.
        role: The role that we played.
        peer: The counterparty's DID.
        dataset: IRI of the dataset.
        agreement_id: IRI of the agreement.
        statement: What was asked.
        purpose: The declared purpose.
        refusal: Why it was refused, per language; None where it was answered.
        groups_out: Groups that left.
        bytes_out: Bytes that left.
        suppressed_groups: Groups that were withheld.
        created: When it was asked.
    """

    identifier: str
    role: Party
    peer: str
    dataset: str
    agreement_id: str
    statement: str
    purpose: str | None
    refusal: LanguageMap | None
    groups_out: int
    bytes_out: int
    suppressed_groups: int
    created: datetime


class EvidenceExistsError(Exception):
    """A counterparty gave new evidence the identifier of evidence that is kept already."""


class Transaction(Protocol):
    """All changes of one use case; they are saved together or not at all."""

    def dataset(self, identifier: str) -> PublishedDataset | None:
        """A dataset of ours; None where there is none."""
        ...

    def datasets(self) -> tuple[PublishedDataset, ...]:
        """All datasets of ours, oldest first."""
        ...

    def save_dataset(self, record: PublishedDataset) -> None:
        """Keep a dataset, new or changed."""
        ...

    def negotiation(self, pid: str) -> ContractNegotiation | None:
        """A negotiation by our pid."""
        ...

    def negotiation_of(self, peer: str, peer_pid: str) -> ContractNegotiation | None:
        """A negotiation by the counterparty and its pid."""
        ...

    def negotiations(self) -> tuple[ContractNegotiation, ...]:
        """All negotiations, oldest first."""
        ...

    def save_negotiation(self, record: ContractNegotiation) -> None:
        """Keep a negotiation, new or changed."""
        ...

    def agreement(self, identifier: str) -> ContractAgreement | None:
        """An agreement by its IRI."""
        ...

    def agreements(self) -> tuple[ContractAgreement, ...]:
        """All agreements, oldest first."""
        ...

    def save_agreement(self, record: ContractAgreement) -> None:
        """Keep an agreement, new or with more evidence."""
        ...

    def transfer(self, pid: str) -> TransferProcess | None:
        """A transfer process by our pid."""
        ...

    def transfer_of(self, peer: str, peer_pid: str) -> TransferProcess | None:
        """A transfer process by the counterparty and its pid."""
        ...

    def transfer_with_token(self, token_digest: str) -> TransferProcess | None:
        """The transfer process that an access token belongs to, by the token's digest."""
        ...

    def transfers(self) -> tuple[TransferProcess, ...]:
        """All transfer processes, oldest first."""
        ...

    def save_transfer(self, record: TransferProcess) -> None:
        """Keep a transfer process, new or changed."""
        ...

    def computation(self, identifier: str) -> Computation | None:
        """A computation by its IRI."""
        ...

    def computations(self) -> tuple[Computation, ...]:
        """All computations, oldest first."""
        ...

    def save_computation(self, record: Computation) -> None:
        """Keep a computation, new or changed."""
        ...

    def save_output(self, computation: str, name: str, content: bytes) -> None:
        """Keep the content of a checked output."""
        ...

    def output(self, computation: str, name: str) -> bytes | None:
        """The content of a checked output."""
        ...

    def answer(self, peer: str, digest: str) -> StoredAnswer | None:
        """The answer that a message was given; None where it is new."""
        ...

    def save_answer(self, peer: str, digest: str, answer: StoredAnswer, now: datetime) -> None:
        """Keep the answer that a message was given."""
        ...

    def enqueue(self, message: OutboundMessage) -> None:
        """Put a message into the outbox; it replaces an undelivered one of the same exchange."""
        ...

    def outbound(self, exchange: str, pid: str) -> OutboundMessage | None:
        """The undelivered message of an exchange."""
        ...

    def due(self, now: datetime) -> tuple[OutboundMessage, ...]:
        """Undelivered messages whose time has come, longest due first, at most 100."""
        ...

    def next_due(self, now: datetime) -> datetime | None:
        """When the next later message falls due; None where none waits."""
        ...

    def dequeue(self, exchange: str, pid: str) -> None:
        """Take the message of an exchange out of the outbox."""
        ...

    def uses(self, agreement_id: str) -> Mapping[str, int]:
        """Uses counted so far per rule of an agreement."""
        ...

    def reserve(self, agreement_id: str, rule: str, limit: int | None) -> bool:
        """Count one use, unless the limit is reached; returns whether it was counted."""
        ...

    def refund(self, agreement_id: str, rule: str) -> None:
        """Take one counted use back."""
        ...

    def append_ledger(self, entry: LedgerEntry) -> None:
        """Write the next line of the ledger."""
        ...

    def ledger_size(self) -> int:
        """Number of lines of the ledger."""
        ...

    def ledger_hashes(self) -> tuple[bytes, ...]:
        """The leaf hashes of the ledger, in order."""
        ...

    def ledger(self) -> tuple[LedgerEntry, ...]:
        """All lines of the ledger, in order."""
        ...

    def ledger_entry(self, identifier: str) -> LedgerEntry | None:
        """The line about an agreement or a receipt."""
        ...

    def save_document(self, identifier: str, content: bytes) -> None:
        """Keep an evidence file, byte for byte; evidence is never overwritten.

        Raises:
            EvidenceExistsError: Another file is kept under this identifier.
        """
        ...

    def document(self, identifier: str) -> bytes | None:
        """An evidence file, byte for byte."""
        ...

    def save_remote_dataset(self, record: RemoteDataset) -> None:
        """Keep what another participant's catalog shows."""
        ...

    def remote_dataset(self, identifier: str) -> RemoteDataset | None:
        """A dataset of another participant, as last read."""
        ...

    def remote_datasets(self) -> tuple[RemoteDataset, ...]:
        """All datasets of others, as last read."""
        ...

    def save_query(self, record: QueryRecord) -> None:
        """Keep the record of a query."""
        ...

    def queries(self) -> tuple[QueryRecord, ...]:
        """All records of queries, oldest first."""
        ...

    def remember_token(self, token: str, expires: datetime, now: datetime) -> bool:
        """Remember a token until it expires; returns False where it was remembered already."""
        ...


class Store(Protocol):
    """Keeps everything that a participant must not forget."""

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run one use case's changes, alone, and save them durably.

        Args:
            work: Reads and changes; must not wait for anything else.

        Returns:
            What `work` returns, after the changes are on disk.

        Raises:
            Exception: Whatever `work` raises; nothing is saved then.
        """
        ...


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """What a counterparty answered."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class PeerUnreachableError(Exception):
    """A counterparty gave no answer; it is worth trying again."""


class PeerRefusedError(Exception):
    """A counterparty refused; the sentence is its reason."""


class Peers(Protocol):
    """Talks to counterparties."""

    async def send(
        self,
        method: str,
        url: str,
        *,
        audience: str | None = None,
        token: str | None = None,
        authorization: str | None = None,
        body: bytes | None = None,
        media_type: str = ...,
        timeout: timedelta = ...,  # noqa: ASYNC109 - a limit on the whole answer, kept by the adapter
        max_bytes: int = ...,
    ) -> PeerAnswer:
        """Send one request.

        Args:
            method: HTTP method.
            url: Absolute address.
            audience: DID of the counterparty for whom we identify ourselves.
            token: Access token that the counterparty gave us, instead.
            authorization: The whole Authorization header, where the counterparty wants another form.
            body: What to send.
            media_type: What that is; JSON unless stated.
            timeout: Longest wait for the whole answer.
            max_bytes: Longest body that is accepted.

        Raises:
            PeerUnreachableError: No answer, or a 5xx status.
            PeerRefusedError: The address is one that we never call.
        """
        ...


class TableDescription(Protocol):
    """What a data file holds."""

    @property
    def columns(self) -> Sequence[tuple[str, str]]:
        """Name and Arrow type of each column."""
        ...

    @property
    def rows(self) -> int:
        """Number of rows."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the file, 64 lower-case hexadecimal digits."""
        ...


class Projections(Protocol):
    """Cuts data files down to what an agreement permits."""

    async def describe(self, source: Path) -> TableDescription:
        """Tell what a data file holds.

        Raises:
            DataUnreadableError: It is missing, of an unknown kind, or malformed.
        """
        ...

    async def materialise(self, source: Path, columns: Sequence[str], key: str) -> Path:
        """Give an Arrow IPC file with only the permitted columns.

        Args:
            source: The data file.
            columns: Which columns, in which order.
            key: Digest of the data file: a projection is made once per key and columns.

        Raises:
            DataUnreadableError: The file is missing or malformed.
        """
        ...


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file as it was when somebody looked.

    Attributes:
        path: Where it lies.
        size: Bytes.
        digest: SHA-256, 64 lower-case hexadecimal digits.
        version: What tells it from a file that takes its place later.
    """

    path: Path
    size: int
    digest: str
    version: tuple[int, ...]


class DataFiles(Protocol):
    """Reads data files as they are."""

    async def examine(self, source: Path) -> DataFile:
        """Look at a data file.

        Raises:
            DataUnreadableError: It is missing or cannot be read.
        """
        ...

    def chunks(self, file: DataFile) -> AsyncIterator[bytes]:
        """The file's bytes, piece by piece.

        Raises:
            DataUnreadableError: It is not the file any more that was looked at.
        """
        ...


class QueryEngine(Protocol):
    """Runs statements of ours over a permitted projection."""

    async def run(self, statement: str, *, table: str, projection: Path, timeout_seconds: float) -> pa.Table:
        """Run one statement over a projection.

        Args:
            statement: A single SELECT, written by us.
            table: Name under which the statement addresses the projection.
            projection: An Arrow IPC file; nothing else exists for the statement.
            timeout_seconds: Wall-clock time for the whole query.

        Raises:
            QueryFailedError: It could not be computed, or not in time.
        """
        ...


class ComputeBackend(Protocol):
    """Runs algorithms of others over a permitted projection."""

    @property
    def tier(self) -> str:
        """Which protections are in force, for receipts."""
        ...

    async def run(self, job: Job) -> ComputationOutcome:
        """Run a job to its end, or to its limits.

        Raises:
            JobRefusedError: There is no sandbox, or the job's files break a rule.
        """
        ...


class DocumentResolver(Protocol):
    """Finds participants by their DID."""

    async def document(self, did: str) -> DidDocument:
        """The participant's current DID document."""
        ...


class Changes(Protocol):
    """Tells who waits that something has changed."""

    @property
    def version(self) -> int:
        """Grows with every change."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the connector is stopping: then nobody waits any longer."""
        ...

    def notify(self) -> None:
        """Something has changed."""
        ...

    async def wait_past(self, version: int, timeout: timedelta) -> None:  # noqa: ASYNC109 - a promise of the port
        """Wait until something has changed after `version`, or the time has passed."""
        ...


Wake = Callable[[], None]
"""Tells the worker that there is something to do."""
