"""Contract negotiation: its states, its messages and its table.

Source:
    Dataspace Protocol 2025-1, contract negotiation protocol.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from connector.protocol.machine import CONSUMER, EITHER, PROVIDER, Machine, Party, Transition
from policies.model import LanguageMap
from schemas.strict_json import JsonObject


class NegotiationState(StrEnum):
    """The wire names of the states."""

    REQUESTED = "REQUESTED"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    AGREED = "AGREED"
    VERIFIED = "VERIFIED"
    FINALIZED = "FINALIZED"
    TERMINATED = "TERMINATED"


class NegotiationMessage(StrEnum):
    """What the parties say to each other."""

    REQUEST = "request"
    OFFER = "offer"
    ACCEPTANCE = "acceptance"
    AGREEMENT = "agreement"
    VERIFICATION = "verification"
    FINALIZATION = "finalization"
    TERMINATION = "termination"


_S = NegotiationState
_M = NegotiationMessage

NEGOTIATION = Machine(
    "contract negotiation",
    (
        Transition(None, _M.REQUEST, CONSUMER, _S.REQUESTED),
        Transition(None, _M.OFFER, PROVIDER, _S.OFFERED),
        Transition(_S.REQUESTED, _M.OFFER, PROVIDER, _S.OFFERED),
        Transition(_S.REQUESTED, _M.AGREEMENT, PROVIDER, _S.AGREED),
        Transition(_S.REQUESTED, _M.TERMINATION, EITHER, _S.TERMINATED),
        Transition(_S.OFFERED, _M.REQUEST, CONSUMER, _S.REQUESTED),
        Transition(_S.OFFERED, _M.ACCEPTANCE, CONSUMER, _S.ACCEPTED),
        Transition(_S.OFFERED, _M.TERMINATION, EITHER, _S.TERMINATED),
        Transition(_S.ACCEPTED, _M.AGREEMENT, PROVIDER, _S.AGREED),
        Transition(_S.ACCEPTED, _M.TERMINATION, EITHER, _S.TERMINATED),
        Transition(_S.AGREED, _M.VERIFICATION, CONSUMER, _S.VERIFIED),
        Transition(_S.AGREED, _M.TERMINATION, EITHER, _S.TERMINATED),
        Transition(_S.VERIFIED, _M.FINALIZATION, PROVIDER, _S.FINALIZED),
        Transition(_S.VERIFIED, _M.TERMINATION, EITHER, _S.TERMINATED),
    ),
    precedence={_M.TERMINATION: 3},
)


@dataclass(frozen=True, slots=True)
class ContractNegotiation:
    """One party's record of a contract negotiation.

    Attributes:
        pid: Our identifier of it: `providerPid` or `consumerPid` on the wire.
        role: The role that we play.
        peer: The counterparty's DID.
        peer_pid: Its identifier; None until it has told us.
        peer_address: Base address for our messages to it.
        peer_document: Its DID document as last verified; None before its first message.
        dataset: IRI of the dataset.
        state: Last state that both parties know of; None before the first
            acknowledgement.
        pending: Message that we have sent and that is not acknowledged yet.
        offer: The offer on the table, compact DSP JSON with its target.
        agreement_id: IRI of the agreement, once there is one.
        purpose: Purpose that the consumer declares, as an absolute IRI.
        approved: Whether a person has accepted it.
        held: Why a person has to decide; None where nobody has to.
        reason: Why it was terminated, in German and English; None where it was not.
        signing: Whether the counterparty has said that it signs agreements.
        occurrences: How often each state has been reached.
        created: When it began.
        updated: When it last changed.
    """

    pid: str
    role: Party
    peer: str
    peer_pid: str | None
    peer_address: str
    peer_document: JsonObject | None
    dataset: str
    state: NegotiationState | None
    pending: NegotiationMessage | None
    offer: JsonObject
    agreement_id: str | None
    purpose: str | None
    approved: bool
    held: str | None
    reason: LanguageMap | None
    signing: bool
    occurrences: dict[str, int]
    created: datetime
    updated: datetime

    @property
    def pids(self) -> tuple[str, str]:
        """The providerPid and the consumerPid, as on the wire."""
        ours, theirs = self.pid, self.peer_pid or ""
        return (ours, theirs) if self.role is Party.PROVIDER else (theirs, ours)

    @property
    def is_in_force(self) -> bool:
        """Whether the agreement binds both parties.

        For the provider that is so once it has sent the finalisation: a consumer
        that uses the agreement has received it, even if its acknowledgement is
        still on the way.
        """
        sent = self.state is NegotiationState.VERIFIED and self.pending is NegotiationMessage.FINALIZATION
        return self.state is NegotiationState.FINALIZED or sent


def new_negotiation(
    *,
    pid: str,
    role: Party,
    peer: str,
    address: str,
    offer: JsonObject,
    now: datetime,
    purpose: str | None = None,
) -> ContractNegotiation:
    """A negotiation about which nothing has been said yet.

    Args:
        pid: Our identifier of it.
        role: The role that we play.
        peer: The counterparty's DID.
        address: Base address for our messages to it.
        offer: The offer on the table, with its target.
        now: The current time.
        purpose: Purpose that the consumer declares, as an absolute IRI.
    """
    return ContractNegotiation(
        pid=pid,
        role=role,
        peer=peer,
        peer_pid=None,
        peer_address=address.rstrip("/"),
        peer_document=None,
        dataset=str(offer["target"]),
        state=None,
        pending=None,
        offer=offer,
        agreement_id=None,
        purpose=purpose,
        approved=False,
        held=None,
        reason=None,
        signing=False,
        occurrences={},
        created=now,
        updated=now,
    )


_HAS_ENDED: Final[LanguageMap] = {
    "de": "Der Anbieter hat den Vertrag beendet: ",
    "en": "The provider has ended the agreement: ",
}


@dataclass(frozen=True, slots=True)
class Retirement:
    """The end of an agreement before its time.

    Attributes:
        identifier: IRI of the provider's statement; empty for the consumer, who has been
            told with the end of a transfer process.
        reason: Why, in the provider's words.
        ended: From when on nothing is permitted.
    """

    identifier: str
    reason: str
    ended: datetime

    @classmethod
    def told(cls, words: str, ended: datetime) -> Self:
        """As a consumer learns it from its provider's explanation."""
        return cls("", words.removeprefix(_HAS_ENDED["en"]), ended)

    @property
    def explanation(self) -> LanguageMap:
        """What whoever asks for something under the agreement is told."""
        return {language: beginning + self.reason for language, beginning in _HAS_ENDED.items()}


@dataclass(frozen=True, slots=True)
class ContractAgreement:
    """A granted agreement with its evidence.

    Attributes:
        identifier: IRI of the agreement.
        provider: The provider's DID.
        consumer: The consumer's DID.
        role: The role that we play in it.
        dataset: IRI of the dataset.
        negotiation: Our pid of the negotiation that led to it.
        document: The agreement, compact DSP JSON.
        statement: What both parties sign, with the proofs given so far.
        documents: The DID documents that the statement names, by DID.
        signed: Whether both proofs are there.
        agreed: When the provider made it.
        peer_address: DSP base address of the provider.
        retirement: How it ended before its time; None where it did not.
    """

    identifier: str
    provider: str
    consumer: str
    role: Party
    dataset: str
    negotiation: str
    document: JsonObject
    statement: JsonObject | None
    documents: dict[str, JsonObject]
    signed: bool
    agreed: datetime
    peer_address: str
    retirement: Retirement | None = None
