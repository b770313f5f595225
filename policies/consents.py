"""Consent: which rows exist because somebody has agreed, and to what, and until when.

A register of consents belongs to the provider, as a row filter does; a policy
only names it. Who is not in it has not consented.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final

from policies.errors import PolicyError
from policies.model import Operator
from policies.purposes import is_a
from policies.row_filters import FilterValue, RowFilter
from policies.values import ValueType, read_value

SUBJECT, PURPOSE, UNTIL = "subject", "purpose", "until"
REGISTER_COLUMNS: Final = (SUBJECT, PURPOSE, UNTIL)
"""The columns of a register; only the first one has to be there."""

_WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_TEXTS: Final = frozenset({"string", "large_string"})
_WHOLE_NUMBERS: Final = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))


class ConsentError(PolicyError):
    """A register of consents is malformed, or one that a policy names is not defined."""


@dataclass(frozen=True, slots=True)
class ConsentRegister:
    """Where the consents for a dataset are kept.

    Attributes:
        column: The column of the dataset that names the subject; it need not be
            one that the agreement permits.
        file: The file with the consents, CSV or Parquet.
        data_type: Type of that column, as a projection has it.
    """

    column: str
    file: Path
    data_type: str = "string"


@dataclass(frozen=True, slots=True)
class Consent:
    """One subject's consent.

    Attributes:
        subject: Who consents, as the dataset's column names them.
        purpose: Absolute IRI of what for, and what falls under it; None for every purpose.
        until: Its last moment; None where it does not end by itself.
    """

    subject: str
    purpose: str | None = None
    until: datetime | None = None


def require_comparable(name: str, register: ConsentRegister) -> None:
    """Refuse a register whose subjects could never be found in the dataset's column.

    Raises:
        ConsentError: The column holds neither texts nor whole numbers.
    """
    if register.data_type not in _TEXTS | _WHOLE_NUMBERS:
        raise ConsentError(
            f"The column {register.column!r} of the consent register {name!r} is of type "
            f"{register.data_type}; subjects are named by texts or whole numbers.",
            f"Die Spalte {register.column!r} des Einwilligungsregisters {name!r} ist vom Typ "
            f"{register.data_type}; Betroffene werden mit Texten oder ganzen Zahlen benannt.",
        )


def require_columns(columns: Iterable[str]) -> None:
    """Refuse a register with a column that nobody here would look at, such as one of withdrawals.

    Raises:
        ConsentError: A column is unknown, stands there twice, or the subject is missing.
    """
    stated = list(columns)
    if SUBJECT not in stated or len(set(stated)) != len(stated) or not set(stated) <= set(REGISTER_COLUMNS):
        raise ConsentError(
            f"A register of consents has the columns {', '.join(REGISTER_COLUMNS)}, of which only the "
            f"first must be there, and no others; found: {', '.join(stated) or 'none'}.",
            f"Ein Einwilligungsregister hat die Spalten {', '.join(REGISTER_COLUMNS)}, von denen nur die "
            f"erste da sein muss, und keine anderen; gefunden: {', '.join(stated) or 'keine'}.",
        )


def read_consent(row: Mapping[str, object]) -> Consent:
    """Read one row of a register.

    Args:
        row: Its values by column: `subject`, and where they are stated `purpose`
            and `until` (a moment with its zone, or a day, which counts in full in UTC).

    Raises:
        ConsentError: A value cannot be read. One that is skipped might be the one that matters.
    """
    subject, purpose = row.get(SUBJECT), row.get(PURPOSE)
    if subject is None or str(subject) == "":
        raise ConsentError(
            "A row of the register names no subject.", "Eine Zeile des Registers nennt keinen Betroffenen."
        )
    if purpose is not None and purpose != "" and read_value(ValueType.IRI, str(purpose)) is None:
        raise ConsentError(
            f"The purpose {purpose!r} is no absolute IRI.", f"Der Zweck {purpose!r} ist kein absoluter IRI."
        )
    return Consent(str(subject), str(purpose) if purpose else None, _until(row.get(UNTIL)))


def _until(stated: object) -> datetime | None:
    if stated is None or stated == "":
        return None
    found = _moment(stated)
    if not isinstance(found, datetime) or found.utcoffset() is None:
        raise ConsentError(
            f"The end {stated!s} is neither a day nor a moment with its zone.",
            f"Das Ende {stated!s} ist weder ein Tag noch ein Zeitpunkt mit Zeitzone.",
        )
    return found


def _moment(stated: object) -> object:
    if isinstance(stated, datetime):
        return stated
    if isinstance(stated, date):
        return datetime.combine(stated, time.max, UTC)
    text = str(stated)
    if "T" in text:
        return read_value(ValueType.DATE_TIME, text)
    return read_value(ValueType.DATE_TIME, f"{text}T23:59:59.999999Z")


def consenting(
    register: ConsentRegister, consents: Iterable[Consent], purpose: str | None, now: datetime
) -> RowFilter:
    """Say which rows exist because of consents, as a filter.

    Args:
        register: Where the consents are kept.
        consents: All consents in it.
        purpose: Absolute IRI of what the rows are wanted for; None where nobody
            has said, and then only a consent to every purpose counts.
        now: The current time.

    Returns:
        A filter that lets through the subjects whose consent holds now; it lets
        nothing through where there is none.
    """
    rows = tuple(consents)
    granted = {stated for stated in {one.purpose for one in rows} if _covers(stated, purpose)}
    subjects = {
        one.subject for one in rows if one.purpose in granted and (one.until is None or now <= one.until)
    }
    return RowFilter(register.column, Operator.IS_ANY_OF, _as_values(subjects, register.data_type))


def _covers(consented: str | None, purpose: str | None) -> bool:
    return consented is None or (purpose is not None and is_a(purpose, consented) is True)


def _as_values(subjects: Iterable[str], data_type: str) -> tuple[FilterValue, ...]:
    """Write subjects as the dataset's column has them; one that cannot be in it is left out."""
    if data_type in _TEXTS:
        return tuple(sorted(subjects))
    return tuple(sorted(int(subject) for subject in subjects if _WHOLE_NUMBER.fullmatch(subject)))
