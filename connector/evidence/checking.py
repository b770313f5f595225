"""Check an evidence file question by question, and say of each whether it holds.

`connector.evidence.verification` decides: it stops at the first thing that is
wrong. This goes on, so that a reader learns what still holds and what does not.
The last check is that decision itself, so the two can never disagree.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connector.evidence.agreements import AGREEMENT_FILE
from connector.evidence.audit import Check, require_head
from connector.evidence.did import DidDocument, parse_did_document
from connector.evidence.documents import file_bytes, mapping, mappings, text, texts, whole
from connector.evidence.errors import EvidenceError
from connector.evidence.ledger import verify_consistency, verify_inclusion
from connector.evidence.proofs import RdfCanonicaliser, proofs_of, verify_proofs
from connector.evidence.receipts import COUNTERSIGNATURE, RECEIPT_FILE, receipt_leaf_hash
from connector.evidence.succession import with_successors
from connector.evidence.verification import KEY_SOURCES, VerifiedParty, require_signers, verify_file
from policies.model import LanguageMap
from policies.wording import sentence
from schemas.errors import in_english
from schemas.strict_json import JsonObject, JsonValue, MalformedJsonError, loads

HEAD: Final = "TreeHead"
PROOF: Final = "LedgerProof"
CONTRADICTION: Final = "LedgerContradiction"
_JUDGED: Final = (AGREEMENT_FILE, RECEIPT_FILE)
_MOST_BYTES: Final = 10_000_000
_MOST_SHOWN: Final = 60
_NOTHING: Final[Mapping[str, JsonObject]] = MappingProxyType({})
_Sentence = tuple[str, str]
_Question = tuple[str, Callable[[], None], _Sentence]
_WHOLE: Final = (
    "Alles zusammen: Die Datei ist gültig.",
    "All in all: the file is valid.",
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was asked of a file, and what the answers leave open.

    Attributes:
        checks: One answer per question, at least one; the file is good where all hold.
        notes: Of a file that is good: whose keys signed, what the file could hold and
            does not, and what all of it does not prove.
    """

    checks: tuple[Check, ...]
    notes: tuple[LanguageMap, ...] = ()


def check_file(
    data: bytes,
    *,
    pinned: Mapping[str, JsonObject] = _NOTHING,
    rdf: RdfCanonicaliser | None = None,
) -> Report:
    """Check an agreement, a receipt, a tree head, a ledger proof or a contradiction.

    Args:
        data: The file's bytes.
        pinned: DID documents by DID that the reader already trusts; tree heads
            and proofs carry none of their own. One of somebody who has signed
            nothing is a check that does not hold.
        rdf: Canonicalises the RDF of documents, for `eddsa-rdfc-2022`.
    """
    try:
        document = loads(data, max_bytes=_MOST_BYTES)
    except MalformedJsonError as problem:
        return _no_evidence(
            f"The file is no well-formed JSON: {problem}",
            f"Die Datei ist kein wohlgeformtes JSON {in_english(problem)}.",
        )
    if not isinstance(document, dict):
        return _no_evidence("The file holds no JSON object.", "Die Datei enthält kein JSON-Objekt.")
    reader = _Reader(document, pinned, rdf)
    questions = {
        AGREEMENT_FILE: reader.agreement,
        RECEIPT_FILE: reader.receipt,
        HEAD: reader.head,
        PROOF: reader.proof,
        CONTRADICTION: reader.contradiction,
    }.get(str(document.get("type")))
    if questions is None:
        return _of_no_kind(document)
    checks = tuple(_answered(question) for question in (*reader.strangers(), *questions(data)))
    return reader.judged(data, checks) if document["type"] in _JUDGED else Report(checks)


def _no_evidence(english: str, german: str) -> Report:
    return Report((Check("form", holds=False, text={"de": german, "en": english}),))


def _of_no_kind(document: JsonObject) -> Report:
    stated = document.get("type")
    found = (
        ('its member "type" is missing', "das Member „type“ fehlt")
        if stated is None
        else (f'its member "type" is {_shown(stated)}', f"das Member „type“ ist {_shown(stated)}")
    )
    return _no_evidence(
        "The file is no agreement, receipt, tree head, ledger proof or contradiction of Allmende: "
        f"{found[0]}.",
        "Die Datei ist weder Vertrag noch Quittung, Stand, Nachweis oder Widerspruch eines Protokolls von "
        f"Allmende: {found[1]}.",
    )


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"


def _answered(question: _Question) -> Check:
    name, require, good = question
    try:
        require()
    except EvidenceError as problem:
        return Check(name, holds=False, text=problem.reason)
    return Check(name, holds=True, text={"de": good[0], "en": good[1]})


