"""Is a ledger still what its keeper signed for? Each check says what holds and what does not.

A line of the database can be edited, moved or removed by whoever can write to
it. Its hash, its signature, the tree heads that were signed after it, and the
records of what was released must all still agree; those that a partner keeps
cannot even be reached by the keeper.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connector.evidence.decisions import DECISION_TYPES
from connector.evidence.did import DidDocument
from connector.evidence.documents import canonical, mapping, require_members, text, whole
from connector.evidence.errors import EvidenceError, LedgerError
from connector.evidence.ledger import TREE_HEAD_MEMBERS, Frontier, leaf_hash
from connector.evidence.proofs import proofs_of, verify_proofs
from connector.evidence.retirements import RETIREMENT
from policies.model import LanguageMap
from policies.wording import sentence, together
from schemas.errors import in_english
from schemas.strict_json import JsonObject, MalformedJsonError, loads

AGREEMENT: Final = "agreement"
_MOST_NAMED: Final = 5
_MOST_LEAF_BYTES: Final = 4_000_000
_TYPES: Final[Mapping[str, str]] = {
    AGREEMENT: "SignedAgreement",
    **DECISION_TYPES,
    RETIREMENT: "AgreementRetirement",
    "query": "ReleaseReceipt",
    "computation": "ReleaseReceipt",
    "download": "ReleaseReceipt",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a ledger, as it lies in the database.

    Attributes:
        index: Position, from 0.
        kind: `agreement`, `retirement`, `refusal`, `permit`, `query`, `computation` or `download`.
        identifier: IRI of the agreement, decision or receipt.
        agreement_id: IRI of the agreement that it belongs to.
        dataset: IRI of the dataset.
        leaf: Canonical bytes of the signed document.
        leaf_hash: Hash of the leaf, as stored.
        raw_rows_out: Rows of raw data that left.
        raw_bytes_out: Bytes of raw data that left.
        result_bytes_out: Bytes of results that left.
        recorded: When it was written.
    """

    index: int
    kind: str
    identifier: str
    agreement_id: str
    dataset: str
    leaf: bytes
    leaf_hash: bytes
    raw_rows_out: int
    raw_bytes_out: int
    result_bytes_out: int
    recorded: datetime


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    Attributes:
        name: Such as `ledger-signatures`, for programs.
        holds: The answer.
        text: The answer as a sentence, per language.
    """

    name: str
    holds: bool
    text: LanguageMap


def audit_ledger(
    lines: Sequence[Line],
    *,
    keeper: DidDocument,
    heads: Sequence[JsonObject],
    witnessed: Sequence[JsonObject] = (),
    expected: Collection[str] = (),
) -> tuple[Check, ...]:
    """Check a ledger against everything that was ever signed about it.

    Args:
        lines: The ledger, in the order of the database.
        keeper: The keeper's DID document, with the keys that it has given up.
        heads: The tree heads that the keeper has kept itself.
        witnessed: Tree heads that partners have kept, or that receipts carry.
        expected: Identifiers of agreements and releases that other records tell of.
    """
    return (
        _numbered(lines),
        _each("ledger-hashes", lines, _require_hash, _HASHES),
        _each("ledger-columns", lines, _require_columns, _COLUMNS),
        _each("ledger-signatures", lines, lambda line: _require_signature(line, keeper), _SIGNATURES),
        _heads("ledger-heads", lines, heads, keeper, _HEADS),
        *([_heads("ledger-witnesses", lines, witnessed, keeper, _WITNESSES)] if witnessed else []),
        _complete(lines, expected),
    )


def require_head(head: JsonObject, keeper: DidDocument) -> tuple[int, bytes]:
    """Refuse a tree head that its keeper has not signed, or that is about another ledger.

    Returns:
        The number of entries, and the root hash.

    Raises:
        EvidenceError: Names what is wrong.
    """
    require_members(head, (*TREE_HEAD_MEMBERS, "proof"), "The tree head")
    if head.get("type") != "TreeHead" or text(head, "ledger") != keeper.did:
        raise LedgerError(
            f"This is no tree head of the ledger of {keeper.did}.",
            f"Das ist kein Stand des Protokolls von {keeper.did}.",
        )
    verify_proofs(head, {keeper.did: keeper})
    try:
        root = bytes.fromhex(text(head, "rootHash"))
    except ValueError as error:
        raise LedgerError(
            "The tree head's root is no hash.", "Die Wurzel des Standes ist kein Hashwert."
        ) from error
    return whole(head, "treeSize"), root


# the questions


def _numbered(lines: Sequence[Line]) -> Check:
    for expected, line in enumerate(lines):
        if line.index != expected:
            sentence = (
                f"Eintrag {expected} fehlt; an seiner Stelle steht Eintrag {line.index}.",
                f"Entry {expected} is missing; entry {line.index} stands in its place.",
            )
            return _check("ledger-numbers", sentence, holds=False)
    count = len(lines)
    sentence = (
        f"Die {count} Einträge sind lückenlos nummeriert.",
        f"The {count} entries are numbered without a gap.",
    )
    return _check("ledger-numbers", sentence, holds=True)


_HASHES: Final = (
    "Jeder Eintrag hat den Hashwert, der zu ihm gespeichert ist.",
    "Every entry has the hash that is stored beside it.",
)
_COLUMNS: Final = (
    "Jede Zeile der Datenbank sagt, was ihre unterschriebene Erklärung sagt.",
    "Every row of the database says what its signed statement says.",
)
_SIGNATURES: Final = (
    "Jeder Eintrag trägt die gültige Unterschrift seines Ausstellers.",
    "Every entry carries its issuer's valid signature.",
)
_HEADS: Final = (
    "Das Protokoll führt zu jedem Stand, den sein Führer unterschrieben und aufbewahrt hat",
    "The ledger leads to every state that its keeper has signed and kept",
)
_EMPTY: Final = (
    "Hier ist kein unterschriebener Stand aufbewahrt; das Protokoll ist leer.",
    "No signed tree head is kept here; the ledger is empty.",
)
_WITNESSES: Final = (
    "Das Protokoll führt zu jedem Stand, den Partner oder Quittungen bezeugen",
    "The ledger leads to every state that partners or receipts bear witness to",
)


def _each(name: str, lines: Sequence[Line], require: Callable[[Line], None], good: tuple[str, str]) -> Check:
    problems: list[LanguageMap] = []
    for line in lines:
        try:
            require(line)
        except EvidenceError as problem:
            problems.append(
                sentence(
                    "{index}: {problem}", "{index}: {problem}", index=str(line.index), problem=problem.reason
                )
            )
    if not problems:
        return _check(name, good, holds=True)
    count = str(len(problems))
    said = sentence(
        "{count} Einträge sind verändert worden: {shown}",
        "{count} entries were changed: {shown}",
        count=count,
        shown=_shown(problems),
    )
    return Check(name, holds=False, text=said)


def _shown(problems: Sequence[LanguageMap]) -> LanguageMap:
    return together(tuple(problems[:_MOST_NAMED]), " | ")


def _require_hash(line: Line) -> None:
    if leaf_hash(line.leaf) != line.leaf_hash:
        raise LedgerError(
            "the entry does not have its stored hash.",
            "Der Eintrag hat nicht den Hashwert, der zu ihm gespeichert ist.",
        )


def _document(line: Line) -> JsonObject:
    try:
        document = loads(line.leaf, max_bytes=_MOST_LEAF_BYTES)
    except MalformedJsonError as problem:
        raise LedgerError(
            f"the entry is no well-formed JSON: {problem}",
            f"Der Eintrag ist kein wohlgeformtes JSON {in_english(problem)}.",
        ) from problem
    if not isinstance(document, dict) or canonical(document) != line.leaf:
        raise LedgerError(
            "the entry is not a document in canonical form.",
            "Der Eintrag ist kein Dokument in kanonischer Form.",
        )
    return document


def _require_columns(line: Line) -> None:
    document = _document(line)
    if document.get("type") != _TYPES.get(line.kind):
        raise LedgerError(
            f"the row says {line.kind!r}, the entry is a {document.get('type')!r}.",
            f"Die Zeile sagt {line.kind!r}, der Eintrag ist ein {document.get('type')!r}.",
        )
    stated = (line.identifier, line.agreement_id, line.dataset)
    figures = (line.raw_rows_out, line.raw_bytes_out, line.result_bytes_out)
    if (stated, figures) != _said(line.kind, document):
        raise LedgerError(
            "the row does not say what the entry says.", "Die Zeile sagt nicht, was der Eintrag sagt."
        )
    if line.kind not in {AGREEMENT, RETIREMENT, *DECISION_TYPES}:
        _require_receipt(line, document)


def _require_receipt(line: Line, document: JsonObject) -> None:
    if document.get("kind") != line.kind or document.get("ledgerIndex", line.index) != line.index:
        raise LedgerError(
            "the receipt is of another kind, or belongs elsewhere in the ledger.",
            "Die Quittung ist von anderer Art oder gehört an eine andere Stelle des Protokolls.",
        )


def _said(kind: str, document: JsonObject) -> tuple[tuple[str, str, str], tuple[int, int, int]]:
    """What the row of a signed document must hold."""
    if kind == AGREEMENT:
        agreement = mapping(document, "agreement")
        identifier = text(agreement, "@id")
        return (identifier, identifier, text(agreement, "target")), (0, 0, 0)
    names = (
        text(document, "id"),
        text(mapping(document, "agreement"), "id"),
        text(mapping(document, "dataset"), "id"),
    )
    if kind in {RETIREMENT, *DECISION_TYPES}:
        return names, (0, 0, 0)
    raw = mapping(document, "rawData")
    return names, (whole(raw, "rowsOut"), whole(raw, "bytesOut"), whole(document, "resultBytesOut"))


def _require_signature(line: Line, keeper: DidDocument) -> None:
    document = _document(line)
    own = [
        proof
        for proof in proofs_of(document)
        if text(proof, "verificationMethod").startswith(keeper.did + "#")
    ]
    # The counterparty's proof of an agreement is checked with the agreement's file, which has its keys.
    proofs = own if line.kind == AGREEMENT else proofs_of(document)
    verify_proofs({**document, "proof": [*proofs]}, {keeper.did: keeper})


def _heads(
    name: str,
    lines: Sequence[Line],
    heads: Sequence[JsonObject],
    keeper: DidDocument,
    good: tuple[str, str],
) -> Check:
    if not heads:
        return _without_heads(name, lines)
    problems = list(_head_problems(lines, heads, keeper))
    if not problems:
        count = len(heads)
        return _check(name, (f"{good[0]} ({count}).", f"{good[1]} ({count})."), holds=True)
    said = sentence(
        "Das Protokoll wurde gekürzt, umgeordnet oder verändert: {shown}",
        "The ledger was shortened, reordered or changed: {shown}",
        shown=_shown(problems),
    )
    return Check(name, holds=False, text=said)


def _without_heads(name: str, lines: Sequence[Line]) -> Check:
    """Every entry is written together with a tree head: where there are entries alone, heads were removed."""
    if not lines:
        return _check(name, _EMPTY, holds=True)
    said = sentence(
        "Hier ist kein unterschriebener Stand aufbewahrt, obwohl das Protokoll {count} Einträge hat: Ob "
        "welche fehlen, lässt sich nicht sagen. Stellen Sie die Datenbank aus einer Kopie wieder her.",
        "No signed tree head is kept here, although the ledger has {count} entries: whether some are missing "
        "cannot be told. Restore the database from a copy.",
        count=str(len(lines)),
    )
    return Check(name, holds=False, text=said)


def _head_problems(
    lines: Sequence[Line], heads: Sequence[JsonObject], keeper: DidDocument
) -> Iterator[LanguageMap]:
    signed = []
    for head in heads:
        try:
            signed.append(require_head(head, keeper))
        except EvidenceError as problem:
            yield problem.reason
    roots = _roots(lines, {size for size, _ in signed})
    for size, root in sorted(set(signed)):
        if size > len(lines):
            yield {
                "de": f"{size} Einträge sind unterschrieben, {len(lines)} sind da.",
                "en": f"{size} entries were signed for, {len(lines)} are there.",
            }
        elif roots[size] != root:
            yield {
                "de": f"Die ersten {size} Einträge sind nicht die, die unterschrieben wurden.",
                "en": f"the first {size} entries are not those that were signed for.",
            }


def _roots(lines: Sequence[Line], sizes: Collection[int]) -> dict[int, bytes]:
    """The root of the ledger at several of its sizes."""
    frontier = Frontier()
    roots = {0: frontier.root()}
    for line in lines:
        frontier = frontier.append(leaf_hash(line.leaf)).frontier
        if frontier.size in sizes:
            roots[frontier.size] = frontier.root()
    return roots


def _complete(lines: Sequence[Line], expected: Collection[str]) -> Check:
    missing = sorted(set(expected) - {line.identifier for line in lines})
    if missing:
        shown = ", ".join(missing[:_MOST_NAMED])
        sentence = (
            f"{len(missing)} Verträge oder Freigaben fehlen im Protokoll: {shown}.",
            f"{len(missing)} agreements or releases are missing from the ledger: {shown}.",
        )
        return _check("ledger-complete", sentence, holds=False)
    sentence = (
        f"Alle {len(expected)} Verträge und Freigaben, von denen die Datenbank weiß, stehen im Protokoll.",
        f"All {len(expected)} agreements and releases that the database knows of are in the ledger.",
    )
    return _check("ledger-complete", sentence, holds=True)


def _check(name: str, sentence: tuple[str, str], *, holds: bool) -> Check:
    return Check(name, holds, {"de": sentence[0], "en": sentence[1]})
