"""Reading policies: what is written in many ways is one policy, what is unknown is refused by name."""

import json
from collections.abc import Callable

import pytest

from policies.errors import PolicyRefusedError
from policies.model import Connective, Constraint, LogicalConstraint, Operator, PolicyKind
from policies.odrl import parse_policy, write_policy, write_rules

ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"
XSD = "http://www.w3.org/2001/XMLSchema#"

COUNT = {"leftOperand": "count", "operator": "lteq", "rightOperand": "20"}


def test_the_demo_offer_becomes_two_permissions_and_a_prohibition(demo_offer: dict) -> None:
    policy = parse_policy(demo_offer, default_target="urn:dataset:1")
    assert policy.kind is PolicyKind.OFFER
    assert policy.target == "urn:dataset:1"
    assert policy.profiles == ("https://w3id.org/allmende/policy/v1",)
    assert [rule.identifier for rule in policy.permissions] == ["permission/0", "permission/1"]
    assert [rule.action for rule in policy.permissions] == [POLICY + "query", POLICY + "compute"]
    assert policy.prohibitions[0].action == ODRL + "reproduce"
    assert policy.permissions[0].constraints[3] == Constraint(ODRL + "count", Operator.LTEQ, ("20",))


def test_what_was_read_is_written_as_it_was(demo_offer: dict) -> None:
    policy = parse_policy(demo_offer)
    assert write_rules(policy) == {name: demo_offer[name] for name in ("permission", "prohibition")}
    assert write_policy(policy) == demo_offer


@pytest.mark.parametrize("spell", [str, "odrl:{}".format, (ODRL + "{}").format])
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value]])
def test_every_spelling_of_a_term_and_every_wrapping_is_one_policy(spell: Callable, wrap: Callable) -> None:
    written = {
        "@type": spell("Offer"),
        "@id": "urn:uuid:1",
        spell("permission"): wrap(
            {
                spell("action"): wrap({"@id": spell("use")}),
                spell("constraint"): wrap(
                    {
                        spell("leftOperand"): {"@id": spell("count")},
                        spell("operator"): {"@id": spell("lteq")},
                        spell("rightOperand"): wrap("20"),
                    }
                ),
            }
        ),
    }
    policy = parse_policy(written)
    assert policy.permissions[0].action == ODRL + "use"
    assert policy.permissions[0].constraints == (Constraint(ODRL + "count", Operator.LTEQ, ("20",)),)


@pytest.mark.parametrize(
    ("right_operand", "data_type"),
    [
        ("20", None),
        ({"@value": "20", "@type": "xsd:integer"}, XSD + "integer"),
        ({"@value": 20, "@type": XSD + "integer"}, XSD + "integer"),
        ({"@list": ["20"]}, None),
    ],
)
def test_a_right_operand_keeps_its_lexical_form_and_its_datatype(
    offer_with: Callable[..., dict], right_operand: object, data_type: str | None
) -> None:
    policy = parse_policy(offer_with({**COUNT, "rightOperand": right_operand}))
    assert policy.permissions[0].constraints == (
        Constraint(ODRL + "count", Operator.LTEQ, ("20",), data_type=data_type),
    )


def test_several_actions_become_one_rule_each_with_consecutive_identifiers(
    offer_with: Callable[..., dict],
) -> None:
    written = offer_with(COUNT, action=[POLICY + "query", POLICY + "compute"])
    written["permission"].append({"action": "use"})
    policy = parse_policy(written)
    assert [(rule.identifier, rule.action) for rule in policy.permissions] == [
        ("permission/0", POLICY + "query"),
        ("permission/1", POLICY + "compute"),
        ("permission/2", ODRL + "use"),
    ]


def test_refinements_duties_remedies_and_consequences_are_kept() -> None:
    written = {
        "@type": "Set",
        "@id": "urn:uuid:1",
        "permission": [
            {
                "action": [{"rdf:value": {"@id": "odrl:use"}, "refinement": [COUNT]}],
                "duty": [{"action": "inform", "consequence": [{"action": "compensate"}]}],
            }
        ],
        "prohibition": [{"action": "distribute", "remedy": [{"action": "delete"}]}],
        "obligation": [{"action": "attribute"}],
    }
    policy = parse_policy(written)
    permission = policy.permissions[0]
    assert permission.refinements == (Constraint(ODRL + "count", Operator.LTEQ, ("20",)),)
    assert permission.duties[0].consequences[0].action == ODRL + "compensate"
    assert policy.prohibitions[0].remedies[0].action == ODRL + "delete"
    assert policy.obligations[0].action == ODRL + "attribute"
    assert parse_policy(write_policy(policy)) == policy


def test_logical_constraints_keep_their_order_and_nesting(offer_with: Callable[..., dict]) -> None:
    inner = {"xone": [COUNT, {"and": {"@list": [COUNT, COUNT]}}]}
    policy = parse_policy(offer_with({"andSequence": [inner, COUNT]}))
    [outer] = policy.permissions[0].constraints
    assert isinstance(outer, LogicalConstraint)
    assert outer.connective is Connective.AND_SEQUENCE
    assert [type(operand) for operand in outer.operands] == [LogicalConstraint, Constraint]
    assert parse_policy(write_policy(policy)) == policy


