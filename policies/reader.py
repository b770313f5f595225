"""Reads policies from compact JSON-LD: all of ODRL 2.2, or only what travels between connectors.

Terms may be written without a prefix, with `odrl:` or as full IRIs, and every
property may hold one value or an array. What is unknown is refused by name,
never dropped: a term that a reader skips is a condition that nobody keeps.

What is read is normalised: a rule for several targets, actions or parties
becomes one atomic rule for each combination, and what the policy states for all
its rules is copied into each of them first (ODRL 2.2, section 2.7).

Source:
    ODRL Information Model 2.2; DSP 2025-1, contract-schema.json.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from policies.actions import ANY_ACTION
from policies.compact import (
    IDENTITY,
    array,
    literal,
    members_of,
    objects,
    optional_term,
    reference,
    refusal,
    shown_shortly,
    term_of,
    text,
)
from policies.errors import PolicyRefusedError, PolicyTooLargeError
from policies.left_operands import LEFT_OPERANDS, LeftOperand
from policies.literals import Literal
from policies.model import (
    AnyConstraint,
    Conflict,
    Connective,
    Constraint,
    Duty,
    LanguageMap,
    LogicalConstraint,
    Operator,
    Permission,
    Policy,
    PolicyKind,
    Prohibition,
    Scope,
)
from policies.normal_form import numbered, shared_once
from policies.reading import KNOWN_PROFILES, Reading
from policies.values import read_value
from policies.wording import sentence, value_form
from schemas.vocabulary import ODRL

__all__ = ["KNOWN_PROFILES", "RDF_VALUE", "ROLES", "SINGLE_VALUED", "Objection", "Reader", "size_refusal"]

RDF_VALUE: Final = ("rdf:value", "http://www.w3.org/1999/02/22-rdf-syntax-ns#value")
SINGLE_VALUED: Final = frozenset(
    {
        Operator.EQ,
        Operator.NEQ,
        Operator.LT,
        Operator.LTEQ,
        Operator.GT,
        Operator.GTEQ,
        Operator.IS_A,
        Operator.HAS_PART,
        Operator.IS_PART_OF,
    }
)

ROLES: Final = ("target", "assigner", "assignee")
_SHARED: Final = frozenset({*ROLES, "action"})
_FUNCTIONS: Final = frozenset(
    {
        *("attributedParty", "attributingParty", "compensatedParty", "compensatingParty"),
        *("consentedParty", "consentingParty", "contractedParty", "contractingParty"),
        *("informedParty", "informingParty", "trackedParty", "trackingParty"),
    }
)
_POLICY_KEYS: Final = (
    IDENTITY
    | _SHARED
    | {"@context", "profile", "permission", "prohibition", "obligation", "conflict", "timestamp"}
)
_RULE_KEYS: Final = IDENTITY | _SHARED | {"constraint"}
_SCOPE_KEYS: Final = IDENTITY | {"source", "refinement"}
_COLLECTIONS: Final = frozenset({ODRL + "AssetCollection", ODRL + "PartyCollection"})
_CONSTRAINT_KEYS: Final = IDENTITY | {"leftOperand", "operator", "rightOperand", "dataType", "unit"}
_WIDE_CONSTRAINT_KEYS: Final = frozenset({"rightOperandReference", "status"})
_CONNECTIVES: Final[Mapping[str, Connective]] = {connective.value: connective for connective in Connective}
_OPERATORS: Final[Mapping[str, Operator]] = {operator.value: operator for operator in Operator}

_Refined = tuple[str, tuple[AnyConstraint, ...]]
_Members = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Atom:
    """One atomic rule, of whatever kind: one combination of what the written rule lists."""

    action: str
    refinements: tuple[AnyConstraint, ...]
    constraints: tuple[AnyConstraint, ...]
    duties: tuple[Duty, ...]
    target: Scope | None
    assigner: Scope | None
    assignee: Scope | None
    uid: str | None
    origin: str
    functions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Objection:
    """Something in a policy that is not read.

    Attributes:
        place: The rule that it stands in, such as `permission/0`; empty for
            the policy as a whole.
        refusal: What it is, and why it is not read.
    """

    place: str
    refusal: PolicyRefusedError


@dataclass(slots=True)
class Reader:
    """Reads one policy and counts what it has read against the limits.

    Attributes:
        reading: What is understood.
        objections: Where what is not understood is noted and left out, of a
            policy that is only to be explained; None, as everywhere else,
            where it is refused.
        rules: How many rules were read.
        constraints: How many constraints were read.
        place: The rule that is being read.
    """

    reading: Reading
    objections: list[Objection] | None = None
    rules: int = 0
    constraints: int = 0
    place: str = ""

    def policy(self, document: Mapping[str, object], default_target: str | None) -> Policy:
        """Read the whole policy.

        Args:
            document: The policy.
            default_target: What a rule is about that does not say so itself.

        Raises:
            PolicyRefusedError: Something is unknown, malformed or too large.
        """
        more = {"inheritFrom"} if self.reading.wide else set()
        members = self._known_members(document, _POLICY_KEYS | more, annotated=True)
        _check_context(members.get("@context"))
        profiles = self._profiles(members.get("profile"))  # an unknown one is a reason to stop here
        conflict, kind = self._conflict(members.get("conflict")), self._kind(members.get("@type"))
        shared = {name: members[name] for name in _SHARED if name in members}
        if default_target is not None:
            shared.setdefault("target", default_target)
        permissions = numbered("permission", map(_permission, self._atoms(members, "permission", shared)))
        prohibitions = numbered("prohibition", map(_prohibition, self._atoms(members, "prohibition", shared)))
        obligations = numbered("obligation", map(_duty, self._atoms(members, "obligation", shared)))
        inherits = tuple(reference(value, "inheritFrom") for value in array(members.get("inheritFrom")))
        if not (permissions or prohibitions or obligations or inherits):
            for objection in reversed(self.objections or ()):
                if objection.place:  # a rule was written, but could not be read
                    raise objection.refusal
            raise refusal("permission", "Eine Regel fehlt ({term}).", "The policy has no rule ({term}).")
        policy = Policy(
            kind=kind,
            uid=_uid(members),
            profiles=profiles,
            permissions=permissions,
            prohibitions=prohibitions,
            obligations=obligations,
            conflict=conflict,
            inherits=inherits,
        )
        return shared_once(policy)

    def _atoms(
        self, parent: _Members, term: str, shared: _Members, *, within: str = "", depth: int = 1
    ) -> Iterator[_Atom]:
        """Yield the atomic rules that a property of a policy or a rule holds."""
        self._check_depth(depth, term)
        for position, rule in enumerate(objects(parent.get(term), term)):
            outer, self.place = self.place, f"{within}{term}/{position}"
            try:
                yield from self._atoms_of(rule, term, shared, depth)
            except PolicyRefusedError as refused:
                self._note(refused)
            finally:
                self.place = outer

    def _atoms_of(self, rule: _Members, term: str, shared: _Members, depth: int) -> Iterator[_Atom]:
        nested, origin = _NESTED[term], self.place
        members = self._members(rule, _RULE_KEYS | ({nested} if nested else frozenset()), _FUNCTIONS)
        _check_rule_type(members, _TYPES[term])
        constraints = self._constraint_list(members.get("constraint"))
        duties: tuple[Duty, ...] = ()
        if nested:
            duties = tuple(map(_duty, self._atoms(members, nested, {}, within=f"{origin}/", depth=depth + 1)))
        for (action, refinements), target, assigner, assignee in self._combinations(members, shared, duties):
            yield _Atom(
                action=action,
                refinements=refinements,
                constraints=constraints,
                duties=duties,
                target=target,
                assigner=assigner,
                assignee=assignee,
                uid=_own_iri(members),
                origin=origin,
                functions=tuple(self._functions(members)),
            )

    def _note(self, refused: PolicyRefusedError) -> None:
        """Note what was refused, where objections are noted; refuse it everywhere else."""
        if self.objections is None or isinstance(refused, PolicyTooLargeError):
            raise refused
        self.objections.append(Objection(self.place, refused))

    def _members(
        self, value: _Members, keys: frozenset[str], wide_keys: frozenset[str] = frozenset()
    ) -> dict[str, object]:
        wide = self.reading.wide
        return self._known_members(value, keys | wide_keys if wide else keys, annotated=wide)

    def _known_members(self, value: _Members, known: frozenset[str], *, annotated: bool) -> dict[str, object]:
        """Read an object's properties; where objections are noted, those that are known."""
        if self.objections is not None:
            kept = {}
            for key, member in value.items():
                try:
                    members_of({key: member}, known, annotated=annotated)
                except PolicyRefusedError as refused:
                    self._note(refused)
                else:
                    kept[key] = member
            value = kept
        return members_of(value, known, annotated=annotated)

    def _combinations(
        self, rule: _Members, shared: _Members, duties: tuple[Duty, ...]
    ) -> Iterator[tuple[_Refined, Scope | None, Scope | None, Scope | None]]:
        """Yield every combination of action, target and parties: one atomic rule each."""
        targets, assigners, assignees = (self._scopes(rule, shared, role) or (None,) for role in ROLES)
        below = 0  # the duties were counted as they were read; every further combination copies them
        for combination in product(self._actions(rule, shared), targets, assigners, assignees):
            self.rules += 1 + below
            below = _number_of(duties)
            if self.rules > self.reading.limits.rules:
                raise size_refusal("permission", self.reading.limits.rules, {"de": "Regeln", "en": "rules"})
            yield combination

    def _actions(self, rule: _Members, shared: _Members) -> tuple[_Refined, ...]:
        own = tuple(self._action(value) for value in array(rule.get("action")))
        stated = (self._action(value) for value in array(shared.get("action")))
        actions = (*own, *(action for action in stated if action not in own))
        if actions:
            return actions
        if self.reading.any_action:
            return ((ANY_ACTION, ()),)
        raise refusal("action", "Einer Regel fehlt die Aktion ({term}).", "A rule has no action ({term}).")

    def _action(self, value: object) -> _Refined:
        refinements: tuple[AnyConstraint, ...] = ()
        if isinstance(value, Mapping):
            members = self._members(value, frozenset({"@id", "@type", "refinement", *RDF_VALUE}))
            refinements = self._constraint_list(members.get("refinement"))
            value = next((members[key] for key in (*RDF_VALUE, "@id") if key in members), None)
        action = term_of(value, "action")
        if action not in self.reading.actions:
            raise refusal(action, "Die Aktion {term} ist unbekannt.", "The action {term} is unknown.")
        return action, refinements

    def _scopes(self, rule: _Members, shared: _Members, role: str) -> tuple[Scope, ...]:
        stated = [*array(rule.get(role)), *array(shared.get(role))]
        return tuple(dict.fromkeys(self._scope(value, role) for value in stated))

    def _scope(self, value: object, role: str) -> Scope:
        if not isinstance(value, Mapping):
            return Scope(reference(value, role))
        members = self._members(value, IDENTITY, _SCOPE_KEYS)
        collection = _is_collection(members.get("@type"))
        if collection and not self.reading.wide:
            raise refusal(
                role,
                "{term} darf keine Sammlung sein; nennen Sie ein einzelnes Ziel.",
                "{term} must not be a collection; name a single one.",
            )
        stated = members.get("@id", members.get("uid"))
        source = members.get("source")
        narrowed = self._constraint_list(members.get("refinement"))
        return Scope(
            identifier=None if stated is None else text(stated, role),
            collection=collection or source is not None or bool(narrowed),
            source=None if source is None else reference(source, "source"),
            refinements=narrowed,
        )

    def _functions(self, members: _Members) -> Iterator[tuple[str, str]]:
        for name in sorted(_FUNCTIONS & members.keys()):
            for value in array(members[name]):
                yield ODRL + name, reference(value, name)

    def _constraint_list(self, value: object) -> tuple[AnyConstraint, ...]:
        constraints = []
        for member in objects(value, "constraint"):
            try:
                constraints.append(self._constraint(member, 1))
            except PolicyRefusedError as refused:
                self._note(refused)
        return tuple(constraints)

    def _constraint(self, value: _Members, depth: int) -> AnyConstraint:
        self.constraints += 1
        most = self.reading.limits.constraints
        if self.constraints > most:
            raise size_refusal("constraint", most, {"de": "Bedingungen", "en": "constraints"})
        self._check_depth(depth, "constraint")
        members = self._members(value, _CONSTRAINT_KEYS | _CONNECTIVES.keys(), _WIDE_CONSTRAINT_KEYS)
        connectives = [name for name in members if name in _CONNECTIVES]
        if connectives:
            return self._logical(members, connectives[0], depth)
        return self._comparison(members)

    def _logical(self, members: _Members, connective: str, depth: int) -> LogicalConstraint:
        if not members.keys() <= IDENTITY | {connective}:
            raise refusal(
                connective,
                "Neben {term} darf in derselben Bedingung nichts anderes stehen.",
                "Nothing else may stand beside {term} in the same constraint.",
            )
        operands = tuple(
            self._constraint(operand, depth + 1) for operand in objects(members[connective], connective)
        )
        if not operands:
            raise refusal(connective, "{term} ist leer.", "{term} is empty.")
        return LogicalConstraint(_CONNECTIVES[connective], operands, _own_iri(members))

    def _comparison(self, members: _Members) -> Constraint:
        left_operand = term_of(members.get("leftOperand"), "leftOperand")
        known = LEFT_OPERANDS.get(left_operand)
        if known is None and left_operand not in self.reading.left_operands:
            raise refusal(
                left_operand,
                "Der linke Operand {term} ist unbekannt.",
                "The left operand {term} is unknown.",
            )
        operator = _operator(members.get("operator"))
        values, data_type, unit = self._right_operand(members, left_operand)
        _check_number(left_operand, operator, values, wide=self.reading.wide)
        if known is not None and not self.reading.wide:
            _check_values(left_operand, known, values, data_type)
        stated = optional_term(members.get("unit"), "unit")
        return Constraint(left_operand, operator, values, data_type, stated or unit, _own_iri(members))

    def _right_operand(
        self, members: _Members, left_operand: str
    ) -> tuple[tuple[str, ...], str | None, str | None]:
        """Read the values, their datatype and their unit, which they share."""
        stated = members.get("rightOperand")
        if isinstance(stated, Mapping) and "@list" in stated:
            stated = members_of(stated, frozenset({"@list"}))["@list"]
        wide = self.reading.wide
        values = [Literal(*literal(value, left_operand, bare=wide)) for value in array(stated)]
        values += self._referred(members)
        declared = optional_term(members.get("dataType"), "dataType")
        data_types = {value.data_type for value in values} | ({declared} if declared else set())
        data_types -= {None} if declared else set()
        if len(data_types) > 1:
            raise refusal(
                left_operand,
                "Die Werte von {term} mischen Datentypen.",
                "The values of {term} mix datatypes.",
            )
        units = {value.unit for value in values}
        return (
            tuple(value.lexical for value in values),
            next(iter(data_types), None),
            units.pop() if len(units) == 1 else None,
        )

    def _referred(self, members: _Members) -> Iterator[Literal]:
        """Yield what the references of a constraint stand for, from the table that was handed in."""
        for value in array(members.get("rightOperandReference")):
            name = _reference_name(value)
            if "rightOperand" in members:
                raise refusal(
                    name,
                    "Neben dem Verweis {term} darf kein Wert stehen.",
                    "No value may stand beside the reference {term}.",
                )
            yield from self._value_of(name)

    def _value_of(self, name: str) -> tuple[Literal, ...]:
        if name in self.reading.references:
            return self.reading.references[name]
        self._note(
            refusal(
                name,
                "Dem Verweis {term} wird nicht gefolgt; schreiben Sie den Wert selbst.",
                "The reference {term} is not followed; write the value itself.",
            )
        )
        return (Literal(name),)

    def _profiles(self, value: object) -> tuple[str, ...]:
        profiles = tuple(reference(member, "profile") for member in array(value))
        for profile in profiles:
            if profile not in KNOWN_PROFILES and profile not in self.reading.profiles:
                raise refusal(profile, "Das Profil {term} ist unbekannt.", "The profile {term} is unknown.")
        return profiles

    def _conflict(self, value: object) -> Conflict | None:
        if value is None:
            return None
        name = term_of(value, "conflict").removeprefix(ODRL)
        strategy = next((conflict for conflict in Conflict if conflict.value == name), None)
        if strategy is not Conflict.PROHIBIT and not self.reading.wide:
            raise refusal(
                "conflict",
                "{term} darf nur „prohibit“ sein: ein Verbot geht hier immer vor.",
                "{term} may only be “prohibit”: a prohibition always wins here.",
            )
        if strategy is None:
            self._note(
                refusal(
                    "conflict",
                    "{term} muss „perm“, „prohibit“ oder „invalid“ sein.",
                    "{term} must be “perm”, “prohibit” or “invalid”.",
                )
            )
        return strategy

    def _kind(self, value: object) -> PolicyKind:
        try:
            return _kind(value)
        except PolicyRefusedError as refused:
            self._note(refused)
            return PolicyKind.SET

    def _check_depth(self, depth: int, term: str) -> None:
        most = self.reading.limits.nesting
        if depth > most:
            raise refusal(
                term,
                "{term} ist tiefer als {limit} Ebenen verschachtelt.",
                "{term} is nested deeper than {limit} levels.",
                limit=str(most),
            )


