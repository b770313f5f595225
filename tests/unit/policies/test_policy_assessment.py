"""Assessing any ODRL policy at once: collections, refinements, duties, conflicts, and what is unknown."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from policies.evaluation import Decision, DutyMode, Facts, Request, assess, evaluate
from policies.literals import Literal
from policies.odrl import Reading, read_policy
from policies.world import DutyState, Event, Features, Measured, Subject, World

ODRL = "http://www.w3.org/ns/odrl/2/"
XSD = "http://www.w3.org/2001/XMLSchema#"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WIDE = Reading(wide=True)


def known(**values: str) -> Measured:
    return {ODRL + name: (Literal(value),) for name, value in values.items()}


def use(action: str = "use", target: str = "urn:d", party: str = "urn:alice", **features: object) -> Request:
    return Request(ODRL + action, target, party, features=Features(**features))


def decide(
    rules: Mapping[str, object],
    request: Request | None = None,
    world: World | None = None,
    mode: DutyMode = DutyMode.PRECONDITION,
) -> Decision:
    policy = read_policy({"@type": "Set", "@id": "urn:policy", **rules}, WIDE)
    return assess(policy, request or use(), Facts(NOW, world=world or World()), duties=mode)


def compared(left_operand: str, operator: str, right_operand: object) -> dict:
    return {"leftOperand": left_operand, "operator": operator, "rightOperand": right_operand}


MEMBERS = {
    "urn:staff": frozenset({"urn:alice"}),
    "urn:everybody": frozenset({"urn:staff", "urn:guest"}),
    "urn:nobody": frozenset(),
}
COLLECTION = "PartyCollection"
SCOPES = [
    # whom the rule is for, who asks; whether a permission opens, whether a prohibition applies
    ("urn:alice", "urn:alice", True, True),
    ("urn:alice", "urn:bob", False, False),
    ("urn:staff", "urn:alice", True, True),
    ("urn:staff", "urn:bob", False, False),
    ({"@type": COLLECTION, "@id": "urn:staff"}, "urn:alice", True, True),
    ({"@type": COLLECTION, "@id": "urn:x", "source": "urn:staff"}, "urn:alice", True, True),
    ({"@type": COLLECTION, "@id": "urn:x", "source": "urn:nobody"}, "urn:alice", False, False),
    # over a collection between
    ("urn:everybody", "urn:alice", True, True),
    ("urn:everybody", "urn:guest", True, True),
    ("urn:everybody", "urn:bob", False, False),
    # a collection whose members nobody knows: alice may be one of them
    ({"@type": COLLECTION, "@id": "urn:unknown"}, "urn:alice", False, True),
    ({"@type": COLLECTION, "source": "urn:unknown"}, "urn:alice", False, True),
    # the collection itself, and its source
    ({"@type": COLLECTION, "@id": "urn:unknown"}, "urn:unknown", True, True),
    ({"@type": COLLECTION, "source": "urn:source"}, "urn:source", True, True),
]


@pytest.mark.parametrize(("scope", "asks", "opens", "applies"), SCOPES)
@pytest.mark.parametrize("role", ["assignee", "target"])
def test_a_rule_reaches_the_members_of_its_collection(
    role: str, scope: object, asks: str, *, opens: bool, applies: bool
) -> None:
    request = use(party=asks) if role == "assignee" else use(target=asks)
    world = World(members=MEMBERS)
    rule = {"action": "use", role: scope}
    assert decide({"permission": [rule]}, request, world).permitted is opens
    forbids = {"permission": [{"action": "use"}], "prohibition": [rule], "conflict": "prohibit"}
    assert decide(forbids, request, world).permitted is not applies


def test_collections_that_contain_each_other_end() -> None:
    world = World(members={"urn:a": frozenset({"urn:b"}), "urn:b": frozenset({"urn:a"})})
    assert world.is_member("urn:alice", "urn:a") is False
    assert world.is_member("urn:b", "urn:a") is True
    assert world.is_member("urn:alice", "urn:unknown") is None


REFINED = compared("resolution", "lteq", {"@value": "1200", "@type": "xsd:integer"})
RULES = {
    Subject.ACTION: {"action": {"rdf:value": {"@id": "odrl:print"}, "refinement": [REFINED]}},
    Subject.ASSET: {"action": "print", "target": {"@type": "AssetCollection", "refinement": [REFINED]}},
    Subject.PARTY: {"action": "print", "assignee": {"@type": COLLECTION, "refinement": [REFINED]}},
}


@pytest.mark.parametrize("subject", list(Subject))
@pytest.mark.parametrize(
    ("dots", "permitted", "lifted"), [("1000", True, False), ("1300", False, True), (None, False, False)]
)
def test_a_refinement_is_compared_with_what_is_asked_for(
    subject: Subject, dots: str | None, *, permitted: bool, lifted: bool
) -> None:
    for features in (
        {"known": known(resolution=dots) if dots else {}},
        {"narrowed": {subject: known(resolution=dots) if dots else {}}},
    ):
        request = use("print", **features)
        assert decide({"permission": [RULES[subject]]}, request).permitted is permitted
        forbids = {
            "permission": [{"action": "print"}],
            "prohibition": [RULES[subject]],
            "conflict": "prohibit",
        }
        assert decide(forbids, request).permitted is lifted


def test_what_is_known_of_the_action_says_nothing_about_the_party() -> None:
    request = use("print", narrowed={Subject.ACTION: known(resolution="1000")})
    assert decide({"permission": [RULES[Subject.ACTION]]}, request).permitted
    assert not decide({"permission": [RULES[Subject.PARTY]]}, request).permitted


def test_what_the_asking_side_says_never_replaces_what_was_measured() -> None:
    later = compared("dateTime", "gteq", "2027-01-01T00:00:00Z")
    place = compared("product", "eq", "free")
    liar = use(known=known(dateTime="2028-01-01T00:00:00Z", product="free"))
    assert not decide({"permission": [{"action": "use", "constraint": [later]}]}, liar).permitted
    world = World(measured=known(product="paid"))
    assert not decide({"permission": [{"action": "use", "constraint": [place]}]}, liar, world).permitted


TRUTHS = {
    "T": compared("product", "eq", "mine"),
    "F": compared("product", "eq", "yours"),
    "U": compared("industry", "eq", "any"),
}
TABLES = [
    # joined constraints, their truth (Kleene; xone and andSequence after ODRL 2.2, section 2.5.2)
    ("and", "TT", "T"),
    ("and", "TU", "U"),
    ("and", "UF", "F"),
    ("or", "FU", "U"),
    ("or", "UT", "T"),
    ("or", "FF", "F"),
    ("xone", "TF", "T"),
    ("xone", "TT", "F"),
    ("xone", "TU", "U"),
    ("xone", "TUT", "F"),
    ("xone", "FFF", "F"),
    ("andSequence", "TF", "F"),
    ("andSequence", "UF", "U"),
    ("andSequence", "FU", "F"),
]


@pytest.mark.parametrize(("connective", "truths", "expected"), TABLES)
@pytest.mark.parametrize("as_list", [True, False])
def test_what_is_unknown_opens_no_permission_and_lifts_no_prohibition(
    connective: str, truths: str, expected: str, *, as_list: bool
) -> None:
    operands = [TRUTHS[truth] for truth in truths]
    rule = {"action": "use", "constraint": [{connective: {"@list": operands} if as_list else operands}]}
    world = World(measured=known(product="mine"))
    assert decide({"permission": [rule]}, world=world).permitted is (expected == "T")
    forbids = {"permission": [{"action": "use"}], "prohibition": [rule], "conflict": "prohibit"}
    assert decide(forbids, world=world).permitted is (expected == "F")


@pytest.mark.parametrize(
    ("strategy", "permitted", "said"),
    [
        ("perm", True, "Permitted by permission/0."),
        ("prohibit", False, "Prohibited is: use."),
        ("invalid", False, "A permission and a prohibition meet; that makes the policy void."),
        (None, False, "A permission and a prohibition meet; that makes the policy void."),
    ],
)
def test_the_conflict_strategy_decides_where_a_permission_and_a_prohibition_meet(
    strategy: str | None, said: str, *, permitted: bool
) -> None:
    rules = {"permission": [{"action": "read"}], "prohibition": [{"action": "use"}]}
    if strategy:
        rules["conflict"] = strategy
    decision = decide(rules, use("read"))
    assert decision.permitted is permitted
    assert decision.explain("en") == said
    # without a permission there is nothing to settle
    assert not decide({**rules, "permission": [{"action": "print"}]}, use("read")).permitted


def test_at_the_stations_of_a_connector_a_prohibition_wins_whatever_the_policy_says() -> None:
    rules = {"permission": [{"action": "use"}], "prohibition": [{"action": "use"}], "conflict": "perm"}
    policy = read_policy({"@type": "Set", "@id": "urn:policy", "target": "urn:d", **rules}, WIDE)
    assert assess(policy, use(), Facts(NOW)).permitted
    assert not evaluate(policy, use(), Facts(NOW)).permitted


PAY = {
    "@id": "urn:duty",
    "action": {
        "rdf:value": {"@id": "odrl:compensate"},
        "refinement": [compared("payAmount", "eq", {"@value": "5.00", "@type": "xsd:decimal"})],
    },
}
PAID = Event(NOW, ODRL + "pay", "urn:alice", "urn:till", Features(known(payAmount="5")))
PAID_LESS = Event(NOW, ODRL + "pay", "urn:alice", "urn:till", Features(known(payAmount="4")))
ON_SUNDAYS = {**PAY, "constraint": [compared("event", "eq", "sunday")]}
DUTIES = [
    # duty, the world; state, open as a precondition, open while it may still be done
    (PAY, World(), DutyState.DUE, False, True),
    (PAY, World(events=(PAID,)), DutyState.FULFILLED, True, True),
    (PAY, World(events=(PAID_LESS,)), DutyState.DUE, False, True),
    (PAY, World(duties={"urn:duty": DutyState.FULFILLED}), DutyState.FULFILLED, True, True),
    (PAY, World(duties={"permission/0/duty/0": DutyState.FULFILLED}), DutyState.FULFILLED, True, True),
    (PAY, World(duties={"urn:other": DutyState.FULFILLED}), DutyState.DUE, False, True),
    (PAY, World(duties={"urn:duty": DutyState.VIOLATED}), DutyState.VIOLATED, False, False),
    ({**PAY, "assignee": "urn:bob"}, World(events=(PAID,)), DutyState.DUE, False, True),
    ({**PAY, "assignee": "urn:alice"}, World(events=(PAID,)), DutyState.FULFILLED, True, True),
    ({**PAY, "compensatedParty": "urn:sony"}, World(events=(PAID,)), DutyState.DUE, False, True),
    # whether it is Sunday is not known, so the duty counts
    (ON_SUNDAYS, World(), DutyState.DUE, False, True),
    (ON_SUNDAYS, World(measured=known(event="monday")), DutyState.INACTIVE, True, True),
    (ON_SUNDAYS, World(measured=known(event="sunday")), DutyState.DUE, False, True),
    (ON_SUNDAYS, World(measured=known(event="sunday"), events=(PAID,)), DutyState.FULFILLED, True, True),
]


@pytest.mark.parametrize(("duty", "world", "state", "first", "eventual"), DUTIES)
def test_a_duty_opens_its_permission_once_it_is_done(
    duty: dict, world: World, state: DutyState, *, first: bool, eventual: bool
) -> None:
    rules = {"permission": [{"action": "use", "duty": [duty]}]}
    decision = decide(rules, world=world)
    assert decision.rules[0].duties[0].state is state
    assert decision.permitted is first
    assert decide(rules, world=world, mode=DutyMode.EVENTUAL).permitted is eventual


def test_obligations_are_told_and_decide_nothing() -> None:
    decision = decide({"permission": [{"action": "use"}], "obligation": [PAY]})
    assert decision.permitted
    assert [finding.state for finding in decision.obligations] == [DutyState.DUE]


def test_every_rule_and_every_constraint_has_its_reason_in_both_languages() -> None:
    decision = decide(
        {
            "permission": [
                {"action": "use", "constraint": [TRUTHS["F"], {"or": [TRUTHS["U"], TRUTHS["F"]]}]},
                {"action": "use", "assignee": "urn:bob", "target": "urn:other", "duty": [PAY]},
                {"action": "print"},
            ],
            "prohibition": [{"action": "sell"}, {"action": "use", "constraint": [TRUTHS["F"]]}],
        },
        world=World(measured=known(product="mine")),
    )
    assert {reason.rule for reason in decision.reasons} == {
        *(f"permission/{n}" for n in range(3)),
        *(f"prohibition/{n}" for n in range(2)),
    }
    assert all(reason.text["de"] and reason.text["en"] for reason in decision.reasons)
    told = [reason.text["en"] for reason in decision.reasons]
    assert "The rule is not for urn:alice." in told
    assert "The rule is not about urn:d." in told
    assert "To be done first: compensate." in told
    assert decision.reasons[0].satisfied is not True


def test_a_policy_that_still_inherits_decides_nothing() -> None:
    decision = decide({"permission": [{"action": "use"}], "inheritFrom": "urn:parent"})
    assert not decision.permitted
    assert "urn:parent" in decision.explain("de")
