"""did:web names, DID documents and key spellings."""

from base64 import urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from connector.evidence.did import build_did_document, did_of, did_url, parse_did_document
from connector.evidence.documents import digest
from connector.evidence.errors import DidError, EvidenceError
from connector.evidence.multikey import decode_base58, decode_key, encode_base58, encode_key, fingerprint

DID = "did:web:daten.example.de"
CONTRACTS = Ed25519PrivateKey.from_private_bytes(b"c" * 32).public_key()
TOKENS = Ed25519PrivateKey.from_private_bytes(b"t" * 32).public_key()


def document() -> Any:
    return build_did_document(
        did=DID,
        contracts_key=CONTRACTS,
        tokens_key=TOKENS,
        data_service="https://daten.example.de/.well-known/dspace-version",
        catalog_service="https://daten.example.de/dsp/catalog",
    )


@pytest.mark.parametrize(
    ("did", "url"),
    [
        # The first three are the examples of the did:web specification.
        ("did:web:w3c-ccg.github.io", "https://w3c-ccg.github.io/.well-known/did.json"),
        ("did:web:w3c-ccg.github.io:user:alice", "https://w3c-ccg.github.io/user/alice/did.json"),
        ("did:web:example.com%3A3000", "https://example.com:3000/.well-known/did.json"),
        ("did:web:localhost%3A8081", "https://localhost:8081/.well-known/did.json"),
        ("did:web:xn--bcher-kva.example", "https://xn--bcher-kva.example/.well-known/did.json"),
    ],
)
def test_a_name_leads_to_one_address(did: str, url: str) -> None:
    assert did_url(did) == url


def test_only_localhost_is_read_without_tls_and_only_when_allowed() -> None:
    local = "http://localhost:8081/.well-known/did.json"
    assert did_url("did:web:localhost%3A8081", loopback_http=True) == local
    assert did_url(DID, loopback_http=True) == "https://daten.example.de/.well-known/did.json"


@pytest.mark.parametrize(
    "did",
    [
        "did:web:Daten.example.de",
        "did:web:daten.example.de%3a8080",
        "did:web:daten.example.de:8080:..:x",
        "did:web:daten.example.de:..",
        "did:web:daten.example.de:.",
        "did:web:daten.example.de:%2e%2e",
        "did:web:daten.example.de%2Fx",
        "did:web:daten.example.de:a%2Fb",
        "did:web:daten.example.de:",
        "did:web:daten.example.de::x",
        "did:web:daten.example.de/x",
        "did:web:daten.example.de?x=1",
        "did:web:daten.example.de#x",
        "did:web:user@daten.example.de",
        "did:web:user%40daten.example.de",
        "did:web:127.0.0.1",
        "did:web:127.1",
        "did:web:2130706433",
        "did:web:0x7f000001",
        "did:web:0x7f.0.0.1",
        "did:web:169.254.169.254",
        "did:web:[::1]",
        "did:web:%5B%3A%3A1%5D",
        "did:web:daten.example.de.",
        "did:web:.example.de",
        "did:web:-a.example.de",
        "did:web:a..de",
        "did:web:bücher.example",
        "did:web:daten.example.de%3A0",
        "did:web:daten.example.de%3A65536",
        "did:web:daten.example.de%3A080",
        "did:web:daten.example.de%3A",
        "did:web:daten.example.de%3A\u0661",
        "did:web:",
        "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2",
        "did:web:daten.example.de\n",
        " did:web:daten.example.de",
        "did:web:" + "a" * 64 + ".de",
        "did:web:" + ".".join(["a" * 60] * 5),
        "did:web:a.de:" + "x" * 1000,
    ],
)
def test_every_other_spelling_of_a_name_is_refused(did: str) -> None:
    with pytest.raises(DidError):
        did_url(did)


@pytest.mark.parametrize(
    ("url", "did"),
    [
        ("http://localhost:8081", "did:web:localhost%3A8081"),
        ("https://daten.example.de/", DID),
        ("https://dids.example.de/members/werk", "did:web:dids.example.de:members:werk"),
    ],
)
def test_an_address_gives_the_name(url: str, did: str) -> None:
    assert did_of(url) == did


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1", "ftp://a.de", "https://A.de", "https://a.de?x=1", "https://u@a.de"]
)
def test_an_address_without_a_name_is_refused(url: str) -> None:
    with pytest.raises(DidError):
        did_of(url)


@given(st.text(max_size=60))
def test_no_text_after_the_method_name_breaks_out_of_the_host_and_path(text: str) -> None:
    try:
        url = did_url("did:web:" + text)
    except DidError:
        return
    assert url.startswith("https://")
    assert url.endswith("/did.json")
    assert not set("?#@%\\ \n") & set(url)
    assert "/../" not in url
    assert "/./" not in url


def test_our_document_is_read_back_with_separate_keys_for_contracts_and_tokens() -> None:
    parsed = parse_did_document(document(), did=DID)
    assert parsed.key(f"{DID}#contracts", "assertionMethod") == CONTRACTS
    assert parsed.key(f"{DID}#tokens", "capabilityInvocation") == TOKENS
    assert parsed.key(f"{DID}#tokens", "authentication") == TOKENS
    for key, relationship in (("#tokens", "assertionMethod"), ("#contracts", "capabilityInvocation")):
        with pytest.raises(DidError, match="does not list"):
            parsed.key(DID + key, relationship)
    assert parsed.endpoint("CatalogService") == "https://daten.example.de/dsp/catalog"
    assert parsed.endpoint("DataService") == "https://daten.example.de/.well-known/dspace-version"
    assert parsed.endpoint("CredentialService") is None


