"""Policies in plain words: a sentence per constraint, in German and English."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from policies import purposes
from policies.actions import ACTIONS, COMPUTE, QUERY
from policies.catena_x import USAGE_END_DATE
from policies.left_operands import (
    ALLOWED_COLUMN,
    COLUMN_MASK,
    CONSENT,
    COUNT,
    DATE_TIME,
    DELAY_PERIOD,
    DENIED_COLUMN,
    ELAPSED_TIME,
    GROUP_UNIT,
    LEFT_OPERANDS,
    MASK_FORM,
    MAX_CELL_DOMINANCE,
    METERED_TIME,
    OUTPUT_KIND,
    OUTPUT_REVIEW,
    PURPOSE,
    ROW_FILTER,
    TIME_INTERVAL,
)
from policies.model import AnyConstraint, Connective, Constraint, LanguageMap, Operator
from policies.sentences import PERMISSION_SENTENCES
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


_UNITS_OF_TIME: Final[tuple[tuple[int, LanguageMap, LanguageMap], ...]] = (
    (86_400, {"de": "Tag", "en": "day"}, {"de": "Tage", "en": "days"}),
    (3_600, {"de": "Stunde", "en": "hour"}, {"de": "Stunden", "en": "hours"}),
    (60, {"de": "Minute", "en": "minute"}, {"de": "Minuten", "en": "minutes"}),
    (1, {"de": "Sekunde", "en": "second"}, {"de": "Sekunden", "en": "seconds"}),
)


def duration_name(duration: timedelta) -> LanguageMap:
    """Name a length of time, such as “30 days and 12 hours”, to the second."""
    rest = duration.days * 86_400 + duration.seconds
    parts = []
    for size, one, several in _UNITS_OF_TIME:
        number, rest = divmod(rest, size)
        if number:
            unit = one if number == 1 else several
            parts.append(sentence("{number} {unit}", "{number} {unit}", number=str(number), unit=unit))
    return enumerated(tuple(parts)) if parts else {"de": "0 Sekunden", "en": "0 seconds"}


def _duration(text: str) -> LanguageMap:
    duration = read_value(ValueType.DURATION, text)
    return duration_name(duration) if isinstance(duration, timedelta) else _plain(text)


def _dominance(text: str) -> LanguageMap:
    largest, comma, share = text.partition(",")
    if not comma:
        return _plain(text)
    return sentence(
        "die {largest} größten Beiträge zusammen höchstens {share} Prozent",
        "the {largest} largest contributions together at most {share} percent",
        largest=largest,
        share=share,
    )


_STEPS: Final[Mapping[str, LanguageMap]] = {
    "minute": {"de": "die Minute", "en": "the minute"},
    "hour": {"de": "die Stunde", "en": "the hour"},
    "day": {"de": "den Tag", "en": "the day"},
    "week": {"de": "die Woche", "en": "the week"},
    "month": {"de": "den Monat", "en": "the month"},
    "quarter": {"de": "das Quartal", "en": "the quarter"},
    "year": {"de": "das Jahr", "en": "the year"},
}
_MASKS: Final[Mapping[str, tuple[str, str]]] = {
    "hash": (
        "{column} durch eine Prüfsumme mit geheimem Schlüssel ersetzt",
        "{column} replaced by a checksum with a secret key",
    ),
    "null": ("{column} geleert", "{column} emptied"),
    "truncate": (
        "{column} auf die ersten {length} Zeichen gekürzt",
        "{column} cut to the first {length} characters",
    ),
    "generalise": ("{column} vergröbert auf {step}", "{column} coarsened to {step}"),
}


def _mask(text: str) -> LanguageMap:
    found = MASK_FORM.pattern.fullmatch(text)
    if found is None:
        return _plain(text)
    step = found["step"] or ""
    steps = sentence("Vielfache von {step}", "multiples of {step}", step=step)
    return sentence(
        *_MASKS[found["method"]],
        column=quoted(found["column"]),
        length=found["length"] or "",
        step=_STEPS.get(step, steps),
    )


_FORMS: Final[Mapping[ValueType, LanguageMap]] = {
    ValueType.DATE_TIME: {
        "de": "ein Zeitpunkt mit Zeitzone wie 2027-12-31T23:59:59Z",
        "en": "date and time with a zone, such as 2027-12-31T23:59:59Z",
    },
    ValueType.COUNT: {"de": "eine ganze Zahl ab 0", "en": "non-negative integer"},
    ValueType.POSITIVE: {"de": "eine ganze Zahl ab 1", "en": "positive integer"},
    ValueType.DECIMAL: {"de": "eine Zahl wie 0.5", "en": "decimal"},
    ValueType.DURATION: {
        "de": "eine Dauer in Tagen, Stunden, Minuten und Sekunden wie P30D oder PT12H",
        "en": "duration of days, hours, minutes and seconds, such as P30D or PT12H",
    },
    ValueType.IRI: {"de": "eine vollständige IRI", "en": "absolute IRI"},
    ValueType.DIGEST: {
        "de": "SHA-256 in 64 hexadezimalen Ziffern, klein geschrieben",
        "en": "SHA-256 in 64 lower-case hexadecimal digits",
    },
    ValueType.NAME: {
        "de": "ein Name aus kleinen Buchstaben, Ziffern und Unterstrichen",
        "en": "column name in lower-case letters, digits and underscores",
    },
    ValueType.TEXT: {"de": "ein Text", "en": "text"},
}


def value_form(value_type: ValueType) -> LanguageMap:
    """Say what a value of a type looks like."""
    return _FORMS[value_type]


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
        USAGE_END_DATE: _moment,
        ELAPSED_TIME: _duration,
        DELAY_PERIOD: _duration,
        TIME_INTERVAL: _duration,
        METERED_TIME: _duration,
        GROUP_UNIT: quoted,
        ALLOWED_COLUMN: quoted,
        DENIED_COLUMN: quoted,
        ROW_FILTER: quoted,
        CONSENT: quoted,
        COLUMN_MASK: _mask,
        MAX_CELL_DOMINANCE: _dominance,
        OUTPUT_KIND: output_kind_name,
    }.get(constraint.left_operand, _plain)
    return together(tuple(name(value) for value in constraint.right_operand), ", ")


def _plain(text: str) -> LanguageMap:
    return dict.fromkeys(LANGUAGES, text)


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


class GroupHead(StrEnum):
    """What the head of a group of conditions says."""

    LIMIT = "limit"
    """What a permission asks for."""
    TRIGGER = "trigger"
    """When a prohibition or a duty holds."""
    NESTED = "nested"
    """What counts as one condition of the group around it."""


_GROUP_HEADS: Final[Mapping[GroupHead, Mapping[Connective, tuple[str, str]]]] = {
    GroupHead.LIMIT: {
        Connective.AND: ("Alle {number} Bedingungen müssen gelten", "All {number} conditions must hold"),
        Connective.OR: (
            "Mindestens eine von {number} Bedingungen muss gelten",
            "At least one of {number} conditions must hold",
        ),
        Connective.XONE: (
            "Genau eine von {number} Bedingungen muss gelten",
            "Exactly one of {number} conditions must hold",
        ),
        Connective.AND_SEQUENCE: (
            "Alle {number} Bedingungen müssen gelten, in dieser Reihenfolge",
            "All {number} conditions must hold, in this order",
        ),
    },
    GroupHead.TRIGGER: {
        Connective.AND: (
            "Gilt, wenn alle {number} Bedingungen zutreffen",
            "Holds if all {number} conditions are true",
        ),
        Connective.OR: (
            "Gilt, wenn mindestens eine von {number} Bedingungen zutrifft",
            "Holds if at least one of {number} conditions is true",
        ),
        Connective.XONE: (
            "Gilt, wenn genau eine von {number} Bedingungen zutrifft",
            "Holds if exactly one of {number} conditions is true",
        ),
        Connective.AND_SEQUENCE: (
            "Gilt, wenn alle {number} Bedingungen zutreffen, in dieser Reihenfolge",
            "Holds if all {number} conditions are true, in this order",
        ),
    },
    GroupHead.NESTED: {
        Connective.AND: ("Alle {number} Bedingungen", "All {number} conditions"),
        Connective.OR: ("Mindestens eine von {number} Bedingungen", "At least one of {number} conditions"),
        Connective.XONE: ("Genau eine von {number} Bedingungen", "Exactly one of {number} conditions"),
        Connective.AND_SEQUENCE: (
            "Alle {number} Bedingungen, in dieser Reihenfolge",
            "All {number} conditions, in this order",
        ),
    },
}


def group_head(connective: Connective, head: GroupHead, number: int) -> LanguageMap:
    """Say how many conditions of a group have to hold, without a full stop."""
    return sentence(*_GROUP_HEADS[head][connective], number=str(number))


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
    return PERMISSION_SENTENCES.get((constraint.left_operand, _plainest(constraint)))


_ONE_USE: Final[Mapping[Operator, tuple[str, str]]] = {
    Operator.LTEQ: ("Höchstens eine Nutzung.", "At most one use."),
    Operator.LT: ("Keine Nutzung.", "No use."),
}


def _plainest(constraint: Constraint) -> Operator:
    """A list of one is no list: the operator that says the same of a single value."""
    if constraint.operator is not Operator.IS_ANY_OF or len(constraint.right_operand) != 1:
        return constraint.operator
    return Operator.IS_A if constraint.left_operand == PURPOSE else Operator.EQ


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


def as_condition(constraint: Constraint) -> LanguageMap:
    """Say what a constraint compares as a sentence of its own, below the head of a group."""
    return sentence("{condition}.", "{condition}.", condition=condition(constraint))


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
    if _is_duration(constraint) and found is not None:
        return sentence(
            "Das ist nicht erfüllt: {limit}", "This does not hold: {limit}", limit=as_limit(constraint)
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


def _is_duration(constraint: Constraint) -> bool:
    known = LEFT_OPERANDS.get(constraint.left_operand)
    measures = {ValueType.DURATION, ValueType.COUNT}
    return known is not None and known.value_type in measures and constraint.left_operand != COUNT


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
