"""The dataset of a trial: what a publication file says about the data, or what they suggest themselves."""

import errno
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from catalog.model import Column, ColumnRole
from connector.ports import TableDescription
from connector.queries.noisy import require_described
from policies.consents import ConsentRegister
from policies.model import LanguageMap
from policies.privacy import PrivacyDescription, read_privacy
from policies.row_filters import RowFilter, read_row_filter
from policies.wording import sentence
from schemas.errors import in_english
from schemas.strict_json import MalformedJsonError, loads

_LARGEST_FILE: Final = 1_000_000


class TrialRefusedError(Exception):
    """A trial ends here.

    Attributes:
        reason: Why, as a sentence per language.
    """

    def __init__(self, reason: LanguageMap) -> None:
        super().__init__(reason["en"])
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TrialDataset:
    """What is known about the data of a trial.

    Attributes:
        columns: The columns that statements may use, with their roles.
        names: The columns that a policy may name.
        units: Those of them that may be a group unit.
        row_filters: The filters that a policy may name.
        consents: The registers of consents that a policy may name, not yet looked at.
        privacy: What noise needs to know; None where nothing is said.
    """

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    units: frozenset[str]
    row_filters: Mapping[str, RowFilter] = field(default_factory=dict)
    consents: Mapping[str, ConsentRegister] = field(default_factory=dict)
    privacy: PrivacyDescription | None = None


def read_document(path: Path) -> Mapping[str, object]:
    """Read a file that holds one JSON object.

    Args:
        path: The file.

    Raises:
        TrialRefusedError: It is missing, too large, or holds something else.
    """
    try:
        with path.open("rb") as file:
            document = loads(file.read(_LARGEST_FILE + 1), max_bytes=_LARGEST_FILE)
    except OSError as problem:
        raise TrialRefusedError(_not_opened(path, problem)) from None
    except MalformedJsonError as problem:
        de, en = (
            "Die Datei {name} ist kein wohlgeformtes JSON {german}.",
            "The file {name} cannot be read as JSON: {english}",
        )
        raise TrialRefusedError(
            sentence(de, en, name=path.name, german=in_english(problem), english=str(problem))
        ) from None
    if not isinstance(document, dict):
        raise _refused(
            "Die Datei {name} muss ein JSON-Objekt enthalten.",
            "The file {name} must hold one JSON object.",
            name=path.name,
        )
    return document


def _not_opened(path: Path, problem: OSError) -> LanguageMap:
    known = _CAUSES.get(problem.errno or 0)
    if known is not None:
        return sentence(*known, name=str(path))
    return sentence(
        "Die Datei {name} kann nicht gelesen werden {german}.",
        "The file {name} cannot be read: {english}.",
        name=str(path),
        german=in_english(problem.strerror),
        english=str(problem.strerror),
    )


_CAUSES: Final[Mapping[int, tuple[str, str]]] = {
    errno.ENOENT: ("Die Datei {name} gibt es nicht.", "There is no file {name}."),
    errno.EISDIR: (
        "{name} ist ein Verzeichnis; gebraucht wird eine Datei.",
        "{name} is a directory; what is needed is a file.",
    ),
    errno.EACCES: (
        "Die Datei {name} darf von Ihnen nicht gelesen werden.",
        "The file {name} may not be read by you.",
    ),
}


def _refused(de: str, en: str, **values: str) -> TrialRefusedError:
    return TrialRefusedError(sentence(de, en, **values))


def described_dataset(file: Path, description: TableDescription) -> TrialDataset:
    """Read what a publication file says about the data.

    Args:
        file: A publication, as `POST /api/datasets` takes it.
        description: What the data file holds.

    Raises:
        TrialRefusedError: It is malformed, or about other columns.
        PolicyError: A row filter or the privacy is malformed.
    """
    document = read_document(file)
    columns = _described(document, description)
    names = tuple(dict.fromkeys(column.name for column in columns))
    others = {column.name for column in columns if column.role is not ColumnRole.UNIT}
    filters = _filters(document)
    if unknown := sorted(
        {one.column for one in filters.values()} - {name for name, _ in description.columns}
    ):
        raise _refused(
            "Die Zeilenfilter nennen Spalten, die es nicht gibt: {names}.",
            "The row filters name columns that do not exist: {names}.",
            names=", ".join(unknown),
        )
    return TrialDataset(
        columns,
        names,
        frozenset(names) - others,
        filters,
        _registers(document),
        _privacy(document, columns),
    )


def inferred_dataset(description: TableDescription, unit: str | None) -> TrialDataset:
    """Say what the columns of a file are for, by their types alone.

    Args:
        description: What the data file holds.
        unit: The column that the policy counts by.

    Raises:
        TrialRefusedError: Two columns have the same name for SQL.
    """
    names = tuple(name for name, _ in description.columns)
    columns = _distinct(tuple(_inferred(description.columns, unit)))
    return TrialDataset(columns, names, frozenset(names))


