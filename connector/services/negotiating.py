"""Negotiating contracts: both roles, from the first request to the signed agreement.

Source:
    Dataspace Protocol 2025-1, contract negotiation; docs/adr/0003-exchanges.md.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, assert_never, cast

from connector.evidence.documents import digest
from connector.ports import (
    Clock,
    Credentials,
    Identifiers,
    Participant,
    Store,
    StoredAnswer,
    Transaction,
    Wake,
)
from connector.protocol.exchange import receive
from connector.protocol.machine import Party
from connector.protocol.negotiation import (
    ContractNegotiation,
    NegotiationMessage,
    NegotiationState,
    new_negotiation,
)
from connector.protocol.workflow import NEGOTIATION_ACTIONS, Action, Situation, Workflow
from connector.services.agreeing import Agreeing, enter_ledger, states_same_rules
from connector.services.deciding import Decided, Deciding
from connector.services.exchanging import (
    Delivery,
    Letter,
    RequestRefusedError,
    UnknownExchangeError,
    accepted,
    addressed,
    exchange_of,
    forget_pending,
    moved,
    once,
    send,
)
from connector.services.inheriting import taken_over
from policies.actions import USE
from policies.circumstances import NOTHING_STATED, Circumstances
from policies.errors import PolicyRefusedError
from policies.evaluation import Facts, evaluate_offer
from policies.inheritance import is_heir
from policies.model import LanguageMap
from policies.odrl import parse_policy
from policies.refinement import compare_with_offer
from policies.terms import require_enforceable
from policies.wording import together
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

_MOST_UNDERSTOOD = 256
SIGNING = "eddsa-jcs-2022"
"""The signature suite that we announce and expect (W3C Data Integrity)."""


@dataclass(frozen=True, slots=True)
class NegotiationSettings:
    """How this participant negotiates.

    Attributes:
        address: Our DSP base address: the callback address of our messages.
        require_signatures: Whether an agreement without both signatures is not even concluded.
        circumstances: What we state about ourselves, the calendar and our partners.
    """

    address: str
    require_signatures: bool = False
    circumstances: Circumstances = NOTHING_STATED


@dataclass(frozen=True, slots=True)
class WantedContract:
    """A contract that we ask for.

    Attributes:
        provider: The provider's DID.
        address: Its DSP base address.
        dataset: IRI of the dataset.
        offer: The offer, as in its catalog.
        purpose: What the data are to be used for, as an absolute IRI.
    """

    provider: str
    address: str
    dataset: str
    offer: JsonObject
    purpose: str | None = None


class Negotiating:
    """Takes and sends the messages of contract negotiations.

    Args:
        store: Where negotiations and agreements are kept.
        clock: Tells the time.
        identifiers: Names what is new.
        credentials: Our identity and signature.
        settings: How we negotiate.
        workflow: Rules that override what policies decide.
        wake: Called with the pid of an exchange that has moved.
        deciding: Writes decisions into the ledger.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        credentials: Credentials,
        settings: NegotiationSettings,
        workflow: Workflow,
        wake: Wake,
        deciding: Deciding,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._credentials = credentials
        self._settings = settings
        self._workflow = workflow
        self._agreeing = Agreeing(identifiers=identifiers, credentials=credentials, address=settings.address)
        self._wake = wake
        self._deciding = deciding

    # what the steward and the query API ask for

    async def request(self, wanted: WantedContract) -> str:
        """Ask a provider for a contract on one of its offers.

        Args:
            wanted: What we ask for.

        Returns:
            Our pid of the negotiation.

        Raises:
            PolicyRefusedError: The offer contains a term that we do not know, or takes over
                rules that we do not have; we accept no contract that we do not understand.
        """
        now = self._clock.now()
        offer = wanted.offer
        if is_heir(offer):
            offer = await self._store.transact(lambda tx: taken_over(tx, wanted.offer))
        _require_understood(json.dumps(offer, sort_keys=True), wanted.dataset)
        record = new_negotiation(
            pid=self._identifiers.new(),
            role=Party.CONSUMER,
            peer=wanted.provider,
            address=wanted.address,
            offer={**offer, "target": wanted.dataset},
            now=now,
            purpose=wanted.purpose,
        )
        declared: JsonObject = {"signing": [SIGNING]}
        message = dsp.ContractRequestMessage(
            id=self._identifiers.new(),
            consumer_pid=record.pid,
            offer=record.offer,
            callback_address=self._settings.address,
            evidence={**declared, "purpose": wanted.purpose} if wanted.purpose else declared,
        )
        return await self._begin(record, NegotiationMessage.REQUEST, message, now)

    async def offer(self, *, consumer: str, address: str, dataset: str) -> str:
        """Make an offer to a consumer that has not asked for one.

        Args:
            consumer: The consumer's DID.
            address: Its DSP base address.
            dataset: IRI of a dataset of ours.

        Returns:
            Our pid of the negotiation.

        Raises:
            UnknownExchangeError: The dataset is not on offer.
        """
        now = self._clock.now()
        published = await self._store.transact(lambda tx: tx.dataset(dataset))
        if published is None or not published.dataset.publishing:
            raise UnknownExchangeError(dataset)
        record = new_negotiation(
            pid=self._identifiers.new(),
            role=Party.PROVIDER,
            peer=consumer,
            address=address,
            offer={**cast("JsonObject", dict(published.dataset.offer.document)), "target": dataset},
            now=now,
        )
        message = dsp.ContractOfferMessage(
            id=self._identifiers.new(),
            provider_pid=record.pid,
            offer=record.offer,
            callback_address=self._settings.address,
        )
        return await self._begin(record, NegotiationMessage.OFFER, message, now)

    async def _begin(
        self, record: ContractNegotiation, kind: NegotiationMessage, message: dsp.Message, now: datetime
    ) -> str:
        letter = Letter(kind, f"/negotiations/{_OPENINGS[kind]}", dsp.to_wire(message))
        await self._store.transact(lambda tx: tx.save_negotiation(send(tx, record, letter, now)))
        self._wake(record.pid)
        return record.pid

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
        self._wake(pid)

    async def reject(self, pid: str, reason: str) -> None:
        """Turn down a negotiation that was held for a person, and tell the counterparty why.

        Raises:
            UnknownExchangeError: There is no such negotiation.
            RequestRefusedError: It does not wait for a decision.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            record = replace(_held(tx, pid), held=None)
            tx.save_negotiation(self._terminate(tx, record, _words_of_a_person(reason), now))

        await self._store.transact(work)
        self._wake(pid)

    # what counterparties send

    async def opened(
        self,
        participant: Participant,
        delivery: Delivery,
        message: dsp.ContractRequestMessage | dsp.ContractOfferMessage,
    ) -> StoredAnswer:
        """Take the first message of a negotiation: a consumer's request, or a provider's offer.

        Raises:
            UnknownExchangeError: The requested dataset is not on offer.
            RequestRefusedError: The message repeats a pid with other content.
            PolicyRefusedError: A provider's offer takes over rules that we do not have.
            TooManyRefusalsError: Too many negotiations of this participant have been refused just now.
        """
        now = self._clock.now()

        def take(tx: Transaction) -> StoredAnswer:
            # Later messages need no such limit: a negotiation is refused once, and then it is over.
            self._deciding.require_patience(participant.did)
            record = self._open(tx, participant, message, now)
            record = moved(record, receive(exchange_of(record), _kind(message)), now)
            tx.save_negotiation(self._react(tx, record, now))
            return StoredAnswer(201, negotiation_body(record))

        return await self._store.transact(lambda tx: once(tx, delivery, now, lambda: take(tx)))

    async def received(
        self, participant: Participant, pid: str, delivery: Delivery, message: Inbound
    ) -> StoredAnswer:
        """Take a later message of a negotiation.

        Raises:
            UnknownExchangeError: There is no such negotiation with this participant.
            RemoteProtocolError: The protocol does not allow the message now.
            RequestRefusedError: Its content does not fit the negotiation.
            PolicyRefusedError: A provider's offer takes over rules that we do not have, or an
                agreement takes over any.
            EvidenceError: A signature in it is wrong.
        """
        now = self._clock.now()

        def take(tx: Transaction) -> StoredAnswer:
            before = addressed(_own(tx, participant, pid), message.provider_pid, message.consumer_pid)
            if _is_said_again(tx, before, message):
                return StoredAnswer(200, None)
            kind = _kind(message)
            after = moved(before, receive(exchange_of(before), kind), now)
            after = replace(after, peer_document=_content(participant), held=None)
            forget_pending(tx, before, after)
            after = self._absorb(tx, after, participant, message, now)
            tx.save_negotiation(self._react(tx, after, now))
            return StoredAnswer(200, None)

        answer = await self._store.transact(lambda tx: once(tx, delivery, now, lambda: take(tx)))
        self._wake(pid)
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
        record = accepted(record, answer, now)
        if record.state is NegotiationState.FINALIZED:
            self._enter(tx, record, now)
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
            reason=_words_of_a_person(reason) if opening else record.reason,
            held=None if opening else f"The counterparty refused our message: {reason}",
        )
        tx.save_negotiation(record)

    # the parts

    def _open(
        self,
        tx: Transaction,
        participant: Participant,
        message: dsp.ContractRequestMessage | dsp.ContractOfferMessage,
        now: datetime,
    ) -> ContractNegotiation:
        requested = isinstance(message, dsp.ContractRequestMessage)
        peer_pid = message.consumer_pid if requested else message.provider_pid
        if peer_pid is None or tx.negotiation_of(participant.did, peer_pid) is not None:
            raise RequestRefusedError(f"There is a negotiation with the pid {peer_pid} already.")
        if requested:
            _require_offered(tx, str(message.offer["target"]))
        declared = (message.evidence or {}) if isinstance(message, dsp.ContractRequestMessage) else {}
        purpose, signing = declared.get("purpose"), declared.get("signing")
        record = new_negotiation(
            pid=self._identifiers.new(),
            role=Party.PROVIDER if requested else Party.CONSUMER,
            peer=participant.did,
            address=str(message.callback_address),
            offer=_with_all_rules(tx, message),
            now=now,
            purpose=purpose if isinstance(purpose, str) else None,
        )
        return replace(
            record,
            peer_pid=peer_pid,
            peer_document=_content(participant),
            signing=isinstance(signing, list) and SIGNING in signing,
        )

    def _enter(self, tx: Transaction, record: ContractNegotiation, now: datetime) -> None:
        """A contract comes into force: what both have signed enters the ledger, or else our decision does."""
        if enter_ledger(tx, self._credentials, record, now) or record.role is not Party.PROVIDER:
            return
        decided = Decided(
            requester=record.peer,
            agreement_id=record.agreement_id or record.pid,
            dataset=record.dataset,
            action=USE,
            purpose=record.purpose,
            request_digest=digest(record.offer),
            reason=_WITHOUT_SIGNATURES,
        )
        self._deciding.permit(tx, decided)

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
                return replace(record, offer=_with_all_rules(tx, message), approved=False)
            case dsp.ContractAgreementMessage():
                identifier = self._agreeing.take(
                    tx, record, participant, dict(message.agreement), message.evidence, now
                )
                return replace(record, agreement_id=identifier)
            case dsp.ContractAgreementVerificationMessage():
                self._agreeing.complete(tx, record, participant, message.evidence)
                return record
            case dsp.ContractNegotiationEventMessage():
                if record.state is NegotiationState.FINALIZED:
                    self._enter(tx, record, now)
                return record
            case dsp.ContractNegotiationTerminationMessage():
                return replace(record, reason=message.said)
            case _:
                assert_never(message)

    # what we say next

    def _react(self, tx: Transaction, record: ContractNegotiation, now: datetime) -> ContractNegotiation:
        """Say what is to be said next, if it is our turn and nobody has to be asked."""
        if record.pending is not None or record.held is not None or record.state is None:
            return record
        rule = self._workflow.for_negotiation(
            Situation(record.role, record.dataset, record.state, record.occurrences.get(record.state, 0))
        )
        if rule is None or (record.approved and rule.action is Action.HOLD):
            return self._by_policy(tx, record, now)
        if rule.action is Action.HOLD:
            return replace(record, held="A workflow rule asks for a person here.", updated=now)
        kind = NEGOTIATION_ACTIONS.get(rule.action)
        return record if kind is None else self._by_rule(tx, record, kind, rule.delay, now)

    def _by_rule(
        self,
        tx: Transaction,
        record: ContractNegotiation,
        kind: NegotiationMessage,
        delay: timedelta,
        now: datetime,
    ) -> ContractNegotiation:
        """A rule says when, but never that an offer may be exceeded or a signature be missing."""
        if kind is NegotiationMessage.AGREEMENT:
            objection = _objection(tx, record, self._facts(record, now))
            if objection is not None:
                return self._terminate(tx, record, objection, now)
        if kind in {NegotiationMessage.VERIFICATION, NegotiationMessage.FINALIZATION}:
            return self._conclude(tx, record, kind, now, delay=delay)
        return self._say(tx, record, kind, now, delay=delay)

    def _by_policy(self, tx: Transaction, record: ContractNegotiation, now: datetime) -> ContractNegotiation:
        match (record.role, record.state):
            case (Party.PROVIDER, NegotiationState.REQUESTED):
                return self._answer_request(tx, record, now)
            case (Party.PROVIDER, NegotiationState.ACCEPTED):
                return self._say(tx, record, NegotiationMessage.AGREEMENT, now)
            case (Party.PROVIDER, NegotiationState.VERIFIED):
                return self._conclude(tx, record, NegotiationMessage.FINALIZATION, now)
            case (Party.CONSUMER, NegotiationState.OFFERED):
                return self._answer_offer(tx, record, now)
            case (Party.CONSUMER, NegotiationState.AGREED):
                return self._conclude(tx, record, NegotiationMessage.VERIFICATION, now)
            case _:
                return record

    def _facts(self, record: ContractNegotiation, now: datetime) -> Facts:
        return self._settings.circumstances.facts(now, record.peer)

    def _answer_request(
        self, tx: Transaction, record: ContractNegotiation, now: datetime
    ) -> ContractNegotiation:
        published = tx.dataset(record.dataset)
        objection = _objection(tx, record, self._facts(record, now))
        if objection is not None:
            return self._terminate(tx, record, objection, now)
        if published is not None and published.approval == "manual" and not record.approved:
            return replace(
                record, held="This dataset is offered only after a person has agreed.", updated=now
            )
        return self._say(tx, record, NegotiationMessage.AGREEMENT, now)

    def _answer_offer(
        self, tx: Transaction, record: ContractNegotiation, now: datetime
    ) -> ContractNegotiation:
        if not record.approved:
            return replace(record, held="The provider has made another offer than we asked for.", updated=now)
        return self._say(tx, record, NegotiationMessage.ACCEPTANCE, now)

    def _conclude(
        self,
        tx: Transaction,
        record: ContractNegotiation,
        kind: NegotiationMessage,
        now: datetime,
        *,
        delay: timedelta = timedelta(0),
    ) -> ContractNegotiation:
        """Verify or finalise an agreement, if it is signed as far as we insist on.

        Unsigned, it is flagged as such, and the provider's dataset decides at each access.
        """
        agreement = tx.agreement(record.agreement_id or "")
        if agreement is None or (self._settings.require_signatures and not agreement.signed):
            return self._terminate(tx, record, _NOT_SIGNED, now)
        return self._say(tx, record, kind, now, delay=delay)

    def _terminate(
        self, tx: Transaction, record: ContractNegotiation, reason: LanguageMap, now: datetime
    ) -> ContractNegotiation:
        return self._say(tx, replace(record, reason=reason), NegotiationMessage.TERMINATION, now)

    def _say(
        self,
        tx: Transaction,
        record: ContractNegotiation,
        kind: NegotiationMessage,
        now: datetime,
        *,
        delay: timedelta = timedelta(0),
    ) -> ContractNegotiation:
        if kind is NegotiationMessage.OFFER:
            # What is agreed is the offer on the table, and from now on that is this one.
            record = replace(record, offer=_offer_of_ours(tx, record))
        if kind is NegotiationMessage.AGREEMENT:
            agreement = self._agreeing.grant(tx, record, now)
            record = replace(record, agreement_id=agreement.identifier)
        if kind is NegotiationMessage.TERMINATION and record.role is Party.PROVIDER:
            self._deciding.write(tx, _refused(record), account=record.peer)
        message = self._message(tx, record, kind).model_copy(update={"id": self._identifiers.new()})
        path = f"/negotiations/{record.peer_pid}/{_PATHS[kind]}"
        return send(tx, record, Letter(kind, path, dsp.to_wire(message), delay), now)

    def _message(  # noqa: PLR0911 - one message of the protocol each
        self, tx: Transaction, record: ContractNegotiation, kind: NegotiationMessage
    ) -> dsp.Message:
        provider_pid, consumer_pid = record.pids
        pids = {"provider_pid": provider_pid, "consumer_pid": consumer_pid}
        agreement = tx.agreement(record.agreement_id or "")
        match kind:
            case NegotiationMessage.REQUEST:
                return dsp.ContractRequestMessage(offer=record.offer, **pids)
            case NegotiationMessage.OFFER:
                return dsp.ContractOfferMessage(offer=record.offer, **pids)
            case NegotiationMessage.ACCEPTANCE:
                return dsp.ContractNegotiationEventMessage(event_type="ACCEPTED", **pids)
            case NegotiationMessage.AGREEMENT:
                assert agreement is not None  # noqa: S101 - granted just before
                evidence: JsonObject | None = (
                    {"statement": agreement.statement} if agreement.statement else None
                )
                return dsp.ContractAgreementMessage(agreement=agreement.document, evidence=evidence, **pids)
            case NegotiationMessage.VERIFICATION:
                proof = self._agreeing.own_proof(agreement) if agreement else None
                return dsp.ContractAgreementVerificationMessage(
                    evidence={"proof": proof} if proof else None, **pids
                )
            case NegotiationMessage.FINALIZATION:
                return dsp.ContractNegotiationEventMessage(event_type="FINALIZED", **pids)
            case NegotiationMessage.TERMINATION:
                reason = dsp.reasons_in_languages(record.reason or _ENDED_BY_RULE)
                return dsp.ContractNegotiationTerminationMessage(code="refused", reason=reason, **pids)
            case _:
                assert_never(kind)


_OPENINGS = {NegotiationMessage.REQUEST: "request", NegotiationMessage.OFFER: "offers"}
"""Where the first message of a negotiation goes, below the counterparty's base address."""

