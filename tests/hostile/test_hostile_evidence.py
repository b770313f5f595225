"""Forged, edited and mixed-up evidence: what a reader of the file is told."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.evidence.agreements import agreement_file
from connector.evidence.did import build_did_document, parse_did_document
from connector.evidence.documents import canonical, file_bytes
from connector.evidence.errors import EvidenceError
from connector.evidence.ledger import leaf_hash
from connector.evidence.multikey import encode_key
from connector.evidence.proofs import add_proof, sign
from connector.evidence.receipts import Inclusion, receipt_file, release_receipt
from connector.evidence.verification import verify_file
from tests.unit.evidence.parties import (
    CONSUMER,
    DOCUMENTS,
    NOW,
    PROVIDER,
    Signatory,
    countersigned_receipt_file,
    included,
    make_release,
    make_statement,
    signatory,
    signed_agreement_file,
    signed_receipt_file,
)

AGREEMENT = signed_agreement_file()
RECEIPT = signed_receipt_file()
COUNTERSIGNED = countersigned_receipt_file()
FILES = pytest.mark.parametrize(
    "data", [AGREEMENT, RECEIPT, COUNTERSIGNED], ids=["agreement", "receipt", "countersigned"]
)


def refused(data: bytes, **pinned: Any) -> Any:
    with pytest.raises(EvidenceError) as caught:
        verify_file(data, pinned=pinned)
    return str(caught.value)


@FILES
def test_the_untouched_file_verifies(data: bytes) -> None:
    assert verify_file(data).parties


@FILES
def test_a_flipped_bit_is_noticed_at_every_byte(data: bytes) -> None:
    for place, byte in enumerate(data):
        # For letters the bit that makes them upper or lower case: the likeliest second spelling.
        forged = byte ^ (0x20 if chr(byte).isalpha() else 1)
        refused(data[:place] + bytes([forged]) + data[place + 1 :])


@given(st.sampled_from([AGREEMENT, RECEIPT, COUNTERSIGNED]), st.data())
def test_no_replaced_byte_goes_unnoticed(data: bytes, draw: Any) -> None:
    place = draw.draw(st.integers(0, len(data) - 1))
    byte = draw.draw(st.integers(0, 255).filter(lambda value: value != data[place]))
    refused(data[:place] + bytes([byte]) + data[place + 1 :])


@FILES
def test_a_removed_or_doubled_byte_is_noticed(data: bytes) -> None:
    for place in range(0, len(data), 7):
        refused(data[:place] + data[place + 1 :])
        refused(data[:place] + data[place : place + 1] + data[place:])


@given(st.sampled_from([AGREEMENT, RECEIPT, COUNTERSIGNED]), st.data())
def test_no_inserted_text_goes_unnoticed(data: bytes, draw: Any) -> None:
    place = draw.draw(st.integers(0, len(data)))
    text = draw.draw(
        st.sampled_from([b" ", b"\n", b"\t", b"\0", b"\xef\xbb\xbf", b"0", b".0", b",", b"\\u0041"])
    )
    refused(data[:place] + text + data[place:])


@FILES
def test_every_truncation_is_noticed(data: bytes) -> None:
    for end in range(0, len(data), 97):
        refused(data[:end])
    refused(data[:-1])


@pytest.mark.parametrize(
    "data", [b"", b"{}\n", b"[]\n", b'"x"\n', b"\xff\xfe", b"[" * 100_000, b"{" * 100_000]
)
def test_other_bytes_are_refused_with_a_sentence(data: bytes) -> None:
    assert refused(data).endswith(".")


def edited(data: bytes, change: Any) -> Any:
    document = json.loads(data)
    change(document)
    return file_bytes(document)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value at which something can be changed."""
    yield path
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in entries:
        yield from places(entry, (*path, key))


@FILES
def test_no_value_anywhere_can_be_replaced_in_a_well_formed_file(data: bytes) -> None:
    for path in list(places(json.loads(data)))[1:]:
        document = json.loads(data)
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        for replacement in ("forged", 7, None, [], {}, True):
            if canonical(parent[path[-1]]) == canonical(replacement):
                continue
            kept, parent[path[-1]] = parent[path[-1]], replacement
            refused(file_bytes(document))
            parent[path[-1]] = kept


@FILES
def test_no_member_can_be_added_or_taken_away(data: bytes) -> None:
    for path in places(json.loads(data)):
        document = json.loads(data)
        holder = document
        for key in path:
            holder = holder[key]
        if not isinstance(holder, dict):
            continue
        refused(file_bytes(_with(data, path, {**holder, "clause": "also this"})))
        for name in holder:
            shorter = {key: value for key, value in holder.items() if key != name}
            refused(file_bytes(_with(data, path, shorter)))


