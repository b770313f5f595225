"""Check an agreement file or a receipt file, offline, with nothing but the file.

The recipe, in this order; the first step that fails is the answer:

1.  The bytes are one JSON object in the one spelling that we write: no duplicate
    member, no other white space, nothing before or after it.
2.  It is an agreement file or a receipt file and has that kind's members, no others.
3.  The signed statement has its kind's members, no others, and our fixed @context
    with the digests of the contexts that we know.
4.  The file holds exactly the signers' DID documents. Each is well formed and has
    the digest that the signed statement names.
5.  Exactly the expected parties have signed, each once, with the key that the
    statement names: assigner and assignee of an agreement, issuer of a receipt.
    Where a pinned DID document is given, the key must be in that one, too, or be
    the successor of one that is (`connector.evidence.succession`).
6.  (Receipt) The ledger's tree head is signed by the issuer.
7.  (Receipt) The inclusion proof leads from the receipt, proof included, to that
    tree head, and the receipt itself names that place.
8.  (Receipt with a countersignature) The recipient that the receipt names has
    signed, as in steps 3 to 5, that it got what exactly this receipt states.

Every byte of a file is covered: by a signature, by a digest inside what is signed,
by the inclusion proof, or by the fixed form of the file. (A party that signed an
agreement with `eddsa-rdfc-2022` has covered its meaning, and not the order of its
lists; the other party's signature may.)

Without a pinned DID document a file shows that it fits together: nobody changed
it after the keys in it signed. It does not show whose keys they are: anyone can
make keys and write any name beside them. Pin the parties' DID documents, or
compare the key fingerprints with what their owners tell you.

Times are the signers' own statements; no third party vouches for them.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

from connector.evidence.agreements import (
    AGREEMENT_FILE,
    CONTEXT,
    CONTEXT_DIGESTS,
    STATEMENT_MEMBERS,
    require_parties,
)
from connector.evidence.did import DidDocument, parse_did_document
from connector.evidence.documents import (
    digest,
    mapping,
    mappings,
    read_file,
    require_members,
    text,
    texts,
    whole,
)
from connector.evidence.errors import EvidenceError
from connector.evidence.ledger import TREE_HEAD_MEMBERS, verify_inclusion
from connector.evidence.proofs import (
    RDF_CRYPTOSUITE,
    RdfCanonicaliser,
    VerifiedProof,
    proofs_of,
    verify_proofs,
)
from connector.evidence.receipts import (
    COUNTERSIGNATURE,
    COUNTERSIGNATURE_MEMBERS,
    RECEIPT_FILE,
    RECEIPT_MEMBERS,
    receipt_leaf_hash,
)
from connector.evidence.succession import with_successors
from policies.model import LanguageMap
from schemas.strict_json import JsonObject

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_NOTHING_PINNED: Final[Mapping[str, JsonObject]] = MappingProxyType({})

_FORM: Final = {
    "de": "Die Datei ist wohlgeformt und unverändert in der Form, in der sie geschrieben wurde.",
    "en": "The file is well formed and unchanged in the form in which it was written.",
}
_DOCUMENTS: Final = {
    "de": "Die beigelegten DID-Dokumente sind die, auf die sich die unterschriebene Erklärung bezieht.",
    "en": "The enclosed DID documents are those that the signed statement refers to.",
}
_TREE_HEAD: Final = {
    "de": "Der Stand des Protokolls ist vom Aussteller unterschrieben.",
    "en": "The ledger's tree head is signed by the issuer.",
}
_NOT_COUNTERSIGNED: Final = {
    "de": "Der Empfänger hat die Quittung nicht gegengezeichnet.",
    "en": "The recipient has not countersigned the receipt.",
}
_SIGNED_AS_RDF: Final = {
    "de": (
        "Mindestens eine Unterschrift deckt ab, was der Vertrag als RDF bedeutet, "
        "nicht die Reihenfolge seiner Listen."
    ),
    "en": "At least one signature covers what the agreement means as RDF, not the order of its lists.",
}
KEY_SOURCES: Final[Mapping[str, LanguageMap]] = {
    "pinned": {"de": "aus dem vorgegebenen DID-Dokument", "en": "from the DID document that you gave"},
    "file": {"de": "aus der Datei selbst", "en": "from the file itself"},
}
"""Where a key comes from, in words, per `VerifiedParty.key_source`."""
_PINNED: Final = {
    "de": "Alle Schlüssel stehen in den DID-Dokumenten, die Sie vorgegeben haben.",
    "en": "All keys are in the DID documents that you supplied.",
}
_UNPINNED: Final = {
    "de": (
        "Mindestens ein Schlüssel stammt aus der Datei selbst. Geprüft ist dann, dass alles zusammenpasst, "
        "nicht, wem der Schlüssel gehört. "
        "Vergleichen Sie den Fingerabdruck mit den Angaben des Unterzeichners."
    ),
    "en": (
        "At least one key comes from the file itself. What is proven then is that everything fits together, "
        "not whose key it is. Compare its fingerprint with what the signer tells you."
    ),
}


@dataclass(frozen=True, slots=True)
class VerifiedParty:
    """A party whose signature was found right.

    Attributes:
        did: The name under which it signed.
        verification_method: Identifier of its key.
        key_fingerprint: SHA-256 of the key, to compare with what its owner says.
        key_source: `pinned` if the key is in a DID document that the reader
            supplied, `file` if only the file itself vouches for it.
        signed: When the party says it signed.
    """

    did: str
    verification_method: str
    key_fingerprint: str
    key_source: Literal["file", "pinned"]
    signed: datetime


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified, for a person to read.

    Attributes:
        kind: What the file is.
        identifier: IRI of the agreement, or of the receipt.
        agreement_id: IRI of the agreement that it is, or belongs to.
        dataset_id: IRI of the dataset.
        parties: Who signed.
        steps: What was checked, one sentence each.
        missing: What could be in the file and is not, one sentence each.
        limit: What that does and does not prove about the signers' identity.
        statement: The signed statement, with its proofs.
    """

    kind: Literal["agreement", "receipt"]
    identifier: str
    agreement_id: str
    dataset_id: str
    parties: tuple[VerifiedParty, ...]
    steps: tuple[LanguageMap, ...]
    missing: tuple[LanguageMap, ...]
    limit: LanguageMap
    statement: JsonObject


