"""Who calls, and who we are: self-issued tokens and DID documents.

A request carries a token that its sender signed; the key is in the sender's DID
document, which we read from the sender's own host.

Source:
    Eclipse Decentralized Claims Protocol 1.0, section 4.3 (self-issued ID tokens);
    RFC 7519, RFC 8725 (JWT best current practices).
"""

import asyncio
import functools
import hashlib
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, OKPKey

from connector.adapters.egress import EgressClient, EgressFailedError, EgressRefusedError
from connector.evidence.did import TOKENS, DidDocument, did_url, parse_did_document
from connector.evidence.documents import canonical
from connector.evidence.errors import DidError
from connector.evidence.multikey import PublicKey
from connector.ports import (
    IdentityRefusedError,
    IdentityUnavailableError,
    Participant,
    TokenUsedError,
    UsedToken,
)
from schemas.strict_json import JsonObject, MalformedJsonError, loads

_LIFETIME: Final = timedelta(minutes=5)
_SKEW: Final = timedelta(seconds=30)
_CACHED_FOR: Final = timedelta(minutes=5)
_READ_AGAIN_AFTER: Final = timedelta(seconds=5)
"""How often a token with an unknown key can make us read its issuer's document."""
_MOST_CACHED: Final = 1_000
_MOST_DOCUMENT_BYTES: Final = 65_536
_MOST_TOKEN_CHARACTERS: Final = 8_192
_MOST_IDENTIFIER_CHARACTERS: Final = 256
_HEADER_MEMBERS: Final = frozenset({"alg", "kid", "typ"})
_EDWARDS: Final = ("EdDSA", "Ed25519")
_ALGORITHMS: Final = (*_EDWARDS, "ES256")


class UsedTokens(Protocol):
    """Remembers which tokens were used, across restarts."""

    async def remember(self, token: str, expires: datetime) -> bool:
        """Remember a token, durably.

        Args:
            token: Digest of issuer and token identifier.
            expires: From when on it may be forgotten.

        Returns:
            False if it is remembered already: somebody sends it again.
        """
        ...


