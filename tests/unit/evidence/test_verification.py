"""Agreement files and receipt files: what they say and what verifying them says."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from connector.evidence.agreements import Party, require_same_agreement
from connector.evidence.did import parse_did_document
from connector.evidence.documents import canonical, digest, file_bytes
from connector.evidence.errors import EvidenceError
from connector.evidence.receipts import Release, receipt_file, release_receipt
from connector.evidence.verification import verify_file
from schemas.strict_json import JsonObject
from tests.unit.evidence.parties import Signatory, included, signed_agreement_file, signed_receipt_file


@pytest.fixture(scope="module")
def agreement() -> Any:
    return signed_agreement_file()


@pytest.fixture(scope="module")
def receipt_bytes() -> Any:
    return signed_receipt_file()


def test_an_agreement_file_says_who_agreed_on_what(
    agreement: bytes, provider: Signatory, consumer: Signatory
) -> None:
    verified = verify_file(agreement)
    assert verified.kind == "agreement"
    assert verified.identifier == "urn:uuid:11111111-1111-4111-8111-111111111111"
    assert verified.dataset_id == "urn:uuid:22222222-2222-4222-8222-222222222222"
    assert [party.did for party in verified.parties] == [provider.did, consumer.did]
    assert {party.key_source for party in verified.parties} == {"file"}
    assert verified.statement["agreement"]["assignee"] == consumer.did


def test_without_pinned_documents_the_limit_is_said_plainly(
    agreement: bytes, provider: Signatory, documents: dict[str, JsonObject]
) -> None:
    for pinned in ({}, {provider.did: documents[provider.did]}):
        limit = verify_file(agreement, pinned=pinned).limit
        assert "not whose key it is" in limit["en"]
        assert "nicht, wem der Schlüssel gehört" in limit["de"]


def test_with_all_documents_pinned_the_keys_are_those_the_reader_trusts(
    agreement: bytes, documents: dict[str, JsonObject]
) -> None:
    verified = verify_file(agreement, pinned=documents)
    assert {party.key_source for party in verified.parties} == {"pinned"}
    assert "you supplied" in verified.limit["en"]


def test_a_pinned_document_may_be_newer_as_long_as_it_keeps_the_key(
    agreement: bytes, provider: Signatory
) -> None:
    newer = {**provider.document.content, "service": []}
    assert verify_file(agreement, pinned={provider.did: newer}).parties[0].key_source == "pinned"


def test_a_receipt_file_says_what_left_and_where_it_is_logged(
    receipt_bytes: bytes, provider: Signatory, consumer: Signatory
) -> None:
    verified = verify_file(receipt_bytes, pinned={provider.did: provider.document.content})
    assert verified.kind == "receipt"
    assert verified.agreement_id == "urn:uuid:11111111-1111-4111-8111-111111111111"
    assert verified.steps[-1]["en"] == "The receipt is entry 5 of the ledger of 6 entries."
    assert verified.statement["recipient"] == consumer.did
    assert verified.statement["rawData"] == {"rowsOut": 0, "bytesOut": 0}
    assert verified.statement["resultBytesOut"] == 1234
    assert verified.parties[0].key_source == "pinned"


def test_every_step_is_told_in_both_languages(agreement: bytes, receipt_bytes: bytes) -> None:
    for data in (agreement, receipt_bytes):
        verified = verify_file(data)
        for sentence in (*verified.steps, verified.limit):
            assert set(sentence) == {"de", "en"}
            assert all(text.endswith(".") for text in sentence.values())


def test_the_first_receipt_of_a_ledger_needs_no_path(
    provider: Signatory, make_release: Callable[..., Release]
) -> None:
    signed = provider.prove(release_receipt(make_release(ledger_index=0)))
    place = included(provider, signed, before=0)
    assert place.path == ()
    data = receipt_file(signed, place, {provider.did: provider.document.content})
    assert verify_file(data).steps[-1]["en"] == "The receipt is entry 0 of the ledger of 1 entries."


def test_both_parties_build_the_same_bytes_independently(make_statement: Callable[..., JsonObject]) -> None:
    assert canonical(make_statement()) == canonical(make_statement())


@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"offer_digest": "f" * 64}, "offerDigest"),
        ({"dataset_digest": "f" * 64}, "datasetDigest"),
        ({"provider_pid": "urn:x"}, "negotiation"),
    ],
)
def test_a_statement_that_differs_from_ours_is_refused_by_member(
    make_statement: Callable[..., JsonObject], provider: Signatory, change: Any, member: str
) -> None:
    theirs = provider.prove(make_statement(**change))
    with pytest.raises(EvidenceError, match=member):
        require_same_agreement(make_statement(), theirs)


def test_the_same_statement_is_accepted_whoever_has_signed_it(
    make_statement: Callable[..., JsonObject], provider: Signatory
) -> None:
    require_same_agreement(make_statement(), provider.prove(make_statement()))


def test_missing_and_additional_members_are_differences(make_statement: Callable[..., JsonObject]) -> None:
    shorter = make_statement()
    del shorter["offerDigest"]
    with pytest.raises(EvidenceError, match="offerDigest"):
        require_same_agreement(make_statement(), shorter)
    with pytest.raises(EvidenceError, match="clause"):
        require_same_agreement(make_statement(), make_statement() | {"clause": "x"})


def test_signers_must_be_the_two_parties_of_the_agreement(make_statement: Callable[..., JsonObject]) -> None:
    agreement = make_statement()["agreement"]
    with pytest.raises(EvidenceError, match="is between"):
        make_statement(agreement=agreement | {"assignee": "did:web:other.example"})
    with pytest.raises(EvidenceError, match="is between"):
        make_statement(parties=())


def test_nobody_makes_an_agreement_with_itself(
    make_statement: Callable[..., JsonObject], provider: Signatory
) -> None:
    statement = make_statement()
    from_itself = statement["agreement"] | {"assignee": provider.did}
    party = _party(statement["parties"][0])
    with pytest.raises(EvidenceError, match="with itself"):
        make_statement(agreement=from_itself, parties=(party, party))


def _party(entry: Any) -> Any:
    return Party(entry["did"], entry["verificationMethod"], entry["didDocumentDigest"])


def test_an_agreement_without_identifier_is_not_signed(make_statement: Callable[..., JsonObject]) -> None:
    agreement = make_statement()["agreement"]
    del agreement["@id"]
    with pytest.raises(EvidenceError, match="@id"):
        make_statement(agreement=agreement)


def test_a_receipt_counts_the_bytes_of_all_outputs(make_release: Callable[..., Release]) -> None:
    release = make_release()
    twice = make_release(outputs=release.outputs * 2)
    assert release_receipt(twice)["resultBytesOut"] == 2468


@pytest.mark.parametrize("figure", ["raw_rows_out", "raw_bytes_out", "suppressed_groups", "uses_after"])
def test_a_receipt_has_no_negative_figures(make_release: Callable[..., Release], figure: str) -> None:
    with pytest.raises(EvidenceError, match="negative"):
        release_receipt(make_release(**{figure: -1}))


def test_a_receipt_does_not_end_before_it_starts(make_release: Callable[..., Release]) -> None:
    release = make_release()
    with pytest.raises(EvidenceError, match="before it started"):
        release_receipt(make_release(ended=release.started - timedelta(seconds=1)))


def test_a_receipt_needs_times_with_a_zone(make_release: Callable[..., Release]) -> None:
    naive = make_release().started.replace(tzinfo=None)
    with pytest.raises(EvidenceError, match="time zone"):
        release_receipt(make_release(started=naive, ended=naive))


def test_raw_data_that_left_is_stated_as_counted(make_release: Callable[..., Release]) -> None:
    assert release_receipt(make_release(raw_rows_out=7))["rawData"] == {"rowsOut": 7, "bytesOut": 0}


def test_the_file_is_sorted_indented_json_with_readable_umlauts() -> None:
    assert file_bytes({"b": 1.0, "a": "ü"}) == '{\n  "a": "ü",\n  "b": 1\n}\n'.encode()


def test_a_digest_is_that_of_the_canonical_form() -> None:
    # printf '{"a":1}' | sha256sum
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_the_file_holds_the_did_documents_verbatim(
    agreement: bytes, documents: dict[str, JsonObject], provider: Signatory
) -> None:
    enclosed = json.loads(agreement)["didDocuments"]
    assert enclosed == documents
    assert parse_did_document(enclosed[provider.did], did=provider.did) == provider.document
