"""The shapes of compact JSON-LD: one value or an array, a text or a reference, short or full names.

No context is processed: the words are fixed, and whoever sends other words is
refused by name.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from policies.errors import PolicyRefusedError
from policies.values import MAXIMUM_LENGTH, ValueType, read_value
from policies.wording import sentence
from schemas.vocabulary import ODRL, XSD

IDENTITY: Final = frozenset({"@id", "uid", "@type"})
"""What names an object and says what kind it is."""

_ANNOTATIONS: Final = (
    "dc:",
    "dct:",
    "dcterms:",
    "rdfs:",
    "skos:",
    "http://purl.org/dc/",
    "http://www.w3.org/2000/01/rdf-schema#",
    "http://www.w3.org/2004/02/skos/core#",
)
"""Vocabularies that describe a policy and cannot change its meaning."""

_SHOWN: Final = 120
_LARGEST_NUMBER: Final = 10**15


def members_of(
    value: Mapping[str, object], known: frozenset[str] | None, *, annotated: bool = False
) -> dict[str, object]:
    """Read an object's properties under their short names; None knows any."""
    members: dict[str, object] = {}
    for key, member in value.items():
        if annotated and key.startswith(_ANNOTATIONS):
            continue
        name = short_name(key)
        if name in members:
            raise refusal(key, "{term} ist zweimal angegeben.", "{term} is stated twice.")
        if known is not None and name not in known:
            raise refusal(
                key,
                "Die Eigenschaft {term} wird hier nicht verstanden und kann nicht übergangen werden.",
                "The property {term} is not understood here and cannot be skipped.",
            )
        members[name] = member
    return members


def short_name(key: str) -> str:
    """Write a property's name without ODRL's prefix or namespace, if it has one."""
    for prefix in ("odrl:", ODRL):
        if key.startswith(prefix):
            return key.removeprefix(prefix)
    return key


def array(value: object) -> list[object]:
    """Read one value or an array as a list; nothing is an empty one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def objects(value: object, term: str) -> Iterator[Mapping[str, object]]:
    """Yield each object of a property that holds one, an array or a JSON-LD list of them."""
    if isinstance(value, Mapping) and "@list" in value:
        value = members_of(value, frozenset({"@list"}))["@list"]
    for member in array(value):
        if not isinstance(member, Mapping):
            raise refusal(term, "{term} muss ein Objekt enthalten.", "{term} must hold an object.")
        yield member


def term_of(value: object, place: str) -> str:
    """Read a term as an absolute IRI: words without a prefix are ODRL's."""
    term = reference(value, place)
    if term.startswith("odrl:"):
        return ODRL + term.removeprefix("odrl:")
    if term.startswith("xsd:"):
        return XSD + term.removeprefix("xsd:")
    return term if ":" in term else ODRL + term


def optional_term(value: object, place: str) -> str | None:
    """Read a term that may be absent."""
    return None if value is None else term_of(value, place)


def reference(value: object, place: str) -> str:
    """Read a name: a text, or an object that holds nothing but an identifier."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, Mapping):
        members = members_of(value, IDENTITY)
        value = members.get("@id", members.get("uid"))
    return text(value, place)


def text(value: object, place: str) -> str:
    """Read a text without control characters."""
    if not isinstance(value, str) or read_value(ValueType.TEXT, value) is None:
        raise refusal(
            place,
            "{term} fehlt oder ist kein Text von höchstens {limit} Zeichen.",
            "{term} is missing or is not a text of at most {limit} characters.",
            limit=str(MAXIMUM_LENGTH),
        )
    return value


def shown_shortly(written: str) -> str:
    """Shorten a peer's text so that a message stays readable."""
    return written if len(written) <= _SHOWN else written[: _SHOWN - 3] + "..."


def refusal(term: str, de: str, en: str, **values: str) -> PolicyRefusedError:
    """Say in both languages why a term is refused; `{term}` in the sentences names it."""
    shown = shown_shortly(term)
    return PolicyRefusedError(shown, sentence(de, en, term=shown, **values))


def literal(value: object, left_operand: str, *, bare: bool = False) -> tuple[str, str | None]:
    """Read one value as its lexical form and its datatype.

    Args:
        value: A text, a typed value or a reference.
        left_operand: What it is compared with, for the message.
        bare: Whether a whole number may stand without quotation marks.
    """
    if bare and isinstance(value, int):
        value = {"@value": value, "@type": XSD + "integer"}
    if isinstance(value, str):
        return text(value, left_operand), None
    if isinstance(value, Mapping) and "@id" in value:
        return term_of(members_of(value, frozenset({"@id", "@type"}))["@id"], left_operand), None
    if isinstance(value, Mapping) and "@value" in value:
        members = members_of(value, frozenset({"@value", "@type"}))
        return text(_lexical(members["@value"]), left_operand), optional_term(members.get("@type"), "@type")
    raise refusal(
        left_operand,
        "Ein Wert von {term} ist weder Text noch ein getypter Wert noch ein Verweis; "
        "Zahlen stehen in Anführungszeichen.",
        "A value of {term} is neither a text nor a typed value nor a reference; "
        "numbers stand in quotation marks.",
    )


def _lexical(value: object) -> object:
    """Write a whole number as text; fractions have no one lexical form and stay refused."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_NUMBER
    return str(value) if whole else value
