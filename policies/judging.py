"""How one rule stands to one request: its premises, its constraints and its duties.

Everything here is three-valued. A permission takes what is not known as not
holding, a prohibition as holding: neither opens anything.

Source:
    ODRL Information Model 2.2, sections 2.3 to 2.6; the shape of the findings
    after the FORCE compliance report model (https://w3id.org/force/compliance-report).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from policies.actions import ANY_ACTION, includes
from policies.comparison import compare_literals, wanted_literals
from policies.facts import Facts, Request
from policies.left_operands import LEFT_OPERANDS, PURPOSE, Where
from policies.literals import Literal
from policies.logic import JOIN, Truth, all_of, any_of
from policies.model import (
    AnyConstraint,
    AnyRule,
    Constraint,
    Duty,
    Permission,
    Policy,
    Prohibition,
    Scope,
)
from policies.operands import MEASURES, holds, measured
from policies.values import ValueType, read_value
from policies.world import DutyState, Event, Subject
from schemas.vocabulary import XSD


class DutyMode(StrEnum):
    """When a permission with a duty is open."""

    PRECONDITION = "precondition"
    """Once the duty is done (ODRL 2.2, section 2.6.3)."""
    EVENTUAL = "eventual"
    """Until the time for the duty is over: it may still be done."""


class PremiseKind(StrEnum):
    """What a rule asks of a request before its constraints are looked at."""

    TARGET = "target"
    PARTY = "party"
    ACTION = "action"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one constraint or refinement stands.

    Attributes:
        constraint: The constraint.
        truth: Whether it holds; None where that is not known.
        found: What the left operand amounts to; None where nothing is known,
            and for constraints that join others.
        later: True where another station decides it; `truth` is then what the
            rule takes it for until then.
        parts: How the joined constraints stand, in their order.
    """

    constraint: AnyConstraint
    truth: Truth
    found: object = None
    later: bool = False
    parts: tuple["Finding", ...] = ()


@dataclass(frozen=True, slots=True)
class Premise:
    """Whether a request is about the target, the party or the action that a rule names."""

    kind: PremiseKind
    truth: Truth
    refinements: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class DutyFinding:
    """How one duty stands.

    Attributes:
        duty: The duty.
        state: How far it has come.
        constraints: How its constraints stand now.
    """

    duty: Duty
    state: DutyState
    constraints: tuple[Finding, ...]

    def met(self, mode: DutyMode) -> bool:
        """Tell whether a permission may be used, as far as this duty goes."""
        if mode is DutyMode.EVENTUAL:
            return self.state is not DutyState.VIOLATED
        return self.state in {DutyState.FULFILLED, DutyState.INACTIVE}


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """How one permission or prohibition stands to a request.

    Attributes:
        rule: The rule.
        premises: What it asks of the request; only what the rule states.
        constraints: How its constraints stand.
        duties: How its duties stand.
        active: Whether it is in force for this request, its refinements aside.
        applies: Whether it decides: it is in force and its refinements are met
            (of a prohibition: are not known to be missed).
    """

    rule: Permission | Prohibition
    premises: tuple[Premise, ...]
    constraints: tuple[Finding, ...]
    duties: tuple[DutyFinding, ...]
    active: bool
    applies: bool

    @property
    def refinements(self) -> tuple[Finding, ...]:
        """How everything stands that narrows the target, the party or the action."""
        return tuple(finding for premise in self.premises for finding in premise.refinements)


