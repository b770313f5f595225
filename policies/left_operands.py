"""The left operands that a policy may name: what their values look like, and who checks them where.

This is the measuring half of the enforcement map; `policies.terms` adds the
actions and classifies whole policies.

Source:
    ODRL Vocabulary 2.2, section 4.5 (https://www.w3.org/TR/odrl-vocab/#constraintLeftOperands);
    docs/policy-profile.md for our own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from policies.actions import COMPUTE, QUERY, SERVED
from policies.model import LanguageMap, Operator
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
ASSIGNEE: Final = POLICY + "assignee"
QUERY_CLASS: Final = POLICY + "queryClass"
GROUP_UNIT: Final = POLICY + "groupUnit"
MIN_GROUP_SIZE: Final = POLICY + "minGroupSize"
MIN_GROUP_ROWS: Final = POLICY + "minGroupRows"
MAX_RESULT_ROWS: Final = POLICY + "maxResultRows"
ALGORITHM_DIGEST: Final = POLICY + "algorithmDigest"
ALLOWED_COLUMN: Final = POLICY + "allowedColumn"
OUTPUT_KIND: Final = POLICY + "outputKind"
OUTPUT_REVIEW: Final = POLICY + "outputReview"


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
        remark: What its enforcement does not reach, where a reader could think it does.
    """

    label: LanguageMap
    value_type: ValueType = ValueType.TEXT
    stations: Mapping[Operator, tuple[Where, ...]] = field(default_factory=dict)
    actions: tuple[str, ...] = SERVED
    restricts: bool = False
    counted: bool = False
    choices: frozenset[str] = frozenset()
    remark: LanguageMap | None = None


def _at(stations: tuple[Where, ...], *operators: Operator) -> Mapping[Operator, tuple[Where, ...]]:
    return dict.fromkeys(operators, stations)


_WHILE_USED: Final = (Where.START, Where.ACCESS, Where.RELEASE)
_MEMBER: Final = (Operator.EQ, Operator.IS_ANY_OF)

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
    COUNT: LeftOperand(
        {"de": "Zahl der Nutzungen", "en": "number of uses"},
        ValueType.COUNT,
        _at((Where.ACCESS,), Operator.LT, Operator.LTEQ),
        counted=True,
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
}

_NOT_MEASURED: Final[Mapping[str, tuple[str, str]]] = {
    "absolutePosition": ("Absolute Lage", "absolute position"),
    "absoluteSize": ("Absolute Größe", "absolute size"),
    "absoluteSpatialPosition": ("Absolute räumliche Lage", "absolute spatial position"),
    "absoluteTemporalPosition": ("Absolute zeitliche Lage", "absolute temporal position"),
    "delayPeriod": ("Wartezeit", "delay period"),
    "deliveryChannel": ("Übertragungsweg", "delivery channel"),
    "device": ("Gerät", "device"),
    "elapsedTime": ("Verstrichene Zeit", "elapsed time"),
    "event": ("Ereignis", "event"),
    "fileFormat": ("Dateiformat", "file format"),
    "industry": ("Branche", "industry"),
    "language": ("Sprache", "language"),
    "media": ("Medium", "media"),
    "meteredTime": ("Gemessene Nutzungszeit", "metered time"),
    "payAmount": ("Zahlbetrag", "payment amount"),
    "percentage": ("Anteil in Prozent", "percentage"),
    "product": ("Produkt", "product"),
    "recipient": ("Empfänger", "recipient"),
    "relativePosition": ("Relative Lage", "relative position"),
    "relativeSize": ("Relative Größe", "relative size"),
    "relativeSpatialPosition": ("Relative räumliche Lage", "relative spatial position"),
    "relativeTemporalPosition": ("Relative zeitliche Lage", "relative temporal position"),
    "resolution": ("Auflösung", "resolution"),
    "spatial": ("Ort", "place"),
    "spatialCoordinates": ("Koordinaten", "coordinates"),
    "system": ("System", "system"),
    "systemDevice": ("Systemgerät", "system device"),
    "timeInterval": ("Zeitabstand", "time interval"),
    "unitOfCount": ("Zähleinheit (ODRL)", "unit of count"),
    "version": ("Version", "version"),
    "virtualLocation": ("Ort im Netz", "virtual location"),
}

_DECIMALS: Final = frozenset({"payAmount", "percentage"})

LEFT_OPERANDS: Final[Mapping[str, LeftOperand]] = {
    **_MEASURED,
    **{
        ODRL + name: LeftOperand(
            {"de": de, "en": en}, ValueType.DECIMAL if name in _DECIMALS else ValueType.TEXT
        )
        for name, (de, en) in _NOT_MEASURED.items()
    },
}
"""Every left operand that a policy may name, by absolute IRI."""
