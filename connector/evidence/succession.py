"""A new key in the place of an old one, vouched for by the old one.

Whoever has pinned a participant's DID document goes on to trust the participant
after it has changed its key: the old key has signed which one follows. A host
that exchanges the document cannot make such a statement.

It helps only while the old key is in its owner's hands. Where it was stolen,
partners must get the new document from its owner and pin that.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from connector.evidence.agreements import CONTEXT
from connector.evidence.did import KEY_SUCCESSION, DidDocument, VerificationMethod
from connector.evidence.documents import mapping, mappings, require_members, text
from connector.evidence.errors import EvidenceError
from connector.evidence.multikey import decode_key, encode_key
from connector.evidence.proofs import verify_proofs
from schemas.strict_json import JsonObject, JsonValue

_MEMBERS: Final = ("@context", "type", "did", "verificationMethod", "successor", "since", "proof")
_MOST: Final = 64


def succession_statement(
    *, did: str, verification_method: str, successor: VerificationMethod, since: datetime
) -> JsonObject:
    """What an old key signs about the new one.

    Args:
        did: Whose keys they are.
        verification_method: Identifier of the old key.
        successor: The new key.
        since: When it takes the old one's place, with a time zone.
    """
    if not isinstance(successor.key, Ed25519PublicKey):
        raise EvidenceError("Only an Ed25519 key can succeed another one.")
    return {
        "@context": list(CONTEXT),
        "type": "KeySuccession",
        "did": did,
        "verificationMethod": verification_method,
        "successor": {"id": successor.identifier, "publicKeyMultibase": encode_key(successor.key)},
        "since": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def with_successors(trusted: DidDocument, shown: DidDocument) -> DidDocument:
    """A trusted DID document with the keys that its own keys have vouched for.

    A statement that does not hold is passed over: what is signed with a key that
    nobody vouched for will not verify.

    Args:
        trusted: The document that the reader has pinned.
        shown: A later document of the same participant.

    Returns:
        The trusted document, and in it each key of `shown` that a chain of
        statements leads to.
    """
    if KEY_SUCCESSION not in shown.content or trusted.did != shown.did:
        return trusted
    known = trusted
    try:
        statements = mappings(shown.content, KEY_SUCCESSION)
    except EvidenceError:
        return trusted
    for statement in statements[:_MOST]:
        try:
            known = _with_successor(known, statement)
        except EvidenceError:
            continue
    return known


def _with_successor(known: DidDocument, statement: Mapping[str, JsonValue]) -> DidDocument:
    require_members(statement, _MEMBERS, "The statement about a key's successor")
    if statement["type"] != "KeySuccession" or text(statement, "did") != known.did:
        raise EvidenceError("This is no statement about this participant's keys.")
    (proof,) = verify_proofs(statement, {known.did: known})
    if proof.verification_method != text(statement, "verificationMethod"):
        raise EvidenceError("The statement is signed with another key than the one it is about.")
    successor = mapping(statement, "successor")
    identifier = text(successor, "id")
    if identifier in known.methods or not identifier.startswith(known.did + "#"):
        return known
    method = VerificationMethod(identifier, known.did, decode_key(text(successor, "publicKeyMultibase")))
    assertions = known.relationships["assertionMethod"] | {identifier}
    return replace(
        known,
        methods={**known.methods, identifier: method},
        relationships={**known.relationships, "assertionMethod": assertions},
    )
