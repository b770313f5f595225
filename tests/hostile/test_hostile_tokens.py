"""Forged, stolen and confused tokens, and hostile DID documents: who is let in as whom."""

import asyncio
import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from connector.adapters.did_identity import (
    DidIdentity,
    IdentityRefusedError,
    IdentityUnavailableError,
)
from connector.adapters.egress import EgressClient
from connector.evidence.did import build_did_document, parse_did_document

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
PROVIDER = "did:web:rheinaue.example"
CONSUMER = "did:web:lastwerk.example"
OTHER = "did:web:other.example"
CONTRACTS = Ed25519PrivateKey.generate()
TOKENS = Ed25519PrivateKey.generate()


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Memory:
    """Used tokens, as a store would keep them."""

    def __init__(self) -> None:
        self.tokens: dict[str, datetime] = {}

    async def remember(self, token: str, expires: datetime) -> bool:
        if token in self.tokens:
            return False
        self.tokens[token] = expires
        return True


class Host:
    """A participant's web host: serves whatever its owner, or an attacker, put there."""

    def __init__(self, content: Any) -> None:
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(200, json=content)
        self.requests: list[httpx.Request] = []

    def transport(self) -> httpx.AsyncBaseTransport:
        async def handle(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            await asyncio.sleep(0)
            answer = self.answer(request)
            return httpx.Response(answer.status_code, headers=answer.headers, stream=Whole(answer.content))

        return httpx.MockTransport(handle)


class Whole(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> Any:
        yield self.content


def document_of(did: str, tokens: Ed25519PrivateKey = TOKENS) -> dict[str, Any]:
    host = did.removeprefix("did:web:")
    return build_did_document(
        did=did,
        contracts_key=CONTRACTS.public_key(),
        tokens_key=tokens.public_key(),
        data_service=f"https://{host}/.well-known/dspace-version",
        catalog_service=f"https://{host}/catalog",
    )


class Scene:
    """The provider, whom everybody attacks, and the consumer's host."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.memory = Memory()
        self.host = Host(document_of(CONSUMER))
        self.egress = EgressClient(in_process={"https://lastwerk.example": self.host.transport()})
        self.provider = self.identity(PROVIDER, Ed25519PrivateKey.generate())
        self.consumer = self.identity(CONSUMER, TOKENS)

    def identity(self, did: str, key: Ed25519PrivateKey) -> DidIdentity:
        return DidIdentity(
            did=did, token_key=key, egress=self.egress, clock=self.clock, used_tokens=self.memory
        )

    async def refused(self, header: str | None) -> str:
        with pytest.raises(IdentityRefusedError) as caught:
            await self.provider.verify(header)
        return str(caught.value)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def encode(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    seconds = int(NOW.timestamp())
    standard = {
        "iss": CONSUMER,
        "sub": CONSUMER,
        "aud": PROVIDER,
        "jti": "one",
        "iat": seconds,
        "exp": seconds + 300,
    }
    return {name: value for name, value in (standard | changes).items() if value is not ...}


def token(
    payload: Any = None,
    *,
    header: Any = None,
    key: Callable[[bytes], bytes] = TOKENS.sign,
    **changes: Any,
) -> str:
    """A token as an attacker makes it, without any library that could object."""
    head = (
        header
        if isinstance(header, bytes)
        else {"alg": "EdDSA", "kid": f"{CONSUMER}#tokens"} | (header or {})
    )
    text = f"{encode(head)}.{encode(claims(**changes) if payload is None else payload)}"
    return f"Bearer {text}.{encode(key(text.encode()))}"


async def test_an_honest_token_identifies_its_sender(scene: Scene) -> None:
    participant = await scene.provider.verify(await scene.consumer.authorization(PROVIDER))
    assert participant.did == CONSUMER
    assert participant.document.endpoint("CatalogService") == "https://lastwerk.example/catalog"


async def test_our_token_has_the_claims_of_dcp_and_no_others(scene: Scene) -> None:
    header, payload = (await scene.consumer.authorization(PROVIDER)).removeprefix("Bearer ").split(".")[:2]
    decoded = [json.loads(_decode(part)) for part in (header, payload)]
    assert decoded[0] == {"typ": "JWT", "alg": "EdDSA", "kid": f"{CONSUMER}#tokens"}
    assert decoded[1] == claims(jti=decoded[1]["jti"])
    assert len(decoded[1]["jti"]) >= 22


def _decode(part: str) -> bytes:
    return urlsafe_b64decode(part + "==")


async def test_the_same_token_made_by_hand_is_accepted(scene: Scene) -> None:
    assert (await scene.provider.verify(token())).did == CONSUMER


@pytest.mark.parametrize("alg", ["Ed25519", "EdDSA"])
async def test_both_names_of_the_algorithm_are_understood(scene: Scene, alg: str) -> None:
    assert (await scene.provider.verify(token(header={"alg": alg}))).did == CONSUMER


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer a.b", "Bearer a.b.c.d.e", "Bearer ..", "Bearer {}"],
)
async def test_no_token_is_no_identity(scene: Scene, header: str | None) -> None:
    await scene.refused(header)
    assert scene.host.requests == []


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", None, "HS256", "RS256", "ES384", "Ed448", 7])
async def test_other_algorithms_are_refused_before_anything_is_fetched(scene: Scene, alg: Any) -> None:
    assert "algorithm" in await scene.refused(token(header={"alg": alg}))
    assert scene.host.requests == []


async def test_an_unsigned_token_is_refused(scene: Scene) -> None:
    await scene.refused(token(header={"alg": "none"}, key=lambda _: b""))
    assert "does not fit" in await scene.refused(token(key=lambda _: b""))


async def test_the_public_key_is_no_shared_secret(scene: Scene) -> None:
    for secret in (
        TOKENS.public_key().public_bytes_raw(),
        TOKENS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ):

        def mac(data: bytes, secret: bytes = secret) -> bytes:
            return hmac.digest(secret, data, "sha256")

        assert "algorithm" in await scene.refused(token(header={"alg": "HS256"}, key=mac))
        assert "does not fit" in await scene.refused(token(key=mac))


@pytest.mark.parametrize(
    "extra",
    [
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
        {"x5c": ["AAAA"]},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
        {"cty": "JWT"},
        {"zip": "DEF"},
    ],
)
async def test_a_header_that_leads_elsewhere_is_refused(scene: Scene, extra: dict[str, Any]) -> None:
    assert "members that we refuse" in await scene.refused(token(header=extra))
    assert scene.host.requests == []


async def test_a_key_brought_along_does_not_sign(scene: Scene) -> None:
    thief = Ed25519PrivateKey.generate()
    assert "does not fit" in await scene.refused(token(key=thief.sign))


@pytest.mark.parametrize("typ", ["vc+jwt", "at+jwt", 7, None])
async def test_a_token_made_for_another_use_is_refused(scene: Scene, typ: Any) -> None:
    assert "type" in await scene.refused(token(header={"typ": typ}))


@pytest.mark.parametrize(
    "kid", [None, 7, "", "#tokens", "tokens", f"{OTHER}#tokens", CONSUMER, f"{CONSUMER}x#a"]
)
async def test_a_key_of_somebody_else_is_refused(scene: Scene, kid: Any) -> None:
    reason = await scene.refused(token(header={"kid": kid}))
    assert "does not belong" in reason or "names no key" in reason


@pytest.mark.parametrize("fragment", ["contracts", "none"])
async def test_a_key_for_another_purpose_signs_no_token(scene: Scene, fragment: str) -> None:
    header = {"kid": f"{CONSUMER}#{fragment}"}
    assert CONSUMER in await scene.refused(token(header=header, key=CONTRACTS.sign))


@pytest.mark.parametrize(
    "aud", [OTHER, CONSUMER, f"{PROVIDER}/", PROVIDER.upper(), [PROVIDER], [PROVIDER, OTHER], "", None, ...]
)
async def test_a_token_for_somebody_else_is_refused(scene: Scene, aud: Any) -> None:
    assert "The token is for" in await scene.refused(token(aud=aud))


async def test_a_token_that_we_received_cannot_be_passed_on(scene: Scene) -> None:
    other = scene.identity(OTHER, Ed25519PrivateKey.generate())
    stolen = await scene.consumer.authorization(OTHER)
    assert (await other.verify(stolen)).did == CONSUMER
    assert "The token is for" in await scene.refused(stolen)


@pytest.mark.parametrize("sub", [OTHER, "", None, ..., [CONSUMER]])
async def test_nobody_speaks_for_somebody_else(scene: Scene, sub: Any) -> None:
    assert "subject" in await scene.refused(token(sub=sub))


@pytest.mark.parametrize("name", ["iss", "jti"])
@pytest.mark.parametrize("value", [..., "", None, 7, [], "x" * 257])
async def test_names_in_a_token_are_bounded_text(scene: Scene, name: str, value: Any) -> None:
    changes = {name: value, **({"sub": value} if name == "iss" else {})}
    assert f"token's {name}" in await scene.refused(token(**changes))


SECONDS = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"iat": SECONDS - 400, "exp": SECONDS - 100}, "expired"),
        ({"iat": SECONDS - 330, "exp": SECONDS - 30}, "expired"),
        ({"iat": SECONDS + 31, "exp": SECONDS + 60}, "future"),
        ({"nbf": SECONDS + 60}, "future"),
        ({"exp": SECONDS + 301}, "longer"),
        ({"exp": SECONDS + 10**9}, "longer"),
        ({"iat": 0}, "longer"),
        ({"exp": ...}, "exp"),
        ({"iat": ...}, "iat"),
        ({"exp": str(SECONDS + 300)}, "exp"),
        ({"exp": SECONDS + 300.5}, "exp"),
        ({"iat": True}, "iat"),
        ({"exp": 2**53 - 1}, "not a time"),
        ({"nbf": None}, "nbf"),
    ],
)
async def test_a_token_outside_its_time_is_refused(scene: Scene, changes: Any, sentence: str) -> None:
    assert sentence in await scene.refused(token(**changes))
    assert scene.host.requests == []


async def test_clocks_may_differ_by_half_a_minute(scene: Scene) -> None:
    scene.clock.now = NOW - timedelta(seconds=30)
    assert await scene.provider.verify(token(jti="early"))
    scene.clock.now = NOW + timedelta(seconds=329)
    assert await scene.provider.verify(token(jti="late"))


async def test_a_token_is_used_once(scene: Scene) -> None:
    captured = await scene.consumer.authorization(PROVIDER)
    await scene.provider.verify(captured)
    assert "used before" in await scene.refused(captured)


async def test_a_token_sent_twice_at_once_is_used_once(scene: Scene) -> None:
    captured = await scene.consumer.authorization(PROVIDER)
    attempts = [scene.provider.verify(captured) for _ in range(5)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, IdentityRefusedError) for result in results) == 4


async def test_a_used_token_is_remembered_for_as_long_as_it_could_be_used(scene: Scene) -> None:
    await scene.provider.verify(token())
    (expires,) = scene.memory.tokens.values()
    scene.clock.now = expires
    assert "expired" in await scene.refused(token())


async def test_a_restarted_provider_still_refuses_a_used_token(scene: Scene) -> None:
    await scene.provider.verify(token())
    scene.provider = scene.identity(PROVIDER, Ed25519PrivateKey.generate())
    assert "used before" in await scene.refused(token())


async def test_a_forged_token_does_not_use_up_the_genuine_one(scene: Scene) -> None:
    await scene.refused(token(key=Ed25519PrivateKey.generate().sign))
    assert (await scene.provider.verify(token())).did == CONSUMER


async def test_two_senders_may_happen_to_use_the_same_token_identifier(scene: Scene) -> None:
    host = Host(document_of(OTHER))
    scene.egress = EgressClient(
        in_process={
            "https://lastwerk.example": scene.host.transport(),
            "https://other.example": host.transport(),
        }
    )
    scene.provider = scene.identity(PROVIDER, Ed25519PrivateKey.generate())
    await scene.provider.verify(token())
    second = token(iss=OTHER, sub=OTHER, header={"kid": f"{OTHER}#tokens"})
    assert (await scene.provider.verify(second)).did == OTHER


@pytest.mark.parametrize(
    "payload",
    [
        b'{"iss":"did:web:lastwerk.example","iss":"did:web:other.example"}',
        b"[]",
        b"null",
        b"",
        b"\xff",
        b'{"exp":NaN}',
        b'{"a":' * 20 + b"1" + b"}" * 20,
    ],
)
async def test_claims_that_readers_could_understand_differently_are_refused(
    scene: Scene, payload: bytes
) -> None:
    assert "part of the token" in await scene.refused(token(payload))


async def test_a_header_with_two_algorithms_is_refused(scene: Scene) -> None:
    double = b'{"alg":"EdDSA","alg":"none","kid":"did:web:lastwerk.example#tokens"}'
    assert "part of the token" in await scene.refused(token(header=double))


async def test_a_changed_claim_does_not_fit_the_signature(scene: Scene) -> None:
    head, _, signature = token().split(".")
    changed = f"{head}.{encode(claims(jti='two'))}.{signature}"
    assert "does not fit" in await scene.refused(changed)


async def test_a_second_spelling_of_a_token_is_not_a_second_token(scene: Scene) -> None:
    genuine = token()
    await scene.provider.verify(genuine)
    for spelled in (genuine + "=", genuine + "==", genuine.replace(".", ".\n", 1), genuine + " "):
        await scene.refused(spelled)


async def test_a_huge_token_is_refused_unread(scene: Scene) -> None:
    assert "longer than" in await scene.refused(token(padding="x" * 10_000))


async def test_every_changed_character_of_a_token_is_noticed(scene: Scene) -> None:
    genuine = token()
    for place in range(len("Bearer "), len(genuine)):
        changed = "A" if genuine[place] != "A" else "B"
        await scene.refused(genuine[:place] + changed + genuine[place + 1 :])
    assert scene.memory.tokens == {}


def p256_document(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": encode(numbers.x.to_bytes(32, "big")),
        "y": encode(numbers.y.to_bytes(32, "big")),
    }
    method = {
        "id": f"{CONSUMER}#tokens",
        "type": "JsonWebKey2020",
        "controller": CONSUMER,
        "publicKeyJwk": jwk,
    }
    return {"id": CONSUMER, "verificationMethod": [method], "capabilityInvocation": [method["id"]]}


def es256(key: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


async def test_other_connectors_may_sign_with_es256(scene: Scene) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    scene.host.answer = lambda _: httpx.Response(200, json=p256_document(key))
    assert (await scene.provider.verify(token(header={"alg": "ES256"}, key=es256(key)))).did == CONSUMER


async def test_the_key_decides_the_algorithm_and_not_the_token(scene: Scene) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert "does not fit the issuer's key" in await scene.refused(
        token(header={"alg": "ES256"}, key=es256(key))
    )
    scene.host.answer = lambda _: httpx.Response(200, json=p256_document(key))
    scene.provider = scene.identity(PROVIDER, Ed25519PrivateKey.generate())
    assert "does not fit the issuer's key" in await scene.refused(token())


async def test_a_zero_signature_is_no_signature(scene: Scene) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    scene.host.answer = lambda _: httpx.Response(200, json=p256_document(key))
    zero = token(header={"alg": "ES256"}, key=lambda _: bytes(64))
    assert "does not fit" in await scene.refused(zero)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (httpx.Response(200, json=document_of(OTHER)), "says it belongs to"),
        (httpx.Response(200, json=[]), "not a JSON object"),
        (httpx.Response(200, content=b"<html>"), "not JSON"),
        (httpx.Response(200, content=b'{"id":"a","id":"b"}'), "twice"),
        (httpx.Response(200, content=b"[" * 60_000), "deeper"),
        (httpx.Response(200, content=b" " * 70_000), "more than 65536 bytes"),
        (httpx.Response(200, json={"id": CONSUMER}), "no usable key"),
    ],
    ids=["another's", "list", "html", "twice", "deep", "huge", "empty"],
)
async def test_a_hostile_did_document_identifies_nobody(
    scene: Scene, answer: httpx.Response, sentence: str
) -> None:
    scene.host.answer = lambda _: answer
    assert sentence in await scene.refused(token())
    assert scene.memory.tokens == {}


async def test_a_document_that_lists_another_ones_key_identifies_nobody(scene: Scene) -> None:
    content = document_of(CONSUMER)
    content["verificationMethod"][1]["controller"] = OTHER
    scene.host.answer = lambda _: httpx.Response(200, json=content)
    assert "controlled by" in await scene.refused(token())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirected_did_document_is_not_followed(scene: Scene, status: int) -> None:
    location = {"Location": "https://169.254.169.254/latest/meta-data/"}
    scene.host.answer = lambda _: httpx.Response(status, headers=location)
    assert f"status {status}" in await scene.refused(token())
    assert len(scene.host.requests) == 1


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_a_host_that_is_down_is_told_apart_from_a_refusal(scene: Scene, status: int) -> None:
    scene.host.answer = lambda _: httpx.Response(status)
    with pytest.raises(IdentityUnavailableError):
        await scene.provider.verify(token())
    scene.host.answer = lambda _: httpx.Response(200, json=document_of(CONSUMER))
    assert (await scene.provider.verify(token())).did == CONSUMER


@pytest.mark.parametrize(
    "did",
    [
        "did:web:169.254.169.254",
        "did:web:127.0.0.1%3A8080",
        "did:web:localhost%3A8080",
        "did:web:lastwerk.example:..:..:admin",
        "did:web:lastwerk.example%2Fadmin",
        "did:web:user%40lastwerk.example",
        "did:web:LASTWERK.example",
        "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2",
        "https://lastwerk.example",
    ],
)
async def test_an_issuer_that_leads_inside_is_not_asked(scene: Scene, did: str) -> None:
    header = {"kid": f"{did}#tokens"}
    assert "not accepted" in await scene.refused(token(iss=did, sub=did, header=header))
    assert scene.host.requests == []


async def test_an_issuer_whose_name_resolves_inside_is_not_asked(scene: Scene) -> None:
    async def inside(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    scene.egress = EgressClient(resolve=inside)
    scene.provider = scene.identity(PROVIDER, Ed25519PrivateKey.generate())
    assert "not a permitted one" in await scene.refused(token())


async def test_many_tokens_of_one_issuer_cause_one_question_to_its_host(scene: Scene) -> None:
    headers = [await scene.consumer.authorization(PROVIDER) for _ in range(10)]
    await asyncio.gather(*(scene.provider.verify(header) for header in headers))
    await scene.provider.verify(await scene.consumer.authorization(PROVIDER))
    assert len(scene.host.requests) == 1


async def test_a_withdrawn_key_is_refused_after_five_minutes_at_most(scene: Scene) -> None:
    await scene.provider.verify(await scene.consumer.authorization(PROVIDER))
    replaced = document_of(CONSUMER, Ed25519PrivateKey.generate())
    scene.host.answer = lambda _: httpx.Response(200, json=replaced)
    scene.clock.now += timedelta(minutes=5)
    assert "does not fit" in await scene.refused(await scene.consumer.authorization(PROVIDER))


async def test_the_memory_of_did_documents_is_bounded(scene: Scene) -> None:
    def anyone(request: httpx.Request) -> httpx.Response:
        name = request.url.path.split("/")[1]
        return httpx.Response(200, json={"id": f"{CONSUMER}:{name}"})

    scene.host.answer = anyone
    for number in range(1_010):
        await scene.provider.document(f"{CONSUMER}:{number}")
    assert len(scene.provider._cached) == 1_000


async def test_our_own_document_is_not_fetched(scene: Scene) -> None:
    own = parse_did_document(document_of(CONSUMER), did=CONSUMER)
    identity = DidIdentity(
        did=CONSUMER,
        token_key=TOKENS,
        egress=scene.egress,
        clock=scene.clock,
        used_tokens=scene.memory,
        own_document=own,
    )
    assert await identity.document(CONSUMER) is own
    assert scene.host.requests == []


async def test_replays_are_told_apart_by_issuer_and_identifier_only(scene: Scene) -> None:
    await scene.provider.verify(token())
    expected = hashlib.sha256(f'["{CONSUMER}","one"]'.encode()).hexdigest()
    assert list(scene.memory.tokens) == [expected]