_NESTED: Final[Mapping[str, str | None]] = {
    "permission": "duty",
    "prohibition": "remedy",
    "obligation": "consequence",
    "duty": "consequence",
    "consequence": "consequence",
    "remedy": None,  # ODRL 2.2, section 2.6.7: a remedy has no consequence
}
_TYPES: Final[Mapping[str, str]] = {
    "permission": "Permission",
    "prohibition": "Prohibition",
    **dict.fromkeys(("obligation", "duty", "remedy", "consequence"), "Duty"),
}


def _permission(atom: _Atom) -> Permission:
    return Permission(
        identifier="",
        action=atom.action,
        constraints=atom.constraints,
        refinements=atom.refinements,
        duties=atom.duties,
        target=atom.target,
        assigner=atom.assigner,
        assignee=atom.assignee,
        uid=atom.uid,
        origin=atom.origin,
    )


def _prohibition(atom: _Atom) -> Prohibition:
    return Prohibition(
        identifier="",
        action=atom.action,
        constraints=atom.constraints,
        refinements=atom.refinements,
        remedies=atom.duties,
        target=atom.target,
        assigner=atom.assigner,
        assignee=atom.assignee,
        uid=atom.uid,
        origin=atom.origin,
    )


def _duty(atom: _Atom) -> Duty:
    return Duty(
        action=atom.action,
        constraints=atom.constraints,
        refinements=atom.refinements,
        consequences=atom.duties,
        functions=atom.functions,
        target=atom.target,
        assigner=atom.assigner,
        assignee=atom.assignee,
        uid=atom.uid,
        origin=atom.origin,
    )


