"""A decision as RDF: the compliance report of the FORCE vocabulary, as JSON-LD.

The report names every rule that was looked at, and what each of its premises,
constraints and duties came to, so that a third party can follow the decision.
Every node has an IRI below the report's own, so the same decision makes the
same report. What a policy names by anything else than an absolute IRI, as the
Dataspace Protocol permits, is named `urn:allmende:name:…` here.

Two states have no word in that vocabulary: a constraint of which nothing is
known is reported as `report:Unknown`, and whether the request is permitted
stands in `allmende:permitted`.

Source:
    FORCE compliance report model, https://w3id.org/force/compliance-report;
    Slabbinck et al., "Interoperable interpretation and evaluation of ODRL policies".
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from policies.actions import ACTIONS, COMPUTE, QUERY
from policies.compact import refusal, term_of
from policies.evaluation import Decision, Request
from policies.judging import DutyFinding, Finding, Premise, PremiseKind, RuleFinding, written_duration
from policies.literals import Literal
from policies.logic import Truth
from policies.model import AnyRule, Constraint, Permission, Policy
from policies.values import ValueType, read_value
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


def action_named(word: str) -> str:
    """The action that somebody asks about: `query`, `compute`, a word of ODRL, or an absolute IRI.

    Raises:
        PolicyRefusedError: There is no such action.
    """
    action = {"query": QUERY, "compute": COMPUTE}.get(word) or term_of(word, "action")
    if action not in ACTIONS:
        raise refusal(action, "Die Aktion {term} ist unbekannt.", "The action {term} is unknown.")
    return action


def compliance_report(
    policy: Policy,
    decision: Decision,
    *,
    identifier: str,
    created: datetime,
    request: str,
    rule_request: str | None = None,
    asked: Request | None = None,
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
        asked: The request, to be described in the report; None where the
            reader of the report has it.

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
    described = {} if asked is None else _described(asked, rule_request or request)
    return {
        "@context": _CONTEXT,
        "@id": identifier,
        "@type": "report:PolicyReport",
        "dct:created": _typed(created.isoformat(), "dateTime"),
        "dct:description": [
            {"@value": decision.explain(language), "@language": language} for language in ("de", "en")
        ],
        "report:policy": _named(policy.uid),
        "report:policyRequest": {"@id": request, **described},
        "allmende:permitted": _typed("true" if decision.permitted else "false", "boolean"),
        "report:ruleReport": [*rules, *obligations],
    }


def _described(asked: Request, name: str) -> JsonObject:
    """Write what was asked as an ODRL request."""
    wanted: JsonObject = {
        "@id": f"{name}/permission",
        "@type": "odrl:Permission",
        "odrl:action": _named(asked.action),
        "odrl:target": _named(asked.target),
        "odrl:assignee": _named(asked.assignee),
    }
    if asked.purpose is not None:
        wanted["odrl:constraint"] = {
            "@id": f"{name}/purpose",
            "@type": "odrl:Constraint",
            "odrl:leftOperand": _named(ODRL + "purpose"),
            "odrl:operator": _named(ODRL + "eq"),
            "odrl:rightOperand": _named(asked.purpose),
        }
    return {"@type": "odrl:Request", "odrl:permission": wanted}


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
    return iri_of(rule.uid or f"{policy.uid}#{rule.origin or rule.identifier}")


def iri_of(name: str) -> str:
    """The IRI that stands for a name: itself where it is one, which it need not be in a dataspace."""
    if read_value(ValueType.IRI, name) is not None:
        return name
    return f"urn:allmende:name:{quote(name, safe='')}"


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
    iri = iri_of(finding.constraint.uid or constraint)
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
    elif isinstance(found, Mapping):  # whether each of several names holds
        yield from (Literal(str(name)) for name, holds in sorted(found.items()) if holds)
    elif isinstance(found, timedelta):
        yield Literal(written_duration(found), XSD + "dayTimeDuration")
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


def _named(name: str) -> JsonValue:
    return {"@id": iri_of(name)}


def _typed(lexical: str, data_type: str) -> JsonValue:
    return {"@value": lexical, "@type": f"xsd:{data_type}"}


def _literal(literal: Literal) -> JsonValue:
    if literal.data_type is None:
        return {"@value": literal.lexical}
    return {"@value": literal.lexical, "@type": iri_of(literal.data_type)}
