"""Signatures on documents: W3C Data Integrity with `eddsa-jcs-2022` and `eddsa-rdfc-2022`.

Several parties sign the same bytes, in any order (a proof set), or one
countersigns another's proof (a chain, `previousProof`). We sign with
`eddsa-jcs-2022`, which covers the document as it is written; `eddsa-rdfc-2022`
covers what it means as RDF, and is verified only where the caller brings a
canonicaliser that can be stopped. `expires`, `domain` and `challenge` are
refused rather than ignored.

Source:
    W3C Verifiable Credential Data Integrity 1.0, sections 2.1.1 (proof sets),
    2.1.2 (proof chains) and 4; W3C Data Integrity EdDSA Cryptosuites 1.0,
    sections 3.2 (eddsa-rdfc-2022) and 3.3 (eddsa-jcs-2022).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from connector.evidence.did import DidDocument
from connector.evidence.documents import canonical, moment_of, text
from connector.evidence.errors import EvidenceError, ProofError
from connector.evidence.multikey import decode_base58, encode_base58, fingerprint
from schemas.strict_json import JsonObject, JsonValue

CRYPTOSUITE: Final = "eddsa-jcs-2022"
"""What we sign with."""
RDF_CRYPTOSUITE: Final = "eddsa-rdfc-2022"
"""What others may sign with, too."""
_MEMBERS: Final = frozenset(
    {
        "@context",
        "id",
        "type",
        "cryptosuite",
        "created",
        "verificationMethod",
        "proofPurpose",
        "previousProof",
        "proofValue",
    }
)
_FIXED: Final = {"type": "DataIntegrityProof", "proofPurpose": "assertionMethod"}
_SIGNATURE_BYTES: Final = 64


class Signer(Protocol):
    """Whatever signs with Ed25519: a private key in memory, later one in hardware."""

    def sign(self, data: bytes, /) -> bytes:
        """The 64-byte Ed25519 signature of `data`."""
        ...


class RdfCanonicaliser(Protocol):
    """Writes JSON-LD documents as canonical RDF, within limits of time and memory."""

    def __call__(self, documents: Sequence[JsonObject], /) -> Sequence[bytes]:
        """Canonical N-Quads, one per document.

        Raises:
            CanonicalisationError: A document is refused, or it took too much time or memory.
        """
        ...


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """A signature that was found right.

    Attributes:
        party: DID of the signer.
        verification_method: Identifier of the signer's key.
        fingerprint: SHA-256 of that key, to compare with what its owner says.
        created: When the signer says it signed; nobody else vouches for that.
        cryptosuite: `eddsa-jcs-2022`, or `eddsa-rdfc-2022`: then the order of
            unordered lists, for one, is not covered.
    """

    party: str
    verification_method: str
    fingerprint: str
    created: datetime
    cryptosuite: str = CRYPTOSUITE


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
        "type": "DataIntegrityProof",
        "cryptosuite": CRYPTOSUITE,
        "proofPurpose": "assertionMethod",
        "created": created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "verificationMethod": verification_method,
    }
    if "@context" in document:
        proof["@context"] = document["@context"]
    return {**proof, "proofValue": encode_base58(key.sign(signed_bytes(document, proof)))}


def signed_bytes(
    document: Mapping[str, JsonValue],
    proof: Mapping[str, JsonValue],
    rdf: RdfCanonicaliser | None = None,
) -> bytes:
    """What is signed: the digests of the proof's options and of the document, each without its result.

    A proof that countersigns others covers them, too.

    Args:
        document: The document with its proofs, if it has any yet.
        proof: The proof, with or without its result.
        rdf: Canonicalises the RDF of documents for `eddsa-rdfc-2022`.

    Raises:
        ProofError: A countersigned proof is missing, or there is no canonicaliser.
        EvidenceError: The document has no canonical form.

    Source:
        W3C Data Integrity EdDSA Cryptosuites 1.0, sections 3.2.3 to 3.2.5 and
        3.3.3 to 3.3.5; Verifiable Credential Data Integrity 1.0, section 4.4.
    """
    options: JsonObject = {name: value for name, value in proof.items() if name != "proofValue"}
    unsecured: JsonObject = {name: value for name, value in document.items() if name != "proof"}
    previous = _previous_proofs(document, proof)
    if previous:
        unsecured["proof"] = [*previous]
    forms = (
        _forms(options, unsecured, rdf) if _suite(proof) == RDF_CRYPTOSUITE else _texts(options, unsecured)
    )
    return b"".join(hashlib.sha256(form).digest() for form in forms)


def _texts(options: JsonObject, unsecured: JsonObject) -> tuple[bytes, bytes]:
    return canonical(options), canonical(unsecured)


def _forms(options: JsonObject, unsecured: JsonObject, rdf: RdfCanonicaliser | None) -> Sequence[bytes]:
    if rdf is None:
        raise ProofError(
            f"The proof's cryptosuite is {RDF_CRYPTOSUITE!r}, which is not verified here; "
            f"only {CRYPTOSUITE!r} is accepted.",
            f"Die Unterschrift ist mit {RDF_CRYPTOSUITE!r} gemacht; das wird hier nicht geprüft, "
            f"angenommen wird nur {CRYPTOSUITE!r}.",
        )
    if "@context" in unsecured:
        options = {**options, "@context": unsecured["@context"]}
    return rdf([options, unsecured])


def _previous_proofs(
    document: Mapping[str, JsonValue], proof: Mapping[str, JsonValue]
) -> tuple[JsonObject, ...]:
    """The proofs that a proof countersigns, in the document's order."""
    if "previousProof" not in proof:
        return ()
    stated = proof["previousProof"]
    wanted = {text({"previousProof": name}, "previousProof") for name in _listed(stated)}
    found = tuple(one for one in proofs_of(document) if one.get("id") in wanted)
    if {one["id"] for one in found} != wanted or len(found) != len(wanted) or proof.get("id") in wanted:
        raise ProofError(
            "The proof countersigns a proof that the document does not carry exactly once.",
            "Die Unterschrift zeichnet eine andere gegen, die das Dokument nicht genau einmal trägt.",
        )
    return found


