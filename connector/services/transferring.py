"""Transferring: opening, using and ending access to a dataset under an agreement.

Source:
    Dataspace Protocol 2025-1, transfer process; docs/adr/0003-exchanges.md.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Final, assert_never

from connector.ports import Clock, Identifiers, Participant, Store, StoredAnswer, Transaction, Wake
from connector.protocol.exchange import LocalProtocolError, receive
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement, Retirement
from connector.protocol.transfer import (
    CLOSING,
    RAW_FORMATS,
    TransferFormat,
    TransferMessage,
    TransferProcess,
    TransferState,
)
from connector.protocol.workflow import TRANSFER_ACTIONS, Situation, Workflow
from connector.services.agreeing import missing_signature
from connector.services.deciding import Decided, Deciding, permitted_under, refused_under
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
from policies.actions import COMPUTE, QUERY, REPRODUCE, USE
from policies.circumstances import NOTHING_STATED, Circumstances, Uses
from policies.evaluation import Request, Where, evaluate
from policies.model import LanguageMap
from policies.odrl import parse_policy
from policies.restrictions import offers_raw_data
from schemas import messages as dsp
from schemas.strict_json import JsonObject
from schemas.vocabulary import ALLMENDE

HTTP_ARROW = ALLMENDE + "HttpArrow"
"""Endpoint type of our data plane: HTTP with Arrow IPC bodies."""
FILE_PATH: Final = "/file"
"""Where the data file as it is lies, below the data plane's address."""
RETIRED: Final = ALLMENDE + "agreementRetired"
"""Code of a termination that ends the whole agreement: no new transfer process will be started under it."""
RECEIVED_PATH: Final = "/received"
"""Where we take data files that are pushed, below the data plane's address; our pid follows."""

Inbound = (
    dsp.TransferStartMessage
    | dsp.TransferSuspensionMessage
    | dsp.TransferCompletionMessage
    | dsp.TransferTerminationMessage
)


class StartRefusedError(RequestRefusedError):
    """The agreement does not permit that a transfer process starts.

    Attributes:
        agreement: The agreement.
        reason: Why, per language.
    """

    def __init__(self, agreement: ContractAgreement, reason: LanguageMap) -> None:
        super().__init__(reason["en"])
        self.agreement = agreement
        self.reason = reason


def token_digest(token: str) -> str:
    """How an access token is stored: its SHA-256, never itself."""
    return hashlib.sha256(token.encode()).hexdigest()


