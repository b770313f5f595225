"""May somebody do something now? The one place where a policy decides.

The rules, in order:

1. Nothing is permitted that no permission opens (closed world).
2. A permission is open while all its constraints hold and all its duties are
   met; what is not known does not hold.
3. A prohibition is in force unless a constraint of it does not hold; what is
   not known does not lift it.
4. A prohibition in force wins over every permission.

Source:
    ODRL Information Model 2.2, sections 2.6 and 2.10; for what is not known,
    docs/policy-profile.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from policies.actions import includes
from policies.facts import Facts, Request
from policies.left_operands import ASSIGNEE, LEFT_OPERANDS, Where
from policies.logic import JOIN, Truth, all_of
from policies.model import (
    AnyConstraint,
    Constraint,
    LanguageMap,
    Permission,
    Policy,
    PolicyKind,
    Prohibition,
)
from policies.operands import holds, measured
from policies.values import Value
from policies.wording import (
    action_name,
    as_limit,
    as_trigger,
    condition,
    not_satisfied,
    sentence,
    together,
)
from schemas.vocabulary import ODRL

__all__ = ["Decision", "Facts", "Reason", "Request", "Where", "evaluate", "evaluate_offer"]


@dataclass(frozen=True, slots=True)
class Reason:
    """What one condition contributed to a decision.

    Attributes:
        rule: Identifier of the rule; empty for the policy as a whole.
        left_operand: Absolute IRI of what was compared.
        satisfied: Whether it holds; None where that is not known.
        text: The same in words, in German and English.
        later: True where the condition is not decided here but enforced at
            another station: a limit on what is released, or a condition that
            is only known at the access.
    """

    rule: str
    left_operand: str
    satisfied: Truth
    text: LanguageMap
    later: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request is permitted, and why.

    Attributes:
        permitted: The answer.
        permission: The permission that opens it; None where it is refused.
        reasons: Every condition that was looked at. Where the request is
            refused, the one that decided stands first.
    """

    permitted: bool
    permission: Permission | None
    reasons: tuple[Reason, ...]

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


def evaluate(policy: Policy, request: Request, facts: Facts, *, at: Where = Where.ACCESS) -> Decision:
    """Decide whether a request is permitted under a policy.

    Args:
        policy: The agreement, or an offer before there is one.
        request: What is asked.
        facts: The state of the world, as measured by the caller.
        at: The station that asks. What is enforced at another station is not
            decided here and marked `later`; at negotiation, so is what is not
            declared yet. Use `Where.ACCESS` for each query and computation and
            `Where.RELEASE` again before a result leaves.

    Returns:
        The decision. Limits that only restrict (`policies.restrictions`) do
        not decide: whoever acts on the decision applies them.
    """
    outside = _outside(policy, request)
    if outside is not None:
        return Decision(permitted=False, permission=None, reasons=(outside,))
    station = _Station(request, facts, at)
    forbidden = tuple(
        _prohibited(prohibition, station)
        for prohibition in policy.prohibitions
        if includes(prohibition.action, request.action) and station.in_force(prohibition)
    )
    opened = [
        station.trial(permission)
        for permission in policy.permissions
        if includes(permission.action, request.action)
    ]
    if forbidden:
        return Decision(permitted=False, permission=None, reasons=forbidden)
    return _best(opened, request)


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
    text={"de": "Dieses Angebot erlaubt nichts.", "en": "This offer permits nothing."},
)


