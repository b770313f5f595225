"""Policies in plain words: a sentence per constraint, in German and English."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from policies import purposes
from policies.actions import ACTIONS, COMPUTE, QUERY
from policies.left_operands import (
    ALGORITHM_DIGEST,
    ALLOWED_COLUMN,
    ASSIGNEE,
    COUNT,
    DATE_TIME,
    GROUP_UNIT,
    LEFT_OPERANDS,
    MAX_RESULT_ROWS,
    MIN_GROUP_ROWS,
    MIN_GROUP_SIZE,
    OUTPUT_KIND,
    OUTPUT_REVIEW,
    PURPOSE,
    QUERY_CLASS,
)
from policies.model import AnyConstraint, Connective, Constraint, LanguageMap, Operator
from policies.values import ValueType, read_value
from schemas.vocabulary import ODRL

LANGUAGES: Final = ("de", "en")

_QUOTES: Final[Mapping[str, tuple[str, str]]] = {"de": ("„", "“"), "en": ("“", "”")}


def sentence(de: str, en: str, **values: LanguageMap | str) -> LanguageMap:
    """Fill values into a sentence in both languages.

    Args:
        de: The German sentence, with `{name}` for each value.
        en: The English sentence, likewise.
        **values: The values; one that differs per language as a map.
    """
    return {
        language: template.format(**{name: _in(value, language) for name, value in values.items()})
        for language, template in (("de", de), ("en", en))
    }


def _in(value: LanguageMap | str, language: str) -> str:
    return value if isinstance(value, str) else value[language]


def together(parts: tuple[LanguageMap, ...], separator: str = " ") -> LanguageMap:
    """Write several sentences one after the other."""
    return {language: separator.join(part[language] for part in parts) for language in LANGUAGES}


def enumerated(parts: tuple[LanguageMap, ...]) -> LanguageMap:
    """List several phrases: with commas, and a word before the last one."""
    if len(parts) <= 1:
        return together(parts)
    return together((together(parts[:-1], ", "), {"de": "und", "en": "and"}, parts[-1]))


def quoted(text: LanguageMap | str) -> LanguageMap:
    """Put a name into the quotation marks of each language."""
    return {
        language: _QUOTES[language][0] + _in(text, language) + _QUOTES[language][1] for language in LANGUAGES
    }


def purpose_name(purpose: str) -> LanguageMap:
    """Name a purpose in quotation marks."""
    return quoted(purposes.label(purpose))


def action_name(action: str) -> LanguageMap:
    """Name an action; by its IRI where it has no name."""
    known = ACTIONS.get(action)
    return known.label if known else {"de": action, "en": action}


_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def moment_name(moment: datetime) -> LanguageMap:
    """Name a point in time in UTC: to the minute, and as much more exactly as it says."""
    utc = moment.astimezone(UTC)
    exactness = "microseconds" if utc.microsecond else "seconds" if utc.second else "minutes"
    clock = utc.time().isoformat(exactness)
    return {
        "de": f"{utc.day:02}.{utc.month:02}.{utc.year}, {clock} Uhr (UTC)",
        "en": f"{utc.day} {_MONTHS[utc.month - 1]} {utc.year}, {clock} (UTC)",
    }


def _moment(text: str) -> LanguageMap:
    moment = read_value(ValueType.DATE_TIME, text)
    return moment_name(moment) if isinstance(moment, datetime) else _plain(text)


_OUTPUT_KINDS: Final[Mapping[str, LanguageMap]] = {
    "metrics": {"de": "Kennzahlen", "en": "metrics"},
    "model": {"de": "Modell", "en": "model"},
}


def output_kind_name(kind: str) -> LanguageMap:
    """Name a kind of output; by its code where it has no name."""
    return _OUTPUT_KINDS.get(kind, _plain(kind))


def values_of(constraint: Constraint) -> LanguageMap:
    """List the right operands of a constraint for people."""
    name: Callable[[str], LanguageMap] = {
        PURPOSE: purpose_name,
        DATE_TIME: _moment,
        GROUP_UNIT: quoted,
        ALLOWED_COLUMN: quoted,
        OUTPUT_KIND: output_kind_name,
    }.get(constraint.left_operand, _plain)
    return together(tuple(name(value) for value in constraint.right_operand), ", ")


def _plain(text: str) -> LanguageMap:
    return dict.fromkeys(LANGUAGES, text)


_EQ, _ANY, _NONE = Operator.EQ, Operator.IS_ANY_OF, Operator.IS_NONE_OF

_PERMISSION_SENTENCES: Final[Mapping[tuple[str, Operator], tuple[str, str]]] = {
    (PURPOSE, _EQ): ("Nur für den Zweck {values}.", "Only for the purpose {values}."),
    (PURPOSE, Operator.IS_A): (
        "Nur für den Zweck {values} und was darunter fällt.",
        "Only for the purpose {values} and what falls under it.",
    ),
    (PURPOSE, _ANY): (
        "Nur für einen dieser Zwecke und was darunter fällt: {values}.",
        "Only for one of these purposes and what falls under it: {values}.",
    ),
    (PURPOSE, _NONE): (
        "Für keinen dieser Zwecke und nichts, was darunter fällt: {values}.",
        "For none of these purposes and nothing that falls under them: {values}.",
    ),
    (DATE_TIME, Operator.GTEQ): ("Ab {values}.", "From {values}."),
    (DATE_TIME, Operator.GT): ("Nach {values}.", "After {values}."),
    (DATE_TIME, Operator.LTEQ): ("Bis {values}.", "Until {values}."),
    (DATE_TIME, Operator.LT): ("Vor {values}.", "Before {values}."),
    (COUNT, Operator.LTEQ): ("Höchstens {values} Nutzungen.", "At most {values} uses."),
    (COUNT, Operator.LT): ("Weniger als {values} Nutzungen.", "Fewer than {values} uses."),
    (ASSIGNEE, _EQ): ("Nur für {values}.", "Only for {values}."),
    (ASSIGNEE, _ANY): (
        "Nur für einen dieser Partner: {values}.",
        "Only for one of these partners: {values}.",
    ),
    (ASSIGNEE, _NONE): (
        "Für keinen dieser Partner: {values}.",
        "For none of these partners: {values}.",
    ),
    (ALGORITHM_DIGEST, _EQ): (
        "Nur das Programm mit der Prüfsumme {values} (SHA-256).",
        "Only the program with the digest {values} (SHA-256).",
    ),
    (ALGORITHM_DIGEST, _ANY): (
        "Nur Programme mit einer dieser Prüfsummen (SHA-256): {values}.",
        "Only programs with one of these digests (SHA-256): {values}.",
    ),
    (QUERY_CLASS, _EQ): (
        "Eine Abfrage liefert nur zusammengefasste Werte, keine einzelnen Zeilen.",
        "A query returns aggregated values only, no single rows.",
    ),
    (GROUP_UNIT, _EQ): (
        "Die Größe einer Gruppe ist die Zahl der verschiedenen Werte der Spalte {values}.",
        "The size of a group is the number of distinct values of the column {values}.",
    ),
    (MIN_GROUP_SIZE, Operator.GTEQ): (
        "Herausgegeben werden nur Gruppen der Größe {values} oder mehr.",
        "Only groups of size {values} or more are released.",
    ),
    (MIN_GROUP_ROWS, Operator.GTEQ): (
        "Herausgegeben werden nur Gruppen aus mindestens {values} Zeilen.",
        "Only groups of at least {values} rows are released.",
    ),
    (MAX_RESULT_ROWS, Operator.LTEQ): (
        "Ein Ergebnis hat höchstens {values} Zeilen.",
        "A result has at most {values} rows.",
    ),
    (ALLOWED_COLUMN, _EQ): ("Nur die Spalte {values}.", "Only the column {values}."),
    (ALLOWED_COLUMN, _ANY): ("Nur diese Spalten: {values}.", "Only these columns: {values}."),
    (OUTPUT_KIND, _EQ): ("Nur Ausgaben der Art {values}.", "Only outputs of the kind {values}."),
    (OUTPUT_KIND, _ANY): (
        "Nur Ausgaben dieser Arten: {values}.",
        "Only outputs of these kinds: {values}.",
    ),
}

_REVIEW_SENTENCES: Final[Mapping[str, tuple[str, str]]] = {
    "auto": (
        "Ausgaben, die alle Prüfungen bestehen, werden ohne weitere Freigabe herausgegeben.",
        "Outputs that pass every check are released without further approval.",
    ),
    "manual": (
        "Jede Ausgabe gibt ein Mensch frei.",
        "A person releases every output.",
    ),
}

_OPERATOR_WORDS: Final[Mapping[Operator, tuple[str, str]]] = {
    Operator.EQ: ("ist gleich", "equals"),
    Operator.NEQ: ("ist nicht", "is not"),
    Operator.LT: ("kleiner als", "less than"),
    Operator.LTEQ: ("höchstens", "at most"),
    Operator.GT: ("größer als", "greater than"),
    Operator.GTEQ: ("mindestens", "at least"),
    Operator.IS_A: ("ist eine Art von", "is a kind of"),
    Operator.HAS_PART: ("enthält", "contains"),
    Operator.IS_PART_OF: ("ist Teil von", "is part of"),
    Operator.IS_ANY_OF: ("ist eines von", "is any of"),
    Operator.IS_ALL_OF: ("ist jedes von", "is all of"),
    Operator.IS_NONE_OF: ("ist keines von", "is none of"),
}

_CONNECTIVE_WORDS: Final[Mapping[Connective, tuple[str, str]]] = {
    Connective.AND: ("Alles davon", "All of"),
    Connective.OR: ("Mindestens eines davon", "At least one of"),
    Connective.XONE: ("Genau eines davon", "Exactly one of"),
    Connective.AND_SEQUENCE: ("Alles davon der Reihe nach", "All of, in order"),
}


def label(left_operand: str) -> LanguageMap:
    """Name a left operand; by its IRI where it has no name."""
    known = LEFT_OPERANDS.get(left_operand)
    return known.label if known else _plain(left_operand)


def condition(constraint: AnyConstraint) -> LanguageMap:
    """Say what a constraint compares, without saying what follows from it."""
    if isinstance(constraint, Constraint):
        de, en = _OPERATOR_WORDS[constraint.operator]
        return sentence(
            f"{{label}} {de} {{values}}",
            f"{{label}} {en} {{values}}",
            label=label(constraint.left_operand),
            values=values_of(constraint),
        )
    de, en = _CONNECTIVE_WORDS[constraint.connective]
    inner = together(tuple(condition(operand) for operand in constraint.operands), "; ")
    return sentence(f"{de}: ({{inner}})", f"{en}: ({{inner}})", inner=inner)


def as_limit(constraint: AnyConstraint) -> LanguageMap:
    """Say what a constraint of a permission allows, as a whole sentence."""
    if isinstance(constraint, Constraint):
        template = _limit_template(constraint)
        if template is not None:
            return sentence(*template, values=values_of(constraint))
    return sentence("{condition}.", "{condition}.", condition=condition(constraint))


def _limit_template(constraint: Constraint) -> tuple[str, str] | None:
    if constraint.left_operand == OUTPUT_REVIEW and constraint.operator is Operator.EQ:
        return _REVIEW_SENTENCES.get(constraint.right_operand[0])
    if constraint.left_operand == COUNT and constraint.right_operand == ("1",):
        return _ONE_USE.get(constraint.operator)
    return _PERMISSION_SENTENCES.get((constraint.left_operand, _plainest(constraint)))


_ONE_USE: Final[Mapping[Operator, tuple[str, str]]] = {
    Operator.LTEQ: ("Höchstens eine Nutzung.", "At most one use."),
    Operator.LT: ("Keine Nutzung.", "No use."),
}


def _plainest(constraint: Constraint) -> Operator:
    """A list of one is no list: the operator that says the same of a single value."""
    if constraint.operator is not _ANY or len(constraint.right_operand) != 1:
        return constraint.operator
    return Operator.IS_A if constraint.left_operand == PURPOSE else _EQ


_PERMITTED: Final[Mapping[str, tuple[str, str]]] = {
    QUERY: ("Abfragen sind erlaubt.", "Queries are permitted."),
    COMPUTE: ("Berechnungen sind erlaubt.", "Computations are permitted."),
}

_PROHIBITED: Final[Mapping[str, tuple[str, str]]] = {
    QUERY: ("Abfragen sind verboten.", "Queries are prohibited."),
    COMPUTE: ("Berechnungen sind verboten.", "Computations are prohibited."),
    ODRL + "reproduce": ("Rohdaten dürfen nicht kopiert werden.", "Raw data must not be copied."),
    ODRL + "distribute": (
        "Die Daten dürfen nicht an Dritte weitergegeben werden.",
        "The data must not be passed on to third parties.",
    ),
    ODRL + "sell": ("Die Daten dürfen nicht verkauft werden.", "The data must not be sold."),
}


def as_permission(action: str) -> LanguageMap:
    """Say that an action is permitted, as a whole sentence."""
    return sentence(*_PERMITTED.get(action, _PERMITTED_BY_NAME), action=action_name(action))


def as_prohibition(action: str) -> LanguageMap:
    """Say that an action is prohibited, as a whole sentence."""
    return sentence(*_PROHIBITED.get(action, _PROHIBITED_BY_NAME), action=action_name(action))


_PERMITTED_BY_NAME: Final = ("Erlaubt: {action}.", "Permitted: {action}.")
_PROHIBITED_BY_NAME: Final = ("Verboten: {action}.", "Prohibited: {action}.")


def as_trigger(constraint: AnyConstraint) -> LanguageMap:
    """Say when a prohibition or an obligation holds, as a whole sentence."""
    return sentence("Gilt, wenn: {condition}.", "Holds if: {condition}.", condition=condition(constraint))


def not_satisfied(constraint: Constraint, found: str | None) -> LanguageMap:
    """Say that a constraint of a permission does not hold, and what was found.

    Args:
        constraint: The constraint.
        found: What was measured, for people; None where nothing is known.
    """
    if constraint.left_operand == PURPOSE:
        return _purpose_refused(constraint, found)
    if constraint.left_operand == COUNT and found is not None:
        return sentence(
            "Die vereinbarten Nutzungen sind verbraucht: {limit}",
            "The agreed uses are used up: {limit}",
            limit=as_limit(constraint),
        )
    if found is None:
        return sentence(
            "{label}: nichts bekannt; verlangt ist: {limit}",
            "{label}: nothing known; required is: {limit}",
            label=label(constraint.left_operand),
            limit=as_limit(constraint),
        )
    return sentence(
        "{label} {found} ist nicht erlaubt; verlangt ist: {limit}",
        "{label} {found} is not permitted; required is: {limit}",
        label=label(constraint.left_operand),
        found=_moment(found) if constraint.left_operand == DATE_TIME else found,
        limit=as_limit(constraint),
    )


def _purpose_refused(constraint: Constraint, found: str | None) -> LanguageMap:
    excluded = constraint.operator in {Operator.IS_NONE_OF, Operator.NEQ}
    permitted = sentence(
        "ausgeschlossen ist {values}" if excluded else "erlaubt ist {values}",
        "{values} is excluded" if excluded else "permitted is {values}",
        values=values_of(constraint),
    )
    if found is None:
        return sentence(
            "Es ist kein Zweck angegeben; {permitted}.",
            "No purpose is declared; {permitted}.",
            permitted=permitted,
        )
    return sentence(
        "Der Zweck {found} ist nicht erlaubt; {permitted}.",
        "The purpose {found} is not permitted; {permitted}.",
        found=purpose_name(found),
        permitted=permitted,
    )
