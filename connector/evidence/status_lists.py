"""Lists of states: one bit says whether a credential has been taken back.

Source:
    W3C Bitstring Status List 1.0; W3C Status List 2021 (working draft of 2023-04-27), which
    encodes the same bits without a multibase prefix.
"""

import gzip
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from connector.evidence.credentials import CREDENTIALS_CONTEXT, VERIFIABLE_CREDENTIAL, Credential
from connector.evidence.errors import CredentialError
from schemas.strict_json import JsonObject

LEAST_ENTRIES: Final = 131_072
"""How many credentials a list covers at least, so that asking for one tells little about whom it is for."""
_MOST_BYTES: Final = 2_097_152
_KINDS: Final = frozenset({"BitstringStatusListCredential", "StatusList2021Credential"})
_GZIP: Final = 31


@dataclass(frozen=True, slots=True)
class StatusList:
    """Whether credentials have been taken back, by their place in the list.

    Attributes:
        issuer: DID of who keeps the list.
        purposes: What a set bit says: `revocation` or `suspension`.
        bits: Eight entries a byte, the first one in the highest bit.
    """

    issuer: str
    purposes: tuple[str, ...]
    bits: bytes

    def is_set(self, index: int, purpose: str) -> bool:
        """Tell whether a credential has been taken back.

        Raises:
            CredentialError: The list is about something else, or has no such place.
        """
        if purpose not in self.purposes:
            raise CredentialError(f"The list of states is not about {purpose}.")
        if not 0 <= index < len(self.bits) * 8:
            raise CredentialError(f"The list of states has no place {index}.")
        return bool(self.bits[index // 8] & (0x80 >> index % 8))


def read_status_list(credential: Credential) -> StatusList:
    """Read a list of states out of the credential that it is.

    Raises:
        CredentialError: It is no such list, malformed, too small or too large.
    """
    if _KINDS.isdisjoint(credential.types):
        raise CredentialError("The credential's state is not in a list of states, but in something else.")
    purpose = credential.claims.get("statusPurpose")
    purposes = purpose if isinstance(purpose, list) else [purpose]
    bits = _unpacked(credential.claims.get("encodedList"))
    if len(bits) * 8 < LEAST_ENTRIES:
        raise CredentialError(f"The list of states has fewer than {LEAST_ENTRIES} places.")
    return StatusList(credential.issuer, tuple(str(one) for one in purposes), bits)


def _unpacked(encoded: object) -> bytes:
    """The bits of a list; a small text that unpacks to a huge one is cut off and refused."""
    if not isinstance(encoded, str):
        raise CredentialError("The list of states holds no list.")
    # The newer form begins with its multibase prefix, the older one with the letters of a gzip header.
    digits = encoded.removeprefix("u")
    try:
        packed = urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
        unpacking = zlib.decompressobj(_GZIP)
        bits = unpacking.decompress(packed, _MOST_BYTES + 1)
    except (ValueError, zlib.error) as error:
        raise CredentialError(
            "The list of states is not packed as it should be (base64url of gzip)."
        ) from error
    if len(bits) > _MOST_BYTES or not unpacking.eof:
        raise CredentialError(f"The list of states is incomplete, or longer than {_MOST_BYTES} bytes.")
    return bits


def write_status_list(*, address: str, issuer: str, purpose: str, taken_back: Collection[int]) -> JsonObject:
    """Write a list of states as a credential.

    Args:
        address: Where it lies; also its identifier.
        issuer: DID of who keeps it.
        purpose: What a set bit says.
        taken_back: The places whose bits are set.
    """
    bits = bytearray(max(LEAST_ENTRIES // 8, max(taken_back, default=0) // 8 + 1))
    for index in taken_back:
        bits[index // 8] |= 0x80 >> index % 8
    packed = urlsafe_b64encode(gzip.compress(bytes(bits), mtime=0)).decode().rstrip("=")
    return {
        "@context": [CREDENTIALS_CONTEXT],
        "id": address,
        "type": [VERIFIABLE_CREDENTIAL, "BitstringStatusListCredential"],
        "issuer": issuer,
        "credentialSubject": {
            "id": f"{address}#list",
            "type": "BitstringStatusList",
            "statusPurpose": purpose,
            "encodedList": f"u{packed}",
        },
    }
