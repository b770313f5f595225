"""The form of ODRL policies inside DSP documents; what they mean is the policy engine's matter.

A policy stays a JSON object: the engine reads it, signatures cover it, and a
counterparty compares it. Only single values in place of arrays are wrapped.

Source:
    DSP 2025-1, contract-schema.json and the ODRL profile of its section 4.
"""

import re
from collections.abc import Callable
from typing import Final

from schemas.strict_json import JsonObject, JsonValue
from schemas.wire import broken_rule, shown

OPERATORS: Final = frozenset(
    {
        *("eq", "neq", "lt", "lteq", "gt", "gteq"),
        *("isA", "hasPart", "isPartOf", "isAnyOf", "isAllOf", "isNoneOf"),
    }
)
CONNECTIVES: Final = ("and", "andSequence", "or", "xone")
DEEPEST_CONSTRAINT: Final = 16

_XSD_DATE_TIME: Final = re.compile(
    r"-?(?:[1-9]\d{3,}|0\d{3})-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"T(?:(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?|24:00:00(?:\.0+)?)"
    r"(?:Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00))?",
    re.ASCII,
)


def offer_in_message(value: object) -> JsonObject:
    """Check the form of an offer that is negotiated: it names its target.

    Returns:
        The offer, with arrays wherever the protocol has arrays.

    Raises:
        PydanticCustomError: The offer breaks a rule; the error names it and the place.

    Source:
        DSP 2025-1, contract-schema.json#/definitions/MessageOffer.
    """
    policy = _policy(value)
    _require_type(policy, "Offer")
    _require_texts(policy, "", ("@id", "target"))
    return policy


def offer_in_catalog(value: object) -> JsonObject:
    """Check the form of an offer in a catalog: its target is the dataset around it.

    Returns:
        The offer, with arrays wherever the protocol has arrays.

    Raises:
        PydanticCustomError: The offer breaks a rule; the error names it and the place.

    Source:
        DSP 2025-1, contract-schema.json#/definitions/Offer.
    """
    policy = _policy(value)
    if "@type" in policy:
        _require_type(policy, "Offer")
    _require_texts(policy, "", ("@id",))
    if "target" in policy:
        raise broken_rule("must be absent: the target of an offer in a catalog is its dataset", ".target")
    return policy


def agreement(value: object) -> JsonObject:
    """Check the form of an agreement: it names target, assigner and assignee.

    Returns:
        The agreement, with arrays wherever the protocol has arrays.

    Raises:
        PydanticCustomError: The agreement breaks a rule; the error names it and the place.

    Source:
        DSP 2025-1, contract-schema.json#/definitions/Agreement. Its text
        demands a timestamp, its schema does not; one that is there must be an
        xsd:dateTime.
    """
    policy = _policy(value)
    _require_type(policy, "Agreement")
    _require_texts(policy, "", ("@id", "target", "assigner", "assignee"))
    timestamp = policy.get("timestamp")
    if timestamp is not None and not (isinstance(timestamp, str) and _XSD_DATE_TIME.fullmatch(timestamp)):
        raise broken_rule("must be an xsd:dateTime, such as '2026-01-01T00:00:00Z'", ".timestamp")
    return policy


def _policy(value: object) -> JsonObject:
    """Check what all policies have in common."""
    policy = _object(value, "")
    for kind, read in (("permission", _rule), ("prohibition", _rule), ("obligation", _duty)):
        _replace_array(policy, kind, "", read)
    if "permission" not in policy and "prohibition" not in policy:
        raise broken_rule("must have at least one permission or prohibition")
    _check_profile(policy)
    return policy


def _check_profile(policy: JsonObject) -> None:
    """Check the profile, which alone may be a string as well as an array on the wire."""
    stated = policy.get("profile", [])
    for profile in stated if isinstance(stated, list) else [stated]:
        _text(profile, ".profile")


def _rule(value: JsonValue, path: str) -> JsonValue:
    rule = _duty(value, path)
    _replace_array(rule, "duty", path, _duty)
    return rule


def _duty(value: JsonValue, path: str) -> JsonObject:
    rule = _object(value, path)
    _require_texts(rule, path, ("action",))
    if "target" in rule:
        raise broken_rule("must be absent: the target stands once, on the policy", f"{path}.target")
    _replace_array(rule, "constraint", path, _constraint, may_be_empty=True)
    return rule


def _constraint(value: JsonValue, path: str, depth: int = 1) -> JsonValue:
    constraint = _object(value, path)
    if depth > DEEPEST_CONSTRAINT:
        raise broken_rule(f"is nested deeper than {DEEPEST_CONSTRAINT} constraints", path)
    used = [name for name in (*CONNECTIVES, "leftOperand") if name in constraint]
    if len(used) != 1:
        raise broken_rule(f"must have exactly one of leftOperand, {', '.join(CONNECTIVES)}", path)
    if used[0] == "leftOperand":
        _check_comparison(constraint, path)
    else:
        _replace_array(constraint, used[0], path, lambda item, at: _constraint(item, at, depth + 1))
    return constraint


def _check_comparison(constraint: JsonObject, path: str) -> None:
    _require_texts(constraint, path, ("leftOperand", "operator"))
    if constraint["operator"] not in OPERATORS:
        raise broken_rule(
            f"must be an operator of the protocol, not {shown(constraint['operator'])}", f"{path}.operator"
        )
    if "rightOperand" not in constraint:
        raise broken_rule("is required", f"{path}.rightOperand")
    if not isinstance(constraint["rightOperand"], (str, dict, list)):
        raise broken_rule(
            "must be a string, an object or an array; write a number as a string", f"{path}.rightOperand"
        )


def _replace_array(
    owner: JsonObject,
    name: str,
    path: str,
    read: Callable[[JsonValue, str], JsonValue],
    *,
    may_be_empty: bool = False,
) -> None:
    """Check each item of a multi-valued property, which may hold a single value."""
    if name not in owner:
        return
    value = owner[name]
    items = value if isinstance(value, list) else [value]
    place = f"{path}.{name}"
    if not items and not may_be_empty:
        raise broken_rule("must have at least one item; leave it out instead", place)
    owner[name] = [read(item, f"{place}[{index}]") for index, item in enumerate(items)]


def _object(value: object, path: str) -> JsonObject:
    if not isinstance(value, dict):
        raise broken_rule("must be an object", path)
    return {key: item for key, item in value.items() if item is not None}


def _text(value: JsonValue, path: str) -> JsonValue:
    if not isinstance(value, str) or not value:
        raise broken_rule("must be a string that is not empty", path)
    return value


def _require_type(policy: JsonObject, expected: str) -> None:
    if policy.get("@type") != expected:
        raise broken_rule(f"must be {expected!r}, not {shown(policy.get('@type'))}", ".@type")


def _require_texts(owner: JsonObject, path: str, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in owner:
            raise broken_rule("is required", f"{path}.{name}")
        _text(owner[name], f"{path}.{name}")
