"""What the data steward's pages read and do: views of the state, and five decisions.

The pages know nothing of stores and services. Whoever implements these
Protocols decides what is shown; whoever implements the decisions checks again
whether they are still possible.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from policies.model import LanguageMap


class StewardError(Exception):
    """Base of what can go wrong with a steward's decision."""


class DecisionNotPossibleError(StewardError):
    """A decision came too late, or does not fit: nothing has been changed.

    Attributes:
        reason: Why, and what to do now, per language.
    """

    def __init__(self, reason: LanguageMap) -> None:
        super().__init__(reason.get("en", ""))
        self.reason = reason


class Side(StrEnum):
    """On which side of an exchange this participant stands."""

    PROVIDER = "provider"
    CONSUMER = "consumer"


class TermLevel(StrEnum):
    """Who makes a term of a policy hold."""

    ENFORCED = "enforced"
    """The software: it refuses what the term forbids."""
    DECLARED = "declared"
    """The contract: the other side has promised it."""
    REFUSED = "refused"
    """Nobody: a policy with such a term is neither published nor accepted."""


class RuleGroup(StrEnum):
    """What a group of terms is about."""

    GENERAL = "general"
    """The policy as a whole."""
    QUERIES = "queries"
    COMPUTATIONS = "computations"
    USES = "uses"
    """Another permission, or one for every use."""
    PROHIBITED = "prohibited"
    DUTIES = "duties"


class Question(StrEnum):
    """What a person is asked to decide about a negotiation."""

    REQUEST = "request"
    """The partner asks for an agreement, and the offer lets nobody in unseen."""
    OFFER = "offer"
    """The partner has made another offer than we asked for."""
    DELIVERY = "delivery"
    """The partner has refused our message."""