def _with(data: bytes, path: Any, replacement: Any) -> Any:
    if not path:
        return replacement
    document = json.loads(data)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = replacement
    return document


def test_a_third_signature_is_refused() -> None:
    third = signatory("evil.example", 9)
    signed = third.prove(json.loads(AGREEMENT)["signedAgreement"])
    assert "3 proofs" in refused(agreement_file(signed, DOCUMENTS))


def test_one_party_cannot_sign_for_both() -> None:
    statement = make_statement(PROVIDER, CONSUMER)
    signed = PROVIDER.prove(PROVIDER.prove(statement))
    assert "signed twice" in refused(agreement_file(signed, DOCUMENTS))


def test_an_agreement_with_one_signature_is_no_agreement() -> None:
    signed = PROVIDER.prove(make_statement(PROVIDER, CONSUMER))
    assert f"The signature of {CONSUMER.did} is missing" in refused(agreement_file(signed, DOCUMENTS))


def test_a_signature_of_another_agreement_does_not_fit_this_one() -> None:
    other = make_statement(PROVIDER, CONSUMER, offer_digest="f" * 64)
    stolen = CONSUMER.prove(other)["proof"]
    signed = PROVIDER.prove(make_statement(PROVIDER, CONSUMER))
    signed["proof"] += stolen
    assert "does not fit" in refused(agreement_file(signed, DOCUMENTS))


def impostor(genuine: Signatory) -> Any:
    """Somebody who writes another's name over a key of their own."""
    fake = signatory(genuine.did.removeprefix("did:web:"), 77)
    assert fake.did == genuine.did
    return fake


def test_a_file_made_with_false_keys_fits_together_and_the_reader_is_told_what_that_means() -> None:
    fake = impostor(CONSUMER)
    signed = fake.prove(PROVIDER.prove(make_statement(PROVIDER, fake)))
    data = agreement_file(signed, {**DOCUMENTS, fake.did: fake.document.content})
    assert "not whose key it is" in verify_file(data).limit["en"]
    genuine, forged = verify_file(AGREEMENT).parties[1], verify_file(data).parties[1]
    assert genuine.key_fingerprint != forged.key_fingerprint


def test_a_file_made_with_false_keys_is_refused_by_whoever_has_pinned_the_right_ones() -> None:
    fake = impostor(CONSUMER)
    signed = fake.prove(PROVIDER.prove(make_statement(PROVIDER, fake)))
    data = agreement_file(signed, {**DOCUMENTS, fake.did: fake.document.content})
    assert "does not fit" in refused(data, **DOCUMENTS)


def test_a_pinned_document_that_no_longer_lists_the_key_refuses_the_file() -> None:
    revoked = {**CONSUMER.document.content, "assertionMethod": []}
    assert "does not list" in refused(AGREEMENT, **{CONSUMER.did: revoked})


def test_an_exchanged_did_document_is_noticed_even_if_the_key_stays() -> None:
    def exchange(document: Any) -> None:
        document["didDocuments"][PROVIDER.did]["service"][0]["serviceEndpoint"] = "https://evil.example/"

    assert "not the one" in refused(edited(AGREEMENT, exchange))


def test_a_token_key_signs_no_agreement() -> None:
    did = PROVIDER.did
    content = build_did_document(
        did=did,
        contracts_key=signatory("x.example", 50).key.public_key(),
        tokens_key=PROVIDER.key.public_key(),
        data_service="https://rheinaue.example/x",
        catalog_service="https://rheinaue.example/catalog",
    )

    class TokenSigner(Signatory):
        @property
        def method(self) -> Any:
            return self.did + "#tokens"

    thief = TokenSigner(PROVIDER.key, parse_did_document(content, did=did))
    signed = CONSUMER.prove(thief.prove(make_statement(thief, CONSUMER)))
    reason = refused(agreement_file(signed, {**DOCUMENTS, did: content}))
    assert "does not list" in reason
    assert "assertionMethod" in reason


def test_a_party_signs_with_the_key_that_the_agreement_names_and_no_other() -> None:
    did = PROVIDER.did
    content = {**PROVIDER.document.content}
    second = signatory("x.example", 50)
    method = {
        "id": f"{did}#second",
        "type": "Multikey",
        "controller": did,
        "publicKeyMultibase": encode_key(second.key.public_key()),
    }
    content["verificationMethod"] = [*content["verificationMethod"], method]
    content["assertionMethod"] = [*content["assertionMethod"], method["id"]]
    extended = Signatory(PROVIDER.key, parse_did_document(content, did=did))
    statement = make_statement(extended, CONSUMER)
    by_second = sign(statement, key=second.key, verification_method=f"{did}#second", created=NOW)
    signed = CONSUMER.prove(add_proof(statement, by_second))
    assert "signed with" in refused(agreement_file(signed, {**DOCUMENTS, did: content}))


