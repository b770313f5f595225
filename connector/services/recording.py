"""Recording: every decision becomes a line of the ledger, with a signed tree head, or it has no effect.

Source:
    docs/evidence.md
"""

from connector.evidence.decisions import Decision, decision_leaf, decision_statement
from connector.evidence.ledger import Frontier, frontier_of, leaf_hash, tree_head
from connector.evidence.receipts import Inclusion
from connector.ports import Credentials, KnownHead, LedgerEntry, Transaction


class LedgerDamagedError(Exception):
    """Our own ledger is not what we signed for; nothing is released until it is restored."""


def append(tx: Transaction, credentials: Credentials, entry: LedgerEntry) -> Inclusion:
    """Write the next line of our ledger, and sign the state that it is in then.

    Args:
        tx: The transaction in which the decision takes effect: no line, no effect.
        credentials: Who signs.
        entry: The line; its index must be the ledger's size.

    Returns:
        Where the line stands, with the signed tree head.

    Raises:
        LedgerDamagedError: The ledger is not what it was: somebody has shortened it.
    """
    appended = frontier(tx, credentials.did).append(leaf_hash(entry.leaf))
    if appended.index != entry.index:
        raise LedgerDamagedError(f"The ledger's next entry is {appended.index}, not {entry.index}.")
    tx.append_ledger(entry)
    size, root = appended.frontier.size, appended.frontier.root()
    head = tree_head(size=size, root=root, ledger_id=credentials.did, created=entry.recorded)
    signed = credentials.prove(head, entry.recorded)
    peaks = tuple(peak.hex() for peak in appended.frontier.peaks)
    tx.save_head(KnownHead(credentials.did, size, root.hex(), signed, entry.recorded, peaks))
    return Inclusion(leaf_index=entry.index, tree_size=size, path=appended.path, tree_head=signed)


def frontier(tx: Transaction, did: str) -> Frontier:
    """What is needed to append to our ledger.

    Raises:
        LedgerDamagedError: The ledger has fewer entries than its last signed tree head says.
    """
    size, last = tx.ledger_size(), tx.latest_head(did)
    if last is not None and last.size > size:
        raise LedgerDamagedError(
            f"The ledger has {size} entries, but {last.size} were signed for: it was shortened. "
            "Nothing is released until it is restored; `allmende ledger verify` shows what is missing."
        )
    if last is not None and last.size == size:
        return Frontier(size, tuple(bytes.fromhex(peak) for peak in last.peaks))
    # A ledger from before tree heads were kept.
    return frontier_of(tx.ledger_hashes())


def record_decision(tx: Transaction, credentials: Credentials, decision: Decision) -> None:
    """Sign a decision and write it into the ledger.

    Args:
        tx: The transaction in which it takes effect: nothing is answered without it.
        credentials: Who signs.
        decision: What was decided, and why.

    Raises:
        LedgerDamagedError: The ledger was shortened.
    """
    signed = credentials.prove(decision_statement(decision), decision.decided)
    entry = LedgerEntry(
        index=tx.ledger_size(),
        kind=decision.kind,
        identifier=decision.identifier,
        agreement_id=decision.agreement_id,
        dataset=decision.dataset_id,
        leaf=decision_leaf(signed),
        raw_rows_out=0,
        raw_bytes_out=0,
        result_bytes_out=0,
        recorded=decision.decided,
    )
    append(tx, credentials, entry)