@dataclass(frozen=True, slots=True)
class ParticipantView:
    """This participant.

    Attributes:
        name: Its name.
        did: Its DID.
        public_url: Base address of its public listener, without a trailing slash.
    """

    name: str
    did: str
    public_url: str


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side of an exchange.

    Attributes:
        did: Its DID.
        name: Its name as far as it is known; None otherwise.
    """

    did: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class TermLine:
    """One term of a policy, for a person.

    Attributes:
        level: Who makes it hold.
        sentence: What it says, per language.
        checked: When the software checks it, per language; None where it does not.
        note: What the level alone does not say, per language; None where there is nothing to add.
    """

    level: TermLevel
    sentence: LanguageMap
    checked: LanguageMap | None = None
    note: LanguageMap | None = None


@dataclass(frozen=True, slots=True)
class JoinedTerms:
    """Terms of which only together it can be said what has to hold.

    Attributes:
        head: How many of them have to hold, per language, without a full stop.
        terms: At least two.
    """

    head: LanguageMap
    terms: tuple["TermLine | JoinedTerms", ...]

    @property
    def count(self) -> int:
        """How many terms it holds, groups inside it taken apart."""
        return _number_of(self.terms)


@dataclass(frozen=True, slots=True)
class TermGroup:
    """The terms that belong together: those of one permission, or all prohibitions.

    Attributes:
        about: What they are about.
        terms: At least one term.
    """

    about: RuleGroup
    terms: tuple[TermLine | JoinedTerms, ...]

    @property
    def count(self) -> int:
        """How many terms it holds, groups inside it taken apart."""
        return _number_of(self.terms)


def _number_of(terms: tuple[TermLine | JoinedTerms, ...]) -> int:
    return sum(term.count if isinstance(term, JoinedTerms) else 1 for term in terms)


@dataclass(frozen=True, slots=True)
class OfferLine:
    """A dataset that this participant offers.

    Attributes:
        id: IRI of the dataset.
        title: Per language.
        table: Name of its table.
        rows: Number of rows.
        published: False once the offer has been withdrawn.
        modified: When it was last changed.
        page: Public address of its page.
        by_hand: Whether a person decides on every request for it.
        accepts_unsigned: Whether an agreement opens it that not both parties have signed.
        terms: Under which terms.
    """

    id: str
    title: LanguageMap
    table: str
    rows: int
    published: bool
    modified: datetime
    page: str
    by_hand: bool
    accepts_unsigned: bool
    terms: tuple[TermGroup, ...]


@dataclass(frozen=True, slots=True)
class NegotiationLine:
    """One contract negotiation.

    Attributes:
        id: Our pid of it.
        role: Our side.
        peer: The other side.
        dataset: IRI of the dataset.
        dataset_title: Its title, per language.
        state: State in the words of the DSP, such as `REQUESTED`.
        held_reason: Why it waits for a person, per language; None where it does not.
        updated: When its state last changed.
        question: What that person is asked.
        purpose: Purpose that the consumer declares, per language; None where it has declared none.
        reason: Why it was ended, per language; None where it was not, or nobody said why.
        terms: What the other side asks for, or has been given.
    """

    id: str
    role: Side
    peer: Peer
    dataset: str
    dataset_title: LanguageMap
    state: str
    held_reason: LanguageMap | None
    updated: datetime
    question: Question = Question.REQUEST
    purpose: LanguageMap | None = None
    reason: LanguageMap | None = None
    terms: tuple[TermGroup, ...] = ()


@dataclass(frozen=True, slots=True)
class AgreementLine:
    """One agreement.

    Attributes:
        id: IRI of the agreement.
        role: Our side.
        peer: The other side.
        dataset: IRI of the dataset.
        dataset_title: Its title, per language.
        concluded: When it was concluded.
        until: Until when data may be used under it; None where no term says so.
        signed_by: DIDs of the parties whose proof it carries.
        signed: Whether both have signed, so that there is evidence of it.
        in_force: Whether data may be used under it now.
        terms: Under which terms.
        ended: When its provider ended it before its time; None where it did not.
        reason: Why, per language; None likewise.
    """

    id: str
    role: Side
    peer: Peer
    dataset: str
    dataset_title: LanguageMap
    concluded: datetime
    until: datetime | None
    signed_by: tuple[str, ...]
    signed: bool
    in_force: bool
    terms: tuple[TermGroup, ...] = ()
    ended: datetime | None = None
    reason: LanguageMap | None = None

    @property
    def can_be_ended(self) -> bool:
        """Whether this participant can end it: as its provider, while it is in force."""
        return self.in_force and self.role is Side.PROVIDER


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """A file for the steward: a signed document, which can be checked without this connector, or an output.

    Attributes:
        name: File name, such as `agreement-3f2a.json`.
        content: Its bytes, exactly as they were signed or released.
    """

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class QueryLine:
    """One governed query.

    Attributes:
        id: Its identifier.
        role: Our side.
        peer: The other side.
        dataset_title: Title of the dataset, per language.
        statement: The SQL that was asked.
        at: When.
        refusal: Why it was turned down, per language; None where it was answered.
        rows_out: Released rows of aggregates.
        bytes_out: Size of the released result.
        suppressed_groups: Groups withheld because they were too small.
        receipt: Identifier of the signed receipt; None where nothing was released.
    """

    id: str
    role: Side
    peer: Peer
    dataset_title: LanguageMap
    statement: str
    at: datetime
    refusal: LanguageMap | None
    rows_out: int
    bytes_out: int
    suppressed_groups: int
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class CheckLine:
    """The result of one check of an output.

    Attributes:
        passed: Whether it holds.
        sentence: What was checked and found, per language.
    """

    passed: bool
    sentence: LanguageMap


@dataclass(frozen=True, slots=True)
class MetricLine:
    """One number of an output.

    Attributes:
        name: What it is called.
        value: The number.
    """

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One output that a computation declared.

    Attributes:
        name: File name.
        kind: Kind of output, per language.
        size: Its size in bytes.
        digest: SHA-256, hexadecimal.
        checks: What was checked, in order.
        metrics: Its numbers, where it holds nothing else.
    """

    name: str
    kind: LanguageMap
    size: int
    digest: str
    checks: tuple[CheckLine, ...]
    metrics: tuple[MetricLine, ...] = ()


