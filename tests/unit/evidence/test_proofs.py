"""Signing and verifying documents."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from connector.evidence.did import parse_did_document
from connector.evidence.errors import EvidenceError, ProofError
from connector.evidence.multikey import encode_base58
from connector.evidence.proofs import add_proof, require_created_near, sign, signed_bytes, verify_proofs
from tests.unit.evidence.parties import Signatory

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
STATEMENT = {"@context": ["https://example.org/c"], "id": "urn:x", "amount": 10}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=12,
)


def test_two_parties_sign_the_same_bytes_in_any_order(provider: Signatory, consumer: Signatory) -> None:
    documents = {side.did: side.document for side in (provider, consumer)}
    one = consumer.prove(provider.prove(STATEMENT))
    other = provider.prove(consumer.prove(STATEMENT))
    assert sorted(p["proofValue"] for p in one["proof"]) == sorted(p["proofValue"] for p in other["proof"])
    for signed in (one, other):
        assert [p.party for p in verify_proofs(signed, documents)] == [provider.did, consumer.did]


@given(st.dictionaries(st.text(st.characters(codec="utf-8")).filter(lambda k: k != "proof"), json_values))
def test_whatever_is_signed_verifies(provider: Signatory, document: Any) -> None:
    (proof,) = verify_proofs(provider.prove(document), {provider.did: provider.document})
    assert proof.party == provider.did


def test_the_time_of_signing_is_written_in_utc_seconds(provider: Signatory) -> None:
    local = datetime(2026, 11, 21, 9, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    proof = sign(STATEMENT, key=provider.key, verification_method=provider.method, created=local)
    assert proof["created"] == "2026-11-21T08:00:00Z"


def test_a_time_without_zone_is_refused(provider: Signatory) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ProofError, match="time zone"):
        sign(STATEMENT, key=provider.key, verification_method=provider.method, created=naive)


def test_a_number_that_json_cannot_carry_is_not_signed(provider: Signatory) -> None:
    with pytest.raises(EvidenceError, match="canonical"):
        provider.prove({"amount": 2**53})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"type": "Ed25519Signature2020"}, "type"),
        ({"cryptosuite": "eddsa-rdfc-2022"}, "not verified here"),
        ({"cryptosuite": None}, "cryptosuite"),
        ({"proofPurpose": "authentication"}, "proofPurpose"),
        ({"@context": ["https://example.org/other"]}, "@context"),
        ({"verificationMethod": "did:web:evil.example#contracts"}, "not expected"),
        ({"verificationMethod": "did:web:rheinaue.example#tokens"}, "does not list"),
        ({"verificationMethod": "did:web:rheinaue.example#none"}, "no usable key"),
        ({"created": "2026-11-21T08:00:01Z"}, "does not fit"),
        ({"proofValue": "z" + "1" * 63}, "63 bytes"),
        ({"proofValue": "z" + "1" * 64}, "does not fit"),
        ({"proofValue": "uAAAA"}, "malformed"),
        ({"proofValue": 7}, "proofValue"),
        ({"expires": "2020-01-01T00:00:00Z"}, "expires"),
        ({"previousProof": "urn:uuid:1"}, "countersigns"),
        ({"domain": "https://example.org"}, "domain"),
    ],
)
def test_a_proof_that_is_not_exactly_ours_is_refused_with_a_reason(
    provider: Signatory, change: Any, sentence: str
) -> None:
    signed = provider.prove(STATEMENT)
    signed["proof"][0] |= change
    with pytest.raises(EvidenceError, match=sentence):
        verify_proofs(signed, {provider.did: provider.document})


@pytest.mark.parametrize("created", ["yesterday", "2026-11-21T08:00:00+01:00", "2026-13-21T08:00:00Z"])
def test_a_signature_with_an_unreadable_time_is_refused(provider: Signatory, created: Any) -> None:
    proof = sign(STATEMENT, key=provider.key, verification_method=provider.method, created=NOW)
    options = {name: value for name, value in proof.items() if name != "proofValue"} | {"created": created}
    from_scratch = _signed_options(provider, options)
    with pytest.raises(ProofError, match="not a UTC time"):
        verify_proofs(add_proof(STATEMENT, from_scratch), {provider.did: provider.document})


def _signed_options(signatory: Signatory, options: Any) -> Any:
    return {**options, "proofValue": encode_base58(signatory.key.sign(signed_bytes(STATEMENT, options)))}


@pytest.mark.parametrize("proof", ["x", 7, [7], None])
def test_something_else_in_place_of_a_proof_is_refused(provider: Signatory, proof: Any) -> None:
    with pytest.raises(ProofError, match="object or a list"):
        verify_proofs({**STATEMENT, "proof": proof}, {provider.did: provider.document})


def test_each_expected_party_signs_once_and_nobody_else(provider: Signatory, consumer: Signatory) -> None:
    both = {side.did: side.document for side in (provider, consumer)}
    with pytest.raises(ProofError, match=f"signature of {consumer.did} is missing"):
        verify_proofs(provider.prove(STATEMENT), both)
    with pytest.raises(ProofError, match="signed twice"):
        verify_proofs(provider.prove(provider.prove(STATEMENT)), both)
    with pytest.raises(ProofError, match="2 proofs; 1 are expected"):
        verify_proofs(consumer.prove(provider.prove(STATEMENT)), {provider.did: provider.document})
    with pytest.raises(ProofError, match="not expected"):
        verify_proofs(consumer.prove(STATEMENT), {provider.did: provider.document})
    with pytest.raises(ProofError, match="is missing"):
        verify_proofs(STATEMENT, both)


def test_nothing_is_verified_by_expecting_nobody() -> None:
    with pytest.raises(ProofError, match="Nobody"):
        verify_proofs(STATEMENT, {})


def test_a_key_that_another_party_controls_does_not_sign_for_us(provider: Signatory) -> None:
    content = {**provider.document.content}
    content["verificationMethod"] = [
        {**method, "controller": "did:web:evil.example"} for method in content["verificationMethod"]
    ]
    document = parse_did_document(content, did=provider.did)
    with pytest.raises(ProofError, match="controlled by"):
        verify_proofs(provider.prove(STATEMENT), {provider.did: document})


def test_a_key_of_another_curve_does_not_sign_contracts(provider: Signatory) -> None:
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    multikey = encode_base58(b"\x80\x24" + point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))
    method = {"id": provider.method, "type": "Multikey", "controller": provider.did}
    content = {
        "id": provider.did,
        "verificationMethod": [{**method, "publicKeyMultibase": multikey}],
        "assertionMethod": [provider.method],
    }
    document = parse_did_document(content, did=provider.did)
    with pytest.raises(ProofError, match="not an Ed25519 key"):
        verify_proofs(provider.prove(STATEMENT), {provider.did: document})


def test_another_key_of_the_same_name_does_not_verify(provider: Signatory) -> None:
    stranger = Ed25519PrivateKey.generate()
    proof = sign(STATEMENT, key=stranger, verification_method=provider.method, created=NOW)
    with pytest.raises(ProofError, match="does not fit"):
        verify_proofs(add_proof(STATEMENT, proof), {provider.did: provider.document})


def test_signatures_dated_far_from_the_negotiation_are_refused(provider: Signatory) -> None:
    proofs = verify_proofs(provider.prove(STATEMENT), {provider.did: provider.document})
    require_created_near(proofs, NOW + timedelta(minutes=5))
    require_created_near(proofs, NOW - timedelta(minutes=5))
    with pytest.raises(ProofError, match="check both clocks"):
        require_created_near(proofs, NOW + timedelta(minutes=5, seconds=1))


@pytest.mark.parametrize(
    ("begun", "arrived", "fits"),
    [
        (timedelta(0), timedelta(0), True),
        (timedelta(hours=-2), timedelta(hours=8), True),
        (timedelta(minutes=5), timedelta(hours=8), True),
        (timedelta(minutes=5, seconds=1), timedelta(hours=8), False),
        (timedelta(hours=-8), timedelta(minutes=-5), True),
        (timedelta(hours=-8), timedelta(minutes=-5, seconds=-1), False),
        (timedelta(hours=8), timedelta(0), True),
    ],
)
def test_a_signature_may_be_long_on_its_way_but_is_of_the_time_of_the_negotiation(
    provider: Signatory, begun: timedelta, arrived: timedelta, fits: bool
) -> None:
    proofs = verify_proofs(provider.prove(STATEMENT), {provider.did: provider.document})
    if fits:
        require_created_near(proofs, NOW + arrived, since=NOW + begun)
        return
    with pytest.raises(ProofError, match="check both clocks"):
        require_created_near(proofs, NOW + arrived, since=NOW + begun)
