"""Releasing: nothing leaves without a signed receipt in the ledger.

Source:
    docs/evidence.md
"""

from connector.evidence.receipts import Release, receipt_file, receipt_leaf, release_receipt
from connector.ports import Credentials, LedgerEntry, Transaction
from connector.services.recording import append


def record_release(tx: Transaction, credentials: Credentials, release: Release) -> None:
    """Sign a receipt, write it into the ledger, and keep it as a file.

    Args:
        tx: The transaction that also makes the result available: no receipt, no result.
        credentials: Who signs.
        release: What the receipt states.
    """
    signed = credentials.prove(release_receipt(release), release.ended)
    entry = LedgerEntry(
        index=tx.ledger_size(),
        kind=release.kind,
        identifier=release.identifier,
        agreement_id=release.agreement_id,
        dataset=release.dataset_id,
        leaf=receipt_leaf(signed),
        raw_rows_out=release.raw_rows_out,
        raw_bytes_out=release.raw_bytes_out,
        result_bytes_out=sum(output.size for output in release.outputs),
        recorded=release.ended,
    )
    inclusion = append(tx, credentials, entry)
    own = {credentials.did: credentials.document.content}
    tx.save_document(release.identifier, receipt_file(signed, inclusion, own))
