"""Workflow: what a participant does by itself in each state of its exchanges, where its operator has said so.

Without a rule a participant does what its policies say. A rule overrides that
for the exchanges that it matches; `hold` leaves the decision to a person.

Source:
    docs/adr/0011-workflow.md
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from connector.protocol.machine import Machine, Party
from connector.protocol.negotiation import NEGOTIATION, NegotiationMessage
from connector.protocol.transfer import TRANSFER, TransferMessage


class Action(StrEnum):
    """What can be done in a state."""

    OFFER = "offer"
    AGREE = "agree"
    ACCEPT = "accept"
    COUNTER = "counter"
    VERIFY = "verify"
    FINALIZE = "finalize"
    START = "start"
    SUSPEND = "suspend"
    COMPLETE = "complete"
    TERMINATE = "terminate"
    HOLD = "hold"
    """A person decides."""
    NONE = "none"
    """Wait for the counterparty."""


NEGOTIATION_ACTIONS = {
    Action.OFFER: NegotiationMessage.OFFER,
    Action.AGREE: NegotiationMessage.AGREEMENT,
    Action.ACCEPT: NegotiationMessage.ACCEPTANCE,
    Action.COUNTER: NegotiationMessage.REQUEST,
    Action.VERIFY: NegotiationMessage.VERIFICATION,
    Action.FINALIZE: NegotiationMessage.FINALIZATION,
    Action.TERMINATE: NegotiationMessage.TERMINATION,
}
"""The message that an action sends in a contract negotiation."""

TRANSFER_ACTIONS = {
    Action.START: TransferMessage.START,
    Action.SUSPEND: TransferMessage.SUSPENSION,
    Action.COMPLETE: TransferMessage.COMPLETION,
    Action.TERMINATE: TransferMessage.TERMINATION,
}
"""The message that an action sends in a transfer process."""


class WorkflowError(Exception):
    """A rule could never apply; the sentence names it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do where.

    Attributes:
        role: The role that we play; None for both.
        state: The state that the exchange has come to; None for every state.
        action: What to do.
        dataset: Pattern of the dataset's IRI, with `*` and `?`; None in rules for transfers.
        agreement: Pattern of the agreement's IRI; None in rules for negotiations.
        occurrence: How often the state has been reached; None for every time.
        delay: How long to wait before doing it.
    """

    role: Party | None
    state: str | None
    action: Action
    dataset: str | None = None
    agreement: str | None = None
    occurrence: int | None = None
    delay: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Situation:
    """An exchange that has come to a state.

    Attributes:
        role: The role that we play.
        subject: IRI of the dataset of a negotiation, or of the agreement of a transfer.
        state: The state.
        occurrence: How often it has been reached, this time included.
    """

    role: Party
    subject: str
    state: str
    occurrence: int


class Workflow:
    """The rules of one participant; the first one that matches counts.

    Args:
        rules: In their order.

    Raises:
        WorkflowError: A rule names both or neither of dataset and agreement, or
            an action that its protocol does not allow in its state.
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        for rule in rules:
            _check(rule)
        self._negotiations = tuple(rule for rule in rules if rule.dataset is not None)
        self._transfers = tuple(rule for rule in rules if rule.agreement is not None)

    def for_negotiation(self, situation: Situation) -> Rule | None:
        """The rule for a contract negotiation; None where policies decide."""
        return _first(self._negotiations, situation)

    def for_transfer(self, situation: Situation) -> Rule | None:
        """The rule for a transfer process; None where policies decide."""
        return _first(self._transfers, situation)


def _first(rules: Sequence[Rule], situation: Situation) -> Rule | None:
    return next((rule for rule in rules if _matches(rule, situation)), None)


def _matches(rule: Rule, situation: Situation) -> bool:
    pattern = rule.dataset if rule.dataset is not None else rule.agreement
    return (
        rule.role in {None, situation.role}
        and rule.state in {None, situation.state}
        and rule.occurrence in {None, situation.occurrence}
        and fnmatchcase(situation.subject, pattern or "*")
    )


def _check(rule: Rule) -> None:
    if (rule.dataset is None) == (rule.agreement is None):
        raise WorkflowError(
            "A workflow rule names either a dataset (negotiations) or an agreement (transfers)."
        )
    machine = NEGOTIATION if rule.dataset is not None else TRANSFER
    if rule.state is not None and rule.state not in machine.states():
        raise WorkflowError(
            f"A {machine.name} has no state {rule.state!r}; it has: {', '.join(machine.states())}."
        )
    if rule.action not in {Action.HOLD, Action.NONE} and not _is_possible(rule, machine):
        raise WorkflowError(f"In a {machine.name} nobody can {rule.action} in state {rule.state or 'every'}.")


def _is_possible(rule: Rule, machine: Machine) -> bool:
    actions = NEGOTIATION_ACTIONS if machine is NEGOTIATION else TRANSFER_ACTIONS
    message = actions.get(rule.action)
    roles = tuple(Party) if rule.role is None else (rule.role,)
    return None not in {message, rule.state} and any(
        machine.target(rule.state, message or "", role) for role in roles
    )
