"""Negotiating contracts: both roles, from the first request to the signed agreement.

Source:
    Dataspace Protocol 2025-1, contract negotiation; docs/adr/0003-exchanges.md.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never, cast

from connector.evidence.agreements import Party as SigningParty
from connector.evidence.agreements import agreement_file, agreement_statement, require_same_agreement
from connector.evidence.did import CONTRACTS, DidDocument, parse_did_document
from connector.evidence.documents import canonical, digest
from connector.evidence.proofs import add_proof, proofs_of, require_created_near, verify_proofs
from connector.ports import (
    Clock,
    Credentials,
    Identifiers,
    LedgerEntry,
    Participant,
    PublishedDataset,
    Store,
    StoredAnswer,
    Transaction,
    Wake,
)
from connector.protocol.exchange import acknowledge, receive
from connector.protocol.machine import Party
from connector.protocol.negotiation import (
    ContractAgreement,
    ContractNegotiation,
    NegotiationMessage,
    NegotiationState,
)
from connector.services.exchanging import (
    Delivery,
    Letter,
    RequestRefusedError,
    UnknownExchangeError,
    exchange_of,
    forget_pending,
    moved,
    once,
    send,
)
from policies.errors import PolicyRefusedError
from policies.evaluation import Facts, evaluate_offer
from policies.odrl import parse_policy, write_rules
from policies.refinement import compare_with_offer, same_rules
from policies.terms import require_enforceable
from schemas import messages as dsp
from schemas.strict_json import JsonObject

Inbound = (
    dsp.ContractRequestMessage
    | dsp.ContractOfferMessage
    | dsp.ContractAgreementMessage
    | dsp.ContractAgreementVerificationMessage
    | dsp.ContractNegotiationEventMessage
    | dsp.ContractNegotiationTerminationMessage
)

SIGNING = "eddsa-jcs-2022"
"""The signature suite that we announce and expect (W3C Data Integrity)."""


@dataclass(frozen=True, slots=True)
class NegotiationSettings:
    """How this participant negotiates.

    Attributes:
        address: Our DSP base address: the callback address of our messages.
        require_signatures: Whether an agreement without both signatures is refused.
    """

    address: str
    require_signatures: bool = True


class Negotiating:
    """Takes and sends the messages of contract negotiations.

    Args:
        store: Where negotiations and agreements are kept.
        clock: Tells the time.
        identifiers: Names what is new.
        credentials: Our identity and signature.
        settings: How we negotiate.
        wake: Called after each change that leaves something to deliver.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        credentials: Credentials,
        settings: NegotiationSettings,
        wake: Wake,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._credentials = credentials
        self._settings = settings
        self._wake = wake

    # what the steward and the query API ask for

    async def request(
        self, *, provider: str, address: str, dataset: str, offer: JsonObject, purpose: str | None
    ) -> str:
        """Ask a provider for a contract on one of its offers.

        Args:
            provider: The provider's DID.
            address: Its DSP base address.
            dataset: IRI of the dataset.
            offer: The offer, as in its catalog.
            purpose: What the data are to be used for, as an absolute IRI.

        Returns:
            Our pid of the negotiation.

        Raises:
            PolicyRefusedError: The offer contains a term that we do not know;
                we accept no contract that we do not understand.
        """
        now = self._clock.now()
        require_enforceable(parse_policy(offer, default_target=dataset))
        pid = self._identifiers.new()
        record = ContractNegotiation(
            pid=pid,
            role=Party.CONSUMER,
            peer=provider,
            peer_pid=None,
            peer_address=address.rstrip("/"),
            peer_document=None,
            dataset=dataset,
            state=None,
            pending=None,
            offer={**offer, "target": dataset},
            agreement_id=None,
            purpose=purpose,
            approved=False,
            held=None,
            reason=None,
            signing=False,
            created=now,
            updated=now,
        )
        message = dsp.ContractRequestMessage(
            consumer_pid=pid,
            offer=record.offer,
            callback_address=self._settings.address,
            evidence={"signing": [SIGNING], **({"purpose": purpose} if purpose else {})},
        )
        letter = Letter(NegotiationMessage.REQUEST, "/negotiations/request", self._wire(message))
        await self._store.transact(lambda tx: tx.save_negotiation(send(tx, record, letter, now)))
        self._wake()
        return pid

    async def accept(self, pid: str) -> None:
        """Accept a negotiation that was held for a person.

        Raises:
            UnknownExchangeError: There is no such negotiation.
            RequestRefusedError: It does not wait for a decision.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            record = replace(_held(tx, pid), held=None, approved=True)
            tx.save_negotiation(self._react(tx, record, now))

        await self._store.transact(work)
        self._wake()

    async def reject(self, pid: str, reason: str) -> None:
        """Turn down a negotiation that was held for a person, and tell the counterparty why.

        Raises:
            UnknownExchangeError: There is no such negotiation.
            RequestRefusedError: It does not wait for a decision.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            record = replace(_held(tx, pid), held=None)
            tx.save_negotiation(self._terminate(tx, record, reason, now))

        await self._store.transact(work)
        self._wake()

    # what counterparties send

    async def opened(
        self, participant: Participant, delivery: Delivery, message: dsp.ContractRequestMessage
    ) -> StoredAnswer:
        """Take the first message of a negotiation from a consumer.

        Raises:
            UnknownExchangeError: The dataset is not on offer.
            RequestRefusedError: The request repeats a consumerPid with other content.
        """
        now = self._clock.now()

        def take(tx: Transaction) -> StoredAnswer:
            record = self._open(tx, participant, message, now)
            record = moved(record, receive(exchange_of(record), NegotiationMessage.REQUEST), now)
            tx.save_negotiation(self._react(tx, record, now))
            return StoredAnswer(201, negotiation_body(record))

        answer = await self._store.transact(lambda tx: once(tx, delivery, now, lambda: take(tx)))
        self._wake()
        return answer

    async def received(
        self, participant: Participant, pid: str, delivery: Delivery, message: Inbound
    ) -> StoredAnswer:
        """Take a later message of a negotiation.

        Raises:
            UnknownExchangeError: There is no such negotiation with this participant.
            RemoteProtocolError: The protocol does not allow the message now.
            RequestRefusedError: Its content does not fit the negotiation.
            EvidenceError: A signature in it is wrong.
        """
        now = self._clock.now()

        def take(tx: Transaction) -> StoredAnswer:
            before = _own(tx, participant, pid)
            kind = _kind(message)
            after = moved(before, receive(exchange_of(before), kind), now)
            after = replace(after, peer_document=dict(participant.document.content), held=None)
            forget_pending(tx, before, after)
            after = self._absorb(tx, after, participant, message, now)
            tx.save_negotiation(self._react(tx, after, now))
            return StoredAnswer(200, None)

        answer = await self._store.transact(lambda tx: once(tx, delivery, now, lambda: take(tx)))
        self._wake()
        return answer

    async def shown(self, participant: Participant, pid: str) -> JsonObject:
        """The state of a negotiation, for the counterparty.

        Raises:
            UnknownExchangeError: There is no such negotiation with this participant.
        """
        record = await self._store.transact(lambda tx: _own(tx, participant, pid))
        if record.state is None:
            raise UnknownExchangeError(pid)
        return negotiation_body(record)

    def acknowledged(self, tx: Transaction, pid: str, answer: JsonObject | None, now: datetime) -> None:
        """The counterparty has taken our message: the state moves, and we may have more to say."""
        record = tx.negotiation(pid)
        if record is None or record.pending is None:
            return
        peer_pid = record.peer_pid
        if peer_pid is None and answer is not None:
            found = answer.get("providerPid" if record.role is Party.CONSUMER else "consumerPid")
            peer_pid = found if isinstance(found, str) else None
        record = replace(moved(record, acknowledge(exchange_of(record)), now), peer_pid=peer_pid)
        if record.state is NegotiationState.FINALIZED:
            self._enter_ledger(tx, record, now)
        tx.save_negotiation(self._react(tx, record, now))

    def refused(self, tx: Transaction, pid: str, reason: str, now: datetime) -> None:
        """The counterparty has refused our message: nothing has changed for it; a person looks at it."""
        record = tx.negotiation(pid)
        if record is None:
            return
        opening = record.state is None
        record = replace(
            record,
            pending=None,
            updated=now,
            state=NegotiationState.TERMINATED if opening else record.state,
            reason=reason if opening else record.reason,
            held=None if opening else f"The counterparty refused our message: {reason}",
        )
        tx.save_negotiation(record)

    # the parts

    def _open(
        self,
        tx: Transaction,
        participant: Participant,
        message: dsp.ContractRequestMessage,
        now: datetime,
    ) -> ContractNegotiation:
        if tx.negotiation_of(participant.did, message.consumer_pid) is not None:
            raise RequestRefusedError(
                f"There is a negotiation with the consumerPid {message.consumer_pid} already."
            )
        dataset = str(message.offer["target"])
        record = tx.dataset(dataset)
        if record is None or not record.dataset.publishing:
            raise UnknownExchangeError(dataset)
        declared = message.evidence or {}
        purpose = declared.get("purpose")
        signing = declared.get("signing")
        return ContractNegotiation(
            pid=self._identifiers.new(),
            role=Party.PROVIDER,
            peer=participant.did,
            peer_pid=message.consumer_pid,
            peer_address=str(message.callback_address).rstrip("/"),
            peer_document=dict(participant.document.content),
            dataset=dataset,
            state=None,
            pending=None,
            offer=dict(message.offer),
            agreement_id=None,
            purpose=purpose if isinstance(purpose, str) else None,
            approved=False,
            held=None,
            reason=None,
            signing=isinstance(signing, list) and SIGNING in signing,
            created=now,
            updated=now,
        )

    def _absorb(
        self,
        tx: Transaction,
        record: ContractNegotiation,
        participant: Participant,
        message: Inbound,
        now: datetime,
    ) -> ContractNegotiation:
        """What a message changes beside the state."""
        match message:
            case dsp.ContractRequestMessage() | dsp.ContractOfferMessage():
                if message.offer["target"] != record.dataset:
                    raise RequestRefusedError(
                        "The offer names another dataset than the negotiation is about."
                    )
                return replace(record, offer=dict(message.offer), approved=False)
            case dsp.ContractAgreementMessage():
                return self._take_agreement(tx, record, participant, message, now)
            case dsp.ContractAgreementVerificationMessage():
                self._take_signature(tx, record, participant, message)
                return record
            case dsp.ContractNegotiationEventMessage():
                if record.state is NegotiationState.FINALIZED:
                    self._enter_ledger(tx, record, now)
                return record
            case dsp.ContractNegotiationTerminationMessage():
                return replace(record, reason=message.words)
            case _:
                assert_never(message)

    def _react(  # noqa: PLR0911 - one line per state is the clearest table
        self, tx: Transaction, record: ContractNegotiation, now: datetime
    ) -> ContractNegotiation:
        """Say what is to be said next, if it is our turn and nobody has to be asked."""
        if record.pending is not None or record.held is not None:
            return record
        match (record.role, record.state):
            case (Party.PROVIDER, NegotiationState.REQUESTED):
                return self._answer_request(tx, record, now)
            case (Party.PROVIDER, NegotiationState.ACCEPTED):
                return self._agree(tx, record, now)
            case (Party.PROVIDER, NegotiationState.VERIFIED):
                return self._finalize(tx, record, now)
            case (Party.CONSUMER, NegotiationState.OFFERED):
                return self._answer_offer(tx, record, now)
            case (Party.CONSUMER, NegotiationState.AGREED):
                return self._verify(tx, record, now)
            case _:
                return record

    def _answer_request(
        self, tx: Transaction, record: ContractNegotiation, now: datetime
    ) -> ContractNegotiation:
        published = tx.dataset(record.dataset)
        if published is None or not published.dataset.publishing:
            return self._terminate(tx, record, "The dataset is no longer on offer.", now)
        objection = _objection(record, published, now)
        if objection is not None:
            return self._terminate(tx, record, objection, now)
        if published.approval == "manual" and not record.approved:
            return replace(
                record, held="This dataset is offered only after a person has agreed.", updated=now
            )
        return self._agree(tx, record, now)

    def _answer_offer(
        self, tx: Transaction, record: ContractNegotiation, now: datetime
    ) -> ContractNegotiation:
        if not record.approved:
            return replace(record, held="The provider has made another offer than we asked for.", updated=now)
        message = dsp.ContractNegotiationEventMessage(
            provider_pid=record.peer_pid or "", consumer_pid=record.pid, event_type="ACCEPTED"
        )
        return self._send(tx, record, NegotiationMessage.ACCEPTANCE, "events", message, now)

    def _agree(self, tx: Transaction, record: ContractNegotiation, now: datetime) -> ContractNegotiation:
        agreement = self._new_agreement(tx, record, now)
        tx.save_agreement(agreement)
        message = dsp.ContractAgreementMessage(
            provider_pid=record.pid,
            consumer_pid=record.peer_pid or "",
            agreement=agreement.document,
            evidence={"statement": agreement.statement} if agreement.statement else None,
        )
        record = replace(record, agreement_id=agreement.identifier)
        return self._send(tx, record, NegotiationMessage.AGREEMENT, "agreement", message, now)

    def _new_agreement(
        self, tx: Transaction, record: ContractNegotiation, now: datetime
    ) -> ContractAgreement:
        offered = parse_policy(record.offer)
        published = tx.dataset(record.dataset)
        document: JsonObject = {
            "@type": "Agreement",
            "@id": self._identifiers.new(),
            "target": record.dataset,
            "assigner": self._credentials.did,
            "assignee": record.peer,
            "timestamp": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
            **({"profile": list(offered.profiles)} if offered.profiles else {}),
            **cast("JsonObject", write_rules(offered)),
        }
        statement = self._sign(record, document, published, now) if record.signing else None
        return ContractAgreement(
            identifier=str(document["@id"]),
            provider=self._credentials.did,
            consumer=record.peer,
            role=Party.PROVIDER,
            dataset=record.dataset,
            negotiation=record.pid,
            document=document,
            statement=statement,
            documents=self._documents(record),
            signed=False,
            agreed=now,
            peer_address=self._settings.address,
        )

    def _documents(self, record: ContractNegotiation) -> dict[str, JsonObject]:
        own = {self._credentials.did: dict(self._credentials.document.content)}
        return own if record.peer_document is None else {**own, record.peer: record.peer_document}

    def _send(
        self,
        tx: Transaction,
        record: ContractNegotiation,
        kind: NegotiationMessage,
        path: str,
        message: dsp.Message,
        now: datetime,
    ) -> ContractNegotiation:
        return send(
            tx, record, Letter(kind, f"/negotiations/{record.peer_pid}/{path}", self._wire(message)), now
        )

    def _terminate(
        self, tx: Transaction, record: ContractNegotiation, reason: str, now: datetime
    ) -> ContractNegotiation:
        provider = record.role is Party.PROVIDER
        message = dsp.ContractNegotiationTerminationMessage(
            provider_pid=(record.pid if provider else record.peer_pid) or "",
            consumer_pid=(record.peer_pid if provider else record.pid) or "",
            code="refused",
            reason=[reason],
        )
        record = replace(record, reason=reason)
        return self._send(tx, record, NegotiationMessage.TERMINATION, "termination", message, now)

    def _wire(self, message: dsp.Message) -> JsonObject:
        return dsp.to_wire(message.model_copy(update={"id": self._identifiers.new()}))

    # signatures

    def _sign(
        self,
        record: ContractNegotiation,
        agreement: JsonObject,
        published: PublishedDataset | None,
        now: datetime,
    ) -> JsonObject | None:
        """The statement about a new agreement with our proof; None if we know no keys of the counterparty."""
        if record.peer_document is None or published is None:
            return None
        peer = parse_did_document(record.peer_document, did=record.peer)
        statement = self._statement(record, agreement, published.dataset.digest, peer)
        return self._credentials.prove(statement, now)

    def _statement(
        self, record: ContractNegotiation, agreement: JsonObject, dataset_digest: str, peer: DidDocument
    ) -> JsonObject:
        own = _signing_party(self._credentials.document)
        other = _signing_party(peer)
        provider = record.role is Party.PROVIDER
        return agreement_statement(
            agreement=agreement,
            provider_pid=(record.pid if provider else record.peer_pid) or "",
            consumer_pid=(record.peer_pid if provider else record.pid) or "",
            offer_digest=digest(record.offer),
            dataset_digest=dataset_digest,
            parties=(own, other) if provider else (other, own),
        )

    def _take_agreement(
        self,
        tx: Transaction,
        record: ContractNegotiation,
        participant: Participant,
        message: dsp.ContractAgreementMessage,
        now: datetime,
    ) -> ContractNegotiation:
        """The consumer's side: keep the agreement, if it is the one that was negotiated."""
        agreement = dict(message.agreement)
        _require_negotiated(record, agreement, self._credentials.did)
        identifier = str(agreement["@id"])
        if tx.agreement(identifier) is not None:
            raise RequestRefusedError(f"There is an agreement {identifier} already.")
        statement = self._countersign(record, agreement, participant, message.evidence, now)
        tx.save_agreement(
            ContractAgreement(
                identifier=identifier,
                provider=record.peer,
                consumer=self._credentials.did,
                role=Party.CONSUMER,
                dataset=record.dataset,
                negotiation=record.pid,
                document=agreement,
                statement=statement,
                documents=self._documents(record),
                signed=statement is not None,
                agreed=now,
                peer_address=record.peer_address,
            )
        )
        return replace(record, agreement_id=identifier)

    def _countersign(
        self,
        record: ContractNegotiation,
        agreement: JsonObject,
        participant: Participant,
        evidence: JsonObject | None,
        now: datetime,
    ) -> JsonObject | None:
        theirs = (evidence or {}).get("statement")
        if not isinstance(theirs, dict):
            return None
        ours = self._statement(record, agreement, str(theirs.get("datasetDigest")), participant.document)
        require_same_agreement(ours, theirs)
        proofs = verify_proofs(theirs, {participant.did: participant.document})
        require_created_near(proofs, now)
        return self._credentials.prove(theirs, now)

    def _take_signature(
        self,
        tx: Transaction,
        record: ContractNegotiation,
        participant: Participant,
        message: dsp.ContractAgreementVerificationMessage,
    ) -> None:
        """The provider's side: add the consumer's proof to ours."""
        agreement = tx.agreement(record.agreement_id or "")
        proof = (message.evidence or {}).get("proof")
        if agreement is None or agreement.statement is None or not isinstance(proof, dict):
            return
        signed = add_proof(agreement.statement, proof)
        own = self._credentials.document
        verify_proofs(signed, {own.did: own, participant.did: participant.document})
        tx.save_agreement(replace(agreement, statement=signed, signed=True))

    def _verify(self, tx: Transaction, record: ContractNegotiation, now: datetime) -> ContractNegotiation:
        agreement = tx.agreement(record.agreement_id or "")
        if agreement is None or (self._settings.require_signatures and not agreement.signed):
            return self._terminate(tx, record, "The agreement carries no signature of the provider.", now)
        proof = _proof_by(agreement.statement, self._credentials.did)
        message = dsp.ContractAgreementVerificationMessage(
            provider_pid=record.peer_pid or "",
            consumer_pid=record.pid,
            evidence={"proof": proof} if proof else None,
        )
        return self._send(tx, record, NegotiationMessage.VERIFICATION, "agreement/verification", message, now)

    def _finalize(self, tx: Transaction, record: ContractNegotiation, now: datetime) -> ContractNegotiation:
        agreement = tx.agreement(record.agreement_id or "")
        if agreement is None or (self._settings.require_signatures and not agreement.signed):
            return self._terminate(tx, record, "The agreement carries no signature of the consumer.", now)
        message = dsp.ContractNegotiationEventMessage(
            provider_pid=record.pid, consumer_pid=record.peer_pid or "", event_type="FINALIZED"
        )
        return self._send(tx, record, NegotiationMessage.FINALIZATION, "events", message, now)

    def _enter_ledger(self, tx: Transaction, record: ContractNegotiation, now: datetime) -> None:
        """A finalised, signed agreement becomes a file and a line of the ledger."""
        agreement = tx.agreement(record.agreement_id or "")
        if agreement is None or agreement.statement is None or not agreement.signed:
            return
        tx.append_ledger(
            LedgerEntry(
                index=tx.ledger_size(),
                kind="agreement",
                identifier=agreement.identifier,
                agreement_id=agreement.identifier,
                dataset=agreement.dataset,
                leaf=canonical(agreement.statement),
                raw_rows_out=0,
                raw_bytes_out=0,
                result_bytes_out=0,
                recorded=now,
            )
        )
        tx.save_document(agreement.identifier, agreement_file(agreement.statement, agreement.documents))


