"""What a workflow rule matches, and which rules are refused because they could never apply."""

from datetime import timedelta

import pytest

from connector.protocol.machine import Party
from connector.protocol.workflow import Action, Rule, Situation, Workflow, WorkflowError


def situation(
    role: Party = Party.PROVIDER, subject: str = "urn:a", state: str = "REQUESTED", occurrence: int = 1
) -> Situation:
    return Situation(role, subject, state, occurrence)


def test_without_a_rule_policies_decide() -> None:
    assert Workflow().for_negotiation(situation()) is None
    assert Workflow().for_transfer(situation()) is None


def test_the_first_rule_that_matches_counts() -> None:
    first = Rule(Party.PROVIDER, "REQUESTED", Action.OFFER, dataset="urn:*", delay=timedelta(seconds=1))
    second = Rule(None, None, Action.NONE, dataset="*")
    workflow = Workflow([first, second])
    assert workflow.for_negotiation(situation()) is first
    assert workflow.for_negotiation(situation(subject="other")) is second
    assert workflow.for_negotiation(situation(state="ACCEPTED")) is second


@pytest.mark.parametrize(
    ("rule", "seen", "matches"),
    [
        (Rule(Party.PROVIDER, "REQUESTED", Action.OFFER, dataset="urn:a"), situation(), True),
        (Rule(Party.CONSUMER, "OFFERED", Action.ACCEPT, dataset="urn:a"), situation(state="OFFERED"), False),
        (Rule(None, "REQUESTED", Action.HOLD, dataset="urn:?"), situation(), True),
        (Rule(None, "REQUESTED", Action.HOLD, dataset="urn:?"), situation(subject="urn:ab"), False),
        (Rule(None, "REQUESTED", Action.HOLD, dataset="*", occurrence=2), situation(), False),
        (Rule(None, "REQUESTED", Action.HOLD, dataset="*", occurrence=2), situation(occurrence=2), True),
        (Rule(None, "REQUESTED", Action.HOLD, dataset="URN:A"), situation(), False),
    ],
)
def test_a_rule_matches_role_state_subject_and_occurrence(rule: Rule, seen: Situation, matches: bool) -> None:
    assert (Workflow([rule]).for_negotiation(seen) is rule) is matches


def test_a_rule_for_transfers_does_not_touch_negotiations() -> None:
    rule = Rule(Party.PROVIDER, "STARTED", Action.SUSPEND, agreement="*")
    workflow = Workflow([rule])
    assert workflow.for_negotiation(situation(state="STARTED")) is None
    assert workflow.for_transfer(situation(state="STARTED")) is rule


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (Rule(None, "REQUESTED", Action.NONE), "either a dataset"),
        (Rule(None, "REQUESTED", Action.NONE, dataset="*", agreement="*"), "either a dataset"),
        (Rule(None, "STARTED", Action.NONE, dataset="*"), "has no state 'STARTED'"),
        (Rule(None, "AGREED", Action.NONE, agreement="*"), "has no state 'AGREED'"),
        # DSP 2025-1: only a consumer verifies, only a provider finalises, nobody accepts its own offer.
        (Rule(Party.PROVIDER, "AGREED", Action.VERIFY, dataset="*"), "nobody can verify in state AGREED"),
        (Rule(Party.CONSUMER, "VERIFIED", Action.FINALIZE, dataset="*"), "nobody can finalize"),
        (Rule(Party.PROVIDER, "OFFERED", Action.ACCEPT, dataset="*"), "nobody can accept"),
        (Rule(Party.CONSUMER, "REQUESTED", Action.START, agreement="*"), "nobody can start"),
        (Rule(None, "FINALIZED", Action.TERMINATE, dataset="*"), "nobody can terminate"),
        (Rule(None, "REQUESTED", Action.SUSPEND, dataset="*"), "nobody can suspend"),
        (Rule(None, None, Action.TERMINATE, dataset="*"), "in state every"),
    ],
)
def test_a_rule_that_could_never_apply_is_refused(rule: Rule, sentence: str) -> None:
    with pytest.raises(WorkflowError, match=sentence):
        Workflow([rule])
