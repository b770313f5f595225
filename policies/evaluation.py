"""May somebody do something now? The one place where a policy decides.

The rules, in order:

1. Nothing is permitted that no permission opens (closed world).
2. A permission is open while all its constraints hold and all its duties are
   met; what is not known does not hold.
3. A prohibition is in force unless a constraint of it does not hold; what is
   not known does not lift it.
4. Where a permission is open and a prohibition is in force, the policy's
   conflict strategy decides. At the stations of this connector (`evaluate`) a
   prohibition always wins, whatever the strategy says.

`evaluate` asks for one station of an exchange and leaves to others what is
theirs; `survey` decides the same and looks at every rule; `assess` decides
everything at once.

Source:
    ODRL Information Model 2.2, sections 2.6 and 2.10; for what is not known,
    docs/policy-profile.md.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from policies.actions import includes
from policies.facts import Facts, Request
from policies.judging import (
    DutyFinding,
    DutyMode,
    Finding,
    Judge,
    Premise,
    PremiseKind,
    RuleFinding,
)
from policies.left_operands import ASSIGNEE, LEFT_OPERANDS, Where
from policies.logic import Truth
from policies.model import AnyConstraint, Conflict, Constraint, LanguageMap, Permission, Policy, PolicyKind
from policies.wording import (
    action_name,
    as_limit,
    as_trigger,
    condition,
    not_satisfied,
    sentence,
    together,
)
from policies.world import DutyState
from schemas.vocabulary import ODRL

__all__ = [
    "Decision",
    "DutyMode",
    "Facts",
    "Reason",
    "Request",
    "Where",
    "assess",
    "evaluate",
    "evaluate_offer",
    "survey",
]


@dataclass(frozen=True, slots=True)
class Reason:
    """What one condition contributed to a decision.

    Attributes:
        rule: Identifier of the rule; empty for the policy as a whole.
        left_operand: Absolute IRI of what was compared.
        satisfied: Whether it holds; None where that is not known.
        words: Says the same in words, once somebody asks for them.
        later: True where the condition is not decided here but enforced at
            another station: a limit on what is released, or a condition that
            is only known at the access.
    """

    rule: str
    left_operand: str
    satisfied: Truth
    words: Callable[[], LanguageMap] = field(compare=False, repr=False)
    later: bool = False

    @property
    def text(self) -> LanguageMap:
        """The same in words, in German and English."""
        return self.words()


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request is permitted, and why.

    Attributes:
        permitted: The answer.
        permission: The permission that opens it; None where it is refused.
        reasons: Every condition that was looked at. Where the request is
            refused, the one that decided stands first.
        rules: How each permission and prohibition stands that was looked at.
        obligations: How each obligation of the policy stands, if they were
            looked at.
    """

    permitted: bool
    permission: Permission | None
    reasons: tuple[Reason, ...]
    rules: tuple[RuleFinding, ...] = ()
    obligations: tuple[DutyFinding, ...] = ()

    def explain(self, language: str) -> str:
        """Say in one sentence why the request is permitted or refused.

        Args:
            language: `de` or `en`; every other language is answered in English.
        """
        language = language if language in {"de", "en"} else "en"
        if self.permission is not None:
            return _PERMITTED[language].format(rule=self.permission.identifier)
        return self.reasons[0].text[language]


_PERMITTED = {"de": "Erlaubt durch {rule}.", "en": "Permitted by {rule}."}


def evaluate(
    policy: Policy,
    request: Request,
    facts: Facts,
    *,
    at: Where = Where.ACCESS,
    duties: DutyMode = DutyMode.PRECONDITION,
) -> Decision:
    """Decide whether a request is permitted under a policy, at one station.

    Args:
        policy: The agreement, or an offer before there is one.
        request: What is asked.
        facts: The state of the world, as measured by the caller.
        at: The station that asks. What is enforced at another station is not
            decided here and marked `later`; at negotiation, so is what is not
            declared yet. Use `Where.ACCESS` for each query and computation and
            `Where.RELEASE` again before a result leaves.
        duties: When a permission with a duty is open.

    Returns:
        The decision. Limits that only restrict (`policies.restrictions`) do
        not decide: whoever acts on the decision applies them.
    """
    outside = _outside(policy, request) or _unreadable(policy)
    if outside is not None:
        return Decision(permitted=False, permission=None, reasons=(outside,))
    judge = Judge(policy, request, facts, at, duties)
    actions = facts.world.actions
    forbidden = [
        finding
        for rule in policy.prohibitions
        if includes(rule.action, request.action, actions) and (finding := judge.prohibition(rule)).applies
    ]
    if forbidden:
        reasons = tuple(_prohibited(finding, request) for finding in forbidden)
        return Decision(permitted=False, permission=None, reasons=reasons, rules=tuple(forbidden))
    tried = []
    for rule in policy.permissions:
        if includes(rule.action, request.action, actions):
            tried.append(judge.permission(rule))
            if tried[-1].applies:
                break
    return _best(tuple(tried), request)