class Transferring:
    """Takes and sends the messages of transfer processes.

    Args:
        store: Where transfer processes are kept.
        clock: Tells the time.
        identifiers: Names what is new, and makes access tokens.
        address: Our DSP base address.
        data_plane: Base address of our data plane.
        workflow: Rules that override what a provider does by itself.
        wake: Called with the pid of an exchange that has moved.
        deciding: Writes decisions into the ledger.
        circumstances: What we state about ourselves, the calendar and our partners.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        address: str,
        data_plane: str,
        workflow: Workflow,
        wake: Wake,
        deciding: Deciding,
        circumstances: Circumstances = NOTHING_STATED,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._address = address
        self._data_plane = data_plane
        self._workflow = workflow
        self._wake = wake
        self._deciding = deciding
        self._circumstances = circumstances
        # Filled inside transactions, which run in a thread of their own.
        self._pushes: SimpleQueue[str] = SimpleQueue()

    def due_pushes(self) -> tuple[str, ...]:
        """Our pids of the pushes that have been started since the last call."""
        found = []
        try:
            while True:
                found.append(self._pushes.get_nowait())
        except Empty:
            return tuple(found)

    async def request(self, agreement_id: str, transfer_format: str) -> str:
        """Ask the provider for access under an agreement, or find the access that we have.

        Args:
            agreement_id: IRI of the agreement.
            transfer_format: What for.

        Returns:
            Our pid of the transfer process.

        Raises:
            UnknownExchangeError: We hold no such agreement as a consumer.
            RequestRefusedError: The negotiation has not been finalised.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> str:
            agreement = _consumed(tx, agreement_id)
            # A provider sees our credentials as we ask for access: a newer one has to be shown.
            newest = max((one.kept for one in tx.held_credentials()), default=None)
            for known in tx.transfers():
                is_shown = newest is None or known.created >= newest
                if is_shown and _usable(known, agreement_id, transfer_format):
                    return known.pid
            record = self._new_request(agreement, transfer_format, now)
            tx.save_transfer(self._open(tx, record, now))
            return record.pid

        pid = await self._store.transact(work)
        self._wake(pid)
        return pid

    def _new_request(
        self, agreement: ContractAgreement, transfer_format: str, now: datetime
    ) -> TransferProcess:
        return TransferProcess(
            pid=self._identifiers.new(),
            role=Party.CONSUMER,
            peer=agreement.provider,
            peer_pid=None,
            peer_address=agreement.peer_address,
            agreement_id=agreement.identifier,
            transfer_format=transfer_format,
            state=None,
            pending=None,
            data_address=None,
            token_digest=None,
            reason=None,
            occurrences={},
            created=now,
            updated=now,
        )

    def _open(self, tx: Transaction, record: TransferProcess, now: datetime) -> TransferProcess:
        address: dsp.DataAddress | None = None
        if record.transfer_format == TransferFormat.PUSH:
            token = self._identifiers.secret()
            address = dsp.push_data_address(f"{self._data_plane}{RECEIVED_PATH}/{record.pid}", token)
            record = replace(record, token_digest=token_digest(token))
        message = dsp.TransferRequestMessage(
            id=self._identifiers.new(),
            consumer_pid=record.pid,
            agreement_id=record.agreement_id,
            format=record.transfer_format,
            callback_address=self._address,
            data_address=address,
        )
        return send(
            tx, record, Letter(TransferMessage.REQUEST, "/transfers/request", dsp.to_wire(message)), now
        )

    async def opened(
        self, participant: Participant, delivery: Delivery, message: dsp.TransferRequestMessage
    ) -> StoredAnswer:
        """Take a consumer's request for access.

        Raises:
            UnknownExchangeError: There is no such agreement with this participant.
            RequestRefusedError: The agreement or the format does not allow it.
            TooManyRefusalsError: It is refused, like too many before it.
        """
        now = self._clock.now()

        def take(tx: Transaction) -> StoredAnswer:
            known = tx.transfer_of(participant.did, message.consumer_pid)
            if known is not None:
                return StoredAnswer(201, transfer_body(known))
            record = self._granted(tx, participant, message, now)
            record = moved(record, receive(exchange_of(record), TransferMessage.REQUEST), now)
            tx.save_transfer(self._react(tx, record, now))
            return StoredAnswer(201, transfer_body(record))

        try:
            return await self._store.transact(lambda tx: once(tx, delivery, now, lambda: take(tx)))
        except StartRefusedError as refusal:
            refused = _refused(refusal, message, delivery)
            await self._store.transact(lambda tx: self._deciding.tell(tx, refused))
            raise

    async def received(
        self, participant: Participant, pid: str, delivery: Delivery, message: Inbound
    ) -> StoredAnswer:
        """Take a later message of a transfer process.

        Raises:
            UnknownExchangeError: There is no such transfer with this participant.
            RemoteProtocolError: The protocol does not allow the message now.
        """
        now = self._clock.now()

        def take(tx: Transaction) -> StoredAnswer:
            before = addressed(_own(tx, participant, pid), message.provider_pid, message.consumer_pid)
            after = moved(before, receive(exchange_of(before), _kind(message)), now)
            forget_pending(tx, before, after)
            after = _absorb(after, message)
            _note_retirement(tx, after, message, now)
            resumed = after.role is Party.PROVIDER and isinstance(message, dsp.TransferStartMessage)
            tx.save_transfer(self._react(tx, after, now, resumed=resumed))
            return StoredAnswer(200, transfer_body(after))

        answer = await self._store.transact(lambda tx: once(tx, delivery, now, lambda: take(tx)))
        self._wake(pid)
        return answer

    async def move(self, pid: str, kind: TransferMessage, reason: str | None = None) -> None:
        """Suspend, resume, complete or terminate a transfer process, as either party may.

        Args:
            pid: Our pid of it.
            kind: What to tell the counterparty.
            reason: Why.

        Raises:
            UnknownExchangeError: There is no such transfer process.
            LocalProtocolError: The protocol does not allow it now.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            record = tx.transfer(pid)
            if record is None:
                raise UnknownExchangeError(pid)
            tx.save_transfer(self._say(replace(record, reason=reason), kind, tx, now))

        await self._store.transact(work)
        self._wake(pid)

    def end_all(self, tx: Transaction, agreement_id: str, reason: str, now: datetime) -> None:
        """Terminate what runs under an agreement that its provider has ended.

        A token stays with its transfer process: whoever shows it is told why it opens nothing.
        """
        for record in tx.transfers():
            ours = record.role is Party.PROVIDER and record.agreement_id == agreement_id
            if ours and exchange_of(record).may_propose(TransferMessage.TERMINATION):
                ended = self._say(replace(record, reason=reason), TransferMessage.TERMINATION, tx, now)
                tx.save_transfer(replace(ended, token_digest=record.token_digest))

    async def shown(self, participant: Participant, pid: str) -> JsonObject:
        """The state of a transfer process, for the counterparty.

        Raises:
            UnknownExchangeError: There is no such transfer with this participant.
        """
        record = await self._store.transact(lambda tx: _own(tx, participant, pid))
        if record.state is None:
            raise UnknownExchangeError(pid)
        return transfer_body(record)

    def acknowledged(self, tx: Transaction, pid: str, answer: JsonObject | None, now: datetime) -> None:
        """The counterparty has taken our message: the state moves."""
        record = tx.transfer(pid)
        if record is None or record.pending is None:
            return
        record = _without_access(accepted(record, answer, now))
        tx.save_transfer(self._react(tx, record, now))

    def refused(self, tx: Transaction, pid: str, reason: str, now: datetime) -> None:
        """The counterparty has refused our message; a refused request ends the transfer."""
        record = tx.transfer(pid)
        if record is None:
            return
        state = TransferState.TERMINATED if record.state is None else record.state
        tx.save_transfer(replace(record, state=state, pending=None, reason=reason, updated=now))

    def _granted(
        self, tx: Transaction, participant: Participant, message: dsp.TransferRequestMessage, now: datetime
    ) -> TransferProcess:
        agreement = tx.agreement(message.agreement_id)
        if agreement is None or agreement.role is not Party.PROVIDER or agreement.consumer != participant.did:
            raise UnknownExchangeError(message.agreement_id)
        _require_finalised(tx, agreement)
        _require_signed(tx, agreement)
        permission = _start_permission(tx, agreement, now, self._circumstances)
        if message.format not in tuple(TransferFormat):
            raise RequestRefusedError(
                f"The format {message.format!r} is not on offer; offered are: {', '.join(TransferFormat)}."
            )
        if message.format in RAW_FORMATS:
            _require_raw_data(tx, agreement, message.format)
        begins = permitted_under(
            agreement,
            permission,
            action=_ACTIONS.get(message.format, USE),
            purpose=None,
            request_digest=_request_digest(message),
        )
        self._deciding.permit(tx, begins)
        return TransferProcess(
            pid=self._identifiers.new(),
            role=Party.PROVIDER,
            peer=participant.did,
            peer_pid=message.consumer_pid,
            peer_address=str(message.callback_address).rstrip("/"),
            agreement_id=agreement.identifier,
            transfer_format=message.format,
            state=None,
            pending=None,
            data_address=_destination(message) if message.format == TransferFormat.PUSH else None,
            token_digest=None,
            reason=None,
            occurrences={},
            created=now,
            updated=now,
        )

    def _react(
        self, tx: Transaction, record: TransferProcess, now: datetime, *, resumed: bool = False
    ) -> TransferProcess:
        """Do what a workflow rule says; without one, a provider starts a requested transfer at once.

        A consumer that resumes has no way in: its provider answers with a start
        of its own, which carries a new address and token; EDC expects that, too.
        Access that the provider has closed itself stays closed until its own
        people start the transfer again.
        """
        if record.pending is not None or record.state is None:
            return record
        rule = self._workflow.for_transfer(
            Situation(record.role, record.agreement_id, record.state, record.occurrences.get(record.state, 0))
        )
        if rule is None:
            requested = record.role is Party.PROVIDER and record.state is TransferState.REQUESTED
            if requested or (resumed and record.token_digest is not None):
                return self._say(record, TransferMessage.START, tx, now)
            if record.is_started_push and not resumed:
                self._pushes.put(record.pid)
            return record
        kind = TRANSFER_ACTIONS.get(rule.action)
        return record if kind is None else self._say(record, kind, tx, now, delay=rule.delay)

    def _say(
        self,
        record: TransferProcess,
        kind: TransferMessage,
        tx: Transaction,
        now: datetime,
        *,
        delay: timedelta = timedelta(0),
    ) -> TransferProcess:
        address: dsp.DataAddress | None = None
        provider = record.role is Party.PROVIDER
        if kind is TransferMessage.START and provider and record.transfer_format != TransferFormat.PUSH:
            # A new token with every start: what was given before a suspension stays closed.
            token = self._identifiers.secret()
            file = FILE_PATH if record.transfer_format in RAW_FORMATS else ""
            address = dsp.bearer_data_address(self._data_plane + file, token)
            record = replace(record, token_digest=token_digest(token))
        elif provider and kind in CLOSING:
            # Closed now and for this token for good, whatever the consumer answers: not even its own
            # start, which the protocol allows it after a suspension, opens it again.
            record = replace(record, token_digest=None)
        message = _message(record, kind, address).model_copy(update={"id": self._identifiers.new()})
        if kind is TransferMessage.TERMINATION and provider and _is_retired(tx, record):
            message = message.model_copy(update={"code": RETIRED})
        path = f"/transfers/{record.peer_pid}/{_PATHS[kind]}"
        return send(tx, record, Letter(kind, path, dsp.to_wire(message), delay), now)


_PATHS = {
    TransferMessage.START: "start",
    TransferMessage.SUSPENSION: "suspension",
    TransferMessage.COMPLETION: "completion",
    TransferMessage.TERMINATION: "termination",
}
"""Where each message goes, below the counterparty's address of the transfer process."""


