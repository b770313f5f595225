"""Mistakes that let other engines fail open, each as a test: none of them opens anything here."""

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest

import policies
from policies.errors import PolicyRefusedError
from policies.evaluation import Facts, Request, evaluate
from policies.odrl import parse_policy

ODRL = "http://www.w3.org/ns/odrl/2/"
DPV = "https://w3id.org/dpv#"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def _policy(rules: dict) -> dict:
    return {"@type": "Set", "@id": "urn:1", "target": "urn:d", **rules}


def _permitted(rules: dict, facts: Facts, purpose: str | None = None) -> bool:
    return evaluate(
        parse_policy(_policy(rules)), Request(ODRL + "use", "urn:d", "did:web:c", purpose), facts
    ).permitted


def _purpose(operator: str) -> list[dict]:
    return [{"leftOperand": "purpose", "operator": operator, "rightOperand": DPV + "Marketing"}]


@pytest.mark.parametrize("operator", ["eq", "neq", "isA", "isAnyOf", "isNoneOf", "isAllOf", "hasPart"])
def test_trap_1_a_missing_value_opens_no_permission_and_lifts_no_prohibition(operator: str) -> None:
    conditional = {"action": "use", "constraint": _purpose(operator)}
    assert not _permitted({"permission": [conditional]}, Facts(NOW))
    assert not _permitted({"permission": [{"action": "use"}], "prohibition": [conditional]}, Facts(NOW))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("profile", "https://example.org/unknown"),
        ("permission", [{"action": "https://example.org/unknown"}]),
        (
            "permission",
            [
                {
                    "action": "use",
                    "constraint": [{"leftOperand": "unknown", "operator": "eq", "rightOperand": "1"}],
                }
            ],
        ),
        (
            "permission",
            [
                {
                    "action": "use",
                    "constraint": [{"leftOperand": "count", "operator": "unknown", "rightOperand": "1"}],
                }
            ],
        ),
    ],
    ids=["profile", "action", "left operand", "operator"],
)
def test_trap_2_an_unknown_term_is_refused_when_the_policy_is_read(member: str, value: object) -> None:
    with pytest.raises(PolicyRefusedError, match="unknown"):
        parse_policy(_policy({"permission": [{"action": "use"}], member: value}))


@pytest.mark.parametrize("value", ["2027-12-31T23:59:59", "2027-12-31", "20271231T235959Z"])
def test_trap_3_a_time_without_a_zone_is_refused_and_the_clock_is_the_evaluators(value: str) -> None:
    constraint = {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": value}
    with pytest.raises(PolicyRefusedError):
        parse_policy(_policy({"permission": [{"action": "use", "constraint": [constraint]}]}))
    assert not any("time" in field or "now" in field for field in Request.__dataclass_fields__)


def test_trap_4_an_unmet_duty_keeps_a_permission_closed() -> None:
    rules = {"permission": [{"action": "use", "duty": [{"action": "compensate"}]}]}
    assert not _permitted(rules, Facts(NOW))
    assert _permitted(rules, Facts(NOW, fulfilled=frozenset({"permission/0/duty/0"})))


def test_trap_5_a_count_that_nobody_took_is_not_zero() -> None:
    count = [{"leftOperand": "count", "operator": "lteq", "rightOperand": "1"}]
    rules = {"permission": [{"action": "use", "constraint": count}]}
    assert not _permitted(rules, Facts(NOW))
    assert _permitted(rules, Facts(NOW, {"permission/0": 0}))
    assert not _permitted(rules, Facts(NOW, {"permission/0": 1}))


def test_trap_6_no_module_builds_or_runs_code_from_a_policy() -> None:
    modules = sorted(Path(policies.__file__).parent.glob("*.py"))
    assert modules
    for module in modules:
        called = {
            node.func.id
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & {"eval", "exec", "compile", "__import__"}, module.name


@pytest.mark.parametrize(
    "payload", ["{{7*7}}", "'+__import__('os').system('id')+'", "${jndi:x}", "{0.__class__}"]
)
def test_trap_6_code_in_a_value_stays_text(payload: str) -> None:
    constraint = {"leftOperand": "version", "operator": "eq", "rightOperand": payload}
    policy = parse_policy(_policy({"permission": [{"action": "use", "constraint": [constraint]}]}))
    decision = evaluate(policy, Request(ODRL + "use", "urn:d", "did:web:c"), Facts(NOW))
    assert not decision.permitted
    assert payload in decision.explain("en")
