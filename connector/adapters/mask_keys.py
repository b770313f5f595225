"""The keys of masks that hash: one secret per connector, one key per agreement."""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES: Final = 32
_KEPT_IN: Final = "mask.secret"
_PURPOSE: Final = b"allmende column mask v1\0"


def agreement_key(secret: bytes, agreement: str) -> bytes:
    """Derive the key with which an agreement's columns are hashed.

    Two agreements have different keys, so hashes cannot be joined across them.

    Args:
        secret: The connector's own secret.
        agreement: IRI of the agreement.

    Source:
        RFC 5869.
    """
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE + agreement.encode()).derive(
        secret
    )


def mask_secret(directory: Path) -> bytes:
    """Give the connector's own secret for masks, made when it is first asked for.

    Args:
        directory: Where it is kept, in a file that only the connector's user can read.

    Raises:
        OSError: It can neither be read nor made.
    """
    path = directory / _KEPT_IN
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
    return path.read_bytes()
