"""Did everybody keep to a policy? Replays a log of what was done, in the order of time.

Every event has to be permitted when it happened: by what was known then, with
the duties done until then and the uses counted until then. What was done
against the policy is an infringement. It is settled where the policy says how,
and only by what happened afterwards:

- a use before its duty: the duty is done late, and its consequences as well;
- a prohibited use: its remedies are done.

One event settles one infringement. A prohibition wins over a permission unless
the policy says `conflict: perm`. An event that nothing permits is an
infringement, even if it does what a duty asks for: who may pay is for the
policy to say.

Source:
    ODRL Information Model 2.2, sections 2.6.3 to 2.6.7.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from policies.facts import Facts, Request
from policies.judging import DutyFinding, Judge, RuleFinding
from policies.logic import all_of
from policies.model import Conflict, Duty, LanguageMap, Policy, Prohibition
from policies.wording import action_name, sentence
from policies.world import DutyState, Event, World


class Cause(StrEnum):
    """What was wrong."""

    NOT_PERMITTED = "not permitted"
    PROHIBITED = "prohibited"
    DUTY_NOT_MET = "duty not met"
    OBLIGATION_LAPSED = "obligation lapsed"


@dataclass(frozen=True, slots=True)
class Infringement:
    """Something that was done against a policy, or not done in time.

    Attributes:
        cause: What was wrong.
        at: When.
        rule: Identifier of the rule; empty where no rule permits the event.
        event: What was done; None where something was not.
        settled: Whether what the policy asks for instead was done afterwards.
        text: The same in words, in German and English.
    """

    cause: Cause
    at: datetime
    rule: str
    event: Event | None
    settled: bool
    text: LanguageMap


@dataclass(frozen=True, slots=True)
class Compliance:
    """What a log says about a policy.

    Attributes:
        infringements: In the order of time, the lapsed obligations last.
        obligations: How far each obligation of the policy had come in the end.
        uses: How often each permission was used, by identifier of the rule.
    """

    infringements: tuple[Infringement, ...]
    obligations: tuple[DutyFinding, ...]
    uses: dict[str, int]

    @property
    def complies(self) -> bool:
        """Whether nothing is unsettled and nothing is left to do."""
        open_ends = any(finding.state is DutyState.DUE for finding in self.obligations)
        return not open_ends and all(infringement.settled for infringement in self.infringements)


def monitor(
    policy: Policy, events: Iterable[Event], *, until: datetime, world: World | None = None
) -> Compliance:
    """Replay what was done, and say whether it kept to a policy.

    The work grows with the square of the number of events where duties have to
    be looked for among them.

    Args:
        policy: Any ODRL policy, with nothing left to inherit.
        events: What was done until then, in any order.
        until: The end of the time that is looked at, with its zone.
        world: What is known besides; what was done before goes into `events`.

    Returns:
        The infringements, and how the obligations stand at `until`.
    """
    ordered = tuple(sorted(events, key=lambda event: event.at))
    return _Replay(policy, ordered, until, world or World()).compliance()


@dataclass(frozen=True, slots=True)
class _Claim:
    """An infringement, and what would settle it: nothing, where `possible` is False."""

    cause: Cause
    at: datetime
    rule: str
    event: Event | None
    late: tuple[Duty, ...] = ()
    instead: tuple[Duty, ...] = ()
    possible: bool = True


@dataclass(frozen=True, slots=True)
class _Replay:
    policy: Policy
    events: Sequence[Event]
    until: datetime
    world: World

    def compliance(self) -> Compliance:
        uses = {rule.identifier: 0 for rule in self.policy.permissions}
        claims = [claim for position in range(len(self.events)) for claim in self.claims(position, uses)]
        obligations = tuple(self.obligation(duty) for duty in self.policy.obligations)
        claims.extend(self.lapsed(obligations))
        return Compliance(tuple(self.settled(claims)), obligations, uses)

    def judge(self, at: datetime, done: Sequence[Event], event: Event, uses: dict[str, int]) -> Judge:
        request = Request(event.action, event.target, event.party, features=event.features)
        facts = Facts(at, dict(uses), world=replace(self.world, events=tuple(done)))
        return Judge(self.policy, request, facts)

    def claims(self, position: int, uses: dict[str, int]) -> Iterator[_Claim]:
        """Yield what an event infringes, and count it as a use of the permission that opens it."""
        event = self.events[position]
        judge = self.judge(event.at, self.events[:position], event, uses)
        permissions = [judge.permission(rule) for rule in self.policy.permissions]
        opened = next((finding for finding in permissions if finding.applies), None)
        if opened is not None:
            uses[opened.rule.identifier] += 1
        prohibitions = (judge.prohibition(rule) for rule in self.policy.prohibitions)
        broken = [finding for finding in prohibitions if finding.applies]
        if broken and not (opened is not None and self.policy.conflict is Conflict.PERM):
            yield from (_prohibited(finding, event) for finding in broken)
        elif opened is None:
            yield self.unopened(permissions, judge, event)

    def unopened(self, permissions: Sequence[RuleFinding], judge: Judge, event: Event) -> _Claim:
        for finding in permissions:
            if _is_open_but_for_duties(finding):
                missing = tuple(duty.duty for duty in finding.duties if not duty.met(judge.mode))
                instead = tuple(consequence for duty in missing for consequence in duty.consequences)
                possible = all(duty.consequences for duty in missing)
                name = finding.rule.identifier
                return _Claim(Cause.DUTY_NOT_MET, event.at, name, event, missing, instead, possible)
        return _Claim(Cause.NOT_PERMITTED, event.at, "", event, possible=False)

    def obligation(self, duty: Duty) -> DutyFinding:
        finding = self.bystander(self.until, self.events).duty(duty)
        if finding.state is DutyState.INACTIVE and self.lapse(duty) is not None:
            return replace(finding, state=DutyState.VIOLATED)
        return finding

    def bystander(self, at: datetime, done: Sequence[Event]) -> Judge:
        """Ask about what nobody requests: obligations hold whoever acts."""
        return self.judge(at, done, Event(at, "", "", ""), {})

    def lapse(self, duty: Duty) -> datetime | None:
        """Find when the time of an obligation was over, if it had begun."""
        begun = False
        for at in (*(event.at for event in self.events), self.until):
            constraints = self.bystander(at, ()).duty(duty).constraints
            over = all_of(finding.truth for finding in constraints) is False
            if over and begun:
                return at
            begun = begun or not over
        return None

    def lapsed(self, obligations: Iterable[DutyFinding]) -> Iterator[_Claim]:
        for finding in obligations:
            if finding.state is DutyState.VIOLATED:
                duty, at = finding.duty, self.lapse(finding.duty) or self.until
                instead, possible = duty.consequences, bool(duty.consequences)
                yield _Claim(Cause.OBLIGATION_LAPSED, at, duty.identifier, None, (duty,), instead, possible)

    def settled(self, claims: Iterable[_Claim]) -> Iterator[Infringement]:
        spent: set[tuple[str, int]] = set()
        for claim in claims:
            late = all(self.performance(duty, claim, set(), in_time=False) is not None for duty in claim.late)
            settled = claim.possible and late
            for duty in claim.instead if settled else ():
                found = self.performance(duty, claim, spent, in_time=True)
                settled = settled and found is not None
                if found is not None:
                    spent.add((duty.identifier, found))
            yield Infringement(claim.cause, claim.at, claim.rule, claim.event, settled, _text(claim))

    def performance(
        self, duty: Duty, claim: _Claim, spent: set[tuple[str, int]], *, in_time: bool
    ) -> int | None:
        """Find the first event after an infringement that does a duty and has settled none yet."""
        judge = self.bystander(self.until, ())
        for position, event in enumerate(self.events):
            after = event.at > claim.at or (claim.event is None and event.at == claim.at)
            if not after or (duty.identifier, position) in spent:
                continue
            if judge.is_done_by(event, duty, in_time=in_time):
                return position
        return None


def _prohibited(finding: RuleFinding, event: Event) -> _Claim:
    rule = finding.rule
    remedies = rule.remedies if isinstance(rule, Prohibition) else ()
    return _Claim(
        Cause.PROHIBITED, event.at, rule.identifier, event, instead=remedies, possible=bool(remedies)
    )


def _is_open_but_for_duties(finding: RuleFinding) -> bool:
    conditions = (*finding.constraints, *finding.refinements)
    return all(premise.truth is True for premise in finding.premises) and all(
        condition.truth is True for condition in conditions
    )


def _text(claim: _Claim) -> LanguageMap:
    action = claim.event.action if claim.event is not None else claim.late[0].action
    de, en = _SENTENCES[claim.cause]
    return sentence(
        de,
        en,
        action=action_name(action),
        at=claim.at.isoformat(timespec="seconds"),
        rule=claim.rule,
    )


_SENTENCES = {
    Cause.NOT_PERMITTED: (
        "„{action}“ am {at} war nicht erlaubt.",
        "“{action}” at {at} was not permitted.",
    ),
    Cause.PROHIBITED: (
        "„{action}“ am {at} war verboten ({rule}).",
        "“{action}” at {at} was prohibited ({rule}).",
    ),
    Cause.DUTY_NOT_MET: (
        "„{action}“ am {at}: Die Pflicht davor war nicht erfüllt ({rule}).",
        "“{action}” at {at}: the duty before it was not met ({rule}).",
    ),
    Cause.OBLIGATION_LAPSED: (
        "„{action}“ wurde bis {at} nicht getan ({rule}).",
        "“{action}” was not done by {at} ({rule}).",
    ),
}
