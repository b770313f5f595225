"""Takes over the rules of parent policies, once, before anybody judges the heir.

A policy that inherits never decides anything: it is flattened first, from
parents that the caller has and has checked. Nothing is fetched, so an agreement
cannot change because somebody changes its parent.

`flatten` works on policies of all of ODRL. The rules of a parent come over as
they are, with the target and the parties that the parent states for them; the
rules of the child say themselves what they are about. Profiles are joined.
Where a parent has another conflict strategy than the child, or than another
parent, the result is void, and refused.

`flattened` works on documents that travel between connectors. There, a policy
has one target and one of each party, so parents must not name their own.

Source:
    ODRL Information Model 2.2, sections 2.9 (inheritance) and 2.10 (conflict).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from policies.compact import array, members_of, reference, refusal, short_name, shown_shortly
from policies.errors import PolicyRefusedError
from policies.model import AnyRule, Duty, Permission, Policy, Prohibition, Scope
from policies.normal_form import renumbered, shared_once
from policies.odrl import read_policy, write_rules
from policies.reader import ROLES, size_refusal
from policies.reading import Limits, Reading
from policies.values import ValueType, read_value

MOST_ANCESTORS: Final = 100
"""Policies, near and far, whose rules a policy may take over."""
INHERIT_FROM: Final = "inheritFrom"
_WIDE: Final = Reading(wide=True)
_RULES: Final = frozenset({"permission", "prohibition", "obligation"})
_REWRITTEN: Final = _RULES | {INHERIT_FROM, "profile", "conflict", "action"}
_Rule = TypeVar("_Rule", Permission, Prohibition, Duty)


def inherits_from(document: Mapping[str, object]) -> tuple[str, ...]:
    """Name the policies whose rules a policy takes over, each once, in the order in which it names them.

    Args:
        document: The policy as compact JSON; the property may have its prefix, or be a full IRI.

    Raises:
        PolicyRefusedError: They are not named by IRIs, are named twice over, or are too many.
    """
    stated = [value for key, value in document.items() if short_name(key) == INHERIT_FROM]
    if len(stated) > 1:
        raise refusal(INHERIT_FROM, "{term} ist zweimal angegeben.", "{term} is stated twice.")
    names = tuple(
        dict.fromkeys(reference(value, INHERIT_FROM) for several in stated for value in array(several))
    )
    if len(names) > MOST_ANCESTORS:
        raise _too_many_ancestors()
    return names


def is_heir(document: Mapping[str, object]) -> bool:
    """Whether a policy says at all that it takes over rules of others."""
    return any(short_name(key) == INHERIT_FROM for key in document)


def by_identifier(documents: Iterable[Mapping[str, object]]) -> dict[str, Mapping[str, object]]:
    """Sort policies by their IRI, for heirs to be found the rules that they take over.

    Raises:
        PolicyRefusedError: One has no IRI, or two of them have the same one and say different things.
    """
    found: dict[str, Mapping[str, object]] = {}
    for document in documents:
        name = identifier_of(document)
        if found.setdefault(name, document) != document:
            raise refusal(
                name,
                "Unter {term} liegen zwei verschiedene Verträge vor.",
                "There are two different policies named {term}.",
            )
    return found


def identifier_of(document: Mapping[str, object]) -> str:
    """The IRI under which others take over the rules of a policy.

    Raises:
        PolicyRefusedError: It has none, more than one, or one that is not absolute.
    """
    stated = [value for key, value in document.items() if short_name(key) in {"@id", "uid"}]
    name = stated[0] if len(stated) == 1 else None
    if not isinstance(name, str) or read_value(ValueType.IRI, name) is None:
        raise refusal(
            "@id",
            "Ein Vertrag, dessen Regeln andere übernehmen, braucht genau einen Namen ({term}), und der muss "
            "eine vollständige IRI sein.",
            "A policy whose rules others take over needs exactly one name ({term}), an absolute IRI.",
        )
    return name


def require_own_rules(document: Mapping[str, object]) -> None:
    """Refuse a policy that has to state all its rules itself, as an agreement has.

    Raises:
        PolicyRefusedError: It takes over rules of other policies.
    """
    if is_heir(document):
        raise refusal(
            INHERIT_FROM,
            "Eine Vereinbarung muss alle ihre Regeln selbst enthalten und darf keine übernehmen ({term}).",
            "An agreement has to state all its rules itself, and must not take over any ({term}).",
        )


def flattened(
    document: Mapping[str, object], parents: Mapping[str, Mapping[str, object]]
) -> Mapping[str, object]:
    """Put the rules of all ancestors into a policy that travels between connectors.

    Args:
        document: The policy as compact JSON.
        parents: Every ancestor's document by its IRI.

    Returns:
        The same document where it takes over nothing. Otherwise one with its own
        rules first and then those of its ancestors, their profiles, and nothing
        left to inherit; it is still to be read and judged as any other.

    Raises:
        PolicyRefusedError: An ancestor is missing, is another one than it says,
            or names a target or parties of its own; policies inherit from each
            other; something in them is unknown; or the result is too large.
    """
    if not is_heir(document):
        return document
    inherits_from(document)  # their number is looked at before they are read
    members = members_of(document, None)
    child = read_policy({name: value for name, value in members.items() if name not in ROLES}, _WIDE)
    known = {name: read_policy(parent, _WIDE) for name, parent in parents.items()}
    for parent in known.values():
        _require_no_scope(parent)
    whole = flatten(child, known)
    written: dict[str, object] = {name: value for name, value in members.items() if name not in _REWRITTEN}
    if whole.profiles:
        written["profile"] = list(whole.profiles)
    if whole.conflict is not None:
        written["conflict"] = whole.conflict.value
    return {**written, **write_rules(whole)}


def _require_no_scope(parent: Policy) -> None:
    """Refuse a parent that is about something: what its rules are about is for the heir to say."""
    rules: tuple[AnyRule, ...] = (*parent.permissions, *parent.prohibitions, *parent.obligations)
    for role in ROLES:
        if getattr(parent, role) is not None or any(getattr(rule, role) is not None for rule in rules):
            raise refusal(
                role,
                "Der Vertrag „{parent}“ nennt {term}; Verträge, deren Regeln übernommen werden, dürfen das "
                "nicht. Streichen Sie die Angabe: Ihre Regeln gelten für das, was der übernehmende nennt.",
                "The policy “{parent}” names its own {term}; a policy whose rules are taken over must not. "
                "Take it out: its rules are about what the heir names.",
                parent=shown_shortly(parent.uid),
            )


def flatten(policy: Policy, parents: Mapping[str, Policy], *, limits: Limits | None = None) -> Policy:
    """Put the rules of all ancestors into a policy.

    Args:
        policy: The policy that inherits.
        parents: Every ancestor by its IRI.
        limits: How many atomic rules the result may have; the usual number
            where none are given.

    Returns:
        The policy with its own rules first, and nothing left to inherit. An
        ancestor on several ways is taken over once. A rule that has no IRI of
        its own gets one that says where it comes from.

    Raises:
        PolicyRefusedError: A parent is missing or is another one than it says,
            policies inherit from each other, their conflict strategies differ,
            or the result is too large.
    """
    family = tuple(_lineage(policy, parents))
    strategies = {member.conflict for member in family} - {None}
    if len(strategies) > 1:
        raise refusal(
            "conflict",
            "Die Verträge, deren Regeln übernommen werden, haben verschiedene Angaben zu {term}; "
            "damit ist der Vertrag unwirksam.",
            "The policies whose rules are taken over state different {term} strategies; "
            "that makes the policy void.",
        )
    whole = replace(
        policy,
        target=None,
        assigner=None,
        assignee=None,
        profiles=tuple(dict.fromkeys(name for member in family for name in member.profiles)),
        permissions=tuple(rule for member in family for rule in _own(member, member.permissions, policy)),
        prohibitions=tuple(rule for member in family for rule in _own(member, member.prohibitions, policy)),
        obligations=tuple(rule for member in family for rule in _own(member, member.obligations, policy)),
        conflict=next(iter(strategies), None),
        inherits=(),
    )
    most = (limits or Limits()).rules
    if len(whole.permissions) + len(whole.prohibitions) + len(whole.obligations) > most:
        raise size_refusal("inheritFrom", most, {"de": "Regeln", "en": "rules"})
    return renumbered(shared_once(whole))


def _lineage(policy: Policy, parents: Mapping[str, Policy]) -> Iterator[Policy]:
    """Yield a policy and its ancestors, each once, the nearest ones first."""
    finished: set[str] = set()
    under_way: dict[str, Iterator[str]] = {policy.uid: iter(policy.inherits)}
    yield policy
    while under_way:
        heir, names = next(reversed(under_way.items()))
        name = next(names, None)
        if name is None:
            finished.add(heir)
            del under_way[heir]
        elif name in under_way:
            raise refusal(
                name,
                "Der Vertrag {term} übernimmt über Umwege seine eigenen Regeln.",
                "The policy {term} takes over its own rules in a circle.",
            )
        elif name not in finished:
            parent = _parent(name, parents)
            if len(finished) + len(under_way) > MOST_ANCESTORS:
                raise _too_many_ancestors()
            under_way[name] = iter(parent.inherits)
            yield parent


def _parent(name: str, parents: Mapping[str, Policy]) -> Policy:
    parent = parents.get(name)
    if parent is None or parent.uid != name:
        raise refusal(
            name,
            "Der Vertrag {term}, dessen Regeln übernommen werden, liegt nicht vor, und abgerufen wird er "
            "nicht. Hinterlegen Sie ihn vorher (POST /api/policies, auf der Kommandozeile --parent), oder "
            "bitten Sie den Partner um das Angebot mit allen Regeln.",
            "The policy {term}, whose rules are taken over, is not at hand, and it is not fetched. Keep it "
            "first (POST /api/policies, or --parent on the command line), or ask the partner for the offer "
            "with all its rules filled in.",
        )
    return parent


def _too_many_ancestors() -> PolicyRefusedError:
    what = {"de": "Verträge, deren Regeln er übernimmt", "en": "policies to inherit from"}
    return size_refusal(INHERIT_FROM, MOST_ANCESTORS, what)


def _own(member: Policy, rules: tuple[_Rule, ...], child: Policy) -> Iterator[_Rule]:
    """Yield the rules of one policy with everything that it states for all of them."""
    for rule in rules:
        inherited = None if member.uid == child.uid else f"{member.uid}#{rule.origin or rule.identifier}"
        yield replace(
            rule,
            target=rule.target or _scope(member.target),
            assigner=rule.assigner or _scope(member.assigner),
            assignee=rule.assignee or _scope(member.assignee),
            uid=rule.uid or inherited,
        )


def _scope(identifier: str | None) -> Scope | None:
    return None if identifier is None else Scope(identifier)