def negotiation_body(record: ContractNegotiation) -> JsonObject:
    """A negotiation as the counterparty sees it."""
    provider = record.role is Party.PROVIDER
    return dsp.to_wire(
        dsp.ContractNegotiation(
            provider_pid=(record.pid if provider else record.peer_pid) or "",
            consumer_pid=(record.peer_pid if provider else record.pid) or "",
            state=str(record.state),
        )
    )


def _own(tx: Transaction, participant: Participant, pid: str) -> ContractNegotiation:
    """A negotiation, for its counterparty only: for everybody else it does not exist."""
    record = tx.negotiation(pid)
    if record is None or record.peer != participant.did:
        raise UnknownExchangeError(pid)
    return record


def _held(tx: Transaction, pid: str) -> ContractNegotiation:
    record = tx.negotiation(pid)
    if record is None:
        raise UnknownExchangeError(pid)
    if record.held is None:
        raise RequestRefusedError("This negotiation does not wait for a decision.")
    return record


def _kind(message: Inbound) -> NegotiationMessage:
    match message:
        case dsp.ContractRequestMessage():
            return NegotiationMessage.REQUEST
        case dsp.ContractOfferMessage():
            return NegotiationMessage.OFFER
        case dsp.ContractAgreementMessage():
            return NegotiationMessage.AGREEMENT
        case dsp.ContractAgreementVerificationMessage():
            return NegotiationMessage.VERIFICATION
        case dsp.ContractNegotiationEventMessage():
            accepted = message.event_type == "ACCEPTED"
            return NegotiationMessage.ACCEPTANCE if accepted else NegotiationMessage.FINALIZATION
        case dsp.ContractNegotiationTerminationMessage():
            return NegotiationMessage.TERMINATION
        case _:
            assert_never(message)


