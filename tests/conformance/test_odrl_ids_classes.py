"""The 25 IDS usage-control classes, written in our terms: a lock each, a promise each, or a refusal."""

import asyncio
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from catalog.model import Column, ColumnRole
from connector.adapters.arrow_projections import ArrowProjections
from connector.evidence.receipts import Release
from connector.queries.decompose import site_statement, withhold
from connector.queries.errors import QueryRefusedError
from connector.queries.gate import plan_query
from connector.queries.merge import merge_partials
from connector.queries.permitted import masked_columns, permitted_columns, redaction_under
from connector.sandbox import query_program
from connector.services.releasing import record_release
from policies.consents import Consent, ConsentRegister, consenting
from policies.errors import PolicyRefusedError
from policies.evaluation import Facts, Request, evaluate
from policies.facts import Partner
from policies.ids_classes import IDS_CLASSES
from policies.model import Policy
from policies.odrl import parse_policy
from policies.restrictions import QueryRestrictions, offers_raw_data, permitted_names, query_restrictions
from policies.row_filters import RowFilter, RowFilterError
from policies.terms import Enforcement, classify, require_enforceable

ODRL = "http://www.w3.org/ns/odrl/2/"
POLICY = "https://w3id.org/allmende/policy/v1#"
DPV = "https://w3id.org/dpv#"
QUERY, COMPUTE = POLICY + "query", POLICY + "compute"
DATASET = "urn:uuid:dataset"
PROVIDER, CONSUMER, STRANGER = "did:web:provider", "did:web:consumer", "did:web:stranger"
AGREED = datetime(2026, 6, 1, 12, tzinfo=UTC)
PAGE = (Path(__file__).parents[2] / "docs" / "policy-profile.md").read_text(encoding="utf-8")
LEVELS = {
    **dict.fromkeys((*range(1, 12), 13, 14, 15, 18, 22, 23, 24, 25), Enforcement.ENFORCED),
    **dict.fromkeys((12, 16, 17, 19, 20), Enforcement.DECLARED),
    21: Enforcement.REFUSED,
}


def agreement(*constraints: dict[str, Any], action: str = QUERY, **members: Any) -> Policy:
    written = {
        "@type": "Agreement",
        "@id": "urn:uuid:agreement",
        "target": DATASET,
        "assigner": PROVIDER,
        "assignee": CONSUMER,
        "permission": [{"action": action, "constraint": list(constraints)}],
        **members,
    }
    policy = parse_policy(written)
    require_enforceable(policy)
    return policy


def limit(left_operand: str, operator: str, right_operand: Any) -> dict[str, Any]:
    return {"leftOperand": left_operand, "operator": operator, "rightOperand": right_operand}


def permitted(
    policy: Policy,
    *,
    assignee: str = CONSUMER,
    action: str = QUERY,
    purpose: str | None = None,
    algorithm: str | None = None,
    after: timedelta = timedelta(days=1),
    uses: int = 0,
    place: str | None = None,
    partner: Partner | None = None,
    events: dict[str, bool] | None = None,
) -> bool:
    request = Request(action, DATASET, assignee, purpose, algorithm)
    facts = Facts(
        AGREED + after,
        {"permission/0": uses},
        AGREED,
        place=place,
        partner=partner,
        events=events or {},
    )
    return evaluate(policy, request, facts).permitted


def only_the_partner() -> None:
    assert permitted(agreement())
    assert not permitted(agreement(), assignee=STRANGER)


def only_one_of_the_named_connectors() -> None:
    assert permitted(agreement(limit(POLICY + "assignee", "isAnyOf", ["did:web:other-connector", CONSUMER])))
    assert not permitted(agreement(limit(POLICY + "assignee", "isAnyOf", ["did:web:other-connector"])))


def only_the_named_program() -> None:
    policy = agreement(limit(POLICY + "algorithmDigest", "isAnyOf", ["a" * 64]), action=COMPUTE)
    assert permitted(policy, action=COMPUTE, algorithm="a" * 64)
    assert not permitted(policy, action=COMPUTE, algorithm="b" * 64)
    assert not permitted(policy, action=COMPUTE)


def only_at_the_place() -> None:
    policy = agreement(limit("spatial", "isPartOf", "DE"))
    assert permitted(policy, place="DE11")
    assert not permitted(policy, place="FR1")
    assert not permitted(policy)
    assert not offers_raw_data(agreement(limit("spatial", "isPartOf", "DE"), action="use"))


