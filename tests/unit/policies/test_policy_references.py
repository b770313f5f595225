"""Whether what a policy names exists."""

from typing import Any

import pytest

from policies.errors import PolicyRefusedError
from policies.model import Policy
from policies.odrl import parse_policy
from policies.references import require_columns, require_events, require_registers

POLICY = "https://w3id.org/allmende/policy/v1#"
COLUMNS, UNITS = ("household", "sector", "load_kw"), {"household"}


def limit(left_operand: str, operator: str, right_operand: Any) -> dict[str, Any]:
    return {"leftOperand": left_operand, "operator": operator, "rightOperand": right_operand}


def policy(*constraints: dict[str, Any], action: str = "query", **members: Any) -> Policy:
    rule = {"action": POLICY + action, "constraint": list(constraints)}
    return parse_policy({"@type": "Set", "@id": "urn:1", "target": "urn:2", "permission": [rule], **members})


@pytest.mark.parametrize("action", ["query", "compute"])
@pytest.mark.parametrize(
    ("term", "operator", "value", "unknown"),
    [
        ("allowedColumn", "isAnyOf", ["sector", "secter"], "secter"),
        ("deniedColumn", "eq", "lod_kw", "lod_kw"),
        ("columnMask", "eq", "nope=hash", "nope"),
    ],
)
def test_a_column_that_is_not_there_is_refused_by_name(
    action: str, term: str, operator: str, value: Any, unknown: str
) -> None:
    with pytest.raises(PolicyRefusedError) as refused:
        require_columns(policy(limit(POLICY + term, operator, value), action=action), COLUMNS, UNITS)
    assert refused.value.term == POLICY + term
    assert refused.value.reason == {
        "de": f"Der Vertrag nennt Spalten, die der Datensatz nicht hat: {unknown}. "
        "Er hat: household, sector, load_kw.",
        "en": f"The policy names columns that the dataset does not have: {unknown}. "
        "It has: household, sector, load_kw.",
    }


@pytest.mark.parametrize(("unit", "reason"), [("sector", "described as a unit"), ("person", "does not have")])
def test_a_group_unit_is_a_column_that_names_units(unit: str, reason: str) -> None:
    require_columns(policy(limit(POLICY + "groupUnit", "eq", "household")), COLUMNS, UNITS)
    with pytest.raises(PolicyRefusedError, match=reason):
        require_columns(policy(limit(POLICY + "groupUnit", "eq", unit)), COLUMNS, UNITS)


def test_a_policy_leaves_at_least_one_column_or_something_to_count() -> None:
    nothing = (
        limit(POLICY + "allowedColumn", "eq", "sector"),
        limit(POLICY + "deniedColumn", "eq", "sector"),
    )
    for action in ("query", "compute"):
        with pytest.raises(PolicyRefusedError, match="The policy leaves no column"):
            require_columns(policy(*nothing, action=action), COLUMNS, UNITS)
    require_columns(policy(*nothing, limit(POLICY + "groupUnit", "eq", "household")), COLUMNS, UNITS)


def test_every_permission_is_looked_at() -> None:
    constraint = limit(POLICY + "deniedColumn", "eq", "nope")
    rules = [{"action": POLICY + "query"}, {"action": POLICY + "compute", "constraint": [constraint]}]
    with pytest.raises(PolicyRefusedError, match="nope"):
        require_columns(policy(permission=rules), COLUMNS, UNITS)


def test_an_event_has_to_be_in_the_calendar() -> None:
    fair = limit("event", "eq", "fair")
    forbidden = [{"action": POLICY + "query", "constraint": [{"or": [fair, limit("event", "eq", "other")]}]}]
    require_events(policy(fair), ["fair"])
    with pytest.raises(PolicyRefusedError, match="in the calendar: fair; there are: none"):
        require_events(policy(fair), [])
    with pytest.raises(PolicyRefusedError, match="in the calendar: other; there are: fair"):
        require_events(policy(prohibition=forbidden), ["fair"])


def test_a_register_of_consents_has_to_be_defined() -> None:
    named = policy(limit(POLICY + "consent", "isAllOf", ["households", "firms"]))
    require_registers(named, {"households", "firms"})
    with pytest.raises(PolicyRefusedError, match="The consent registers firms are not defined"):
        require_registers(named, {"households"})
