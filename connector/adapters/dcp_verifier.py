"""Asks partners for their credentials, and proves presentations, credentials and lists of states.

Source:
    Eclipse Decentralized Claims Protocol 1.0, section 5 (verifiable presentation protocol).
"""

import json
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from connector.adapters.egress import EgressClient, EgressFailedError, EgressRefusedError, Response
from connector.adapters.jose_tokens import JwtRefusedError, moment_of, read_jwt, require_key_of, verify_jwt
from connector.evidence.credentials import Credential, read_credential, read_presentation
from connector.evidence.did import DidDocument
from connector.evidence.errors import CredentialError, DidError
from connector.evidence.status_lists import StatusList, read_status_list
from connector.ports import CredentialsUnavailableError, IdentityRefusedError, IdentityUnavailableError
from schemas.dcp import QUERY_PATH, TYPE_SCOPE, presentation_query, presentations_in
from schemas.errors import SchemaError
from schemas.strict_json import JsonObject, MalformedJsonError, loads

_PRESENTATION_TYPES: Final = frozenset({"jwt", "vp+jwt"})
_CREDENTIAL_TYPES: Final = frozenset({"jwt", "vc+jwt", "vc+ld+jwt"})
_CONTENT_TYPE: Final = ("cty",)
_MOST_PRESENTATION: Final = 500_000
_MOST_CREDENTIAL: Final = 65_536
_MOST_LIST: Final = 1_000_000
_MOST_DEPTH: Final = 16
_MOST_LISTS: Final = 100
_LIST_CACHED_FOR: Final = timedelta(minutes=1)
_SKEW: Final = timedelta(seconds=30)
_TIMEOUT: Final = timedelta(seconds=5)
_OK: Final = 200
_FAILED: Final = 500


class Introduction(Protocol):
    """Who we are, and who others are."""

    def carrying(self, token: str | None, audience: str) -> str:
        """The value of an Authorization header with an access token in it."""
        ...

    async def document(self, did: str) -> DidDocument:
        """A participant's DID document."""
        ...


