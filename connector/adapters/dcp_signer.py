"""Signs presentations, credentials, and the access tokens by which partners may see our credentials.

An access token of ours is a token of its own type, so that none of our other
tokens opens our credentials, and names whom it is for: whoever else gets hold
of it sees nothing.

Source:
    Eclipse Decentralized Claims Protocol 1.0, sections 4.3.1 and 5.4.
"""

import secrets
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from connector.adapters.jose_tokens import JwtRefusedError, JwtSigner, moment_of, read_jwt, verify_jwt
from connector.ports import IdentityRefusedError
from schemas.strict_json import JsonObject

_ACCESS: Final = "allmende-credentials+jwt"
_LIFETIME: Final = timedelta(minutes=5)
_MOST_CHARACTERS: Final = 4_096


class DcpSigner:
    """Signs for one participant; implements `connector.ports.CredentialSigner`.

    Args:
        did: Our DID.
        tokens: Signs presentations and access tokens.
        tokens_method: What our DID document calls that key.
        statements: Signs the credentials that we issue.
        statements_method: What our DID document calls that key.
        clock: Tells the time, with a time zone.
    """

    def __init__(
        self,
        *,
        did: str,
        tokens: Ed25519PrivateKey,
        tokens_method: str,
        statements: Ed25519PrivateKey,
        statements_method: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._did = did
        self._tokens = JwtSigner(tokens, tokens_method)
        self._tokens_key: Ed25519PublicKey = tokens.public_key()
        self._statements = JwtSigner(statements, statements_method)
        self._clock = clock
        self._offered: tuple[str, ...] = ()

    def offer(self, kinds: Collection[str]) -> None:
        """Let partners see credentials of these types; none where there are none."""
        self._offered = tuple(sorted(kinds))

    def access(self, verifier: str) -> str | None:
        """An access token to our credentials for one verifier; None where there are none."""
        if not self._offered:
            return None
        return self._tokens.sign({**self._parties(verifier), "kinds": list(self._offered)}, typ=_ACCESS)

    def opened(self, token: str, verifier: str) -> frozenset[str]:
        """The types of credentials that an access token of ours lets somebody see.

        Raises:
            IdentityRefusedError: It is not ours, for somebody else, or expired.
        """
        try:
            unproven = read_jwt(token, most_characters=_MOST_CHARACTERS, types={_ACCESS})
            verify_jwt(unproven, self._tokens_key)
            claims = unproven.claims
            if claims.get("aud") != verifier:
                raise IdentityRefusedError(f"The access token is not for {verifier!r}.")
            if moment_of(claims, "exp") <= self._clock():
                raise IdentityRefusedError("The access token has expired.")
        except JwtRefusedError as refusal:
            raise IdentityRefusedError(f"The access token is not ours: {refusal}") from refusal
        kinds = claims.get("kinds")
        return frozenset(str(kind) for kind in kinds) if isinstance(kinds, list) else frozenset()

    def presentation(self, claims: JsonObject, verifier: str) -> str:
        """A presentation for one verifier, as a token.

        It has no subject, so that it cannot be taken for a token that identifies us.
        """
        return self._tokens.sign(
            {**claims, **self._parties(verifier)}, typ="JWT" if "vp" in claims else "vp+jwt"
        )

    def credential(self, claims: JsonObject) -> str:
        """A credential that we issue, as a token."""
        return self._statements.sign(claims, typ="vc+jwt")

    def _parties(self, audience: str) -> JsonObject:
        now = self._clock()
        return {
            "iss": self._did,
            "aud": audience,
            "jti": secrets.token_urlsafe(24),
            "iat": int(now.timestamp()),
            "exp": int((now + _LIFETIME).timestamp()),
        }
