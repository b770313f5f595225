"""The refusal: a provider's signed statement that it did not let something happen, and why.

What was permitted is in its receipt; what was refused is in this, so that the
ledger holds every decision. The request itself is not in it, only its digest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connector.evidence.agreements import CONTEXT, CONTEXT_DIGESTS
from connector.evidence.documents import canonical, exact_moment
from schemas.strict_json import JsonObject, JsonValue

REFUSAL: Final = "refusal"
"""Kind of a ledger entry that holds one."""
REFUSAL_MEMBERS: Final = (
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
class Refusal:
    """What was refused.

    Attributes:
        identifier: IRI of the decision.
        issuer: DID of the provider.
        verification_method: Identifier of the provider's key.
        did_document_digest: SHA-256 (JCS) of the provider's DID document.
        requester: DID of who asked.
        agreement_id: IRI of the agreement; the pid of the negotiation where there is none yet.
        dataset_id: IRI of the dataset.
        action: Absolute IRI of what was asked for.
        purpose: IRI of the declared purpose; empty where none was declared.
        request_digest: SHA-256 of the statement, the algorithm or the offer.
        reason: Why, per language.
        decided: When.
    """

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


def refusal_statement(refusal: Refusal) -> JsonObject:
    """What a provider signs about a request that it refused.

    Raises:
        EvidenceError: The time has no zone.
    """
    return {
        "@context": list(CONTEXT),
        "id": refusal.identifier,
        "type": "Refusal",
        "issuer": refusal.issuer,
        "requester": refusal.requester,
        "agreement": {"id": refusal.agreement_id},
        "dataset": {"id": refusal.dataset_id},
        "action": refusal.action,
        "purpose": refusal.purpose,
        "requestDigest": refusal.request_digest,
        "reason": dict(refusal.reason),
        "decided": exact_moment(refusal.decided, "The time of a decision"),
        "contextDigests": dict(CONTEXT_DIGESTS),
        "verificationMethod": refusal.verification_method,
        "didDocumentDigest": refusal.did_document_digest,
    }


def refusal_leaf(signed_refusal: Mapping[str, JsonValue]) -> bytes:
    """What the ledger stores and hashes for a refusal: its canonical bytes, proof included."""
    return canonical(signed_refusal)
