"""Counter-offers: the same or tighter passes, whatever widens is found and named."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations, product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies.evaluation import Facts, Request, evaluate
from policies.model import (
    Conflict,
    Constraint,
    LogicalConstraint,
    Operator,
    Permission,
    Policy,
    PolicyKind,
    Prohibition,
    Scope,
)
from policies.model import Connective as Join
from policies.odrl import parse_policy, write_policy
from policies.refinement import compare_with_offer, same_rules

ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"
DPV = "https://w3id.org/dpv#"


def own(name: str, operator: str, *values: str) -> dict:
    right = list(values) if operator == "isAnyOf" else values[0]
    return {"leftOperand": POLICY + name, "operator": operator, "rightOperand": right}


def odrl(name: str, operator: str, *values: str) -> dict:
    right = list(values) if operator in {"isAnyOf", "isNoneOf"} else values[0]
    return {"leftOperand": name, "operator": operator, "rightOperand": right}


def within(requested: dict, offered: dict) -> bool:
    result = compare_with_offer(parse_policy(requested), parse_policy(offered))
    assert result.within == (not result.reasons)
    assert all(reason["de"] and reason["en"] for reason in result.reasons)
    return result.within


def test_the_offer_itself_and_its_agreement_are_within_it(demo_offer: dict) -> None:
    agreement = {
        **demo_offer,
        "@type": "Agreement",
        "@id": "urn:uuid:2",
        "target": "urn:d",
        "assigner": "did:web:p",
        "assignee": "did:web:c",
        "timestamp": "2026-11-21T12:00:00Z",
    }
    assert within(demo_offer, demo_offer)
    assert within(agreement, demo_offer)
    assert same_rules(parse_policy(agreement), parse_policy(demo_offer))


def _edit(offer: dict, left_operand: str, **members: object) -> dict:
    changed = deepcopy(offer)
    for rule in changed["permission"]:
        for constraint in rule["constraint"]:
            if constraint["leftOperand"].endswith(left_operand):
                constraint.update(members)
    return changed


TIGHTER = [
    ("count", {"rightOperand": "19"}),
    ("count", {"operator": "lt"}),
    ("purpose", {"operator": "eq"}),
    ("purpose", {"operator": "isAnyOf", "rightOperand": [POLICY + "LoadForecasting"]}),
    ("minGroupSize", {"rightOperand": "6"}),
    ("minGroupRows", {"rightOperand": "11"}),
    ("allowedColumn", {"rightOperand": ["ts", "load_kw"]}),
    ("outputKind", {"rightOperand": ["metrics"]}),
    ("outputReview", {"rightOperand": "manual"}),
]
LOOSER = [
    ("count", {"rightOperand": "21"}),
    ("purpose", {"rightOperand": POLICY + "GridOperation"}),
    ("purpose", {"rightOperand": DPV + "Marketing"}),
    ("purpose", {"operator": "isNoneOf"}),
    ("minGroupSize", {"rightOperand": "4"}),
    ("minGroupRows", {"rightOperand": "1"}),
    ("groupUnit", {"rightOperand": "sector"}),
    ("allowedColumn", {"rightOperand": ["ts", "load_kw", "name"]}),
    ("algorithmDigest", {"rightOperand": ["a" * 64, "b" * 64]}),
    ("outputKind", {"rightOperand": ["metrics", "model", "rows"]}),
]


@pytest.mark.parametrize(("left_operand", "members"), TIGHTER)
def test_a_tighter_condition_is_within_and_not_the_same(
    demo_offer: dict, left_operand: str, members: dict
) -> None:
    changed = _edit(demo_offer, left_operand, **members)
    assert within(changed, demo_offer)
    assert not within(demo_offer, changed) or left_operand == "purpose"
    assert not same_rules(parse_policy(changed), parse_policy(demo_offer))


@pytest.mark.parametrize(("left_operand", "members"), LOOSER)
def test_a_looser_condition_is_not_within(demo_offer: dict, left_operand: str, members: dict) -> None:
    assert not within(_edit(demo_offer, left_operand, **members), demo_offer)


def test_a_later_end_is_not_within_and_an_earlier_one_is(demo_offer: dict) -> None:
    for end, expected in (("2028-01-01T00:00:00Z", False), ("2026-12-31T00:00:00+01:00", True)):
        changed = deepcopy(demo_offer)
        for rule in changed["permission"]:
            rule["constraint"][2]["rightOperand"] = end
        assert within(changed, demo_offer) is expected


DEFAULTS_AS_STRICT = ("queryClass", "minGroupSize", "minGroupRows", "outputKind", "outputReview")
"""Where the profile's default for silence is as strict as the offer, or stricter."""