def _inferred(columns: Sequence[tuple[str, str]], unit: str | None) -> Iterator[Column]:
    for name, data_type in columns:
        roles = (ColumnRole.UNIT,) if name == unit else _roles(data_type)
        yield from (Column(name, data_type, role, {}) for role in roles)


def _roles(data_type: str) -> tuple[ColumnRole, ...]:
    """What a column of an Arrow type is for; nothing where a query could not do anything with it."""
    kind = data_type.partition("[")[0].partition("(")[0]
    if kind in {"string", "large_string", "string_view", "bool"}:
        return (ColumnRole.DIMENSION,)
    if kind.startswith("date"):
        return (ColumnRole.TIME, ColumnRole.DIMENSION)
    if kind == "timestamp":
        return (ColumnRole.TIME,)
    if kind.startswith(("int", "uint")):
        return (ColumnRole.DIMENSION, ColumnRole.MEASURE)
    return (ColumnRole.MEASURE,) if kind in _NUMBERS or kind.startswith("decimal") else ()


_NUMBERS: Final = frozenset({"float", "double", "halffloat"})


def _distinct(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    names = {column.name for column in columns}
    if len({name.lower() for name in names}) != len(names):
        raise _refused(
            "Zwei Spalten der Datei unterscheiden sich nur in Großbuchstaben. Bitte benennen Sie eine um.",
            "Two columns of the data file differ in case only. Rename one.",
        )
    return columns


def _described(document: Mapping[str, object], description: TableDescription) -> tuple[Column, ...]:
    """Read the columns of a publication file."""
    types = dict(description.columns)
    stated = document.get("columns")
    if not isinstance(stated, list) or not stated:
        raise _refused(
            "Die Beschreibung des Datensatzes nennt keine Spalten.", "The dataset file names no columns."
        )
    return _distinct(tuple(_column(one, types) for one in stated))


def _column(stated: object, types: Mapping[str, str]) -> Column:
    name = stated.get("name") if isinstance(stated, dict) else None
    if not isinstance(stated, dict) or not isinstance(name, str) or name not in types:
        raise _refused(
            "Die Beschreibung nennt eine Spalte, die es in der Datei nicht gibt: {name}.",
            "The dataset file describes a column that the data file does not have: {name}.",
            name=name if isinstance(name, str) else "-",
        )
    roles = {role.value: role for role in ColumnRole}
    role, step = stated.get("role"), stated.get("step")
    if not isinstance(role, str) or role not in roles:
        known = ", ".join(roles)
        raise _refused(
            "Die Spalte {name} hat keine Rolle; möglich sind: {known}.",
            "The column {name} has no role; known are: {known}.",
            name=name,
            known=known,
        )
    if isinstance(kind := stated.get("data_type"), str) and kind != types[name]:
        raise _refused(
            "Die Spalte {name} ist vom Typ {found}, nicht {kind}.",
            "The column {name} is of type {found}, not {kind}.",
            name=name,
            found=types[name],
            kind=kind,
        )
    exact = float(step) if isinstance(step, int | float) else None
    return Column(name, types[name], roles[role], {}, step=exact)


def _filters(document: Mapping[str, object]) -> Mapping[str, RowFilter]:
    stated = _member(document, "row_filters")
    return {name: read_row_filter(name, one if isinstance(one, dict) else {}) for name, one in stated.items()}


def _registers(document: Mapping[str, object]) -> Mapping[str, ConsentRegister]:
    return {name: _register(name, one) for name, one in _member(document, "consents").items()}


def _register(name: str, stated: object) -> ConsentRegister:
    match stated:
        case {"column": str() as column, "file": str() as file} if column and file:
            return ConsentRegister(column, Path(file))
        case _:
            raise _refused(
                "Das Einwilligungsregister {name} braucht column und file: eine Spalte und eine Datei.",
                "The consent register {name} needs column and file: a column and a file.",
                name=name,
            )


def _privacy(document: Mapping[str, object], columns: Sequence[Column]) -> PrivacyDescription | None:
    stated = document.get("privacy")
    if stated is None:
        return None
    privacy = read_privacy(_member(document, "privacy"))
    require_described(privacy, columns)
    return privacy


def _member(document: Mapping[str, object], member: str) -> Mapping[str, object]:
    stated = document.get(member, {})
    if not isinstance(stated, dict):
        raise _refused(
            "Die Angabe {member} der Beschreibung muss ein JSON-Objekt sein.",
            "The {member} of the dataset file must be a JSON object.",
            member=member,
        )
    return stated
