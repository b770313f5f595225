"""Reading a policy to explain it: whatever it says is shown, also what nobody here accepts.

What is read so is only fit to be shown (`policies.terms.classify`). Policies
that are to be kept are read with `policies.odrl.parse_policy`, which refuses
the first thing that it does not know.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from policies.actions import ACTIONS, Action
from policies.catena_x import with_full_terms
from policies.compact import array, reference, short_name, term_of
from policies.errors import PolicyRefusedError
from policies.inheritance import flattened
from policies.model import LanguageMap, Policy
from policies.odrl import KNOWN_PROFILES, Profile, Reading, parse_policy, read_policy

_STRANGERS: Final = "urn:allmende:unknown-terms"
_UNNAMED: Final = "urn:allmende:policy"
"""Stands for the identifier that publishing gives an offer."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A policy as far as it can be read.

    Attributes:
        policy: The policy; only to be shown where there is an objection.
        objection: Why it is not accepted as it is written; None where it is read.
    """

    policy: Policy
    objection: LanguageMap | None


def read_to_explain(
    document: Mapping[str, object], parents: Mapping[str, Mapping[str, object]] | None = None
) -> Explained:
    """Read a policy with everything in it that has a name, known or not.

    Args:
        document: The policy, as compact JSON; Catena-X may use its short names.
        parents: The policies whose rules it takes over, by IRI.

    Returns:
        The policy, and why it is not accepted, if it is not even read.

    Raises:
        PolicyRefusedError: It has no readable shape; the error names the place.
    """
    written = with_full_terms(named(document))
    try:
        return Explained(parse_policy(flattened(written, parents or {})), None)
    except PolicyRefusedError as refusal:
        return Explained(read_policy(written, _knowing(written)), refusal.reason)


def named(document: Mapping[str, object]) -> Mapping[str, object]:
    """A policy with an identifier, also before publishing has given it one."""
    has_name = any(short_name(key) in {"@id", "uid"} for key in document)
    return document if has_name else {**document, "@id": _UNNAMED}


def _knowing(document: Mapping[str, object]) -> Reading:
    """Pretend to know every action, left operand and profile that a document names."""
    actions = {name: Action(None, {"de": name, "en": name}) for name in _terms(document, "action")}
    added = {name: action for name, action in actions.items() if name not in ACTIONS}
    strangers = Profile(added, frozenset(_terms(document, "leftOperand")))
    profiles = (reference(value, "profile") for value in array(document.get("profile")))
    return Reading(
        wide=True,
        profiles={
            _STRANGERS: strangers,
            **{profile: Profile() for profile in profiles if profile not in KNOWN_PROFILES},
        },
    )


def _terms(value: object, key: str) -> Iterator[str]:
    if isinstance(value, list):
        for member in value:
            yield from _terms(member, key)
    elif isinstance(value, Mapping):
        for name, member in value.items():
            if name.removeprefix("odrl:") == key:
                yield from map(_name, array(member))
            yield from _terms(member, key)


def _name(value: object) -> str:
    """Name an action, which may be refined, or a left operand."""
    if isinstance(value, Mapping):
        value = value.get("rdf:value", value.get("@id"))
    return term_of(value, "action")
