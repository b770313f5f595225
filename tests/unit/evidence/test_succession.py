"""A new key is trusted because the old one vouches for it, and for no other reason."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connector.evidence.did import (
    KEY_SUCCESSION,
    RetiredKey,
    VerificationMethod,
    build_did_document,
    parse_did_document,
)
from connector.evidence.errors import DidError, ProofError
from connector.evidence.proofs import add_proof, sign, verify_proofs
from connector.evidence.succession import succession_statement, with_successors
from tests.unit.evidence.parties import NOW, PROVIDER

DID = PROVIDER.did
KEYS = [PROVIDER.key, *(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32) for seed in (40, 41, 42))]


def fragment(number: int) -> str:
    return "#contracts" if number == 0 else f"#contracts-{number + 1}"


def retired(number: int, *, signer: Any = None, **changes: Any) -> RetiredKey:
    """Key `number`, which has given way to the next one."""
    ended = NOW + timedelta(days=number + 1)
    follower = VerificationMethod(DID + fragment(number + 1), DID, KEYS[number + 1].public_key())
    members = {
        "did": DID,
        "verification_method": DID + fragment(number),
        "successor": follower,
        "since": ended,
    }
    statement = succession_statement(**(members | changes))
    key = signer or KEYS[number]
    proof = sign(statement, key=key, verification_method=DID + fragment(number), created=ended)
    return RetiredKey(fragment(number), KEYS[number].public_key(), ended, add_proof(statement, proof))


def document(*former: RetiredKey) -> Any:
    """The DID document after as many rotations."""
    count = len(former)
    content = build_did_document(
        did=DID,
        contracts_key=KEYS[count].public_key(),
        tokens_key=KEYS[0].public_key(),
        data_service="https://rheinaue.example/x",
        catalog_service="https://rheinaue.example/catalog",
        contracts=fragment(count),
        retired=former,
    )
    return parse_did_document(content, did=DID)


def signed(number: int, created: Any = NOW) -> Any:
    statement = {"statement": "something"}
    proof = sign(statement, key=KEYS[number], verification_method=DID + fragment(number), created=created)
    return add_proof(statement, proof)


def test_a_chain_of_successors_leads_from_a_pinned_key_to_the_one_in_use() -> None:
    trusted = with_successors(document(), document(retired(0), retired(1), retired(2)))
    for number in range(4):
        (proof,) = verify_proofs(signed(number), {DID: trusted})
        assert proof.verification_method == DID + fragment(number)


def test_without_its_predecessors_word_a_new_key_is_not_trusted() -> None:
    shown = document(retired(0), retired(1))
    cut = parse_did_document({**shown.content, KEY_SUCCESSION: shown.content[KEY_SUCCESSION][1:]}, did=DID)
    with pytest.raises(ProofError, match="no usable key"):
        verify_proofs(signed(2), {DID: with_successors(document(), cut)})


THIEF = Ed25519PrivateKey.from_private_bytes(b"t" * 32)


@pytest.mark.parametrize(
    "forged",
    [
        retired(0, signer=THIEF),
        retired(0, did="did:web:other.example"),
        retired(0, verification_method=DID + "#contracts-9"),
        replace(retired(0), succession={"type": "KeySuccession"}),
        replace(retired(0), succession={**retired(0).succession, "more": 1}),
        replace(retired(0), succession={**retired(0).succession, "successor": {"id": DID + "#contracts-2"}}),
    ],
)
def test_a_forged_statement_makes_no_successor(forged: RetiredKey) -> None:
    trusted = with_successors(document(), document(forged))
    assert trusted.methods == document().methods


def test_a_statement_cannot_replace_a_key_that_is_known() -> None:
    follower = VerificationMethod(DID + "#contracts", DID, THIEF.public_key())
    shown = document(retired(0, successor=follower))
    assert with_successors(document(), shown).methods == document().methods


def test_a_successor_under_somebody_elses_name_is_none() -> None:
    follower = VerificationMethod("did:web:other.example#contracts", DID, THIEF.public_key())
    assert with_successors(document(), document(retired(0, successor=follower))).methods == document().methods


@pytest.mark.parametrize("value", [7, "x", [1], {}])
def test_a_member_that_is_no_list_of_statements_is_passed_over(value: Any) -> None:
    shown = parse_did_document({**document().content, KEY_SUCCESSION: value}, did=DID)
    assert with_successors(document(), shown) == document()


def test_a_former_key_signs_nothing_any_more_but_what_it_signed_stays_valid() -> None:
    later = document(retired(0))
    verify_proofs(signed(0, NOW), {DID: later})
    verify_proofs(signed(0, NOW + timedelta(days=1)), {DID: later})
    with pytest.raises(ProofError, match=r"after .* had given it up"):
        verify_proofs(signed(0, NOW + timedelta(days=1, seconds=1)), {DID: later})


def test_the_first_key_in_use_is_the_one_that_signs() -> None:
    assert document().signing_method == DID + "#contracts"
    assert document(retired(0), retired(1)).signing_method == DID + "#contracts-3"
    content = document(retired(0)).content
    none = parse_did_document({**content, "assertionMethod": [DID + "#contracts"]}, did=DID)
    with pytest.raises(DidError, match="no Ed25519 key in use"):
        _ = none.signing_method


def test_the_time_at_which_a_key_was_given_up_must_be_a_time() -> None:
    content = document(retired(0)).content
    for value in ("yesterday", "2026-11-21", 7, "2026-02-30T00:00:00Z"):
        methods = [{**content["verificationMethod"][0], "revoked": value}]
        with pytest.raises(DidError, match="revoked"):
            parse_did_document({**content, "verificationMethod": methods}, did=DID)
