"""Trying out a policy: what a partner would get for a statement, found out on this machine.

The same decision, gate, projection, engine, sandbox and checks as for a partner, over a
file of one's own instead of a published dataset; the file is the table `data`. Nothing
is published, counted or signed, and no connector has to be set up.

Without a description of the dataset, columns get their roles from the policy and from
their types: the group unit is the unit; texts, truth values and days are dimensions;
times are times; numbers are measures, and whole numbers dimensions as well.
"""

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from catalog.model import Column, ColumnRole
from connector.adapters.arrow_projections import ArrowProjections, TableDescription
from connector.adapters.duckdb_queries import DuckdbQueries
from connector.adapters.opendp_noise import OpendpNoise
from connector.queries.decompose import withhold
from connector.queries.errors import QueryError, QueryRefusedError, refusal
from connector.queries.gate import plan_query
from connector.queries.history import Answered
from connector.queries.merge import SITES, merge_partials
from connector.queries.noisy import (
    NoisyQuestion,
    bounded_statement,
    exact_figures,
    noisy_partials,
    noisy_question,
    require_described,
)
from connector.queries.partials import STATUS, GroupStatus
from connector.queries.permitted import masked_columns, permitted_columns, projected_columns, redaction_under
from connector.queries.plan import QueryPlan
from connector.services.auditing import View, examine
from policies.errors import PolicyError, PolicyRefusedError
from policies.evaluation import Facts, Request, evaluate
from policies.explanation import named
from policies.inheritance import by_identifier, flattened
from policies.model import LanguageMap, Permission, Policy
from policies.odrl import parse_policy
from policies.privacy import PrivacyDescription, read_privacy
from policies.restrictions import QueryRestrictions, limits_in_words, query_restrictions
from policies.row_filters import RowFilter, read_row_filter
from policies.terms import require_enforceable
from schemas.strict_json import JsonObject, JsonValue, MalformedJsonError, loads
from schemas.vocabulary import POLICY

__all__ = ["Outcome", "Trial", "try_query"]

TABLE: Final = "data"
_QUERY_ACTION: Final = POLICY + "query"
_TARGET: Final = "urn:allmende:try:data"
_PARTNER: Final = "did:web:partner.invalid"
_SECRET: Final = b"not secret: hashes of a trial look like hashes and are worth nothing"
_SECONDS: Final = 60.0
_LARGEST_POLICY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be tried.

    Attributes:
        data: A Parquet, CSV or Arrow file.
        policy: An ODRL policy as JSON: a Set or an Offer, with or without a target, or an agreement.
        statement: What the partner asks, over the table `data`.
        purpose: The purpose that the partner declares; None where it declares none.
        partner: Who asks; None for the policy's assignee, or anybody.
        dataset: A publication file, as `POST /api/datasets` takes it, whose
            columns and row filters are used; None to infer columns.
        earlier: Statements that the partner was answered before, in order.
        parents: Policies whose rules the policy takes over, as JSON.
    """

    data: Path
    policy: Path
    statement: str
    purpose: str | None = None
    partner: str | None = None
    dataset: Path | None = None
    earlier: tuple[str, ...] = ()
    parents: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the partner would get.

    Attributes:
        status: `ok`, `suppressed` where at least one group is withheld, or `refused`.
        reason: Why it is not `ok`; None where it is.
        rows: The groups that leave, with the outputs of the statement.
        enforced: What was enforced on the way, one sentence each.
    """

    status: str
    reason: LanguageMap | None
    rows: tuple[Mapping[str, JsonValue], ...] = ()
    enforced: tuple[LanguageMap, ...] = ()

    def as_json(self, language: str) -> str:
        """The outcome as one JSON object, its sentences in one language."""
        shown: JsonObject = {
            "status": self.status,
            "reason": None if self.reason is None else self.reason[language],
            "rows": [dict(row) for row in self.rows],
            "enforced": [sentence[language] for sentence in self.enforced],
        }
        return json.dumps(shown, ensure_ascii=False)


class _RefusedError(Exception):
    """The trial ends here, with a reason."""

    def __init__(self, reason: LanguageMap) -> None:
        super().__init__(reason["en"])
        self.reason = reason


