"""The signed agreement: an envelope around the DSP agreement that both parties sign.

The envelope has no time and no identifier of its own making: provider and
consumer build it independently from what they exchanged, and sign equal bytes.

Source:
    Dataspace Protocol 2025-1, section 7 (contract negotiation); W3C Verifiable
    Credential Data Integrity 1.0, section 2.1.1 (proof sets).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from connector.evidence.documents import digest, file_bytes, text
from connector.evidence.errors import EvidenceError
from schemas.jsonld import KNOWN_CONTEXTS, context_document
from schemas.strict_json import JsonObject, JsonValue
from schemas.vocabulary import ALLMENDE_CONTEXT, DSPACE_CONTEXT

DATA_INTEGRITY_CONTEXT: Final = "https://w3id.org/security/data-integrity/v2"
CONTEXT: Final[tuple[JsonValue, ...]] = (DSPACE_CONTEXT, DATA_INTEGRITY_CONTEXT, ALLMENDE_CONTEXT)
"""The one @context of everything that we sign; addresses only, as some verifiers compare nothing else."""
CONTEXT_DIGESTS: Final = {
    DSPACE_CONTEXT: "4c09141559c51331c8cb6946c93040d799c39f269afde5d76d79076b9645e1ea",
    DATA_INTEGRITY_CONTEXT: "67f21e6e33a6c14e5ccfd2fc7865f7474fb71a04af7e94136cb399dfac8ae8f4",
    ALLMENDE_CONTEXT: "57aed8f4d9a76b1eec8945ed27f4a159436166a08a88c5139defbcad00006fb8",
}
"""SHA-256 of the published contexts: a signature over JSON does not protect what a remote context says."""
AGREEMENT_FILE: Final = "SignedAgreementFile"
STATEMENT_MEMBERS: Final = (
    "@context",
    "id",
    "type",
    "agreement",
    "negotiation",
    "offerDigest",
    "datasetDigest",
    "datasetDescriptionDigest",
    "policyProfileDigests",
    "contextDigests",
    "parties",
)


@dataclass(frozen=True, slots=True)
class Party:
    """Who signs, with which key, as listed in which DID document.

    Attributes:
        did: The party's DID.
        verification_method: Identifier of the key that it signs with.
        did_document_digest: SHA-256 (JCS) of its DID document at that time.
    """

    did: str
    verification_method: str
    did_document_digest: str


def agreement_statement(
    *,
    agreement: Mapping[str, JsonValue],
    provider_pid: str,
    consumer_pid: str,
    offer_digest: str,
    dataset_digest: str,
    description_digest: str,
    parties: tuple[Party, ...],
) -> JsonObject:
    """What both parties sign when they agree.

    Args:
        agreement: The DSP agreement, verbatim.
        provider_pid: The provider's pid of the negotiation.
        consumer_pid: The consumer's pid of the negotiation.
        offer_digest: SHA-256 (JCS) of the offer that was accepted.
        dataset_digest: SHA-256 of the data file as it was offered.
        description_digest: SHA-256 (JCS) of what the catalog says the dataset is (`catalog.description`).
        parties: The provider (assigner) first, then the consumer (assignee).

    Raises:
        EvidenceError: The parties are not the agreement's assigner and assignee,
            or the agreement has no identifier.
    """
    require_parties(agreement, tuple(party.did for party in parties))
    return {
        "@context": list(CONTEXT),
        "id": text(agreement, "@id") + "#signed",
        "type": "SignedAgreement",
        "agreement": dict(agreement),
        "negotiation": {"providerPid": provider_pid, "consumerPid": consumer_pid},
        "offerDigest": offer_digest,
        "datasetDigest": dataset_digest,
        "datasetDescriptionDigest": description_digest,
        "policyProfileDigests": _profile_digests(agreement),
        "contextDigests": dict(CONTEXT_DIGESTS),
        "parties": [
            {
                "did": party.did,
                "verificationMethod": party.verification_method,
                "didDocumentDigest": party.did_document_digest,
            }
            for party in parties
        ],
    }


def _profile_digests(agreement: Mapping[str, JsonValue]) -> JsonObject:
    """What the terms of the agreement's policy profiles mean: both parties must read them alike."""
    profiles = agreement.get("profile", [])
    return {
        profile: _profile_digest(profile)
        for profile in (profiles if isinstance(profiles, list) else [profiles])
        if isinstance(profile, str) and profile in KNOWN_CONTEXTS
    }


@cache
def _profile_digest(profile: str) -> str:
    return digest(context_document(profile))


def require_parties(agreement: Mapping[str, JsonValue], dids: tuple[str, ...]) -> None:
    """Refuse signers who are not the agreement's two different parties, provider first.

    Raises:
        EvidenceError: Names both pairs.
    """
    expected = (text(agreement, "assigner"), text(agreement, "assignee"))
    if dids != expected:
        raise EvidenceError(
            f"The agreement is between {expected}, but is to be signed by {dids}.",
            f"Der Vertrag besteht zwischen {expected}, unterschreiben sollen aber {dids}.",
        )
    if expected[0] == expected[1]:
        raise EvidenceError(
            f"{expected[0]} cannot make an agreement with itself.",
            f"{expected[0]} kann keinen Vertrag mit sich selbst schließen.",
        )


def require_same_agreement(ours: Mapping[str, JsonValue], theirs: Mapping[str, JsonValue]) -> None:
    """Refuse a counterparty's statement that is not the one we would sign.

    Proofs are not compared: each party brings its own.

    Args:
        ours: The statement built from our own records.
        theirs: The statement that the counterparty sent.

    Raises:
        EvidenceError: Names the members that differ.
    """
    names = sorted((set(ours) | set(theirs)) - {"proof"})
    differing = [
        name
        for name in names
        if name not in ours or name not in theirs or digest(ours[name]) != digest(theirs[name])
    ]
    if differing:
        raise EvidenceError(
            f"The counterparty signed another agreement than ours: {', '.join(differing)} differ(s). "
            "Do not use it; negotiate again."
        )


def agreement_file(signed: Mapping[str, JsonValue], did_documents: Mapping[str, JsonObject]) -> bytes:
    """A signed agreement as a file that anyone can check offline.

    Args:
        signed: The statement with both proofs.
        did_documents: Both parties' DID documents by DID, verbatim.
    """
    return file_bytes(
        {"type": AGREEMENT_FILE, "signedAgreement": dict(signed), "didDocuments": dict(did_documents)}
    )