def _reference_name(value: object) -> str:
    """Name a reference, also one that is written as a typed value (IDS)."""
    if isinstance(value, Mapping) and "@value" in value:
        value = members_of(value, frozenset({"@value", "@type"}))["@value"]
    return reference(value, "rightOperandReference")


def _number_of(duties: tuple[Duty, ...]) -> int:
    return sum(1 + _number_of(duty.consequences) for duty in duties)


def _is_collection(value: object) -> bool:
    """Tell whether a target or party is said to be a collection; what else it is does not matter here."""
    return any(term_of(member, "@type") in _COLLECTIONS for member in array(value))


def _own_iri(members: _Members) -> str | None:
    stated = members.get("@id", members.get("uid"))
    return None if stated is None else text(stated, "@id")


def _check_number(left_operand: str, operator: Operator, values: tuple[str, ...], *, wide: bool) -> None:
    hierarchical = {Operator.IS_A, Operator.HAS_PART, Operator.IS_PART_OF}
    several = len(values) > 1 and operator in SINGLE_VALUED and not (wide and operator in hierarchical)
    if not values or several:
        raise refusal(
            left_operand,
            "Der Operator {operator} von {term} verlangt genau einen Wert.",
            "The operator {operator} of {term} takes exactly one value.",
            operator=operator.value,
        )


