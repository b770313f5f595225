"""Releasing: nothing leaves without a signed receipt in the ledger.

Source:
    docs/evidence.md
"""

from connector.evidence.ledger import inclusion_path, root, tree_head
from connector.evidence.receipts import Inclusion, Release, receipt_file, receipt_leaf, release_receipt
from connector.ports import Credentials, LedgerEntry, Transaction


def record_release(tx: Transaction, credentials: Credentials, release: Release) -> None:
    """Sign a receipt, write it into the ledger, and keep it as a file.

    Args:
        tx: The transaction that also makes the result available: no receipt, no result.
        credentials: Who signs.
        release: What the receipt states.
    """
    signed = credentials.prove(release_receipt(release), release.ended)
    tx.append_ledger(
        LedgerEntry(
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
    )
    hashes = tx.ledger_hashes()
    head = tree_head(size=len(hashes), root=root(hashes), ledger_id=credentials.did, created=release.ended)
    inclusion = Inclusion(
        leaf_index=len(hashes) - 1,
        tree_size=len(hashes),
        path=inclusion_path(hashes, len(hashes) - 1),
        tree_head=credentials.prove(head, release.ended),
    )
    own = {credentials.did: credentials.document.content}
    tx.save_document(release.identifier, receipt_file(signed, inclusion, own))
