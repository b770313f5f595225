"""The left operands that a policy may name: what their values look like, and who checks them where.

This is the measuring half of the enforcement map; `policies.terms` adds the
actions and classifies whole policies.

Source:
    ODRL Vocabulary 2.2, section 4.5 (https://www.w3.org/TR/odrl-vocab/#constraintLeftOperands);
    docs/policy-profile.md for our own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from policies.actions import COMPUTE, QUERY, SERVED
from policies.catena_x import (
    CATENA_X,
    CATENA_X_MEMBERSHIP,
    CLAUSES,
    IDENTITIES,
    USAGE_END_DATE,
    USAGE_END_DAYS,
)
from policies.model import LanguageMap, Operator
from policies.places import PLACE
from policies.values import ValueType
from schemas.vocabulary import ODRL, POLICY


class Where(StrEnum):
    """The station of an exchange at which a term takes effect."""

    CATALOG = "catalog"
    NEGOTIATION = "negotiation"
    START = "start"
    ACCESS = "access"
    RELEASE = "release"
    AFTER = "after"


PURPOSE: Final = ODRL + "purpose"
DATE_TIME: Final = ODRL + "dateTime"
COUNT: Final = ODRL + "count"
RECIPIENT: Final = ODRL + "recipient"
ELAPSED_TIME: Final = ODRL + "elapsedTime"
DELAY_PERIOD: Final = ODRL + "delayPeriod"
TIME_INTERVAL: Final = ODRL + "timeInterval"
METERED_TIME: Final = ODRL + "meteredTime"
SPATIAL: Final = ODRL + "spatial"
EVENT: Final = ODRL + "event"
ASSIGNEE: Final = POLICY + "assignee"
ORGANISATION: Final = POLICY + "organisation"
MEMBERSHIP: Final = POLICY + "membership"
ROLE: Final = POLICY + "role"
SECURITY_LEVEL: Final = POLICY + "securityLevel"
SEAT: Final = POLICY + "seat"
QUERY_CLASS: Final = POLICY + "queryClass"
GROUP_UNIT: Final = POLICY + "groupUnit"
MIN_GROUP_SIZE: Final = POLICY + "minGroupSize"
MIN_GROUP_ROWS: Final = POLICY + "minGroupRows"
MAX_RESULT_ROWS: Final = POLICY + "maxResultRows"
ALGORITHM_DIGEST: Final = POLICY + "algorithmDigest"
ALLOWED_COLUMN: Final = POLICY + "allowedColumn"
OUTPUT_KIND: Final = POLICY + "outputKind"
OUTPUT_REVIEW: Final = POLICY + "outputReview"
DENIED_COLUMN: Final = POLICY + "deniedColumn"
COLUMN_MASK: Final = POLICY + "columnMask"
ROW_FILTER: Final = POLICY + "rowFilter"
CONSENT: Final = POLICY + "consent"
MAX_CELL_DOMINANCE: Final = POLICY + "maxCellDominance"
P_PERCENT: Final = POLICY + "pPercent"
ROUNDING_BASE: Final = POLICY + "roundingBase"
EPSILON_PER_QUERY: Final = POLICY + "epsilonPerQuery"
EPSILON_TOTAL: Final = POLICY + "epsilonTotal"
DELTA_TOTAL: Final = POLICY + "deltaTotal"
CONTRIBUTION_BOUND: Final = POLICY + "contributionBound"
FEDERATED_MIN_PARTICIPANTS: Final = POLICY + "federatedMinParticipants"

NOISE: Final = (EPSILON_PER_QUERY, EPSILON_TOTAL, DELTA_TOTAL, CONTRIBUTION_BOUND)
"""What asks for differential privacy; kept only where noise can be drawn."""

_COLUMN = r"[a-z_][a-z0-9_]{0,62}"
_NUMBER = r"(?=[0-9.]*[1-9])[0-9]{1,9}(\.[0-9]{1,9})?"
_SHARE = r"(100|[1-9][0-9]?)"


@dataclass(frozen=True, slots=True)
class Form:
    """What a value looks like beyond its type.

    Attributes:
        pattern: What the whole value has to match.
        hint: The same for people.
    """

    pattern: re.Pattern[str]
    hint: LanguageMap


MASK_FORM: Final = Form(
    re.compile(
        rf"(?P<column>{_COLUMN})="
        r"(?P<method>hash|null|truncate|generalise)"
        r"(?:(?<=truncate):(?P<length>[1-9][0-9]?)"
        rf"|(?<=generalise):(?P<step>minute|hour|day|week|month|quarter|year|{_NUMBER}))?"
        r"(?<!=truncate)(?<!=generalise)"
    ),
    {
        "de": "Spalte=hash, Spalte=null, Spalte=truncate:4 oder Spalte=generalise:month (oder :100)",
        "en": "column=hash, column=null, column=truncate:4 or column=generalise:month (or :100)",
    },
)
"""How a column is masked.

