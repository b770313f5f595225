"""Who calls, and who we are: self-issued tokens and DID documents.

A request carries a token that its sender signed; the key is in the sender's DID
document, which we read from the sender's own host.

Source:
    Eclipse Decentralized Claims Protocol 1.0, section 4.3 (self-issued ID tokens);
    RFC 7519, RFC 8725 (JWT best current practices).
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connector.adapters.egress import EgressClient, EgressFailedError, EgressRefusedError
from connector.adapters.jose_tokens import (
    JwtRefusedError,
    JwtSigner,
    identifier_of,
    moment_of,
    read_jwt,
    require_key_of,
    verify_jwt,
)
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
        access: Makes what lets somebody see our credentials; None where there is nothing to see.
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
        access: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._did = did
        self._signer = JwtSigner(token_key, token_method or did + TOKENS)
        self._egress = egress
        self._clock = clock
        self._used = used_tokens
        self._own = own_document
        self._loopback_http = loopback_http
        self._access = access
        self._cached: dict[str, tuple[datetime, DidDocument]] = {}
        self._reading: dict[str, asyncio.Task[DidDocument]] = {}

    async def authorization(self, audience: str) -> str:
        """The value of an Authorization header that identifies us to one participant, once.

        Args:
            audience: The participant's DID.
        """
        return self.carrying(self._access(audience), audience)

    def carrying(self, token: str | None, audience: str) -> str:
        """The same header with an access token in it: ours to our credentials, or theirs to their own.

        Args:
            token: The access token; None for a header without.
            audience: The participant's DID.

        Source:
            DCP 1.0, section 4.3.1 (`token`).
        """
        now = self._clock()
        claims: JsonObject = {
            "iss": self._did,
            "sub": self._did,
            "aud": audience,
            "jti": secrets.token_urlsafe(24),
            "iat": int(now.timestamp()),
            "exp": int((now + _LIFETIME).timestamp()),
        }
        return "Bearer " + self._signer.sign(claims if token is None else {**claims, "token": token})

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
        try:
            token = read_jwt(_bearer(header), most_characters=_MOST_TOKEN_CHARACTERS)
            claims = token.claims
            issuer, expires = self._check(claims)
            require_key_of(token, issuer)
            document = await self._document_with(issuer, token.kid)
            verify_jwt(token, _token_key(document, token.kid))
        except JwtRefusedError as refusal:
            raise IdentityRefusedError(str(refusal)) from refusal
        identifier = hashlib.sha256(canonical([issuer, claims["jti"]])).hexdigest()
        access = claims.get("token")
        return Participant(
            issuer,
            document,
            token=UsedToken(identifier, expires + _SKEW),
            access_token=access if isinstance(access, str) else None,
        )

    def _check(self, claims: JsonObject) -> tuple[str, datetime]:
        """Step 3 of `identify`: the issuer, and when the token expires."""
        issuer = identifier_of(claims, "iss")
        identifier_of(claims, "jti")
        if claims.get("sub") != issuer:
            raise JwtRefusedError(f"The token's subject is {claims.get('sub')!r}, not its issuer.")
        if claims.get("aud") != self._did:
            raise JwtRefusedError(f"The token is for {claims.get('aud')!r}, not for {self._did!r}.")
        now, issued, expires = self._clock(), moment_of(claims, "iat"), moment_of(claims, "exp")
        if expires - issued > _LIFETIME:
            raise JwtRefusedError(f"The token lives longer than {_LIFETIME}.")
        if max(issued, moment_of(claims, "nbf") if "nbf" in claims else issued) > now + _SKEW:
            raise JwtRefusedError("The token is from the future; check both clocks.")
        if expires <= now - _SKEW:
            raise JwtRefusedError(f"The token expired at {expires.isoformat()}.")
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


def _bearer(header: str | None) -> str:
    """Step 1 of `identify`."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer":
        raise IdentityRefusedError("The request carries no bearer token.")
    return token


def _token_key(document: DidDocument, kid: str) -> PublicKey:
    try:
        return document.key(kid, "capabilityInvocation")
    except DidError as error:
        raise IdentityRefusedError(str(error)) from error