_PATHS = {
    NegotiationMessage.REQUEST: "request",
    NegotiationMessage.OFFER: "offers",
    NegotiationMessage.ACCEPTANCE: "events",
    NegotiationMessage.AGREEMENT: "agreement",
    NegotiationMessage.VERIFICATION: "agreement/verification",
    NegotiationMessage.FINALIZATION: "events",
    NegotiationMessage.TERMINATION: "termination",
}
"""Where each message goes, below the counterparty's address of the negotiation."""


@lru_cache(maxsize=_MOST_UNDERSTOOD)
def _require_understood(offer: str, dataset: str) -> None:
    """Refuse an offer with a term that we do not know; one that was understood stays so."""
    # Noise is drawn by the provider; whoever asks needs nothing for it.
    require_enforceable(parse_policy(json.loads(offer), default_target=dataset), noise=True)


def _with_all_rules(
    tx: Transaction, message: dsp.ContractRequestMessage | dsp.ContractOfferMessage
) -> JsonObject:
    """The offer in a message, with the rules that it takes over.

    A consumer's request that cannot be given them stays as it is, and is then
    refused like any other, with the reason in the ledger.

    Raises:
        PolicyRefusedError: A provider's offer cannot be given them.
    """
    try:
        return taken_over(tx, dict(message.offer))
    except PolicyRefusedError:
        if isinstance(message, dsp.ContractOfferMessage):
            raise
        return dict(message.offer)


