"""Trying out a policy: what a partner would get for a statement, found out on this machine.

The same decision, gate, projection, engine, sandbox and checks as for a partner, over a
file of one's own instead of a published dataset; the file is the table `data`. Nothing
is published, counted or signed, and no connector has to be set up.

Without a description of the dataset, columns get their roles from the policy and from
their types: the group unit is the unit; texts, truth values and days are dimensions;
times are times; numbers are measures, and whole numbers dimensions as well. What the
place, the events and the partners are, a connector's configuration says; without one
nothing is known about them.
"""

import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa

from connector.adapters.arrow_projections import ArrowProjections
from connector.adapters.consent_files import ConsentFiles
from connector.adapters.duckdb_queries import DuckdbQueries
from connector.adapters.opendp_noise import OpendpNoise
from connector.ports import TableDescription
from connector.queries.decompose import withhold
from connector.queries.errors import EngineFailedError, QueryError, QueryRefusedError, refusal
from connector.queries.gate import plan_query
from connector.queries.history import Answered
from connector.queries.merge import SITES, merge_partials
from connector.queries.noisy import (
    NoisyQuestion,
    bounded_statement,
    exact_figures,
    noisy_partials,
    noisy_question,
)
from connector.queries.partials import STATUS, GroupStatus
from connector.queries.permitted import (
    Redaction,
    masked_columns,
    permitted_columns,
    projected_columns,
    redaction_under,
)
from connector.queries.plan import QueryPlan
from connector.services.auditing import View, examine
from connector.services.consenting import consent_filters, usable_registers
from connector.settings import ConfigurationError, read_settings
from connector.trial_dataset import (
    TrialDataset,
    TrialRefusedError,
    described_dataset,
    inferred_dataset,
    read_document,
)
from policies.actions import includes
from policies.circumstances import NOTHING_STATED, Circumstances, Uses
from policies.errors import PolicyError
from policies.evaluation import Decision, Request, evaluate
from policies.explanation import named
from policies.facts import Facts
from policies.inheritance import by_identifier, flattened
from policies.left_operands import (
    EVENT,
    LEFT_OPERANDS,
    MEMBERSHIP,
    ORGANISATION,
    ROLE,
    SEAT,
    SECURITY_LEVEL,
    SPATIAL,
    TIME_INTERVAL,
)
from policies.model import (
    Connective,
    Constraint,
    LanguageMap,
    LogicalConstraint,
    Permission,
    Policy,
    Prohibition,
)
from policies.odrl import parse_policy
from policies.references import require_columns, require_events, require_registers
from policies.restrictions import (
    LIMITS_IN_WORDS,
    QueryRestrictions,
    limits_in_words,
    query_restrictions,
)
from policies.terms import require_enforceable
from policies.values import ValueType, read_value
from policies.wording import as_limit, as_prohibition, as_trigger, sentence, together
from schemas.errors import in_english
from schemas.strict_json import JsonObject, JsonValue
from schemas.vocabulary import POLICY

__all__ = ["Outcome", "Trial", "try_query"]