REFUSED_CONSTRAINTS = [
    ("an unknown left operand", {**COUNT, "leftOperand": "partner"}, ODRL + "partner"),
    ("somebody else's left operand", {**COUNT, "leftOperand": "cx:Membership"}, "cx:Membership"),
    ("an unknown operator", {**COUNT, "operator": "term-lteq"}, ODRL + "term-lteq"),
    ("a missing operator", {"leftOperand": "count", "rightOperand": "20"}, "operator"),
    ("a missing right operand", {"leftOperand": "count", "operator": "lteq"}, ODRL + "count"),
    ("a bare number", {**COUNT, "rightOperand": 20}, ODRL + "count"),
    ("a boolean", {**COUNT, "rightOperand": {"@value": True}}, ODRL + "count"),
    ("a fraction", {**COUNT, "rightOperand": "2.5"}, ODRL + "count"),
    ("a negative count", {**COUNT, "rightOperand": "-1"}, ODRL + "count"),
    ("digits of another script", {**COUNT, "rightOperand": "２０"}, ODRL + "count"),  # noqa: RUF001 - the attack
    ("an underscore", {**COUNT, "rightOperand": "2_0"}, ODRL + "count"),
    ("a number that is too long", {**COUNT, "rightOperand": "9" * 5000}, ODRL + "count"),
    ("two values for lteq", {**COUNT, "rightOperand": ["20", "30"]}, ODRL + "count"),
    ("a false datatype", {**COUNT, "rightOperand": {"@value": "20", "@type": "xsd:date"}}, ODRL + "count"),
    (
        "a reference to follow",
        {**COUNT, "rightOperandReference": "http://10.0.0.1/"},
        "rightOperandReference",
    ),
    ("a status", {**COUNT, "status": "3"}, "status"),
    (
        "a language",
        {**COUNT, "rightOperand": {"@value": "20", "@language": "de"}},
        "@language",
    ),
    (
        "a time without a zone",
        {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2027-12-31T23:59:59"},
        ODRL + "dateTime",
    ),
    (
        "a day that does not exist",
        {"leftOperand": "dateTime", "operator": "lteq", "rightOperand": "2027-02-30T00:00:00Z"},
        ODRL + "dateTime",
    ),
    (
        "a purpose that is no IRI",
        {"leftOperand": "purpose", "operator": "isA", "rightOperand": "research"},
        ODRL + "purpose",
    ),
    (
        "a digest that is too short",
        {"leftOperand": POLICY + "algorithmDigest", "operator": "eq", "rightOperand": "abc"},
        POLICY + "algorithmDigest",
    ),
    (
        "a column that is SQL",
        {"leftOperand": POLICY + "allowedColumn", "operator": "eq", "rightOperand": 'a" from x --'},
        POLICY + "allowedColumn",
    ),
    (
        "an unknown query class",
        {"leftOperand": POLICY + "queryClass", "operator": "eq", "rightOperand": "rows"},
        POLICY + "queryClass",
    ),
    ("an empty or", {"or": []}, "or"),
    ("two connectives", {"or": [COUNT], "and": [COUNT]}, "or"),
    ("a comparison beside a connective", {"or": [COUNT], **COUNT}, "or"),
    ("a text", "count <= 20", "constraint"),
]


@pytest.mark.parametrize(
    ("constraint", "term"),
    [case[1:] for case in REFUSED_CONSTRAINTS],
    ids=[c[0] for c in REFUSED_CONSTRAINTS],
)
def test_a_constraint_that_cannot_be_read_is_refused_by_name(
    offer_with: Callable[..., dict], constraint: dict, term: str
) -> None:
    with pytest.raises(PolicyRefusedError) as refused:
        parse_policy(offer_with(constraint))
    assert refused.value.term == term
    assert term in str(refused.value)
    assert term in refused.value.reason["de"]
    assert str(refused.value) == refused.value.reason["en"]


def _changed(**members: object) -> dict:
    return {"@type": "Offer", "@id": "urn:uuid:1", "permission": [{"action": "use"}], **members}


REFUSED_POLICIES = [
    ("an unknown profile", _changed(profile="https://example.org/other"), "https://example.org/other"),
    ("no rule", {"@type": "Offer", "@id": "urn:uuid:1", "permission": []}, "permission"),
    ("no identifier", {"@type": "Offer", "permission": [{"action": "use"}]}, "@id"),
    ("another kind", _changed(**{"@type": "Ticket"}), ODRL + "Ticket"),
    ("no action", _changed(permission=[{}]), "action"),
    ("an unknown action", _changed(permission=[{"action": "fly"}]), ODRL + "fly"),
    ("an unknown property of a rule", _changed(permission=[{"action": "use", "unless": "x"}]), "unless"),
    (
        "a refinement of a rule",
        _changed(permission=[{"action": "use", "refinement": [COUNT]}]),
        "refinement",
    ),
    ("a remedy of a permission", _changed(permission=[{"action": "use", "remedy": []}]), "remedy"),
    ("a duty of a prohibition", _changed(prohibition=[{"action": "use", "duty": []}]), "duty"),
    ("a party function", _changed(obligation=[{"action": "inform", "informedParty": "x"}]), "informedParty"),
    ("an unknown property", _changed(terms="ours"), "terms"),
    ("inheritance", _changed(inheritFrom="http://10.0.0.1/"), "inheritFrom"),
    ("permission over prohibition", _changed(conflict="perm"), "conflict"),
    ("an inline context", _changed(**{"@context": [{"use": "odrl:read"}]}), "@context"),
    ("one property in two spellings", _changed(**{"odrl:permission": []}), "odrl:permission"),
    (
        "an asset collection",
        _changed(target={"@type": "AssetCollection", "source": "x", "refinement": []}),
        "source",
    ),
    (
        "two targets",
        _changed(target="urn:a", permission=[{"action": "use", "target": "urn:b"}]),
        "target",
    ),
    (
        "a rule for one of two assignees",
        _changed(permission=[{"action": "use", "assignee": "did:a"}, {"action": "use"}]),
        "assignee",
    ),
    (
        "a rule of another kind",
        _changed(permission=[{"@type": "Prohibition", "action": "use"}]),
        ODRL + "Prohibition",
    ),
    ("an agreement without parties", _changed(**{"@type": "Agreement"}, target="urn:a"), "assigner"),
]


@pytest.mark.parametrize(
    ("document", "term"), [case[1:] for case in REFUSED_POLICIES], ids=[c[0] for c in REFUSED_POLICIES]
)
def test_a_policy_that_cannot_be_read_is_refused_by_name(document: dict, term: str) -> None:
    with pytest.raises(PolicyRefusedError) as refused:
        parse_policy(document)
    assert refused.value.term == term
    assert term in str(refused.value)


def test_an_offer_for_another_dataset_than_it_stands_under_is_refused() -> None:
    with pytest.raises(PolicyRefusedError, match="another dataset"):
        parse_policy(_changed(target="urn:a"), default_target="urn:b")


def test_a_title_and_a_timestamp_change_nothing() -> None:
    assert parse_policy(_changed(**{"dct:title": "x", "timestamp": "y"})) == parse_policy(_changed())


def test_a_target_or_assignee_that_all_rules_share_is_the_policys() -> None:
    policy = parse_policy(_changed(permission=[{"action": "use", "target": "urn:a", "assignee": "did:a"}]))
    assert (policy.target, policy.assignee) == ("urn:a", "did:a")


def test_a_hundred_rules_are_read_and_one_more_is_refused() -> None:
    assert len(parse_policy(_changed(permission=[{"action": "use"}] * 100)).permissions) == 100
    with pytest.raises(PolicyRefusedError, match="more than 100 rules"):
        parse_policy(_changed(permission=[{"action": "use"}] * 101))
    with pytest.raises(PolicyRefusedError, match="more than 100 rules"):
        parse_policy(_changed(permission=[{"action": ["use"] * 11}] * 10))


def test_a_thousand_constraints_are_read_and_one_more_is_refused(offer_with: Callable[..., dict]) -> None:
    assert parse_policy(offer_with(*[COUNT] * 1000))
    with pytest.raises(PolicyRefusedError, match="more than 1000 constraints"):
        parse_policy(offer_with({"or": [COUNT] * 1000}))


def test_nesting_ends_at_sixteen_and_a_deep_document_does_not_exhaust_the_stack(
    offer_with: Callable[..., dict],
) -> None:
    def nested(depth: int) -> dict:
        constraint = COUNT
        for _ in range(depth - 1):
            constraint = {"and": [constraint]}
        return offer_with(constraint)

    assert parse_policy(nested(16))
    for depth in (17, 900):
        with pytest.raises(PolicyRefusedError, match="deeper than 16"):
            parse_policy(nested(depth))


def test_deep_consequences_are_refused() -> None:
    duty: dict = {"action": "delete"}
    for _ in range(17):
        duty = {"action": "delete", "consequence": [duty]}
    with pytest.raises(PolicyRefusedError, match="deeper than 16"):
        parse_policy(_changed(obligation=[duty]))


def test_a_refused_text_is_shortened_in_the_message(offer_with: Callable[..., dict]) -> None:
    with pytest.raises(PolicyRefusedError) as refused:
        parse_policy(offer_with({**COUNT, "leftOperand": "x" * 2000}))
    assert len(str(refused.value)) < 300


def test_braces_in_a_peers_text_are_text(offer_with: Callable[..., dict]) -> None:
    with pytest.raises(PolicyRefusedError, match=r"\{term\.__class__\}"):
        parse_policy(offer_with({**COUNT, "leftOperand": "{term.__class__}"}))


def test_a_policy_survives_json(demo_offer: dict) -> None:
    policy = parse_policy(demo_offer)
    assert parse_policy(json.loads(json.dumps(write_policy(policy)))) == policy