def _check_values(
    left_operand: str, known: LeftOperand, values: tuple[str, ...], data_type: str | None
) -> None:
    for value in values:
        if read_value(known.value_type, value, data_type) is None:
            raise _value_refusal(left_operand, value, value_form(known.value_type))
        # A form only binds where something is enforced; the rest is refused as a whole by policies.terms.
        if known.form is not None and known.stations and not known.form.pattern.fullmatch(value):
            raise _value_refusal(left_operand, value, known.form.hint)
        if known.choices and value not in known.choices:
            raise refusal(
                left_operand,
                "Der Wert „{value}“ von {term} ist unbekannt; möglich: {choices}.",
                "The value “{value}” of {term} is unknown; possible: {choices}.",
                value=shown_shortly(value),
                choices=", ".join(sorted(known.choices)),
            )


def _value_refusal(left_operand: str, value: str, hint: LanguageMap | str) -> PolicyRefusedError:
    shown = shown_shortly(left_operand)
    return PolicyRefusedError(
        shown,
        sentence(
            "Der Wert „{value}“ von {term} ist ungültig; verlangt ist: {hint}.",
            "The value “{value}” of {term} is not valid; required is: {hint}.",
            term=shown,
            value=shown_shortly(value),
            hint=hint,
        ),
    )