TABLE: Final = "data"
_QUERY_ACTION: Final = POLICY + "query"
_TARGET: Final = "urn:allmende:try:data"
_PARTNER: Final = "did:web:partner.invalid"
_SECRET: Final = b"not secret: hashes of a trial look like hashes and are worth nothing"
_SECONDS: Final = 60.0
_DID: Final = re.compile(r"did:[a-z0-9]+:[A-Za-z0-9._:%-]+")
_STATED: Final = frozenset({SPATIAL, EVENT, ORGANISATION, MEMBERSHIP, ROLE, SECURITY_LEVEL, SEAT})
"""What only a connector's configuration says."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be tried.

    Attributes:
        data: A Parquet, CSV or Arrow file.
        policy: An ODRL policy as JSON: a Set or an Offer, with or without a target, or an agreement.
        statement: What the partner asks, over the table `data`.
        purpose: The purpose that the partner declares; None where it declares none.
        partner: Who asks; None for the policy's assignee, or anybody.
        dataset: A publication file, as `POST /api/datasets` takes it, whose columns,
            row filters, registers of consents and privacy are used; None to infer columns.
        earlier: Statements that the partner was answered before, in order.
        parents: Policies whose rules the policy takes over, as JSON.
        config: A connector's configuration, which states the place, the events and
            the partners; None where nothing is known about them.
        at: When the partner asks, as an XML Schema dateTime with a zone; None for now.
        started: When the agreement was made; None for the moment at which the partner asks.
        last_used: When the partner last used it; None for never, if there are no earlier statements.
        uses: How often it was used before; None for once per earlier statement.
    """

    data: Path
    policy: Path
    statement: str
    purpose: str | None = None
    partner: str | None = None
    dataset: Path | None = None
    earlier: tuple[str, ...] = ()
    parents: tuple[Path, ...] = ()
    config: Path | None = None
    at: str | None = None
    started: str | None = None
    last_used: str | None = None
    uses: int | None = None


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
        # What came from the command line need not be text that can be written.
        return json.dumps(shown, ensure_ascii=False).encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A policy, what is asked under it, and what is known."""

    policy: Policy
    request: Request
    facts: Facts


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a trial is answered under.

    Attributes:
        permission: The permission that opens it.
        prohibitions: The prohibitions that were looked at and do not apply.
        restrictions: What the permission leaves.
        dataset: What is known about the data.
    """

    permission: Permission
    prohibitions: tuple[Prohibition, ...]
    restrictions: QueryRestrictions
    dataset: TrialDataset


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
        parents = [read_document(parent) for parent in trial.parents]
        asked = _asked(_policy(read_document(trial.policy), parents), trial, now)
        permission = _opening(asked, trial)
        with tempfile.TemporaryDirectory(prefix="allmende-try-") as directory:
            return await _answer(trial, asked, permission, ArrowProjections(Path(directory), _SECRET))
    except EngineFailedError:
        return Outcome("refused", _ENGINE_FAILED)
    except (TrialRefusedError, PolicyError, QueryError, ConfigurationError) as problem:
        return Outcome("refused", problem.reason)
    except OSError as problem:
        reason = {
            "de": f"Die Abfrage kann hier nicht ausprobiert werden {in_english(problem)}.",
            "en": f"The query cannot be tried here: {problem}.",
        }
        return Outcome("refused", reason)


_ENGINE_FAILED: Final[LanguageMap] = {
    "de": "Die Engine konnte die Abfrage nicht beantworten. Mehr steht auf der Standardfehlerausgabe.",
    "en": "The query could not be answered by the engine. Standard error says more.",
}


def _policy(document: Mapping[str, object], parents: Sequence[Mapping[str, object]]) -> Policy:
    policy = parse_policy(flattened(named(document), by_identifier(parents)))
    require_enforceable(policy)
    return policy if policy.target else replace(policy, target=_TARGET)


def _asked(policy: Policy, trial: Trial, now: datetime) -> _Asked:
    """Say what the partner asks, when, and what is known about it."""
    circumstances = NOTHING_STATED if trial.config is None else read_settings(trial.config).circumstances
    require_events(policy, circumstances.event_names)
    at = _moment("--at", trial.at) or now
    started = _moment("--started", trial.started) or at
    last_used = _moment("--last-used", trial.last_used)
    for option, moment in (("--started", started), ("--last-used", last_used)):
        if moment is not None and moment > at:
            raise TrialRefusedError(sentence(*_LATER, option=option))
    request = Request(
        _QUERY_ACTION, policy.target or _TARGET, _partner(policy, trial, circumstances), _purpose(trial)
    )
    uses = _uses(policy, trial, last_used)
    return _Asked(policy, request, circumstances.facts(at, request.assignee, uses=uses, started=started))


_LATER: Final = (
    "Die Zeit nach {option} liegt nach dem Zeitpunkt, zu dem der Partner fragt.",
    "The time after {option} is later than the moment at which the partner asks.",
)


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = read_value(ValueType.DATE_TIME, text)
    if not isinstance(moment, datetime):
        raise TrialRefusedError(
            sentence(
                "{option} braucht einen Zeitpunkt mit Zeitzone wie 2027-01-31T12:00:00Z, nicht {text}.",
                "{option} takes a time with its zone, such as 2027-01-31T12:00:00Z, not {text}.",
                option=option,
                text=text,
            )
        )
    return moment


def _purpose(trial: Trial) -> str | None:
    if trial.purpose is not None and read_value(ValueType.IRI, trial.purpose) is None:
        raise TrialRefusedError(
            sentence(
                "Der Zweck {purpose} ist kein absoluter IRI wie https://w3id.org/dpv#AcademicResearch.",
                "The purpose {purpose} is no absolute IRI, such as https://w3id.org/dpv#AcademicResearch.",
                purpose=trial.purpose,
            )
        )
    return trial.purpose


def _partner(policy: Policy, trial: Trial, circumstances: Circumstances) -> str:
    partner = trial.partner
    if partner is None:
        return policy.assignee or _PARTNER
    # Some participants have no DID; they are known where their name is written.
    if not _DID.fullmatch(partner) and partner not in {policy.assignee, *circumstances.partners}:
        raise TrialRefusedError(
            sentence(
                "Der Partner {partner} ist kein DID wie did:web:daten.example.de.",
                "The partner {partner} is no DID, such as did:web:daten.example.de.",
                partner=partner,
            )
        )
    return partner


