"""One party's view of an exchange: what it may send, and what it makes of what arrives."""

import pytest

from connector.protocol.exchange import (
    Exchange,
    LocalProtocolError,
    RemoteProtocolError,
    acknowledge,
    propose,
    receive,
    withdraw,
)
from connector.protocol.machine import Party
from connector.protocol.negotiation import NEGOTIATION, NegotiationMessage, NegotiationState
from connector.protocol.transfer import TRANSFER, TransferMessage, TransferState

S, M = TransferState, TransferMessage
CONSUMER, PROVIDER = Party.CONSUMER, Party.PROVIDER


def transfer(own: Party, state: S | None, pending: M | None = None) -> Exchange:
    return Exchange(TRANSFER, own, state, pending)


def test_a_senders_state_moves_only_with_the_acknowledgement() -> None:
    proposed = propose(transfer(CONSUMER, None), M.REQUEST)
    assert (proposed.state, proposed.pending) == (None, M.REQUEST)
    acknowledged = acknowledge(proposed)
    assert (acknowledged.state, acknowledged.pending) == (S.REQUESTED, None)


def test_a_refused_message_leaves_the_state_as_it_was() -> None:
    proposed = propose(transfer(PROVIDER, S.STARTED), M.COMPLETION)
    assert withdraw(proposed) == transfer(PROVIDER, S.STARTED)


def test_a_receivers_state_moves_at_once() -> None:
    assert receive(transfer(PROVIDER, None), M.REQUEST) == transfer(PROVIDER, S.REQUESTED)


@pytest.mark.parametrize(
    ("own", "state", "message"),
    [
        (PROVIDER, None, M.REQUEST),
        (CONSUMER, S.REQUESTED, M.START),
        (PROVIDER, S.REQUESTED, M.COMPLETION),
        (CONSUMER, S.STARTED, M.START),
        (PROVIDER, S.SUSPENDED, M.COMPLETION),
        (CONSUMER, S.COMPLETED, M.TERMINATION),
        (CONSUMER, S.TERMINATED, M.TERMINATION),
    ],
)
def test_an_illegal_message_of_ours_is_our_fault_and_raises_before_it_leaves(
    own: Party, state: S | None, message: M
) -> None:
    exchange = transfer(own, state)
    assert not exchange.may_propose(message)
    with pytest.raises(LocalProtocolError, match=f"the {own} cannot send {message}"):
        propose(exchange, message)


@pytest.mark.parametrize(
    ("own", "state", "message"),
    [
        (CONSUMER, None, M.REQUEST),
        (PROVIDER, S.REQUESTED, M.START),
        (CONSUMER, S.REQUESTED, M.COMPLETION),
        (PROVIDER, S.STARTED, M.START),
        (CONSUMER, S.SUSPENDED, M.SUSPENSION),
        (PROVIDER, S.COMPLETED, M.TERMINATION),
        (PROVIDER, S.TERMINATED, M.START),
    ],
)
def test_an_illegal_message_of_theirs_is_their_fault(own: Party, state: S | None, message: M) -> None:
    with pytest.raises(RemoteProtocolError, match=f"a {own.other} cannot send {message}"):
        receive(transfer(own, state), message)


def test_a_second_message_waits_for_the_first() -> None:
    suspending = propose(transfer(PROVIDER, S.STARTED), M.SUSPENSION)
    assert not suspending.may_propose(M.SUSPENSION)
    completing = propose(transfer(PROVIDER, S.STARTED), M.COMPLETION)
    assert not completing.may_propose(M.SUSPENSION)
    with pytest.raises(LocalProtocolError, match="while completion is unacknowledged"):
        propose(completing, M.SUSPENSION)


def test_a_termination_overtakes_a_message_after_which_it_says_the_same() -> None:
    suspending = propose(transfer(PROVIDER, S.STARTED), M.SUSPENSION)
    assert propose(suspending, M.TERMINATION).pending is M.TERMINATION
    state, message = NegotiationState, NegotiationMessage
    agreeing = Exchange(NEGOTIATION, PROVIDER, state.REQUESTED, message.AGREEMENT)
    assert propose(agreeing, message.TERMINATION).pending is message.TERMINATION


def test_nothing_overtakes_a_message_that_makes_it_illegal_if_it_has_arrived() -> None:
    """The counterparty may have completed, suspended or finalised already, and its answer be lost."""
    assert not transfer(PROVIDER, S.STARTED, M.COMPLETION).may_propose(M.TERMINATION)
    assert not transfer(PROVIDER, S.STARTED, M.SUSPENSION).may_propose(M.COMPLETION)
    state, message = NegotiationState, NegotiationMessage
    finalising = Exchange(NEGOTIATION, PROVIDER, state.VERIFIED, message.FINALIZATION)
    assert not finalising.may_propose(message.TERMINATION)


def test_nothing_can_be_acknowledged_that_was_not_sent() -> None:
    with pytest.raises(LocalProtocolError, match="no message is waiting"):
        acknowledge(transfer(CONSUMER, S.STARTED))


def test_where_two_messages_cross_both_parties_keep_the_one_that_ranks_higher() -> None:
    """The provider suspends, the consumer completes, and neither has seen the other's message."""
    provider = transfer(PROVIDER, S.STARTED, M.SUSPENSION)
    consumer = transfer(CONSUMER, S.STARTED, M.COMPLETION)

    assert receive(provider, M.COMPLETION) == transfer(PROVIDER, S.COMPLETED)
    with pytest.raises(RemoteProtocolError):
        receive(consumer, M.SUSPENSION)
    assert acknowledge(consumer) == transfer(CONSUMER, S.COMPLETED)


def test_where_two_equal_messages_cross_both_count_as_one() -> None:
    for own in Party:
        crossing = transfer(own, S.STARTED, M.SUSPENSION)
        assert receive(crossing, M.SUSPENSION) == transfer(own, S.SUSPENDED)


def test_an_answer_that_can_only_follow_our_message_shows_that_it_has_arrived() -> None:
    """The acknowledgement of the request was lost; the start comes first."""
    waiting = transfer(CONSUMER, None, M.REQUEST)
    assert receive(waiting, M.START) == transfer(CONSUMER, S.STARTED)


def test_a_whole_negotiation_needs_no_acknowledgement_but_the_last() -> None:
    """Each answer proves the message before; only the finalisation is answered by nothing."""
    state, message = NegotiationState, NegotiationMessage
    consumer = propose(Exchange(NEGOTIATION, CONSUMER), message.REQUEST)
    provider = propose(receive(Exchange(NEGOTIATION, PROVIDER), message.REQUEST), message.AGREEMENT)
    consumer = propose(receive(consumer, message.AGREEMENT), message.VERIFICATION)
    provider = propose(receive(provider, message.VERIFICATION), message.FINALIZATION)
    consumer = receive(consumer, message.FINALIZATION)
    assert (consumer.state, consumer.pending) == (state.FINALIZED, None)
    assert acknowledge(provider).state is state.FINALIZED


def test_a_termination_that_crosses_the_agreement_wins_on_both_sides() -> None:
    state, message = NegotiationState, NegotiationMessage
    consumer = Exchange(NEGOTIATION, CONSUMER, state.REQUESTED, message.TERMINATION)
    provider = Exchange(NEGOTIATION, PROVIDER, state.REQUESTED, message.AGREEMENT)

    with pytest.raises(RemoteProtocolError):
        receive(consumer, message.AGREEMENT)
    assert receive(provider, message.TERMINATION) == Exchange(NEGOTIATION, PROVIDER, state.TERMINATED)
    assert acknowledge(consumer).state is state.TERMINATED
