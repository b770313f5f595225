"""Templates: what they write is accepted, and a value that would not be is refused in a sentence."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.left_operands import LEFT_OPERANDS
from policies.odrl import parse_policy, write_policy
from policies.restrictions import computation_restrictions, query_restrictions, use_limit
from policies.templates import TEMPLATES, TemplateError, fill
from policies.terms import Enforcement, classify, require_enforceable
from schemas.wire_policies import offer_in_catalog

POLICY = "https://w3id.org/allmende/policy/v1#"
DPV = "https://w3id.org/dpv#"
DIGEST = "a" * 64
REQUIRED = {
    "algorithm": DIGEST,
    "partners": "did:web:a.example, did:web:b.example",
    "memberships": "https://example.org/cooperative",
    "unit": "profile",
}
EVERYTHING = {
    "columns": "sector,load_kw",
    "min_group_size": "5",
    "unit": "profile",
    "purpose": "LoadForecasting",
    "max_uses": "20",
    "until": "2027-12-31",
    "algorithm": DIGEST,
    "outputs": "metrics,model",
    "review": "auto",
    "partners": "did:web:a.example",
    "memberships": "https://example.org/cooperative,https://example.org/association",
    "roles": "https://example.org/roles#forecaster",
    "seat": "DE1",
    "duration": "P30D",
    "max_rows": "100",
    "masks": "ts=generalise:month,profile=hash",
    "dominance": "1,75",
    "p_percent": "20",
    "rounding": "5",
    "epsilon": "0.25",
    "epsilon_total": "4",
    "contribution_bound": "24",
}


def written(name: str, **settings: str) -> dict[str, Any]:
    template = TEMPLATES[name]
    required = {key.name: REQUIRED[key.name] for key in template.keys if key.required}
    return fill(template, {**required, **settings}, "urn:uuid:1")


def accepted(document: dict[str, Any]) -> None:
    offer_in_catalog(document)
    policy = parse_policy(document)
    require_enforceable(policy)
    assert parse_policy(write_policy(policy)) == policy


def test_the_templates_and_their_keys_are_named() -> None:
    assert {name: [key.name for key in template.keys] for name, template in TEMPLATES.items()} == {
        "aggregate-only": ["columns", "min_group_size", "unit", "purpose", "max_uses", "until"],
        "protected-statistics": [
            "columns",
            "masks",
            "min_group_size",
            "unit",
            "dominance",
            "p_percent",
            "rounding",
            "purpose",
            "max_uses",
            "until",
        ],
        "private-statistics": [
            "columns",
            "unit",
            "epsilon",
            "epsilon_total",
            "contribution_bound",
            "purpose",
            "max_uses",
            "until",
        ],
        "compute-only": ["columns", "algorithm", "outputs", "review", "purpose", "max_uses", "until"],
        "research-only": ["columns", "min_group_size", "unit", "purpose", "max_uses", "until"],
        "named-partners": [
            "partners",
            "roles",
            "columns",
            "min_group_size",
            "unit",
            "purpose",
            "max_uses",
            "until",
        ],
        "members-only": [
            "memberships",
            "roles",
            "seat",
            "columns",
            "min_group_size",
            "unit",
            "purpose",
            "max_uses",
            "until",
        ],
        "time-limited": [
            "duration",
            "columns",
            "min_group_size",
            "unit",
            "max_rows",
            "purpose",
            "max_uses",
        ],
        "raw-copy": ["purpose", "max_uses", "until"],
        "open-data": ["until"],
    }


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_a_template_writes_is_accepted_with_its_defaults(name: str) -> None:
    accepted(written(name))


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_a_template_writes_is_accepted_with_every_key_set(name: str) -> None:
    settings = {key.name: EVERYTHING[key.name] for key in TEMPLATES[name].keys}
    document = written(name, **settings)
    accepted(document)
    stated = {part["leftOperand"] for part in document["permission"][0].get("constraint", [])}
    short = {term.rpartition("/")[2] if "#" not in term else term for term in LEFT_OPERANDS}
    assert stated <= short


@pytest.mark.parametrize("name", set(TEMPLATES) - {"raw-copy", "open-data"})
def test_every_limit_that_a_governed_template_writes_is_a_lock(name: str) -> None:
    settings = {key.name: EVERYTHING[key.name] for key in TEMPLATES[name].keys}
    uses = classify(parse_policy(written(name, **settings)))
    assert {use.level for use in uses} == {Enforcement.ENFORCED}


def test_aggregates_only_means_what_its_keys_say() -> None:
    settings = {key.name: EVERYTHING[key.name] for key in TEMPLATES["aggregate-only"].keys}
    document = written("aggregate-only", **settings)
    assert document["@type"] == "Offer"
    assert "target" not in document
    assert document["prohibition"] == [{"action": "reproduce"}]
    [permission] = parse_policy(document).permissions
    assert permission.action == POLICY + "query"
    limits = query_restrictions(permission)
    assert limits.columns == ("sector", "load_kw")
    assert (limits.group_unit, limits.minimum_units, limits.minimum_rows) == ("profile", 5, 5)
    assert use_limit(permission) == 20
    values = {part.left_operand.rpartition("/")[2]: part.right_operand for part in permission.constraints}  # type: ignore[union-attr]
    assert values["purpose"] == (POLICY + "LoadForecasting",)
    assert values["dateTime"] == ("2027-12-31T23:59:59Z",)


def test_without_a_unit_rows_make_the_size_of_a_group() -> None:
    [permission] = parse_policy(written("aggregate-only", min_group_size="3")).permissions
    limits = query_restrictions(permission)
    assert (limits.group_unit, limits.minimum_units, limits.minimum_rows) == (None, 1, 3)


def test_ten_is_the_smallest_group_unless_it_is_set() -> None:
    [permission] = parse_policy(written("aggregate-only")).permissions
    assert query_restrictions(permission).minimum_rows == 10


def test_compute_only_means_what_its_keys_say() -> None:
    document = written("compute-only", columns="ts,load_kw", outputs="model", review="auto")
    [permission] = parse_policy(document).permissions
    limits = computation_restrictions(permission)
    assert limits.columns == ("ts", "load_kw")
    assert limits.algorithms == {DIGEST}
    assert limits.output_kinds == {"model"}
    assert limits.review == "auto"
    assert computation_restrictions(parse_policy(written("compute-only")).permissions[0]).review == "manual"


@pytest.mark.parametrize(
    ("given", "purpose"),
    [
        ("LoadForecasting", POLICY + "LoadForecasting"),
        ("ScientificResearch", DPV + "ScientificResearch"),
        ("dpv:ScientificResearch", DPV + "ScientificResearch"),
        ("https://example.org/purposes#mine", "https://example.org/purposes#mine"),
    ],
)
def test_a_purpose_may_be_given_by_its_name(given: str, purpose: str) -> None:
    [permission] = written("raw-copy", purpose=given)["permission"]
    assert permission["constraint"] == [
        {"leftOperand": "purpose", "operator": "isA", "rightOperand": purpose}
    ]


REFUSED = [
    ("aggregate-only", {"min_group_size": "0"}, "min_group_size: The value “0”"),
    ("aggregate-only", {"min_group_size": "-5"}, "min_group_size: The value “-5”"),
    ("aggregate-only", {"columns": "Load Kw"}, "columns: The value “Load Kw”"),
    ("aggregate-only", {"columns": " , "}, "columns: The list is empty"),
    ("aggregate-only", {"unit": "a;b"}, "unit: The value “a;b”"),
    ("aggregate-only", {"until": "next year"}, "until: The value “next year”"),
    ("aggregate-only", {"until": "2027-02-30"}, "until: The value “2027-02-30T23:59:59Z”"),
    ("aggregate-only", {"until": "2027-02-01T00:00:00"}, "until: The value"),
    ("aggregate-only", {"purpose": "anything"}, "purpose: The value “anything”"),
    ("aggregate-only", {"max_uses": "often"}, "max_uses: The value “often”"),
    ("aggregate-only", {"target": "urn:x"}, "has no key target; possible: columns, min_group_size"),
    ("compute-only", {"algorithm": ""}, "requires algorithm"),
    ("compute-only", {"algorithm": "A" * 64}, "algorithm: The value"),
    ("compute-only", {"review": "sometimes"}, "review: The value “sometimes”"),
    ("compute-only", {"outputs": "Metrics!"}, "outputs: The value"),
    ("time-limited", {"duration": "P3M"}, "duration: The value “P3M”"),
    ("named-partners", {"partners": "the neighbours"}, "partners: The value"),
    ("protected-statistics", {"masks": "name=encrypt"}, "masks: "),
    ("protected-statistics", {"dominance": "90"}, "dominance: "),
    ("protected-statistics", {"p_percent": "0"}, "p_percent: "),
    ("protected-statistics", {"rounding": "0"}, "rounding: "),
]


@pytest.mark.parametrize(("name", "settings", "sentence"), REFUSED)
def test_a_bad_value_is_refused_in_a_sentence_that_names_the_key(
    name: str, settings: dict[str, str], sentence: str
) -> None:
    with pytest.raises(TemplateError) as refused:
        written(name, **settings)
    assert sentence in refused.value.reason["en"]
    assert refused.value.reason["de"] != refused.value.reason["en"]


@given(
    name=st.sampled_from(sorted(TEMPLATES)),
    values=st.dictionaries(st.sampled_from(sorted(EVERYTHING)), st.text(max_size=30), max_size=4),
)
def test_whatever_is_given_the_result_is_accepted_or_refused_in_a_sentence(
    name: str, values: dict[str, str]
) -> None:
    reasons: list[str] = []
    try:
        accepted(written(name, **values))
    except TemplateError as refusal:
        reasons = [refusal.reason["de"], refusal.reason["en"]]
    assert all(reason.strip() for reason in reasons)


def test_two_policies_of_a_template_share_nothing_that_can_be_changed() -> None:
    first = written("research-only")
    first["prohibition"][1]["constraint"][0]["operator"] = "eq"
    assert written("research-only")["prohibition"][1]["constraint"][0]["operator"] == "isA"


@pytest.mark.parametrize("key", ["epsilon", "epsilon_total"])
def test_noise_without_its_budget_is_refused_in_a_sentence(key: str) -> None:
    with pytest.raises(TemplateError, match="Noise needs a statement of") as caught:
        written("private-statistics", **{key: ""})
    assert set(caught.value.reason) == {"de", "en"}


def test_statistics_with_noise_mean_what_their_keys_say() -> None:
    document = written("private-statistics", epsilon="0.25", epsilon_total="4", contribution_bound="24")
    limits = query_restrictions(parse_policy(document).permissions[0])
    assert limits.group_unit == "profile"
    assert limits.noise is not None
    assert [str(value) for value in (limits.noise.epsilon_per_query, limits.noise.epsilon_total)] == [
        "0.25",
        "4",
    ]
    assert limits.noise.contribution_bound == 24