def test_the_digest_does_not_depend_on_the_order_of_members() -> None:
    reordered = dict(reversed(document().items()))
    assert parse_did_document(reordered, did=DID).digest == digest(document())


def test_a_document_of_another_participant_is_refused() -> None:
    with pytest.raises(DidError, match="says it belongs to"):
        parse_did_document(document(), did="did:web:other.example")


def test_a_key_controlled_by_somebody_else_is_not_handed_out() -> None:
    content = document()
    content["verificationMethod"][0]["controller"] = "did:web:evil.example"
    with pytest.raises(DidError, match="controlled by"):
        parse_did_document(content, did=DID).key(f"{DID}#contracts", "assertionMethod")


def test_a_key_with_the_name_of_another_participant_is_left_out() -> None:
    content = document()
    content["verificationMethod"][0]["id"] = "did:web:other.example#contracts"
    content["assertionMethod"] = ["did:web:other.example#contracts"]
    parsed = parse_did_document(content, did=DID)
    with pytest.raises(DidError, match="no usable key"):
        parsed.key("did:web:other.example#contracts", "assertionMethod")


def test_relative_names_and_keys_inside_a_relationship_are_understood() -> None:
    key = {"id": "#k", "type": "Multikey", "controller": DID, "publicKeyMultibase": encode_key(TOKENS)}
    parsed = parse_did_document({"id": DID, "capabilityInvocation": [key]}, did=DID)
    assert parsed.key(f"{DID}#k", "capabilityInvocation") == TOKENS


def coordinate(number: int) -> Any:
    return urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


def test_json_web_keys_of_other_connectors_are_understood() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    numbers = private.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": coordinate(numbers.x), "y": coordinate(numbers.y)}
    okp = {"kty": "OKP", "crv": "Ed25519", "x": urlsafe_b64encode(TOKENS.public_bytes_raw()).decode()[:-1]}
    methods = [
        {"id": "#a", "type": "JsonWebKey2020", "controller": DID, "publicKeyJwk": jwk},
        {"id": "#b", "type": "JsonWebKey", "controller": DID, "publicKeyJwk": okp},
        {"id": "#c", "type": "RsaKey", "controller": DID, "publicKeyJwk": {"kty": "RSA", "n": "x", "e": "y"}},
    ]
    content = {"id": DID, "verificationMethod": methods, "authentication": ["#a", "#b", "#c"]}
    parsed = parse_did_document(content, did=DID)
    assert parsed.key(f"{DID}#a", "authentication") == private.public_key()
    assert parsed.key(f"{DID}#b", "authentication") == TOKENS
    with pytest.raises(DidError, match="no usable key"):
        parsed.key(f"{DID}#c", "authentication")


@pytest.mark.parametrize(
    ("jwk", "sentence"),
    [
        ({"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA"}, "private key"),
        ({"kty": "OKP", "crv": "Ed25519", "x": "AAA"}, "32 bytes"),
        ({"kty": "EC", "crv": "P-256", "x": coordinate(1), "y": coordinate(1)}, "malformed"),
        ({"kty": "EC", "crv": "P-256", "x": coordinate(1)}, "'y'"),
    ],
)
def test_a_broken_json_web_key_is_refused_with_a_reason(jwk: dict[str, str], sentence: str) -> None:
    method = {"id": "#a", "type": "JsonWebKey", "controller": DID, "publicKeyJwk": jwk}
    with pytest.raises(DidError, match=sentence):
        parse_did_document({"id": DID, "verificationMethod": [method]}, did=DID)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": 7}, "'id'"),
        ({"verificationMethod": "x"}, "list of objects"),
        ({"verificationMethod": [{}] * 2}, "'id'"),
        ({"assertionMethod": "x"}, "not a list"),
        ({"service": {}}, "must be a list"),
        ({"verificationMethod": [{"id": f"#{n}"} for n in range(65)]}, "more than 64"),
        ({"verificationMethod": [{"id": "#a"}, {"id": f"{DID}#a"}]}, "twice"),
    ],
)
def test_a_malformed_document_is_refused_with_a_reason(change: Any, sentence: str) -> None:
    with pytest.raises(DidError, match=sentence):
        parse_did_document(document() | change, did=DID)


@given(st.binary(max_size=80))
def test_base58_text_is_read_back(data: bytes) -> None:
    assert decode_base58(encode_base58(data)) == data


@pytest.mark.parametrize("text", ["", "abc", "z0", "zO", "zl", "z ", "z" + "1" * 300, "uAAAA"])
def test_other_text_is_not_base58(text: str) -> None:
    with pytest.raises(EvidenceError):
        decode_base58(text)


def test_keys_of_other_kinds_are_refused() -> None:
    with pytest.raises(EvidenceError, match="neither"):
        decode_key(encode_base58(b"\xec\x01" + b"x" * 32))
    with pytest.raises(EvidenceError, match="malformed"):
        decode_key(encode_base58(b"\xed\x01" + b"x" * 31))


def test_a_p256_multikey_is_read() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    assert decode_key(encode_base58(b"\x80\x24" + point)) == key


def test_a_fingerprint_is_the_one_that_openssl_shows() -> None:
    # printf '302a300506032b6570032100%064d' 0 | xxd -r -p | sha256sum
    key = decode_key(encode_base58(b"\xed\x01" + bytes(32)))
    shown = fingerprint(key)
    assert [len(group) for group in shown.split(" ")] == [8] * 8
    assert shown.replace(" ", "") == "722abd12e99a5367f375aeb9672a8e07712e03c2add16fa8d6914d1cfa2efe0c"
