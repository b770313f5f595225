"""Public keys and byte strings as multibase text.

Source:
    W3C Controlled Identifiers 1.0, sections 2.2.2 (Multikey) and 2.4 (Multibase).
"""

import hashlib
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from connector.evidence.errors import EvidenceError
from schemas.errors import in_english

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey
"""The keys that we verify with: Ed25519, and P-256 for tokens of other connectors."""

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ED25519: Final = b"\xed\x01"
_P256: Final = b"\x80\x24"
_MOST_CHARACTERS: Final = 256


def encode_base58(data: bytes) -> str:
    """Write bytes as base58btc multibase text: `z` and the digits of one big number."""
    number = int.from_bytes(data, "big")
    digits = ""
    while number:
        number, remainder = divmod(number, 58)
        digits = _ALPHABET[remainder] + digits
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "z" + "1" * zeros + digits


def decode_base58(text: str) -> bytes:
    """Read base58btc multibase text.

    Raises:
        EvidenceError: The text is not base58btc, or longer than any key or signature.
    """
    if not text.startswith("z") or len(text) > _MOST_CHARACTERS:
        raise EvidenceError(
            f"{text[:40]!r} is not base58btc multibase text (a 'z' and base58 digits).",
            f"{text[:40]!r} ist kein Multibase-Text in base58btc (ein „z“ und Ziffern zur Basis 58).",
        )
    number = 0
    for character in text[1:]:
        value = _ALPHABET.find(character)
        if value < 0:
            raise EvidenceError(
                f"{character!r} is not a base58 digit.", f"{character!r} ist keine Ziffer zur Basis 58."
            )
        number = number * 58 + value
    zeros = len(text) - 1 - len(text[1:].lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def encode_key(key: Ed25519PublicKey) -> str:
    """Write an Ed25519 public key as a Multikey, such as `z6Mk…`."""
    return encode_base58(_ED25519 + key.public_bytes_raw())


def decode_key(text: str) -> PublicKey:
    """Read a Multikey.

    Raises:
        EvidenceError: It is no well-formed Ed25519 or P-256 public key.
    """
    data = decode_base58(text)
    prefix, key = data[:2], data[2:]
    try:
        if prefix == _ED25519:
            return Ed25519PublicKey.from_public_bytes(key)
        if prefix == _P256:
            return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key)
    except ValueError as error:
        raise EvidenceError(
            f"The key {text!r} is malformed: {error}",
            f"Der Schlüssel {text!r} ist fehlerhaft {in_english(error)}.",
        ) from error
    raise EvidenceError(
        f"The key {text!r} is neither an Ed25519 nor a P-256 key.",
        f"Der Schlüssel {text!r} ist weder ein Ed25519- noch ein P-256-Schlüssel.",
    )


def fingerprint(key: PublicKey) -> str:
    """A short name of a key that two people can compare over the telephone.

    Returns:
        SHA-256 of the key's DER form (SubjectPublicKeyInfo), 64 lower-case
        hexadecimal digits in groups of 8: what `openssl pkey -pubin -outform
        DER | sha256sum` prints, with spaces.
    """
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digits = hashlib.sha256(der).hexdigest()
    return " ".join(digits[start : start + 8] for start in range(0, 64, 8))
