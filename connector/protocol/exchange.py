"""One party's view of an exchange: what it may send, and what it makes of what arrives.

A sender's state moves only when the counterparty has acknowledged. When
messages cross on the wire, both sides apply the same precedence, so both end
in the same state.

Source:
    docs/adr/0003-exchanges.md
"""

from dataclasses import dataclass, replace

from connector.protocol.machine import Machine, Party


class ProtocolError(Exception):
    """A message does not fit the state of its exchange."""


class LocalProtocolError(ProtocolError):
    """We tried to send what the protocol does not allow: our fault, nothing has left."""


class RemoteProtocolError(ProtocolError):
    """The counterparty sent what the protocol does not allow: its fault, nothing has changed."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where an exchange stands for one party.

    Attributes:
        machine: The protocol table.
        own: The role that this party plays.
        state: Last state that both parties know of; None before the first.
        pending: Message sent and not acknowledged yet.
    """

    machine: Machine
    own: Party
    state: str | None = None
    pending: str | None = None

    def may_propose(self, message: str) -> bool:
        """Whether this party may send a message now.

        A pending message may have arrived, or not. It can be overtaken only by
        one that outranks it and leads to the same state in both cases.
        """
        target = self.machine.target(self.state, message, self.own)
        if target is None or self.pending is None:
            return target is not None
        arrived = self.machine.target(self.state, self.pending, self.own)
        outranks = self.machine.precedence(message) > self.machine.precedence(self.pending)
        return outranks and self.machine.target(arrived, message, self.own) == target


def propose(exchange: Exchange, message: str) -> Exchange:
    """Send a message: it is pending until the counterparty acknowledges it.

    Raises:
        LocalProtocolError: The table does not allow it, or another message that
            it cannot overtake is still unacknowledged.
    """
    if not exchange.may_propose(message):
        raise LocalProtocolError(
            f"{exchange.machine.name}: the {exchange.own} cannot send {message} in state {exchange.state}"
            + (f" while {exchange.pending} is unacknowledged" if exchange.pending else "")
        )
    return replace(exchange, pending=message)


def acknowledge(exchange: Exchange) -> Exchange:
    """The counterparty has accepted the pending message: the state moves.

    Raises:
        LocalProtocolError: Nothing was pending.
    """
    if exchange.pending is None:
        raise LocalProtocolError(f"{exchange.machine.name}: no message is waiting for an acknowledgement")
    target = exchange.machine.target(exchange.state, exchange.pending, exchange.own)
    return replace(exchange, state=target, pending=None)


def withdraw(exchange: Exchange) -> Exchange:
    """The counterparty has refused the pending message: the state stays."""
    return replace(exchange, pending=None)


def receive(exchange: Exchange, message: str) -> Exchange:
    """Take a message from the counterparty.

    Three cases with a message of our own pending: the messages cross and theirs
    ranks at least as high (ours is dropped), they cross and ours ranks higher
    (theirs is refused), or theirs can only follow ours (so ours has arrived,
    and its acknowledgement was lost).

    Raises:
        RemoteProtocolError: The table does not allow the message now.
    """
    machine, sender = exchange.machine, exchange.own.other
    target = machine.target(exchange.state, message, sender)
    if exchange.pending is None:
        if target is None:
            raise _unexpected(exchange, message)
        return replace(exchange, state=target)
    if target is not None:
        if machine.precedence(message) < machine.precedence(exchange.pending):
            raise _unexpected(exchange, message)
        return replace(exchange, state=target, pending=None)
    delivered = acknowledge(exchange)
    target = machine.target(delivered.state, message, sender)
    if target is None:
        raise _unexpected(exchange, message)
    return replace(delivered, state=target)


def _unexpected(exchange: Exchange, message: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"{exchange.machine.name}: a {exchange.own.other} cannot send {message} in state {exchange.state}"
    )
