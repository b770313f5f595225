"""Computation: an algorithm that travels to the data; its states and its table.

Source:
    docs/adr/0005-computations.md
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from connector.protocol.machine import CONSUMER, EITHER, PROVIDER, Machine, Party, Transition
from policies.model import LanguageMap
from schemas.strict_json import JsonObject


class ComputationState(StrEnum):
    """How far a computation has come."""

    REQUESTED = "REQUESTED"
    APPROVED = "APPROVED"
    RUNNING = "RUNNING"
    REVIEWED = "REVIEWED"
    RELEASED = "RELEASED"
    TERMINATED = "TERMINATED"


class ComputationEvent(StrEnum):
    """What moves a computation on."""

    REQUEST = "request"
    APPROVAL = "approval"
    START = "start"
    REVIEW = "review"
    RELEASE = "release"
    TERMINATION = "termination"


_S = ComputationState
_E = ComputationEvent

COMPUTATION = Machine(
    "computation",
    (
        Transition(None, _E.REQUEST, CONSUMER, _S.REQUESTED),
        Transition(_S.REQUESTED, _E.APPROVAL, PROVIDER, _S.APPROVED),
        Transition(_S.APPROVED, _E.START, PROVIDER, _S.RUNNING),
        Transition(_S.RUNNING, _E.START, PROVIDER, _S.RUNNING),
        Transition(_S.RUNNING, _E.REVIEW, PROVIDER, _S.REVIEWED),
        Transition(_S.REVIEWED, _E.RELEASE, PROVIDER, _S.RELEASED),
        Transition(_S.REQUESTED, _E.TERMINATION, EITHER, _S.TERMINATED),
        Transition(_S.APPROVED, _E.TERMINATION, EITHER, _S.TERMINATED),
        Transition(_S.RUNNING, _E.TERMINATION, EITHER, _S.TERMINATED),
        Transition(_S.REVIEWED, _E.TERMINATION, EITHER, _S.TERMINATED),
    ),
    precedence={_E.TERMINATION: 3},
)
"""RUNNING to RUNNING is a start after the provider's connector died in the middle."""


@dataclass(frozen=True, slots=True)
class Output:
    """A checked output of a computation.

    Attributes:
        name: File name, such as `metrics.json`.
        kind: What was declared for it, such as `metrics`.
        media_type: Media type of the content.
        sha256: Digest of the content, 64 lower-case hexadecimal digits.
        size: Length of the content in bytes.
        checks: What was checked, one short phrase each.
    """

    name: str
    kind: str
    media_type: str
    sha256: str
    size: int
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Computation:
    """One party's record of a computation.

    Attributes:
        identifier: IRI of the computation, the consumer's choice, so that a repeated
            request starts it once.
        role: The role that we play.
        peer: The counterparty's DID.
        agreement_id: IRI of the agreement that it runs under.
        transfer_pid: Our pid of the transfer process that carries it.
        dataset: IRI of the dataset.
        purpose: Purpose that the consumer declares; None for the agreed one.
        files: The algorithm: path to text.
        algorithm_digest: SHA-256 of the algorithm.
        parameters: What the algorithm is told.
        declared: Declared outputs: file name to kind.
        state: How far it has come.
        reservation: The counted use, while it is reserved or committed.
        held: Why a person has to decide about its release; None where nobody has to.
        reason: Why it was terminated, per language; None where it was not.
        outputs: The checked outputs.
        receipt: Identifier of the receipt of the release.
        tier: Sandbox measures that were in force.
        said: The end of what the job said while it ran; for the provider's own
            people only, never sent.
        created: When it was requested.
        started: When it first ran.
        updated: When it last changed.
        granted: For how long it may run, where the agreement meters time; reserved until it has ended.
    """

    identifier: str
    role: Party
    peer: str
    agreement_id: str
    transfer_pid: str
    dataset: str
    purpose: str | None
    files: dict[str, str]
    algorithm_digest: str
    parameters: JsonObject
    declared: dict[str, str]
    state: ComputationState
    reservation: str | None
    held: str | None
    reason: LanguageMap | None
    outputs: tuple[Output, ...]
    receipt: str | None
    tier: str
    said: str
    created: datetime
    started: datetime | None
    updated: datetime
    granted: timedelta | None = None
