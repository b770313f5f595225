"""W3C Data Integrity `eddsa-rdfc-2022`, proof sets and proof chains, against the published vectors."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pyld import jsonld as pyld
from pyld.context_resolver import ContextResolver

from connector.adapters.rdf_canonicaliser import RdfCanonicaliser
from connector.evidence.did import DidDocument, VerificationMethod
from connector.evidence.errors import EvidenceError, ProofError
from connector.evidence.multikey import decode_base58, decode_key, encode_base58
from connector.evidence.proofs import signed_bytes, verify_proofs
from schemas.canonical_rdf import CREDENTIAL_CONTEXTS, canonical_rdf
from schemas.vocabulary import DSPACE_CONTEXT
from tests.unit.evidence.parties import CONSUMER, PROVIDER, make_statement

SPEC = Path(os.environ.get("ALLMENDE_SPEC_DIR") or Path(__file__).parents[2].parent / "shared" / "spec")
EDDSA = SPEC / "signatures" / "eddsa"
SUITE = EDDSA / "eddsa-rdfc-2022"
CHAINS = EDDSA / "proof-set-chain"
CONTEXTS = SPEC / "contexts"
EXAMPLES = "https://www.w3.org/ns/credentials/examples/v2"
TRUSTED = {EXAMPLES: {"@context": {"@vocab": "https://www.w3.org/ns/credentials/examples#"}}}
"""The context of the vectors, which the W3C publishes elsewhere; it has this one member."""
RDF = RdfCanonicaliser(TRUSTED)

needs_eddsa = pytest.mark.skipif(
    not SUITE.is_dir(), reason="the W3C EdDSA vectors are not here (ALLMENDE_SPEC_DIR)"
)
needs_chains = pytest.mark.skipif(
    not CHAINS.is_dir(), reason="the proof-set-chain vectors of vc-di-eddsa are not here (ALLMENDE_SPEC_DIR)"
)
needs_contexts = pytest.mark.skipif(
    not (CONTEXTS.is_dir() and (SPEC / "dsp").is_dir()),
    reason="the published contexts are not here (ALLMENDE_SPEC_DIR)",
)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def text(name: str) -> str:
    return (SUITE / name).read_text()


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def signers(signed: Any) -> dict[str, DidDocument]:
    """Whoever the proofs name, each with the key that its verification method spells out."""
    documents = {}
    for proof in listed(signed["proof"]):
        method = proof["verificationMethod"]
        party, _, key = method.partition("#")
        known = VerificationMethod(method, party, decode_key(key))
        documents[party] = DidDocument(
            party, {method: known}, {"assertionMethod": frozenset([method])}, (), {}, ""
        )
    return documents


@needs_eddsa
def test_document_and_proof_options_have_the_published_canonical_forms() -> None:
    unsigned, options = read(EDDSA / "unsigned.json"), read(SUITE / "proofConfigDataInt.json")
    document, proof = RDF([unsigned, options])
    assert document.decode() == text("canonDocDataInt.txt")
    assert hashlib.sha256(document).hexdigest() == text("docHashDataInt.txt").strip()
    assert proof.decode() == text("proofCanonDataInt.txt")
    assert hashlib.sha256(proof).hexdigest() == text("proofHashDataInt.txt").strip()


@needs_eddsa
def test_the_signed_bytes_and_their_signature_are_the_published_ones() -> None:
    signed = read(SUITE / "signedDataInt.json")
    data = signed_bytes(signed, signed["proof"], RDF)
    assert data.hex() == text("combinedHashDataInt.txt").strip()
    secret = decode_base58(read(EDDSA / "keyPair.json")["privateKeyMultibase"])
    signature = Ed25519PrivateKey.from_private_bytes(secret[2:]).sign(data)
    assert signature.hex() == text("sigHexDataInt.txt").strip()
    assert encode_base58(signature) == text("sigBTC58DataInt.txt").strip() == signed["proof"]["proofValue"]


@needs_eddsa
def test_the_published_signed_document_verifies() -> None:
    signed = read(SUITE / "signedDataInt.json")
    (proof,) = verify_proofs(signed, signers(signed), RDF)
    assert proof.cryptosuite == "eddsa-rdfc-2022"


@needs_eddsa
@pytest.mark.parametrize(
    "change",
    [
        {"name": "Other Credential"},
        {"credentialSubject": {"id": "did:example:abcdefgh", "alumniOf": "Another school"}},
        {"validFrom": "2023-01-01T00:00:01Z"},
        {"type": ["VerifiableCredential"]},
        {"validUntil": "2099-01-01T00:00:00Z"},
    ],
)
def test_the_published_document_does_not_verify_after_a_change(change: Any) -> None:
    signed = read(SUITE / "signedDataInt.json") | change
    with pytest.raises(ProofError, match="does not fit"):
        verify_proofs(signed, signers(signed), RDF)


@needs_eddsa
def test_every_published_folder_is_read_or_skipped_by_name() -> None:
    """`employ` needs https://w3id.org/citizenship/v4rc1, which the vectors do not bring along."""
    known = {"eddsa-jcs-2022", "eddsa-rdfc-2022", "proof-set-chain"}
    assert {path.name for path in EDDSA.iterdir() if path.is_dir()} <= known
    assert {path.name for path in SUITE.iterdir() if path.is_dir()} <= {"employ"}