def only_for_the_purpose() -> None:
    policy = agreement(limit("purpose", "isA", DPV + "ResearchAndDevelopment"))
    assert permitted(policy, purpose=DPV + "AcademicResearch")
    assert not permitted(policy, purpose=DPV + "Marketing")
    assert not permitted(policy)


def only_with_the_role() -> None:
    policy = agreement(limit(POLICY + "role", "eq", "https://example.org/roles#auditor"))
    assert permitted(policy, partner=Partner(roles=frozenset({"https://example.org/roles#auditor"})))
    assert not permitted(policy, partner=Partner(roles=frozenset({"https://example.org/roles#trader"})))
    assert not permitted(policy)


def only_during_the_event() -> None:
    policy = agreement(limit("event", "eq", "Hannover Messe 2027"))
    assert permitted(policy, events={"Hannover Messe 2027": True})
    assert not permitted(policy, events={"Hannover Messe 2027": False})
    assert not permitted(policy, events={"another fair": True})


def only_with_the_security_level() -> None:
    policy = agreement(limit(POLICY + "securityLevel", "eq", "https://w3id.org/idsa/code/TRUST"))
    trusted = Partner(security_levels=frozenset({"https://w3id.org/idsa/code/TRUST"}))
    assert permitted(policy, partner=trusted)
    assert not permitted(policy, partner=Partner())
    assert not permitted(policy)


def only_for_partners_seated_there() -> None:
    policy = agreement(limit(POLICY + "seat", "isPartOf", "DE"))
    assert permitted(policy, partner=Partner(seat="DE12"))
    assert not permitted(policy, partner=Partner(seat="FR1"))
    assert not permitted(policy, partner=Partner())


def only_rows_with_consent() -> None:
    [permission] = agreement(limit(POLICY + "consent", "eq", "household_consents")).permissions
    restrictions = query_restrictions(permission)
    register = ConsentRegister("household", Path("consents.csv"))
    consents = [Consent("a"), Consent("b", until=AGREED), Consent("c", purpose=DPV + "Marketing")]
    filters = {
        "household_consents": consenting(register, consents, DPV + "Research", AGREED + timedelta(days=1))
    }
    data = pa.table({"household": ["a", "a", "b", "c", "d"], "load_kw": [1.0, 2.0, 3.0, 4.0, 5.0]})
    assert projection(restrictions, data, filters).to_pylist() == [
        {"household": "a", "load_kw": 1.0},
        {"household": "a", "load_kw": 2.0},
    ]
    with pytest.raises(RowFilterError, match="household_consents"):
        redaction_under(restrictions, {}, "urn:uuid:agreement")


def only_in_the_interval() -> None:
    policy = agreement(
        limit("dateTime", "gteq", "2026-06-02T00:00:00Z"), limit("dateTime", "lteq", "2026-06-30T23:59:59Z")
    )
    assert not permitted(policy, after=timedelta(hours=1))
    assert permitted(policy, after=timedelta(days=3))
    assert not permitted(policy, after=timedelta(days=40))


def only_for_a_time_from_the_agreement_on() -> None:
    policy = agreement(limit("elapsedTime", "lteq", "P30D"), limit("delayPeriod", "gteq", "P2D"))
    assert not permitted(policy, after=timedelta(days=1))
    assert permitted(policy, after=timedelta(days=30))
    assert not permitted(policy, after=timedelta(days=30, seconds=1))


def only_so_often() -> None:
    policy = agreement(limit("count", "lteq", "3"))
    assert permitted(policy, uses=2)
    assert not permitted(policy, uses=3)


NO_FILTERS: dict[str, RowFilter] = {}
COLUMNS = (
    Column("household", "string", ColumnRole.UNIT, {}),
    Column("postcode", "string", ColumnRole.DIMENSION, {}),
    Column("load_kw", "double", ColumnRole.MEASURE, {}),
)
HOUSEHOLDS = pa.table(
    {
        "household": [f"h{number}" for number in range(30)],
        "postcode": ["89073"] * 13 + ["89075"] * 12 + ["73430"] * 5,
        "load_kw": [1.0] * 13 + [3.0] * 12 + [9.0] * 5,
    }
)