def _listed(value: JsonValue) -> list[JsonValue]:
    listed: list[JsonValue] = value if isinstance(value, list) else [value]
    if not listed:
        raise ProofError(
            "The proof says that it countersigns others, and names none.",
            "Die Unterschrift sagt, dass sie andere gegenzeichnet, und nennt keine.",
        )
    return listed


def _suite(proof: Mapping[str, JsonValue]) -> JsonValue:
    return proof.get("cryptosuite")


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
        raise ProofError(
            "The member 'proof' must be an object or a list of objects.",
            "Das Member „proof“ muss ein Objekt oder eine Liste von Objekten sein.",
        )
    return proofs


def verify_proofs(
    document: Mapping[str, JsonValue],
    documents: Mapping[str, DidDocument],
    rdf: RdfCanonicaliser | None = None,
) -> tuple[VerifiedProof, ...]:
    """Check that exactly the expected parties have signed a document, each once.

    1. There is one proof per expected party, and no other.
    2. Each proof is of a type, cryptosuite and purpose that we accept, and has no
       member that we would have to ignore.
    3. Its context is the document's.
    4. Its key is in the party's DID document, controlled by that party, listed
       under `assertionMethod`, and was in use when the party says it signed.
    5. Its signature fits the document, the proof's own options and the proofs
       that it countersigns.

    Args:
        document: The document with its proofs.
        documents: The expected parties' DID documents by DID; at least one.
        rdf: Canonicalises the RDF of documents; without it, `eddsa-rdfc-2022` is refused.

    Returns:
        One entry per party, in the order of `documents`.

    Raises:
        ProofError: Names the first check that failed.
        EvidenceError: The document has no canonical form.
    """
    if not documents:
        raise ProofError(
            "Nobody was named whose signature is expected.",
            "Es ist niemand genannt, dessen Unterschrift erwartet wird.",
        )
    verified: dict[str, VerifiedProof] = {}
    for proof in _bounded(proofs_of(document), len(documents)):
        result = _verify_proof(document, proof, documents, rdf)
        if result.party in verified:
            raise ProofError(
                f"{result.party} has signed twice.", f"{result.party} hat zweimal unterschrieben."
            )
        verified[result.party] = result
    missing = [party for party in documents if party not in verified]
    if missing:
        raise ProofError(
            f"The signature of {missing[0]} is missing.", f"Die Unterschrift von {missing[0]} fehlt."
        )
    return tuple(verified[party] for party in documents)


def require_created_near(
    proofs: Sequence[VerifiedProof],
    moment: datetime,
    *,
    since: datetime | None = None,
    within: timedelta = timedelta(minutes=5),
) -> None:
    """Refuse signatures whose stated time is far from when they were exchanged.

    Args:
        proofs: The signatures.
        moment: When they arrived.
        since: When the exchange began, so that a message that was long on its way is not
            refused for it; `moment` where it has no beginning.
        within: How far two clocks may be apart.

    Raises:
        ProofError: Names the signer and both times.
    """
    begun = moment if since is None else min(since, moment)
    for proof in proofs:
        if not begun - within <= proof.created <= moment + within:
            raise ProofError(
                f"{proof.party} dates its signature {proof.created.isoformat()}, more than {within} "
                f"from {begun.isoformat()} to {moment.isoformat()}: check both clocks."
            )


