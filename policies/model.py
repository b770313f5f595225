"""ODRL policies as frozen values.

A policy is normalised when it is read: every rule is atomic (one action, one
target, one assigner, one assignee), absolute IRIs everywhere, and every operand
a string, as on the wire. What all rules share stands on the policy alone.

Source:
    ODRL Information Model 2.2, https://www.w3.org/TR/odrl-model/
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class PolicyKind(StrEnum):
    """What a policy is for (ODRL 2.2, section 2.1)."""

    SET = "Set"
    OFFER = "Offer"
    AGREEMENT = "Agreement"


class Conflict(StrEnum):
    """What decides where a permission and a prohibition meet (ODRL 2.2, section 2.10)."""

    PERM = "perm"
    """The permission."""
    PROHIBIT = "prohibit"
    """The prohibition."""
    INVALID = "invalid"
    """Neither: the policy is void."""


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
        uid: The constraint's own IRI, if it has one; no part of its meaning.
    """

    left_operand: str
    operator: Operator
    right_operand: tuple[str, ...]
    data_type: str | None = None
    unit: str | None = None
    uid: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LogicalConstraint:
    """Several constraints, joined by a connective, in their stated order."""

    connective: Connective
    operands: tuple["Constraint | LogicalConstraint", ...]
    uid: str | None = field(default=None, compare=False)


AnyConstraint = Constraint | LogicalConstraint


@dataclass(frozen=True, slots=True)
class Scope:
    """The asset that a rule is about, or the party that it is for: one, or a collection.

    Attributes:
        identifier: IRI of the asset, the party or the collection; None for a
            collection that is only described.
        collection: True where it is said to be a collection: its members are
            meant, and whoever evaluates has to know them.
        source: IRI by which the members of the collection refer to it, if stated.
        refinements: What narrows the collection; all of them.
    """

    identifier: str | None
    collection: bool = False
    source: str | None = None
    refinements: tuple[AnyConstraint, ...] = ()


@dataclass(frozen=True, slots=True)
class Duty:
    """Something that has to be done: a precondition, an obligation, a remedy or a consequence.

    Attributes:
        action: Absolute IRI of what has to be done.
        constraints: When and how far it has to be done; all of them.
        refinements: What narrows the action itself; all of them.
        consequences: What has to be done as well where this duty was not met.
        identifier: Position of the duty in its policy, such as
            `permission/0/duty/0`; stable, because an agreement never changes.
        functions: Who else is involved: the IRI of a party function, such as
            `odrl:informedParty`, with the IRI of the party.
        target: The asset, where it is not the one of the whole policy.
        assigner: Who lays the rule down, where that is not the policy's assigner.
        assignee: Whom the rule is for, where that is not the policy's assignee.
        uid: The rule's own IRI, if it has one.
        origin: Where the rule stands in the document that was read, such as
            `permission/0`: several atomic rules may come from one.
    """

    action: str
    constraints: tuple[AnyConstraint, ...] = ()
    refinements: tuple[AnyConstraint, ...] = ()
    consequences: tuple["Duty", ...] = ()
    identifier: str = field(default="", compare=False)
    functions: tuple[tuple[str, str], ...] = ()
    target: Scope | None = None
    assigner: Scope | None = None
    assignee: Scope | None = None
    uid: str | None = field(default=None, compare=False)
    origin: str | None = field(default=None, compare=False)


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
        target: The asset, where it is not the one of the whole policy.
        assigner: Who lays the rule down, where that is not the policy's assigner.
        assignee: Whom the rule is for, where that is not the policy's assignee.
        uid: The rule's own IRI, if it has one.
        origin: Where the rule stands in the document that was read, such as
            `permission/0`: several atomic rules may come from one.
    """

    identifier: str
    action: str
    constraints: tuple[AnyConstraint, ...] = ()
    refinements: tuple[AnyConstraint, ...] = ()
    duties: tuple[Duty, ...] = ()
    target: Scope | None = None
    assigner: Scope | None = None
    assignee: Scope | None = None
    uid: str | None = field(default=None, compare=False)
    origin: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Prohibition:
    """Something that must not be done while its constraints hold, or may hold.

    Attributes:
        identifier: Position of the rule in its policy, such as `prohibition/0`.
        action: Absolute IRI of the action.
        constraints: When the prohibition holds; all of them.
        refinements: What narrows the action itself; all of them.
        remedies: What has to be done where it was infringed.
        target: The asset, where it is not the one of the whole policy.
        assigner: Who lays the rule down, where that is not the policy's assigner.
        assignee: Whom the rule is for, where that is not the policy's assignee.
        uid: The rule's own IRI, if it has one.
        origin: Where the rule stands in the document that was read, such as
            `permission/0`: several atomic rules may come from one.
    """

    identifier: str
    action: str
    constraints: tuple[AnyConstraint, ...] = ()
    refinements: tuple[AnyConstraint, ...] = ()
    remedies: tuple[Duty, ...] = ()
    target: Scope | None = None
    assigner: Scope | None = None
    assignee: Scope | None = None
    uid: str | None = field(default=None, compare=False)
    origin: str | None = field(default=None, compare=False)


AnyRule = Permission | Prohibition | Duty


@dataclass(frozen=True, slots=True)
class Policy:
    """A set of rules: an offer before, an agreement after the handshake.

    Attributes:
        kind: What it is for.
        uid: IRI of the policy.
        target: IRI of the asset that every rule is about; None where the
            rules name their own, or none.
        assigner: Who lays all rules down; None likewise.
        assignee: Whom all rules are for; None likewise.
        profiles: IRIs of the profiles that its terms come from.
        permissions: What may be done.
        prohibitions: What must not be done.
        obligations: What has to be done.
        conflict: What decides between a permission and a prohibition; None
            where the policy does not say so.
        inherits: IRIs of the policies whose rules it takes over; empty once
            they have been taken over (`policies.inheritance`).
    """

    kind: PolicyKind
    uid: str
    target: str | None = None
    assigner: str | None = None
    assignee: str | None = None
    profiles: tuple[str, ...] = ()
    permissions: tuple[Permission, ...] = ()
    prohibitions: tuple[Prohibition, ...] = ()
    obligations: tuple[Duty, ...] = ()
    conflict: Conflict | None = None
    inherits: tuple[str, ...] = ()


LanguageMap = Mapping[str, str]
"""A sentence per language tag: always `de` and `en`."""