def projection(
    restrictions: QueryRestrictions, data: pa.Table, consented: Mapping[str, RowFilter] = NO_FILTERS
) -> pa.Table:
    """Give what the engine gets of some data under an agreement."""
    names = permitted_names(restrictions, data.column_names)
    redaction = redaction_under(restrictions, {}, "urn:uuid:agreement", consented)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "data.parquet"
        pa.parquet.write_table(data, source)
        cut = ArrowProjections(Path(folder) / "cut", b"a secret of the provider").materialise(
            source, names, "digest", redaction
        )
        return pa.ipc.open_file(asyncio.run(cut).read_bytes()).read_all()


def answer(policy: Policy, statement: str) -> list[dict[str, Any]]:
    """Answer a query as a provider does: the gate, the projection, the engine, and what is withheld."""
    assert permitted(policy)
    [permission] = policy.permissions
    restrictions = query_restrictions(permission)
    plan = plan_query(statement, table="data", columns=permitted_columns(COLUMNS, restrictions))
    with query_program.prepare(1, 256) as engine:
        engine.register("data", projection(restrictions, HOUSEHOLDS))
        query_program.lock(engine, 10)
        found = query_program.run(
            engine, site_statement(plan, restrictions, masked_columns(COLUMNS, restrictions))
        )
    return merge_partials(plan, {PROVIDER: withhold(plan, restrictions, found)}).to_pylist()


def released(policy: Policy, statement: str) -> list[tuple[object, ...]]:
    """Give the figures that leave, group by group."""
    return [
        tuple(value for name, value in row.items() if name not in {"sites", "status"})
        for row in answer(policy, statement)
        if row["status"] == "released"
    ]


BY_POSTCODE = (
    "SELECT postcode, count(*) AS n, avg(load_kw) AS mean FROM data GROUP BY postcode ORDER BY n DESC"
)


def modified_before_it_leaves() -> None:
    assert released(agreement(), BY_POSTCODE) == [("89073", 13, 1.0), ("89075", 12, 3.0)]
    masked = agreement(limit(POLICY + "columnMask", "eq", "postcode=truncate:2"))
    assert released(masked, BY_POSTCODE) == [("89", 25, 1.96)]
    assert not any("89073" in str(row) for row in answer(masked, BY_POSTCODE))


def modified_before_the_engine_gets_it() -> None:
    masks = limit(POLICY + "columnMask", "isAllOf", ["postcode=hash", "load_kw=generalise:5"])
    [permission] = agreement(masks).permissions
    left = projection(query_restrictions(permission), HOUSEHOLDS)
    assert not {"89073", "89075", "73430"} & set(left["postcode"].to_pylist())
    assert all(re.fullmatch("[0-9a-f]{32}", text) for text in left["postcode"].to_pylist())
    assert set(left["load_kw"].to_pylist()) == {0.0, 5.0}


class LedgerUnwritableError(Exception):
    pass


