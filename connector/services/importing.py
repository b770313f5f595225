"""Importing: agreements that were made elsewhere, such as with the connector that this one replaces."""

from dataclasses import dataclass, replace

from connector.ports import Clock, Credentials, Identifiers, Store, Transaction
from connector.protocol.machine import Party
from connector.protocol.negotiation import (
    ContractAgreement,
    ContractNegotiation,
    NegotiationState,
    new_negotiation,
)
from connector.services.exchanging import RequestRefusedError
from policies.inheritance import require_own_rules
from policies.odrl import parse_policy
from policies.terms import require_enforceable
from schemas.strict_json import JsonObject


@dataclass(frozen=True, slots=True)
class ForeignAgreement:
    """An agreement that was made elsewhere.

    Attributes:
        role: The role that we play in it.
        peer: The counterparty's DID, or another identifier that both sides know.
        address: The counterparty's DSP base address.
        document: The agreement, compact DSP JSON, its form checked.
    """

    role: Party
    peer: str
    address: str
    document: JsonObject


class Importing:
    """Brings in agreements that were made elsewhere; they count as unsigned.

    Args:
        store: Where agreements are kept.
        clock: Tells the time.
        identifiers: Names negotiations.
        credentials: Who we are.
        require_signatures: Whether unsigned agreements are refused.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        credentials: Credentials,
        require_signatures: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._credentials = credentials
        self._require_signatures = require_signatures

    async def agreement(self, foreign: ForeignAgreement) -> str:
        """Bring in one agreement.

        Returns:
            IRI of the agreement.

        Raises:
            RequestRefusedError: Unsigned agreements are refused here, we are no
                party to it, or there is one of this name.
            PolicyRefusedError: It contains a term that cannot be enforced, or takes over
                rules of other policies.
        """
        if self._require_signatures:
            raise RequestRefusedError(
                "An imported agreement carries no signatures of both parties, and require_signatures is on."
            )
        document = foreign.document
        require_own_rules(document)
        policy = parse_policy(document)
        require_enforceable(policy)
        parties = (self._credentials.did, foreign.peer)
        provider, consumer = parties if foreign.role is Party.PROVIDER else parties[::-1]
        if (document["assigner"], document["assignee"]) != (provider, consumer):
            raise RequestRefusedError(
                "The agreement's assigner and assignee are not the provider and the consumer."
            )
        negotiation = self._negotiation(foreign)
        agreement = ContractAgreement(
            identifier=str(document["@id"]),
            provider=provider,
            consumer=consumer,
            role=foreign.role,
            dataset=negotiation.dataset,
            negotiation=negotiation.pid,
            document=document,
            statement=None,
            documents={},
            signed=False,
            agreed=negotiation.created,
            peer_address=negotiation.peer_address,
        )

        def work(tx: Transaction) -> None:
            if tx.agreement(agreement.identifier) is not None:
                raise RequestRefusedError(f"There is an agreement {agreement.identifier} already.")
            tx.save_negotiation(negotiation)
            tx.save_agreement(agreement)

        await self._store.transact(work)
        return agreement.identifier

    def _negotiation(self, foreign: ForeignAgreement) -> ContractNegotiation:
        """The negotiation that it stands for: over, and with nothing left to say."""
        record = new_negotiation(
            pid=self._identifiers.new(),
            role=foreign.role,
            peer=foreign.peer,
            address=foreign.address,
            offer={**foreign.document, "@type": "Offer"},
            now=self._clock.now(),
        )
        return replace(record, state=NegotiationState.FINALIZED, agreement_id=str(foreign.document["@id"]))