def _uses(policy: Policy, trial: Trial, last_used: datetime | None) -> Uses:
    """Say how often each permission was used, and when last; after earlier statements that is not known."""
    rules = [rule.identifier for rule in policy.permissions]
    used = bool(trial.uses or trial.earlier)
    return Uses(
        dict.fromkeys(rules, len(trial.earlier) if trial.uses is None else trial.uses),
        dict.fromkeys(rules, last_used) if last_used or not used else {},
        dict.fromkeys(rules, timedelta(0)),
    )


def _opening(asked: _Asked, trial: Trial) -> Permission:
    """Find the permission that opens the query, as at a partner's access."""
    decision = evaluate(asked.policy, asked.request, asked.facts)
    if decision.permission is None or not decision.permitted:
        reason = {language: decision.explain(language) for language in ("de", "en")}
        raise TrialRefusedError(together((reason, *_remedy(decision, trial))))
    return decision.permission


def _remedy(decision: Decision, trial: Trial) -> Iterator[LanguageMap]:
    """Say how a trial gets to know what is not known in it."""
    first = decision.reasons[0]
    if first.satisfied is not None:
        return
    if first.left_operand in _STATED and trial.config is None:
        yield {
            "de": "Ort, Ereignisse und Partner nennt die Konfiguration eines Connectors: --config DATEI.",
            "en": "The configuration of a connector states place, events and partners: --config FILE.",
        }
    elif first.left_operand == TIME_INTERVAL:
        yield {
            "de": "Wann die letzte Nutzung war, sagt --last-used ZEIT.",
            "en": "--last-used TIME says when the last use was.",
        }


async def _answer(
    trial: Trial, asked: _Asked, permission: Permission, projections: ArrowProjections
) -> Outcome:
    description = await projections.describe(trial.data)
    opened = _opened(trial, asked, permission, description)
    restrictions, columns = opened.restrictions, opened.dataset.columns
    plans = _plans(trial, opened)
    projection = await projections.materialise(
        trial.data,
        _projected(opened),
        description.digest,
        await _redaction(opened, asked, description),
        numbered=True,
    )
    view = View(TABLE, masked_columns(columns, restrictions), restrictions, projection)
    if restrictions.noise is not None:
        question = noisy_question(plans[-1], restrictions, opened.dataset.privacy, columns)
        noisy = await _noisy_answer(plans[-1], question, view)
        return _outcome(plans[-1], opened, noisy)
    partials = await _last_answer(plans, view)
    return _outcome(plans[-1], opened, withhold(plans[-1], restrictions, partials))


def _opened(trial: Trial, asked: _Asked, permission: Permission, description: TableDescription) -> _Opened:
    """Find out what is left of the data, once the policy is one that could be published with them."""
    restrictions = query_restrictions(permission)
    if trial.dataset is None:
        if named := sorted({*restrictions.row_filters, *restrictions.consents}):
            raise TrialRefusedError(sentence(*_NOT_STATED, names=", ".join(named)))
        dataset = inferred_dataset(description, restrictions.group_unit)
    else:
        dataset = described_dataset(trial.dataset, description)
    require_columns(asked.policy, dataset.names, dataset.units)
    require_registers(asked.policy, dataset.consents)
    looked_at = (
        rule
        for rule in asked.policy.prohibitions
        if includes(rule.action, _QUERY_ACTION, asked.facts.world.actions)
    )
    return _Opened(permission, tuple(looked_at), restrictions, dataset)


_NOT_STATED: Final = (
    "Der Vertrag nennt Zeilenfilter oder Einwilligungsregister: {names}. --dataset DATEI sagt, was sie sind.",
    "The policy names row filters or registers of consents: {names}. --dataset FILE says what they are.",
)


def _projected(opened: _Opened) -> tuple[str, ...]:
    names = projected_columns(opened.dataset.columns, opened.restrictions)
    if not names:
        raise TrialRefusedError(
            {
                "de": "Keine Spalte, die der Vertrag übrig lässt, ist von einem Typ, den Abfragen verwenden.",
                "en": "No column that the policy leaves is of a type that queries can use.",
            }
        )
    return names


async def _redaction(opened: _Opened, asked: _Asked, description: TableDescription) -> Redaction:
    files = ConsentFiles()
    registers = await usable_registers(files, opened.dataset.consents, description)
    consented = await consent_filters(
        files, registers, opened.restrictions.consents, asked.request.purpose, asked.facts.now
    )
    return redaction_under(opened.restrictions, opened.dataset.row_filters, _TARGET, consented)


