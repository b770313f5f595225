"""Forged, borrowed, ended and bloated credentials: what a provider believes, and where it can be sent."""

import gzip
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connector.adapters.dcp_signer import DcpSigner
from connector.adapters.dcp_verifier import DcpVerifier
from connector.adapters.did_identity import DidIdentity
from connector.adapters.egress import EgressClient
from connector.adapters.jose_tokens import JwtSigner
from connector.evidence.did import build_did_document, parse_did_document
from connector.evidence.errors import CredentialError
from connector.evidence.trusted_issuers import TrustedIssuer
from connector.ports import IdentityRefusedError, Participant, Presentation
from connector.services.vetting import Vetting
from policies.facts import Partner

NOW = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)
PROVIDER, HOLDER, ISSUER, MALLORY = (
    f"did:web:{name}.example" for name in ("provider", "holder", "issuer", "mallory")
)
MEMBERS = "https://issuer.example/#members"
KEYS = {
    did: (Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()) for did in (HOLDER, ISSUER, MALLORY)
}
LIST = "https://issuer.example/credentials/status/1"
DCP = "https://w3id.org/dspace-dcp/v1.0/dcp.jsonld"
OPAQUE = "opaque"
Claims = dict[str, Any]


def host_of(did: str) -> str:
    return "https://" + did.removeprefix("did:web:")


def document(did: str, **changes: Any) -> Claims:
    contracts, tokens = KEYS[did]
    host = host_of(did)
    return {
        **build_did_document(
            did=did,
            contracts_key=contracts.public_key(),
            tokens_key=tokens.public_key(),
            data_service=f"{host}/.well-known/dspace-version",
            catalog_service=f"{host}/catalog",
            credential_service=f"{host}/credentials",
        ),
        **changes,
    }


def signed(claims: Claims, did: str, fragment: str, typ: str | None, key_of: str | None = None) -> str:
    contracts, tokens = KEYS[key_of or did]
    key = contracts if fragment == "#contracts" else tokens
    return JwtSigner(key, did + fragment).sign(claims, typ=typ)


def credential(**changes: Any) -> Claims:
    return {
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "id": "urn:uuid:1",
        "type": ["VerifiableCredential", "MembershipCredential"],
        "issuer": ISSUER,
        "validFrom": "2026-11-01T00:00:00Z",
        "validUntil": "2026-12-31T00:00:00Z",
        "credentialSubject": {"id": HOLDER},
    } | changes


def by_issuer(claims: Claims) -> str:
    return signed(claims, ISSUER, "#contracts", "vc+jwt")


def presentation(*tokens: str, **changes: Any) -> Claims:
    seconds = int(NOW.timestamp())
    return {
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "type": ["VerifiablePresentation"],
        "verifiableCredential": [
            {"type": "EnvelopedVerifiableCredential", "id": "data:application/vc+jwt," + token}
            for token in tokens
        ],
        "iss": HOLDER,
        "aud": PROVIDER,
        "jti": "1",
        "iat": seconds,
        "exp": seconds + 300,
    } | changes


def by_holder(claims: Claims) -> str:
    return signed(claims, HOLDER, "#tokens", "vp+jwt")


def status(**changes: Any) -> Claims:
    return {
        "type": "BitstringStatusListEntry",
        "statusPurpose": "revocation",
        "statusListIndex": "7",
        "statusListCredential": LIST,
    } | changes


def encoded(bits: bytes) -> str:
    return "u" + urlsafe_b64encode(gzip.compress(bits)).decode().rstrip("=")


def states(bits: bytes = bytes(16_384), **changes: Any) -> Claims:
    return {
        "type": ["VerifiableCredential", "BitstringStatusListCredential"],
        "issuer": ISSUER,
        "credentialSubject": {
            "id": LIST + "#list",
            "type": "BitstringStatusList",
            "statusPurpose": "revocation",
            "encodedList": encoded(bits),
        },
    } | changes


