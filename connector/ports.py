"""What the use cases need from the world: one small protocol per need."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa

from catalog.dsp import DatasetView
from catalog.model import Dataset
from connector.evidence.credentials import Credential
from connector.evidence.did import DidDocument, did_url
from connector.protocol.computation import Computation
from connector.protocol.jobs import ComputationOutcome, Job
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement, ContractNegotiation
from connector.protocol.transfer import TransferProcess
from connector.queries.permitted import Redaction
from policies.consents import Consent, ConsentRegister
from policies.model import LanguageMap
from policies.privacy import PrivacyDescription, SensitiveFigures
from policies.row_filters import RowFilter
from schemas.errors import WordedError
from schemas.strict_json import JsonObject

T = TypeVar("T")
MOST_DUE = 100
"""Messages that the outbox hands out at a time."""
MOST_FORGOTTEN = 1000
"""Answers that the inbox forgets at a time: nobody else gets at the store meanwhile."""


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
class UsedToken:
    """A token that counts once.

    Attributes:
        identifier: Digest of issuer and token identifier.
        expires: From when on it may be forgotten.
    """

    identifier: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Participant:
    """A counterparty whose identity has been verified.

    Attributes:
        did: Its DID, or another identifier that both sides have agreed on.
        document: The DID document that proves it; None where something else does.
        address: Its DSP base address, where our configuration states it.
        token: The token that proved it, where it has not been used up yet.
        access_token: What lets us ask for its credentials; None where it shows none.
    """

    did: str
    document: DidDocument | None
    address: str | None = None
    token: UsedToken | None = None
    access_token: str | None = None

    @property
    def addresses(self) -> tuple[str, ...] | None:
        """Where its services are: the host of its name and what its DID document lists, or as configured.

        None where neither a document nor our configuration says.
        """
        if self.document is not None:
            return did_url(self.did), *(service.endpoint for service in self.document.services)
        return None if self.address is None else (self.address,)


class IdentityRefusedError(Exception):
    """A caller did not prove who it is; the sentence is for our log, not for the caller."""


class TokenUsedError(IdentityRefusedError):
    """Somebody has sent a token that was used before."""

    def __init__(self, participant: str) -> None:
        super().__init__(f"This token of {participant!r} was used before.")


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
class InheritedPolicy:
    """A kept policy whose rules an offer took over.

    Attributes:
        identifier: IRI of the policy.
        digest: SHA-256 (JCS) of its document, 64 lower-case hexadecimal digits.
    """

    identifier: str
    digest: str


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """A policy that others may take over the rules of; what is kept under an IRI never changes.

    Attributes:
        identifier: IRI of the policy.
        digest: SHA-256 (JCS) of its document, 64 lower-case hexadecimal digits.
        document: The policy as it was handed in, compact JSON.
        kept: When it was first kept.
        withdrawn: From when on nobody takes its rules over any more; None while somebody may.
    """

    identifier: str
    digest: str
    document: JsonObject
    kept: datetime
    withdrawn: datetime | None = None


@dataclass(frozen=True, slots=True)
class PublishedDataset:
    """A dataset with what stays inside: where its data lie, and whether a person decides.

    Attributes:
        dataset: What the catalog shows.
        source: The data file.
        approval: `automatic`, or `manual` where a person accepts each negotiation.
        row_filters: The filters that policies on it may name.
        accepts_unsigned: Whether an agreement opens it that not both parties have signed.
        consents: The registers of consents that policies on it may name.
        privacy: What noise needs to know about it; None where no policy may ask for noise.
        inherited: The policies whose rules its offer took over, near and far.
    """

    dataset: Dataset
    source: Path
    approval: str
    row_filters: Mapping[str, RowFilter] = field(default_factory=dict)
    accepts_unsigned: bool = False
    consents: Mapping[str, ConsentRegister] = field(default_factory=dict)
    privacy: PrivacyDescription | None = None
    inherited: tuple[InheritedPolicy, ...] = ()


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
class TimeOfUse:
    """When and for how long a rule of an agreement was used, where the rule limits that.

    Attributes:
        last: When it was last used; None where it never was.
        metered: For how long computations ran under it, time that is reserved for running ones included.
    """

    last: datetime | None = None
    metered: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A use that has been counted, but is neither released nor given back yet.

    Attributes:
        identifier: IRI; the receipt gets it, where there is a release.
        agreement_id: IRI of the agreement.
        rule: The permission on whose account it is.
        created: When it was counted.
    """

    identifier: str
    agreement_id: str
    rule: str
    created: datetime


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the ledger.

    Attributes:
        index: Position, from 0.
        kind: `agreement`, `retirement`, `refusal`, `permit`, `query`, `computation` or `download`.
        identifier: IRI of the agreement, decision or receipt.
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
class KnownHead:
    """A state of a ledger that its keeper has signed: ours, or a partner's.

    Attributes:
        ledger: DID of the ledger's keeper.
        size: Number of entries.
        root: Root hash, 64 lower-case hexadecimal digits.
        head: The signed tree head.
        seen: When we made or got it.
        peaks: (Ours) What is needed to append to the ledger without reading it:
            the roots of its full subtrees, as hexadecimal digits.
        compared: (A partner's) When its keeper last proved that its ledger still
            begins like this; None where it was not asked yet.
        problem: (A partner's) Why the ledger cannot be trusted any more; None while it can.
    """

    ledger: str
    size: int
    root: str
    head: JsonObject
    seen: datetime
    peaks: tuple[str, ...] = ()
    compared: datetime | None = None
    problem: LanguageMap | None = None


