"""Private keys in files: PKCS#8 PEM, readable by their owner only."""

import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from schemas.errors import WordedError, in_english

_MOST_BYTES: Final = 10_000
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeyFileError(WordedError):
    """A key file cannot be used; the sentence names the remedy."""

    german = "Eine Schlüsseldatei kann nicht benutzt werden"


def create_key(path: Path) -> Ed25519PrivateKey:
    """Make a new Ed25519 key and write it to a new file, durably.

    Args:
        path: A file that must not exist yet, in a directory that does.

    Raises:
        KeyFileError: The file exists, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        # The mode is set when the file is made: there is no moment at which others can read it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise KeyFileError(
            f"{path} exists already; a key is never overwritten. Move it away first.",
            f"{path} gibt es schon; ein Schlüssel wird nie überschrieben. Legen Sie die Datei beiseite.",
        ) from error
    except OSError as error:
        raise KeyFileError(
            f"The key file {path} cannot be written: {error.strerror}.",
            f"Die Schlüsseldatei {path} kann nicht geschrieben werden {in_english(error.strerror)}.",
        ) from error
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read a private Ed25519 key.

    Raises:
        KeyFileError: The file is missing, readable by others, or holds no
            unencrypted Ed25519 key in PKCS#8 PEM.
    """
    try:
        with path.open("rb") as file:
            # Asked of the open file, so that it cannot be exchanged in between.
            _require_private(path, os.fstat(file.fileno()))
            data = file.read(_MOST_BYTES)
    except FileNotFoundError as error:
        raise KeyFileError(
            f"The key file {path} is missing. Restore it, or run `allmende init`.",
            f"Die Schlüsseldatei {path} fehlt. Stellen Sie sie wieder her, oder nutzen Sie `allmende init`.",
        ) from error
    except OSError as error:
        raise KeyFileError(
            f"The key file {path} cannot be read: {error.strerror}.",
            f"Die Schlüsseldatei {path} kann nicht gelesen werden {in_english(error.strerror)}.",
        ) from error
    return _parsed(path, data)


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(
            f"The key file {path} is not a regular file.",
            f"Die Schlüsseldatei {path} ist keine gewöhnliche Datei.",
        )
    if status.st_mode & _OTHERS:
        raise KeyFileError(
            f"The key file {path} can be read or changed by others (mode {stat.S_IMODE(status.st_mode):o})."
            f" Run: chmod 600 {path}",
            f"Die Schlüsseldatei {path} können andere lesen oder ändern (Modus "
            f"{stat.S_IMODE(status.st_mode):o}). Rufen Sie auf: chmod 600 {path}",
        )


def _parsed(path: Path, data: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError as error:
        raise KeyFileError(
            f"The key file {path} is encrypted. Store it decrypted: openssl pkey -in {path} -out NEW_FILE",
            f"Die Schlüsseldatei {path} ist verschlüsselt. Legen Sie sie entschlüsselt ab: "
            f"openssl pkey -in {path} -out NEUE_DATEI",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"The key file {path} holds no PKCS#8 PEM key. Make one: openssl genpkey -algorithm ed25519",
            f"Die Schlüsseldatei {path} enthält keinen Schlüssel in PKCS#8 PEM. "
            "Machen Sie einen: openssl genpkey -algorithm ed25519",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(
            f"The key in {path} is not an Ed25519 key. Make one: openssl genpkey -algorithm ed25519",
            f"Der Schlüssel in {path} ist kein Ed25519-Schlüssel. "
            "Machen Sie einen: openssl genpkey -algorithm ed25519",
        )
    return key