def _bounded(proofs: tuple[JsonObject, ...], most: int) -> tuple[JsonObject, ...]:
    if len(proofs) > most:
        raise ProofError(
            f"The document carries {len(proofs)} proofs; {most} are expected.",
            f"Das Dokument trägt {len(proofs)} Unterschriften; erwartet sind {most}.",
        )
    return proofs


def _verify_proof(
    document: Mapping[str, JsonValue],
    proof: Mapping[str, JsonValue],
    documents: Mapping[str, DidDocument],
    rdf: RdfCanonicaliser | None,
) -> VerifiedProof:
    _require_form(document, proof)
    method = text(proof, "verificationMethod")
    party = method.partition("#")[0]
    if party not in documents:
        raise ProofError(
            f"The document is signed by {party!r}, whose signature is not expected.",
            f"Das Dokument ist von {party!r} unterschrieben; diese Unterschrift wird nicht erwartet.",
        )
    created = _created(proof)
    key = _assertion_key(documents[party], method, created)
    try:
        key.verify(_signature(proof), signed_bytes(document, proof, rdf))
    except InvalidSignature as error:
        raise ProofError(
            f"The signature of {party} does not fit: the document or the proof was changed after signing, "
            "or another key has signed.",
            f"Die Unterschrift von {party} passt nicht: Das Dokument oder die Unterschrift wurde danach "
            "geändert, oder ein anderer Schlüssel hat unterschrieben.",
        ) from error
    return VerifiedProof(party, method, fingerprint(key), created, str(_suite(proof)))


def _require_form(document: Mapping[str, JsonValue], proof: Mapping[str, JsonValue]) -> None:
    unknown = sorted(set(proof) - _MEMBERS)
    if unknown:
        raise ProofError(
            f"The proof has members that we do not support: {', '.join(unknown)}.",
            f"Die Unterschrift hat Member, die wir nicht unterstützen: {', '.join(unknown)}.",
        )
    for name, expected in _FIXED.items():
        if proof.get(name) != expected:
            raise ProofError(
                f"The proof's {name} is {proof.get(name)!r}; only {expected!r} is accepted.",
                f"Bei der Unterschrift ist {name} {proof.get(name)!r}; angenommen wird nur {expected!r}.",
            )
    if _suite(proof) not in (CRYPTOSUITE, RDF_CRYPTOSUITE):
        raise ProofError(
            f"The proof's cryptosuite is {_suite(proof)!r}; only {CRYPTOSUITE!r} and {RDF_CRYPTOSUITE!r} "
            "are accepted.",
            f"Die Unterschrift ist mit {_suite(proof)!r} gemacht; angenommen werden nur {CRYPTOSUITE!r} und "
            f"{RDF_CRYPTOSUITE!r}.",
        )
    if "@context" in proof and proof["@context"] != document.get("@context"):
        raise ProofError(
            "The proof was made for another @context than the document's.",
            "Die Unterschrift gilt für einen anderen @context als den des Dokuments.",
        )


def _assertion_key(document: DidDocument, method: str, created: datetime) -> Ed25519PublicKey:
    try:
        key = document.key(method, "assertionMethod", at=created)
    except EvidenceError as error:
        raise ProofError(str(error), error.reason["de"]) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ProofError(
            f"The key {method!r} is not an Ed25519 key, which both cryptosuites require.",
            f"Der Schlüssel {method!r} ist kein Ed25519-Schlüssel, wie ihn beide Verfahren verlangen.",
        )
    return key


def _signature(proof: Mapping[str, JsonValue]) -> bytes:
    try:
        signature = decode_base58(text(proof, "proofValue"))
    except EvidenceError as error:
        raise ProofError(
            f"The proof's proofValue is malformed: {error}",
            f"Der proofValue der Unterschrift ist fehlerhaft: {error.reason['de']}",
        ) from error
    if len(signature) != _SIGNATURE_BYTES:
        raise ProofError(
            f"The proof's proofValue holds {len(signature)} bytes instead of {_SIGNATURE_BYTES}.",
            f"Der proofValue der Unterschrift enthält {len(signature)} statt {_SIGNATURE_BYTES} Bytes.",
        )
    return signature


def _created(proof: Mapping[str, JsonValue]) -> datetime:
    try:
        return moment_of(proof, "created")
    except EvidenceError as error:
        raise ProofError(
            f"The proof has no usable time of signing: {error}",
            f"Die Unterschrift hat keinen brauchbaren Zeitpunkt: {error.reason['de']}",
        ) from error
