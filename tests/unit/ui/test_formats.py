"""Dates, numbers and sizes look as their readers expect."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from connector.ui.formatting import format_bytes, format_day, format_figure, format_moment, format_number

MEZ = timezone(timedelta(hours=1))
MOMENT = datetime(2026, 11, 21, 13, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "german", "english"),
    [(0, "0", "0"), (1_234_567, "1.234.567", "1,234,567"), (1234.56, "1.234,6", "1,234.6")],
)
def test_numbers_have_the_separators_of_the_language(value: float, german: str, english: str) -> None:
    assert format_number(value, "de") == german
    assert format_number(value, "en") == english


@pytest.mark.parametrize(
    ("value", "german", "english"),
    [
        (295_200, "295.200", "295,200"),
        (0.5973124, "0,597312", "0.597312"),
        (1234.5, "1.234,5", "1,234.5"),
        (1e-9, "1e-09", "1e-09"),
    ],
)
def test_figures_have_at_most_six_significant_digits(value: float, german: str, english: str) -> None:
    assert format_figure(value, "de") == german
    assert format_figure(value, "en") == english


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0\u202fB"),
        (999, "999\u202fB"),
        (1_000, "1,0\u202fkB"),
        (999_949, "999,9\u202fkB"),
        (999_960, "1,0\u202fMB"),
        (1_200_000_000, "1,2\u202fGB"),
        (5 * 10**15, "5.000,0\u202fTB"),
    ],
)
def test_sizes_are_decimal(size: int, text: str) -> None:
    assert format_bytes(size, "de") == text


def test_times_are_shown_in_the_given_zone() -> None:
    assert format_moment(MOMENT, "de", MEZ) == "21.11.2026, 14:05 Uhr"
    assert format_moment(MOMENT, "en", MEZ) == "21 Nov 2026, 14:05"
    assert format_day(MOMENT, "de", UTC) == "21.11.2026"
    assert format_day(MOMENT, "en", UTC) == "21 Nov 2026"
