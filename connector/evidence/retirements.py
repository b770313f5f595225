"""The retirement: a provider's signed statement that an agreement has ended before its time, and why."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connector.evidence.agreements import CONTEXT, CONTEXT_DIGESTS
from connector.evidence.documents import exact_moment
from schemas.strict_json import JsonObject

RETIREMENT: Final = "retirement"
"""Kind of a ledger entry that holds one."""


@dataclass(frozen=True, slots=True)
class RetiredAgreement:
    """What is stated about an agreement that has ended.

    Attributes:
        identifier: IRI of the statement.
        issuer: DID of the provider.
        verification_method: Identifier of the provider's key.
        did_document_digest: SHA-256 (JCS) of the provider's DID document.
        consumer: DID of the other party.
        agreement_id: IRI of the agreement.
        agreement_digest: SHA-256 (JCS) of the agreement.
        dataset_id: IRI of the dataset.
        reason: Why, in the words of the provider's people.
        ended: From when on nothing is permitted under it.
    """

    identifier: str
    issuer: str
    verification_method: str
    did_document_digest: str
    consumer: str
    agreement_id: str
    agreement_digest: str
    dataset_id: str
    reason: str
    ended: datetime


def retirement_statement(retired: RetiredAgreement) -> JsonObject:
    """What a provider signs when it ends an agreement.

    Raises:
        EvidenceError: The time has no zone.
    """
    return {
        "@context": list(CONTEXT),
        "id": retired.identifier,
        "type": "AgreementRetirement",
        "issuer": retired.issuer,
        "consumer": retired.consumer,
        "agreement": {"id": retired.agreement_id, "digest": retired.agreement_digest},
        "dataset": {"id": retired.dataset_id},
        "reason": retired.reason,
        "ended": exact_moment(retired.ended, "The time at which an agreement ends"),
        "contextDigests": dict(CONTEXT_DIGESTS),
        "verificationMethod": retired.verification_method,
        "didDocumentDigest": retired.did_document_digest,
    }