@dataclass(frozen=True, slots=True)
class HeldCredential:
    """A credential about us that we keep, to show it to partners.

    Attributes:
        credential: What it states.
        token: The credential as its issuer has signed it.
        kept: When we put it there.
    """

    credential: Credential
    token: str
    kept: datetime


@dataclass(frozen=True, slots=True)
class ShownCredential:
    """A credential that a partner has shown, signed by somebody whom we trust for it.

    Attributes:
        credential: What it states.
        checked: When we last saw whether it has been taken back.
        taken_back: Whether it has been.
    """

    credential: Credential
    checked: datetime
    taken_back: bool = False


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a partner has shown us of its credentials the last time.

    Attributes:
        partner: The partner's DID.
        shown: When.
        credentials: Those that are signed by somebody whom we trust for them.
        refused: Why others do not count, per language.
    """

    partner: str
    shown: datetime
    credentials: tuple[ShownCredential, ...]
    refused: tuple[LanguageMap, ...] = ()


@dataclass(frozen=True, slots=True)
class IssuedCredential:
    """A credential that we have issued about somebody else.

    Attributes:
        identifier: IRI of the credential.
        index: Its place in our list of states.
        subject: DID of whom it is about.
        kind: Its type, such as `MembershipCredential`.
        token: The credential as we have signed it.
        issued: When.
        valid_until: Until when it counts.
        taken_back: When we have taken it back; None while it counts.
    """

    identifier: str
    index: int
    subject: str
    kind: str
    token: str
    issued: datetime
    valid_until: datetime
    taken_back: datetime | None = None


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


@dataclass(frozen=True, slots=True)
class EpsilonEntry:
    """One line of the account of epsilon; lines are added and never changed.

    Attributes:
        identifier: IRI of the line.
        agreement_id: IRI of the agreement under which it was spent.
        dataset: IRI of the dataset.
        question: Digest of the question, equal for equal questions only.
        epsilon: What was spent; below zero where it was given back.
        recorded: When.
    """

    identifier: str
    agreement_id: str
    dataset: str
    question: str
    epsilon: Decimal
    recorded: datetime


@dataclass(frozen=True, slots=True)
class NoisyAnswer:
    """Figures with noise, as they were drawn once; the same question gets them again.

    Attributes:
        agreement_id: IRI of the agreement.
        question: Digest of the question.
        figures: Noisy figures by their column, one value per group.
        drawn: When.
    """

    agreement_id: str
    question: str
    figures: Mapping[str, tuple[int, ...]]
    drawn: datetime


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

    def kept_policy(self, identifier: str) -> KeptPolicy | None:
        """A policy that was kept for others to inherit from, withdrawn or not; None where there is none."""
        ...

    def kept_policies(self) -> tuple[KeptPolicy, ...]:
        """All policies that were kept for others to inherit from, withdrawn ones included, oldest first."""
        ...

    def keep_policy(self, record: KeptPolicy) -> None:
        """Keep a policy for others to inherit from, new, withdrawn or brought back."""
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

    def forget_answers(self, before: datetime) -> int:
        """Forget answers given before a time, at most `MOST_FORGOTTEN`; returns how many."""
        ...

    def enqueue(self, message: OutboundMessage) -> None:
        """Put a message into the outbox; it replaces an undelivered one of the same exchange."""
        ...

    def outbound(self, exchange: str, pid: str) -> OutboundMessage | None:
        """The undelivered message of an exchange."""
        ...

    def due(self, now: datetime) -> tuple[OutboundMessage, ...]:
        """Undelivered messages whose time has come, longest due first, at most `MOST_DUE`."""
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

    def time_of_use(self, agreement_id: str, rule: str) -> TimeOfUse:
        """When a rule of an agreement was last used, and for how long."""
        ...

    def note_use(self, agreement_id: str, rule: str, now: datetime, apart: timedelta) -> bool:
        """Note a use now, unless the last one is nearer than `apart`; returns whether it was noted."""
        ...

    def forget_use(self, agreement_id: str, rule: str, at: datetime) -> None:
        """Take back that the last use was then; the one before it is long enough ago."""
        ...

    def meter(self, agreement_id: str, rule: str, time: timedelta, total: timedelta) -> bool:
        """Reserve time, unless more than the total would be metered; returns whether it was."""
        ...

    def return_time(self, agreement_id: str, rule: str, time: timedelta) -> None:
        """Put time back that was reserved and not needed."""
        ...

    def open_reservation(self, reservation: Reservation) -> None:
        """Remember that a counted use is still to happen."""
        ...

    def close_reservation(self, identifier: str) -> bool:
        """A counted use has happened or is given back; returns False where it was not open."""
        ...

    def reservations(self) -> tuple[Reservation, ...]:
        """Counted uses that are still to happen, oldest first."""
        ...

    def epsilon_spent(self, account: str) -> Decimal:
        """Epsilon spent so far from an account, reserved epsilon included."""
        ...

    def spend_epsilon(self, account: str, epsilon: Decimal, total: Decimal) -> bool:
        """Spend epsilon from an account, unless more than the total would be spent; returns whether it was.

        Args:
            account: The agreement's or the dataset's.
            epsilon: How much, in billionths at the finest.
            total: What may be spent from this account altogether.
        """
        ...

    def refund_epsilon(self, account: str, epsilon: Decimal) -> None:
        """Put epsilon back: nothing has been drawn for it."""
        ...

    def append_epsilon(self, entry: EpsilonEntry) -> None:
        """Write the next line of the account of epsilon."""
        ...

    def epsilon_entries(self, dataset: str) -> tuple[EpsilonEntry, ...]:
        """All lines about a dataset, oldest first."""
        ...

    def noisy_answer(self, agreement_id: str, question: str) -> NoisyAnswer | None:
        """The noisy answer that a question was given under an agreement; None where it is new."""
        ...

    def save_noisy_answer(self, record: NoisyAnswer) -> NoisyAnswer:
        """Keep a noisy answer; returns the one that is kept, which is the first."""
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

    def save_head(self, record: KnownHead) -> None:
        """Keep a tree head, new or compared once more.

        Raises:
            EvidenceExistsError: Another root is kept for this ledger and size.
        """
        ...

    def heads(self, ledger: str) -> tuple[KnownHead, ...]:
        """All tree heads of a keeper's ledger, smallest first."""
        ...

    def latest_head(self, ledger: str) -> KnownHead | None:
        """The largest tree head of a keeper's ledger; None where there is none."""
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

    def held_credentials(self) -> tuple[HeldCredential, ...]:
        """All credentials about us, oldest first."""
        ...

    def save_held_credential(self, record: HeldCredential) -> None:
        """Keep a credential about us, new or renewed."""
        ...

    def discard_held_credential(self, identifier: str) -> bool:
        """Forget a credential about us; returns False where there was none."""
        ...

    def presentations(self) -> tuple[Presentation, ...]:
        """What partners have shown us the last time, oldest partners first."""
        ...

    def save_presentation(self, record: Presentation) -> None:
        """Keep what a partner has shown; it replaces what it had shown before."""
        ...

    def issued_credentials(self) -> tuple[IssuedCredential, ...]:
        """All credentials that we have issued, oldest first."""
        ...

    def save_issued_credential(self, record: IssuedCredential) -> None:
        """Keep a credential that we have issued, or that we have taken it back."""
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

    def follow_outbox(self, follow: Callable[[Sequence[OutboundMessage]], None]) -> None:
        """Tell somebody about messages that have been put into the outbox, once they are on disk."""
        ...


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """What a counterparty answered.

    Attributes:
        status: HTTP status.
        body: The whole body.
        headers: Header names in lower case.
        links: Addresses from its `Link` header by relation, such as `next`; absolute.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    links: Mapping[str, str] = field(default_factory=dict)


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
        headers: Mapping[str, str] = ...,
        body: bytes | AsyncIterable[bytes] | None = None,
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
            headers: Further headers.
            body: What to send; what comes in pieces needs a `content-length` among the headers.
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

    async def materialise(
        self,
        source: Path,
        columns: Sequence[str],
        key: str,
        redaction: Redaction = ...,
        *,
        numbered: bool = ...,
    ) -> Path:
        """Give an Arrow IPC file with only the permitted columns and rows.

        Args:
            source: The data file.
            columns: Which columns, in which order.
            key: Digest of the data file: a projection is made once per key, columns and redaction.
            redaction: Masks and row filters; none unless stated.
            numbered: Whether each text is written once, and rows hold its number: for
                the query engine. A job gets texts as they are, which is what it gets
                unless this is stated.

        Raises:
            DataUnreadableError: The file is missing or malformed, or a mask or filter does not fit it.
        """
        ...


class ConsentRegisters(Protocol):
    """Reads registers of consents."""

    async def consents(self, file: Path) -> Sequence[Consent]:
        """All consents in a register, as it is now.

        Raises:
            DataUnreadableError: It is missing, of an unknown kind, or malformed.
        """
        ...


class KeptProjections(Protocol):
    """Projections that have been made, and are kept for the next time."""

    async def discard(self, wanted: Collection[str], unused_since: datetime) -> int:
        """Delete projections of data files that nobody is interested in any more.

        Args:
            wanted: Digests of the data files whose projections stay.
            unused_since: What was made or used later stays, too: somebody may be reading it.

        Returns:
            How many were deleted.
        """
        ...


class JobFolders(Protocol):
    """Directories in which jobs run."""

    async def clear(self) -> int:
        """Delete what is left of jobs that do not run any more.

        Returns:
            How many directories were deleted.
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

    def chunks(self, file: DataFile, first: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """A part of the file's bytes, piece by piece.

        Args:
            file: As it was when somebody looked.
            first: Where the part begins.
            end: Where it ends, exclusive; None for the end of the file.

        Raises:
            DataUnreadableError: It is not the file any more that was looked at.
        """
        ...


class TooMuchDataError(Exception):
    """Somebody sends more than we keep; the sentence says how much that is."""


class ReceivedFiles(Protocol):
    """Keeps data files that others have sent us."""

    async def keep(self, name: str, chunks: AsyncIterator[bytes]) -> tuple[int, str]:
        """Keep a file, as a whole or not at all.

        Args:
            name: What it is called here; letters, digits, hyphens and one suffix.
            chunks: Its bytes, piece by piece, as they arrive.

        Returns:
            How many there were, and their SHA-256.

        Raises:
            TooMuchDataError: There are more than we keep; nothing is kept.
        """
        ...

    async def discard(self, name: str) -> None:
        """Forget a file; one that is not there is no problem."""
        ...

    def chunks(self, name: str) -> AsyncIterator[bytes]:
        """A kept file's bytes, piece by piece.

        Raises:
            DataUnreadableError: It is not there any more.
        """
        ...


class QueryEngine(Protocol):
    """Runs statements of ours over a permitted projection."""

    async def run(self, statement: str, *, table: str, projection: Path, timeout_seconds: float) -> pa.Table:
        """Run one statement over a projection.

        Args:
            statement: A single SELECT, written by us.
            table: Name under which the statement addresses the projection. Beside each
                column `c` it has a column `c #` (`connector.queries.writing.number_name`),
                of any type, which is null where that is null and equal where that is equal.
            projection: An Arrow IPC file; nothing else exists for the statement.
            timeout_seconds: Wall-clock time for the whole query.

        Raises:
            QueryFailedError: It could not be computed, or not in time.
        """
        ...


class Noise(Protocol):
    """Draws noise for differential privacy."""

    async def add(self, figures: SensitiveFigures) -> tuple[int, ...]:
        """Give figures with noise.

        Args:
            figures: Exact figures, how far one unit can move them, and what they may cost.

        Returns:
            As many whole numbers. They are epsilon-differentially private: how
            likely any of them is changes by at most a factor of `exp(epsilon)`
            where one unit is added or taken away.
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


class CredentialsUnavailableError(WordedError):
    """Credentials, or what their state depends on, could not be read now; the same may succeed later."""

    german = "Ein Nachweis lässt sich jetzt nicht prüfen, später vielleicht"


class CredentialVerifier(Protocol):
    """Asks partners for credentials, and proves them."""

    async def ask(self, holder: DidDocument, token: str, kinds: Sequence[str]) -> tuple[str, ...]:
        """Have a partner show its credentials.

        Args:
            holder: The partner's DID document.
            token: The access token that the partner gave us.
            kinds: The types of credentials that we are interested in.

        Returns:
            The credentials, each a token that is still to be proven. The partner has signed
            that it shows them to us.

        Raises:
            CredentialError: What the partner answered is no presentation of its own for us.
            CredentialsUnavailableError: It did not answer.
        """
        ...

    async def proven(self, token: str, issuers: Collection[str] | None = None) -> Credential:
        """A credential whose signature is its issuer's.

        Args:
            token: The credential, as a token.
            issuers: DIDs of whom we trust; no other one's keys are looked up. None for anybody.

        Raises:
            CredentialError: It is malformed, of another issuer, or its signature does not fit.
            CredentialsUnavailableError: The issuer's keys could not be read.
        """
        ...

    async def is_taken_back(self, credential: Credential) -> bool:
        """Whether the issuer has taken a credential back, for good or for a time.

        Raises:
            CredentialError: Where it should stand is no list of the issuer's.
            CredentialsUnavailableError: It could not be read.
        """
        ...


class CredentialSigner(Protocol):
    """Makes what has to be signed about credentials."""

    def offer(self, kinds: Collection[str]) -> None:
        """Let partners see credentials of these types; none where there are none."""
        ...

    def opened(self, token: str, verifier: str) -> frozenset[str]:
        """The types of credentials that an access token of ours lets somebody see.

        Raises:
            IdentityRefusedError: It is not ours, for somebody else, or expired.
        """
        ...

    def presentation(self, claims: JsonObject, verifier: str) -> str:
        """A presentation for one verifier, as a token."""
        ...

    def credential(self, claims: JsonObject) -> str:
        """A credential that we issue, as a token."""
        ...


class DocumentResolver(Protocol):
    """Finds participants by their DID."""

    async def document(self, did: str) -> DidDocument:
        """The participant's current DID document."""
        ...


class Watch(Protocol):
    """One who watches for changes."""

    async def next(self, timeout: timedelta) -> None:  # noqa: ASYNC109 - a promise of the port
        """Wait for a change since the last call, or since the watch began; or until the time has passed."""
        ...


class Changes(Protocol):
    """Tells who waits that something has changed."""

    @property
    def closed(self) -> bool:
        """Whether the connector is stopping: then nobody waits any longer."""
        ...

    def notify(self, *topics: str) -> None:
        """Something has changed.

        Args:
            topics: What it is, such as the pid of an exchange; without any, everybody looks.
        """
        ...

    def watch(self, topic: str) -> AbstractContextManager[Watch]:
        """Watch one topic until the block ends."""
        ...


Wake = Callable[[str], None]
"""Tells who waits that the exchange with this pid has moved."""