def survey(
    policy: Policy,
    request: Request,
    facts: Facts,
    *,
    at: Where = Where.ACCESS,
    duties: DutyMode = DutyMode.PRECONDITION,
) -> Decision:
    """Decide as `evaluate` does, and say how every rule and every obligation stands.

    Args:
        policy: The agreement, or an offer before there is one.
        request: What is asked.
        facts: The state of the world, as measured by the caller.
        at: The station that asks.
        duties: When a permission with a duty is open.

    Returns:
        The decision, so that `policies.report` can tell it in full.
    """
    decided = evaluate(policy, request, facts, at=at, duties=duties)
    if _unreadable(policy) is not None:
        return decided
    judge = Judge(policy, request, facts, at, duties)
    return replace(
        decided,
        rules=(*map(judge.permission, policy.permissions), *map(judge.prohibition, policy.prohibitions)),
        obligations=tuple(map(judge.duty, policy.obligations)),
    )


def assess(
    policy: Policy, request: Request, facts: Facts, *, duties: DutyMode = DutyMode.PRECONDITION
) -> Decision:
    """Decide whether a request is permitted under any ODRL policy, all at once.

    Args:
        policy: A Set, an Offer or an Agreement, as `policies.odrl.read_policy`
            reads it; with nothing left to inherit.
        request: What is asked.
        facts: The state of the world, as far as it is known.
        duties: When a permission with a duty is open.

    Returns:
        The decision, with how every rule and every obligation stands, so that
        `policies.report` can tell it. Where a permission and a prohibition
        meet, the policy's conflict strategy decides; without one, the policy
        is void, as ODRL says.
    """
    unreadable = _unreadable(policy)
    if unreadable is not None:
        return Decision(permitted=False, permission=None, reasons=(unreadable,))
    judge = Judge(policy, request, facts, None, duties)
    permissions = tuple(judge.permission(rule) for rule in policy.permissions)
    prohibitions = tuple(judge.prohibition(rule) for rule in policy.prohibitions)
    decided = _decided(policy.conflict or Conflict.INVALID, permissions, prohibitions, request)
    reasons = (*decided.reasons, *_remaining(decided, (*permissions, *prohibitions), request))
    return Decision(
        permitted=decided.permitted,
        permission=decided.permission,
        reasons=reasons,
        rules=(*permissions, *prohibitions),
        obligations=tuple(judge.duty(duty) for duty in policy.obligations),
    )


def _decided(
    strategy: Conflict,
    permissions: tuple[RuleFinding, ...],
    prohibitions: tuple[RuleFinding, ...],
    request: Request,
) -> Decision:
    opened = any(finding.applies for finding in permissions)
    forbidden = [finding for finding in prohibitions if finding.applies]
    if not forbidden or (opened and strategy is Conflict.PERM):
        return _best(permissions, request)
    reasons = tuple(_prohibited(finding, request) for finding in forbidden)
    if opened and strategy is Conflict.INVALID:
        reasons = (_VOID, *reasons)
    return Decision(permitted=False, permission=None, reasons=reasons)


def _remaining(decided: Decision, findings: Iterable[RuleFinding], request: Request) -> Iterator[Reason]:
    """Yield the reasons of the rules that did not decide."""
    told = {reason.rule for reason in decided.reasons}
    for finding in findings:
        if finding.rule.identifier in told:
            continue
        if isinstance(finding.rule, Permission):
            yield from _reasons(finding, request)
        elif finding.applies:
            yield _prohibited(finding, request)
        else:
            yield _lifted(finding)


_VOID = Reason(
    "",
    ODRL + "conflict",
    satisfied=False,
    words=lambda: {
        "de": "Eine Erlaubnis und ein Verbot treffen zusammen; damit ist der Vertrag unwirksam.",
        "en": "A permission and a prohibition meet; that makes the policy void.",
    },
)


