"""The release receipt: a provider's signed statement about one result that left its house.

Its recipient countersigns: a second statement, about the receipt as a whole, so
that the receipt and its place in the ledger stay what they were.

Source:
    docs/evidence.md
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from connector.evidence.agreements import CONTEXT, CONTEXT_DIGESTS
from connector.evidence.documents import canonical, digest, exact_moment, file_bytes, mapping, read_file, text
from connector.evidence.errors import EvidenceError
from connector.evidence.ledger import leaf_hash
from schemas.strict_json import JsonObject, JsonValue

RECEIPT_FILE: Final = "ReleaseReceiptFile"
RECEIPT_MEMBERS: Final = (
    "@context",
    "id",
    "type",
    "issuer",
    "recipient",
    "agreement",
    "dataset",
    "kind",
    "purpose",
    "requestDigest",
    "decision",
    "rulesApplied",
    "started",
    "ended",
    "uses",
    "sandboxTier",
    "outputs",
    "rawData",
    "resultBytesOut",
    "suppressedGroups",
    "ledgerIndex",
    "contextDigests",
    "verificationMethod",
    "didDocumentDigest",
)
COUNTERSIGNATURE: Final = "countersignature"
"""Member of a receipt file: the recipient's statement, where there is one."""
COUNTERSIGNATURE_MEMBERS: Final = (
    "@context",
    "id",
    "type",
    "receipt",
    "recipient",
    "received",
    "contextDigests",
    "verificationMethod",
    "didDocumentDigest",
)