def verify_file(
    data: bytes,
    *,
    pinned: Mapping[str, JsonObject] = _NOTHING_PINNED,
    rdf: RdfCanonicaliser | None = None,
) -> Verification:
    """Verify an agreement file or a receipt file; the steps are this module's recipe.

    Args:
        data: The file's bytes.
        pinned: DID documents by DID that the reader already trusts.
        rdf: Canonicalises the RDF of documents; without it, `eddsa-rdfc-2022` is refused.

    Returns:
        What was verified, and what that does not prove.

    Raises:
        EvidenceError: The first step that failed, as a sentence.
    """
    document = read_file(data)
    match document.get("type"):
        case "SignedAgreementFile":
            return _verify_agreement(document, pinned, rdf)
        case "ReleaseReceiptFile":
            return _verify_receipt(document, pinned)
    raise EvidenceError(
        f"The file is neither an agreement nor a receipt ({AGREEMENT_FILE}, {RECEIPT_FILE}).",
        f"Die Datei ist weder ein Vertrag noch eine Quittung ({AGREEMENT_FILE}, {RECEIPT_FILE}).",
    )


def require_signers(pinned: Collection[str], signers: Collection[str]) -> None:
    """Refuse DID documents of those who have signed nothing: their reader expects a signature of theirs.

    Args:
        pinned: The DIDs whose documents the reader brings.
        signers: The DIDs of those who have signed.

    Raises:
        EvidenceError: Names them.
    """
    strangers = ", ".join(sorted(set(pinned) - set(signers)))
    if strangers:
        raise EvidenceError(
            f"The file is not signed by {strangers}, whose DID document you gave.",
            f"Die Datei ist nicht von {strangers} unterschrieben; dessen DID-Dokument haben Sie vorgegeben.",
        )


def _verify_agreement(
    document: JsonObject, pinned: Mapping[str, JsonObject], rdf: RdfCanonicaliser | None
) -> Verification:
    require_members(document, ("type", "signedAgreement", "didDocuments"), "The agreement file")
    statement = mapping(document, "signedAgreement")
    _require_statement(statement, STATEMENT_MEMBERS, "SignedAgreement")
    agreement = mapping(statement, "agreement")
    named = {}
    for party in mappings(statement, "parties"):
        require_members(party, ("did", "verificationMethod", "didDocumentDigest"), "A party")
        named[text(party, "did")] = party
    require_parties(agreement, tuple(named))
    parties = _verify_signers(statement, named, mapping(document, "didDocuments"), pinned, rdf)
    return Verification(
        kind="agreement",
        identifier=text(agreement, "@id"),
        agreement_id=text(agreement, "@id"),
        dataset_id=text(agreement, "target"),
        parties=parties,
        steps=(_FORM, _DOCUMENTS, _signed_by(parties)),
        missing=(_SIGNED_AS_RDF,) if _is_signed_as_rdf(statement) else (),
        limit=_limit(parties),
        statement=statement,
    )