def _plans(trial: Trial, opened: _Opened) -> list[QueryPlan]:
    """Plan the statement, and before it those that were answered earlier."""
    columns = permitted_columns(opened.dataset.columns, opened.restrictions)
    plans = []
    for position, statement in enumerate(trial.earlier):
        with _about_earlier(position):
            plans.append(plan_query(statement, table=TABLE, columns=columns))
    return [*plans, plan_query(trial.statement, table=TABLE, columns=columns)]


@contextmanager
def _about_earlier(position: int) -> Iterator[None]:
    """Say of a refusal that an earlier statement is meant."""
    try:
        yield
    except QueryRefusedError as refused:
        raise TrialRefusedError(
            sentence(
                "Die frühere Abfrage {number} (--after) wäre nicht beantwortet worden: {reason}",
                "The earlier statement {number} (--after) would not have been answered: {reason}",
                number=str(position + 1),
                reason=refused.reason,
            )
        ) from None


async def _last_answer(plans: Sequence[QueryPlan], view: View) -> pa.Table:
    """Answer several queries one after the other, each in the light of those before; give the last answer."""
    engine = DuckdbQueries.on_this_machine()
    history: list[Answered] = []
    try:
        for position, plan in enumerate(plans[:-1]):
            with _about_earlier(position):
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


def _outcome(plan: QueryPlan, opened: _Opened, partials: pa.Table) -> Outcome:
    withheld = partials.column(STATUS).to_pylist().count(GroupStatus.SUPPRESSED.value)
    merged = merge_partials(plan, {"data": partials})
    released = [row for row in merged.to_pylist() if row[STATUS] == GroupStatus.RELEASED.value]
    rows = tuple(
        {name: _plain(value) for name, value in row.items() if name not in {SITES, STATUS}}
        for row in released
    )
    if not withheld:
        return Outcome("ok", None, rows, tuple(_enforced(opened)))
    reason = _withheld(withheld, partials.num_rows, plan)
    return Outcome("suppressed", reason, rows, tuple(_enforced(opened)))


def _withheld(withheld: int, groups: int, plan: QueryPlan) -> LanguageMap:
    why = sentence(
        "{withheld} von {groups} Gruppen werden zurückgehalten, weil sie zu klein sind oder zu viel "
        "über Einzelne verraten würden. Gruppieren Sie gröber.",
        "{withheld} of {groups} groups are withheld because they are too small or would tell too much "
        "about single units. Group more coarsely.",
        withheld=str(withheld),
        groups=str(groups),
    )
    measured = sorted({one.column for one in plan.aggregates if one.column is not None})
    if not measured:
        return why
    counted = sentence(
        "Zeilen, in denen {columns} leer, unendlich oder keine Zahl (NaN) ist, zählen nicht mit.",
        "Rows in which {columns} is empty, infinite or not a number (NaN) do not count.",
        columns=", ".join(measured),
    )
    return together((why, counted))


def _enforced(opened: _Opened) -> Iterator[LanguageMap]:
    """Say what was enforced: every condition and limit of the permission, and what does not prohibit it."""
    yield sentence(
        "Erlaubt durch {rule}: nur zusammengefasste Werte.",
        "Permitted by {rule}: aggregates only.",
        rule=opened.permission.identifier,
    )
    for constraint in (*opened.permission.constraints, *opened.permission.refinements):
        if not isinstance(constraint, Constraint):
            yield as_limit(constraint)
        elif constraint.left_operand not in LIMITS_IN_WORDS:
            promised = LEFT_OPERANDS[constraint.left_operand].declared
            yield together((as_limit(constraint), _PROMISED)) if promised else as_limit(constraint)
    yield from limits_in_words(opened.restrictions)
    yield from map(_not_in_force, opened.prohibitions)
    yield _CONFINED


_PROMISED: Final[LanguageMap] = {
    "de": "Das ist eine Zusage des Partners.",
    "en": "This is a promise of the partner.",
}


def _not_in_force(prohibition: Prohibition) -> LanguageMap:
    conditions = (*prohibition.constraints, *prohibition.refinements)
    if len(conditions) > 1:
        conditions = (LogicalConstraint(Connective.AND, conditions),)
    return sentence(
        "Geprüft und hier nicht in Kraft: {prohibition}",
        "Looked at, and not in force here: {prohibition}",
        prohibition=together((as_prohibition(prohibition.action), *map(as_trigger, conditions))),
    )


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