@dataclass(frozen=True, slots=True)
class ReleasedOutput:
    """One thing that left: the result of a query, or a file that a computation made.

    Attributes:
        name: Such as `metrics.json`.
        kind: Such as `aggregate`, `metrics` or `model`.
        media_type: Such as `application/json`.
        size: Bytes.
        sha256: Of the bytes as they left, 64 lower-case hexadecimal digits.
        checks: The checks that it passed before it left.
    """

    name: str
    kind: str
    media_type: str
    size: int
    sha256: str
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """What a receipt states about one release.

    Attributes:
        identifier: IRI of the receipt.
        issuer: DID of the provider.
        verification_method: Identifier of the provider's key.
        did_document_digest: SHA-256 (JCS) of the provider's DID document.
        recipient: DID of the consumer.
        agreement_id: IRI of the agreement.
        agreement_digest: SHA-256 (JCS) of the agreement.
        dataset_id: IRI of the dataset.
        dataset_digest: SHA-256 of the data that were read.
        kind: `query`, `computation` or `download`: the data file as it is.
        purpose: IRI of the declared purpose.
        request_digest: SHA-256 of the statement, of the algorithm, or of the transfer's pid
            (and, of a part of a file, of a space and the part after it).
        decision: What the agreement said, as data: the action, and the permission that opens it.
        rules_applied: The restrictions that were enforced, as data.
        started: When it began.
        ended: When the result was released.
        uses_before: Uses on the agreement's account before.
        uses_after: Uses afterwards.
        sandbox_tier: How it was isolated.
        outputs: What left.
        raw_rows_out: Rows of raw data that left, as counted.
        raw_bytes_out: Bytes of raw data that left, as counted.
        suppressed_groups: Groups that were withheld as too small.
        ledger_index: Position of the receipt in the provider's ledger.
        part: Which bytes of a file left, such as `bytes 0-99/1000`; None for a whole one.
        epsilon: What it did to the agreement's budget of epsilon (differential
            privacy): spent, before, after, total; None where there is no budget.
    """

    identifier: str
    issuer: str
    verification_method: str
    did_document_digest: str
    recipient: str
    agreement_id: str
    agreement_digest: str
    dataset_id: str
    dataset_digest: str
    kind: Literal["query", "computation", "download"]
    purpose: str
    request_digest: str
    decision: Mapping[str, JsonValue]
    rules_applied: Mapping[str, JsonValue]
    started: datetime
    ended: datetime
    uses_before: int
    uses_after: int
    sandbox_tier: str
    outputs: tuple[ReleasedOutput, ...]
    raw_rows_out: int
    raw_bytes_out: int
    suppressed_groups: int
    ledger_index: int
    part: str | None = None
    epsilon: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where a receipt stands in its issuer's ledger.

    Attributes:
        leaf_index: Position of the receipt.
        tree_size: Number of entries at the tree head.
        path: Hashes that lead from the receipt to the root.
        tree_head: The signed tree head.
    """

    leaf_index: int
    tree_size: int
    path: tuple[bytes, ...]
    tree_head: Mapping[str, JsonValue]


def release_receipt(release: Release) -> JsonObject:
    """What a provider signs about one release.

    Raises:
        EvidenceError: It ended before it started, or a figure is negative.
    """
    _require_plausible(release)
    return {
        "@context": list(CONTEXT),
        "id": release.identifier,
        "type": "ReleaseReceipt",
        "issuer": release.issuer,
        "recipient": release.recipient,
        "agreement": {"id": release.agreement_id, "digest": release.agreement_digest},
        "dataset": {"id": release.dataset_id, "digest": release.dataset_digest},
        "kind": release.kind,
        "purpose": release.purpose,
        "requestDigest": release.request_digest,
        "decision": dict(release.decision),
        "rulesApplied": dict(release.rules_applied),
        "started": exact_moment(release.started, "Each time in a receipt"),
        "ended": exact_moment(release.ended, "Each time in a receipt"),
        "uses": {
            "before": release.uses_before,
            "after": release.uses_after,
            **({} if release.epsilon is None else {"epsilon": dict(release.epsilon)}),
        },
        "sandboxTier": release.sandbox_tier,
        "outputs": [_output(output) for output in release.outputs],
        "rawData": {
            "rowsOut": release.raw_rows_out,
            "bytesOut": release.raw_bytes_out,
            **({} if release.part is None else {"part": release.part}),
        },
        "resultBytesOut": sum(output.size for output in release.outputs),
        "suppressedGroups": release.suppressed_groups,
        "ledgerIndex": release.ledger_index,
        "contextDigests": dict(CONTEXT_DIGESTS),
        "verificationMethod": release.verification_method,
        "didDocumentDigest": release.did_document_digest,
    }


def receipt_leaf(signed_receipt: Mapping[str, JsonValue]) -> bytes:
    """What the ledger stores and hashes for a receipt: its canonical bytes, proof included."""
    return canonical(signed_receipt)


def receipt_leaf_hash(signed_receipt: Mapping[str, JsonValue]) -> bytes:
    """The hash of a receipt in the ledger."""
    return leaf_hash(receipt_leaf(signed_receipt))


def receipt_file(
    signed_receipt: Mapping[str, JsonValue],
    inclusion: Inclusion,
    did_documents: Mapping[str, JsonObject],
) -> bytes:
    """A signed receipt as a file that anyone can check offline.

    Args:
        signed_receipt: The receipt with its issuer's proof.
        inclusion: Its place in the ledger.
        did_documents: The issuer's DID document by its DID, verbatim.
    """
    return file_bytes(
        {
            "type": RECEIPT_FILE,
            "signedReceipt": dict(signed_receipt),
            "inclusion": {
                "leafIndex": inclusion.leaf_index,
                "treeSize": inclusion.tree_size,
                "path": [step.hex() for step in inclusion.path],
                "treeHead": dict(inclusion.tree_head),
            },
            "didDocuments": dict(did_documents),
        }
    )


def receipt_countersignature(
    signed_receipt: Mapping[str, JsonValue],
    *,
    verification_method: str,
    did_document_digest: str,
    received: datetime,
) -> JsonObject:
    """What the recipient signs: that it has got what exactly this receipt states.

    Args:
        signed_receipt: The receipt with its issuer's proof.
        verification_method: Identifier of the recipient's key.
        did_document_digest: SHA-256 (JCS) of the recipient's DID document.
        received: When it arrived.

    Raises:
        EvidenceError: The receipt names no recipient, or the time has no zone.
    """
    identifier = text(signed_receipt, "id")
    return {
        "@context": list(CONTEXT),
        "id": f"{identifier}#{COUNTERSIGNATURE}",
        "type": "ReceiptCountersignature",
        "receipt": {"id": identifier, "digest": digest(signed_receipt)},
        "recipient": text(signed_receipt, "recipient"),
        "received": exact_moment(received, "Each time in a receipt"),
        "contextDigests": dict(CONTEXT_DIGESTS),
        "verificationMethod": verification_method,
        "didDocumentDigest": did_document_digest,
    }


def countersigned_file(
    receipt: bytes, countersignature: Mapping[str, JsonValue], did_document: Mapping[str, JsonValue]
) -> bytes:
    """A receipt file with the recipient's countersignature in it.

    Args:
        receipt: The receipt file, without one.
        countersignature: The recipient's statement with its proof.
        did_document: The recipient's DID document, verbatim.

    Raises:
        EvidenceError: The bytes are no receipt file.
    """
    document = read_file(receipt)
    signers = {**mapping(document, "didDocuments"), text(countersignature, "recipient"): dict(did_document)}
    return file_bytes({**document, COUNTERSIGNATURE: dict(countersignature), "didDocuments": signers})


def without_countersignature(countersigned: bytes) -> bytes:
    """The receipt file as it was before its recipient countersigned it.

    Raises:
        EvidenceError: The bytes are no receipt file with a countersignature.
    """
    document = read_file(countersigned)
    recipient = text(mapping(document, COUNTERSIGNATURE), "recipient")
    others = {did: one for did, one in mapping(document, "didDocuments").items() if did != recipient}
    kept = {name: value for name, value in document.items() if name != COUNTERSIGNATURE}
    return file_bytes({**kept, "didDocuments": others})


def _require_plausible(release: Release) -> None:
    if release.ended < release.started:
        raise EvidenceError("A release cannot end before it started.")
    figures = (
        release.uses_before,
        release.uses_after,
        release.raw_rows_out,
        release.raw_bytes_out,
        release.suppressed_groups,
        release.ledger_index,
        *(output.size for output in release.outputs),
    )
    if min(figures) < 0:
        raise EvidenceError("No figure of a receipt can be negative.")


def _output(output: ReleasedOutput) -> JsonObject:
    return {
        "name": output.name,
        "kind": output.kind,
        "mediaType": output.media_type,
        "bytes": output.size,
        "sha256": output.sha256,
        "checks": list(output.checks),
    }
