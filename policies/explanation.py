"""Reading a policy to explain it: whatever it says is shown, also what nobody here accepts.

What is read so is only fit to be shown. Policies that are to be kept are read
with `policies.odrl.parse_policy`, which refuses the first thing that it does
not know; here, that is left out and listed as refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from policies.actions import ACTIONS, Action
from policies.catena_x import with_full_terms
from policies.compact import array, reference, refusal, short_name, term_of
from policies.errors import PolicyRefusedError
from policies.inheritance import flattened
from policies.model import AnyRule, Connective, LanguageMap, Policy
from policies.odrl import KNOWN_PROFILES, Profile, Reading, parse_policy
from policies.reader import RDF_VALUE, Objection, Reader
from policies.terms import Enforcement, TermUse, classify
from policies.wording import sentence
from schemas.vocabulary import DCT, IDS, IDSC, ODRL, XSD

__all__ = ["Explained", "named", "read_to_explain"]

_STRANGERS: Final = "urn:allmende:unknown-terms"
_UNNAMED: Final = "urn:allmende:policy"
"""Stands for the identifier that publishing gives an offer."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A policy as far as it can be read.

    Attributes:
        policy: The policy; only to be shown where there is an objection.
        objection: Why it is not accepted as it is written; None where it is read.
        left_out: What the policy holds and could not be read.
    """

    policy: Policy
    objection: LanguageMap | None
    left_out: tuple[Objection, ...] = ()

    @property
    def uses(self) -> tuple[TermUse, ...]:
        """What each term is worth here, rule by rule; what could not be read is refused."""
        read = classify(self.policy)
        rules = dict.fromkeys(("", *(use.rule for use in read)))
        refused = {
            (objection.place, objection.refusal.term): _refused(objection, self._rule_of(objection, rules))
            for objection in self.left_out
        }
        order = {rule: position for position, rule in enumerate(rules)}
        return tuple(sorted((*read, *refused.values()), key=lambda use: order[use.rule]))

    def _rule_of(self, objection: Objection, rules: Mapping[str, None]) -> str:
        """Name the rule that something was left out of, as the map numbers it."""
        policy = self.policy
        written: tuple[AnyRule, ...] = (*policy.permissions, *policy.prohibitions, *policy.obligations)
        names = {rule.origin: rule.identifier for rule in reversed(written)}
        kind, _, rest = objection.place.partition("/")
        position, _, below = rest.partition("/")
        rule = names.get(f"{kind}/{position}", "")
        exact = f"{rule}/{below}"
        return exact if exact in rules else rule


def _refused(objection: Objection, rule: str) -> TermUse:
    where = sentence("Steht in {place}.", "Stands in {place}.", place=objection.place)
    return TermUse(
        rule,
        objection.refusal.term,
        Enforcement.REFUSED,
        (),
        where if objection.place else _ON_THE_WHOLE,
        objection.refusal.reason,
    )


_ON_THE_WHOLE: Final[LanguageMap] = {
    "de": "Steht beim Vertrag als Ganzem.",
    "en": "Stands with the policy as a whole.",
}


def read_to_explain(
    document: Mapping[str, object], parents: Mapping[str, Mapping[str, object]] | None = None
) -> Explained:
    """Read a policy with everything in it that has a name, known or not.

    Args:
        document: The policy, as compact JSON; Catena-X may use its short names,
            and a context inside the policy may define prefixes.
        parents: The policies whose rules it takes over, by IRI.

    Returns:
        The policy, why it is not accepted, if it is not even read, and what it
        holds that could not be read.

    Raises:
        PolicyRefusedError: It has no readable shape or no readable rule; the
            error names the place.
    """
    _require_policy(document)
    written = with_full_terms(named(document))
    try:
        return Explained(parse_policy(flattened(written, parents or {})), None)
    except PolicyRefusedError as refused:
        return _as_far_as_possible(written, refused)


def _require_policy(document: Mapping[str, object]) -> None:
    """Say so where a file holds a constraint alone, as the samples of Catena-X do."""
    names = {name.removeprefix("odrl:") for name in document}
    if names & {"leftOperand", *Connective} and not names & {"permission", "prohibition", "obligation"}:
        raise refusal(
            "constraint",
            "Das ist eine einzelne Bedingung und kein Vertrag; setzen Sie sie als „{term}“ in eine Regel.",
            "This is a single constraint and no policy; put it into a rule as its “{term}”.",
        )


def _as_far_as_possible(document: Mapping[str, object], refused: PolicyRefusedError) -> Explained:
    left_out: list[Objection] = []
    written = _with_full_names(document, left_out)
    policy = Reader(_knowing(written), left_out).policy(written, None)
    return Explained(policy, refused.reason, tuple(left_out))


_PREFIX: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_KNOWN_PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "odrl": (ODRL,),
    "xsd": (XSD,),
    "rdf": ("http://www.w3.org/1999/02/22-rdf-syntax-ns#",),
    "rdfs": ("http://www.w3.org/2000/01/rdf-schema#",),
    "skos": ("http://www.w3.org/2004/02/skos/core#",),
    **dict.fromkeys(("dc", "dct", "dcterms"), (DCT, "http://purl.org/dc/elements/1.1/")),
}
"""Prefixes that a reader takes for granted, each with what it may stand for."""


def _with_full_names(document: Mapping[str, object], left_out: list[Objection]) -> Mapping[str, object]:
    """Write out the prefixes that a policy defines itself, and those of IDS.

    A context inside a policy stays refused. As long as it only defines
    prefixes, what it means is plain all the same and can be shown.
    """
    contexts = array(document.get("@context"))
    inline = [context for context in contexts if not isinstance(context, str)]
    prefixes = {"ids": IDS, "idsc": IDSC}
    rest = {name: member for name, member in document.items() if name != "@context"}
    if inline:
        objection = refusal(
            "@context",
            "Ein eigener {term} kann Wörter umdeuten und ist nicht erlaubt.",
            "An inline {term} can redefine words and is not permitted.",
        )
        words = set(_words(rest))
        for context in inline:
            if not isinstance(context, Mapping):
                raise objection
            for prefix, namespace in context.items():
                if not _defines_a_prefix(prefix, namespace, words):
                    raise objection
                prefixes[prefix] = str(namespace)
        left_out.append(Objection("", objection))
        rest["@context"] = [context for context in contexts if isinstance(context, str)]
    return {_full(name, prefixes): _written_out(name, member, prefixes) for name, member in rest.items()}


def _defines_a_prefix(name: object, namespace: object, words: set[str]) -> bool:
    """Tell whether an entry of a context changes the meaning of no word that a reader knows."""
    if not isinstance(name, str) or not isinstance(namespace, str):
        return False
    known = _KNOWN_PREFIXES.get(name)
    plain = bool(_PREFIX.fullmatch(name)) and ":" in namespace and namespace.endswith(("/", "#", ":"))
    return plain and name not in words and (known is None or namespace in known)


def _words(value: object) -> Iterator[str]:
    """Yield every property and every text of a document."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield str(name)
            yield from _words(member)
    elif isinstance(value, list):
        for member in value:
            yield from _words(member)
    elif isinstance(value, str):
        yield value


_NAMING: Final = frozenset({"leftOperand", "operator", "action", "profile", "@id", "@type", "rdf:value"})
"""Properties whose texts are names; everywhere else a text is a value and stays as it is."""


def _written_out(name: str, value: object, prefixes: Mapping[str, str]) -> object:
    if isinstance(value, Mapping):
        return {
            _full(str(key), prefixes): _written_out(str(key), member, prefixes)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [_written_out(name, member, prefixes) for member in value]
    if isinstance(value, str) and name.removeprefix("odrl:") in _NAMING:
        return _full(value, prefixes)
    return value


def _full(name: str, prefixes: Mapping[str, str]) -> str:
    prefix, colon, local = name.partition(":")
    known = colon and prefix in prefixes and prefix not in _KNOWN_PREFIXES and not local.startswith("//")
    return prefixes[prefix] + local if known else name


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
            if name.removeprefix("odrl:").removeprefix(ODRL) == key:
                yield from filter(None, map(_name, array(member)))
            yield from _terms(member, key)


def _name(value: object) -> str | None:
    """Name an action, which may be refined, or a left operand; None where it has no name."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in (*RDF_VALUE, "@id") if key in value), None)
    try:
        return term_of(value, "action")
    except PolicyRefusedError:
        return None