def _require_offered(tx: Transaction, dataset: str) -> None:
    published = tx.dataset(dataset)
    if published is None or not published.dataset.publishing:
        raise UnknownExchangeError(dataset)


def _offer_of_ours(tx: Transaction, record: ContractNegotiation) -> JsonObject:
    """The dataset's own offer where there is one; otherwise the offer on the table, repeated."""
    published = tx.dataset(record.dataset)
    if published is None or record.role is not Party.PROVIDER:
        return record.offer
    return {**cast("JsonObject", dict(published.dataset.offer.document)), "target": record.dataset}


_ENDED_BY_RULE: Final[LanguageMap] = {
    "de": "Eine Workflow-Regel beendet diese Verhandlung.",
    "en": "A workflow rule ends this negotiation.",
}
_NOT_SIGNED: Final[LanguageMap] = {
    "de": "Die andere Seite hat den Vertrag nicht unterschrieben.",
    "en": "The agreement is not signed by the counterparty.",
}
_NO_LONGER_ON_OFFER: Final[LanguageMap] = {
    "de": "Der Datensatz wird nicht mehr angeboten.",
    "en": "The dataset is no longer on offer.",
}
_PARENTS_WERE_MISSING: Final[LanguageMap] = {
    "de": "Die Verträge, deren Regeln die Anfrage übernimmt, lagen nicht vor, als sie kam; senden Sie sie "
    "noch einmal.",
    "en": "The policies whose rules the request takes over were not at hand when it arrived; send it again.",
}


