"""ODRL policies as frozen values.

A policy is normalised when it is read: one action and one target per rule,
absolute IRIs everywhere, and every operand a string, as on the wire.

Source:
    ODRL Information Model 2.2, https://www.w3.org/TR/odrl-model/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class PolicyKind(StrEnum):
    """What a policy is for (ODRL 2.2, section 2.1)."""

    SET = "Set"
    OFFER = "Offer"
    AGREEMENT = "Agreement"


class Operator(StrEnum):
    """How a left operand is compared with a right operand (ODRL 2.2, section 2.5)."""

    EQ = "eq"
    NEQ = "neq"
    LT = "lt"
    LTEQ = "lteq"
    GT = "gt"
    GTEQ = "gteq"
    IS_A = "isA"
    HAS_PART = "hasPart"
    IS_PART_OF = "isPartOf"
    IS_ANY_OF = "isAnyOf"
    IS_ALL_OF = "isAllOf"
    IS_NONE_OF = "isNoneOf"


class Connective(StrEnum):
    """How a logical constraint joins its operands (ODRL 2.2, section 2.5.2)."""

    AND = "and"
    OR = "or"
    XONE = "xone"
    AND_SEQUENCE = "andSequence"


@dataclass(frozen=True, slots=True)
class Constraint:
    """One comparison that a rule or a refinement depends on.

    Attributes:
        left_operand: Absolute IRI of what is measured.
        operator: How it is compared.
        right_operand: The values to compare with, in their lexical form; one
            value unless the operator takes a list.
        data_type: Absolute IRI of the values' datatype, if one is stated.
        unit: Absolute IRI of the values' unit, if one is stated.
    """

    left_operand: str
    operator: Operator
    right_operand: tuple[str, ...]
    data_type: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class LogicalConstraint:
    """Several constraints, joined by a connective, in their stated order."""

    connective: Connective
    operands: tuple["Constraint | LogicalConstraint", ...]


AnyConstraint = Constraint | LogicalConstraint


@dataclass(frozen=True, slots=True)
class Duty:
    """Something that has to be done: a precondition, an obligation, a remedy or a consequence.

    Attributes:
        action: Absolute IRI of what has to be done.
        constraints: When and how far it has to be done; all of them.
        refinements: What narrows the action itself; all of them.
        consequences: What has to be done as well where this duty was not met.
    """

    action: str
    constraints: tuple[AnyConstraint, ...] = ()
    refinements: tuple[AnyConstraint, ...] = ()
    consequences: tuple["Duty", ...] = ()


@dataclass(frozen=True, slots=True)
class Permission:
    """Something that may be done while all constraints hold and all duties are met.

    Attributes:
        identifier: Position of the rule in its policy, such as `permission/0`:
            stable, because an agreement never changes.
        action: Absolute IRI of the action.
        constraints: What has to hold; all of them.
        refinements: What narrows the action itself; all of them.
        duties: What has to be done first.
    """

    identifier: str
    action: str
    constraints: tuple[AnyConstraint, ...] = ()
    refinements: tuple[AnyConstraint, ...] = ()
    duties: tuple[Duty, ...] = ()


@dataclass(frozen=True, slots=True)
class Prohibition:
    """Something that must not be done while its constraints hold, or may hold.

    Attributes:
        identifier: Position of the rule in its policy, such as `prohibition/0`.
        action: Absolute IRI of the action.
        constraints: When the prohibition holds; all of them.
        refinements: What narrows the action itself; all of them.
        remedies: What has to be done where it was infringed.
    """

    identifier: str
    action: str
    constraints: tuple[AnyConstraint, ...] = ()
    refinements: tuple[AnyConstraint, ...] = ()
    remedies: tuple[Duty, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """A set of rules on one target: an offer before, an agreement after the handshake."""

    kind: PolicyKind
    uid: str
    target: str | None = None
    assigner: str | None = None
    assignee: str | None = None
    profiles: tuple[str, ...] = ()
    permissions: tuple[Permission, ...] = ()
    prohibitions: tuple[Prohibition, ...] = ()
    obligations: tuple[Duty, ...] = ()


LanguageMap = Mapping[str, str]
"""A sentence per language tag: always `de` and `en`."""
