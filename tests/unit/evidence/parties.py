"""Two parties, an agreement between them and a receipt, all signed with fixed keys."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connector.evidence.agreements import Party, agreement_file, agreement_statement
from connector.evidence.did import DidDocument, build_did_document, parse_did_document
from connector.evidence.ledger import Frontier, leaf_hash, tree_head
from connector.evidence.multikey import encode_base58
from connector.evidence.proofs import RDF_CRYPTOSUITE, RdfCanonicaliser, add_proof, sign, signed_bytes
from connector.evidence.receipts import (
    Inclusion,
    Release,
    ReleasedOutput,
    countersigned_file,
    receipt_countersignature,
    receipt_file,
    receipt_leaf_hash,
    release_receipt,
)

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Signatory:
    """A party with its private key."""

    key: Ed25519PrivateKey
    document: DidDocument

    @property
    def did(self) -> str:
        return self.document.did

    @property
    def method(self) -> str:
        return self.did + "#contracts"

    def prove(self, statement: Any, created: datetime = NOW) -> Any:
        return add_proof(
            statement, sign(statement, key=self.key, verification_method=self.method, created=created)
        )


def signatory(host: str, seed: int) -> Signatory:
    did = f"did:web:{host}"
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    content = build_did_document(
        did=did,
        contracts_key=key.public_key(),
        tokens_key=Ed25519PrivateKey.from_private_bytes(bytes([seed + 1]) * 32).public_key(),
        data_service=f"https://{host}/.well-known/dspace-version",
        catalog_service=f"https://{host}/catalog",
    )
    return Signatory(key, parse_did_document(content, did=did))


def prove_as_rdf(party: Signatory, statement: Any, rdf: RdfCanonicaliser) -> Any:
    """Sign what a statement means as RDF, as other software may."""
    proof = {
        "type": "DataIntegrityProof",
        "cryptosuite": RDF_CRYPTOSUITE,
        "proofPurpose": "assertionMethod",
        "created": "2026-11-21T08:00:00Z",
        "verificationMethod": party.method,
    }
    signature = encode_base58(party.key.sign(signed_bytes(statement, proof, rdf)))
    return add_proof(statement, {**proof, "proofValue": signature})


def make_statement(provider: Signatory, consumer: Signatory, **changes: Any) -> Any:
    agreement = {
        "@type": "Agreement",
        "@id": "urn:uuid:11111111-1111-4111-8111-111111111111",
        "target": "urn:uuid:22222222-2222-4222-8222-222222222222",
        "assigner": provider.did,
        "assignee": consumer.did,
        "timestamp": "2026-11-21T07:59:58Z",
        "profile": ["https://w3id.org/allmende/policy/v1"],
        "permission": [
            {
                "action": "https://w3id.org/allmende/policy/v1#query",
                "constraint": [{"leftOperand": "count", "operator": "lteq", "rightOperand": "20"}],
            }
        ],
    }
    parties = tuple(Party(side.did, side.method, side.document.digest) for side in (provider, consumer))
    members = {
        "agreement": agreement,
        "provider_pid": "urn:uuid:33333333-3333-4333-8333-333333333333",
        "consumer_pid": "urn:uuid:44444444-4444-4444-8444-444444444444",
        "offer_digest": "a" * 64,
        "dataset_digest": "b" * 64,
        "description_digest": "9" * 64,
        "parties": parties,
    }
    return agreement_statement(**(members | changes))


def make_release(provider: Signatory, consumer: Signatory, **changes: Any) -> Any:
    members = {
        "identifier": "urn:uuid:55555555-5555-4555-8555-555555555555",
        "issuer": provider.did,
        "verification_method": provider.method,
        "did_document_digest": provider.document.digest,
        "recipient": consumer.did,
        "agreement_id": "urn:uuid:11111111-1111-4111-8111-111111111111",
        "agreement_digest": "c" * 64,
        "dataset_id": "urn:uuid:22222222-2222-4222-8222-222222222222",
        "dataset_digest": "b" * 64,
        "kind": "query",
        "purpose": "https://w3id.org/allmende/policy/v1#LoadForecasting",
        "request_digest": "d" * 64,
        "decision": {"permitted": True, "action": "urn:a", "rule": "urn:r"},
        "rules_applied": {"minimumUnits": 5, "columns": ["ts", "load_kw"], "epsilon": 0.5},
        "started": NOW,
        "ended": NOW,
        "uses_before": 3,
        "uses_after": 4,
        "sandbox_tier": "process",
        "outputs": (
            ReleasedOutput("result", "aggregate", "application/json", 1234, "e" * 64, ("groupSize",)),
        ),
        "raw_rows_out": 0,
        "raw_bytes_out": 0,
        "suppressed_groups": 2,
        "ledger_index": 5,
    }
    return Release(**(members | changes))


def included(keeper: Signatory, signed: Any, *, before: int) -> Any:
    """The place of a receipt in a ledger of `before` earlier entries."""
    frontier = Frontier()
    for number in range(before):
        frontier = frontier.append(leaf_hash(b"%d" % number)).frontier
    appended = frontier.append(receipt_leaf_hash(signed))
    head = tree_head(
        size=appended.frontier.size,
        root=appended.frontier.root(),
        ledger_id=keeper.did,
        created=NOW,
    )
    return Inclusion(appended.index, appended.frontier.size, appended.path, keeper.prove(head))


PROVIDER = signatory("rheinaue.example", 1)
CONSUMER = signatory("lastwerk.example", 3)
DOCUMENTS = {side.did: side.document.content for side in (PROVIDER, CONSUMER)}


def signed_agreement_file() -> Any:
    """An agreement that both have signed."""
    signed = CONSUMER.prove(PROVIDER.prove(make_statement(PROVIDER, CONSUMER)))
    return agreement_file(signed, DOCUMENTS)


def signed_receipt_file() -> Any:
    """A receipt that is entry 5 of its issuer's ledger of 6."""
    signed = PROVIDER.prove(release_receipt(make_release(PROVIDER, CONSUMER)))
    place = included(PROVIDER, signed, before=5)
    return receipt_file(signed, place, {PROVIDER.did: PROVIDER.document.content})


def countersigned_receipt_file() -> Any:
    """The same receipt, countersigned by its recipient."""
    file = signed_receipt_file()
    statement = receipt_countersignature(
        json.loads(file)["signedReceipt"],
        verification_method=CONSUMER.method,
        did_document_digest=CONSUMER.document.digest,
        received=NOW,
    )
    return countersigned_file(file, CONSUMER.prove(statement), CONSUMER.document.content)
