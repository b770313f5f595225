"""Documents that are made to be signed as RDF without saying what they seem to say, or to keep us busy."""

import time
from typing import Any

import pytest

from connector.adapters.rdf_canonicaliser import RdfCanonicaliser
from connector.evidence.errors import EvidenceError
from connector.evidence.proofs import verify_proofs
from tests.unit.evidence.parties import CONSUMER, PROVIDER, make_statement, prove_as_rdf

VOCABULARY = {"@vocab": "https://example.org/"}
RDF = RdfCanonicaliser(seconds=2)


def refused(document: Any, rdf: RdfCanonicaliser = RDF) -> str:
    with pytest.raises(EvidenceError) as caught:
        rdf([document])
    return str(caught.value)


def clique(size: int) -> Any:
    """Every node points to every other one: the work grows with the factorial of the size."""
    nodes = [
        {"@id": f"_:n{one}", "p": [{"@id": f"_:n{other}"} for other in range(size) if other != one]}
        for one in range(size)
    ]
    return {"@context": [VOCABULARY], "@graph": nodes}


@pytest.mark.parametrize("size", [9, 20])
def test_a_poison_graph_is_stopped_when_its_time_is_up(size: int) -> None:
    began = time.monotonic()
    assert "was stopped" in refused(clique(size))
    assert time.monotonic() - began < 12


def test_a_graph_of_many_nameless_nodes_is_refused_before_the_work_begins() -> None:
    nodes = [{"q": number} for number in range(500)]
    assert "without an identifier" in refused({"@context": [VOCABULARY], "p": nodes})


def test_a_document_that_needs_too_much_memory_is_stopped() -> None:
    small = RdfCanonicaliser(seconds=20, memory_bytes=40 << 20)
    many = {"@context": [VOCABULARY], "p": [{"@id": f"urn:{n}", "q": "x" * 300} for n in range(3_500)]}
    assert "was stopped" in refused(many, small).replace("needs more memory", "was stopped")


def test_a_document_that_is_too_large_is_not_even_handed_over() -> None:
    assert "larger" in refused({"@context": [VOCABULARY], "p": "x" * 3_000_000})


@pytest.mark.parametrize(
    ("context", "named"),
    [
        ("https://evil.example/context.jsonld", "evil.example"),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("file:///etc/passwd", "passwd"),
        ("../relative.jsonld", "relative"),
        ({"@import": "https://evil.example/x"}, "defines JSON-LD terms itself"),
        ({"@vocab": "https://example.org/", "name": "https://evil.example/name"}, "itself"),
        ({"@vocab": "relative/"}, "itself"),
        ({"@base": "https://evil.example/"}, "itself"),
        (None, "unknown"),
    ],
)
def test_no_context_is_fetched_and_none_is_taken_from_the_document(context: Any, named: str) -> None:
    assert named in refused({"@context": ["https://www.w3.org/ns/credentials/v2", context], "name": "x"})


def test_a_context_inside_the_document_cannot_give_its_own_vocabulary() -> None:
    assert "itself" in refused({"@context": [VOCABULARY], "p": {"@context": VOCABULARY, "q": 1}})


CREDENTIALS = "https://www.w3.org/ns/credentials/v2"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"@context": [CREDENTIALS], "id": "urn:x", "issuer": "did:web:a.example", "amount": 7}, "amount"),
        ({"@context": [CREDENTIALS], "id": "urn:x", "type": "Undefined"}, "Undefined"),
        ({"@context": [CREDENTIALS], "id": "relative", "name": "x"}, "relative"),
        ({"@context": [VOCABULARY], "p": {"@id": "relative", "q": 1}}, "relative"),
        ({"@context": [VOCABULARY], "p": None}, "null"),
        ({"@context": [VOCABULARY], "p": "a\u0000b"}, "control character"),
        ({"@context": [VOCABULARY], "a\u0007": "b"}, "control character"),
        ({"@context": [VOCABULARY], "p": {"@value": "x", "@index": "1"}}, "@index"),
        ({"@context": [VOCABULARY]}, "nothing"),
        ({"p": 1}, "@context"),
        ({"@context": [], "p": 1}, "@context"),
    ],
)
def test_what_rdf_would_leave_out_is_refused_and_not_left_unsigned(document: Any, named: str) -> None:
    assert named in refused(document)


def test_a_document_that_is_nested_too_deeply_is_refused() -> None:
    document: Any = "x"
    for _ in range(60):
        document = {"p": document}
    assert "levels" in refused({"@context": [VOCABULARY], **document})


# agreements


BOTH = {side.did: side.document for side in (PROVIDER, CONSUMER)}


def test_an_agreement_that_one_party_signed_as_rdf_is_verified_and_says_so() -> None:
    signed = PROVIDER.prove(prove_as_rdf(CONSUMER, make_statement(PROVIDER, CONSUMER), RDF))
    proofs = verify_proofs(signed, BOTH, RDF)
    assert [proof.cryptosuite for proof in proofs] == ["eddsa-jcs-2022", "eddsa-rdfc-2022"]


def test_a_signature_as_rdf_covers_every_term_of_an_agreement() -> None:
    signed = prove_as_rdf(CONSUMER, make_statement(PROVIDER, CONSUMER), RDF)
    constraint = signed["agreement"]["permission"][0]["constraint"][0]
    constraint["rightOperand"] = "21"
    with pytest.raises(EvidenceError, match="does not fit"):
        verify_proofs(signed, {CONSUMER.did: CONSUMER.document}, RDF)


def test_a_signature_as_rdf_is_none_over_the_text_and_the_other_way_round() -> None:
    signed = prove_as_rdf(CONSUMER, make_statement(PROVIDER, CONSUMER), RDF)
    signed["proof"][0]["cryptosuite"] = "eddsa-jcs-2022"
    with pytest.raises(EvidenceError, match="does not fit"):
        verify_proofs(signed, {CONSUMER.did: CONSUMER.document}, RDF)
