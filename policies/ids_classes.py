"""The 25 usage-control classes of the International Data Spaces, and what keeps each of them here.

Where data stay with their provider, much of what a consumer could only promise
becomes a lock: what leaves is a checked result.

Source:
    International Data Spaces Association, IDS-G, UsageControl/Contract.
"""

from dataclasses import dataclass
from typing import Final

from policies.left_operands import (
    ALGORITHM_DIGEST,
    ASSIGNEE,
    COLUMN_MASK,
    CONSENT,
    COUNT,
    DATE_TIME,
    DELAY_PERIOD,
    DENIED_COLUMN,
    ELAPSED_TIME,
    EVENT,
    GROUP_UNIT,
    METERED_TIME,
    MIN_GROUP_SIZE,
    PURPOSE,
    QUERY_CLASS,
    ROLE,
    SEAT,
    SECURITY_LEVEL,
    SPATIAL,
    TIME_INTERVAL,
)
from policies.model import LanguageMap
from policies.terms import Enforcement
from schemas.vocabulary import ODRL


@dataclass(frozen=True, slots=True)
class IdsClass:
    """One class of usage-control policies.

    Attributes:
        number: Its number in the source.
        name: What it is called, in German and English.
        level: What it is worth here.
        terms: Absolute IRIs of the left operands and actions to write it with
            here; empty where it needs none, or where there is none.
        kept_by: What keeps it, or why nothing does.
    """

    number: int
    name: LanguageMap
    level: Enforcement
    terms: tuple[str, ...]
    kept_by: LanguageMap


def _class(
    number: int, names: tuple[str, str], level: Enforcement, terms: tuple[str, ...], kept: tuple[str, str]
) -> IdsClass:
    (de, en), (by_de, by_en) = names, kept
    return IdsClass(number, {"de": de, "en": en}, level, terms, {"de": by_de, "en": by_en})


_LOCK, _PROMISE, _NONE = Enforcement.ENFORCED, Enforcement.DECLARED, Enforcement.REFUSED

