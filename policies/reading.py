"""What a reader of policies understands: profiles, references and how large a policy may be.

Source:
    ODRL Information Model 2.2, sections 2.7 and 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from policies.actions import ACTIONS, Action
from policies.catena_x import CATENA_X_PROFILES
from policies.literals import Literal
from schemas.vocabulary import ODRL, POLICY_PROFILE

ODRL_CORE: Final = ODRL + "core"
"""IRI by which a policy says that it uses ODRL and nothing else."""

KNOWN_PROFILES: Final = frozenset({POLICY_PROFILE, ODRL_CORE, *CATENA_X_PROFILES})


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a policy may be.

    Attributes:
        rules: Most atomic rules, duties included.
        constraints: Most constraints and refinements, joined ones included.
        nesting: Most levels of constraints, and of consequences.
    """

    rules: int = 100
    constraints: int = 1_000
    nesting: int = 16


@dataclass(frozen=True, slots=True)
class Profile:
    """The terms that a profile adds to ODRL.

    Attributes:
        actions: Its actions, by absolute IRI.
        left_operands: Absolute IRIs of its left operands.
    """

    actions: Mapping[str, Action] = field(default_factory=dict)
    left_operands: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader understands.

    Attributes:
        wide: Whether all of ODRL is read, or only what travels between
            connectors: values are then checked against their left operand, and
            inheritance, collections and references are refused.
        profiles: Profiles that are known beside our own, by IRI.
        limits: How large a policy may be.
        references: What a `rightOperandReference` stands for, by IRI. Nothing
            is ever fetched: a reference that is missing here is refused.
        any_action: Whether a rule without an action is read, and then as one
            on every action.
    """

    wide: bool = False
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    references: Mapping[str, tuple[Literal, ...]] = field(default_factory=dict)
    any_action: bool = False

    @property
    def actions(self) -> Mapping[str, Action]:
        """Every action that is known, for `policies.world.World.actions` too."""
        if not self.profiles:
            return ACTIONS
        added = {
            name: action for profile in self.profiles.values() for name, action in profile.actions.items()
        }
        return {**added, **ACTIONS}

    @property
    def left_operands(self) -> frozenset[str]:
        """The left operands of the profiles."""
        return frozenset().union(*(profile.left_operands for profile in self.profiles.values()))


WIRE: Final = Reading()
"""What travels between connectors."""