class TransactionWithoutLedger:
    """Keeps documents, and fails wherever the ledger is read or written."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def save_document(self, identifier: str, _: bytes) -> None:
        self.kept.append(identifier)

    def __getattr__(self, name: str) -> Callable[..., object]:
        def fail(*_: object) -> object:
            raise LedgerUnwritableError(name)

        return fail


class Credentials:
    did = PROVIDER

    def prove(self, document: object, _: datetime) -> object:
        return document


def no_receipt_and_no_result() -> None:
    transaction: Any = TransactionWithoutLedger()
    credentials: Any = Credentials()
    values: dict[str, Any] = {"started": AGREED, "ended": AGREED, "outputs": (), "rules_applied": {}}
    values |= {"kind": "query", "decision": {}, "part": None, "epsilon": None}
    members = {
        field.name: values.get(field.name, 0 if field.type is int else "urn:x") for field in fields(Release)
    }
    with pytest.raises(LedgerUnwritableError):
        record_release(transaction, credentials, Release(**members))
    assert transaction.kept == []


def aggregated_and_never_single_rows() -> None:
    policy = agreement(limit(POLICY + "queryClass", "eq", "aggregate"))
    assert {use.level for use in classify(policy)} == {Enforcement.ENFORCED}
    with pytest.raises(PolicyRefusedError, match="possible: aggregate"):
        agreement(limit(POLICY + "queryClass", "eq", "rows"))
    assert released(policy, "SELECT count(*) AS n FROM data") == [(30,)]
    for rows in ("SELECT * FROM data", "SELECT postcode, load_kw FROM data", "SELECT load_kw FROM data"):
        with pytest.raises(QueryRefusedError) as refused:
            answer(policy, rows)
        assert refused.value.code == "row-level"


def withheld_columns_do_not_exist() -> None:
    policy = agreement(limit(POLICY + "deniedColumn", "isAnyOf", ["postcode"]))
    [permission] = policy.permissions
    assert projection(query_restrictions(permission), HOUSEHOLDS).column_names == ["household", "load_kw"]
    assert released(policy, "SELECT count(*) AS n, sum(load_kw) AS total FROM data") == [(30, 94.0)]
    with pytest.raises(QueryRefusedError) as refused:
        answer(policy, BY_POSTCODE)
    assert refused.value.code == "unknown-column"


def only_large_groups() -> None:
    def of(size: str) -> Policy:
        unit = limit(POLICY + "groupUnit", "eq", "household")
        return agreement(unit, limit(POLICY + "minGroupSize", "gteq", size))

    assert released(of("12"), BY_POSTCODE) == [("89073", 13, 1.0), ("89075", 12, 3.0)]
    assert released(of("13"), BY_POSTCODE) == [("89073", 13, 1.0)]
    assert released(of("14"), BY_POSTCODE) == []
    withheld = [row for row in answer(of("13"), BY_POSTCODE) if row["status"] == "suppressed"]
    assert {row["postcode"] for row in withheld} == {"89075", "73430"}
    assert all(row["n"] is None and row["mean"] is None for row in withheld)


LOCKS: dict[int, Callable[[], None]] = {
    1: only_the_partner,
    2: only_one_of_the_named_connectors,
    3: only_the_named_program,
    4: only_with_the_role,
    5: only_at_the_place,
    6: only_for_the_purpose,
    7: only_during_the_event,
    8: only_with_the_security_level,
    9: only_in_the_interval,
    10: only_for_a_time_from_the_agreement_on,
    11: only_so_often,
    13: modified_before_it_leaves,
    14: modified_before_the_engine_gets_it,
    15: no_receipt_and_no_result,
    18: aggregated_and_never_single_rows,
    22: only_for_partners_seated_there,
    23: only_rows_with_consent,
    24: withheld_columns_do_not_exist,
    25: only_large_groups,
}

PROMISES = {12: "delete", 16: "inform", 17: "nextPolicy", 19: "compensate", 20: "compensate"}

REFUSALS = {
    21: limit("https://w3id.org/idsa/code/state", "eq", "emergency"),
}


def test_all_25_classes_have_a_row() -> None:
    assert {row.number: row.level for row in IDS_CLASSES} == LEVELS
    assert {*LOCKS, *PROMISES, *REFUSALS} == set(range(1, 26))


@pytest.mark.parametrize("number", LOCKS)
def test_a_class_that_is_enforced_is_a_lock(number: int) -> None:
    assert LEVELS[number] is Enforcement.ENFORCED
    LOCKS[number]()


@pytest.mark.parametrize("number", PROMISES)
def test_a_class_that_is_declared_is_a_promise_of_the_partner(number: int) -> None:
    policy = agreement(obligation=[{"action": PROMISES[number]}])
    [promise] = [use for use in classify(policy) if use.rule == "obligation/0"]
    assert (promise.term, promise.level) == (ODRL + PROMISES[number], Enforcement.DECLARED)
    assert IDS_CLASSES[number - 1].terms == (promise.term,)


@pytest.mark.parametrize("number", REFUSALS)
def test_a_class_that_nothing_here_keeps_is_refused_by_name(number: int) -> None:
    with pytest.raises(PolicyRefusedError) as refused:
        agreement(REFUSALS[number])
    written = REFUSALS[number]["leftOperand"]
    assert refused.value.term == (written if ":" in written else ODRL + written)


def test_the_page_says_the_same_about_every_class() -> None:
    rows = {
        int(number): (name, level)
        for number, name, level in re.findall(r"^\| (\d+) \| ([^|]+) \| (\w+) \|", PAGE, re.MULTILINE)
    }
    assert rows == {row.number: (row.name["en"], row.level.value) for row in IDS_CLASSES}
