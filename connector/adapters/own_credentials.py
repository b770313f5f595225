"""Our own identity: keys in files, and the DID document that lists them.

The key in use for a purpose has the highest number: `contracts.pem`, then
`contracts-2.pem` and so on. `retired.json` lists the public keys that were given
up; that file decides which key is in use, so replacing it is the one moment at
which a rotation happens.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from connector.adapters.key_files import KeyFileError, create_key, load_key
from connector.evidence.did import (
    CONTRACTS,
    TOKENS,
    DidDocument,
    RetiredKey,
    VerificationMethod,
    build_did_document,
    parse_did_document,
)
from connector.evidence.documents import mapping, mappings, moment_of, text
from connector.evidence.errors import EvidenceError
from connector.evidence.multikey import decode_key, encode_key, fingerprint
from connector.evidence.proofs import add_proof, sign
from connector.evidence.succession import succession_statement
from schemas.errors import in_english
from schemas.strict_json import JsonObject, JsonValue, MalformedJsonError, loads

KEY_DIRECTORY = "keys"
CREDENTIALS_PATH: Final = "/credentials"
"""Where our credentials are asked for, below the address of the public listener."""
CONTRACTS_KEY = "contracts.pem"
TOKENS_KEY = "tokens.pem"
RETIRED_KEYS: Final = "retired.json"
Purpose = Literal["contracts", "tokens"]
_FRAGMENTS: Final[Mapping[Purpose, str]] = {"contracts": CONTRACTS, "tokens": TOKENS}


@dataclass(frozen=True, slots=True)
class OwnCredentials:
    """Who we are, and what we sign with; implements `connector.ports.Credentials`.

    Attributes:
        did: Our DID.
        document: Our DID document.
        verification_method: Identifier of the key that signs statements.
        contracts_key: That key.
        tokens_key: The key that signs tokens.
        tokens_method: Its identifier.
    """

    did: str
    document: DidDocument
    verification_method: str
    contracts_key: Ed25519PrivateKey
    tokens_key: Ed25519PrivateKey
    tokens_method: str

    def prove(self, statement: JsonObject, created: datetime) -> JsonObject:
        """Sign a statement; returns the statement with our proof added to its proofs."""
        proof = sign(
            statement, key=self.contracts_key, verification_method=self.verification_method, created=created
        )
        return add_proof(statement, proof)


@dataclass(frozen=True, slots=True)
class _Retired:
    """What `retired.json` holds: the contract keys that were given up, and how many token keys were."""

    contracts: tuple[RetiredKey, ...] = ()
    tokens: int = 0

    def count(self, purpose: Purpose) -> int:
        return self.tokens if purpose == "tokens" else len(self.contracts)


def create_keys(directory: Path) -> None:
    """Make a participant's keys.

    Args:
        directory: The participant's directory.

    Raises:
        KeyFileError: There are keys already.
    """
    keys = directory / KEY_DIRECTORY
    try:
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise KeyFileError(
            f"The key directory {keys} cannot be made: {problem.strerror}.",
            f"Das Schlüsselverzeichnis {keys} kann nicht angelegt werden {in_english(problem.strerror)}.",
        ) from problem
    for name in (CONTRACTS_KEY, TOKENS_KEY):
        create_key(keys / name)


def load_credentials(directory: Path, *, did: str, base_url: str) -> OwnCredentials:
    """Read a participant's keys, and make its DID document.

    Args:
        directory: The participant's directory.
        did: The participant's DID.
        base_url: DSP base address.

    Raises:
        KeyFileError: A key is missing or unusable.
    """
    keys = directory / KEY_DIRECTORY
    retired = _read_retired(keys)
    contracts, tokens = (
        load_key(keys / _file(purpose, retired.count(purpose))) for purpose in ("contracts", "tokens")
    )
    fragments = {purpose: _fragment(purpose, retired.count(purpose)) for purpose in _FRAGMENTS}
    content = build_did_document(
        did=did,
        contracts_key=contracts.public_key(),
        tokens_key=tokens.public_key(),
        data_service=base_url.partition("/dsp/")[0] + "/.well-known/dspace-version",
        catalog_service=f"{base_url}/catalog",
        credential_service=base_url.partition("/dsp/")[0] + CREDENTIALS_PATH,
        contracts=fragments["contracts"],
        tokens=fragments["tokens"],
        retired=retired.contracts,
    )
    return OwnCredentials(
        did=did,
        document=parse_did_document(content, did=did),
        verification_method=did + fragments["contracts"],
        contracts_key=contracts,
        tokens_key=tokens,
        tokens_method=did + fragments["tokens"],
    )


def rotate_key(directory: Path, purpose: Purpose, *, did: str, now: datetime) -> str:
    """Put a new key in the place of the one in use; what the old one signed stays verifiable.

    The old contracts key signs which key follows it. Its private half is deleted.
    A rotation that was interrupted is taken up by the next one.

    Args:
        directory: The participant's directory.
        purpose: Which key.
        did: The participant's DID.
        now: When.

    Returns:
        The new key's fingerprint.

    Raises:
        KeyFileError: A key cannot be read or written; the old one stays in use then.
    """
    keys = directory / KEY_DIRECTORY
    retired = _read_retired(keys)
    count = retired.count(purpose)
    old_file, new_file = keys / _file(purpose, count), keys / _file(purpose, count + 1)
    old = load_key(old_file)
    new = load_key(new_file) if new_file.exists() else create_key(new_file)
    if purpose == "contracts":
        given_up = _given_up(old, new, did=did, count=count, now=now)
        retired = replace(retired, contracts=(*retired.contracts, given_up))
    else:
        retired = replace(retired, tokens=count + 1)
    _write_retired(keys, retired)
    _delete(old_file)
    return fingerprint(new.public_key())


def _given_up(
    old: Ed25519PrivateKey, new: Ed25519PrivateKey, *, did: str, count: int, now: datetime
) -> RetiredKey:
    fragment, since = _fragment("contracts", count), now.astimezone(UTC).replace(microsecond=0)
    method = did + fragment
    follower = VerificationMethod(did + _fragment("contracts", count + 1), did, new.public_key())
    statement = succession_statement(did=did, verification_method=method, successor=follower, since=since)
    signed = add_proof(statement, sign(statement, key=old, verification_method=method, created=since))
    return RetiredKey(fragment, old.public_key(), since, signed)


def _file(purpose: Purpose, given_up: int) -> str:
    return f"{purpose}.pem" if given_up == 0 else f"{purpose}-{given_up + 1}.pem"


def _fragment(purpose: Purpose, given_up: int) -> str:
    return _FRAGMENTS[purpose] + ("" if given_up == 0 else f"-{given_up + 1}")


def _read_retired(keys: Path) -> _Retired:
    path = keys / RETIRED_KEYS
    try:
        document = loads(path.read_bytes())
    except FileNotFoundError:
        return _Retired()
    except (OSError, MalformedJsonError) as problem:
        raise KeyFileError(
            f"The list of former keys {path} cannot be read: {problem}",
            f"Die Liste früherer Schlüssel {path} kann nicht gelesen werden {in_english(problem)}.",
        ) from problem
    try:
        return _parsed(document)
    except EvidenceError as problem:
        raise KeyFileError(
            f"The list of former keys {path} is damaged: {problem} Restore it.",
            f"Die Liste früherer Schlüssel {path} ist beschädigt: {problem.reason['de']} "
            "Stellen Sie sie wieder her.",
        ) from problem


def _parsed(document: JsonValue) -> _Retired:
    if not isinstance(document, dict) or not isinstance(document.get("tokens"), int):
        raise EvidenceError("It is no list of keys.", "Sie ist keine Liste von Schlüsseln.")
    contracts = tuple(
        RetiredKey(
            fragment=text(entry, "fragment"),
            key=_ed25519(text(entry, "publicKeyMultibase")),
            ended=moment_of(entry, "ended"),
            succession=mapping(entry, "succession"),
        )
        for entry in mappings(document, "contracts")
    )
    return _Retired(contracts, int(str(document["tokens"])))


def _ed25519(multibase: str) -> Ed25519PublicKey:
    key = decode_key(multibase)
    if not isinstance(key, Ed25519PublicKey):
        raise EvidenceError("It lists a key of another kind.", "Sie führt einen Schlüssel anderer Art.")
    return key


def _write_retired(keys: Path, retired: _Retired) -> None:
    """Replace the list in one step: before it the old key is in use, after it the new one."""
    content = {
        "contracts": [
            {
                "fragment": one.fragment,
                "publicKeyMultibase": encode_key(one.key),
                "ended": one.ended.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "succession": one.succession,
            }
            for one in retired.contracts
        ],
        "tokens": retired.tokens,
    }
    written = keys / f"{RETIRED_KEYS}.new"
    try:
        with written.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        written.replace(keys / RETIRED_KEYS)
    except OSError as problem:
        raise KeyFileError(
            f"The list of former keys cannot be written: {problem.strerror}.",
            f"Die Liste früherer Schlüssel kann nicht geschrieben werden {in_english(problem.strerror)}.",
        ) from problem


def _delete(old: Path) -> None:
    try:
        old.unlink()
    except OSError as problem:
        raise KeyFileError(
            f"The new key is in use, but the old one cannot be deleted: {problem.strerror}. Delete {old}.",
            "Der neue Schlüssel ist in Gebrauch, aber der alte kann nicht gelöscht werden "
            f"{in_english(problem.strerror)}. Löschen Sie {old}.",
        ) from problem