_WITHOUT_SIGNATURES: LanguageMap = {
    "de": "Der Vertrag ist in Kraft, aber nicht von beiden Seiten unterschrieben.",
    "en": "The agreement is in force, but not signed by both parties.",
}


def _words_of_a_person(words: str) -> LanguageMap:
    """What a person or a partner has said: nobody translates it."""
    return {"de": words, "en": words}


def _refused(record: ContractNegotiation) -> Decided:
    """The contract that we do not grant; its reason is the one that the consumer is told."""
    return Decided(
        requester=record.peer,
        agreement_id=record.pid,
        dataset=record.dataset,
        action=USE,
        purpose=record.purpose,
        request_digest=digest(record.offer),
        reason=record.reason or _ENDED_BY_RULE,
    )


def negotiation_body(record: ContractNegotiation) -> JsonObject:
    """A negotiation as the counterparty sees it."""
    provider_pid, consumer_pid = record.pids
    return dsp.to_wire(
        dsp.ContractNegotiation(provider_pid=provider_pid, consumer_pid=consumer_pid, state=str(record.state))
    )


def _content(participant: Participant) -> JsonObject | None:
    return None if participant.document is None else dict(participant.document.content)


def _own(tx: Transaction, participant: Participant, pid: str) -> ContractNegotiation:
    """A negotiation, for its counterparty only: for everybody else it does not exist."""
    record = tx.negotiation(pid)
    if record is None or record.peer != participant.did:
        raise UnknownExchangeError(pid)
    return record