@dataclass(frozen=True, slots=True)
class _Trial:
    permission: Permission
    open: bool
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class _Station:
    """One question at one station: compares constraints and notes the reasons."""

    request: Request
    facts: Facts
    at: Where

    def trial(self, permission: Permission) -> _Trial:
        constraints = (*permission.constraints, *permission.refinements)
        truths = [self.truth(part, permission.identifier, later=True) for part in constraints]
        duties = tuple(self.duty_reasons(permission))
        truth = all_of((*truths, *(reason.satisfied for reason in duties)))
        compared = tuple(self.reason(part, permission.identifier) for part in constraints)
        return _Trial(permission, truth is True, (*compared, *duties))

    def in_force(self, prohibition: Prohibition) -> bool:
        constraints = (*prohibition.constraints, *prohibition.refinements)
        truths = [self.truth(part, prohibition.identifier, later=False) for part in constraints]
        return all_of(truths) is not False

    def truth(self, constraint: AnyConstraint, rule: str, *, later: bool) -> Truth:
        """Decide a constraint; what another station decides counts as `later`."""
        if isinstance(constraint, Constraint):
            found = self.found(constraint, rule)
            return later if self.is_later(constraint, found) else holds(constraint, found)
        operands = (self.truth(operand, rule, later=later) for operand in constraint.operands)
        return JOIN[constraint.connective](operands)

    def found(self, constraint: Constraint, rule: str) -> Value | None:
        return measured(constraint.left_operand, self.request, self.facts, rule)

    def is_later(self, constraint: Constraint, found: Value | None) -> bool:
        known = LEFT_OPERANDS.get(constraint.left_operand)
        if known is None or constraint.operator not in known.stations:
            return False  # cannot be enforced anywhere, so nothing may be put off
        if known.restricts or self.at not in known.stations[constraint.operator]:
            return True
        return self.at is Where.NEGOTIATION and found is None

    def reason(self, constraint: AnyConstraint, rule: str) -> Reason:
        if not isinstance(constraint, Constraint):
            return self.joined_reason(constraint, rule)
        found = self.found(constraint, rule)
        if self.is_later(constraint, found):
            text = together((as_limit(constraint), _LATER))
            return Reason(rule, constraint.left_operand, satisfied=True, text=text, later=True)
        truth = holds(constraint, found)
        shown = _shown(found)
        text = as_limit(constraint) if truth is True else not_satisfied(constraint, shown)
        return Reason(rule, constraint.left_operand, truth, text)

    def joined_reason(self, constraint: AnyConstraint, rule: str) -> Reason:
        truth = self.truth(constraint, rule, later=True)
        text = as_limit(constraint)
        if truth is not True:
            text = sentence(
                "Das ist nicht erfüllt: {condition}.",
                "This does not hold: {condition}.",
                condition=condition(constraint),
            )
        return Reason(rule, ODRL + "constraint", truth, text)

    def duty_reasons(self, permission: Permission) -> Iterator[Reason]:
        for position, duty in enumerate(permission.duties):
            identifier = f"{permission.identifier}/duty/{position}"
            met = identifier in self.facts.fulfilled
            text = sentence(
                "Vorher zu tun: {action}.", "To be done first: {action}.", action=action_name(duty.action)
            )
            yield Reason(permission.identifier, duty.action, satisfied=met, text=text)


_LATER: LanguageMap = {
    "de": "Das wird an anderer Stelle durchgesetzt.",
    "en": "This is enforced at another station.",
}


def _shown(found: Value | None) -> str | None:
    if isinstance(found, datetime):
        return found.isoformat(timespec="seconds")
    return None if found is None else str(found)


def _outside(policy: Policy, request: Request) -> Reason | None:
    """Say why a policy does not speak about a request at all, if it does not."""
    if policy.target is None or policy.target != request.target:
        text = sentence(
            "Der Vertrag gilt nicht für den Datensatz {target}.",
            "The policy is not about the dataset {target}.",
            target=request.target,
        )
        return Reason("", ODRL + "target", satisfied=False, text=text)
    anyone = policy.assignee is None and policy.kind is not PolicyKind.AGREEMENT
    if anyone or policy.assignee == request.assignee:
        return None
    text = sentence(
        "Der Vertrag gilt nicht für {assignee}.",
        "The policy is not for {assignee}.",
        assignee=request.assignee,
    )
    return Reason("", ASSIGNEE, satisfied=False, text=text)


def _prohibited(prohibition: Prohibition, station: _Station) -> Reason:
    triggers = tuple(as_trigger(part) for part in (*prohibition.constraints, *prohibition.refinements))
    text = sentence(
        "Verboten ist: {action}. {triggers}" if triggers else "Verboten ist: {action}.",
        "Prohibited is: {action}. {triggers}" if triggers else "Prohibited is: {action}.",
        action=action_name(prohibition.action),
        triggers=together(triggers) if triggers else "",
    )
    return Reason(prohibition.identifier, station.request.action, satisfied=False, text=text)


def _best(trials: list[_Trial], request: Request) -> Decision:
    """Take the first open permission, or refuse with the nearest one's first failure."""
    for trial in trials:
        if trial.open:
            return Decision(permitted=True, permission=trial.permission, reasons=trial.reasons)
    if not trials:
        text = sentence(
            "Die Aktion „{action}“ ist in diesem Vertrag nicht erlaubt.",
            "The action “{action}” is not permitted by this policy.",
            action=action_name(request.action),
        )
        return Decision(
            permitted=False,
            permission=None,
            reasons=(Reason("", request.action, satisfied=False, text=text),),
        )
    nearest = min(trials, key=_failures)
    failed_first = sorted(nearest.reasons, key=lambda reason: reason.satisfied is True)
    return Decision(permitted=False, permission=None, reasons=tuple(failed_first))


def _failures(trial: _Trial) -> int:
    return sum(reason.satisfied is not True for reason in trial.reasons)
