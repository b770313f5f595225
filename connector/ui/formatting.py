"""Dates, numbers and sizes as German and English readers write them."""

from datetime import datetime, tzinfo
from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_STEP: Final = 1000
_NARROW_SPACE: Final = "\u202f"
_GERMAN: Final = str.maketrans({",": ".", ".": ","})


def format_number(value: float, language: str) -> str:
    """A number with its separators.

    Args:
        value: An integer, or a number to show with one decimal.
        language: `de` (`1.234.567,9`) or `en` (`1,234,567.9`).
    """
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return text.translate(_GERMAN) if language == "de" else text


def format_figure(value: float, language: str) -> str:
    """A measured number with up to six significant digits, such as `0,597312`.

    Args:
        value: The number.
        language: `de` or `en`.
    """
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"
    return text.translate(_GERMAN) if language == "de" else text


def format_bytes(size: int, language: str) -> str:
    """A size in decimal units, such as `1,2 GB`.

    Args:
        size: In bytes.
        language: `de` or `en`.
    """
    if size < _STEP:
        return f"{size}{_NARROW_SPACE}B"
    value, unit = float(size), 0
    # 999,950 bytes are 1.0 MB, not 1,000.0 kB: compare what will be shown.
    while round(value, 1) >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{format_number(value, language)}{_NARROW_SPACE}{_UNITS[unit]}"


def format_moment(moment: datetime, language: str, zone: tzinfo) -> str:
    """A point in time to the minute.

    Args:
        moment: With its time zone.
        language: `de` (`21.11.2026, 14:05 Uhr`) or `en` (`21 Nov 2026, 14:05`).
        zone: The time zone to show it in.
    """
    local = moment.astimezone(zone)
    if language == "de":
        return local.strftime("%d.%m.%Y, %H:%M Uhr")
    return f"{local.day} {_MONTHS[local.month - 1]} {local.strftime('%Y, %H:%M')}"


def format_day(moment: datetime, language: str, zone: tzinfo) -> str:
    """A point in time to the day.

    Args:
        moment: With its time zone.
        language: `de` (`21.11.2026`) or `en` (`21 Nov 2026`).
        zone: The time zone to show it in.
    """
    return format_moment(moment, language, zone).partition(",")[0]


# strftime would follow the server's locale.
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
