"""Each check of an evidence file says for itself whether it holds, in both languages."""

import json
from typing import Any

import pytest

from connector.evidence.checking import check_file
from connector.evidence.documents import canonical, file_bytes
from connector.evidence.ledger import Frontier, consistency_path, inclusion_path, leaf_hash, root, tree_head
from connector.evidence.multikey import fingerprint
from tests.unit.evidence.parties import (
    CONSUMER,
    DOCUMENTS,
    NOW,
    PROVIDER,
    countersigned_receipt_file,
    signatory,
    signed_agreement_file,
    signed_receipt_file,
)

AGREEMENT, RECEIPT = signed_agreement_file(), signed_receipt_file()
COUNTERSIGNED = countersigned_receipt_file()
KEEPER = {PROVIDER.did: PROVIDER.document.content}


def failing(data: bytes, **pinned: Any) -> list[str]:
    report = check_file(data, pinned=pinned)
    assert report.notes == () or all(check.holds for check in report.checks)
    return [check.name for check in report.checks if not check.holds]


def edited(data: bytes, change: Any) -> bytes:
    document = json.loads(data)
    change(document)
    return file_bytes(document)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (AGREEMENT, ["form", *["did-document", "signature"] * 2, "verdict"]),
        (RECEIPT, ["form", "did-document", "signature", "tree-head", "inclusion", "verdict"]),
    ],
)
def test_an_untouched_file_passes_every_check(data: bytes, names: list[str]) -> None:
    checks = check_file(data).checks
    assert [check.name for check in checks] == names
    assert all(check.holds for check in checks)
    for check in checks:
        assert set(check.text) == {"de", "en"}
        assert all(sentence.endswith(".") for sentence in check.text.values())


def test_with_pinned_documents_the_keys_are_checked_against_them() -> None:
    assert [check.name for check in check_file(AGREEMENT, pinned=DOCUMENTS).checks].count("pinned-key") == 2
    fake = signatory("lastwerk.example", 77)
    wrong = {**DOCUMENTS, CONSUMER.did: fake.document.content}
    assert failing(AGREEMENT, **wrong) == ["pinned-key", "verdict"]


def white_space(data: bytes) -> bytes:
    return data + b"\n"


def another_count(data: bytes) -> bytes:
    return data.replace(b'"20"', b'"21"')


def another_service(data: bytes) -> bytes:
    return data.replace(b"https://lastwerk.example/catalog", b"https://lastwerk.example/catalox")


def another_signature(data: bytes) -> bytes:
    def change(document: Any) -> None:
        proof = document["signedAgreement"]["proof"][1]
        proof["proofValue"] = document["signedAgreement"]["proof"][0]["proofValue"]

    return edited(data, change)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (white_space, ["form", "verdict"]),
        (another_count, ["signature", "signature", "verdict"]),
        (another_service, ["did-document", "verdict"]),
        (another_signature, ["signature", "verdict"]),
    ],
)
def test_what_still_holds_is_told_beside_what_does_not(change: Any, names: list[str]) -> None:
    assert change(AGREEMENT) != AGREEMENT
    assert failing(change(AGREEMENT)) == names


@pytest.mark.parametrize(
    ("path", "value", "names"),
    [
        (("inclusion", "leafIndex"), 4, ["inclusion", "verdict"]),
        (("inclusion", "treeHead", "treeSize"), 7, ["tree-head", "inclusion", "verdict"]),
        (("signedReceipt", "suppressedGroups"), 0, ["signature", "inclusion", "verdict"]),
        (("inclusion", "treeHead", "timestamp"), "2027-01-01T00:00:00Z", ["tree-head", "verdict"]),
    ],
)
def test_of_a_receipt_exactly_what_was_changed_does_not_hold(path: Any, value: Any, names: list[str]) -> None:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    assert failing(edited(RECEIPT, change)) == names


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"{}", b'{"type": "Invoice"}', b'{"type": ["TreeHead"]}'])
def test_what_is_no_evidence_fails_in_its_form(data: bytes) -> None:
    assert failing(data) == ["form"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{}", 'its member "type" is missing.'),
        (b'{"type": null}', 'its member "type" is missing.'),
        (b'{"type": "Invoice"}', 'its member "type" is "Invoice".'),
        (b'{"type": ["VerifiableCredential"]}', 'its member "type" is ["VerifiableCredential"].'),
    ],
)
def test_what_is_nothing_of_ours_is_named_as_the_file_names_it(data: bytes, said: str) -> None:
    (check,) = check_file(data).checks
    assert check.text["en"].endswith(said)
    assert "None" not in check.text["en"] + check.text["de"]


# whose document was given, and what stays open

STRANGER = signatory("fremd.example", 55)


@pytest.mark.parametrize(
    ("data", "signers"),
    [(AGREEMENT, [PROVIDER, CONSUMER]), (RECEIPT, [PROVIDER]), (COUNTERSIGNED, [PROVIDER, CONSUMER])],
)
def test_the_document_of_somebody_who_signed_nothing_is_not_ignored(data: bytes, signers: Any) -> None:
    known = {side.did: side.document.content for side in signers}
    assert failing(data, **known) == []
    strange = {**known, STRANGER.did: STRANGER.document.content}
    assert failing(data, **strange) == ["pinned-signers", "verdict"]
    (first, *_) = check_file(data, pinned=strange).checks
    assert first.text["en"] == f"The file is not signed by {STRANGER.did}, whose DID document you gave."


def test_the_recipient_of_a_receipt_has_signed_only_what_it_countersigned() -> None:
    assert failing(RECEIPT, **DOCUMENTS) == ["pinned-signers", "verdict"]


