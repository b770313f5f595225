"""Templates for usage policies: a few questions, and a policy whose every limit is kept.

A template is data: what it permits and prohibits, and the keys that can be set.
Each key stands for one comparison; a key that is not set adds none.
"""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

from policies.actions import COMPUTE, QUERY, REPRODUCE, USE
from policies.errors import PolicyError, PolicyRefusedError
from policies.left_operands import (
    ALGORITHM_DIGEST,
    ALLOWED_COLUMN,
    ASSIGNEE,
    COLUMN_MASK,
    CONTRIBUTION_BOUND,
    COUNT,
    DATE_TIME,
    ELAPSED_TIME,
    EPSILON_PER_QUERY,
    EPSILON_TOTAL,
    GROUP_UNIT,
    LEFT_OPERANDS,
    MAX_CELL_DOMINANCE,
    MAX_RESULT_ROWS,
    MEMBERSHIP,
    MIN_GROUP_ROWS,
    MIN_GROUP_SIZE,
    NOISE,
    OUTPUT_KIND,
    OUTPUT_REVIEW,
    P_PERCENT,
    PURPOSE,
    QUERY_CLASS,
    ROLE,
    ROUNDING_BASE,
    SEAT,
)
from policies.model import LanguageMap, Operator
from policies.odrl import parse_policy
from policies.purposes import PURPOSES
from policies.terms import require_enforceable
from policies.wording import sentence
from schemas.vocabulary import DPV, ODRL, POLICY, POLICY_PROFILE