def test_each_dropped_condition_is_found_unless_silence_is_as_strict(demo_offer: dict) -> None:
    for position, rule in enumerate(demo_offer["permission"]):
        for dropped in range(len(rule["constraint"])):
            changed = deepcopy(demo_offer)
            constraint = changed["permission"][position]["constraint"].pop(dropped)
            strict = constraint["leftOperand"].endswith(DEFAULTS_AS_STRICT)
            assert within(changed, demo_offer) is strict, constraint


def test_dropping_a_permission_is_within_and_dropping_a_prohibition_is_not(demo_offer: dict) -> None:
    fewer = {**demo_offer, "permission": demo_offer["permission"][:1]}
    assert within(fewer, demo_offer)
    assert not within(demo_offer, fewer)
    lifted = {name: value for name, value in demo_offer.items() if name != "prohibition"}
    result = compare_with_offer(parse_policy(lifted), parse_policy(demo_offer))
    assert [reason["en"] for reason in result.reasons] == [
        "A prohibition is missing or narrower: copy raw data. "
    ]
    assert within(demo_offer, lifted)


def test_a_prohibition_on_more_keeps_it_and_one_with_a_condition_does_not(demo_offer: dict) -> None:
    wider = {**demo_offer, "prohibition": [{"action": "use"}]}
    assert within(wider, demo_offer)
    narrower = {
        **demo_offer,
        "prohibition": [
            {"action": "reproduce", "constraint": [odrl("purpose", "isA", DPV + "Marketing")]},
        ],
    }
    assert not within(narrower, demo_offer)


def test_a_permission_stated_twice_would_double_its_uses(demo_offer: dict) -> None:
    doubled = {**demo_offer, "permission": [demo_offer["permission"][0]] * 2}
    assert not within(doubled, demo_offer)
    assert not same_rules(
        parse_policy(doubled), parse_policy({**doubled, "permission": doubled["permission"][:1]})
    )


def test_another_action_or_dataset_is_named(demo_offer: dict) -> None:
    extra = {**demo_offer, "permission": [{"action": ODRL + "use"}]}
    result = compare_with_offer(parse_policy(extra), parse_policy(demo_offer))
    assert [reason["en"] for reason in result.reasons] == ["The action “use” is not offered."]
    other = compare_with_offer(
        parse_policy(demo_offer, default_target="urn:a"), parse_policy(demo_offer, default_target="urn:b")
    )
    assert not other.within


SILENT_DEFAULTS = [
    own("outputReview", "eq", "auto"),
    own("algorithmDigest", "eq", "a" * 64),
    own("outputKind", "eq", "model"),
    own("minGroupRows", "gteq", "1"),
    own("maxResultRows", "lteq", "1000000"),
]


@pytest.mark.parametrize("constraint", SILENT_DEFAULTS, ids=lambda constraint: constraint["leftOperand"][36:])
def test_a_condition_that_loosens_a_silent_default_is_not_within(
    offer_with: Callable[..., dict], constraint: dict
) -> None:
    assert not within(offer_with(constraint, action="use"), offer_with(action="use"))


def test_an_obligation_may_be_neither_dropped_nor_added(demo_offer: dict) -> None:
    obliged = {**demo_offer, "obligation": [{"action": "delete"}]}
    assert within(obliged, obliged)
    assert not within(demo_offer, obliged)
    assert not within(obliged, demo_offer)


def test_an_alternative_may_be_chosen_but_not_opened(offer_with: Callable[..., dict]) -> None:
    marketing, research = (odrl("purpose", "isA", DPV + name) for name in ("Marketing", "ScientificResearch"))
    assert within(offer_with(marketing), offer_with({"or": [marketing, research]}))
    assert not within(offer_with({"or": [marketing, research]}), offer_with(marketing))
    assert within(offer_with({"and": [marketing, research]}), offer_with(research))


