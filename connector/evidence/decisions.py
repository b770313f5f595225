"""The decision: a provider's signed statement that it let something happen or did not, and why.

What left is in its receipt, and what both have signed in the agreement; every
other decision is in this, so that the ledger holds them all. The request itself
is not in it, only its digest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connector.evidence.agreements import CONTEXT, CONTEXT_DIGESTS
from connector.evidence.documents import canonical, exact_moment
from schemas.strict_json import JsonObject, JsonValue

REFUSAL: Final = "refusal"
"""Kind of a ledger entry that holds a decision."""
PERMIT: Final = "permit"
"""Kind of a ledger entry that holds a decision to let something begin."""
DECISION_TYPES: Final[Mapping[str, str]] = {REFUSAL: "Refusal", PERMIT: "Permit"}
"""What the statement of each kind says that it is."""
DECISION_MEMBERS: Final = (
    "@context",
    "id",
    "type",
    "issuer",
    "requester",
    "agreement",
    "dataset",
    "action",
    "purpose",
    "requestDigest",
    "reason",
    "decided",
    "contextDigests",
    "verificationMethod",
    "didDocumentDigest",
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided.

    Attributes:
        kind: `refusal` or `permit`.
        identifier: IRI of the decision.
        issuer: DID of the provider.
        verification_method: Identifier of the provider's key.
        did_document_digest: SHA-256 (JCS) of the provider's DID document.
        requester: DID of who asked.
        agreement_id: IRI of the agreement; the pid of the negotiation where there is none yet.
        dataset_id: IRI of the dataset.
        action: Absolute IRI of what was asked for.
        purpose: IRI of the declared purpose; empty where none was declared.
        request_digest: SHA-256 of the statement, the algorithm, the pid or the offer.
        reason: Why, per language.
        decided: When.
    """

    kind: str
    identifier: str
    issuer: str
    verification_method: str
    did_document_digest: str
    requester: str
    agreement_id: str
    dataset_id: str
    action: str
    purpose: str
    request_digest: str
    reason: Mapping[str, str]
    decided: datetime


def decision_statement(decision: Decision) -> JsonObject:
    """What a provider signs about a request that it decided on.

    Raises:
        EvidenceError: The time has no zone.
    """
    return {
        "@context": list(CONTEXT),
        "id": decision.identifier,
        "type": DECISION_TYPES[decision.kind],
        "issuer": decision.issuer,
        "requester": decision.requester,
        "agreement": {"id": decision.agreement_id},
        "dataset": {"id": decision.dataset_id},
        "action": decision.action,
        "purpose": decision.purpose,
        "requestDigest": decision.request_digest,
        "reason": dict(decision.reason),
        "decided": exact_moment(decision.decided, "The time of a decision"),
        "contextDigests": dict(CONTEXT_DIGESTS),
        "verificationMethod": decision.verification_method,
        "didDocumentDigest": decision.did_document_digest,
    }


def decision_leaf(signed_decision: Mapping[str, JsonValue]) -> bytes:
    """What the ledger stores and hashes for a decision: its canonical bytes, proof included."""
    return canonical(signed_decision)