@dataclass(frozen=True, slots=True)
class Judge:
    """One question about one policy: compares, and notes what was found.

    Attributes:
        policy: The policy.
        request: What is asked.
        facts: The state of the world.
        at: The station that asks; None where everything is decided at once.
        mode: When a permission with a duty is open.
    """

    policy: Policy
    request: Request
    facts: Facts
    at: Where | None = None
    mode: DutyMode = DutyMode.PRECONDITION

    def permission(self, rule: Permission) -> RuleFinding:
        """Tell how a permission stands: what is not known does not hold."""
        premises = self._premises(rule, later=True)
        constraints = self._findings(rule.constraints, rule.identifier, None, later=True)
        duties = tuple(self.duty(duty) for duty in rule.duties)
        active = (
            all(premise.truth is True for premise in premises)
            and _all(constraints) is True
            and all(duty.met(self.mode) for duty in duties)
        )
        applies = active and _all(_refinements(premises)) is True
        return RuleFinding(rule, premises, constraints, duties, active, applies)

    def prohibition(self, rule: Prohibition) -> RuleFinding:
        """Tell how a prohibition stands: what is not known does not lift it."""
        premises = self._premises(rule, later=False)
        constraints = self._findings(rule.constraints, rule.identifier, None, later=False)
        active = all(premise.truth is not False for premise in premises) and _all(constraints) is not False
        applies = active and _all(_refinements(premises)) is not False
        return RuleFinding(rule, premises, constraints, (), active, applies)

    def duty(self, duty: Duty) -> DutyFinding:
        """Tell how far a duty has come: by what is known of it, or by what was done."""
        constraints = self._findings(duty.constraints, duty.identifier, None, later=True)
        return DutyFinding(duty, self._state(duty, _all(constraints)), constraints)

    def _state(self, duty: Duty, active: Truth) -> DutyState:
        world = self.facts.world
        if duty.identifier in self.facts.fulfilled:
            return DutyState.FULFILLED
        for name in (duty.identifier, duty.uid or duty.identifier):
            if name in world.duties:
                return world.duties[name]
        if any(self.is_done_by(event, duty) for event in world.events):
            return DutyState.FULFILLED
        return DutyState.INACTIVE if active is False else DutyState.DUE

    def is_done_by(self, event: Event, duty: Duty, *, in_time: bool = True) -> bool:
        """Tell whether an event does what a duty asks for.

        Args:
            event: What was done.
            duty: What has to be done. A duty that names no party or target may
                be done by anybody, on anything.
            in_time: Whether its constraints have to hold at the time of the event.
        """
        if not includes(duty.action, event.action, self.facts.world.actions):
            return False
        request = Request(event.action, event.target, event.party, features=event.features)
        then = Judge(self.policy, request, replace(self.facts, now=event.at))
        premises = then._premises(duty, later=False, inherit=False)
        functions = (
            any(one.lexical == party for one in event.features.of(function, None))
            for function, party in duty.functions
        )
        constraints = then._findings(duty.constraints if in_time else (), duty.identifier, None, later=False)
        return (
            all(premise.truth is True for premise in premises)
            and _all(_refinements(premises)) is True
            and all(functions)
            and _all(constraints) is True
        )

    def _premises(self, rule: AnyRule, *, later: bool, inherit: bool = True) -> tuple[Premise, ...]:
        asked, name = self.request, rule.identifier
        premises = []
        for kind, subject, scope, whole, value in (
            (PremiseKind.TARGET, Subject.ASSET, rule.target, self.policy.target, asked.target),
            (PremiseKind.PARTY, Subject.PARTY, rule.assignee, self.policy.assignee, asked.assignee),
        ):
            if scope is None and inherit and whole is not None:
                shared = value == whole or self._is_within(value, Scope(whole))
                premises.append(Premise(kind, shared))
            elif scope is not None:
                narrowed = self._findings(scope.refinements, name, subject, later=later)
                premises.append(Premise(kind, self._is_within(value, scope), narrowed))
        if rule.action != ANY_ACTION or rule.refinements:
            included = includes(rule.action, asked.action, self.facts.world.actions)
            narrowed = self._findings(rule.refinements, name, Subject.ACTION, later=later)
            premises.append(Premise(PremiseKind.ACTION, included, narrowed))
        return tuple(premises)

    def _is_within(self, asked: str, scope: Scope) -> Truth:
        names = [name for name in (scope.identifier, scope.source) if name is not None]
        if not names or asked in names:  # described by its refinements alone
            return True
        world = self.facts.world
        known = [name for name in names if name in world.members]
        if not known:
            return None if scope.collection else False
        return any_of(world.is_member(asked, name) for name in known)

    def _findings(
        self, constraints: Iterable[AnyConstraint], rule: str, subject: Subject | None, *, later: bool
    ) -> tuple[Finding, ...]:
        return tuple(self.finding(constraint, rule, subject, later=later) for constraint in constraints)

    def finding(
        self, constraint: AnyConstraint, rule: str, subject: Subject | None, *, later: bool
    ) -> Finding:
        """Tell how one constraint stands.

        Args:
            constraint: A comparison, or several that are joined.
            rule: Identifier of the rule that it stands in, for what is counted per rule.
            subject: What it refines; None for a constraint.
            later: What a comparison counts as that another station decides.
        """
        if isinstance(constraint, Constraint):
            return self._compared(constraint, rule, subject, later=later)
        parts = self._findings(constraint.operands, rule, subject, later=later)
        truth = JOIN[constraint.connective](part.truth for part in parts)
        return Finding(constraint, truth, parts=parts)

    def _compared(
        self, constraint: Constraint, rule: str, subject: Subject | None, *, later: bool
    ) -> Finding:
        left_operand = constraint.left_operand
        own = measured(left_operand, self.request, self.facts, rule)
        found = self._known(left_operand, subject) if own is None else ()
        if self.at is not None and self._is_later(constraint, self.at, known=own is not None or bool(found)):
            return Finding(constraint, later, None, later=True)
        if own is None and not found:
            return Finding(constraint, None, None)
        if left_operand in MEASURES and _is_ours(constraint):
            truth = self._declared(constraint, found) if own is None else holds(constraint, own)
            return Finding(constraint, truth, found or None if own is None else own)
        if own is not None:
            found = (_as_literal(own),)
        truth = compare_literals(constraint.operator, found, wanted_literals(constraint), self.facts.world)
        return Finding(constraint, truth, found or None)

    def _known(self, left_operand: str, subject: Subject | None) -> tuple[Literal, ...]:
        """Find what was handed in: of the subject, then of the world, then of the use."""
        features = self.request.features
        if subject is not None:
            narrowed = features.narrowed.get(subject, {}).get(left_operand)
            if narrowed:
                return narrowed
        return self.facts.world.measured.get(left_operand) or features.known.get(left_operand, ())

    @staticmethod
    def _declared(constraint: Constraint, found: tuple[Literal, ...]) -> Truth:
        """Compare what was handed in as if it had been measured: one value, along its hierarchy."""
        if len(found) != 1:
            return None
        [one] = found
        value_type = LEFT_OPERANDS[constraint.left_operand].value_type
        return holds(constraint, read_value(value_type, one.lexical, one.data_type))

    @staticmethod
    def _is_later(constraint: Constraint, at: Where, *, known: bool) -> bool:
        operand = LEFT_OPERANDS.get(constraint.left_operand)
        if operand is None or constraint.operator not in operand.stations:
            return False  # cannot be enforced anywhere, so nothing may be put off
        if operand.restricts or at not in operand.stations[constraint.operator]:
            return True
        # Only a purpose may still be declared later; who the partner is, is known or not.
        return at is Where.NEGOTIATION and not known and constraint.left_operand == PURPOSE


