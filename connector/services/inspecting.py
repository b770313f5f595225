"""Inspecting: is our ledger still what we, and our partners, know it to be?

Source:
    docs/evidence.md
"""

from collections.abc import Sequence

from connector.evidence.audit import Check, Line, audit_ledger
from connector.evidence.did import DidDocument
from connector.ports import Transaction
from connector.protocol.machine import Party
from schemas.strict_json import JsonObject


def inspect_ledger(
    tx: Transaction, keeper: DidDocument, witnessed: Sequence[JsonObject] = ()
) -> tuple[Check, ...]:
    """Check our ledger against everything that was ever signed about it.

    Args:
        tx: Reads the database; changes nothing.
        keeper: Our DID document, with the keys that we have given up.
        witnessed: Tree heads of our ledger that others have kept.
    """
    lines = [
        Line(
            index=entry.index,
            kind=entry.kind,
            identifier=entry.identifier,
            agreement_id=entry.agreement_id,
            dataset=entry.dataset,
            leaf=entry.leaf,
            leaf_hash=leaf_hash,
            raw_rows_out=entry.raw_rows_out,
            raw_bytes_out=entry.raw_bytes_out,
            result_bytes_out=entry.result_bytes_out,
            recorded=entry.recorded,
        )
        for entry, leaf_hash in zip(tx.ledger(), tx.ledger_hashes(), strict=True)
    ]
    heads = [known.head for known in tx.heads(keeper.did)]
    return audit_ledger(lines, keeper=keeper, heads=heads, witnessed=witnessed, expected=_expected(tx))


def _expected(tx: Transaction) -> frozenset[str]:
    """What other records say must be in the ledger: they would have to be changed, too."""
    agreed = {
        agreement.identifier
        for agreement in tx.agreements()
        if agreement.signed
        and (negotiation := tx.negotiation(agreement.negotiation)) is not None
        and negotiation.is_in_force
    }
    answered = {
        query.identifier for query in tx.queries() if query.role is Party.PROVIDER and query.refusal is None
    }
    computed = {
        computation.receipt
        for computation in tx.computations()
        if computation.role is Party.PROVIDER and computation.receipt is not None
    }
    retired = {
        agreement.retirement.identifier for agreement in tx.agreements() if agreement.retirement is not None
    }
    return frozenset({*agreed, *retired, *answered, *computed})