def _operator(value: object) -> Operator:
    term = term_of(value, "operator")
    operator = _OPERATORS.get(term.removeprefix(ODRL)) if term.startswith(ODRL) else None
    if operator is None:
        raise refusal(term, "Der Operator {term} ist unbekannt.", "The operator {term} is unknown.")
    return operator


def _kind(value: object) -> PolicyKind:
    terms = [term_of(member, "@type") for member in array(value)] or [ODRL + "Set"]
    names = [term.removeprefix(ODRL) for term in terms if term != ODRL + "Policy"] or ["Set"]
    for kind in PolicyKind:
        if names == [kind.value]:
            return kind
    raise refusal(
        terms[0],
        "Die Art {term} ist unbekannt; möglich: Set, Offer, Agreement.",
        "The kind {term} is unknown; possible: Set, Offer, Agreement.",
    )


def _uid(members: _Members) -> str:
    if "@id" in members and "uid" in members:
        raise refusal("uid", "{term} ist zweimal angegeben.", "{term} is stated twice.")
    return text(members.get("@id", members.get("uid")), "@id")


def _check_context(value: object) -> None:
    if not all(isinstance(member, str) for member in array(value)):
        raise refusal(
            "@context",
            "Ein eigener {term} kann Wörter umdeuten und ist nicht erlaubt.",
            "An inline {term} can redefine words and is not permitted.",
        )


def _check_rule_type(members: _Members, name: str) -> None:
    for value in array(members.get("@type")):
        term = term_of(value, "@type")
        if term not in {ODRL + name, ODRL + "Rule"}:
            raise refusal(
                term,
                "{term} steht an einer Stelle für {name}.",
                "{term} stands in a place for {name}.",
                name=name,
            )


def size_refusal(term: str, limit: int, what: LanguageMap) -> PolicyTooLargeError:
    """Say that a policy is too large, and by what."""
    return PolicyTooLargeError(
        term,
        sentence(
            "Der Vertrag hat mehr als {limit} {what}.",
            "The policy has more than {limit} {what}.",
            limit=str(limit),
            what=what,
        ),
    )