class Scene:
    """A provider that trusts one issuer, and everything that others serve."""

    def __init__(self) -> None:
        self.now = NOW
        self.served: dict[str, bytes] = {
            f"{host_of(did)}/.well-known/did.json": json.dumps(document(did)).encode()
            for did in (HOLDER, ISSUER, MALLORY)
        }
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        self.saved: dict[str, Presentation] = {}
        transports = {host_of(did): httpx.MockTransport(self._serve) for did in (HOLDER, ISSUER, MALLORY)}
        egress = EgressClient(in_process=transports)
        own = Ed25519PrivateKey.generate()
        identity = DidIdentity(
            did=PROVIDER, token_key=own, egress=egress, clock=lambda: self.now, used_tokens=_Nobody()
        )
        self.verifier = DcpVerifier(did=PROVIDER, identity=identity, egress=egress, clock=lambda: self.now)
        self.vetting = Vetting(
            store=_Memory(self.saved),  # type: ignore[arg-type] # only what vetting needs
            clock=_Clock(self),
            verifier=self.verifier,
            trusted=[
                TrustedIssuer(
                    ISSUER,
                    "MembershipCredential",
                    {"memberships": frozenset({MEMBERS})},
                    {"roles": "role", "seat": "seat"},
                )
            ],
        )

    async def _serve(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        self.requests.append(url)
        self.authorizations.append(request.headers.get("authorization", ""))
        body = self.served.get(url)
        return httpx.Response(404 if body is None else 200, stream=_Whole(body or b""))

    def show(self, *presentations: Any) -> None:
        message = {
            "@context": [DCP],
            "type": "PresentationResponseMessage",
            "presentation": list(presentations),
        }
        self.served[host_of(HOLDER) + "/credentials/presentations/query"] = json.dumps(message).encode()

    async def known(self, token: str | None = OPAQUE, holder: Claims | None = None) -> Partner | None:
        """What the provider believes of the holder after a message of it."""
        parsed = parse_did_document(holder or document(HOLDER), did=HOLDER)
        await self.vetting.meet(Participant(HOLDER, parsed, access_token=token))
        return self.vetting.proofs(HOLDER, self.now)

    @property
    def refused(self) -> str:
        shown = self.saved.get(HOLDER)
        return " ".join(reason["en"] for reason in shown.refused) if shown else ""


class _Clock:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def now(self) -> datetime:
        return self._scene.now


class _Nobody:
    async def remember(self, token: str, expires: datetime) -> bool:
        raise AssertionError(f"nobody sends the provider the token {token} that expires {expires}")


class _Memory:
    """A store that keeps presentations."""

    def __init__(self, saved: dict[str, Presentation]) -> None:
        self._saved = saved

    async def transact(self, work: Callable[[Any], Any]) -> Any:
        return work(self)

    def save_presentation(self, record: Presentation) -> None:
        self._saved[record.partner] = record

    def presentations(self) -> tuple[Presentation, ...]:
        return tuple(self._saved.values())


class _Whole(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> Any:
        yield self.content


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_an_honest_holder_is_believed_in_both_data_models(scene: Scene) -> None:
    scene.show(by_holder(presentation(by_issuer(credential()))))
    known = await scene.known()
    assert known is not None
    assert known.memberships == {MEMBERS}
    assert not known.complete

    older = Scene()
    vc = {key: value for key, value in credential().items() if not key.startswith("valid")}
    token = signed({"iss": ISSUER, "sub": HOLDER, "vc": vc}, ISSUER, "#contracts", "JWT")
    vp = {"vp": {"type": "VerifiablePresentation", "verifiableCredential": [token]}}
    claims = {key: value for key, value in presentation().items() if key in {"iss", "aud", "iat", "exp"}}
    older.show(signed(claims | vp, HOLDER, "#tokens", "JWT"))
    assert (await older.known()) is not None


FORGED_PRESENTATIONS = {
    "for somebody else": lambda: by_holder(presentation(by_issuer(credential()), aud=MALLORY)),
    "for us and others": lambda: by_holder(presentation(by_issuer(credential()), aud=[PROVIDER, MALLORY])),
    "from somebody else": lambda: by_holder(presentation(by_issuer(credential()), iss=MALLORY)),
    "signed by somebody else": lambda: signed(
        presentation(by_issuer(credential())), MALLORY, "#tokens", "vp+jwt"
    ),
    "signed with a stolen name": lambda: signed(
        presentation(by_issuer(credential())), HOLDER, "#tokens", "vp+jwt", key_of=MALLORY
    ),
    "signed with a key for contracts": lambda: signed(
        presentation(by_issuer(credential())), HOLDER, "#contracts", "vp+jwt"
    ),
    "expired": lambda: by_holder(presentation(by_issuer(credential()), exp=int(NOW.timestamp()) - 60)),
    "from the future": lambda: by_holder(
        presentation(by_issuer(credential()), nbf=int(NOW.timestamp()) + 900)
    ),
    "without an end": lambda: by_holder(
        {key: value for key, value in presentation(by_issuer(credential())).items() if key != "exp"}
    ),
    "of another type": lambda: signed(presentation(by_issuer(credential())), HOLDER, "#tokens", "at+jwt"),
    "no presentation at all": lambda: by_holder(presentation(by_issuer(credential()), type=["Anything"])),
    "a credential instead": lambda: by_issuer(credential()),
    "unsigned": lambda: presentation(by_issuer(credential())),
    "credentials that are no tokens": lambda: by_holder(presentation(verifiableCredential=[credential()])),
    "a thousand credentials": lambda: by_holder(presentation(*[by_issuer(credential())] * 51)),
    "nonsense": lambda: "a.b.c",
}


@pytest.mark.parametrize("attack", FORGED_PRESENTATIONS)
async def test_a_forged_presentation_proves_nothing(scene: Scene, attack: str) -> None:
    scene.show(FORGED_PRESENTATIONS[attack]())
    assert await scene.known() is None
    assert scene.saved == {}


def backdated() -> str:
    return by_issuer(credential(validFrom="2026-11-29T00:00:00Z"))


FORGED_CREDENTIALS: dict[str, tuple[Callable[[], str], str]] = {
    "signed by the holder itself": (
        lambda: signed(credential(), HOLDER, "#contracts", "vc+jwt"),
        "does not belong",
    ),
    "in the issuer's name, with another key": (
        lambda: signed(credential(), ISSUER, "#contracts", "vc+jwt", key_of=MALLORY),
        "signature",
    ),
    "with the issuer's key for tokens": (
        lambda: signed(credential(), ISSUER, "#tokens", "vc+jwt"),
        "assertionMethod",
    ),
    "of an issuer that nobody trusts": (
        lambda: signed(credential(issuer=MALLORY), MALLORY, "#contracts", "vc+jwt"),
        "Nobody here trusts",
    ),
    "about somebody else": (lambda: by_issuer(credential(credentialSubject={"id": MALLORY})), "is about"),
    "about two": (
        lambda: by_issuer(credential(credentialSubject=[{"id": HOLDER}, {"id": MALLORY}])),
        "exactly one subject",
    ),
    "about nobody": (lambda: by_issuer(credential(credentialSubject={"role": "x"})), "malformed"),
    "of a type that the issuer is not trusted for": (
        lambda: by_issuer(credential(type=["VerifiableCredential", "DiplomaCredential"])),
        "not trusted for",
    ),
    "not begun": (backdated, "only from"),
    "ended": (lambda: by_issuer(credential(validUntil="2026-11-27T00:00:00Z")), "expired"),
    "ended by its token": (lambda: by_issuer(credential(exp=int(NOW.timestamp()) - 1)), "expired"),
    "with a time without a zone": (lambda: by_issuer(credential(validUntil="2026-12-31T00:00:00")), "zone"),
    "that contradicts its token": (lambda: by_issuer(credential(sub=MALLORY)), "its token's"),
    "with a schema that nobody looks at": (
        lambda: by_issuer(
            credential(credentialSchema={"id": "http://169.254.169.254/", "type": "JsonSchema"})
        ),
        "schema",
    ),
    "with a state of another kind": (
        lambda: by_issuer(credential(credentialStatus=status(type="OtherStatus"))),
        "do not know",
    ),
    "with a state of an unknown purpose": (
        lambda: by_issuer(credential(credentialStatus=status(statusPurpose="message"))),
        "unknown kind",
    ),
    "with a place that is no number": (
        lambda: by_issuer(credential(credentialStatus=status(statusListIndex="-1"))),
        "no number",
    ),
    "with a hundred states": (
        lambda: by_issuer(credential(credentialStatus=[status() for _ in range(100)])),
        "more than 4",
    ),
    "whose list is in the provider's own network": (
        lambda: by_issuer(
            credential(credentialStatus=status(statusListCredential="https://169.254.169.254/1"))
        ),
        "not called",
    ),
    "whose list lies behind no TLS": (
        lambda: by_issuer(
            credential(credentialStatus=status(statusListCredential="http://issuer.example/1"))
        ),
        "only https",
    ),
    "whose list is a file": (
        lambda: by_issuer(credential(credentialStatus=status(statusListCredential="file:///etc/passwd"))),
        "only https",
    ),
    "a list of states": (lambda: by_issuer(states()), "is about"),
}


@pytest.mark.parametrize("attack", FORGED_CREDENTIALS)
async def test_a_forged_credential_proves_nothing_and_the_provider_says_why(
    scene: Scene, attack: str
) -> None:
    forged, why = FORGED_CREDENTIALS[attack]
    scene.show(by_holder(presentation(forged())))
    assert await scene.known() is None
    assert why in scene.refused
    assert not any("169.254" in url or url.startswith(("http:", "file:")) for url in scene.requests)


async def test_a_forged_credential_takes_nothing_from_an_honest_one_beside_it(scene: Scene) -> None:
    forged = by_issuer(credential(credentialSubject={"id": MALLORY}))
    scene.show(by_holder(presentation(forged, by_issuer(credential()))))
    known = await scene.known()
    assert known is not None
    assert known.memberships == {MEMBERS}


LISTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "unsigned": (lambda: json.dumps(states()).encode(), "refused"),
    "signed by somebody else": (
        lambda: signed(states(issuer=MALLORY), MALLORY, "#contracts", "vc+jwt").encode(),
        "Nobody here trusts",
    ),
    "signed by the holder": (
        lambda: signed(states(), ISSUER, "#contracts", "vc+jwt", key_of=HOLDER).encode(),
        "signature",
    ),
    "too small": (lambda: by_issuer(states(bytes(100))).encode(), "fewer than"),
    "about something else": (
        lambda: by_issuer(
            states(
                credentialSubject={
                    "id": "x:y",
                    "statusPurpose": "suspension",
                    "encodedList": encoded(bytes(16_384)),
                }
            )
        ).encode(),
        "not about",
    ),
    "a bomb": (
        lambda: by_issuer(
            states(
                credentialSubject={
                    "id": "x:y",
                    "statusPurpose": "revocation",
                    "encodedList": encoded(bytes(50_000_000)),
                }
            )
        ).encode(),
        "longer than",
    ),
    "cut off": (
        lambda: by_issuer(
            states(
                credentialSubject={
                    "id": "x:y",
                    "statusPurpose": "revocation",
                    "encodedList": encoded(bytes(range(256)) * 64)[:-200],
                }
            )
        ).encode(),
        "",
    ),
    "not packed": (
        lambda: by_issuer(
            states(credentialSubject={"id": "x:y", "statusPurpose": "revocation", "encodedList": "uAAAA"})
        ).encode(),
        "packed",
    ),
    "ended": (lambda: by_issuer(states(validUntil="2026-11-01T00:00:00Z")).encode(), "expired"),
    "missing": (lambda: b"", ""),
}


@pytest.mark.parametrize("attack", LISTS)
async def test_a_credential_counts_only_where_its_issuers_list_says_so(scene: Scene, attack: str) -> None:
    made, why = LISTS[attack]
    scene.show(by_holder(presentation(by_issuer(credential(credentialStatus=status())))))
    scene.served[LIST] = made()
    assert await scene.known() is None
    assert why in scene.refused
    assert scene.refused


async def test_a_bit_in_the_list_takes_back_one_credential_and_no_other(scene: Scene) -> None:
    bits = bytearray(16_384)
    bits[0] = 0b0000_0001  # the eighth place, counted from 0: 7
    scene.served[LIST] = by_issuer(states(bytes(bits))).encode()
    scene.show(by_holder(presentation(by_issuer(credential(credentialStatus=status())))))
    assert await scene.known() is None
    assert "taken back" in scene.refused

    scene.now += timedelta(seconds=10)
    scene.show(by_holder(presentation(by_issuer(credential(credentialStatus=status(statusListIndex="6"))))))
    assert await scene.known() is not None


async def test_a_list_that_one_issuer_may_keep_is_not_believed_for_another(scene: Scene) -> None:
    """The list is cached by its address: who asks for another issuer must not get it."""
    scene.served[LIST] = by_issuer(states()).encode()
    scene.show(by_holder(presentation(by_issuer(credential(credentialStatus=status())))))
    assert await scene.known() is not None
    foreign = signed(credential(issuer=MALLORY, credentialStatus=status()), MALLORY, "#contracts", "vc+jwt")
    proven = await scene.verifier.proven(foreign)
    with pytest.raises(CredentialError, match="is kept by"):
        await scene.verifier.is_taken_back(proven)


async def test_claims_prove_only_what_the_issuer_is_trusted_for(scene: Scene) -> None:
    subject = {
        "id": HOLDER,
        "role": ["https://x.example/#a", 7, {"id": "https://x.example/#b"}, {"no": "id"}],
    }
    extra = {
        "membership": "https://x.example/#other",
        "organisation": "https://x.example/",
        "seat": "<script>",
    }
    scene.show(by_holder(presentation(by_issuer(credential(credentialSubject=subject | extra)))))
    known = await scene.known()
    assert known is not None
    assert known.memberships == {MEMBERS}
    assert known.roles == {"https://x.example/#a", "https://x.example/#b"}
    assert (known.organisation, known.seat) == (None, None)


async def test_without_an_access_token_or_a_service_nobody_is_asked(scene: Scene) -> None:
    assert await scene.known(token=None) is None
    assert await scene.known(holder=document(HOLDER, service=[])) is None
    assert scene.requests == []


async def test_the_holder_chooses_no_address_inside_the_providers_network(scene: Scene) -> None:
    service = [
        {"id": HOLDER + "#c", "type": "CredentialService", "serviceEndpoint": "https://127.0.0.1/credentials"}
    ]
    assert await scene.known(holder=document(HOLDER, service=service)) is None
    assert scene.requests == []


async def test_a_flood_of_messages_asks_the_holder_once(scene: Scene) -> None:
    scene.show()
    for _ in range(50):
        await scene.known()
    assert len([url for url in scene.requests if url.endswith("/query")]) == 1


async def test_the_providers_own_token_tells_the_holder_nothing_that_opens_the_provider(scene: Scene) -> None:
    scene.show()
    await scene.known()
    [authorization] = [one for one in scene.authorizations if one]
    token = json.loads(_payload(authorization.removeprefix("Bearer ")))
    assert (token["iss"], token["aud"], token["token"]) == (PROVIDER, HOLDER, "opaque")


def _payload(token: str) -> bytes:
    part = token.split(".")[1]
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


# our own credentials, and who wants to see them


class Wallet:
    def __init__(self) -> None:
        contracts, tokens = KEYS[HOLDER]
        self.now = NOW
        self.signer = DcpSigner(
            did=HOLDER,
            tokens=tokens,
            tokens_method=HOLDER + "#tokens",
            statements=contracts,
            statements_method=HOLDER + "#contracts",
            clock=lambda: self.now,
        )


def test_an_access_token_opens_what_was_offered_to_whom_it_was_made_for() -> None:
    wallet = Wallet()
    assert wallet.signer.access(PROVIDER) is None
    wallet.signer.offer(["MembershipCredential"])
    token = wallet.signer.access(PROVIDER)
    assert token is not None
    assert wallet.signer.opened(token, PROVIDER) == {"MembershipCredential"}

    with pytest.raises(IdentityRefusedError, match="not for"):
        wallet.signer.opened(token, MALLORY)
    wallet.now += timedelta(minutes=6)
    with pytest.raises(IdentityRefusedError, match="expired"):
        wallet.signer.opened(token, PROVIDER)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (
            lambda: signed({"aud": MALLORY, "exp": 4_000_000_000, "kinds": ["A"]}, MALLORY, "#tokens", None),
            "type",
        ),
        (
            lambda: signed(
                {"aud": MALLORY, "exp": 4_000_000_000, "kinds": ["A"]},
                HOLDER,
                "#tokens",
                "allmende-credentials+jwt",
                key_of=MALLORY,
            ),
            "signature",
        ),
        (lambda: by_holder(presentation(aud=MALLORY)), "type"),
        (lambda: signed({"iss": HOLDER, "sub": HOLDER, "aud": MALLORY}, HOLDER, "#tokens", None), "type"),
        (lambda: "", "three parts"),
        (lambda: "x" * 5000, "longer"),
    ],
    ids=[
        "a token of mallory",
        "a forged one",
        "a presentation",
        "a token that identifies",
        "nothing",
        "a long one",
    ],
)
def test_no_other_token_opens_our_credentials(made: Callable[[], str], why: str) -> None:
    wallet = Wallet()
    wallet.signer.offer(["A"])
    with pytest.raises(IdentityRefusedError, match=why):
        wallet.signer.opened(made(), MALLORY)


async def test_a_presentation_of_ours_identifies_nobody(scene: Scene) -> None:
    """A verifier that gets it cannot use it to act as us."""
    token = Wallet().signer.presentation({"type": ["VerifiablePresentation"]}, PROVIDER)
    older = Wallet().signer.presentation({"vp": {"type": ["VerifiablePresentation"]}}, PROVIDER)
    egress = EgressClient(in_process={host_of(HOLDER): httpx.MockTransport(scene._serve)})
    identity = DidIdentity(
        did=PROVIDER,
        token_key=Ed25519PrivateKey.generate(),
        egress=egress,
        clock=lambda: NOW,
        used_tokens=_Nobody(),
    )
    for one in (token, older):
        with pytest.raises(IdentityRefusedError):
            await identity.verify(f"Bearer {one}")