def test_order_and_spelling_do_not_make_rules_different(demo_offer: dict) -> None:
    changed = deepcopy(demo_offer)
    changed["permission"].reverse()
    for rule in changed["permission"]:
        rule["constraint"].reverse()
        rule["constraint"][-2]["rightOperand"] = {
            "@value": "2026-01-01T01:00:00+01:00",
            "@type": "xsd:dateTime",
        }
    assert same_rules(parse_policy(changed), parse_policy(demo_offer))


# --- properties over small domains, so that comparable policies are common -----------------------

PURPOSES = [
    POLICY + "LoadForecasting",
    POLICY + "GridOperation",
    DPV + "ServiceProvision",
    DPV + "CommercialResearch",
    DPV + "CommercialPurpose",
    "https://example.org/unheard-of",
]
TIMES = ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-06-01T00:00:00Z", "2027-01-01T00:00:00Z"]
PARTIES = ["did:web:a", "did:web:b"]


def _comparison(left_operand: str, operators: list[str], values: list[str]) -> st.SearchStrategy[Constraint]:
    def build(operator: str, right: list[str]) -> Constraint:
        many = operator in {"isAnyOf", "isNoneOf"}
        return Constraint(left_operand, Operator(operator), tuple(right if many else right[:1]))

    return st.builds(
        build,
        st.sampled_from(operators),
        st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True),
    )


COMPARISONS = st.one_of(
    _comparison(ODRL + "purpose", ["eq", "isA", "isAnyOf", "isNoneOf", "neq"], PURPOSES),
    _comparison(ODRL + "dateTime", ["lt", "lteq", "gt", "gteq", "eq"], TIMES),
    _comparison(ODRL + "count", ["lt", "lteq"], ["0", "1", "2", "3"]),
    _comparison(POLICY + "assignee", ["eq", "isAnyOf", "isNoneOf"], PARTIES),
)
CONSTRAINTS = st.recursive(
    COMPARISONS,
    lambda inner: st.builds(
        LogicalConstraint, st.sampled_from(list(Join)), st.lists(inner, min_size=1, max_size=2).map(tuple)
    ),
    max_leaves=3,
)
ACTIONS = st.sampled_from([ODRL + "use", POLICY + "query", POLICY + "compute"])
RULES = st.lists(st.tuples(ACTIONS, st.lists(CONSTRAINTS, max_size=3).map(tuple)), max_size=2)


def _policy(permissions: list, prohibitions: list) -> Policy:
    return Policy(
        kind=PolicyKind.SET,
        uid="urn:uuid:1",
        target="urn:d",
        permissions=tuple(Permission(f"permission/{i}", a, c) for i, (a, c) in enumerate(permissions)),
        prohibitions=tuple(Prohibition(f"prohibition/{i}", a, c) for i, (a, c) in enumerate(prohibitions)),
    )


POLICIES = st.builds(_policy, RULES, RULES)
REQUESTS = st.builds(
    Request,
    ACTIONS,
    st.just("urn:d"),
    st.sampled_from(PARTIES),
    st.one_of(st.none(), st.sampled_from(PURPOSES)),
)
INSTANTS = [datetime(2025, 12, 1, tzinfo=UTC), *(datetime.fromisoformat(time) for time in TIMES)]


