"""What is known beyond the request and the connector's own measurements.

ODRL asks about anything: whether somebody belongs to a collection, what a
printer's resolution was, whether a fee was paid. Whoever evaluates hands in what
is known; whatever is not handed in is unknown, not false.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from enum import StrEnum

from policies.actions import ACTIONS, Action
from policies.literals import Literal
from policies.logic import Truth

Measured = Mapping[str, tuple[Literal, ...]]
"""What was found, by absolute IRI of the left operand; several values are a set."""


class Subject(StrEnum):
    """What a refinement narrows."""

    ACTION = "action"
    ASSET = "asset"
    PARTY = "party"


@dataclass(frozen=True, slots=True)
class Features:
    """What is known of one use, beyond who did what to which asset.

    Attributes:
        known: By left operand.
        narrowed: What is only known of the action, the asset or the party
            itself; looked at first where a refinement narrows that.
    """

    known: Measured = field(default_factory=dict)
    narrowed: Mapping[Subject, Measured] = field(default_factory=dict)

    def of(self, left_operand: str, subject: Subject | None) -> tuple[Literal, ...]:
        """Find what a left operand amounts to; empty where that is not known."""
        if subject is not None:
            found = self.narrowed.get(subject, {}).get(left_operand)
            if found:
                return found
        return self.known.get(left_operand, ())


class DutyState(StrEnum):
    """How far a duty has come."""

    INACTIVE = "inactive"
    """Its constraints do not hold: nothing is due."""
    DUE = "due"
    """Not done, or not known to be done."""
    FULFILLED = "fulfilled"
    VIOLATED = "violated"
    """Its time is over, and it was not done."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done.

    Attributes:
        at: When, with its zone.
        action: Absolute IRI of the action.
        party: IRI of who did it.
        target: IRI of the asset.
        features: What else is known of it.
    """

    at: datetime
    action: str
    party: str
    target: str
    features: Features = field(default_factory=Features)


@dataclass(frozen=True, slots=True)
class World:
    """The state of the world, as far as it was handed in.

    Attributes:
        measured: What left operands amount to, whoever asks.
        members: All direct members of a collection, by IRI of the collection
            or of its source. A collection that is missing here has unknown
            members: who asks may be one.
        broader: What a term is a kind of, for `isA`.
        wholes: What a term is a part of, for `isPartOf` and `hasPart`.
        events: What was done so far; a duty is met by one of these.
        duties: How far duties have come, by identifier or by their own IRI.
        actions: The actions that are known, with what each is included in.
        zone: Where times without a zone are; None where that is not known,
            and then they compare with nothing.
    """

    measured: Measured = field(default_factory=dict)
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    broader: Mapping[str, frozenset[str]] = field(default_factory=dict)
    wholes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    duties: Mapping[str, DutyState] = field(default_factory=dict)
    actions: Mapping[str, Action] = field(default_factory=lambda: ACTIONS)
    zone: tzinfo | None = None

    def is_member(self, member: str, collection: str) -> Truth:
        """Tell whether something belongs to a collection, over any number of collections between.

        Args:
            member: IRI of the asset or party.
            collection: IRI of the collection or of its source.

        Returns:
            True or False; None where the members of the collection are not known.
        """
        if collection not in self.members:
            return None
        seen, steps = {collection}, [collection]
        while steps:
            members = self.members.get(steps.pop(), frozenset())
            if member in members:
                return True
            steps.extend(members - seen)
            seen |= members
        return False


def reaches(term: str, wider: str, table: Mapping[str, frozenset[str]]) -> Truth:
    """Tell whether one term leads to another one over any number of steps.

    Args:
        term: Where to begin.
        wider: Where to arrive.
        table: The steps from each term.

    Returns:
        True for the same term and for each that is reached; False where both
        are known and none is reached; None where one is unknown to the table.
    """
    seen, steps = {term}, [term]
    while steps:
        step = steps.pop()
        if step == wider:
            return True
        following = table.get(step, frozenset()) - seen
        seen |= following
        steps.extend(following)
    known = table.keys() | {one for others in table.values() for one in others}
    return False if {term, wider} <= known else None