def _verify_receipt(document: JsonObject, pinned: Mapping[str, JsonObject]) -> Verification:
    members = ("type", "signedReceipt", "inclusion", "didDocuments")
    counter = (COUNTERSIGNATURE,) if COUNTERSIGNATURE in document else ()
    require_members(document, (*members, *counter), "The receipt file")
    receipt = mapping(document, "signedReceipt")
    _require_statement(receipt, RECEIPT_MEMBERS, "ReleaseReceipt")
    issuer = {text(receipt, "issuer"): receipt}
    recipient = _countersigner(receipt, mapping(document, COUNTERSIGNATURE)) if counter else {}
    enclosed = mapping(document, "didDocuments")
    require_members(enclosed, (*issuer, *recipient), "The member 'didDocuments'")
    signed = _verify_signers(receipt, issuer, _enclosed(enclosed, issuer), pinned)
    placed = _verify_inclusion(
        receipt, mapping(document, "inclusion"), _documents(issuer, _enclosed(enclosed, issuer))
    )
    countersigned = tuple(
        party
        for did, statement in recipient.items()
        for party in _verify_signers(statement, {did: statement}, {did: enclosed[did]}, pinned)
    )
    parties = (*signed, *countersigned)
    return Verification(
        kind="receipt",
        identifier=text(receipt, "id"),
        agreement_id=text(mapping(receipt, "agreement"), "id"),
        dataset_id=text(mapping(receipt, "dataset"), "id"),
        parties=parties,
        steps=(
            _FORM,
            _DOCUMENTS,
            _signed_by(signed),
            _TREE_HEAD,
            placed,
            *(_countersigned_by(party) for party in countersigned),
        ),
        missing=() if countersigned else (_NOT_COUNTERSIGNED,),
        limit=_limit(parties),
        statement=receipt,
    )


def _is_signed_as_rdf(statement: JsonObject) -> bool:
    return any(proof.get("cryptosuite") == RDF_CRYPTOSUITE for proof in proofs_of(statement))


def _enclosed(documents: JsonObject, named: Mapping[str, JsonObject]) -> JsonObject:
    return {did: documents[did] for did in named}


def _countersigner(receipt: JsonObject, countersignature: JsonObject) -> dict[str, JsonObject]:
    """Step 8 of the recipe, but for the signature: the recipient, and what it has signed."""
    _require_statement(countersignature, COUNTERSIGNATURE_MEMBERS, "ReceiptCountersignature")
    recipient = text(receipt, "recipient")
    if recipient == text(receipt, "issuer"):
        raise EvidenceError(
            f"{recipient} cannot countersign its own receipt.",
            f"{recipient} kann die eigene Quittung nicht gegenzeichnen.",
        )
    identifier = text(receipt, "id")
    _require_fixed(countersignature, "id", f"{identifier}#{COUNTERSIGNATURE}")
    _require_fixed(countersignature, "receipt", {"id": identifier, "digest": digest(receipt)})
    _require_fixed(countersignature, "recipient", recipient)
    return {recipient: countersignature}


def _require_statement(statement: JsonObject, members: tuple[str, ...], kind: str) -> None:
    """Step 3 of the recipe."""
    require_members(statement, (*members, "proof"), f"The {kind}")
    _require_fixed(statement, "type", kind)
    _require_fixed(statement, "@context", list(CONTEXT))
    _require_fixed(statement, "contextDigests", dict(CONTEXT_DIGESTS))


def _require_fixed(document: JsonObject, name: str, expected: object) -> None:
    if document.get(name) != expected:
        raise EvidenceError(
            f"The member {name!r} is not {expected!r}, the only value that we understand.",
            f"Das Member {name!r} ist nicht {expected!r}, der einzige Wert, den wir verstehen.",
        )


def _documents(named: Mapping[str, JsonObject], enclosed: JsonObject) -> dict[str, DidDocument]:
    """Step 4 of the recipe: the enclosed DID documents, in the order of the signers."""
    require_members(enclosed, tuple(named), "The member 'didDocuments'")
    documents = {}
    for did, signer in named.items():
        parsed = parse_did_document(mapping(enclosed, did), did=did)
        if parsed.digest != text(signer, "didDocumentDigest"):
            raise EvidenceError(
                f"The enclosed DID document of {did} is not the one the statement was signed with.",
                f"Das beigelegte DID-Dokument von {did} ist nicht das, mit dem die Erklärung "
                "unterschrieben wurde.",
            )
        documents[did] = parsed
    return documents