`hash`: a keyed hash, with a key per agreement; `null`: empty; `truncate:4`: the
first four characters; `generalise:month`: the beginning of the month (a time),
`generalise:100`: rounded down to a multiple of 100 (a number).
"""

DOMINANCE_FORM: Final = Form(
    re.compile(rf"(?P<n>[1-9]),(?P<k>{_SHARE})"),
    {
        "de": "n,k, etwa 2,90: die zwei größten haben höchstens 90 Prozent der Summe",
        "en": "n,k, such as 2,90: the two largest have at most 90 percent of the sum",
    },
)
"""The (n,k) rule: the n largest contributions of a group are at most k percent of its sum."""

P_PERCENT_FORM: Final = Form(
    re.compile(_SHARE), {"de": "ganze Prozent von 1 bis 100", "en": "whole percent from 1 to 100"}
)
"""The p% rule: all but the two largest contributions of a group are at least p percent of the largest."""

PLACE_CODE: Final = Form(
    PLACE,
    {
        "de": "ein Land nach ISO 3166 oder eine NUTS-Region, etwa DE oder DE11",
        "en": "an ISO 3166 country or a NUTS region, such as DE or DE11",
    },
)
POSITIVE_NUMBER: Final = Form(
    re.compile(_NUMBER),
    {"de": "eine Zahl über null, etwa 0.5", "en": "a number above zero, such as 0.5"},
)
PROBABILITY: Final = Form(
    re.compile(r"(?=[0-9.]*[1-9])0\.[0-9]{1,15}"),
    {"de": "eine Zahl zwischen 0 und 1, etwa 0.000001", "en": "a number between 0 and 1, such as 0.000001"},
)


@dataclass(frozen=True, slots=True)
class LeftOperand:
    """What is known about one left operand.

    Attributes:
        label: What it is called, in German and English.
        value_type: What its right operands have to look like.
        stations: Where a comparison is enforced, per operator; an operator
            that is missing here cannot be enforced, and nothing can where
            this is empty.
        actions: Absolute IRIs of the actions on which it is enforced.
        restricts: True where it does not decide but limits what is computed
            or released (`policies.restrictions`); always part of a permission.
        counted: True where every use has to be counted against it.
        choices: The only values it may have; empty where any value may be.
        form: What its values look like beyond their type.
        declared: True where it is a promise of the partner: shown, never
            decided here, whatever stations it names.
        reason: Why nothing here can enforce it, where `stations` is empty.
        remark: What its enforcement does not reach, where a reader could think it does.
    """

    label: LanguageMap
    value_type: ValueType = ValueType.TEXT
    stations: Mapping[Operator, tuple[Where, ...]] = field(default_factory=dict)
    actions: tuple[str, ...] = SERVED
    restricts: bool = False
    counted: bool = False
    choices: frozenset[str] = frozenset()
    form: Form | None = None
    remark: LanguageMap | None = None
    declared: bool = False
    reason: LanguageMap | None = None


def _at(stations: tuple[Where, ...], *operators: Operator) -> Mapping[Operator, tuple[Where, ...]]:
    return dict.fromkeys(operators, stations)


_WHILE_USED: Final = (Where.START, Where.ACCESS, Where.RELEASE)
_MEMBER: Final = (Operator.EQ, Operator.IS_ANY_OF)
_EACH: Final = (Operator.EQ, Operator.IS_ALL_OF)

_MEASURED: Final[Mapping[str, LeftOperand]] = {
    PURPOSE: LeftOperand(
        {"de": "Zweck", "en": "purpose"},
        ValueType.IRI,
        _at(
            (Where.NEGOTIATION, Where.ACCESS, Where.RELEASE),
            Operator.EQ,
            Operator.IS_A,
            Operator.IS_ANY_OF,
            Operator.IS_NONE_OF,
        ),
        remark={
            "de": "Geprüft wird der Zweck, den der Partner angibt; dass er stimmt, ist seine Zusage.",
            "en": "What is checked is the purpose that the partner declares; that it is true is a promise.",
        },
    ),
    DATE_TIME: LeftOperand(
        {"de": "Zeitpunkt", "en": "time"},
        ValueType.DATE_TIME,
        {
            # An agreement may be made before its time begins, but not after it has ended.
            **_at((Where.NEGOTIATION, *_WHILE_USED), Operator.LT, Operator.LTEQ),
            **_at(_WHILE_USED, Operator.GT, Operator.GTEQ),
        },
    ),
    ELAPSED_TIME: LeftOperand(
        {"de": "Zeit seit Vertragsschluss", "en": "time since the agreement was made"},
        ValueType.DURATION,
        _at(_WHILE_USED, Operator.LT, Operator.LTEQ),
    ),
    DELAY_PERIOD: LeftOperand(
        {"de": "Wartezeit seit Vertragsschluss", "en": "delay since the agreement was made"},
        ValueType.DURATION,
        _at(_WHILE_USED, Operator.GT, Operator.GTEQ),
    ),
    COUNT: LeftOperand(
        {"de": "Zahl der Nutzungen", "en": "number of uses"},
        ValueType.COUNT,
        _at((Where.ACCESS,), Operator.LT, Operator.LTEQ),
        counted=True,
    ),
    TIME_INTERVAL: LeftOperand(
        {"de": "Zeitabstand zur letzten Nutzung", "en": "time since the last use"},
        ValueType.DURATION,
        _at((Where.ACCESS,), Operator.GT, Operator.GTEQ),
        counted=True,
    ),
    METERED_TIME: LeftOperand(
        {"de": "Gemessene Rechenzeit", "en": "metered computing time"},
        ValueType.DURATION,
        _at((Where.ACCESS,), Operator.LTEQ),
        actions=(COMPUTE,),
        counted=True,
        remark={
            "de": "Gemessen wird, wie lange Berechnungen laufen; eine läuft nie länger, als noch übrig ist.",
            "en": "What is metered is how long computations run; none runs for longer than what is left.",
        },
    ),
    ASSIGNEE: LeftOperand(
        {"de": "Partner", "en": "partner"},
        ValueType.IRI,
        _at(
            (Where.NEGOTIATION, *_WHILE_USED),
            Operator.EQ,
            Operator.IS_ANY_OF,
            Operator.IS_NONE_OF,
        ),
    ),
    RECIPIENT: LeftOperand(
        {"de": "Empfänger des Ergebnisses", "en": "recipient of the result"},
        ValueType.IRI,
        _at(
            (Where.NEGOTIATION, *_WHILE_USED),
            Operator.EQ,
            Operator.IS_ANY_OF,
            Operator.IS_NONE_OF,
        ),
        actions=(QUERY, COMPUTE),
        remark={
            "de": "Ergebnisse bekommt nur der Vertragspartner; dass er sie behält, ist seine Zusage.",
            "en": "Results go to the partner of the agreement only; that they stay there is a promise.",
        },
    ),
    SPATIAL: LeftOperand(
        {"de": "Ort der Nutzung", "en": "place of use"},
        ValueType.TEXT,
        _at(
            (Where.ACCESS, Where.RELEASE),
            Operator.IS_PART_OF,
            Operator.IS_ANY_OF,
            Operator.IS_NONE_OF,
        ),
        actions=(QUERY, COMPUTE),
        form=PLACE_CODE,
        remark={
            "de": "Gemeint ist der Ort, an dem der Anbieter rechnet, wie er ihn angegeben hat; "
            "wo das Ergebnis hinkommt, wird nicht geprüft.",
            "en": "What counts is the place at which the provider computes, as the provider has stated it; "
            "where the result goes is not checked.",
        },
    ),
    EVENT: LeftOperand(
        {"de": "Ereignis", "en": "event"},
        ValueType.TEXT,
        _at(_WHILE_USED, Operator.EQ, Operator.IS_ANY_OF, Operator.IS_NONE_OF),
        remark={
            "de": "Wann das Ereignis ist, steht im Kalender des Anbieters.",
            "en": "When the event takes place is stated in the provider's calendar.",
        },
    ),
    ALGORITHM_DIGEST: LeftOperand(
        {"de": "Algorithmus", "en": "algorithm"},
        ValueType.DIGEST,
        _at((Where.ACCESS, Where.RELEASE), *_MEMBER),
        actions=(COMPUTE,),
    ),
    QUERY_CLASS: LeftOperand(
        {"de": "Art der Abfrage", "en": "kind of query"},
        ValueType.NAME,
        _at((Where.ACCESS,), *_MEMBER),
        actions=(QUERY,),
        restricts=True,
        choices=frozenset({"aggregate"}),
    ),
    GROUP_UNIT: LeftOperand(
        {"de": "Zähleinheit", "en": "unit of counting"},
        ValueType.NAME,
        _at((Where.RELEASE,), Operator.EQ),
        actions=(QUERY,),
        restricts=True,
    ),
    MIN_GROUP_SIZE: LeftOperand(
        {"de": "Mindestgröße einer Gruppe", "en": "minimum group size"},
        ValueType.POSITIVE,
        _at((Where.RELEASE,), Operator.GTEQ),
        actions=(QUERY,),
        restricts=True,
    ),
    MIN_GROUP_ROWS: LeftOperand(
        {"de": "Mindestzahl der Zeilen einer Gruppe", "en": "minimum rows of a group"},
        ValueType.POSITIVE,
        _at((Where.RELEASE,), Operator.GTEQ),
        actions=(QUERY,),
        restricts=True,
    ),
    MAX_RESULT_ROWS: LeftOperand(
        {"de": "Höchstzahl der Ergebniszeilen", "en": "maximum result rows"},
        ValueType.POSITIVE,
        _at((Where.RELEASE,), Operator.LTEQ),
        actions=(QUERY,),
        restricts=True,
    ),
    ALLOWED_COLUMN: LeftOperand(
        {"de": "Erlaubte Spalten", "en": "permitted columns"},
        ValueType.NAME,
        _at((Where.ACCESS,), *_MEMBER),
        actions=(QUERY, COMPUTE),
        restricts=True,
    ),
    OUTPUT_KIND: LeftOperand(
        {"de": "Art der Ausgabe", "en": "kind of output"},
        ValueType.NAME,
        _at((Where.RELEASE,), *_MEMBER),
        actions=(COMPUTE,),
        restricts=True,
    ),
    OUTPUT_REVIEW: LeftOperand(
        {"de": "Prüfung der Ausgaben", "en": "review of outputs"},
        ValueType.NAME,
        _at((Where.RELEASE,), Operator.EQ),
        actions=(COMPUTE,),
        restricts=True,
        choices=frozenset({"auto", "manual"}),
    ),
    DENIED_COLUMN: LeftOperand(
        {"de": "Gesperrte Spalten", "en": "withheld columns"},
        ValueType.NAME,
        _at((Where.ACCESS,), *_MEMBER),
        actions=(QUERY, COMPUTE),
        restricts=True,
    ),
    COLUMN_MASK: LeftOperand(
        {"de": "Maske einer Spalte", "en": "mask of a column"},
        ValueType.TEXT,
        _at((Where.ACCESS,), *_EACH),
        actions=(QUERY, COMPUTE),
        restricts=True,
        form=MASK_FORM,
    ),
    ROW_FILTER: LeftOperand(
        {"de": "Zeilenfilter des Anbieters", "en": "row filter of the provider"},
        ValueType.NAME,
        _at((Where.ACCESS,), *_EACH),
        actions=(QUERY, COMPUTE),
        restricts=True,
    ),
    CONSENT: LeftOperand(
        {"de": "Einwilligungsregister", "en": "consent register"},
        ValueType.NAME,
        _at((Where.ACCESS,), *_EACH),
        actions=(QUERY, COMPUTE),
        restricts=True,
    ),
    MAX_CELL_DOMINANCE: LeftOperand(
        {"de": "Dominanz in einer Gruppe", "en": "dominance in a group"},
        ValueType.TEXT,
        _at((Where.RELEASE,), Operator.EQ),
        actions=(QUERY,),
        restricts=True,
        form=DOMINANCE_FORM,
    ),
    P_PERCENT: LeftOperand(
        {"de": "p-Prozent-Regel", "en": "p percent rule"},
        ValueType.POSITIVE,
        _at((Where.RELEASE,), Operator.GTEQ),
        actions=(QUERY,),
        restricts=True,
        form=P_PERCENT_FORM,
    ),
    ROUNDING_BASE: LeftOperand(
        {"de": "Rundung auf Vielfache von", "en": "rounding to multiples of"},
        ValueType.POSITIVE,
        _at((Where.RELEASE,), Operator.EQ),
        actions=(QUERY,),
        restricts=True,
    ),
    EPSILON_PER_QUERY: LeftOperand(
        {"de": "Epsilon je Abfrage", "en": "epsilon per query"},
        ValueType.DECIMAL,
        _at((Where.RELEASE,), Operator.LTEQ),
        actions=(QUERY,),
        restricts=True,
        form=POSITIVE_NUMBER,
    ),
    EPSILON_TOTAL: LeftOperand(
        {"de": "Epsilon insgesamt", "en": "epsilon in total"},
        ValueType.DECIMAL,
        _at((Where.ACCESS,), Operator.LTEQ),
        actions=(QUERY,),
        restricts=True,
        form=POSITIVE_NUMBER,
    ),
    DELTA_TOTAL: LeftOperand(
        {"de": "Delta insgesamt", "en": "delta in total"},
        ValueType.DECIMAL,
        _at((Where.RELEASE,), Operator.LTEQ),
        actions=(QUERY,),
        restricts=True,
        form=PROBABILITY,
        remark={
            "de": "Das Rauschen hier verbraucht nie Delta.",
            "en": "The noise that is drawn here never spends delta.",
        },
    ),
    CONTRIBUTION_BOUND: LeftOperand(
        {"de": "Höchstzahl der Zeilen je Einheit", "en": "most rows of one unit"},
        ValueType.POSITIVE,
        _at((Where.RELEASE,), Operator.LTEQ),
        actions=(QUERY,),
        restricts=True,
    ),
}

_AND_DELETED: Final[LanguageMap] = {
    "de": "Dass danach gelöscht wird, was schon herausgegeben ist, ist eine Zusage des Partners.",
    "en": "That what was already released is deleted then is a promise of the partner.",
}
_VOUCHED_FOR: Final[LanguageMap] = {
    "de": "Geprüft wird, was der Anbieter in seinem Teilnehmerregister über den Partner sagt und was "
    "Nachweise von Ausstellern belegen, denen er vertraut.",
    "en": "What is checked is what the provider states about the partner in its register of participants, "
    "and what credentials of issuers prove that it trusts.",
}
_OF_THE_PARTNER: Final[LanguageMap] = {
    "de": _VOUCHED_FOR["de"] + " Welcher Mensch für den Partner handelt, sieht er nicht.",
    "en": _VOUCHED_FOR["en"] + " Which person acts for the partner, it does not see.",
}
_THROUGHOUT: Final = (Where.NEGOTIATION, *_WHILE_USED)
_OF_SEVERAL: Final = (Operator.EQ, Operator.IS_ANY_OF, Operator.IS_ALL_OF, Operator.IS_NONE_OF)

_REGISTERED: Final[Mapping[str, LeftOperand]] = {
    ORGANISATION: LeftOperand(
        {"de": "Organisation des Partners", "en": "organisation of the partner"},
        ValueType.IRI,
        _at(_THROUGHOUT, Operator.EQ, Operator.IS_ANY_OF, Operator.IS_NONE_OF),
        remark=_VOUCHED_FOR,
    ),
    MEMBERSHIP: LeftOperand(
        {"de": "Mitgliedschaft", "en": "membership"},
        ValueType.IRI,
        _at(_THROUGHOUT, *_OF_SEVERAL),
        remark=_VOUCHED_FOR,
    ),
    ROLE: LeftOperand(
        {"de": "Rolle", "en": "role"}, ValueType.IRI, _at(_THROUGHOUT, *_OF_SEVERAL), remark=_OF_THE_PARTNER
    ),
    SECURITY_LEVEL: LeftOperand(
        {"de": "Sicherheitsstufe des Partners", "en": "security level of the partner"},
        ValueType.IRI,
        _at(_THROUGHOUT, *_OF_SEVERAL),
        remark=_VOUCHED_FOR,
    ),
    SEAT: LeftOperand(
        {"de": "Sitz des Partners", "en": "seat of the partner"},
        ValueType.TEXT,
        _at(_THROUGHOUT, Operator.IS_PART_OF, Operator.IS_ANY_OF, Operator.IS_NONE_OF),
        form=PLACE_CODE,
        remark=_VOUCHED_FOR,
    ),
    **{
        CATENA_X + name: LeftOperand(
            {"de": de, "en": en},
            ValueType.TEXT,
            _at(_THROUGHOUT, *operators),
            choices=frozenset({"active"}) if CATENA_X + name == CATENA_X_MEMBERSHIP else frozenset(),
            remark=_VOUCHED_FOR,
        )
        for name, (de, en, operators) in IDENTITIES.items()
    },
}
"""Left operands about the partner: its register entry and its credentials answer them."""

_DECLARED: Final[Mapping[str, LeftOperand]] = {
    FEDERATED_MIN_PARTICIPANTS: LeftOperand(
        {"de": "Mindestzahl der Anbieter", "en": "minimum number of providers"},
        ValueType.POSITIVE,
        _at((Where.AFTER,), Operator.GTEQ),
        actions=(QUERY,),
        declared=True,
        remark={
            "de": "Der Abfragende führt die Teilergebnisse zusammen; ein einzelner Anbieter sieht die "
            "anderen nicht. Der Connector des Abfragenden hält sich daran, wenn er Allmende ist.",
            "en": "Whoever asks merges the partial results; a single provider does not see the others. "
            "The connector of whoever asks keeps to it if it is Allmende.",
        },
    ),
    **{
        CATENA_X + name: LeftOperand(
            {"de": de, "en": en}, ValueType.TEXT, _at((Where.AFTER,), *operators), declared=True
        )
        for name, (de, en, operators) in CLAUSES.items()
    },
}
"""Left operands that only a promise of the partner stands behind."""

_CATENA_X_CLOCK: Final[Mapping[str, LeftOperand]] = {
    USAGE_END_DATE: LeftOperand(
        {"de": "Ende der Nutzung", "en": "end of use"},
        ValueType.DATE_TIME,
        _at((Where.NEGOTIATION, *_WHILE_USED), Operator.EQ),
        remark=_AND_DELETED,
    ),
    USAGE_END_DAYS: LeftOperand(
        {"de": "Tage der Nutzung seit Vertragsschluss", "en": "days of use since the agreement was made"},
        ValueType.COUNT,
        _at(_WHILE_USED, Operator.EQ),
        remark=_AND_DELETED,
    ),
}

_NOT_MEASURED: Final[Mapping[str, tuple[str, str]]] = {
    "absolutePosition": ("Absolute Lage", "absolute position"),
    "absoluteSize": ("Absolute Größe", "absolute size"),
    "absoluteSpatialPosition": ("Absolute räumliche Lage", "absolute spatial position"),
    "absoluteTemporalPosition": ("Absolute zeitliche Lage", "absolute temporal position"),
    "deliveryChannel": ("Übertragungsweg", "delivery channel"),
    "device": ("Gerät", "device"),
    "fileFormat": ("Dateiformat", "file format"),
    "industry": ("Branche", "industry"),
    "language": ("Sprache", "language"),
    "media": ("Medium", "media"),
    "payAmount": ("Zahlbetrag", "payment amount"),
    "percentage": ("Anteil in Prozent", "percentage"),
    "product": ("Produkt", "product"),
    "relativePosition": ("Relative Lage", "relative position"),
    "relativeSize": ("Relative Größe", "relative size"),
    "relativeSpatialPosition": ("Relative räumliche Lage", "relative spatial position"),
    "relativeTemporalPosition": ("Relative zeitliche Lage", "relative temporal position"),
    "resolution": ("Auflösung", "resolution"),
    "spatialCoordinates": ("Koordinaten", "coordinates"),
    "system": ("System", "system"),
    "systemDevice": ("Systemgerät", "system device"),
    "unitOfCount": ("Zähleinheit (ODRL)", "unit of count"),
    "version": ("Version", "version"),
    "virtualLocation": ("Ort im Netz", "virtual location"),
}

_DECIMALS: Final = frozenset({"payAmount", "percentage"})

LEFT_OPERANDS: Final[Mapping[str, LeftOperand]] = {
    **_MEASURED,
    **_CATENA_X_CLOCK,
    **_REGISTERED,
    **_DECLARED,
    **{
        ODRL + name: LeftOperand(
            {"de": de, "en": en}, ValueType.DECIMAL if name in _DECIMALS else ValueType.TEXT
        )
        for name, (de, en) in _NOT_MEASURED.items()
    },
}
"""Every left operand that a policy may name, by absolute IRI."""