IDS_CLASSES: Final = (
    _class(
        1,
        ("Nutzer der Daten", "consumer"),
        _LOCK,
        (ASSIGNEE,),
        (
            "Der Vertrag nennt die DID des Partners; jeder Zugriff wird dagegen geprüft.",
            "The agreement names the partner's DID; each access is checked against it.",
        ),
    ),
    _class(
        2,
        ("Connector", "connector"),
        _LOCK,
        (ASSIGNEE,),
        (
            "Ein Connector hat eine eigene DID und eigene Schlüssel; ein anderer bekommt keinen Zugang.",
            "A connector has a DID and keys of its own; another one gets no access.",
        ),
    ),
    _class(
        3,
        ("Anwendung", "application"),
        _LOCK,
        (ALGORITHM_DIGEST,),
        (
            "Es laufen nur Programme mit einer vereinbarten Prüfsumme, beim Anbieter.",
            "Only programs with an agreed digest run, at the provider.",
        ),
    ),
    _class(
        4,
        ("Rolle der Person", "user role"),
        _LOCK,
        (ROLE,),
        (
            "Es zählen Register und Nachweise über den Partner; welcher Mensch fragt, sieht niemand.",
            "What counts are register and credentials about the partner; which person asks is not seen.",
        ),
    ),
    _class(
        5,
        ("Ort der Nutzung", "location of usage"),
        _LOCK,
        (SPATIAL,),
        (
            "Gerechnet wird beim Anbieter, an dem Ort, den er nennt; Rohdaten gehen dann nicht hinaus.",
            "Computing takes place at the provider, where it says it is; raw data do not leave then.",
        ),
    ),
    _class(
        6,
        ("Zweck", "purpose"),
        _LOCK,
        (PURPOSE,),
        (
            "Geprüft wird der Zweck, den der Partner angibt; dass er stimmt, ist seine Zusage.",
            "What is checked is the purpose that the partner declares; that it is true is a promise.",
        ),
    ),
    _class(
        7,
        ("Ereignis", "event"),
        _LOCK,
        (EVENT,),
        (
            "Der Anbieter hat einen Kalender von Ereignissen mit Namen.",
            "The provider has a calendar of events with names.",
        ),
    ),
    _class(
        8,
        ("Sicherheitsstufe", "security level"),
        _LOCK,
        (SECURITY_LEVEL,),
        (
            "Es zählen das Register des Anbieters und Nachweise von Ausstellern, denen er vertraut.",
            "What counts is the provider's register, and credentials of issuers that it trusts.",
        ),
    ),
    _class(
        9,
        ("Zeitraum", "interval"),
        _LOCK,
        (DATE_TIME,),
        (
            "Die Uhr des Anbieters, beim Start, bei jedem Zugriff und vor jeder Freigabe einer Berechnung.",
            "The provider's clock, at start, at each access and before each release of a computation.",
        ),
    ),
    _class(
        10,
        ("Dauer", "duration"),
        _LOCK,
        (ELAPSED_TIME, DELAY_PERIOD),
        (
            "Die Uhr des Anbieters, gerechnet ab dem Vertragsschluss.",
            "The provider's clock, counted from the making of the agreement.",
        ),
    ),
    _class(
        11,
        ("Zahl der Nutzungen", "number of uses"),
        _LOCK,
        (COUNT, TIME_INTERVAL, METERED_TIME),
        (
            "Jede Nutzung wird gezählt, bevor sie geschieht, und ihre Zeit vorgemerkt.",
            "Each use is counted before it happens, and its time reserved.",
        ),
    ),
    _class(
        12,
        ("Löschen danach", "delete after"),
        _PROMISE,
        (ODRL + "delete",),
        (
            "Rohdaten bleiben beim Anbieter; herausgegebene Ergebnisse zu löschen ist Zusage des Partners.",
            "Raw data stay with the provider; to delete released results is the partner's promise.",
        ),
    ),
    _class(
        13,
        ("Ändern bei der Übertragung", "modify in transit"),
        _LOCK,
        (COLUMN_MASK,),
        (
            "Spalten werden verfremdet, bevor eine Abfrage sie sieht.",
            "Columns are masked before a query sees them.",
        ),
    ),
    _class(
        14,
        ("Ändern im Bestand", "modify at rest"),
        _LOCK,
        (COLUMN_MASK,),
        (
            "Das Rechenwerk bekommt nur die verfremdete Fassung der Daten.",
            "The engine gets the masked version of the data only.",
        ),
    ),
    _class(
        15,
        ("Protokollieren", "log"),
        _LOCK,
        (),
        (
            "Ohne Quittung im Protokoll verlässt kein Ergebnis den Anbieter; das gilt für jeden Vertrag.",
            "Without a receipt in the ledger no result leaves the provider; this goes for every policy.",
        ),
    ),
    _class(
        16,
        ("Benachrichtigen", "notify"),
        _PROMISE,
        (ODRL + "inform",),
        (
            "Der Anbieter hat zu jeder Nutzung eine Quittung; weitere Nachrichten sind Zusage des Partners.",
            "The provider has a receipt of each use; further messages are the partner's promise.",
        ),
    ),
    _class(
        17,
        ("Regeln weitergeben", "pass the policy on"),
        _PROMISE,
        (ODRL + "nextPolicy",),
        (
            "Was nach der Herausgabe geschieht, ist Zusage des Partners.",
            "What happens after a release is the partner's promise.",
        ),
    ),
    _class(
        18,
        ("Zustand der Daten", "state of the data"),
        _LOCK,
        (QUERY_CLASS, COLUMN_MASK),
        (
            "Herausgegeben wird nur zusammengefasst oder verfremdet.",
            "Data leave aggregated or masked only.",
        ),
    ),
    _class(
        19,
        ("Verkauf", "sale"),
        _PROMISE,
        (ODRL + "compensate",),
        ("Zahlungen sieht der Connector nicht.", "The connector does not see payments."),
    ),
    _class(
        20,
        ("Miete", "rental"),
        _PROMISE,
        (ODRL + "compensate",),
        (
            "Zahlungen sieht der Connector nicht; das Ende der Nutzung setzt er durch (dateTime).",
            "The connector does not see payments; it enforces the end of use (dateTime).",
        ),
    ),
    _class(
        21,
        ("Zustand der Umgebung", "state of the environment"),
        _NONE,
        (),
        (
            "Ein Zustand wie „Notfall“ wird nicht gemessen.",
            "A state such as “emergency” is not measured.",
        ),
    ),
    _class(
        22,
        ("Sitz des Partners", "location of the participant"),
        _LOCK,
        (SEAT,),
        (
            "Es zählt der Sitz, den das Register des Anbieters oder ein Nachweis nennt.",
            "What counts is the seat that the provider's own register or a credential states.",
        ),
    ),
    _class(
        23,
        ("Einwilligung", "consent"),
        _LOCK,
        (CONSENT,),
        (
            "Es gibt nur Zeilen derer, die eingewilligt haben; das Register wird bei jeder Nutzung gelesen.",
            "Only rows of those who have consented exist; the register is read at each use.",
        ),
    ),
    _class(
        24,
        ("Einstufung der Daten", "classification of data"),
        _LOCK,
        (DENIED_COLUMN,),
        (
            "Gesperrte Spalten gibt es für Abfragen und Berechnungen nicht.",
            "Withheld columns do not exist for queries and computations.",
        ),
    ),
    _class(
        25,
        ("Anonymisieren", "anonymise"),
        _LOCK,
        (MIN_GROUP_SIZE, GROUP_UNIT),
        (
            "Herausgegeben werden nur Gruppen, die groß genug sind.",
            "Only groups that are large enough are released.",
        ),
    ),
)
"""Every class, in the order of its number."""
