"""W3C Data Integrity `eddsa-jcs-2022` and RFC 8785 against the published vectors.

`eddsa-rdfc-2022` is in `test_data_integrity_rdfc.py`.
"""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connector.evidence.agreements import CONTEXT_DIGESTS
from connector.evidence.did import parse_did_document
from connector.evidence.documents import canonical
from connector.evidence.errors import ProofError
from connector.evidence.multikey import decode_base58, decode_key, encode_base58, encode_key
from connector.evidence.proofs import add_proof, sign, signed_bytes, verify_proofs

SPEC = Path(os.environ.get("ALLMENDE_SPEC_DIR") or Path(__file__).parents[2].parent / "shared" / "spec")
EDDSA = SPEC / "signatures" / "eddsa"
SUITE = EDDSA / "eddsa-jcs-2022"
JCS = SPEC / "signatures" / "jcs"
KEY = "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"
DID = f"did:key:{KEY}"
METHOD = f"{DID}#{KEY}"

needs_eddsa = pytest.mark.skipif(
    not SUITE.is_dir(), reason="the W3C EdDSA vectors are not here (ALLMENDE_SPEC_DIR)"
)
needs_jcs = pytest.mark.skipif(not JCS.is_dir(), reason="the JCS vectors are not here (ALLMENDE_SPEC_DIR)")


def read(name: str) -> Any:
    return json.loads((SUITE / name).read_text())


def text(name: str) -> Any:
    return (SUITE / name).read_text().strip()


def signer() -> Any:
    pair = json.loads((EDDSA / "keyPair.json").read_text())
    secret = decode_base58(pair["privateKeyMultibase"])
    assert secret[:2] == b"\x80\x26"
    return Ed25519PrivateKey.from_private_bytes(secret[2:])


def did_documents() -> Any:
    content = {
        "id": DID,
        "verificationMethod": [
            {"id": METHOD, "type": "Multikey", "controller": DID, "publicKeyMultibase": KEY}
        ],
        "assertionMethod": [METHOD],
    }
    return {DID: parse_did_document(content, did=DID)}


@needs_eddsa
def test_the_key_pair_of_the_vectors_belongs_together() -> None:
    assert encode_key(signer().public_key()) == KEY
    assert decode_key(KEY) == signer().public_key()


@needs_eddsa
def test_document_and_proof_options_have_the_published_canonical_forms() -> None:
    unsigned = json.loads((EDDSA / "unsigned.json").read_text())
    assert canonical(unsigned).decode() == text("canonDocJCS.txt")
    assert hashlib.sha256(canonical(unsigned)).hexdigest() == text("docHashJCS.txt")
    options = read("proofConfigJCS.json")
    assert canonical(options).decode() == text("proofCanonJCS.txt")
    assert hashlib.sha256(canonical(options)).hexdigest() == text("proofHashJCS.txt")


@needs_eddsa
def test_the_signed_bytes_are_the_published_ones() -> None:
    unsigned = json.loads((EDDSA / "unsigned.json").read_text())
    assert signed_bytes(unsigned, read("proofConfigJCS.json")).hex() == text("combinedHashJCS.txt")


@needs_eddsa
def test_signing_reproduces_the_published_signed_document() -> None:
    unsigned = json.loads((EDDSA / "unsigned.json").read_text())
    created = datetime(2023, 2, 24, 23, 36, 38, tzinfo=UTC)
    proof = sign(unsigned, key=signer(), verification_method=METHOD, created=created)
    assert proof == read("signedJCS.json")["proof"]
    assert decode_base58(proof["proofValue"]).hex() == text("sigHexJCS.txt")
    assert encode_base58(bytes.fromhex(text("sigHexJCS.txt"))) == text("sigBTC58JCS.txt")


@needs_eddsa
def test_the_published_signed_document_verifies() -> None:
    (proof,) = verify_proofs(read("signedJCS.json"), did_documents())
    assert (proof.party, proof.verification_method) == (DID, METHOD)
    assert proof.created == datetime(2023, 2, 24, 23, 36, 38, tzinfo=UTC)


@needs_eddsa
def test_the_published_document_does_not_verify_after_a_change() -> None:
    signed = read("signedJCS.json")
    signed["credentialSubject"]["alumniOf"] = "The School of Other Examples"
    with pytest.raises(ProofError, match="does not fit"):
        verify_proofs(signed, did_documents())


@needs_eddsa
def test_a_document_of_the_other_cryptosuite_is_refused_by_name_where_nobody_can_canonicalise() -> None:
    signed = json.loads((EDDSA / "eddsa-rdfc-2022" / "signedDataInt.json").read_text())
    with pytest.raises(ProofError, match="eddsa-rdfc-2022"):
        verify_proofs(signed, did_documents())


@needs_eddsa
def test_a_proof_set_with_the_published_proof_and_ours_verifies() -> None:
    ours, did = Ed25519PrivateKey.generate(), "did:web:example.org"
    content = {
        "id": did,
        "verificationMethod": [
            {
                "id": f"{did}#k",
                "type": "Multikey",
                "controller": did,
                "publicKeyMultibase": encode_key(ours.public_key()),
            }
        ],
        "assertionMethod": [f"{did}#k"],
    }
    signed = read("signedJCS.json")
    proof = sign(signed, key=ours, verification_method=f"{did}#k", created=datetime.now(UTC))
    documents = did_documents() | {did: parse_did_document(content, did=did)}
    assert [p.party for p in verify_proofs(add_proof(signed, proof), documents)] == [DID, did]


def jcs_vectors() -> list[str]:
    """Every vector that lies there; a fixed name where none does, so that the skip is seen."""
    return sorted(path.stem for path in (JCS / "input").glob("*.json")) or ["no vector"]


@needs_jcs
@pytest.mark.parametrize("name", jcs_vectors())
def test_jcs_gives_the_published_bytes(name: str) -> None:
    value = json.loads((JCS / "input" / f"{name}.json").read_text())
    assert canonical(value) == (JCS / "output" / f"{name}.json").read_bytes()
    assert canonical(value) == bytes.fromhex((JCS / "outhex" / f"{name}.txt").read_text())


@pytest.mark.skipif(not SPEC.is_dir(), reason="the published contexts are not here (ALLMENDE_SPEC_DIR)")
def test_the_context_digests_in_our_statements_are_those_of_the_published_contexts() -> None:
    files = {
        "https://w3id.org/dspace/2025/1/context.jsonld": SPEC / "dsp" / "context" / "dspace.jsonld",
        "https://w3id.org/security/data-integrity/v2": SPEC / "contexts" / "data-integrity-v2.jsonld",
        "https://w3id.org/allmende/v1": Path(__file__).parents[2] / "schemas/contexts/allmende-v1.jsonld",
    }
    expected = {iri: hashlib.sha256(file.read_bytes()).hexdigest() for iri, file in files.items()}
    assert expected == CONTEXT_DIGESTS
