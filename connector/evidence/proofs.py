"""Signatures on documents: W3C Data Integrity with the cryptosuite `eddsa-jcs-2022`.

Several parties sign the same bytes, in any order: a proof set. Only this
cryptosuite is accepted; proof chains (`previousProof`), `expires`, `domain` and
`challenge` are refused rather than ignored.

Source:
    W3C Verifiable Credential Data Integrity 1.0, sections 2.1.1 (proof sets) and 4;
    W3C Data Integrity EdDSA Cryptosuites 1.0, section 3.3 (eddsa-jcs-2022).
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from connector.evidence.did import DidDocument
from connector.evidence.documents import canonical, text
from connector.evidence.errors import EvidenceError, ProofError
from connector.evidence.multikey import decode_base58, encode_base58, fingerprint
from schemas.strict_json import JsonObject, JsonValue

CRYPTOSUITE: Final = "eddsa-jcs-2022"
_MEMBERS: Final = frozenset(
    {"@context", "type", "cryptosuite", "created", "verificationMethod", "proofPurpose", "proofValue"}
)
_FIXED: Final = {
    "type": "DataIntegrityProof",
    "cryptosuite": CRYPTOSUITE,
    "proofPurpose": "assertionMethod",
}
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_SIGNATURE_BYTES: Final = 64


class Signer(Protocol):
    """Whatever signs with Ed25519: a private key in memory, later one in hardware."""

    def sign(self, data: bytes, /) -> bytes:
        """The 64-byte Ed25519 signature of `data`."""
        ...


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """A signature that was found right.

    Attributes:
        party: DID of the signer.
        verification_method: Identifier of the signer's key.
        fingerprint: SHA-256 of that key, to compare with what its owner says.
        created: When the signer says it signed; nobody else vouches for that.
    """

    party: str
    verification_method: str
    fingerprint: str
    created: datetime


def sign(
    document: Mapping[str, JsonValue], *, key: Signer, verification_method: str, created: datetime
) -> JsonObject:
    """Sign a document.

    Args:
        document: What is signed; proofs that it already carries are not part of it.
        key: The signer's private key.
        verification_method: Identifier of the public key in the signer's DID document.
        created: When, with a time zone; seconds are the finest unit written.

    Returns:
        The proof, for `add_proof`.

    Raises:
        ProofError: `created` has no time zone.
        EvidenceError: The document has no canonical form.
    """
    if created.utcoffset() is None:
        raise ProofError("The time of a signature needs a time zone.")
    proof: JsonObject = {
        **_FIXED,
        "created": created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "verificationMethod": verification_method,
    }
    if "@context" in document:
        proof["@context"] = document["@context"]
    return {**proof, "proofValue": encode_base58(key.sign(signed_bytes(document, proof)))}


def signed_bytes(document: Mapping[str, JsonValue], proof: Mapping[str, JsonValue]) -> bytes:
    """What is signed: the digests of the proof's options and of the document, each without its result.

    Source:
        W3C Data Integrity EdDSA Cryptosuites 1.0, sections 3.3.3 to 3.3.5.
    """
    options = {name: value for name, value in proof.items() if name != "proofValue"}
    unsecured = {name: value for name, value in document.items() if name != "proof"}
    return hashlib.sha256(canonical(options)).digest() + hashlib.sha256(canonical(unsecured)).digest()


def add_proof(document: Mapping[str, JsonValue], proof: Mapping[str, JsonValue]) -> JsonObject:
    """A copy of a document with one more proof in its proof set."""
    return {**document, "proof": [*proofs_of(document), dict(proof)]}


def proofs_of(document: Mapping[str, JsonValue]) -> tuple[JsonObject, ...]:
    """The proofs that a document carries, unverified: none, a single one or a set.

    Raises:
        ProofError: The member `proof` is neither an object nor a list of objects.
    """
    value = document.get("proof", [])
    listed = value if isinstance(value, list) else [value]
    proofs = tuple(entry for entry in listed if isinstance(entry, dict))
    if len(proofs) != len(listed):
        raise ProofError("The member 'proof' must be an object or a list of objects.")
    return proofs


def verify_proofs(
    document: Mapping[str, JsonValue], documents: Mapping[str, DidDocument]
) -> tuple[VerifiedProof, ...]:
    """Check that exactly the expected parties have signed a document, each once.

    1. There is one proof per expected party, and no other.
    2. Each proof is of the one type, cryptosuite and purpose that we accept, and
       has no member that we would have to ignore.
    3. Its context is the document's.
    4. Its key is in the party's DID document, controlled by that party and listed
       under `assertionMethod`.
    5. Its signature fits the document and the proof's own options.

    Args:
        document: The document with its proofs.
        documents: The expected parties' DID documents by DID; at least one.

    Returns:
        One entry per party, in the order of `documents`.

    Raises:
        ProofError: Names the first check that failed.
        EvidenceError: The document has no canonical form.
    """
    if not documents:
        raise ProofError("Nobody was named whose signature is expected.")
    verified: dict[str, VerifiedProof] = {}
    for proof in _bounded(proofs_of(document), len(documents)):
        result = _verify_proof(document, proof, documents)
        if result.party in verified:
            raise ProofError(f"{result.party} has signed twice.")
        verified[result.party] = result
    missing = [party for party in documents if party not in verified]
    if missing:
        raise ProofError(f"The signature of {missing[0]} is missing.")
    return tuple(verified[party] for party in documents)


def require_created_near(
    proofs: Sequence[VerifiedProof], moment: datetime, *, within: timedelta = timedelta(minutes=5)
) -> None:
    """Refuse signatures whose stated time is far from when they were exchanged.

    Raises:
        ProofError: Names the signer and both times.
    """
    for proof in proofs:
        if abs(proof.created - moment) > within:
            raise ProofError(
                f"{proof.party} dates its signature {proof.created.isoformat()}, more than {within} "
                f"from {moment.isoformat()}: check both clocks."
            )


def _bounded(proofs: tuple[JsonObject, ...], most: int) -> tuple[JsonObject, ...]:
    if len(proofs) > most:
        raise ProofError(f"The document carries {len(proofs)} proofs; {most} are expected.")
    return proofs


def _verify_proof(
    document: Mapping[str, JsonValue], proof: Mapping[str, JsonValue], documents: Mapping[str, DidDocument]
) -> VerifiedProof:
    _require_form(document, proof)
    method = text(proof, "verificationMethod")
    party = method.partition("#")[0]
    if party not in documents:
        raise ProofError(f"The document is signed by {party!r}, whose signature is not expected.")
    key = _assertion_key(documents[party], method)
    try:
        key.verify(_signature(proof), signed_bytes(document, proof))
    except InvalidSignature as error:
        raise ProofError(
            f"The signature of {party} does not fit: the document or the proof was changed after signing, "
            "or another key has signed."
        ) from error
    return VerifiedProof(party, method, fingerprint(key), _created(proof))


def _require_form(document: Mapping[str, JsonValue], proof: Mapping[str, JsonValue]) -> None:
    unknown = sorted(set(proof) - _MEMBERS)
    if unknown:
        raise ProofError(f"The proof has members that we do not support: {', '.join(unknown)}.")
    for name, expected in _FIXED.items():
        if proof.get(name) != expected:
            raise ProofError(f"The proof's {name} is {proof.get(name)!r}; only {expected!r} is accepted.")
    if "@context" in proof and proof["@context"] != document.get("@context"):
        raise ProofError("The proof was made for another @context than the document's.")


def _assertion_key(document: DidDocument, method: str) -> Ed25519PublicKey:
    try:
        key = document.key(method, "assertionMethod")
    except EvidenceError as error:
        raise ProofError(str(error)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ProofError(f"The key {method!r} is not an Ed25519 key, which {CRYPTOSUITE} requires.")
    return key


def _signature(proof: Mapping[str, JsonValue]) -> bytes:
    try:
        signature = decode_base58(text(proof, "proofValue"))
    except EvidenceError as error:
        raise ProofError(f"The proof's proofValue is malformed: {error}") from error
    if len(signature) != _SIGNATURE_BYTES:
        raise ProofError(
            f"The proof's proofValue holds {len(signature)} bytes instead of {_SIGNATURE_BYTES}."
        )
    return signature


def _created(proof: Mapping[str, JsonValue]) -> datetime:
    value = text(proof, "created")
    if not _MOMENT.fullmatch(value):
        raise ProofError(f"The proof's created {value!r} is not a UTC time such as 2026-11-21T08:00:00Z.")
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise ProofError(
            f"The proof's created {value!r} is not a UTC time such as 2026-11-21T08:00:00Z."
        ) from error
