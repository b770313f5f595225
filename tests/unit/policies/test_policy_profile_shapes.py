"""The profile as linked data: its context names every own term, its shapes accept the templates."""

import json
from collections.abc import Callable
from copy import deepcopy
from importlib.resources import files
from typing import Any

import pytest
from pyld import jsonld
from pyshacl import validate
from rdflib import Graph, Namespace
from rdflib.collection import Collection
from rdflib.compare import isomorphic

from policies.actions import ACTIONS
from policies.left_operands import LEFT_OPERANDS
from policies.purposes import PURPOSES
from policies.templates import TEMPLATES, fill
from schemas.jsonld import expand

ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"
CONTEXTS = ["https://w3id.org/dspace/2025/1/odrl-profile.jsonld", "https://w3id.org/allmende/policy/v1"]
REQUIRED = {
    "algorithm": "a" * 64,
    "partners": "did:web:a.example,did:web:b.example",
    "memberships": "https://example.org/cooperative",
    "unit": "profile",
}
SH = Namespace("http://www.w3.org/ns/shacl#")


@pytest.fixture(scope="module")
def shapes() -> Graph:
    text = files("schemas").joinpath("shapes", "allmende-policy-v1.ttl").read_text(encoding="utf-8")
    return Graph().parse(data=text, format="turtle")


def example(name: str) -> dict[str, Any]:
    template = TEMPLATES[name]
    settings = {key.name: REQUIRED[key.name] for key in template.keys if key.required}
    return fill(template, settings, "urn:uuid:1")


def in_full(value: Any, key: str = "") -> Any:
    """Write ODRL's own words with their prefix, which the context of DSP does not define as terms."""
    if isinstance(value, list):
        return [in_full(member, key) for member in value]
    if isinstance(value, dict):
        return {name: in_full(member, name) for name, member in value.items()}
    plain = isinstance(value, str) and ":" not in value
    return f"odrl:{value}" if plain and key in {"leftOperand", "action", "operator", "conflict"} else value


def as_graph(policy: dict[str, Any]) -> Graph:
    nodes = expand({"@context": CONTEXTS, **policy})
    quads = jsonld.to_rdf(nodes, {"format": "application/n-quads", "base": None})
    return Graph().parse(data=quads, format="nt")


def conforms(policy: dict[str, Any], shapes: Graph) -> bool:
    answer, _, _ = validate(as_graph(in_full(policy)), shacl_graph=shapes)
    return bool(answer)


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_every_template_writes_conforms(name: str, shapes: Graph) -> None:
    assert conforms(example(name), shapes)


def test_the_demo_offer_conforms(demo_offer: dict[str, Any], shapes: Graph) -> None:
    assert conforms(demo_offer, shapes)


def constraint(policy: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [part for part in policy["permission"][0]["constraint"] if part["leftOperand"] == POLICY + name]
    return found


BROKEN: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("no profile", lambda policy: policy.pop("profile")),
    ("another profile alone", lambda policy: policy.update(profile=["urn:other"])),
    ("no rule", lambda policy: (policy.pop("permission"), policy.pop("prohibition"))),
    ("a permission that wins", lambda policy: policy.update({"odrl:conflict": {"@id": ODRL + "perm"}})),
    ("an action that nobody serves", lambda policy: policy["permission"][0].update(action="distribute")),
    ("no action", lambda policy: policy["permission"][0].pop("action")),
    ("a duty first", lambda policy: policy["permission"][0].update(duty=[{"action": "inform"}])),
    (
        "a left operand that is not measured",
        lambda policy: constraint(policy, "minGroupSize").update(leftOperand="percentage"),
    ),
    ("an operator from above", lambda policy: constraint(policy, "minGroupSize").update(operator="lteq")),
    ("a group of none", lambda policy: constraint(policy, "minGroupSize").update(rightOperand="0")),
    ("no value", lambda policy: constraint(policy, "minGroupSize").pop("rightOperand")),
    ("rows", lambda policy: constraint(policy, "queryClass").update(rightOperand="rows")),
    (
        "a unit of measure",
        lambda policy: constraint(policy, "minGroupSize").update({"odrl:unit": {"@id": "urn:x"}}),
    ),
]


@pytest.mark.parametrize("change", [case[1] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_policy_does_not_conform(change: Callable[[dict[str, Any]], object], shapes: Graph) -> None:
    policy = deepcopy(example("aggregate-only"))
    change(policy)
    assert not conforms(policy, shapes)


def test_a_comparison_inside_others_is_checked_too(shapes: Graph) -> None:
    policy = example("aggregate-only")
    within = {"leftOperand": "count", "operator": "gteq", "rightOperand": "5"}
    policy["permission"][0]["constraint"] = [{"and": [within]}]
    assert not conforms(policy, shapes)


def test_the_shapes_know_the_operators_that_the_software_knows(shapes: Graph) -> None:
    listed: dict[str, set[str]] = {}
    for shape in shapes.subjects(SH["or"]):
        alternatives = Collection(shapes, shapes.value(shape, SH["or"]))  # type: ignore[arg-type]
        if shapes.value(shape, SH.targetSubjectsOf) is None:
            continue
        negated, stated = alternatives
        term = shapes.value(shapes.value(shapes.value(negated, SH["not"]), SH.property), SH.hasValue)
        operators = next(
            shapes.value(part, SH["in"])
            for part in shapes.objects(stated, SH.property)
            if str(shapes.value(part, SH.path)) == ODRL + "operator"
        )
        listed[str(term)] = {str(name).removeprefix(ODRL) for name in Collection(shapes, operators)}  # type: ignore[arg-type]
    assert listed == {
        term: {operator.value for operator in known.stations}
        for term, known in LEFT_OPERANDS.items()
        if term.startswith((ODRL, POLICY)) and known.stations
    }


def test_the_context_names_every_own_term() -> None:
    text = files("schemas").joinpath("contexts", "allmende-policy-v1.jsonld").read_text(encoding="utf-8")
    terms = json.loads(text)["@context"]
    own = {term for term in (*ACTIONS, *LEFT_OPERANDS, *PURPOSES) if term.startswith(POLICY)}
    # ODRL has an `assignee` of its own, so ours is only written in full.
    expected = {term.removeprefix(POLICY): term for term in own - {POLICY + "assignee"}}
    assert terms == {"@version": 1.1, "allmende-policy": POLICY, **expected}


def test_short_own_terms_mean_the_same_with_the_context() -> None:
    policy = in_full(example("aggregate-only"))
    short = json.loads(json.dumps(policy).replace(POLICY, ""))
    assert short["permission"][0]["action"] == "query"
    assert isomorphic(as_graph(short), as_graph(policy))