@st.composite
def counter_offers(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """An offer and an answer to it: some rules changed, most kept."""
    offered = draw(POLICIES)

    def answered(rules: tuple) -> list:
        kept = []
        for rule in rules:
            change = draw(st.sampled_from(["keep", "tighten", "replace", "drop"]))
            constraints = list(rule.constraints)
            if change == "tighten":
                constraints.append(draw(CONSTRAINTS))
            if change == "replace" and constraints:
                constraints[draw(st.integers(0, len(constraints) - 1))] = draw(CONSTRAINTS)
            if change != "drop":
                kept.append((draw(st.sampled_from([rule.action, POLICY + "query"])), tuple(constraints)))
        return kept

    return offered, _policy(answered(offered.permissions), answered(offered.prohibitions))


def _all_comparisons(left_operand: str, singles: list[str], lists: list[str], values: list[str]) -> list:
    one = [(operator, (value,)) for operator in singles for value in values]
    few = [(operator, right) for operator in lists for size in (1, 2) for right in combinations(values, size)]
    plain = [Constraint(left_operand, Operator(operator), right) for operator, right in one + few]
    pairs = list(combinations(plain, 2))[:: max(1, len(plain) // 3)]
    joined = [LogicalConstraint(join, pair) for join in Join for pair in pairs[:25]]
    return plain + joined


SITUATIONS = [
    (
        Request(POLICY + "query", "urn:d", party, purpose),
        Facts(now, {"permission/0": uses, "prohibition/0": uses}),
    )
    for purpose in (None, *PURPOSES)
    for party in PARTIES
    for now in (INSTANTS[0], INSTANTS[1], INSTANTS[3], INSTANTS[4])
    for uses in range(3)
]


def _situations(left_operand: str) -> list:
    """The situations that differ in what this left operand measures."""
    measures = {
        ODRL + "purpose": lambda request, _: request.purpose,
        ODRL + "dateTime": lambda _, facts: facts.now,
        ODRL + "count": lambda _, facts: facts.uses["permission/0"],
        POLICY + "assignee": lambda request, _: request.assignee,
    }
    distinct = {measures[left_operand](*situation): situation for situation in SITUATIONS}
    return list(distinct.values())


@pytest.mark.parametrize(
    ("left_operand", "singles", "lists", "values"),
    [
        (ODRL + "purpose", ["eq", "isA", "neq"], ["isAnyOf", "isNoneOf"], PURPOSES),
        (ODRL + "dateTime", ["lt", "lteq", "gt", "gteq", "eq", "neq"], ["isAnyOf"], TIMES),
        (ODRL + "count", ["lt", "lteq", "gt", "gteq", "eq"], [], ["0", "1", "2", "3"]),
        (POLICY + "assignee", ["eq"], ["isAnyOf", "isNoneOf"], PARTIES),
    ],
)
def test_every_pair_of_conditions_that_counts_as_tighter_is_tighter(
    left_operand: str, singles: list, lists: list, values: list
) -> None:
    conditions = _all_comparisons(left_operand, singles, lists, values)
    situations = _situations(left_operand)
    granting = [_policy([(POLICY + "query", (condition,))], []) for condition in conditions]
    forbidding = [_policy([(ODRL + "use", ())], [(ODRL + "use", (condition,))]) for condition in conditions]

    def permitted(policy: Policy) -> frozenset[int]:
        return frozenset(
            position
            for position, (request, known) in enumerate(situations)
            if evaluate(policy, request, known).permitted
        )

    found = 0
    for family in (granting, forbidding):
        opens = [permitted(policy) for policy in family]
        for (mine, my_policy), (theirs, their_policy) in product(enumerate(family), repeat=2):
            if compare_with_offer(my_policy, their_policy).within:
                found += mine != theirs
                assert opens[mine] <= opens[theirs], (conditions[mine], conditions[theirs])
    assert found > len(conditions) / 2


@settings(max_examples=500, deadline=None)
@given(
    counter_offers(),
    st.lists(REQUESTS, min_size=1, max_size=4),
    st.sampled_from(INSTANTS),
    st.integers(0, 3),
)
def test_what_is_within_an_offer_never_permits_what_the_offer_refuses(
    pair: tuple, requests: list, now: datetime, uses: int
) -> None:
    offered, requested = pair
    assume(compare_with_offer(requested, offered).within)
    counted = {f"permission/{i}": uses for i in range(3)} | {f"prohibition/{i}": uses for i in range(3)}
    for request in requests:
        if evaluate(requested, request, Facts(now, counted)).permitted:
            assert evaluate(offered, request, Facts(now, counted)).permitted


@settings(max_examples=150, deadline=None)
@given(POLICIES)
def test_every_policy_is_within_itself_and_has_its_own_rules(policy: Policy) -> None:
    assert compare_with_offer(policy, policy).within
    assert same_rules(policy, policy)


@settings(max_examples=150, deadline=None)
@given(POLICIES)
def test_what_is_written_is_read_as_the_same_policy(policy: Policy) -> None:
    assume(policy.permissions or policy.prohibitions)
    assert parse_policy(write_policy(policy)) == policy


TAKEN_AWAY = [
    # what is offered, what is wanted, is that within?
    ([("deniedColumn", "isAnyOf", ["a"])], [], False),
    ([("deniedColumn", "isAnyOf", ["a"])], [("deniedColumn", "isAnyOf", ["b"])], False),
    ([("deniedColumn", "isAnyOf", ["a"])], [("deniedColumn", "isAnyOf", ["a", "b"])], True),
    ([("deniedColumn", "isAnyOf", ["a", "b"])], [("deniedColumn", "eq", ["a"])], False),
    ([], [("deniedColumn", "eq", ["a"])], True),
    ([("columnMask", "eq", ["a=hash"])], [], False),
    ([("columnMask", "eq", ["a=hash"])], [("columnMask", "eq", ["a=null"])], False),
    ([("columnMask", "eq", ["a=hash"])], [("columnMask", "isAnyOf", ["a=hash", "b=null"])], True),
    ([("rowFilter", "eq", ["recent"])], [], False),
    ([("rowFilter", "eq", ["recent"])], [("rowFilter", "isAnyOf", ["recent", "local"])], True),
    ([("pPercent", "gteq", ["10"])], [], False),
    ([("pPercent", "gteq", ["10"])], [("pPercent", "gteq", ["5"])], False),
    ([("pPercent", "gteq", ["10"])], [("pPercent", "gteq", ["15"])], True),
    ([("maxCellDominance", "eq", ["2,90"])], [], False),
    ([("maxCellDominance", "eq", ["2,90"])], [("maxCellDominance", "eq", ["2,90"])], True),
    ([("epsilonTotal", "lteq", ["1"])], [], False),
    ([("epsilonTotal", "lteq", ["1"])], [("epsilonTotal", "lteq", ["2"])], False),
    ([("epsilonTotal", "lteq", ["1"])], [("epsilonTotal", "lteq", ["0.5"])], True),
]


@pytest.mark.parametrize(("offered", "wanted", "within"), TAKEN_AWAY)
def test_what_an_offer_takes_away_of_the_data_cannot_be_bargained_back(
    offered: list, wanted: list, *, within: bool
) -> None:
    def querying(limits: list) -> Policy:
        constraints = tuple(
            Constraint(POLICY + name, Operator(operator), tuple(values)) for name, operator, values in limits
        )
        return Policy(
            kind=PolicyKind.OFFER,
            uid="urn:1",
            permissions=(Permission("permission/0", POLICY + "query", constraints),),
        )

    assert compare_with_offer(querying(wanted), querying(offered)).within is within


def _about(role: str, scope: Scope | None, *, forbidden: bool = False) -> Policy:
    rule = Prohibition if forbidden else Permission
    rules = (rule("rule/0", ODRL + "use", **{role: scope}),)
    named = {"prohibitions": rules} if forbidden else {"permissions": rules}
    return Policy(kind=PolicyKind.SET, uid="urn:1", **named)


@pytest.mark.parametrize("role", ["target", "assigner", "assignee"])
@pytest.mark.parametrize(
    ("offered", "wanted", "within", "keeps"),
    [
        (None, None, True, True),
        (Scope("urn:a"), Scope("urn:a"), True, True),
        (Scope("urn:a"), Scope("urn:b"), False, False),
        (Scope("urn:a"), None, False, True),
        (None, Scope("urn:a"), True, False),
        (Scope("urn:a"), Scope("urn:a", collection=True), False, False),
    ],
)
def test_a_rule_for_other_data_or_parties_is_not_within(
    role: str, offered: Scope | None, wanted: Scope | None, *, within: bool, keeps: bool
) -> None:
    assert compare_with_offer(_about(role, wanted), _about(role, offered)).within is within
    kept = compare_with_offer(
        _about(role, wanted, forbidden=True), _about(role, offered, forbidden=True)
    ).within
    assert kept is keeps


@pytest.mark.parametrize(
    ("offered", "wanted", "within"),
    [(None, "prohibit", True), ("prohibit", None, True), (None, "perm", False), ("invalid", None, False)],
)
def test_conflicts_must_be_settled_as_they_were_offered(
    offered: str | None, wanted: str | None, *, within: bool
) -> None:
    def settling(strategy: str | None) -> Policy:
        return replace(_about("target", None), conflict=strategy and Conflict(strategy))

    assert compare_with_offer(settling(wanted), settling(offered)).within is within
    assert same_rules(settling(wanted), settling(offered)) is within