def _objection(record: ContractNegotiation, published: PublishedDataset, now: datetime) -> str | None:
    """Why a request cannot be granted; None where it can."""
    try:
        requested = parse_policy(record.offer)
        require_enforceable(requested)
    except PolicyRefusedError as refusal:
        return str(refusal)
    offered = published.dataset.offer.policy
    refinement = compare_with_offer(requested, offered)
    if not refinement.within:
        return " ".join(reason["en"] for reason in refinement.reasons)
    decision = evaluate_offer(requested, record.peer, record.purpose, Facts(now))
    return None if decision.permitted else decision.explain("en")


def _require_negotiated(record: ContractNegotiation, agreement: JsonObject, own: str) -> None:
    """Refuse an agreement that is not the offer we asked for."""
    expected = {"target": record.dataset, "assigner": record.peer, "assignee": own}
    for name, value in expected.items():
        if agreement.get(name) != value:
            raise RequestRefusedError(f"The agreement's {name} is {agreement.get(name)!r}, not {value!r}.")
    if not same_rules(parse_policy(agreement), parse_policy(record.offer)):
        raise RequestRefusedError("The agreement's rules are not those of the offer that we asked for.")


def _signing_party(document: DidDocument) -> SigningParty:
    return SigningParty(document.did, document.did + CONTRACTS, document.digest)


def _proof_by(statement: JsonObject | None, did: str) -> JsonObject | None:
    if statement is None:
        return None
    return next(
        (
            dict(proof)
            for proof in proofs_of(statement)
            if str(proof["verificationMethod"]).startswith(did + "#")
        ),
        None,
    )
