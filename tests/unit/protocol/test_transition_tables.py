"""The protocol tables against the specification, line by line, and everything that is in no line.

Source:
    Dataspace Protocol 2025-1, sections 7 (contract negotiation) and 9 (transfer
    process): the state machines, and "either party may terminate" in the prose.
    For computations, docs/adr/0005-computations.md.
"""

import itertools

import pytest

from connector.protocol.computation import COMPUTATION, ComputationEvent, ComputationState
from connector.protocol.machine import Machine, Party
from connector.protocol.negotiation import NEGOTIATION, NegotiationMessage, NegotiationState
from connector.protocol.transfer import TRANSFER, TransferMessage, TransferState

CONSUMER, PROVIDER = ("consumer",), ("provider",)
BOTH = ("consumer", "provider")
Table = dict[tuple[str | None, str], tuple[tuple[str, ...], str]]

NEGOTIATION_LINES: Table = {
    (None, "request"): (CONSUMER, "REQUESTED"),
    (None, "offer"): (PROVIDER, "OFFERED"),
    ("REQUESTED", "offer"): (PROVIDER, "OFFERED"),
    ("REQUESTED", "agreement"): (PROVIDER, "AGREED"),
    ("REQUESTED", "termination"): (BOTH, "TERMINATED"),
    ("OFFERED", "request"): (CONSUMER, "REQUESTED"),
    ("OFFERED", "acceptance"): (CONSUMER, "ACCEPTED"),
    ("OFFERED", "termination"): (BOTH, "TERMINATED"),
    ("ACCEPTED", "agreement"): (PROVIDER, "AGREED"),
    ("ACCEPTED", "termination"): (BOTH, "TERMINATED"),
    ("AGREED", "verification"): (CONSUMER, "VERIFIED"),
    ("AGREED", "termination"): (BOTH, "TERMINATED"),
    ("VERIFIED", "finalization"): (PROVIDER, "FINALIZED"),
    ("VERIFIED", "termination"): (BOTH, "TERMINATED"),
}
TRANSFER_LINES: Table = {
    (None, "request"): (CONSUMER, "REQUESTED"),
    ("REQUESTED", "start"): (PROVIDER, "STARTED"),
    ("REQUESTED", "termination"): (BOTH, "TERMINATED"),
    ("STARTED", "start"): (
        PROVIDER,
        "STARTED",
    ),  # beside the specification: a new data address, as EDC sends it
    ("STARTED", "completion"): (BOTH, "COMPLETED"),
    ("STARTED", "suspension"): (BOTH, "SUSPENDED"),
    ("STARTED", "termination"): (BOTH, "TERMINATED"),
    ("SUSPENDED", "start"): (BOTH, "STARTED"),
    ("SUSPENDED", "termination"): (BOTH, "TERMINATED"),
}
COMPUTATION_LINES: Table = {
    (None, "request"): (CONSUMER, "REQUESTED"),
    ("REQUESTED", "approval"): (PROVIDER, "APPROVED"),
    ("REQUESTED", "termination"): (BOTH, "TERMINATED"),
    ("APPROVED", "start"): (PROVIDER, "RUNNING"),
    ("APPROVED", "termination"): (BOTH, "TERMINATED"),
    ("RUNNING", "start"): (PROVIDER, "RUNNING"),
    ("RUNNING", "review"): (PROVIDER, "REVIEWED"),
    ("RUNNING", "termination"): (BOTH, "TERMINATED"),
    ("REVIEWED", "release"): (PROVIDER, "RELEASED"),
    ("REVIEWED", "termination"): (BOTH, "TERMINATED"),
}
FINAL = {
    "contract negotiation": {"FINALIZED", "TERMINATED"},
    "transfer process": {"COMPLETED", "TERMINATED"},
    "computation": {"RELEASED", "TERMINATED"},
}
TABLES = [
    pytest.param(NEGOTIATION, NEGOTIATION_LINES, NegotiationState, NegotiationMessage, id="negotiation"),
    pytest.param(TRANSFER, TRANSFER_LINES, TransferState, TransferMessage, id="transfer"),
    pytest.param(COMPUTATION, COMPUTATION_LINES, ComputationState, ComputationEvent, id="computation"),
]


@pytest.mark.parametrize(("machine", "lines", "states", "messages"), TABLES)
def test_a_message_leads_where_the_specification_says_and_nowhere_else(
    machine: Machine, lines: Table, states: type[str], messages: type[str]
) -> None:
    """Every state, also none at all, with every message from either party."""
    everything = itertools.product((None, *states), messages, Party)  # type: ignore[call-overload] # enumerations
    legal = 0
    for state, message, sender in everything:
        senders, target = lines.get((state, str(message)), ((), None))
        expected = target if sender.value in senders else None
        assert machine.target(state, message, sender) == expected, (state, message, sender)
        legal += expected is not None
    assert legal == sum(len(senders) for senders, _ in lines.values())


@pytest.mark.parametrize(("machine", "lines", "states", "messages"), TABLES)
def test_the_states_are_those_of_the_specification(
    machine: Machine, lines: Table, states: type[str], messages: type[str]
) -> None:
    named = {target for _, target in lines.values()}
    assert set(machine.states()) == named
    assert {str(state) for state in states} == named  # type: ignore[attr-defined] # an enumeration
    assert {str(message) for message in messages} == {message for _, message in lines}  # type: ignore[attr-defined] # likewise


@pytest.mark.parametrize(("machine", "lines", "states", "messages"), TABLES)
def test_nothing_follows_a_final_state_and_something_every_other_one(
    machine: Machine, lines: Table, states: type[str], messages: type[str]
) -> None:
    del lines, states, messages
    assert {state for state in machine.states() if machine.is_final(state)} == FINAL[machine.name]


@pytest.mark.parametrize(("machine", "lines", "states", "messages"), TABLES)
def test_names_that_nobody_knows_lead_nowhere(
    machine: Machine, lines: Table, states: type[str], messages: type[str]
) -> None:
    del lines, messages
    for state in (None, *states):  # type: ignore[misc] # an enumeration
        for sender in Party:
            assert machine.target(state, "resurrection", sender) is None
    for sender in Party:
        assert machine.target("requested", "termination", sender) is None
        assert machine.target("", "request", sender) is None


def test_where_messages_cross_the_end_outranks_the_pause_and_the_pause_the_rest() -> None:
    ranks = {message: TRANSFER.precedence(message) for message in TransferMessage}
    assert (
        ranks[TransferMessage.TERMINATION]
        > ranks[TransferMessage.COMPLETION]
        > ranks[TransferMessage.SUSPENSION]
        > ranks[TransferMessage.START]
        == ranks[TransferMessage.REQUEST]
    )
    others = set(NegotiationMessage) - {NegotiationMessage.TERMINATION}
    assert {NEGOTIATION.precedence(message) for message in others} == {0}
    assert NEGOTIATION.precedence(NegotiationMessage.TERMINATION) > 0


def test_each_party_has_the_other_as_counterparty() -> None:
    assert Party.CONSUMER.other is Party.PROVIDER
    assert Party.PROVIDER.other is Party.CONSUMER