async def try_query(trial: Trial, now: datetime) -> Outcome:
    """Answer a statement as a partner would be answered under a policy.

    Args:
        trial: What is to be tried.
        now: The current time.

    Returns:
        What the partner would get. Whatever goes wrong is `refused`, with one
        sentence.
    """
    try:
        policy = _policy(_read_json(trial.policy), [_read_json(parent) for parent in trial.parents])
        permission = _permission(policy, trial, now)
        with tempfile.TemporaryDirectory(prefix="allmende-try-") as directory:
            return await _answer(trial, permission, ArrowProjections(Path(directory), _SECRET))
    except _RefusedError as refused:
        return Outcome("refused", refused.reason)
    except (PolicyRefusedError, QueryRefusedError) as refused:
        return Outcome("refused", refused.reason)
    except (PolicyError, QueryError, OSError) as problem:
        return Outcome("refused", _same(str(problem)))


def _same(sentence: str) -> LanguageMap:
    return {"de": sentence, "en": sentence}


def _read_json(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            document = loads(file.read(_LARGEST_POLICY + 1), max_bytes=_LARGEST_POLICY)
    except OSError as problem:
        raise _unreadable(path, f"{problem.strerror}.") from None
    except MalformedJsonError as problem:
        raise _unreadable(path, str(problem)) from None
    if not isinstance(document, dict):
        raise _RefusedError(
            {
                "de": f"Die Datei {path.name} muss ein JSON-Objekt enthalten.",
                "en": f"The file {path.name} must hold one JSON object.",
            }
        )
    return document


def _unreadable(path: Path, cause: str) -> _RefusedError:
    return _RefusedError(
        {
            "de": f"Die Datei {path.name} kann nicht als JSON gelesen werden: {cause}",
            "en": f"The file {path.name} cannot be read as JSON: {cause}",
        }
    )


def _policy(document: Mapping[str, object], parents: Sequence[Mapping[str, object]]) -> Policy:
    policy = parse_policy(flattened(named(document), by_identifier(parents)))
    require_enforceable(policy)
    return policy if policy.target else replace(policy, target=_TARGET)


def _permission(policy: Policy, trial: Trial, now: datetime) -> Permission:
    partner = trial.partner or policy.assignee or _PARTNER
    request = Request(_QUERY_ACTION, policy.target or _TARGET, partner, trial.purpose)
    unused = {rule.identifier: 0 for rule in policy.permissions}
    decision = evaluate(policy, request, Facts(now=now, uses=unused, started=now))
    if decision.permission is None or not decision.permitted:
        raise _RefusedError({language: decision.explain(language) for language in ("de", "en")})
    return decision.permission


async def _answer(trial: Trial, permission: Permission, projections: ArrowProjections) -> Outcome:
    restrictions = query_restrictions(permission)
    description = await projections.describe(trial.data)
    columns, filters = _dataset(trial, description, restrictions)
    plans = [
        plan_query(statement, table=TABLE, columns=permitted_columns(columns, restrictions))
        for statement in (*trial.earlier, trial.statement)
    ]
    projection = await projections.materialise(
        trial.data,
        projected_columns(columns, restrictions),
        description.digest,
        redaction_under(restrictions, filters, _TARGET),
        numbered=True,
    )
    view = View(TABLE, masked_columns(columns, restrictions), restrictions, projection)
    if restrictions.noise is not None:
        question = noisy_question(plans[-1], restrictions, _privacy(trial, columns), columns)
        noisy = await _noisy_answer(plans[-1], question, view)
        return _outcome(plans[-1], permission, restrictions, noisy)
    partials = await _last_answer(plans, view)
    return _outcome(plans[-1], permission, restrictions, withhold(plans[-1], restrictions, partials))


async def _last_answer(plans: Sequence[QueryPlan], view: View) -> pa.Table:
    """Answer several queries one after the other, each in the light of those before; give the last answer."""
    engine = DuckdbQueries.on_this_machine()
    history: list[Answered] = []
    try:
        for plan in plans[:-1]:
            _, told = await examine(engine, view, plan, history, _SECONDS)
            history.append(told)
        partials, _ = await examine(engine, view, plans[-1], history, _SECONDS)
        return partials
    finally:
        await engine.aclose()


async def _noisy_answer(plan: QueryPlan, question: NoisyQuestion, view: View) -> pa.Table:
    """Answer with noise of its own, which no budget pays for: a steward tries it on data of their own."""
    noise = OpendpNoise.where_installed()
    if noise is None:
        raise refusal("noise-missing")
    engine = DuckdbQueries.on_this_machine()
    try:
        table = await engine.run(
            bounded_statement(question),
            table=view.table,
            projection=view.projection,
            timeout_seconds=_SECONDS,
        )
    finally:
        await engine.aclose()
    exact = exact_figures(question, table)
    return noisy_partials(plan, question, {name: await noise.add(one) for name, one in exact.items()})


def _privacy(trial: Trial, columns: Sequence[Column]) -> PrivacyDescription | None:
    stated = None if trial.dataset is None else _read_json(trial.dataset).get("privacy")
    if not isinstance(stated, dict):
        return None
    privacy = read_privacy(stated)
    require_described(privacy, columns)
    return privacy


def _outcome(
    plan: QueryPlan, permission: Permission, restrictions: QueryRestrictions, partials: pa.Table
) -> Outcome:
    withheld = partials.column(STATUS).to_pylist().count(GroupStatus.SUPPRESSED.value)
    merged = merge_partials(plan, {"data": partials})
    released = [row for row in merged.to_pylist() if row[STATUS] == GroupStatus.RELEASED.value]
    rows = tuple(
        {name: _plain(value) for name, value in row.items() if name not in {SITES, STATUS}}
        for row in released
    )
    enforced = (_decided(permission), *limits_in_words(restrictions), _CONFINED)
    if not withheld:
        return Outcome("ok", None, rows, enforced)
    return Outcome("suppressed", _withheld(withheld, partials.num_rows), rows, enforced)


def _withheld(withheld: int, groups: int) -> LanguageMap:
    return {
        "de": f"{withheld} von {groups} Gruppen werden zurückgehalten, weil sie zu klein sind oder zu viel "
        "über Einzelne verraten würden. Gruppieren Sie gröber.",
        "en": f"{withheld} of {groups} groups are withheld because they are too small or would tell too much "
        "about single units. Group more coarsely.",
    }


def _decided(permission: Permission) -> LanguageMap:
    return {
        "de": f"Erlaubt durch {permission.identifier}: nur zusammengefasste Werte.",
        "en": f"Permitted by {permission.identifier}: aggregates only.",
    }


_CONFINED: Final[LanguageMap] = {
    "de": "Berechnet in einer Sandbox, die nur die erlaubten Spalten und Zeilen hat.",
    "en": "Computed in a sandbox that holds the permitted columns and rows only.",
}


def _plain(value: object) -> JsonValue:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _dataset(
    trial: Trial, description: TableDescription, restrictions: QueryRestrictions
) -> tuple[tuple[Column, ...], Mapping[str, RowFilter]]:
    """Find the columns with their roles, and the named row filters."""
    if trial.dataset is None:
        columns = tuple(_inferred(description.columns, restrictions.group_unit))
        return _distinct(columns), {}
    document = _read_json(trial.dataset)
    return _described(document, description), _filters(document)


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
        raise _RefusedError(
            {
                "de": "Zwei Spalten der Datei unterscheiden sich nur in Großbuchstaben.",
                "en": "Two columns of the data file differ in case only. Rename one.",
            }
        )
    return columns


def _described(document: Mapping[str, object], description: TableDescription) -> tuple[Column, ...]:
    """Read the columns of a publication file."""
    types = dict(description.columns)
    stated = document.get("columns")
    if not isinstance(stated, list) or not stated:
        raise _RefusedError(
            {
                "de": "Die Beschreibung des Datensatzes nennt keine Spalten.",
                "en": "The dataset file names no columns.",
            }
        )
    return _distinct(tuple(_column(one, types) for one in stated))


def _column(stated: object, types: Mapping[str, str]) -> Column:
    name = stated.get("name") if isinstance(stated, dict) else None
    if not isinstance(stated, dict) or not isinstance(name, str) or name not in types:
        raise _RefusedError(
            {
                "de": "Die Beschreibung nennt eine Spalte, die es in der Datei nicht gibt.",
                "en": "The dataset file describes a column that the data file does not have.",
            }
        )
    roles = {role.value: role for role in ColumnRole}
    role, step = stated.get("role"), stated.get("step")
    if not isinstance(role, str) or role not in roles:
        known = ", ".join(roles)
        raise _RefusedError(
            {
                "de": f"Die Spalte {name} hat keine Rolle; möglich sind: {known}.",
                "en": f"The column {name} has no role; known are: {known}.",
            }
        )
    exact = float(step) if isinstance(step, int | float) else None
    return Column(name, types[name], roles[role], {}, step=exact)


def _filters(document: Mapping[str, object]) -> Mapping[str, RowFilter]:
    stated = document.get("row_filters", {})
    if not isinstance(stated, dict):
        raise _RefusedError(
            {
                "de": "Die Zeilenfilter der Beschreibung müssen ein Objekt sein: Name zu Filter.",
                "en": "The row filters of the dataset file must be an object: name to filter.",
            }
        )
    return {name: read_row_filter(name, one if isinstance(one, dict) else {}) for name, one in stated.items()}
