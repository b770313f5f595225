"""Replaying a log: what infringes a policy, and what settles it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.literals import Literal
from policies.model import Policy
from policies.monitoring import Cause, Compliance, monitor
from policies.odrl import Reading, read_policy
from policies.world import DutyState, Event, Features, World

ODRL = "http://www.w3.org/ns/odrl/2/"
START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=365)


def event(hour: int, action: str, party: str = "urn:alice", target: str = "urn:d", **known: str) -> Event:
    features = Features({ODRL + name: (Literal(value),) for name, value in known.items()})
    return Event(START + timedelta(hours=hour), ODRL + action, party, target, features)


def policy(**rules: object) -> Policy:
    return read_policy({"@type": "Set", "@id": "urn:policy", **rules}, Reading(wide=True))


def replay(rules: dict, *events: Event, until: datetime = END) -> Compliance:
    return monitor(policy(**rules), events, until=until, world=World(zone=UTC))


ANYTHING = [{"action": "use"}]
REMEDIED = {
    "permission": ANYTHING,
    "prohibition": [{"action": "print", "remedy": [{"action": "compensate"}, {"action": "inform"}]}],
}
LOGS = [
    # what was done, what is infringed and whether it is settled
    ([], []),
    (["read"], []),
    (["print"], [False]),
    (["print", "pay"], [False]),
    (["print", "pay", "inform"], [True]),
    (["print", "inform", "pay"], [True]),
    (["pay", "inform", "print"], [False]),
    (["pay", "print", "inform"], [False]),
    # what was done once settles one infringement
    (["print", "print", "pay", "inform"], [True, False]),
    (["print", "print", "pay", "inform", "pay", "inform"], [True, True]),
    (["print", "pay", "inform", "print"], [True, False]),
]


@pytest.mark.parametrize(("actions", "settled"), LOGS)
def test_a_prohibited_use_is_settled_by_its_remedies_afterwards(
    actions: list[str], settled: list[bool]
) -> None:
    compliance = replay(REMEDIED, *(event(hour, action) for hour, action in enumerate(actions)))
    assert [one.settled for one in compliance.infringements] == settled
    assert {one.cause for one in compliance.infringements} <= {Cause.PROHIBITED}
    assert compliance.complies is all(settled)


def test_a_prohibition_without_a_remedy_is_never_settled_and_wins_unless_the_policy_prefers_permissions() -> (
    None
):
    rules = {"permission": ANYTHING, "prohibition": [{"action": "print"}]}
    assert not replay(rules, event(0, "print"), event(1, "pay")).complies
    assert not replay({**rules, "conflict": "prohibit"}, event(0, "print")).complies
    assert replay({**rules, "conflict": "perm"}, event(0, "print")).complies


WITH_DUTY = {
    "permission": [
        {"action": "print", "duty": [{"action": "compensate", "consequence": [{"action": "watermark"}]}]},
        {"action": "compensate"},
        {"action": "watermark"},
    ]
}


@pytest.mark.parametrize(
    ("actions", "settled"),
    [
        (["pay", "print"], []),
        (["pay", "print", "print"], []),
        (["print"], [False]),
        (["print", "pay"], [False]),
        (["print", "watermark"], [False]),
        (["print", "pay", "watermark"], [True]),
        (["print", "watermark", "pay"], [True]),
        (["watermark", "print", "pay"], [False]),
        (["print", "pay", "watermark", "print"], [True]),
    ],
)
def test_a_use_before_its_duty_is_settled_by_the_duty_and_its_consequence(
    actions: list[str], settled: list[bool]
) -> None:
    compliance = replay(WITH_DUTY, *(event(hour, action) for hour, action in enumerate(actions)))
    assert [one.settled for one in compliance.infringements] == settled
    assert {one.cause for one in compliance.infringements} <= {Cause.DUTY_NOT_MET}


DEADLINE = {"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2026-01-01T05:00:00Z"}
OBLIGED = {
    "permission": ANYTHING,
    "obligation": [{"action": "delete", "constraint": [DEADLINE], "consequence": [{"action": "inform"}]}],
}


@pytest.mark.parametrize(
    ("done", "until", "state", "complies"),
    [
        ({3: "delete"}, 24, DutyState.FULFILLED, True),
        ({}, 4, DutyState.DUE, False),
        ({1: "read"}, 24, DutyState.VIOLATED, False),
        ({1: "read", 6: "delete"}, 24, DutyState.VIOLATED, False),
        ({1: "read", 6: "delete", 7: "inform"}, 24, DutyState.VIOLATED, True),
        ({1: "inform", 6: "delete"}, 24, DutyState.VIOLATED, False),
    ],
)
def test_an_obligation_is_due_until_its_time_is_over(
    done: dict[int, str], until: int, state: DutyState, *, complies: bool
) -> None:
    events = [event(hour, action) for hour, action in done.items()]
    compliance = replay(OBLIGED, *events, until=START + timedelta(hours=until))
    assert [finding.state for finding in compliance.obligations] == [state]
    assert compliance.complies is complies
    lapsed = [one.rule for one in compliance.infringements if one.cause is Cause.OBLIGATION_LAPSED]
    assert lapsed == (["obligation/0"] if state is DutyState.VIOLATED else [])


def test_an_event_that_nothing_permits_is_an_infringement_that_says_so() -> None:
    [infringement] = replay({"permission": [{"action": "read"}]}, event(0, "print")).infringements
    assert infringement.cause is Cause.NOT_PERMITTED
    assert infringement.text["en"] == "“print” at 2026-01-01T00:00:00+00:00 was not permitted."
    assert infringement.text["de"] == "„Drucken“ am 2026-01-01T00:00:00+00:00 war nicht erlaubt."


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(0, 8))
def test_a_permission_is_used_as_often_as_it_allows_and_no_more(hours: list[int], limit: int) -> None:
    count = {"leftOperand": "count", "operator": "lteq", "rightOperand": limit}
    rules = {"permission": [{"action": "print", "constraint": [count]}]}
    compliance = replay(rules, *(event(hour, "print") for hour in hours))
    assert compliance.uses == {"permission/0": min(len(hours), limit)}
    assert len(compliance.infringements) == max(0, len(hours) - limit)


@given(st.permutations(["print", "pay", "watermark", "print"]), st.randoms(use_true_random=False))
def test_the_order_in_which_a_log_is_written_down_does_not_matter(
    actions: list[str], shuffle: object
) -> None:
    events = [event(hour, action) for hour, action in enumerate(actions)]
    mixed = events.copy()
    shuffle.shuffle(mixed)
    assert replay(WITH_DUTY, *events) == replay(WITH_DUTY, *mixed)