def test_a_context_that_redefines_terms_is_refused_although_it_is_signed() -> None:
    statement = make_statement(PROVIDER, CONSUMER)
    statement["@context"] = [*statement["@context"], {"count": "https://evil.example/ignored"}]
    signed = CONSUMER.prove(PROVIDER.prove(statement))
    assert "'@context'" in refused(agreement_file(signed, DOCUMENTS))


def receipt_with(signed: Any, place: Inclusion) -> Any:
    return receipt_file(signed, place, {PROVIDER.did: PROVIDER.document.content})


def test_a_receipt_cannot_take_the_place_of_another() -> None:
    first = PROVIDER.prove(release_receipt(make_release(PROVIDER, CONSUMER)))
    second = PROVIDER.prove(release_receipt(make_release(PROVIDER, CONSUMER, suppressed_groups=0)))
    place = included(PROVIDER, first, before=5)
    verify_file(receipt_with(first, place))
    assert "does not lead" in refused(receipt_with(second, place))


def test_a_receipt_signed_again_is_another_ledger_entry() -> None:
    release = release_receipt(make_release(PROVIDER, CONSUMER))
    place = included(PROVIDER, PROVIDER.prove(release), before=5)
    again = PROVIDER.prove(release, NOW.replace(year=2027))
    assert "does not lead" in refused(receipt_with(again, place))


def test_a_tree_head_of_somebody_else_places_no_receipt() -> None:
    signed = PROVIDER.prove(release_receipt(make_release(PROVIDER, CONSUMER)))
    foreign = included(CONSUMER, signed, before=5)
    assert "'ledger' is not" in refused(receipt_with(signed, foreign))
    unsigned = {name: value for name, value in foreign.tree_head.items() if name != "proof"}
    renamed = CONSUMER.prove({**unsigned, "ledger": PROVIDER.did})
    mixed = Inclusion(foreign.leaf_index, foreign.tree_size, foreign.path, renamed)
    assert "not expected" in refused(receipt_with(signed, mixed))


def test_a_tree_head_cannot_be_put_under_the_name_of_another_keeper() -> None:
    """A partner keeps heads by their keeper's name: this one would spoil what it knows of somebody else."""
    signed = PROVIDER.prove(release_receipt(make_release(PROVIDER, CONSUMER)))
    place = included(PROVIDER, signed, before=5)
    unsigned = {name: value for name, value in place.tree_head.items() if name != "proof"}
    renamed = PROVIDER.prove({**unsigned, "ledger": CONSUMER.did})
    moved = Inclusion(place.leaf_index, place.tree_size, place.path, renamed)
    assert "'ledger' is not" in refused(receipt_with(signed, moved))


def test_a_receipt_without_a_signed_tree_head_is_refused() -> None:
    signed = PROVIDER.prove(release_receipt(make_release(PROVIDER, CONSUMER)))
    place = included(PROVIDER, signed, before=5)
    bare = {name: value for name, value in place.tree_head.items() if name != "proof"}
    assert "missing" in refused(
        receipt_with(signed, Inclusion(place.leaf_index, place.tree_size, place.path, bare))
    )


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [(4, 6, None), (5, 7, None), (5, 6, ()), (5, 6, (leaf_hash(b"x"),)), (6, 6, None), (10**9, 6, None)],
)
def test_a_receipt_cannot_be_moved(index: int, size: int, path: Any) -> None:
    signed = PROVIDER.prove(release_receipt(make_release(PROVIDER, CONSUMER)))
    place = included(PROVIDER, signed, before=5)
    moved = Inclusion(index, size, place.path if path is None else path, place.tree_head)
    assert refused(receipt_with(signed, moved)).endswith(".")


def test_upper_case_hashes_are_another_spelling_and_refused() -> None:
    def shout(document: Any) -> None:
        document["inclusion"]["path"][0] = document["inclusion"]["path"][0].upper()

    assert "lower-case" in refused(edited(RECEIPT, shout))


def test_an_agreement_is_not_passed_off_as_a_receipt() -> None:
    def rename(document: Any) -> None:
        document["type"] = "ReleaseReceiptFile"

    assert "missing or unknown members" in refused(edited(AGREEMENT, rename))


def test_a_duplicate_member_is_refused() -> None:
    data = AGREEMENT.replace(b'"type": "SignedAgreementFile"', b'"type": "x", "type": "SignedAgreementFile"')
    assert data != AGREEMENT
    assert "twice" in refused(data)
