"""Signed JSON Web Tokens: read before they are trusted, verified with keys of DID documents, and made.

The key's kind decides which algorithm is acceptable, never the token; a header
that would send us elsewhere for a key is refused.

Source:
    RFC 7515, RFC 7519, RFC 8725 (JWT best current practices).
"""

import functools
from base64 import urlsafe_b64decode
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

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

from connector.evidence.multikey import PublicKey
from schemas.strict_json import JsonObject, MalformedJsonError, loads

PLAIN: Final = frozenset({"jwt"})
"""The type of a token that says nothing more about itself, in lower case."""
_MOST_KEYS: Final = 1_000
_MOST_IDENTIFIER_CHARACTERS: Final = 256
_HEADER_MEMBERS: Final = frozenset({"alg", "kid", "typ"})
_EDWARDS: Final = ("EdDSA", "Ed25519")
_ALGORITHMS: Final = (*_EDWARDS, "ES256")


class JwtRefusedError(Exception):
    """A token is not one that we accept; the sentence is for our log or for who handed it in."""


@dataclass(frozen=True, slots=True)
class UnprovenJwt:
    """What a token says, of which nothing is proven yet.

    Attributes:
        compact: The token as it was sent.
        alg: The algorithm that it names; one of those that we allow.
        kid: The key that it names.
        claims: What it states.
    """

    compact: str
    alg: str
    kid: str
    claims: JsonObject


def read_jwt(
    compact: str,
    *,
    most_characters: int,
    types: Collection[str] = PLAIN,
    members: Collection[str] = (),
    most_depth: int = 8,
) -> UnprovenJwt:
    """Read a token without believing it.

    Args:
        compact: The token.
        most_characters: How long it may be.
        types: The types that it may have, in lower case; one that states none is a plain one.
        members: What its header may have beside algorithm, key and type.
        most_depth: How deep its claims may be nested.

    Raises:
        JwtRefusedError: It is too long, malformed, of another type, names no key, an algorithm
            that we do not allow, or something in its header that we refuse.
    """
    if len(compact) > most_characters:
        raise JwtRefusedError(f"The token is longer than {most_characters} characters.")
    parts = compact.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 7515, section 7.1
        raise JwtRefusedError("The token is not a signed token of three parts.")
    header, claims = _segment(parts[0], 8), _segment(parts[1], most_depth)
    unknown = sorted(set(header) - _HEADER_MEMBERS - set(members))
    if unknown:
        raise JwtRefusedError(f"The token's header has members that we refuse: {', '.join(unknown)}.")
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(alg, str) or alg not in _ALGORITHMS:
        raise JwtRefusedError(f"The token's algorithm {alg!r} is not one of {_ALGORITHMS}.")
    if not isinstance(kid, str) or len(kid) > _MOST_IDENTIFIER_CHARACTERS:
        raise JwtRefusedError("The token's header names no key (kid).")
    if not isinstance(typ, str) or typ.lower() not in types:
        expected = " or ".join(name.upper() if name in PLAIN else name for name in sorted(types))
        raise JwtRefusedError(f"The token is of type {typ!r}, not {expected}.")
    return UnprovenJwt(compact, alg, kid, claims)


def verify_jwt(token: UnprovenJwt, key: PublicKey) -> None:
    """Check a token's signature; the key's kind decides the algorithm, not the token.

    Raises:
        JwtRefusedError: The algorithm does not fit the key, or the signature does not fit the token.
    """
    is_edwards = isinstance(key, Ed25519PublicKey)
    if is_edwards != (token.alg in _EDWARDS):
        raise JwtRefusedError(f"The token's algorithm {token.alg!r} does not fit the issuer's key.")
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        jws.deserialize_compact(token.compact, _imported(pem, is_edwards=is_edwards), registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise JwtRefusedError(f"The token's signature does not fit: {error}") from error


class JwtSigner:
    """Makes tokens with one of our keys.

    Args:
        key: The key.
        method: What our DID document calls it.
    """

    def __init__(self, key: Ed25519PrivateKey, method: str) -> None:
        self._key = OKPKey.import_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self._method = method

    def sign(self, claims: JsonObject, *, typ: str | None = None) -> str:
        """Make a token.

        Args:
            claims: What it states.
            typ: Its type; a plain token without one.
        """
        header = {"alg": "EdDSA", "kid": self._method, **({} if typ is None else {"typ": typ})}
        return jwt.encode(header, claims, self._key, registry=_REGISTRY)


def require_key_of(token: UnprovenJwt, issuer: str) -> None:
    """Refuse a token that names somebody else's key.

    Raises:
        JwtRefusedError: The key does not belong to the issuer.
    """
    if not token.kid.startswith(issuer + "#"):
        raise JwtRefusedError(f"The key {token.kid!r} does not belong to the issuer {issuer!r}.")


def identifier_of(claims: JsonObject, name: str) -> str:
    """A claim that must be a name of bounded length.

    Raises:
        JwtRefusedError: It is not.
    """
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_IDENTIFIER_CHARACTERS:
        raise JwtRefusedError(f"The token's {name} is missing, empty or too long.")
    return value


def moment_of(claims: JsonObject, name: str) -> datetime:
    """A claim that must be a time in whole seconds.

    Raises:
        JwtRefusedError: It is not.
    """
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise JwtRefusedError(f"The token's {name} is missing or not a whole number of seconds.")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise JwtRefusedError(f"The token's {name} is not a time.") from error


class _Registry(jws.JWSRegistry):
    """The algorithms of our tokens, `EdDSA` among them, which joserfc allows only with a warning.

    RFC 9864 prefers the name `Ed25519`; DCP peers still write `EdDSA`.
    """

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in _ALGORITHMS:
            raise JwtRefusedError(f"The token's algorithm {name!r} is not one of {_ALGORITHMS}.")
        return self.algorithms[name]


_REGISTRY: Final = _Registry()


def _segment(text: str, most_depth: int) -> JsonObject:
    try:
        value = loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)), max_depth=most_depth)
    except (ValueError, MalformedJsonError) as error:
        raise JwtRefusedError(f"A part of the token is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise JwtRefusedError("A part of the token is not a JSON object.")
    return value


@functools.lru_cache(maxsize=_MOST_KEYS)
def _imported(pem: bytes, *, is_edwards: bool) -> OKPKey | ECKey:
    return OKPKey.import_key(pem) if is_edwards else ECKey.import_key(pem)