def evaluate_offer(offer: Policy, assignee: str, purpose: str | None, facts: Facts) -> Decision:
    """Decide whether a participant may negotiate an offer.

    Args:
        offer: The offer, with its target.
        assignee: Identifier of the participant.
        purpose: Absolute IRI of the declared purpose; None where it is only
            declared with each access.
        facts: The state of the world.

    Returns:
        Permitted where at least one permission of the offer could open for
        this participant and purpose; otherwise the refusal of the first one.
    """
    decisions = [
        evaluate(
            offer,
            Request(permission.action, offer.target or "", assignee, purpose),
            facts,
            at=Where.NEGOTIATION,
        )
        for permission in offer.permissions
    ]
    nothing = Decision(permitted=False, permission=None, reasons=(_NOTHING_OFFERED,))
    return next((decision for decision in decisions if decision.permitted), (*decisions, nothing)[0])


_NOTHING_OFFERED = Reason(
    "",
    ODRL + "permission",
    satisfied=False,
    words=lambda: {"de": "Dieses Angebot erlaubt nichts.", "en": "This offer permits nothing."},
)


_LATER: LanguageMap = {
    "de": "Das wird an anderer Stelle durchgesetzt.",
    "en": "This is enforced at another station.",
}
_PROMISED: LanguageMap = {
    "de": "Das ist eine Zusage des Partners.",
    "en": "This is a promise of the partner.",
}


def _reasons(finding: RuleFinding, request: Request) -> tuple[Reason, ...]:
    """Say of each condition of a permission whether it holds."""
    name = finding.rule.identifier
    missed = (premise for premise in finding.premises if premise.truth is not True)
    return (
        *(_premise_reason(premise, name, request) for premise in missed),
        *(_reason(part, name) for part in (*finding.constraints, *finding.refinements)),
        *(_duty_reason(duty, name) for duty in finding.duties),
    )


def _reason(finding: Finding, rule: str) -> Reason:
    constraint = finding.constraint
    words = partial(_words, finding)
    if not isinstance(constraint, Constraint):
        return Reason(rule, ODRL + "constraint", finding.truth, words)
    if finding.later:
        return Reason(rule, constraint.left_operand, satisfied=True, words=words, later=True)
    return Reason(rule, constraint.left_operand, finding.truth, words)


def _is_promise(constraint: AnyConstraint) -> bool:
    known = LEFT_OPERANDS.get(constraint.left_operand) if isinstance(constraint, Constraint) else None
    return known is not None and known.declared


def _words(finding: Finding) -> LanguageMap:
    constraint = finding.constraint
    if finding.later:
        return together((as_limit(constraint), _PROMISED if _is_promise(constraint) else _LATER))
    if finding.truth is True:
        return as_limit(constraint)
    if isinstance(constraint, Constraint):
        return not_satisfied(constraint, _shown(finding.found))
    return sentence(
        "Das ist nicht erfüllt: {condition}.",
        "This does not hold: {condition}.",
        condition=condition(constraint),
    )


def _duty_reason(finding: DutyFinding, rule: str) -> Reason:
    de, en = _DUTY_SENTENCES[finding.state]
    met = finding.state in {DutyState.FULFILLED, DutyState.INACTIVE}
    action = finding.duty.action
    return Reason(rule, action, satisfied=met, words=partial(sentence, de, en, action=action_name(action)))


_DUTY_SENTENCES = {
    DutyState.DUE: ("Vorher zu tun: {action}.", "To be done first: {action}."),
    DutyState.FULFILLED: ("Vorher zu tun und getan: {action}.", "To be done first, and done: {action}."),
    DutyState.INACTIVE: ("Jetzt nicht verlangt: {action}.", "Not required now: {action}."),
    DutyState.VIOLATED: ("Nicht rechtzeitig getan: {action}.", "Not done in time: {action}."),
}


def _premise_reason(premise: Premise, rule: str, request: Request) -> Reason:
    named: dict[PremiseKind, LanguageMap | str] = {
        PremiseKind.TARGET: request.target,
        PremiseKind.PARTY: request.assignee,
        PremiseKind.ACTION: action_name(request.action),
    }
    de, en = _PREMISE_SENTENCES[premise.kind]
    return Reason(
        rule,
        _PREMISE_TERMS[premise.kind],
        premise.truth,
        partial(sentence, de, en, asked=named[premise.kind]),
    )