def _message(record: TransferProcess, kind: TransferMessage, address: dsp.DataAddress | None) -> dsp.Message:
    provider_pid, consumer_pid = record.pids
    pids = {"provider_pid": provider_pid, "consumer_pid": consumer_pid}
    reason = (record.reason,) if record.reason else None
    match kind:
        case TransferMessage.START:
            return dsp.TransferStartMessage(data_address=address, **pids)
        case TransferMessage.SUSPENSION:
            return dsp.TransferSuspensionMessage(reason=reason, **pids)
        case TransferMessage.COMPLETION:
            return dsp.TransferCompletionMessage(**pids)
        case TransferMessage.TERMINATION:
            return dsp.TransferTerminationMessage(reason=reason, **pids)
        case TransferMessage.REQUEST:
            raise LocalProtocolError("A transfer process is requested only once.")
        case _:
            assert_never(kind)


def transfer_body(record: TransferProcess) -> JsonObject:
    """A transfer process as the counterparty sees it."""
    provider_pid, consumer_pid = record.pids
    return dsp.to_wire(
        dsp.TransferProcess(provider_pid=provider_pid, consumer_pid=consumer_pid, state=str(record.state))
    )


def _absorb(record: TransferProcess, message: Inbound) -> TransferProcess:
    match message:
        case dsp.TransferStartMessage():
            address = message.data_address
            if address is None or record.role is Party.PROVIDER:
                return record
            return replace(record, data_address=dsp.to_wire(address))
        case dsp.TransferCompletionMessage():
            return record
        case dsp.TransferSuspensionMessage() | dsp.TransferTerminationMessage():
            return _without_access(replace(record, reason=message.words))
        case _:
            assert_never(message)