@dataclass(frozen=True, slots=True)
class _Reader:
    """A file and what its reader knows."""

    document: JsonObject
    pinned: Mapping[str, JsonObject]
    rdf: RdfCanonicaliser | None

    # what is asked of each kind of file

    def strangers(self) -> Iterator[_Question]:
        """Whether each DID document that the reader brings is of somebody who has signed."""
        if self.pinned:
            yield (
                "pinned-signers",
                lambda: require_signers(self.pinned, self._signers()),
                (
                    "Jedes vorgegebene DID-Dokument gehört jemandem, der unterschrieben hat.",
                    "Each DID document that you gave is of somebody who has signed.",
                ),
            )

    def agreement(self, data: bytes) -> Iterator[_Question]:
        statement = self._part("signedAgreement")
        yield self._form(data)
        for party in _objects(statement.get("parties")):
            yield from self._signer(statement, str(party.get("did")), party)

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
        heads = _objects(self.document.get("treeHeads"))
        for head in heads:
            keeper = str(head.get("ledger"))
            yield (
                "tree-head",
                lambda head=head, keeper=keeper: self._require_head(head, self._known(keeper)),  # type: ignore[misc]
                (f"{keeper} hat diesen Stand unterschrieben.", f"{keeper} has signed this state."),
            )
        yield (
            "consistency",
            lambda: _require_contradiction(mappings(self.document, "treeHeads")),
            (
                "Beide Stände widersprechen sich: gleich viele Einträge, verschiedene Wurzeln.",
                "The two states contradict each other: as many entries, but different roots.",
            ),
        )

    def judged(self, data: bytes, checks: tuple[Check, ...]) -> Report:
        """The checks of an agreement or a receipt, the decision about it, and what that leaves open."""
        try:
            verification = verify_file(data, pinned=self.pinned, rdf=self.rdf)
            require_signers(self.pinned, {party.did for party in verification.parties})
        except EvidenceError as problem:
            return Report((*checks, Check("verdict", holds=False, text=problem.reason)))
        verdict = Check("verdict", holds=True, text={"de": _WHOLE[0], "en": _WHOLE[1]})
        keys = (_key_used(party) for party in verification.parties)
        return Report((*checks, verdict), (*keys, *verification.missing, verification.limit))

    # how it is asked

    def _signers(self) -> frozenset[str]:
        """Who has signed, as the file says."""
        match self.document.get("type"):
            case "SignedAgreementFile":
                listed = self._part("signedAgreement").get("parties")
                named = [party.get("did") for party in _objects(listed)]
            case "ReleaseReceiptFile":
                receipt = self._part("signedReceipt")
                named = [receipt.get("issuer")]
                named += [receipt.get("recipient")] if COUNTERSIGNATURE in self.document else []
            case "TreeHead":
                named = [self.document.get("ledger")]
            case _:
                heads = (self._part("treeHead"), self._part("earlier"))
                named = [head.get("ledger") for head in (*heads, *_objects(self.document.get("treeHeads")))]
        return frozenset(str(name) for name in named if name is not None)

    def _form(self, data: bytes) -> _Question:
        def require() -> None:
            if file_bytes(self.document) != data:
                raise EvidenceError(
                    "The file was edited: it is not in the form in which we write files.",
                    "Die Datei wurde bearbeitet: Sie hat nicht die Form, in der wir Dateien schreiben.",
                )

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
            raise EvidenceError(
                f"The enclosed DID document of {did} is not the one that was signed with.",
                f"Das beigelegte DID-Dokument von {did} ist nicht das, mit dem unterschrieben wurde.",
            )

    def _require_signed(self, statement: JsonObject, did: str, document: DidDocument) -> None:
        own = [
            one for one in proofs_of(statement) if str(one.get("verificationMethod")).startswith(did + "#")
        ]
        # Of receipts, the decision takes signatures over the text only.
        rdf = self.rdf if self.document.get("type") == AGREEMENT_FILE else None
        verify_proofs({**statement, "proof": [*own]}, {did: document}, rdf)

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

    def _part(self, name: str) -> JsonObject:
        value = self.document.get(name)
        return value if isinstance(value, dict) else {}

    def _enclosed(self, did: str) -> DidDocument:
        return parse_did_document(mapping(mapping(self.document, "didDocuments"), did), did=did)

    def _known(self, did: str) -> DidDocument:
        """The reader's own DID document of a party, and the keys that followed those in it."""
        if did not in self.pinned:
            raise EvidenceError(
                f"The DID document of {did} is needed; name its file.",
                f"Dafür ist das DID-Dokument von {did} nötig; bitte nennen Sie dessen Datei.",
            )
        known = parse_did_document(self.pinned[did], did=did)
        return with_successors(known, self._enclosed(did)) if "didDocuments" in self.document else known


def _objects(listed: JsonValue) -> tuple[JsonObject, ...]:
    return tuple(one for one in listed if isinstance(one, dict)) if isinstance(listed, list) else ()


def _key_used(party: VerifiedParty) -> LanguageMap:
    return sentence(
        "{party} hat mit dem Schlüssel {key} unterschrieben ({source}).",
        "{party} has signed with the key {key} ({source}).",
        party=party.did,
        key=party.key_fingerprint,
        source=KEY_SOURCES[party.key_source],
    )


def _require_path(leaf: bytes, inclusion: Mapping[str, JsonValue], head: Mapping[str, JsonValue]) -> None:
    if whole(inclusion, "treeSize") != whole(head, "treeSize"):
        raise EvidenceError(
            "The inclusion proof is for another size of the ledger than the tree head's.",
            "Der Nachweis gilt für eine andere Größe des Protokolls als der Stand.",
        )
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
            "These tree heads alone contradict nothing: "
            "their sizes or keepers differ, or their roots do not.",
            "Diese Stände allein widersprechen einander nicht: "
            "Größe oder Führer sind verschieden, oder die Wurzeln sind gleich.",
        )


def _hash(step: str) -> bytes:
    try:
        return bytes.fromhex(step)
    except ValueError as error:
        raise EvidenceError(f"{step[:70]!r} is no hash.", f"{step[:70]!r} ist kein Hashwert.") from error
