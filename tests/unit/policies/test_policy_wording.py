"""Policies in plain words: what a person reads, in German and English."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from policies.model import Constraint, Operator
from policies.terms import Where, stations_in_words
from policies.values import ValueType
from policies.wording import (
    as_limit,
    as_permission,
    as_prohibition,
    duration_name,
    enumerated,
    moment_name,
    not_satisfied,
    value_form,
)

ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"
DPV = "https://w3id.org/dpv#"


@pytest.mark.parametrize(
    ("moment", "german", "english"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "01.01.2026, 00:00 Uhr (UTC)", "1 Jan 2026, 00:00 (UTC)"),
        (
            datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC),
            "31.12.2027, 23:59:59 Uhr (UTC)",
            "31 Dec 2027, 23:59:59 (UTC)",
        ),
        (
            datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))),
            "28.02.2026, 23:30 Uhr (UTC)",
            "28 Feb 2026, 23:30 (UTC)",
        ),
        (
            datetime(2026, 5, 4, 3, 2, 1, 500_000, tzinfo=UTC),
            "04.05.2026, 03:02:01.500000 Uhr (UTC)",
            "4 May 2026, 03:02:01.500000 (UTC)",
        ),
    ],
)
def test_a_moment_is_written_as_people_write_it(moment: datetime, german: str, english: str) -> None:
    assert moment_name(moment) == {"de": german, "en": english}


LIMITS = [
    (ODRL + "dateTime", "gteq", ("2026-01-01T00:00:00Z",), "Ab 01.01.2026, 00:00 Uhr (UTC)."),
    (ODRL + "dateTime", "lteq", ("2026-07-01T00:00:00+02:00",), "Bis 30.06.2026, 22:00 Uhr (UTC)."),
    (ODRL + "dateTime", "lteq", ("irgendwann",), "Bis irgendwann."),
    (ODRL + "count", "lteq", ("20",), "Höchstens 20 Nutzungen."),
    (ODRL + "count", "lteq", ("1",), "Höchstens eine Nutzung."),
    (
        ODRL + "purpose",
        "isAnyOf",
        (DPV + "Marketing",),
        "Nur für den Zweck „Marketing“ und was darunter fällt.",
    ),
    (POLICY + "algorithmDigest", "isAnyOf", ("ab",), "Nur das Programm mit der Prüfsumme ab (SHA-256)."),
    (
        POLICY + "algorithmDigest",
        "isAnyOf",
        ("ab", "cd"),
        "Nur Programme mit einer dieser Prüfsummen (SHA-256): ab, cd.",
    ),
    (POLICY + "outputKind", "isAnyOf", ("metrics", "x"), "Nur Ausgaben dieser Arten: Kennzahlen, x."),
    (
        ODRL + "elapsedTime",
        "lteq",
        ("P30DT12H",),
        "Höchstens 30 Tage und 12 Stunden lang, gerechnet ab Vertragsschluss.",
    ),
    (ODRL + "delayPeriod", "gteq", ("PT1M",), "Frühestens 1 Minute nach Vertragsschluss."),
    (ODRL + "spatial", "isPartOf", ("DE1",), "Nur in DE1."),
    (
        POLICY + "columnMask",
        "isAllOf",
        ("name=hash", "plz=truncate:2", "ts=generalise:month", "kw=generalise:100", "note=null"),
        (
            "Verfremdet wird: „name“ durch eine Prüfsumme mit geheimem Schlüssel ersetzt, "
            "„plz“ auf die ersten 2 Zeichen gekürzt, „ts“ vergröbert auf den Monat, "
            "„kw“ vergröbert auf Vielfache von 100, „note“ geleert."
        ),
    ),
    (
        POLICY + "maxCellDominance",
        "eq",
        ("2,90",),
        (
            "Herausgegeben werden nur Gruppen, in denen wenige nicht fast alles ausmachen: "
            "die 2 größten Beiträge zusammen höchstens 90 Prozent."
        ),
    ),
    (POLICY + "deniedColumn", "isAnyOf", ("a", "b"), "Keine dieser Spalten: „a“, „b“."),
]


@pytest.mark.parametrize(("operand", "operator", "values", "german"), LIMITS)
def test_a_limit_is_a_plain_sentence(
    operand: str, operator: str, values: tuple[str, ...], german: str
) -> None:
    said = as_limit(Constraint(operand, Operator(operator), values))

    assert said["de"] == german
    assert said["en"].endswith(".")
    assert said["en"] != german


def test_a_moment_that_is_too_late_is_named_like_the_limit() -> None:
    limit = Constraint(ODRL + "dateTime", Operator.LTEQ, ("2026-01-01T00:00:00Z",))

    assert not_satisfied(limit, "2026-02-03T04:05:00+00:00") == {
        "de": "Zeitpunkt 03.02.2026, 04:05 Uhr (UTC) ist nicht erlaubt; "
        "verlangt ist: Bis 01.01.2026, 00:00 Uhr (UTC).",
        "en": "time 3 Feb 2026, 04:05 (UTC) is not permitted; required is: Until 1 Jan 2026, 00:00 (UTC).",
    }


@pytest.mark.parametrize(
    ("parts", "german"), [([], ""), (["a"], "a"), (["a", "b"], "a und b"), (["a", "b", "c"], "a, b und c")]
)
def test_a_list_ends_with_a_word(parts: list[str], german: str) -> None:
    assert enumerated(tuple({"de": part, "en": part} for part in parts))["de"] == german


def test_stations_are_named_in_their_order() -> None:
    assert stations_in_words((Where.START, Where.ACCESS, Where.RELEASE)) == {
        "de": "beim Start, bei jedem Zugriff und bei jeder Freigabe",
        "en": "at start, at each access and at each release",
    }


def test_an_action_is_permitted_or_prohibited_in_a_whole_sentence() -> None:
    assert as_permission(POLICY + "query")["de"] == "Abfragen sind erlaubt."
    assert as_permission(ODRL + "use")["de"] == "Erlaubt: Nutzen."
    assert as_prohibition(ODRL + "reproduce")["de"] == "Rohdaten dürfen nicht kopiert werden."
    assert as_prohibition(ODRL + "print")["de"] == "Verboten: Drucken."
    assert as_prohibition("urn:unbekannt")["en"] == "Prohibited: urn:unbekannt."


@pytest.mark.parametrize(
    ("duration", "german", "english"),
    [
        (timedelta(days=30), "30 Tage", "30 days"),
        (timedelta(days=1, hours=1), "1 Tag und 1 Stunde", "1 day and 1 hour"),
        (
            timedelta(hours=2, minutes=3, seconds=4),
            "2 Stunden, 3 Minuten und 4 Sekunden",
            "2 hours, 3 minutes and 4 seconds",
        ),
        (timedelta(0), "0 Sekunden", "0 seconds"),
    ],
)
def test_a_length_of_time_is_written_as_people_write_it(
    duration: timedelta, german: str, english: str
) -> None:
    assert duration_name(duration) == {"de": german, "en": english}


def test_what_a_value_looks_like_is_said_in_german_too() -> None:
    for value_type in ValueType:
        form = value_form(value_type)
        assert form["de"]
        assert form["en"] == value_type.value or value_type is ValueType.DATE_TIME
