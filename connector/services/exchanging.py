"""What contract negotiations and transfer processes have in common: records, inbox and outbox."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from connector.ports import OutboundMessage, StoredAnswer, TokenUsedError, Transaction, UsedToken
from connector.protocol.exchange import Exchange, RemoteProtocolError, acknowledge, propose
from connector.protocol.machine import Machine, Party
from connector.protocol.negotiation import (
    NEGOTIATION,
    ContractNegotiation,
    NegotiationMessage,
    NegotiationState,
)
from connector.protocol.transfer import TRANSFER, TransferMessage, TransferProcess, TransferState
from schemas.strict_json import JsonObject

NEGOTIATIONS = "negotiations"
TRANSFERS = "transfers"
"""The kinds of exchange: first path segments of their addresses, and topics of what changes."""
Record = TypeVar("Record", ContractNegotiation, TransferProcess)


class UnknownExchangeError(Exception):
    """There is no such exchange between us and the caller."""


class RequestRefusedError(Exception):
    """A request is well-formed, but we cannot agree to it; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of ours before it is addressed.

    Attributes:
        kind: The message's kind in the protocol table.
        path: Path below the counterparty's base address.
        body: The message on the wire.
        delay: How long to wait before the first attempt.
    """

    kind: str
    path: str
    body: JsonObject
    delay: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as it arrived.

    Attributes:
        peer: DID of the sender.
        path: Where it arrived.
        body: The message, byte for byte.
        identified: Whether it carries an identifier of its own.
        token: The token that came with it, to be used up together with what the message changes.
    """

    peer: str
    path: str
    body: bytes
    identified: bool
    token: UsedToken | None = None


def machine_of(record: ContractNegotiation | TransferProcess) -> Machine:
    """The protocol table that a record follows."""
    return NEGOTIATION if isinstance(record, ContractNegotiation) else TRANSFER


def exchange_of(record: ContractNegotiation | TransferProcess) -> Exchange:
    """A record as the protocol core sees it."""
    return Exchange(machine_of(record), record.role, record.state, record.pending)


def moved(record: Record, exchange: Exchange, now: datetime) -> Record:
    """A record after the protocol core has moved its exchange."""
    if isinstance(record, ContractNegotiation):
        return replace(
            record,
            state=None if exchange.state is None else NegotiationState(exchange.state),
            pending=None if exchange.pending is None else NegotiationMessage(exchange.pending),
            occurrences=_counted(record, exchange.state),
            updated=now,
        )
    return replace(
        record,
        state=None if exchange.state is None else TransferState(exchange.state),
        pending=None if exchange.pending is None else TransferMessage(exchange.pending),
        occurrences=_counted(record, exchange.state),
        updated=now,
    )


def _counted(record: ContractNegotiation | TransferProcess, state: str | None) -> dict[str, int]:
    """How often each state has been reached, once the exchange is in `state`."""
    if state is None or state == record.state:
        return record.occurrences
    return {**record.occurrences, state: record.occurrences.get(state, 0) + 1}


def addressed(record: Record, provider_pid: str | None, consumer_pid: str | None) -> Record:
    """A record, once it is clear that a message is about its exchange.

    The counterparty's pid is taken from the message where we do not know it yet:
    a message can overtake the answer to our first one, or that answer is lost.

    Raises:
        RequestRefusedError: The message is about another exchange.
    """
    provider = record.role is Party.PROVIDER
    ours, theirs = (provider_pid, consumer_pid) if provider else (consumer_pid, provider_pid)
    if ours != record.pid or theirs is None or record.peer_pid not in {None, theirs}:
        raise RequestRefusedError("The pids of the message are not those of the exchange.")
    return replace(record, peer_pid=theirs)


def send(transaction: Transaction, record: Record, letter: Letter, now: datetime) -> Record:
    """Put a message of ours into the outbox and note it as pending.

    Raises:
        LocalProtocolError: The protocol does not allow it now.
    """
    sent = moved(record, propose(exchange_of(record), letter.kind), now)
    transaction.enqueue(
        OutboundMessage(
            exchange=kind_of(record),
            pid=record.pid,
            kind=letter.kind,
            peer=record.peer,
            address=record.peer_address,
            path=letter.path,
            body=json.dumps(letter.body, ensure_ascii=False, separators=(",", ":")),
            not_before=now + letter.delay,
        )
    )
    return sent


def accepted(record: Record, answer: JsonObject | None, now: datetime) -> Record:
    """A record after the counterparty has taken our message; its answer to the first one names its pid."""
    after = moved(record, acknowledge(exchange_of(record)), now)
    named = (answer or {}).get("providerPid" if record.role is Party.CONSUMER else "consumerPid")
    return replace(after, peer_pid=named) if after.peer_pid is None and isinstance(named, str) else after


def kind_of(record: ContractNegotiation | TransferProcess) -> str:
    """First path segment of an exchange's addresses."""
    return NEGOTIATIONS if isinstance(record, ContractNegotiation) else TRANSFERS


def forget_pending(transaction: Transaction, before: Record, after: Record) -> None:
    """Take a message out of the outbox that a crossing message has made pointless."""
    if before.pending is not None and after.pending is None:
        transaction.dequeue(kind_of(before), before.pid)


def once(
    transaction: Transaction,
    delivery: Delivery,
    now: datetime,
    answer: Callable[[], StoredAnswer],
) -> StoredAnswer:
    """Take a message exactly once: a repeated one gets the answer that the first one got.

    A message without an identifier of its own can be repeated on purpose (a
    second suspension says the same as the first), so it counts as a repetition
    only where the protocol does not allow it now.

    Args:
        transaction: Where the answer is kept, together with what it changes.
        delivery: The message as it arrived.
        now: The current time.
        answer: Takes the message.

    Returns:
        The answer, given now or before.

    Raises:
        TokenUsedError: Its token was used before.
        RemoteProtocolError: The message is new, and not allowed now.

    Source:
        docs/adr/0003-exchanges.md
    """
    token = delivery.token
    if token is not None and not transaction.remember_token(token.identifier, token.expires, now):
        raise TokenUsedError(delivery.peer)
    digest = hashlib.sha256(delivery.path.encode() + b"\n" + delivery.body).hexdigest()
    known = transaction.answer(delivery.peer, digest)
    if known is not None and delivery.identified:
        return known
    try:
        given = answer()
    except RemoteProtocolError:
        if known is None:
            raise
        return known
    transaction.save_answer(delivery.peer, digest, given, now)
    return given