class TemplateError(PolicyError):
    """A template cannot be filled with what was given.

    Attributes:
        reason: Why, as a whole sentence, in German and English.
    """

    def __init__(self, reason: LanguageMap) -> None:
        super().__init__(reason["en"])
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TemplateKey:
    """One thing that can be set in a template.

    Attributes:
        name: How it is named on the command line.
        meaning: What it is, in German and English.
        left_operand: Absolute IRI of what it limits.
        operator: How it limits it; an operator that takes a list reads
            several values, separated by commas.
        default: Its value unless it is set; None where it then limits nothing.
        required: True where it has to be set.
        also: Absolute IRI of another left operand that it limits alike.
    """

    name: str
    meaning: LanguageMap
    left_operand: str
    operator: Operator
    default: str | None = None
    required: bool = False
    also: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of policy.

    Attributes:
        name: How it is named on the command line.
        title: What it is for, in German and English.
        actions: Absolute IRIs of what it permits, one permission each.
        keys: What can be set.
        fixed: Comparisons that every policy of this kind has.
        prohibitions: Rules that prohibit, as they are written.
        obligations: Absolute IRIs of what the partner promises to do.
    """

    name: str
    title: LanguageMap
    actions: tuple[str, ...]
    keys: tuple[TemplateKey, ...]
    fixed: tuple[tuple[str, Operator, str], ...] = ()
    prohibitions: tuple[Mapping[str, object], ...] = ()
    obligations: tuple[str, ...] = ()


_PURPOSE: Final = TemplateKey(
    "purpose",
    {
        "de": "Zweck: eine IRI oder ein Name wie ScientificResearch",
        "en": "purpose: an IRI or a name such as ScientificResearch",
    },
    PURPOSE,
    Operator.IS_A,
)
_MAX_USES: Final = TemplateKey(
    "max_uses", {"de": "Höchstzahl der Nutzungen", "en": "most uses"}, COUNT, Operator.LTEQ
)
_UNTIL: Final = TemplateKey(
    "until",
    {
        "de": "Ende: ein Tag wie 2027-12-31 oder ein Zeitpunkt in UTC",
        "en": "end: a day such as 2027-12-31 or a moment in UTC",
    },
    DATE_TIME,
    Operator.LTEQ,
)
_TERMS: Final = (_PURPOSE, _MAX_USES, _UNTIL)
_LISTS: Final = frozenset({Operator.IS_ANY_OF, Operator.IS_ALL_OF})
_COLUMNS: Final = TemplateKey(
    "columns",
    {"de": "Spalten, mit Kommas; alle, wenn leer", "en": "columns, with commas; all if empty"},
    ALLOWED_COLUMN,
    Operator.IS_ANY_OF,
)
_GROUPS: Final = (
    TemplateKey(
        "min_group_size",
        {"de": "Mindestgröße einer Gruppe", "en": "smallest group that is released"},
        MIN_GROUP_SIZE,
        Operator.GTEQ,
        "10",
        # So many units have as many rows at least; silence would mean ten rows.
        also=MIN_GROUP_ROWS,
    ),
    TemplateKey(
        "unit",
        {
            "de": "Spalte, deren verschiedene Werte eine Gruppe groß machen; Zeilen, wenn leer",
            "en": "column whose distinct values make the size of a group; rows if empty",
        },
        GROUP_UNIT,
        Operator.EQ,
    ),
)
_ROLES: Final = TemplateKey(
    "roles",
    {
        "de": "Rollen mit Kommas, von denen der Partner eine haben muss",
        "en": "roles with commas, of which the partner must have one",
    },
    ROLE,
    Operator.IS_ANY_OF,
)
_AGGREGATES: Final = ((QUERY_CLASS, Operator.EQ, "aggregate"),)
_NO_RAW_DATA: Final[Mapping[str, object]] = {"action": "reproduce"}
_NOT_PASSED_ON: Final[tuple[Mapping[str, object], ...]] = ({"action": "distribute"}, {"action": "sell"})

_ALL: Final = (
    Template(
        "aggregate-only",
        {
            "de": "Nur zusammengefasste Werte großer Gruppen; keine einzelnen Zeilen.",
            "en": "Aggregates of large groups only; no single rows.",
        },
        (QUERY,),
        (_COLUMNS, *_GROUPS, *_TERMS),
        _AGGREGATES,
        (_NO_RAW_DATA,),
    ),
    Template(
        "protected-statistics",
        {
            "de": "Zusammengefasste Werte, in denen auch wenige große Beiträge nicht zu erkennen sind.",
            "en": "Aggregates in which a few large contributions cannot be recognised either.",
        },
        (QUERY,),
        (
            _COLUMNS,
            TemplateKey(
                "masks",
                {
                    "de": "Masken mit Kommas, etwa name=hash,plz=truncate:2",
                    "en": "masks with commas, such as name=hash,zip=truncate:2",
                },
                COLUMN_MASK,
                Operator.IS_ALL_OF,
            ),
            *_GROUPS,
            TemplateKey(
                "dominance",
                {
                    "de": "n,k: die n größten Beiträge machen höchstens k Prozent einer Summe aus",
                    "en": "n,k: the n largest contributions are at most k percent of a sum",
                },
                MAX_CELL_DOMINANCE,
                Operator.EQ,
                "2,90",
            ),
            TemplateKey(
                "p_percent",
                {
                    "de": "so genau in Prozent lässt sich der größte Beitrag nicht schätzen",
                    "en": "percent to within which the largest contribution cannot be estimated",
                },
                P_PERCENT,
                Operator.GTEQ,
                "10",
            ),
            TemplateKey(
                "rounding",
                {"de": "Anzahlen als Vielfache davon", "en": "counts as multiples of this"},
                ROUNDING_BASE,
                Operator.EQ,
            ),
            *_TERMS,
        ),
        _AGGREGATES,
        (_NO_RAW_DATA,),
    ),
    Template(
        "private-statistics",
        {
            "de": "Zusammengefasste Werte mit Rauschen (differential privacy); neue Fragen kosten Epsilon.",
            "en": "Aggregates with noise (differential privacy); new questions cost epsilon.",
        },
        (QUERY,),
        (
            _COLUMNS,
            TemplateKey(
                "unit",
                {"de": "Spalte, die die Geschützten benennt", "en": "column that names who is protected"},
                GROUP_UNIT,
                Operator.EQ,
                required=True,
            ),
            TemplateKey(
                "epsilon",
                {"de": "Epsilon je neuer Frage", "en": "epsilon per new question"},
                EPSILON_PER_QUERY,
                Operator.LTEQ,
                "0.5",
            ),
            TemplateKey(
                "epsilon_total",
                {"de": "Epsilon aller Fragen zusammen", "en": "epsilon of all questions together"},
                EPSILON_TOTAL,
                Operator.LTEQ,
                "5",
            ),
            TemplateKey(
                "contribution_bound",
                {
                    "de": "Höchstzahl der Zeilen je Geschütztem; sonst wie beim Datensatz angegeben",
                    "en": "most rows of each who is protected; otherwise as the dataset says",
                },
                CONTRIBUTION_BOUND,
                Operator.LTEQ,
            ),
            *_TERMS,
        ),
        _AGGREGATES,
        (_NO_RAW_DATA,),
    ),
    Template(
        "compute-only",
        {
            "de": "Nur benannte Programme, die beim Anbieter laufen; geprüfte Ausgaben gehen hinaus.",
            "en": "Named programs only, run at the provider; checked outputs leave.",
        },
        (COMPUTE,),
        (
            _COLUMNS,
            TemplateKey(
                "algorithm",
                {
                    "de": "SHA-256 des Programms; mehrere mit Kommas",
                    "en": "SHA-256 of the program; several with commas",
                },
                ALGORITHM_DIGEST,
                Operator.IS_ANY_OF,
                required=True,
            ),
            TemplateKey(
                "outputs",
                {"de": "Arten der Ausgaben, mit Kommas", "en": "kinds of outputs, with commas"},
                OUTPUT_KIND,
                Operator.IS_ANY_OF,
                "metrics",
            ),
            TemplateKey(
                "review",
                {
                    "de": "manual: ein Mensch gibt frei; auto: nach den Prüfungen",
                    "en": "manual: a person releases; auto: after the checks",
                },
                OUTPUT_REVIEW,
                Operator.EQ,
                "manual",
            ),
            *_TERMS,
        ),
        prohibitions=(_NO_RAW_DATA,),
    ),
    Template(
        "research-only",
        {
            "de": "Zusammengefasste Werte für die Forschung, nicht für gewerbliche Zwecke.",
            "en": "Aggregates for research, not for commercial purposes.",
        },
        (QUERY,),
        (
            _COLUMNS,
            *_GROUPS,
            TemplateKey(
                "purpose",
                {"de": "Art der Forschung", "en": "kind of research"},
                PURPOSE,
                Operator.IS_A,
                DPV + "ResearchAndDevelopment",
            ),
            _MAX_USES,
            _UNTIL,
        ),
        _AGGREGATES,
        (
            _NO_RAW_DATA,
            {
                "action": "use",
                "constraint": [
                    {"leftOperand": "purpose", "operator": "isA", "rightOperand": DPV + "CommercialPurpose"}
                ],
            },
        ),
    ),
    Template(
        "named-partners",
        {
            "de": "Zusammengefasste Werte nur für Partner, die mit ihrer DID benannt sind.",
            "en": "Aggregates only for partners that are named by their DID.",
        },
        (QUERY,),
        (
            TemplateKey(
                "partners",
                {"de": "DIDs der Partner, mit Kommas", "en": "DIDs of the partners, with commas"},
                ASSIGNEE,
                Operator.IS_ANY_OF,
                required=True,
            ),
            _ROLES,
            _COLUMNS,
            *_GROUPS,
            *_TERMS,
        ),
        _AGGREGATES,
        (_NO_RAW_DATA,),
    ),
    Template(
        "members-only",
        {
            "de": "Zusammengefasste Werte nur für Mitglieder, nach Teilnehmerregister oder Nachweis.",
            "en": "Aggregates only for members, by the provider's register or by a credential.",
        },
        (QUERY,),
        (
            TemplateKey(
                "memberships",
                {
                    "de": "IRIs mit Kommas; der Partner ist Mitglied von mindestens einem",
                    "en": "IRIs with commas; the partner is a member of at least one",
                },
                MEMBERSHIP,
                Operator.IS_ANY_OF,
                required=True,
            ),
            _ROLES,
            TemplateKey(
                "seat",
                {
                    "de": "Land oder NUTS-Region, in der der Partner sitzt",
                    "en": "country or NUTS region in which the partner is seated",
                },
                SEAT,
                Operator.IS_PART_OF,
            ),
            _COLUMNS,
            *_GROUPS,
            *_TERMS,
        ),
        _AGGREGATES,
        (_NO_RAW_DATA,),
    ),
    Template(
        "time-limited",
        {
            "de": "Zusammengefasste Werte für eine Zeit, die mit dem Vertrag beginnt.",
            "en": "Aggregates for a time that begins with the agreement.",
        },
        (QUERY,),
        (
            TemplateKey(
                "duration",
                {"de": "Dauer, etwa P90D für 90 Tage", "en": "duration, such as P90D for 90 days"},
                ELAPSED_TIME,
                Operator.LTEQ,
                "P90D",
            ),
            _COLUMNS,
            *_GROUPS,
            TemplateKey(
                "max_rows",
                {"de": "Höchstzahl der Ergebniszeilen", "en": "most rows of a result"},
                MAX_RESULT_ROWS,
                Operator.LTEQ,
            ),
            _PURPOSE,
            _MAX_USES,
        ),
        _AGGREGATES,
        (_NO_RAW_DATA,),
    ),
    Template(
        "raw-copy",
        {
            "de": "Die Datei, wie sie ist; was danach damit geschieht, ist Zusage des Partners.",
            "en": "The file as it is; what happens to it then is the partner's promise.",
        },
        (REPRODUCE,),
        _TERMS,
        prohibitions=_NOT_PASSED_ON,
    ),
    Template(
        "open-data",
        {
            "de": "Jede Nutzung, auch der Bezug der Datei; die Quelle wird genannt.",
            "en": "Any use, the file included; the source is named.",
        },
        (USE,),
        (_UNTIL,),
        obligations=(ODRL + "attribute",),
    ),
)

TEMPLATES: Final[Mapping[str, Template]] = {template.name: template for template in _ALL}
"""Every template, by its name."""


def fill(template: Template, settings: Mapping[str, str], identifier: str) -> dict[str, object]:
    """Write a policy from a template.

    Args:
        template: What kind of policy.
        settings: The keys that are set, with their values as texts.
        identifier: IRI of the new policy.

    Returns:
        An offer without a target, as compact DSP JSON. It is accepted by
        `policies.odrl.parse_policy` and `policies.terms.require_enforceable`.

    Raises:
        TemplateError: A key is unknown or missing, or a value is not valid;
            the sentence names the key.
    """
    _check_names(template, settings)
    stated = [comparison for key in template.keys for comparison in _comparisons(key, settings)]
    fixed = [_written(*part) for part in template.fixed]
    offer: dict[str, object] = {"@type": "Offer", "@id": identifier, "profile": [POLICY_PROFILE]}
    offer["permission"] = [_rule(action, [*fixed, *stated]) for action in template.actions]
    if template.prohibitions:
        offer["prohibition"] = [deepcopy(dict(rule)) for rule in template.prohibitions]
    if template.obligations:
        offer["obligation"] = [{"action": action.removeprefix(ODRL)} for action in template.obligations]
    _check_whole(offer)
    return offer


def _check_whole(offer: Mapping[str, object]) -> None:
    """Refuse what is wrong with no value alone, such as noise whose default was emptied."""
    try:
        require_enforceable(parse_policy(offer))
    except PolicyRefusedError as refusal:
        raise TemplateError(refusal.reason) from refusal


def _rule(action: str, constraints: list[dict[str, object]]) -> dict[str, object]:
    rule: dict[str, object] = {"action": action.removeprefix(ODRL)}
    return {**rule, "constraint": constraints} if constraints else rule


def _check_names(template: Template, settings: Mapping[str, str]) -> None:
    known = [key.name for key in template.keys]
    for name in settings:
        if name not in known:
            raise TemplateError(
                sentence(
                    "Die Vorlage {template} kennt {name} nicht; möglich: {known}.",
                    "The template {template} has no key {name}; possible: {known}.",
                    template=template.name,
                    name=name,
                    known=", ".join(known),
                )
            )
    for key in template.keys:
        if key.required and not settings.get(key.name, "").strip():
            raise TemplateError(
                sentence(
                    "Die Vorlage {template} verlangt {name}: {meaning}.",
                    "The template {template} requires {name}: {meaning}.",
                    template=template.name,
                    name=key.name,
                    meaning=key.meaning,
                )
            )


def _comparisons(key: TemplateKey, settings: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """Write what a key stands for; nothing where it is neither set nor has a default."""
    given = settings.get(key.name, key.default)
    if given is None or not given.strip():
        return
    values = _values(key, given)
    for left_operand in filter(None, (key.left_operand, key.also)):
        written = _written(left_operand, key.operator, *values)
        _check(key, written)
        yield written


def _values(key: TemplateKey, given: str) -> tuple[str, ...]:
    listed = key.operator in _LISTS
    parts = [part.strip() for part in given.split(",")] if listed else [given.strip()]
    read = _READ.get(key.left_operand, str)
    values = tuple(dict.fromkeys(read(part) for part in parts if part))
    if not values:
        raise TemplateError(
            sentence("{name}: Die Liste ist leer.", "{name}: The list is empty.", name=key.name)
        )
    return values


def _written(left_operand: str, operator: Operator, *values: str) -> dict[str, object]:
    return {
        "leftOperand": left_operand.removeprefix(ODRL),
        "operator": operator.value,
        "rightOperand": list(values) if operator in _LISTS else values[0],
    }


def _check(key: TemplateKey, written: dict[str, object]) -> None:
    """Refuse a value that the whole policy would be refused for."""
    action = LEFT_OPERANDS[key.left_operand].actions[0]
    company = _BESIDE_NOISE if key.left_operand in NOISE else ()
    beside = [_written(*part) for part in company if part[0] != key.left_operand]
    probe = {"@id": "urn:probe", "permission": [_rule(action, [written, *beside])]}
    try:
        require_enforceable(parse_policy(probe))
    except PolicyRefusedError as refusal:
        raise TemplateError(
            sentence("{name}: {reason}", "{name}: {reason}", name=key.name, reason=refusal.reason)
        ) from refusal


_BESIDE_NOISE: Final = (
    (EPSILON_PER_QUERY, Operator.LTEQ, "1"),
    (EPSILON_TOTAL, Operator.LTEQ, "1"),
    (GROUP_UNIT, Operator.EQ, "unit"),
)
"""What a limit on noise cannot be without."""

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _moment(text: str) -> str:
    """Read a day as its last second in UTC."""
    return f"{text}T23:59:59Z" if _DAY.fullmatch(text) else text


def _purpose_iri(text: str) -> str:
    """Read the plain name of a known purpose."""
    for namespace in (POLICY, DPV):
        name = namespace + text.removeprefix("dpv:")
        if name in PURPOSES:
            return name
    return text


_READ: Final = {DATE_TIME: _moment, PURPOSE: _purpose_iri}