def _is_retired(tx: Transaction, record: TransferProcess) -> bool:
    agreement = tx.agreement(record.agreement_id)
    return agreement is not None and agreement.retirement is not None


def _note_retirement(tx: Transaction, record: TransferProcess, message: Inbound, now: datetime) -> None:
    """A consumer remembers that its provider has ended the whole agreement, and why."""
    ends = isinstance(message, dsp.TransferTerminationMessage) and message.code == RETIRED
    agreement = tx.agreement(record.agreement_id) if ends and record.role is Party.CONSUMER else None
    if agreement is not None and agreement.retirement is None:
        tx.save_agreement(replace(agreement, retirement=Retirement.told(record.reason or "", now)))


def _without_access(record: TransferProcess) -> TransferProcess:
    """A consumer's record without the address that a suspension has made worthless."""
    suspended = record.role is Party.CONSUMER and record.state is TransferState.SUSPENDED
    return replace(record, data_address=None) if suspended else record


def _destination(message: dsp.TransferRequestMessage) -> JsonObject:
    """Where a push goes."""
    address = message.data_address
    if address is None or address.destination is None:
        raise RequestRefusedError("A push needs a data address with an endpoint: where do the data go?")
    return dsp.to_wire(address)


def _require_raw_data(tx: Transaction, agreement: ContractAgreement, transfer_format: str) -> None:
    """Refuse to hand out a data file as it is unless catalog and agreement both let it leave."""
    published = tx.dataset(agreement.dataset)
    offered = published is not None and transfer_format in published.dataset.formats
    if not offered or not offers_raw_data(parse_policy(agreement.document)):
        raise StartRefusedError(agreement, _NO_RAW_DATA)


