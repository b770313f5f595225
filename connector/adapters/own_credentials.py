"""Our own identity: keys in files, and the DID document that lists them."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connector.adapters.key_files import KeyFileError, create_key, load_key
from connector.evidence.did import CONTRACTS, DidDocument, build_did_document, parse_did_document
from connector.evidence.proofs import add_proof, sign
from schemas.strict_json import JsonObject

KEY_DIRECTORY = "keys"
CONTRACTS_KEY = "contracts.pem"
TOKENS_KEY = "tokens.pem"


@dataclass(frozen=True, slots=True)
class OwnCredentials:
    """Who we are, and what we sign with; implements `connector.ports.Credentials`."""

    did: str
    document: DidDocument
    verification_method: str
    contracts_key: Ed25519PrivateKey
    tokens_key: Ed25519PrivateKey

    def prove(self, statement: JsonObject, created: datetime) -> JsonObject:
        """Sign a statement; returns the statement with our proof added to its proofs."""
        proof = sign(
            statement, key=self.contracts_key, verification_method=self.verification_method, created=created
        )
        return add_proof(statement, proof)


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
        raise KeyFileError(f"The key directory {keys} cannot be made: {problem.strerror}.") from problem
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
    contracts, tokens = load_key(keys / CONTRACTS_KEY), load_key(keys / TOKENS_KEY)
    content = build_did_document(
        did=did,
        contracts_key=contracts.public_key(),
        tokens_key=tokens.public_key(),
        data_service=base_url.partition("/dsp/")[0] + "/.well-known/dspace-version",
        catalog_service=f"{base_url}/catalog",
    )
    return OwnCredentials(did, parse_did_document(content, did=did), did + CONTRACTS, contracts, tokens)