def test_of_a_tree_head_or_a_proof_only_the_keepers_document_is_asked_for() -> None:
    for data in (canonical(head(3)), growth(3, 7), place(2, 7)):
        assert failing(data, **KEEPER) == []
        assert failing(data, **DOCUMENTS) == ["pinned-signers"]


def notes(data: bytes, **more: Any) -> list[str]:
    return [note["en"] for note in check_file(data, **more).notes]


def test_a_good_file_tells_whose_keys_signed_and_what_that_does_not_prove() -> None:
    key = fingerprint(PROVIDER.document.methods[PROVIDER.method].key)
    first, second, limit = notes(RECEIPT)
    assert first == f"{PROVIDER.did} has signed with the key {key} (from the file itself)."
    assert second == "The recipient has not countersigned the receipt."
    assert "not whose key it is" in limit
    assert all(
        "(from the DID document that you gave)" in note for note in notes(AGREEMENT, pinned=DOCUMENTS)[:2]
    )
    assert notes(AGREEMENT, pinned=DOCUMENTS)[2:] == ["All keys are in the DID documents that you supplied."]
    assert "not countersigned" not in " ".join(notes(COUNTERSIGNED))


def test_a_file_that_is_not_good_has_no_notes_that_could_comfort_anybody() -> None:
    assert notes(another_count(AGREEMENT)) == []


@pytest.mark.parametrize("heads", [None, 7, {}, [], ["x"], [[]]])
def test_a_contradiction_without_tree_heads_is_none(heads: Any) -> None:
    data = canonical({"type": "LedgerContradiction", "treeHeads": heads})
    assert failing(data) == ["consistency"]


GERMAN = {
    "white space": (white_space(AGREEMENT), "Die Datei hat nicht ihre kanonische Form"),
    "a count": (another_count(AGREEMENT), "Die Unterschrift von did:web:rheinaue.example passt nicht"),
    "a service": (
        another_service(AGREEMENT),
        "Das beigelegte DID-Dokument von did:web:lastwerk.example ist nicht",
    ),
    "a signature": (
        another_signature(AGREEMENT),
        "Die Unterschrift von did:web:lastwerk.example passt nicht",
    ),
}


@pytest.mark.parametrize(("data", "said"), GERMAN.values(), ids=GERMAN)
def test_what_does_not_hold_is_said_in_german_and_not_only_headed_so(data: bytes, said: str) -> None:
    (verdict,) = [check for check in check_file(data).checks if check.name == "verdict"]
    assert verdict.text["de"].startswith(said)
    assert verdict.text["de"] != verdict.text["en"]
    assert "Englisch" not in verdict.text["de"]


# tree heads and proofs

LEAVES = [leaf_hash(b"%d" % number) for number in range(7)]


def head(size: int, leaves: list[bytes] = LEAVES) -> Any:
    frontier = Frontier()
    for leaf in leaves[:size]:
        frontier = frontier.append(leaf).frontier
    return PROVIDER.prove(tree_head(size=size, root=frontier.root(), ledger_id=PROVIDER.did, created=NOW))


def hexadecimal(path: tuple[bytes, ...]) -> list[str]:
    return [step.hex() for step in path]


def growth(first: int, second: int, **changes: Any) -> bytes:
    proof = {
        "type": "LedgerProof",
        "earlier": head(first),
        "treeHead": head(second),
        "path": hexadecimal(consistency_path(LEAVES[:second], first)),
    }
    return canonical(proof | changes)


def place(index: int, size: int, **changes: Any) -> bytes:
    proof = {
        "type": "LedgerProof",
        "treeHead": head(size),
        "leafHash": LEAVES[index].hex(),
        "leafIndex": index,
        "treeSize": size,
        "path": hexadecimal(inclusion_path(LEAVES[:size], index)),
    }
    return canonical(proof | changes)


def test_a_tree_head_is_checked_with_its_keepers_document_and_not_without() -> None:
    data = canonical(head(5))
    assert failing(data, **KEEPER) == []
    (check,) = check_file(data).checks
    assert (check.holds, "DID document of did:web:rheinaue.example is needed" in check.text["en"]) == (
        False,
        True,
    )


def test_proofs_of_growth_and_of_a_place_are_checked() -> None:
    for size in range(1, 8):
        for index in range(size):
            assert failing(growth(index, size), **KEEPER) == []
            assert failing(place(index, size), **KEEPER) == []


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (growth(3, 7, path=[]), ["consistency"]),
        (growth(3, 7, path=["xy"]), ["consistency"]),
        (growth(3, 7, earlier=head(4)), ["consistency"]),
        (growth(7, 7, treeHead=head(3)), ["consistency"]),
        (growth(3, 7, treeHead=CONSUMER.prove(head(7))), ["tree-head"]),
        (place(2, 7, leafIndex=3), ["inclusion"]),
        (place(2, 7, leafHash=LEAVES[3].hex()), ["inclusion"]),
        (place(2, 7, treeSize=6), ["inclusion"]),
    ],
)
def test_a_proof_that_does_not_fit_fails_where_it_does_not(data: bytes, names: list[str]) -> None:
    assert failing(data, **KEEPER) == names


def test_two_heads_of_one_size_are_proof_of_a_contradiction() -> None:
    other = head(5, [leaf_hash(b"forged"), *LEAVES[1:]])
    data = canonical({"type": "LedgerContradiction", "treeHeads": [head(5), other]})
    assert failing(data, **KEEPER) == []
    for heads in ([head(5), head(5)], [head(5), head(6)]):
        data = canonical({"type": "LedgerContradiction", "treeHeads": heads})
        assert failing(data, **KEEPER) == ["consistency"]


def test_the_roots_of_these_heads_are_those_of_the_ledger() -> None:
    assert head(7)["rootHash"] == root(LEAVES).hex()