_PREMISE_SENTENCES = {
    PremiseKind.TARGET: ("Die Regel gilt nicht für {asked}.", "The rule is not about {asked}."),
    PremiseKind.PARTY: ("Die Regel gilt nicht für {asked}.", "The rule is not for {asked}."),
    PremiseKind.ACTION: (
        "Die Regel betrifft nicht die Aktion „{asked}“.",
        "The rule is not about the action “{asked}”.",
    ),
}
_PREMISE_TERMS = {
    PremiseKind.TARGET: ODRL + "target",
    PremiseKind.PARTY: ODRL + "assignee",
    PremiseKind.ACTION: ODRL + "action",
}


def _shown(found: object) -> str | None:
    if isinstance(found, datetime):
        return found.isoformat(timespec="seconds")
    if isinstance(found, tuple):
        return ", ".join(literal.lexical for literal in found)
    if isinstance(found, Mapping):
        found = frozenset(name for name, holds in found.items() if holds)
    if isinstance(found, frozenset):
        return ", ".join(sorted(found)) or "-"
    return None if found is None else str(found)


def _unreadable(policy: Policy) -> Reason | None:
    """Say why a policy cannot decide as it is, if it cannot."""
    if not policy.inherits:
        return None
    words = partial(
        sentence,
        "Der Vertrag übernimmt Regeln von {parent}; sie müssen erst eingesetzt werden.",
        "The policy takes over rules from {parent}; they have to be filled in first.",
        parent=policy.inherits[0],
    )
    return Reason("", ODRL + "inheritFrom", satisfied=None, words=words)


def _outside(policy: Policy, request: Request) -> Reason | None:
    """Say why a policy does not speak about a request at all, if it does not."""
    if policy.target is None or policy.target != request.target:
        words = partial(
            sentence,
            "Der Vertrag gilt nicht für den Datensatz {target}.",
            "The policy is not about the dataset {target}.",
            target=request.target,
        )
        return Reason("", ODRL + "target", satisfied=False, words=words)
    anyone = policy.assignee is None and policy.kind is not PolicyKind.AGREEMENT
    if anyone or policy.assignee == request.assignee:
        return None
    words = partial(
        sentence,
        "Der Vertrag gilt nicht für {assignee}.",
        "The policy is not for {assignee}.",
        assignee=request.assignee,
    )
    return Reason("", ASSIGNEE, satisfied=False, words=words)


def _prohibited(finding: RuleFinding, request: Request) -> Reason:
    words = partial(_prohibition_in_words, finding)
    return Reason(finding.rule.identifier, request.action, satisfied=False, words=words)


def _prohibition_in_words(finding: RuleFinding) -> LanguageMap:
    parts = (*finding.constraints, *finding.refinements)
    triggers = tuple(as_trigger(part.constraint) for part in parts)
    return sentence(
        "Verboten ist: {action}. {triggers}" if triggers else "Verboten ist: {action}.",
        "Prohibited is: {action}. {triggers}" if triggers else "Prohibited is: {action}.",
        action=action_name(finding.rule.action),
        triggers=together(triggers) if triggers else "",
    )


def _lifted(finding: RuleFinding) -> Reason:
    words = partial(
        sentence,
        "Dieses Verbot greift hier nicht: {action}.",
        "This prohibition does not apply here: {action}.",
        action=action_name(finding.rule.action),
    )
    return Reason(finding.rule.identifier, finding.rule.action, satisfied=True, words=words)


def _best(findings: tuple[RuleFinding, ...], request: Request) -> Decision:
    """Take the first open permission, or refuse with the nearest one's first failure."""
    for finding in findings:
        if finding.applies and isinstance(finding.rule, Permission):
            reasons = _reasons(finding, request)
            return Decision(permitted=True, permission=finding.rule, reasons=reasons, rules=findings)
    named = [finding for finding in findings if _names(finding)]
    if not named:
        words = partial(
            sentence,
            "Die Aktion „{action}“ ist in diesem Vertrag nicht erlaubt.",
            "The action “{action}” is not permitted by this policy.",
            action=action_name(request.action),
        )
        return Decision(
            permitted=False,
            permission=None,
            reasons=(Reason("", request.action, satisfied=False, words=words),),
            rules=findings,
        )
    reasons = min((_reasons(finding, request) for finding in named), key=_failures)
    failed_first = sorted(reasons, key=lambda reason: reason.satisfied is True)
    return Decision(permitted=False, permission=None, reasons=tuple(failed_first), rules=findings)


def _names(finding: RuleFinding) -> bool:
    """Tell whether a rule is about the action that is asked for."""
    return all(premise.truth is True for premise in finding.premises if premise.kind is PremiseKind.ACTION)


def _failures(reasons: tuple[Reason, ...]) -> int:
    return sum(reason.satisfied is not True for reason in reasons)