def _is_said_again(tx: Transaction, record: ContractNegotiation, message: Inbound) -> bool:
    """Whether a partner repeats itself in a new message: EDC does, and gives up if that is refused."""
    if record.role is Party.PROVIDER:
        verified = record.state is NegotiationState.VERIFIED
        return verified and isinstance(message, dsp.ContractAgreementVerificationMessage)
    if isinstance(message, dsp.ContractAgreementMessage):
        known = tx.agreement(record.agreement_id or "")
        return record.state in _AGREED_AND_LATER and known is not None and known.document == message.agreement
    return (
        isinstance(message, dsp.ContractNegotiationEventMessage)
        and _kind(message) is NegotiationMessage.FINALIZATION
        and record.state is NegotiationState.FINALIZED
    )


_AGREED_AND_LATER = frozenset(
    {NegotiationState.AGREED, NegotiationState.VERIFIED, NegotiationState.FINALIZED}
)


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


def _objection(tx: Transaction, record: ContractNegotiation, facts: Facts) -> LanguageMap | None:
    """Why a request cannot be granted; None where it can."""
    published = tx.dataset(record.dataset)
    if published is None or not published.dataset.publishing:
        return _NO_LONGER_ON_OFFER
    if is_heir(record.offer):
        return _not_taken_over(tx, record.offer)
    offered = published.dataset.offer
    requested = offered.policy
    if not states_same_rules(record.offer, cast("JsonObject", offered.document)):
        try:
            requested = parse_policy(record.offer)
            require_enforceable(requested)
        except PolicyRefusedError as refusal:
            return refusal.reason
        refinement = compare_with_offer(requested, offered.policy)
        if not refinement.within:
            return together(refinement.reasons)
    decision = evaluate_offer(replace(requested, target=record.dataset), record.peer, record.purpose, facts)
    if decision.permitted:
        return None
    return {language: decision.explain(language) for language in ("de", "en")}


def _not_taken_over(tx: Transaction, offer: JsonObject) -> LanguageMap:
    """Why a request was not given the rules that it takes over when it arrived."""
    try:
        taken_over(tx, offer)
    except PolicyRefusedError as refusal:
        return refusal.reason
    return _PARENTS_WERE_MISSING
