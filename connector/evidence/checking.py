"""Check an evidence file question by question, and say of each whether it holds.

`connector.evidence.verification` decides: it stops at the first thing that is
wrong. This goes on, so that a reader learns what still holds and what does not.
The last check is that decision itself, so the two can never disagree.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connector.evidence.audit import Check, require_head
from connector.evidence.did import DidDocument, parse_did_document
from connector.evidence.documents import file_bytes, mapping, mappings, text, texts, whole
from connector.evidence.errors import EvidenceError
from connector.evidence.ledger import verify_consistency, verify_inclusion
from connector.evidence.proofs import RdfCanonicaliser, proofs_of, verify_proofs
from connector.evidence.receipts import COUNTERSIGNATURE, receipt_leaf_hash
from connector.evidence.succession import with_successors
from connector.evidence.verification import verify_file
from schemas.strict_json import JsonObject, JsonValue, MalformedJsonError, loads

HEAD: Final = "TreeHead"
PROOF: Final = "LedgerProof"
CONTRADICTION: Final = "LedgerContradiction"
_MOST_BYTES: Final = 10_000_000
_NOTHING: Final[Mapping[str, JsonObject]] = MappingProxyType({})
_Sentence = tuple[str, str]
_Question = tuple[str, Callable[[], None], _Sentence]
_WHOLE: Final = (
    "Alles zusammen: Die Datei ist gültig.",
    "All in all: the file is valid.",
)


def check_file(
    data: bytes,
    *,
    pinned: Mapping[str, JsonObject] = _NOTHING,
    rdf: RdfCanonicaliser | None = None,
) -> tuple[Check, ...]:
    """Check an agreement, a receipt, a tree head, a ledger proof or a contradiction.

    Args:
        data: The file's bytes.
        pinned: DID documents by DID that the reader already trusts; tree heads
            and proofs carry none of their own.
        rdf: Canonicalises the RDF of documents, for `eddsa-rdfc-2022`.

    Returns:
        One answer per question, at least one; the file is good where all hold.
    """
    try:
        document = loads(data, max_bytes=_MOST_BYTES)
    except MalformedJsonError as problem:
        return (_failed("form", str(problem)),)
    if not isinstance(document, dict):
        return (_failed("form", "The file holds no JSON object."),)
    reader = _Reader(document, pinned, rdf)
    questions = {
        "SignedAgreementFile": reader.agreement,
        "ReleaseReceiptFile": reader.receipt,
        HEAD: reader.head,
        PROOF: reader.proof,
        CONTRADICTION: reader.contradiction,
    }.get(str(document.get("type")))
    if questions is None:
        return (
            _failed("form", f"The file says it is a {document.get('type')!r}, which is nothing of ours."),
        )
    checks = [_answered(question) for question in questions(data)]
    return tuple(checks)


def _answered(question: _Question) -> Check:
    name, require, good = question
    try:
        require()
    except EvidenceError as problem:
        return _failed(name, str(problem))
    return Check(name, holds=True, text={"de": good[0], "en": good[1]})


def _failed(name: str, reason: str) -> Check:
    return Check(name, holds=False, text={"de": f"{_SUBJECTS.get(name, name)}: {reason}", "en": reason})


_SUBJECTS: Final = {
    "form": "Die Form der Datei",
    "signature": "Eine Unterschrift",
    "did-document": "Ein DID-Dokument",
    "pinned-key": "Ein Schlüssel",
    "tree-head": "Der Stand des Protokolls",
    "inclusion": "Der Platz im Protokoll",
    "countersignature": "Die Gegenzeichnung",
    "consistency": "Das Wachstum des Protokolls",
    "verdict": "Alles zusammen",
}
"""German for what a failed check is about; the reason itself is in English, as in every log."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """A file and what its reader knows."""

    document: JsonObject
    pinned: Mapping[str, JsonObject]
    rdf: RdfCanonicaliser | None

    # what is asked of each kind of file

    def agreement(self, data: bytes) -> Iterator[_Question]:
        statement = self._part("signedAgreement")
        yield self._form(data)
        parties = statement.get("parties")
        for party in parties if isinstance(parties, list) else []:
            if isinstance(party, dict):
                yield from self._signer(statement, str(party.get("did")), party)
        yield "verdict", lambda: self._verify(data), _WHOLE

    def receipt(self, data: bytes) -> Iterator[_Question]:
        receipt, inclusion = self._part("signedReceipt"), self._part("inclusion")
        issuer = str(receipt.get("issuer"))
        yield self._form(data)
        yield from self._signer(receipt, issuer, receipt)
        yield (
            "tree-head",
            lambda: self._require_head(mapping(inclusion, "treeHead"), self._enclosed(issuer)),
            (
                f"Der Stand des Protokolls ist von {issuer} unterschrieben.",
                f"The ledger's tree head is signed by {issuer}.",
            ),
        )
        yield (
            "inclusion",
            lambda: self._require_included(receipt, inclusion),
            ("Die Quittung steht in diesem Protokoll.", "The receipt is in that ledger."),
        )
        if COUNTERSIGNATURE in self.document:
            counter = self._part(COUNTERSIGNATURE)
            yield from self._signer(counter, str(receipt.get("recipient")), counter)
        yield "verdict", lambda: self._verify(data), _WHOLE

    def head(self, _: bytes) -> Iterator[_Question]:
        keeper = str(self.document.get("ledger"))
        yield (
            "tree-head",
            lambda: self._require_head(self.document, self._known(keeper)),
            (
                f"{keeper} hat diesen Stand unterschrieben: {self.document.get('treeSize')} Einträge.",
                f"{keeper} has signed this state: {self.document.get('treeSize')} entries.",
            ),
        )

    def proof(self, _: bytes) -> Iterator[_Question]:
        """A later tree head, with the proof that an entry is in it, or that it continues an earlier one."""
        later = self._part("treeHead")
        keeper = str(later.get("ledger"))
        yield (
            "tree-head",
            lambda: self._require_head(later, self._known(keeper)),
            (f"{keeper} hat den Stand unterschrieben.", f"{keeper} has signed the tree head."),
        )
        if "earlier" in self.document:
            yield (
                "tree-head",
                lambda: self._require_head(self._part("earlier"), self._known(keeper)),
                (
                    f"{keeper} hat auch den früheren Stand unterschrieben.",
                    f"{keeper} has signed the earlier one, too.",
                ),
            )
            yield (
                "consistency",
                lambda: self._require_continued(later),
                (
                    "Das Protokoll ist seit dem früheren Stand nur gewachsen.",
                    "The ledger has only grown since the earlier one.",
                ),
            )
        else:
            yield (
                "inclusion",
                lambda: self._require_leaf(later),
                ("Der Eintrag steht in diesem Protokoll.", "The entry is in that ledger."),
            )

    def contradiction(self, _: bytes) -> Iterator[_Question]:
        """Two tree heads of one keeper that cannot both be true."""
        heads = mappings(self.document, "treeHeads") if "treeHeads" in self.document else ()
        for head in heads:
            keeper = str(head.get("ledger"))
            yield (
                "tree-head",
                lambda head=head, keeper=keeper: self._require_head(head, self._known(keeper)),  # type: ignore[misc]
                (f"{keeper} hat diesen Stand unterschrieben.", f"{keeper} has signed this state."),
            )
        yield (
            "consistency",
            lambda: _require_contradiction(heads),
            (
                "Beide Stände widersprechen sich: gleich viele Einträge, verschiedene Wurzeln.",
                "The two states contradict each other: as many entries, but different roots.",
            ),
        )

    # how it is asked

    def _form(self, data: bytes) -> _Question:
        def require() -> None:
            if file_bytes(self.document) != data:
                raise EvidenceError("The file was edited: it is not in the form in which we write files.")

        good = (
            "Die Datei hat die Form, in der sie geschrieben wurde.",
            "The file has the form in which it was written.",
        )
        return "form", require, good

    def _signer(self, statement: JsonObject, did: str, named: Mapping[str, JsonValue]) -> Iterator[_Question]:
        yield (
            "did-document",
            lambda: self._require_digest(did, named),
            (
                f"Das beigelegte DID-Dokument von {did} ist das, mit dem unterschrieben wurde.",
                f"The enclosed DID document of {did} is the one that was signed with.",
            ),
        )
        yield (
            "signature",
            lambda: self._require_signed(statement, did, self._enclosed(did)),
            (f"Die Unterschrift von {did} stimmt.", f"The signature of {did} is right."),
        )
        if did in self.pinned:
            yield (
                "pinned-key",
                lambda: self._require_signed(statement, did, self._known(did)),
                (
                    f"Der Schlüssel von {did} steht im vorgegebenen DID-Dokument oder folgt einem von dort.",
                    f"The key of {did} is in the DID document that you gave, or succeeds one that is.",
                ),
            )

    def _require_digest(self, did: str, named: Mapping[str, JsonValue]) -> None:
        if self._enclosed(did).digest != text(named, "didDocumentDigest"):
            raise EvidenceError(f"The enclosed DID document of {did} is not the one that was signed with.")

    def _require_signed(self, statement: JsonObject, did: str, document: DidDocument) -> None:
        own = [
            one for one in proofs_of(statement) if str(one.get("verificationMethod")).startswith(did + "#")
        ]
        verify_proofs({**statement, "proof": [*own]}, {did: document}, self.rdf)

    def _require_head(self, head: JsonObject, keeper: DidDocument) -> None:
        require_head(head, keeper)

    def _require_included(self, receipt: JsonObject, inclusion: JsonObject) -> None:
        _require_path(receipt_leaf_hash(receipt), inclusion, mapping(inclusion, "treeHead"))

    def _require_leaf(self, head: JsonObject) -> None:
        _require_path(_hash(text(self.document, "leafHash")), self.document, head)

    def _require_continued(self, later: JsonObject) -> None:
        earlier = self._part("earlier")
        verify_consistency(
            old_size=whole(earlier, "treeSize"),
            new_size=whole(later, "treeSize"),
            old_root=_hash(text(earlier, "rootHash")),
            new_root=_hash(text(later, "rootHash")),
            path=[_hash(step) for step in texts(self.document, "path")],
        )

    def _verify(self, data: bytes) -> None:
        verify_file(data, pinned=self.pinned, rdf=self.rdf)

    def _part(self, name: str) -> JsonObject:
        value = self.document.get(name)
        return value if isinstance(value, dict) else {}

    def _enclosed(self, did: str) -> DidDocument:
        return parse_did_document(mapping(mapping(self.document, "didDocuments"), did), did=did)

    def _known(self, did: str) -> DidDocument:
        """The reader's own DID document of a party, and the keys that followed those in it."""
        if did not in self.pinned:
            raise EvidenceError(f"The DID document of {did} is needed; name its file.")
        known = parse_did_document(self.pinned[did], did=did)
        return with_successors(known, self._enclosed(did)) if "didDocuments" in self.document else known


def _require_path(leaf: bytes, inclusion: Mapping[str, JsonValue], head: Mapping[str, JsonValue]) -> None:
    if whole(inclusion, "treeSize") != whole(head, "treeSize"):
        raise EvidenceError("The inclusion proof is for another size of the ledger than the tree head's.")
    verify_inclusion(
        leaf=leaf,
        index=whole(inclusion, "leafIndex"),
        size=whole(inclusion, "treeSize"),
        path=[_hash(step) for step in texts(inclusion, "path")],
        root=_hash(text(head, "rootHash")),
    )


def _require_contradiction(heads: tuple[JsonObject, ...]) -> None:
    sizes = {whole(head, "treeSize") for head in heads}
    roots = {text(head, "rootHash") for head in heads}
    keepers = {text(head, "ledger") for head in heads}
    if len(sizes) != 1 or len(roots) < 2 or len(keepers) != 1:  # noqa: PLR2004 - two of them contradict
        raise EvidenceError(
            "These tree heads alone contradict nothing: their sizes or keepers differ, or their roots do not."
        )


def _hash(step: str) -> bytes:
    try:
        return bytes.fromhex(step)
    except ValueError as error:
        raise EvidenceError(f"{step[:70]!r} is no hash.") from error