def _verify_signers(
    statement: JsonObject,
    named: Mapping[str, JsonObject],
    enclosed: JsonObject,
    pinned: Mapping[str, JsonObject],
    rdf: RdfCanonicaliser | None = None,
) -> tuple[VerifiedParty, ...]:
    """Steps 4 and 5 of the recipe."""
    documents = _documents(named, enclosed)
    proofs = verify_proofs(statement, documents, rdf)
    known = {
        did: with_successors(parse_did_document(pinned[did], did=did), shown)
        for did, shown in documents.items()
        if did in pinned
    }
    # The second pass asks whether the reader's own documents list the same keys.
    verify_proofs(statement, {**documents, **known}, rdf)
    for proof in proofs:
        expected = text(named[proof.party], "verificationMethod")
        if proof.verification_method != expected:
            raise EvidenceError(
                f"{proof.party} signed with {proof.verification_method!r}, not {expected!r}.",
                f"{proof.party} hat mit {proof.verification_method!r} unterschrieben, "
                f"nicht mit {expected!r}.",
            )
    return tuple(_party(proof, is_pinned=proof.party in known) for proof in proofs)


def _party(proof: VerifiedProof, *, is_pinned: bool) -> VerifiedParty:
    return VerifiedParty(
        did=proof.party,
        verification_method=proof.verification_method,
        key_fingerprint=proof.fingerprint,
        key_source="pinned" if is_pinned else "file",
        signed=proof.created,
    )


def _verify_inclusion(
    receipt: JsonObject, inclusion: JsonObject, issuer: Mapping[str, DidDocument]
) -> LanguageMap:
    """Steps 6 and 7 of the recipe."""
    require_members(inclusion, ("leafIndex", "treeSize", "path", "treeHead"), "The member 'inclusion'")
    head = mapping(inclusion, "treeHead")
    require_members(head, (*TREE_HEAD_MEMBERS, "proof"), "The tree head")
    _require_fixed(head, "type", "TreeHead")
    _require_fixed(head, "@context", list(CONTEXT))
    _require_fixed(head, "ledger", text(receipt, "issuer"))
    verify_proofs(head, issuer)
    index, size = whole(inclusion, "leafIndex"), whole(inclusion, "treeSize")
    if size != whole(head, "treeSize"):
        raise EvidenceError(
            "The inclusion proof is for another size of the ledger than the tree head's.",
            "Der Nachweis gilt für eine andere Größe des Protokolls als der Stand.",
        )
    verify_inclusion(
        leaf=receipt_leaf_hash(receipt),
        index=index,
        size=size,
        path=[_hash(step) for step in texts(inclusion, "path")],
        root=_hash(text(head, "rootHash")),
    )
    if index != whole(receipt, "ledgerIndex"):
        raise EvidenceError(
            f"The receipt does not stand where it says: it is entry {index} of the ledger.",
            f"Die Quittung steht nicht dort, wo sie es sagt: Sie ist Eintrag {index} des Protokolls.",
        )
    return {
        "de": f"Die Quittung ist Eintrag {index} im Protokoll mit {size} Einträgen.",
        "en": f"The receipt is entry {index} of the ledger of {size} entries.",
    }


def _hash(value: str) -> bytes:
    if not _HASH.fullmatch(value):
        raise EvidenceError(
            f"{value[:70]!r} is not a SHA-256 hash (64 lower-case hexadecimal digits).",
            f"{value[:70]!r} ist kein SHA-256-Hashwert (64 hexadezimale Ziffern, klein geschrieben).",
        )
    return bytes.fromhex(value)


def _signed_by(parties: tuple[VerifiedParty, ...]) -> LanguageMap:
    names = [party.did for party in parties]
    return {
        "de": f"Unterschrieben von {' und '.join(names)}.",
        "en": f"Signed by {' and '.join(names)}.",
    }


def _countersigned_by(party: VerifiedParty) -> LanguageMap:
    return {
        "de": f"Gegengezeichnet von {party.did}.",
        "en": f"Countersigned by {party.did}.",
    }


def _limit(parties: tuple[VerifiedParty, ...]) -> LanguageMap:
    return _PINNED if all(party.key_source == "pinned" for party in parties) else _UNPINNED
