"""Retiring: a provider ends an agreement before its time, and everything under it.

The protocol knows no message for it: a FINALIZED negotiation is final. What it
does know is the end of a transfer process. So every running transfer process is
terminated with the reason, and what is asked for afterwards is refused with it.

Limitation: a consumer without a running transfer process learns of it when it
asks for access the next time.

Source:
    docs/adr/0006-enforcement.md; docs/evidence.md
"""

from collections.abc import Callable
from dataclasses import replace

from connector.evidence.documents import canonical, digest
from connector.evidence.retirements import RETIREMENT, RetiredAgreement, retirement_statement
from connector.ports import Clock, Credentials, Identifiers, LedgerEntry, Store, Transaction
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement, Retirement
from connector.services.computing import Computing
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from connector.services.recording import append
from connector.services.transferring import Transferring


class Retiring:
    """Ends agreements.

    Args:
        store: Where agreements and the ledger are kept.
        clock: Tells the time.
        identifiers: Names statements.
        credentials: Who signs them.
        transferring: Ends transfer processes.
        computing: Ends computations.
        ended: Called once an agreement has ended: there are messages to deliver.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        credentials: Credentials,
        transferring: Transferring,
        computing: Computing,
        ended: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._credentials = credentials
        self._transferring = transferring
        self._computing = computing
        self._ended = ended

    async def retire(self, identifier: str, reason: str) -> None:
        """End an agreement of ours as a provider, for good.

        From the moment it is saved, nothing is handed out under the agreement any
        more. Running transfer processes are terminated; computations that have
        not been released are ended, and one that is running is not released.

        Args:
            identifier: IRI of the agreement.
            reason: Why; the consumer is told.

        Raises:
            UnknownExchangeError: There is no such agreement.
            RequestRefusedError: We are not its provider, or it is not in force.
            LedgerDamagedError: The ledger was shortened; nothing has been changed.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            agreement = _in_force(tx, identifier)
            retirement = Retirement(self._identifiers.new(), reason, now)
            tx.save_agreement(replace(agreement, retirement=retirement))
            self._record(tx, agreement, retirement)
            self._transferring.end_all(tx, identifier, retirement.explanation["en"], now)
            self._computing.end_all(tx, identifier, retirement.explanation, now)

        await self._store.transact(work)
        self._ended()

    def _record(self, tx: Transaction, agreement: ContractAgreement, retirement: Retirement) -> None:
        """Sign the end and write it into the ledger."""
        statement = retirement_statement(
            RetiredAgreement(
                identifier=retirement.identifier,
                issuer=self._credentials.did,
                verification_method=self._credentials.verification_method,
                did_document_digest=self._credentials.document.digest,
                consumer=agreement.consumer,
                agreement_id=agreement.identifier,
                agreement_digest=digest(agreement.document),
                dataset_id=agreement.dataset,
                reason=retirement.reason,
                ended=retirement.ended,
            )
        )
        leaf = canonical(self._credentials.prove(statement, retirement.ended))
        append(tx, self._credentials, _entry(tx, agreement, retirement, leaf))


def _entry(tx: Transaction, agreement: ContractAgreement, retirement: Retirement, leaf: bytes) -> LedgerEntry:
    return LedgerEntry(
        index=tx.ledger_size(),
        kind=RETIREMENT,
        identifier=retirement.identifier,
        agreement_id=agreement.identifier,
        dataset=agreement.dataset,
        leaf=leaf,
        raw_rows_out=0,
        raw_bytes_out=0,
        result_bytes_out=0,
        recorded=retirement.ended,
    )


def _in_force(tx: Transaction, identifier: str) -> ContractAgreement:
    agreement = tx.agreement(identifier)
    if agreement is None:
        raise UnknownExchangeError(identifier)
    if agreement.role is not Party.PROVIDER:
        raise RequestRefusedError("Only the provider can end an agreement; a consumer simply stops using it.")
    if agreement.retirement is not None:
        raise RequestRefusedError("The agreement has ended already.")
    negotiation = tx.negotiation(agreement.negotiation)
    if negotiation is None or not negotiation.is_in_force:
        raise RequestRefusedError("The agreement is not in force; reject its negotiation instead.")
    return agreement