class DcpVerifier:
    """Proves credentials; implements `connector.ports.CredentialVerifier`.

    Args:
        did: Our own DID: whom presentations must be for.
        identity: Says who we are, and finds keys.
        egress: The one way out.
        clock: Tells the time, with a time zone.
    """

    def __init__(
        self, *, did: str, identity: Introduction, egress: EgressClient, clock: Callable[[], datetime]
    ) -> None:
        self._did = did
        self._identity = identity
        self._egress = egress
        self._clock = clock
        self._lists: dict[str, tuple[datetime, StatusList]] = {}

    async def ask(self, holder: DidDocument, token: str, kinds: Sequence[str]) -> tuple[str, ...]:
        """Have a partner show its credentials.

        Raises:
            CredentialError: What the partner answered is no presentation of its own for us.
            CredentialsUnavailableError: It did not answer.
        """
        service = holder.endpoint("CredentialService")
        if service is None:
            raise CredentialError(f"The DID document of {holder.did} names no CredentialService.")
        answer = await self._request(
            "POST",
            service.rstrip("/") + QUERY_PATH,
            content=json.dumps(presentation_query([TYPE_SCOPE + kind for kind in kinds])).encode(),
            headers={
                "authorization": self._identity.carrying(token, holder.did),
                "content-type": "application/json",
            },
            most=_MOST_PRESENTATION,
        )
        try:
            shown = presentations_in(loads(answer.content, max_bytes=_MOST_PRESENTATION))
        except (MalformedJsonError, SchemaError) as problem:
            raise CredentialError(f"The answer of {holder.did} holds no presentation: {problem}") from problem
        return tuple(credential for one in shown for credential in self._presented(one, holder))

    def _presented(self, token: str, holder: DidDocument) -> tuple[str, ...]:
        """The credentials of one presentation, once it is proven that its holder shows them to us, now.

        1. It names a key of the holder, listed under `authentication`, and its signature fits.
        2. The holder has issued it, for us alone.
        3. It has not expired, and is not from the future.
        """
        try:
            unproven = read_jwt(
                token,
                most_characters=_MOST_PRESENTATION,
                types=_PRESENTATION_TYPES,
                members=_CONTENT_TYPE,
                most_depth=_MOST_DEPTH,
            )
            require_key_of(unproven, holder.did)
            verify_jwt(unproven, holder.key(unproven.kid, "authentication", at=self._clock()))
            claims = unproven.claims
            if claims.get("iss") != holder.did:
                raise CredentialError(
                    f"The presentation is from {claims.get('iss')!r}, not from {holder.did}."
                )
            if claims.get("aud") not in (self._did, [self._did]):
                raise CredentialError(f"The presentation is for {claims.get('aud')!r}, not for us.")
            self._require_current(claims)
        except (JwtRefusedError, DidError) as refusal:
            raise CredentialError(f"The presentation of {holder.did} is refused: {refusal}") from refusal
        return read_presentation(claims)

    def _require_current(self, claims: JsonObject) -> None:
        now = self._clock()
        if moment_of(claims, "exp") <= now - _SKEW:
            raise CredentialError("The presentation has expired.")
        begins = [moment_of(claims, name) for name in ("iat", "nbf") if name in claims]
        if any(begin > now + _SKEW for begin in begins):
            raise CredentialError("The presentation is from the future; check both clocks.")

    async def proven(self, token: str, issuers: Collection[str] | None = None) -> Credential:
        """A credential whose signature is its issuer's.

        Raises:
            CredentialError: It is malformed, of another issuer, or its signature does not fit.
            CredentialsUnavailableError: The issuer's keys could not be read.
        """
        return await self._proven(token, issuers, _MOST_CREDENTIAL)

    async def _proven(self, token: str, issuers: Collection[str] | None, most: int) -> Credential:
        try:
            unproven = read_jwt(
                token,
                most_characters=most,
                types=_CREDENTIAL_TYPES,
                members=_CONTENT_TYPE,
                most_depth=_MOST_DEPTH,
            )
            credential = read_credential(unproven.claims)
            if issuers is not None and credential.issuer not in issuers:
                issuer = credential.issuer
                raise CredentialError(
                    f"Nobody here trusts {issuer} as an issuer.",
                    f"{issuer} gilt hier nicht als Aussteller (trusted_issuers).",
                )
            require_key_of(unproven, credential.issuer)
            document = await self._document(credential.issuer)
            verify_jwt(
                unproven,
                document.key(unproven.kid, "assertionMethod", at=credential.valid_from or self._clock()),
            )
        except (JwtRefusedError, DidError) as refusal:
            raise CredentialError(f"The credential is refused: {refusal}") from refusal
        return credential

    async def _document(self, did: str) -> DidDocument:
        try:
            return await self._identity.document(did)
        except IdentityUnavailableError as problem:
            raise CredentialsUnavailableError(str(problem)) from problem
        except IdentityRefusedError as problem:
            raise CredentialError(str(problem)) from problem

    async def is_taken_back(self, credential: Credential) -> bool:
        """Whether the issuer has taken a credential back, for good or for a time.

        Raises:
            CredentialError: Where it should stand is no list of the issuer's.
            CredentialsUnavailableError: It could not be read.
        """
        for status in credential.statuses:
            states = await self._list(status.address, credential.issuer)
            if states.is_set(status.index, status.purpose):
                return True
        return False

    async def _list(self, address: str, issuer: str) -> StatusList:
        """A list of states, at most a minute old; the whole list, so that nobody learns whom it is about."""
        read, known = self._lists.get(address, (None, None))
        if read is not None and known is not None and self._clock() - read < _LIST_CACHED_FOR:
            states = known
        else:
            answer = await self._request("GET", address, most=_MOST_LIST)
            credential = await self._proven(
                answer.content.decode("ascii", "replace").strip(), [issuer], _MOST_LIST
            )
            credential.require_current(self._clock())
            states = read_status_list(credential)
            self._keep(address, states)
        if states.issuer != issuer:
            raise CredentialError(
                f"The list of states {address} is kept by {states.issuer}, not by {issuer}."
            )
        return states

    def _keep(self, address: str, states: StatusList) -> None:
        self._lists.pop(address, None)
        self._lists[address] = (self._clock(), states)
        if len(self._lists) > _MOST_LISTS:
            del self._lists[next(iter(self._lists))]

    async def _request(
        self,
        method: str,
        url: str,
        *,
        most: int,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        try:
            answer = await self._egress.request(
                method, url, headers=headers or {}, content=content, timeout=_TIMEOUT, max_bytes=most
            )
        except EgressFailedError as failure:
            kind = CredentialsUnavailableError if failure.retryable else CredentialError
            raise kind(str(failure)) from failure
        except EgressRefusedError as refusal:
            raise CredentialError(str(refusal)) from refusal
        if answer.status != _OK:
            kind = CredentialsUnavailableError if answer.status >= _FAILED else CredentialError
            raise kind(f"{url} answered with status {answer.status}.")
        return answer