@needs_eddsa
def test_a_document_whose_context_we_do_not_have_is_refused_and_names_it() -> None:
    path = SUITE / "employ" / "signedDataInt.json"
    if not path.is_file():
        pytest.skip("the vector 'employ' is not here")
    signed = read(path)
    with pytest.raises(EvidenceError, match=r"citizenship/v4rc1.*never fetched"):
        RDF([signed])


@needs_chains
@pytest.mark.parametrize("name", sorted(path.name for path in CHAINS.glob("signed*.json")) or ["none"])
def test_every_published_proof_set_and_proof_chain_verifies(name: str) -> None:
    signed = read(CHAINS / name)
    proofs = verify_proofs(signed, signers(signed), RDF)
    assert len(proofs) == len(listed(signed["proof"]))


@needs_chains
def test_a_published_chain_does_not_verify_without_its_middle() -> None:
    signed = read(CHAINS / "signedProofChain2.json")
    del signed["proof"][2]
    with pytest.raises(ProofError, match="countersigns"):
        verify_proofs(signed, signers(signed), RDF)


# contexts


@needs_contexts
def test_the_context_of_data_integrity_that_we_bring_along_says_what_the_published_one_says() -> None:
    ours = read(Path(__file__).parents[2] / "schemas" / "contexts" / "data-integrity-v2.jsonld")
    assert ours == read(CONTEXTS / "data-integrity-v2.jsonld")


@needs_contexts
@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.w3.org/2018/credentials/v1", "credentials-v1.jsonld"),
        ("https://www.w3.org/ns/credentials/v2", "credentials-v2.jsonld"),
    ],
)
def test_the_contexts_of_credentials_are_the_published_ones(url: str, name: str) -> None:
    assert url in CREDENTIAL_CONTEXTS
    document = {
        "@context": [url],
        "id": "urn:x",
        "type": "VerifiableCredential",
        "issuer": "did:web:a.example",
    }
    assert canonical_rdf(document) == canonical_rdf(document, {url: read(CONTEXTS / name)})


@needs_contexts
def test_an_agreement_of_ours_means_the_same_under_the_published_contexts() -> None:
    """The published files, read by pyld alone, with nothing shared with our own reading."""
    files = {
        DSPACE_CONTEXT: SPEC / "dsp" / "context" / "dspace.jsonld",
        "https://w3id.org/security/data-integrity/v2": CONTEXTS / "data-integrity-v2.jsonld",
        "https://w3id.org/allmende/v1": Path(__file__).parents[2] / "schemas/contexts/allmende-v1.jsonld",
        "https://w3id.org/dspace/2025/1/odrl-profile.jsonld": SPEC / "dsp" / "context" / "odrl.jsonld",
    }

    def load(url: str, _: Any) -> Any:
        return {"contentType": None, "contextUrl": None, "documentUrl": url, "document": read(files[url])}

    statement = make_statement(PROVIDER, CONSUMER)
    official = pyld.normalize(
        statement,
        {
            "algorithm": "URDNA2015",
            "format": "application/n-quads",
            "base": None,
            "documentLoader": load,
            "contextResolver": ContextResolver({}, load),
        },
    )
    assert canonical_rdf(statement).decode() == official