@dataclass(frozen=True, slots=True)
class ComputationLine:
    """One computation.

    Attributes:
        id: Its identifier.
        role: Our side.
        peer: The other side.
        dataset: IRI of the dataset.
        dataset_title: Its title, per language.
        algorithm: SHA-256 digest of the algorithm.
        state: State such as `RUNNING`.
        held_reason: Why its outputs wait for a person, per language; None where they do not.
        updated: When its state last changed.
        outputs: Its outputs so far.
        purpose: Purpose that the consumer declares, per language; None for the agreed one.
        reason: Why it was ended, per language; None where it was not.
        receipt: Identifier of the signed receipt; None where nothing was released.
    """

    id: str
    role: Side
    peer: Peer
    dataset: str
    dataset_title: LanguageMap
    algorithm: str
    state: str
    held_reason: LanguageMap | None
    updated: datetime
    outputs: tuple[OutputLine, ...]
    purpose: LanguageMap | None = None
    reason: LanguageMap | None = None
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """What has left the house from one dataset, in total.

    Attributes:
        dataset: IRI of the dataset.
        dataset_title: Its title, per language.
        raw_rows_out: Raw rows that left.
        raw_bytes_out: Their size in bytes.
        result_bytes_out: Size of the results that left, in bytes.
        releases: Number of signed releases.
        refusals: Number of signed refusals.
    """

    dataset: str
    dataset_title: LanguageMap
    raw_rows_out: int
    raw_bytes_out: int
    result_bytes_out: int
    releases: int
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class TreeHead:
    """The ledger's last signed tree head.

    Attributes:
        size: Number of entries.
        root: Root hash, hexadecimal.
        signed: When it was signed.
    """

    size: int
    root: str
    signed: datetime


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The books.

    Attributes:
        lines: One per dataset.
        head: The last tree head; None while the ledger is empty.
    """

    lines: tuple[LedgerLine, ...]
    head: TreeHead | None


@dataclass(frozen=True, slots=True)
class PartnerFact:
    """Something that is known about a partner.

    Attributes:
        label: What it is, per language.
        values: What it amounts to.
    """

    label: LanguageMap
    values: tuple[str, ...]


class CredentialState(StrEnum):
    """Whether a credential counts."""

    VALID = "valid"
    REVOKED = "revoked"
    """Its issuer has taken it back."""
    OVER = "over"
    """It has ended, or not begun."""


@dataclass(frozen=True, slots=True)
class CredentialLine:
    """A credential.

    Attributes:
        kinds: Its types.
        issuer: DID of who has signed it.
        until: When it ends; None where it does not say.
        state: Whether it counts.
    """

    kinds: tuple[str, ...]
    issuer: str
    until: datetime | None
    state: CredentialState


@dataclass(frozen=True, slots=True)
class PartnerLine:
    """A partner: who it is, who says so, and whether its books hold.

    Attributes:
        peer: The partner.
        stated: Whether it stands in our own register.
        facts: What is known about it now.
        shown: When it last showed credentials; None where it never did.
        credentials: Those that are signed by somebody whom we trust for them.
        refused: Why others do not count, per language.
        ledger_size: Entries of its ledger, as far as we know; None where we know of none.
        ledger_compared: When it last proved that its ledger only grew.
        ledger_problem: Why its ledger cannot be trusted any more, per language.
    """

    peer: Peer
    stated: bool
    facts: tuple[PartnerFact, ...]
    shown: datetime | None
    credentials: tuple[CredentialLine, ...]
    refused: tuple[LanguageMap, ...]
    ledger_size: int | None
    ledger_compared: datetime | None
    ledger_problem: LanguageMap | None


@dataclass(frozen=True, slots=True)
class PartnersView:
    """The partners, and what we show them ourselves.

    Attributes:
        lines: One per partner, by name.
        own: The credentials about us that partners can see.
    """

    lines: tuple[PartnerLine, ...]
    own: tuple[CredentialLine, ...]


class StewardPages(Protocol):
    """Reads what the pages show; newest first where there is a time."""

    async def participant(self) -> ParticipantView:
        """Who we are."""
        ...

    async def offers(self) -> tuple[OfferLine, ...]:
        """Every dataset offered, withdrawn ones too."""
        ...

    async def negotiations(self) -> tuple[NegotiationLine, ...]:
        """Every negotiation, on both sides."""
        ...

    async def agreements(self) -> tuple[AgreementLine, ...]:
        """Every agreement, on both sides."""
        ...

    async def evidence(self, agreement: str) -> DownloadedFile | None:
        """The signed document of an agreement; None where there is no such agreement."""
        ...

    async def receipt(self, identifier: str) -> DownloadedFile | None:
        """The signed receipt of a release; None where there is no such receipt."""
        ...

    async def output(self, computation: str, name: str) -> DownloadedFile | None:
        """A checked output of a computation; None where there is no such output."""
        ...

    async def queries(self) -> tuple[QueryLine, ...]:
        """The latest queries, on both sides, refused ones too."""
        ...

    async def computations(self) -> tuple[ComputationLine, ...]:
        """Every computation, on both sides."""
        ...

    async def partners(self) -> PartnersView:
        """Who the partners are, and what we show them ourselves."""
        ...

    async def ledger(self) -> LedgerView:
        """What left the house, and the ledger's head."""
        ...


class StewardDecisions(Protocol):
    """What a steward decides; each raises `DecisionNotPossibleError` where it comes too late."""

    async def accept_negotiation(self, negotiation: str) -> None:
        """Conclude a negotiation that waits for a person."""
        ...

    async def reject_negotiation(self, negotiation: str, reason: str) -> None:
        """Turn it down; the other side is told the reason."""
        ...

    async def end_agreement(self, agreement: str, reason: str) -> None:
        """End an agreement before its time, for good; the other side is told the reason."""
        ...

    async def release_computation(self, computation: str) -> None:
        """Let the outputs of a computation go to the other side."""
        ...

    async def refuse_computation(self, computation: str, reason: str) -> None:
        """Withhold them for good; the other side is told the reason."""
        ...
