"""When a policy lets the data file as it is leave: permitted without limits, and not prohibited."""

from datetime import UTC, datetime

import pytest

from policies.actions import ACTIONS, RAW, REPRODUCE
from policies.evaluation import Facts, Request, evaluate
from policies.odrl import parse_policy
from policies.refinement import compare_with_offer
from policies.restrictions import offers_raw_data
from policies.terms import Enforcement, Where, classify, require_enforceable

ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"
PURPOSE = {"leftOperand": "purpose", "operator": "isA", "rightOperand": "https://w3id.org/dpv#Marketing"}
COUNT = {"leftOperand": "count", "operator": "lteq", "rightOperand": "20"}
UNTIL = {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2027-12-31T23:59:59Z"}
COLUMNS = {"leftOperand": POLICY + "allowedColumn", "operator": "isAnyOf", "rightOperand": ["a"]}
GROUP = {"leftOperand": POLICY + "minGroupSize", "operator": "gteq", "rightOperand": "5"}
KIND = {"leftOperand": POLICY + "outputKind", "operator": "eq", "rightOperand": "metrics"}
DIGEST = {"leftOperand": POLICY + "algorithmDigest", "operator": "eq", "rightOperand": "a" * 64}


def policy(action: str, *constraints: object, prohibited: tuple[object, ...] = ()) -> dict:
    rule = {"action": action, **({"constraint": list(constraints)} if constraints else {})}
    prohibition = {"prohibition": list(prohibited)} if prohibited else {}
    return {"@type": "Offer", "@id": "urn:uuid:1", "permission": [rule], **prohibition}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (policy("use"), True),
        (policy("reproduce"), True),
        (policy("reproduce", PURPOSE, COUNT, UNTIL), True),
        (policy("use", {"or": [PURPOSE, UNTIL]}), True),
        (policy(POLICY + "query"), False),
        (policy(POLICY + "compute"), False),
        (policy("use", COLUMNS), False),
        (policy("use", GROUP), False),
        (policy("use", KIND), False),
        (policy("use", DIGEST), False),
        (policy("use", {"and": [PURPOSE, GROUP]}), False),
        (policy("use", prohibited=({"action": "reproduce"},)), False),
        (policy("use", prohibited=({"action": "copy"},)), False),
        (policy("use", prohibited=({"action": "extract"},)), False),
        (policy("use", prohibited=({"action": "use"},)), False),
        (policy("use", prohibited=({"action": "distribute"},)), True),
        (policy("use", prohibited=({"action": "reproduce", "constraint": [PURPOSE]},)), True),
    ],
)
def test_raw_data_leave_only_under_a_wide_permission_that_nothing_prohibits(
    written: dict, expected: bool
) -> None:
    assert offers_raw_data(parse_policy(written)) is expected


def test_the_demo_offer_keeps_its_rows(demo_offer: dict) -> None:
    assert not offers_raw_data(parse_policy(demo_offer))


def test_limits_on_queries_are_refused_on_a_permission_to_reproduce() -> None:
    for constraint in (COLUMNS, GROUP, KIND, DIGEST):
        uses = classify(parse_policy(policy("reproduce", constraint)))
        assert uses[-1].level is Enforcement.REFUSED
    require_enforceable(parse_policy(policy("reproduce", PURPOSE, COUNT, UNTIL)))


@pytest.mark.parametrize("action", ["reproduce", "extract", "copy"])
def test_a_prohibition_of_copying_is_enforced_at_each_access_and_so_is_its_condition(action: str) -> None:
    written = policy("use", prohibited=({"action": action, "constraint": [PURPOSE]},))
    rule, condition = classify(parse_policy(written))[1:]
    assert (rule.level, rule.where) == (Enforcement.ENFORCED, (Where.ACCESS,))
    assert (condition.level, Where.ACCESS in condition.where) == (Enforcement.ENFORCED, True)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_prohibition_counts_in_the_catalog_and_at_the_start_just_where_it_takes_raw_data_off_them(
    action: str,
) -> None:
    for condition in ([], [PURPOSE]):
        prohibited = {"action": action, **({"constraint": condition} if condition else {})}
        read = parse_policy(policy("use", prohibited=(prohibited,)))
        rule = next(use for use in classify(read) if use.rule == "prohibition/0")
        decides = not offers_raw_data(read)
        assert (Where.CATALOG in rule.where, Where.START in rule.where) == (decides, decides)


@pytest.mark.parametrize(
    ("action", "where"),
    [
        (POLICY + "query", (Where.CATALOG, Where.ACCESS)),
        (POLICY + "compute", (Where.CATALOG, Where.ACCESS)),
        ("reproduce", (Where.CATALOG, Where.START, Where.ACCESS)),
        ("use", (Where.CATALOG, Where.START, Where.ACCESS)),
    ],
)
def test_what_is_permitted_decides_which_formats_the_catalog_offers(
    action: str, where: tuple[Where, ...]
) -> None:
    [use] = classify(parse_policy(policy(action)))
    assert (use.level, use.where) == (Enforcement.ENFORCED, where)


def test_a_prohibition_of_copying_stops_a_raw_copy_while_its_condition_holds() -> None:
    written = policy("use", prohibited=({"action": "copy", "constraint": [PURPOSE]},))
    read = parse_policy({**written, "target": "urn:d"})
    now = Facts(datetime(2026, 11, 22, tzinfo=UTC))

    def answers(purpose: str | None) -> list[bool]:
        requests = [Request(action, "urn:d", "did:web:c", purpose) for action in RAW]
        return [evaluate(read, request, now).permitted for request in requests]

    assert answers("https://w3id.org/dpv#Marketing") == [True, True, False]
    assert answers(None) == [True, True, False], "what is not known does not lift a prohibition"
    assert answers(POLICY + "LoadForecasting") == [True, True, True]


@pytest.mark.parametrize("limit", [COLUMNS, GROUP, KIND, DIGEST])
def test_a_counter_offer_cannot_turn_limited_use_into_a_raw_copy(limit: dict) -> None:
    offered = parse_policy(policy("use", limit))
    requested = parse_policy(policy("reproduce"))
    assert not compare_with_offer(requested, offered).within
    assert compare_with_offer(requested, parse_policy(policy("use"))).within


def test_a_raw_copy_is_reproducing_and_all_that_reproducing_includes() -> None:
    assert RAW == (REPRODUCE, ODRL + "extract", ODRL + "copy")
