"""Two parties over a link that loses messages and answers: they always end in the same state.

Each party keeps what a connector keeps: its view of the exchange, one outgoing
message that it repeats until it is answered, and the answers that it gave. In
one direction messages stay in order; between the two directions there is none.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connector.protocol.exchange import (
    Exchange,
    RemoteProtocolError,
    acknowledge,
    propose,
    receive,
    withdraw,
)
from connector.protocol.machine import Machine, Party
from connector.protocol.negotiation import NEGOTIATION, NegotiationMessage
from connector.protocol.transfer import TRANSFER, TransferMessage

parties = st.sampled_from(list(Party))


@dataclass(frozen=True)
class Letter:
    """A message with an identifier of its own."""

    number: int
    kind: str


@dataclass
class Side:
    """One party: its records, and what it has sent that has not arrived yet."""

    exchange: Exchange
    outgoing: Letter | None = None
    answered: set[int] = field(default_factory=set)
    letters: deque[Letter] = field(default_factory=deque)
    answers: deque[tuple[int, bool]] = field(default_factory=deque)

    def take(self, letter: Letter) -> bool:
        """Whether a message is accepted; a repeated one is answered like the first."""
        if letter.number in self.answered:
            return True
        try:
            self.exchange = receive(self.exchange, letter.kind)
        except RemoteProtocolError:
            return False
        if self.exchange.pending is None:
            self.outgoing = None
        self.answered.add(letter.number)
        return True

    def learn(self, number: int, *, accepted: bool) -> None:
        """What the counterparty answered, unless the message has been overtaken meanwhile."""
        if self.outgoing is None or self.outgoing.number != number:
            return
        self.exchange = acknowledge(self.exchange) if accepted else withdraw(self.exchange)
        self.outgoing = None


class Link(RuleBasedStateMachine):
    """Whatever can happen to two parties that talk over HTTP."""

    machine: Machine
    openers: dict[Party, str]
    kinds: tuple[str, ...]

    def __init__(self) -> None:
        super().__init__()
        self.sides = {party: Side(Exchange(self.machine, party)) for party in Party}
        self.numbers = count()

    def send(self, party: Party, kind: str) -> None:
        side = self.sides[party]
        side.exchange = propose(side.exchange, kind)
        side.outgoing = Letter(next(self.numbers), kind)
        side.letters.append(side.outgoing)

    @initialize(data=st.data())
    def open(self, data: st.DataObject) -> None:
        party = data.draw(st.sampled_from(list(self.openers)))
        self.send(party, self.openers[party])

    @rule(party=parties, data=st.data())
    def say(self, party: Party, data: st.DataObject) -> None:
        """Say something that the party may say now; nobody answers what it has not heard of."""
        exchange = self.sides[party].exchange
        possible = [kind for kind in self.kinds if exchange.may_propose(kind)]
        if exchange.state is not None and possible:
            self.send(party, data.draw(st.sampled_from(possible)))

    @precondition(lambda self: any(side.outgoing for side in self.sides.values()))
    @rule(party=parties)
    def repeat(self, party: Party) -> None:
        """No answer came in time."""
        side = self.sides[party]
        if side.outgoing is not None:
            side.letters.append(side.outgoing)

    @precondition(lambda self: any(side.letters for side in self.sides.values()))
    @rule(party=parties, lost=st.booleans())
    def deliver(self, party: Party, *, lost: bool) -> None:
        """The party's next message arrives, or is lost."""
        if self.sides[party].letters:
            letter = self.sides[party].letters.popleft()
            if not lost:
                accepted = self.sides[party.other].take(letter)
                self.sides[party.other].answers.append((letter.number, accepted))

    @precondition(lambda self: any(side.answers for side in self.sides.values()))
    @rule(party=parties, lost=st.booleans())
    def answer(self, party: Party, *, lost: bool) -> None:
        """The party's next answer arrives, or is lost."""
        if self.sides[party].answers:
            number, accepted = self.sides[party].answers.popleft()
            if not lost:
                self.sides[party.other].learn(number, accepted=accepted)

    @property
    def is_quiet(self) -> bool:
        return not any(side.outgoing or side.letters or side.answers for side in self.sides.values())

    @invariant()
    def both_agree_whenever_nothing_is_under_way(self) -> None:
        if self.is_quiet:
            self.agreed()

    def agreed(self) -> None:
        consumer, provider = (self.sides[party].exchange for party in Party)
        assert consumer.state == provider.state
        assert consumer.pending is None
        assert provider.pending is None

    def teardown(self) -> None:
        """From here on nothing is lost any more, and everybody repeats what has no answer."""
        for _ in range(50):
            for party in Party:
                if self.sides[party].outgoing is not None and not self.sides[party].letters:
                    self.repeat(party)
                while self.sides[party].letters:
                    self.deliver(party, lost=False)
                while self.sides[party.other].answers:
                    self.answer(party.other, lost=False)
            if self.is_quiet:
                break
        assert self.is_quiet, "a message is repeated for ever"
        self.agreed()


class NegotiationLink(Link):
    machine = NEGOTIATION
    openers = {Party.CONSUMER: NegotiationMessage.REQUEST, Party.PROVIDER: NegotiationMessage.OFFER}  # noqa: RUF012 - typed in the base class
    kinds = tuple(NegotiationMessage)


class TransferLink(Link):
    machine = TRANSFER
    openers = {Party.CONSUMER: TransferMessage.REQUEST}  # noqa: RUF012 - typed in the base class
    kinds = tuple(TransferMessage)


RUNS = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
NegotiationLink.TestCase.settings = RUNS
TransferLink.TestCase.settings = RUNS


class TestBothPartiesEndANegotiationInTheSameState(NegotiationLink.TestCase):  # type: ignore[misc,name-defined] # made by Hypothesis
    pass


class TestBothPartiesEndATransferInTheSameState(TransferLink.TestCase):  # type: ignore[misc,name-defined] # made by Hypothesis
    pass