class DidIdentity:
    """Makes our tokens and checks those of others.

    A token is used up when `verify` accepts it; one that `identify` accepts is
    used up by the transaction that acts on it.

    Args:
        did: Our own name; the only audience that we accept.
        token_key: Signs our tokens; its public key is `#tokens` in our DID document.
        egress: Reads DID documents.
        clock: Tells the time, with a time zone.
        used_tokens: Remembers tokens.
        own_document: Our own DID document, so that we need not fetch it.
        token_method: Identifier of the token key; `#tokens` unless it was replaced.
        loopback_http: Read the documents of `did:web:localhost…` without TLS;
            for demonstrations.
    """

    def __init__(
        self,
        *,
        did: str,
        token_key: Ed25519PrivateKey,
        egress: EgressClient,
        clock: Callable[[], datetime],
        used_tokens: UsedTokens,
        own_document: DidDocument | None = None,
        token_method: str | None = None,
        loopback_http: bool = False,
    ) -> None:
        self._did = did
        self._method = token_method or did + TOKENS
        self._key = OKPKey.import_key(
            token_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self._egress = egress
        self._clock = clock
        self._used = used_tokens
        self._own = own_document
        self._loopback_http = loopback_http
        self._cached: dict[str, tuple[datetime, DidDocument]] = {}
        self._reading: dict[str, asyncio.Task[DidDocument]] = {}

    async def authorization(self, audience: str) -> str:
        """The value of an Authorization header that identifies us to one participant, once.

        Args:
            audience: The participant's DID.
        """
        now = self._clock()
        claims = {
            "iss": self._did,
            "sub": self._did,
            "aud": audience,
            "jti": secrets.token_urlsafe(24),
            "iat": int(now.timestamp()),
            "exp": int((now + _LIFETIME).timestamp()),
        }
        header = {"alg": "EdDSA", "kid": self._method}
        return "Bearer " + jwt.encode(header, claims, self._key, registry=_REGISTRY)

    async def verify(self, header: str | None) -> Participant:
        """Find out who sent a request, and use its token up.

        Raises:
            IdentityUnavailableError: The issuer's DID document could not be read now.
            IdentityRefusedError: Names the step of `identify` that failed, or says that the token was used
                before.
        """
        participant = await self.identify(header)
        token = participant.token
        if token is not None and not await self._used.remember(token.identifier, token.expires):
            raise TokenUsedError(participant.did)
        return replace(participant, token=None)

    async def identify(self, header: str | None) -> Participant:
        """Find out who sent a request; its token is used up by whoever acts on it.

        1. The header carries one bearer token of bounded size and three parts.
        2. Its header names an algorithm that we allow and a key, and nothing that
           would send us elsewhere for a key.
        3. Its claims name one issuer that is also the subject, us as the only
           audience, and a lifetime of at most 5 minutes that includes now.
        4. The key belongs to the issuer and is listed under `capabilityInvocation`
           in the issuer's DID document.
        5. The signature fits.

        That the token was not used before is the sixth step: `verify` takes it
        at once, a message in the transaction in which it takes effect.

        Args:
            header: Value of the Authorization header; None where there was none.

        Raises:
            IdentityUnavailableError: The issuer's DID document could not be read now.
            IdentityRefusedError: Names the step that failed.
        """
        token = _bearer(header)
        alg, kid, claims = _read(token)
        issuer, expires = self._check(claims)
        if not kid.startswith(issuer + "#"):
            raise IdentityRefusedError(f"The key {kid!r} does not belong to the issuer {issuer!r}.")
        document = await self._document_with(issuer, kid)
        _verify_signature(token, alg, _token_key(document, kid))
        identifier = hashlib.sha256(canonical([issuer, claims["jti"]])).hexdigest()
        return Participant(issuer, document, token=UsedToken(identifier, expires + _SKEW))

    def _check(self, claims: JsonObject) -> tuple[str, datetime]:
        """Step 3 of `verify`: the issuer, and when the token expires."""
        issuer = _identifier(claims, "iss")
        _identifier(claims, "jti")
        if claims.get("sub") != issuer:
            raise IdentityRefusedError(f"The token's subject is {claims.get('sub')!r}, not its issuer.")
        if claims.get("aud") != self._did:
            raise IdentityRefusedError(f"The token is for {claims.get('aud')!r}, not for {self._did!r}.")
        now, issued, expires = self._clock(), _moment(claims, "iat"), _moment(claims, "exp")
        if expires - issued > _LIFETIME:
            raise IdentityRefusedError(f"The token lives longer than {_LIFETIME}.")
        if max(issued, _moment(claims, "nbf") if "nbf" in claims else issued) > now + _SKEW:
            raise IdentityRefusedError("The token is from the future; check both clocks.")
        if expires <= now - _SKEW:
            raise IdentityRefusedError(f"The token expired at {expires.isoformat()}.")
        return issuer, expires

    async def document(self, did: str) -> DidDocument:
        """A participant's DID document, at most 5 minutes old.

        Raises:
            IdentityUnavailableError: It could not be read now.
            IdentityRefusedError: The name or the document is unacceptable.
        """
        if self._own is not None and did == self._did:
            return self._own
        read, document = self._cached.get(did, (None, None))
        if read is not None and document is not None and self._clock() - read < _CACHED_FOR:
            return document
        # Requests that arrive together share one reading, so that they cannot be used to flood the host.
        task = self._reading.get(did)
        if task is None:
            task = self._reading[did] = asyncio.create_task(self._fetch(did))
            task.add_done_callback(lambda _: self._reading.pop(did, None))
        document = await asyncio.shield(task)
        self._cached.pop(did, None)
        self._cached[did] = (self._clock(), document)
        if len(self._cached) > _MOST_CACHED:
            del self._cached[next(iter(self._cached))]
        return document

    async def _document_with(self, did: str, method: str) -> DidDocument:
        """A participant's DID document; read again where it lacks a key, which may be newer than our copy."""
        document = await self.document(did)
        read, _ = self._cached.get(did, (None, None))
        if method not in document.methods and read is not None and self._clock() - read >= _READ_AGAIN_AFTER:
            del self._cached[did]
            return await self.document(did)
        return document

    async def _fetch(self, did: str) -> DidDocument:
        try:
            url = did_url(did, loopback_http=self._loopback_http)
            answer = await self._egress.request(
                "GET",
                url,
                headers={"Accept": "application/did+json, application/json"},
                timeout=timedelta(seconds=5),
                max_bytes=_MOST_DOCUMENT_BYTES,
            )
            if answer.status != 200:  # noqa: PLR2004 - the one status that carries a document
                raise IdentityUnavailableError(f"{url} answered with status {answer.status}.")
            content = loads(answer.content, max_bytes=_MOST_DOCUMENT_BYTES)
            if not isinstance(content, dict):
                raise IdentityRefusedError(f"{url} is not a JSON object.")
            return parse_did_document(content, did=did)
        except EgressFailedError as error:
            kind = IdentityUnavailableError if error.retryable else IdentityRefusedError
            raise kind(f"The DID document of {did} cannot be read: {error}") from error
        except (EgressRefusedError, DidError, MalformedJsonError) as error:
            raise IdentityRefusedError(f"The DID document of {did} is not accepted: {error}") from error


class _Registry(jws.JWSRegistry):
    """The algorithms of our tokens, `EdDSA` among them, which joserfc allows only with a warning.

    RFC 9864 prefers the name `Ed25519`; DCP peers still write `EdDSA`.
    """

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in _ALGORITHMS:
            raise IdentityRefusedError(f"The token's algorithm {name!r} is not one of {_ALGORITHMS}.")
        return self.algorithms[name]


_REGISTRY: Final = _Registry()


def _bearer(header: str | None) -> str:
    """Step 1 of `verify`."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer":
        raise IdentityRefusedError("The request carries no bearer token.")
    if len(token) > _MOST_TOKEN_CHARACTERS:
        raise IdentityRefusedError(f"The token is longer than {_MOST_TOKEN_CHARACTERS} characters.")
    return token


def _read(token: str) -> tuple[str, str, JsonObject]:
    """Step 2 of `verify`: algorithm, key name and claims, of which none is proven yet."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 7515, section 7.1
        raise IdentityRefusedError("The token is not a signed token of three parts.")
    header, claims = _segment(parts[0]), _segment(parts[1])
    unknown = sorted(set(header) - _HEADER_MEMBERS)
    if unknown:
        raise IdentityRefusedError(f"The token's header has members that we refuse: {', '.join(unknown)}.")
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(alg, str) or alg not in _ALGORITHMS:
        raise IdentityRefusedError(f"The token's algorithm {alg!r} is not one of {_ALGORITHMS}.")
    if not isinstance(kid, str) or len(kid) > _MOST_IDENTIFIER_CHARACTERS:
        raise IdentityRefusedError("The token's header names no key (kid).")
    if not isinstance(typ, str) or typ.upper() != "JWT":
        raise IdentityRefusedError(f"The token is of type {typ!r}, not JWT.")
    return alg, kid, claims


def _segment(text: str) -> JsonObject:
    try:
        value = loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)), max_depth=8)
    except (ValueError, MalformedJsonError) as error:
        raise IdentityRefusedError(f"A part of the token is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise IdentityRefusedError("A part of the token is not a JSON object.")
    return value


def _identifier(claims: JsonObject, name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_IDENTIFIER_CHARACTERS:
        raise IdentityRefusedError(f"The token's {name} is missing, empty or too long.")
    return value


def _moment(claims: JsonObject, name: str) -> datetime:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise IdentityRefusedError(f"The token's {name} is missing or not a whole number of seconds.")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise IdentityRefusedError(f"The token's {name} is not a time.") from error


def _token_key(document: DidDocument, kid: str) -> PublicKey:
    try:
        return document.key(kid, "capabilityInvocation")
    except DidError as error:
        raise IdentityRefusedError(str(error)) from error


@functools.lru_cache(maxsize=_MOST_CACHED)
def _imported(pem: bytes, *, is_edwards: bool) -> OKPKey | ECKey:
    return OKPKey.import_key(pem) if is_edwards else ECKey.import_key(pem)


def _verify_signature(token: str, alg: str, key: PublicKey) -> None:
    """Steps 4 and 5 of `verify`: the key's kind decides the algorithm, not the token."""
    is_edwards = isinstance(key, Ed25519PublicKey)
    if is_edwards != (alg in _EDWARDS):
        raise IdentityRefusedError(f"The token's algorithm {alg!r} does not fit the issuer's key.")
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        jws.deserialize_compact(token, _imported(pem, is_edwards=is_edwards), registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise IdentityRefusedError(f"The token's signature does not fit: {error}") from error