_OF_TIME = frozenset({ValueType.DATE_TIME, ValueType.DURATION})


def _as_literal(found: object) -> Literal:
    if isinstance(found, datetime):
        return Literal(found.isoformat(), XSD + "dateTime")
    if isinstance(found, timedelta):
        return Literal(written_duration(found), XSD + "dayTimeDuration")
    return Literal(str(found))


def written_duration(length: timedelta) -> str:
    """Write a length of time as `xsd:dayTimeDuration`, to the second."""
    seconds = length // timedelta(seconds=1)
    return f"{'-' if seconds < 0 else ''}P{abs(seconds) // 86_400}DT{abs(seconds) % 86_400}S"


def _is_ours(constraint: Constraint) -> bool:
    """Tell whether our own measures compare a constraint.

    A date or a number of months, which they do not read, they leave to the literals.
    """
    operand = LEFT_OPERANDS.get(constraint.left_operand)
    if operand is None or operand.value_type not in _OF_TIME:
        return operand is not None
    return all(
        read_value(operand.value_type, value, constraint.data_type) is not None
        for value in constraint.right_operand
    )


def _all(findings: Iterable[Finding]) -> Truth:
    return all_of(finding.truth for finding in findings)


def _refinements(premises: Iterable[Premise]) -> list[Finding]:
    return [finding for premise in premises for finding in premise.refinements]