def _kind(message: Inbound) -> TransferMessage:
    match message:
        case dsp.TransferStartMessage():
            return TransferMessage.START
        case dsp.TransferSuspensionMessage():
            return TransferMessage.SUSPENSION
        case dsp.TransferCompletionMessage():
            return TransferMessage.COMPLETION
        case dsp.TransferTerminationMessage():
            return TransferMessage.TERMINATION
        case _:
            assert_never(message)


def _own(tx: Transaction, participant: Participant, pid: str) -> TransferProcess:
    record = tx.transfer(pid)
    if record is None or record.peer != participant.did:
        raise UnknownExchangeError(pid)
    return record


def _consumed(tx: Transaction, agreement_id: str) -> ContractAgreement:
    agreement = tx.agreement(agreement_id)
    if agreement is None or agreement.role is not Party.CONSUMER:
        raise UnknownExchangeError(agreement_id)
    _require_finalised(tx, agreement)
    return agreement


def _require_finalised(tx: Transaction, agreement: ContractAgreement) -> None:
    if agreement.retirement is not None:
        raise StartRefusedError(agreement, agreement.retirement.explanation)
    negotiation = tx.negotiation(agreement.negotiation)
    if negotiation is None or not negotiation.is_in_force:
        state = negotiation.state if negotiation else "unknown"
        raise RequestRefusedError(f"The agreement is not in force: its negotiation is {state}.")


def _refused(refusal: StartRefusedError, message: dsp.TransferRequestMessage, delivery: Delivery) -> Decided:
    """A refused start; the same message may arrive again, and is noted once."""
    return refused_under(
        refusal.agreement,
        refusal.reason,
        action=_ACTIONS.get(message.format, USE),
        purpose=None,
        request_digest=_request_digest(message),
        repeatable=hashlib.sha256(delivery.body).hexdigest(),
    )


def _request_digest(message: dsp.TransferRequestMessage) -> str:
    return hashlib.sha256(message.consumer_pid.encode()).hexdigest()


_ACTIONS: Final[Mapping[str, str]] = {
    TransferFormat.QUERY: QUERY,
    TransferFormat.COMPUTE: COMPUTE,
    TransferFormat.DOWNLOAD: REPRODUCE,
    TransferFormat.PUSH: REPRODUCE,
}
"""What a transfer process of each format is for."""

_NO_RAW_DATA: Final[LanguageMap] = {
    "de": "Der Vertrag lässt die Daten nicht so heraus, wie sie sind.",
    "en": "The agreement does not let the data leave as they are.",
}
_PERMITS_NOTHING: Final[LanguageMap] = {
    "de": "Der Vertrag erlaubt nichts.",
    "en": "The agreement permits nothing.",
}


def _require_signed(tx: Transaction, agreement: ContractAgreement) -> None:
    """Refuse access under an agreement that not both have signed, unless its dataset accepts that."""
    published = tx.dataset(agreement.dataset)
    unsigned = missing_signature(agreement, published) if published else None
    if unsigned is not None:
        raise StartRefusedError(agreement, unsigned)


def _start_permission(
    tx: Transaction, agreement: ContractAgreement, now: datetime, circumstances: Circumstances
) -> str:
    """The rule that permits access at this moment, whatever it is used for later.

    Raises:
        StartRefusedError: No permission is active, such as after the agreed time.
    """
    policy = parse_policy(agreement.document)
    negotiation = tx.negotiation(agreement.negotiation)
    purpose = negotiation.purpose if negotiation else None
    uses = Uses(tx.uses(agreement.identifier))
    facts = circumstances.facts(now, agreement.consumer, uses=uses, started=agreement.agreed)
    decisions = [
        evaluate(
            policy,
            Request(permission.action, agreement.dataset, agreement.consumer, purpose),
            facts,
            at=Where.START,
        )
        for permission in policy.permissions
    ]
    for decision in decisions:
        if decision.permission is not None and decision.permitted:
            return decision.permission.identifier
    first = decisions[0] if decisions else None
    reason = {language: first.explain(language) for language in ("de", "en")} if first else _PERMITS_NOTHING
    raise StartRefusedError(agreement, reason)


def _usable(record: TransferProcess, agreement_id: str, transfer_format: str) -> bool:
    return (
        record.role is Party.CONSUMER
        and record.agreement_id == agreement_id
        and record.transfer_format == transfer_format
        and record.state in {None, TransferState.REQUESTED, TransferState.STARTED}
    )
