"""A decision as RDF: the compliance report of the FORCE vocabulary, as JSON-LD.

The report names every rule that was looked at, and what each of its premises,
constraints and duties came to, so that a third party can follow the decision.
Every node has an IRI below the report's own, so the same decision makes the
same report.

Two states have no word in that vocabulary: a constraint of which nothing is
known is reported as `report:Unknown`, and whether the request is permitted
stands in `allmende:permitted`.

Source:
    FORCE compliance report model, https://w3id.org/force/compliance-report;
    Slabbinck et al., "Interoperable interpretation and evaluation of ODRL policies".
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from policies.evaluation import Decision
from policies.judging import DutyFinding, Finding, Premise, PremiseKind, RuleFinding
from policies.literals import Literal
from policies.logic import Truth
from policies.model import AnyRule, Constraint, Permission, Policy
from policies.world import DutyState
from schemas.strict_json import JsonObject, JsonValue
from schemas.vocabulary import ALLMENDE, DCT, ODRL, XSD

REPORT: Final = "https://w3id.org/force/compliance-report#"

_CONTEXT: Final[JsonObject] = {
    "allmende": ALLMENDE,
    "dct": DCT,
    "odrl": ODRL,
    "report": REPORT,
    "xsd": XSD,
}
_SATISFACTION: Final[dict[Truth, str]] = {True: "Satisfied", False: "Unsatisfied", None: "Unknown"}
_PREMISES: Final = {
    PremiseKind.TARGET: "TargetReport",
    PremiseKind.PARTY: "PartyReport",
    PremiseKind.ACTION: "ActionReport",
}
_DUTIES: Final = {
    DutyState.FULFILLED: ("Active", "Performed", "Fulfilled"),
    DutyState.VIOLATED: ("Active", "Unperformed", "Violated"),
    DutyState.DUE: ("Active", "Unperformed", "NonSet"),
    DutyState.INACTIVE: ("Inactive", "Unperformed", "NonSet"),
}


def compliance_report(
    policy: Policy,
    decision: Decision,
    *,
    identifier: str,
    created: datetime,
    request: str,
    rule_request: str | None = None,
) -> JsonObject:
    """Write a decision as a compliance report.

    Args:
        policy: The policy that decided.
        decision: What it decided; `policies.evaluation.assess` looks at every rule.
        identifier: IRI of the report.
        created: When the decision was made, with its zone.
        request: IRI of the request.
        rule_request: IRI of what is asked for in the request; the request
            itself where it has no parts.

    Returns:
        JSON-LD with its own context: a `report:PolicyReport` with a report per rule.
    """
    rules = [
        _rule_report(policy, finding, f"{identifier}#{finding.rule.identifier}", rule_request or request)
        for finding in decision.rules
    ]
    obligations = [
        _duty_report(policy, finding, f"{identifier}#{finding.duty.identifier}")
        for finding in decision.obligations
    ]
    return {
        "@context": _CONTEXT,
        "@id": identifier,
        "@type": "report:PolicyReport",
        "dct:created": _typed(created.isoformat(), "dateTime"),
        "dct:description": [
            {"@value": decision.explain(language), "@language": language} for language in ("de", "en")
        ],
        "report:policy": _named(policy.uid),
        "report:policyRequest": _named(request),
        "allmende:permitted": _typed("true" if decision.permitted else "false", "boolean"),
        "report:ruleReport": [*rules, *obligations],
    }


def _rule_report(policy: Policy, finding: RuleFinding, name: str, request: str) -> JsonValue:
    kind = "PermissionReport" if isinstance(finding.rule, Permission) else "ProhibitionReport"
    rule = rule_iri(policy, finding.rule)
    constraints = _constraint_reports(finding.constraints, f"{name}/constraint", f"{rule}/constraint")
    return {
        "@id": name,
        "@type": f"report:{kind}",
        "report:attemptState": _state("Attempted"),
        "report:rule": _named(rule),
        "report:ruleRequest": _named(request),
        "report:premiseReport": [*_premise_reports(finding.premises, name, rule), *constraints],
        "report:conditionReport": [
            _duty_report(policy, duty, f"{name}/duty/{position}")
            for position, duty in enumerate(finding.duties)
        ],
        "report:activationState": _state("Active" if finding.active else "Inactive"),
    }


def rule_iri(policy: Policy, rule: AnyRule) -> str:
    """Name a rule: by its own IRI, or by where it stands in the policy that was read."""
    return rule.uid or f"{policy.uid}#{rule.origin or rule.identifier}"


def _premise_reports(premises: Iterable[Premise], name: str, rule: str) -> Iterator[JsonValue]:
    for premise in premises:
        below = f"{premise.kind.value}/refinement"
        yield {
            "@id": f"{name}/{premise.kind.value}",
            "@type": f"report:{_PREMISES[premise.kind]}",
            "report:satisfactionState": _state(_SATISFACTION[premise.truth]),
            "report:premiseReport": list(
                _constraint_reports(premise.refinements, f"{name}/{below}", f"{rule}/{below}")
            ),
        }


def _constraint_reports(findings: Iterable[Finding], name: str, constraint: str) -> Iterator[JsonValue]:
    for position, finding in enumerate(findings):
        yield _constraint_report(finding, f"{name}/{position}", f"{constraint}/{position}")


def _constraint_report(finding: Finding, name: str, constraint: str) -> JsonValue:
    iri = finding.constraint.uid or constraint
    known = None if finding.later else finding.truth
    written: JsonObject = {
        "@id": name,
        "@type": "report:ConstraintReport",
        "report:constraint": _named(iri),
        "report:satisfactionState": _state(_SATISFACTION[known]),
    }
    if isinstance(finding.constraint, Constraint):
        return {**written, **_comparison(finding.constraint, finding.found)}
    return {
        **written,
        "report:constraintLogicalOperand": _named(ODRL + finding.constraint.connective.value),
        "report:premiseReport": list(_constraint_reports(finding.parts, name, iri)),
    }


def _comparison(constraint: Constraint, found: object) -> JsonObject:
    wanted = [Literal(value, constraint.data_type) for value in constraint.right_operand]
    return {
        "report:constraintLeftOperand": [_literal(literal) for literal in _found(found)],
        "report:constraintOperator": _named(ODRL + constraint.operator.value),
        "report:constraintRightOperand": [_literal(literal) for literal in wanted],
    }


def _found(found: object) -> Iterator[Literal]:
    if isinstance(found, tuple):
        yield from found
    elif isinstance(found, frozenset):
        yield from (Literal(str(value)) for value in sorted(found))
    elif isinstance(found, datetime):
        yield Literal(found.isoformat(), XSD + "dateTime")
    elif isinstance(found, int):
        yield Literal(str(found), XSD + "integer")
    elif found is not None:
        yield Literal(str(found))


def _duty_report(policy: Policy, finding: DutyFinding, name: str) -> JsonValue:
    activation, performance, deontic = _DUTIES[finding.state]
    rule = rule_iri(policy, finding.duty)
    return {
        "@id": name,
        "@type": "report:DutyReport",
        "report:rule": _named(rule),
        "report:premiseReport": list(
            _constraint_reports(finding.constraints, f"{name}/constraint", f"{rule}/constraint")
        ),
        "report:activationState": _state(activation),
        "report:performanceState": _state(performance),
        "report:deonticState": _state(deontic),
    }


def _state(name: str) -> JsonValue:
    return {"@id": f"report:{name}"}


def _named(iri: str) -> JsonValue:
    return {"@id": iri}


def _typed(lexical: str, data_type: str) -> JsonValue:
    return {"@value": lexical, "@type": f"xsd:{data_type}"}


def _literal(literal: Literal) -> JsonValue:
    if literal.data_type is None:
        return {"@value": literal.lexical}
    return {"@value": literal.lexical, "@type": literal.data_type}
