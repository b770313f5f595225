"""State machines as data: which message, sent by whom, leads from which state to which.

The tables in `negotiation`, `transfer` and `computation` are the whole truth
about the protocol. They know nothing of HTTP, storage, or which role we play.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Party(StrEnum):
    """The two sides of every exchange."""

    CONSUMER = "consumer"
    PROVIDER = "provider"

    @property
    def other(self) -> "Party":
        """The counterparty's role."""
        return Party.PROVIDER if self is Party.CONSUMER else Party.CONSUMER


EITHER = frozenset(Party)
CONSUMER = frozenset({Party.CONSUMER})
PROVIDER = frozenset({Party.PROVIDER})


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of a protocol table; `source` is None where the message opens the exchange."""

    source: str | None
    message: str
    senders: frozenset[Party]
    target: str


class Machine:
    """A protocol table with its lookups.

    Args:
        name: What the table describes, for diagrams and error sentences.
        transitions: The table's lines.
        precedence: Rank of a message where two cross on the wire; 0 if absent.
    """

    def __init__(self, name: str, transitions: Iterable[Transition], precedence: Mapping[str, int]) -> None:
        self.name = name
        self.transitions = tuple(transitions)
        self._precedence = dict(precedence)
        self._targets = {
            (line.source, line.message, sender): line.target
            for line in self.transitions
            for sender in line.senders
        }

    def target(self, state: str | None, message: str, sender: Party) -> str | None:
        """Where a message leads; None where the table does not allow it."""
        return self._targets.get((state, message, sender))

    def precedence(self, message: str) -> int:
        """The rank of a message where two cross on the wire: the higher one counts."""
        return self._precedence.get(message, 0)

    def is_final(self, state: str) -> bool:
        """Whether nothing can follow a state."""
        return not any(source == state for source, _, _ in self._targets)

    def states(self) -> tuple[str, ...]:
        """All states, in the order in which the table names them first."""
        return tuple(dict.fromkeys(line.target for line in self.transitions))
