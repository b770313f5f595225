"""The recipient of a receipt signs that it has got what the receipt states; a file shows whether it has."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from connector.evidence.documents import file_bytes
from connector.evidence.errors import EvidenceError
from connector.evidence.receipts import (
    countersigned_file,
    receipt_countersignature,
    receipt_file,
    release_receipt,
    without_countersignature,
)
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
    signatory,
    signed_receipt_file,
)

RECEIPT = signed_receipt_file()
BOTH = countersigned_receipt_file()


def _countersigned(signer: Signatory, received: datetime = NOW, **changes: Any) -> Any:
    """A receipt file that somebody has countersigned, perhaps with other words."""
    statement = receipt_countersignature(
        json.loads(RECEIPT)["signedReceipt"],
        verification_method=signer.method,
        did_document_digest=signer.document.digest,
        received=received,
    )
    return countersigned_file(RECEIPT, signer.prove(statement | changes), signer.document.content)


def test_both_signers_are_named_issuer_first_and_nothing_is_missing() -> None:
    verified = verify_file(BOTH, pinned=DOCUMENTS)
    assert [(party.did, party.key_source) for party in verified.parties] == [
        (PROVIDER.did, "pinned"),
        (CONSUMER.did, "pinned"),
    ]
    assert verified.steps[-1]["de"] == f"Gegengezeichnet von {CONSUMER.did}."
    assert verified.missing == ()
    assert verified.statement == verify_file(RECEIPT).statement


def test_a_receipt_without_one_verifies_and_says_what_is_missing() -> None:
    (missing,) = verify_file(RECEIPT).missing
    assert missing["de"] == "Der Empfänger hat die Quittung nicht gegengezeichnet."


def test_taking_the_countersignature_away_gives_the_same_bytes_as_before() -> None:
    assert without_countersignature(BOTH) == RECEIPT
    for data in (RECEIPT, b"{}\n", b"x"):
        with pytest.raises(EvidenceError):
            without_countersignature(data)


def test_only_the_recipient_countersigns() -> None:
    for signer in (PROVIDER, signatory("other.example", 7)):
        with pytest.raises(EvidenceError):
            verify_file(_countersigned(signer))
        with pytest.raises(EvidenceError):
            verify_file(_countersigned(signer, recipient=signer.did))


def test_a_pinned_document_with_other_keys_refuses_the_countersignature() -> None:
    imposter = signatory("lastwerk.example", 9)
    with pytest.raises(EvidenceError):
        verify_file(BOTH, pinned={CONSUMER.did: imposter.document.content})


@pytest.mark.parametrize(
    "changes",
    [
        {"receipt": {"id": "urn:uuid:55555555-5555-4555-8555-555555555555", "digest": "0" * 64}},
        {"id": "urn:uuid:other#countersignature"},
        {"type": "ReleaseReceipt"},
        {"@context": ["https://evil.example/"]},
        {"contextDigests": {}},
        {"remark": "not received"},
        {"didDocumentDigest": "0" * 64},
        {"verificationMethod": "did:web:lastwerk.example#tokens"},
    ],
)
def test_a_countersignature_that_says_something_else_is_none(changes: Any) -> None:
    with pytest.raises(EvidenceError):
        verify_file(_countersigned(CONSUMER, **changes))


def test_a_countersignature_does_not_fit_another_receipt() -> None:
    other = PROVIDER.prove(release_receipt(make_release(PROVIDER, CONSUMER, suppressed_groups=0)))
    place = included(PROVIDER, other, before=5)
    file = json.loads(receipt_file(other, place, {PROVIDER.did: PROVIDER.document.content}))
    both = json.loads(BOTH)
    moved = {**file, "countersignature": both["countersignature"], "didDocuments": both["didDocuments"]}
    with pytest.raises(EvidenceError, match="receipt"):
        verify_file(file_bytes(moved))


def test_a_countersignature_needs_its_signer_s_document_and_none_besides() -> None:
    for documents in ({PROVIDER.did: DOCUMENTS[PROVIDER.did]}, {**DOCUMENTS, "did:web:x.example": {}}):
        with pytest.raises(EvidenceError, match="didDocuments"):
            verify_file(file_bytes({**json.loads(BOTH), "didDocuments": documents}))


def test_nobody_countersigns_its_own_receipt() -> None:
    own = PROVIDER.prove(release_receipt(make_release(PROVIDER, PROVIDER)))
    statement = receipt_countersignature(
        own,
        verification_method=PROVIDER.method,
        did_document_digest=PROVIDER.document.digest,
        received=NOW,
    )
    file = receipt_file(own, included(PROVIDER, own, before=5), {PROVIDER.did: PROVIDER.document.content})
    with pytest.raises(EvidenceError, match="its own receipt"):
        verify_file(countersigned_file(file, PROVIDER.prove(statement), PROVIDER.document.content))


def test_the_time_of_receipt_has_a_zone() -> None:
    with pytest.raises(EvidenceError, match="time zone"):
        _countersigned(CONSUMER, NOW.replace(tzinfo=None) + timedelta(seconds=1))


def test_a_receipt_that_names_another_place_in_the_ledger_is_refused() -> None:
    signed = PROVIDER.prove(release_receipt(make_release(PROVIDER, CONSUMER, ledger_index=4)))
    place = included(PROVIDER, signed, before=5)
    file = receipt_file(signed, place, {PROVIDER.did: PROVIDER.document.content})
    with pytest.raises(EvidenceError, match="does not stand where it says"):
        verify_file(file)


def test_a_part_of_a_file_is_named_as_such() -> None:
    receipt = release_receipt(make_release(PROVIDER, CONSUMER, raw_bytes_out=5, part="bytes 0-4/9"))
    assert receipt["rawData"] == {"rowsOut": 0, "bytesOut": 5, "part": "bytes 0-4/9"}
