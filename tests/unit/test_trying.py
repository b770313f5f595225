"""Trying out a policy on a file: the same gate, engine, sandbox and checks as for a partner."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from connector.cli import app
from connector.sandbox.launch import Sandbox, SandboxUnavailableError

POLICY = "https://w3id.org/allmende/policy/v1#"
PURPOSE = POLICY + "LoadForecasting"
SECRET = "SECRET-4711"


@pytest.fixture(scope="module", autouse=True)
def sandbox() -> None:
    try:
        Sandbox.probe()
    except SandboxUnavailableError as error:
        pytest.skip(f"no sandbox on this machine: {error}")


def people(region: str, count: int) -> list[tuple[str, str, int, float]]:
    return [
        (f"{SECRET}-{region}-{number}", region, 20 + number % 40, 1000.0 + number) for number in range(count)
    ]


def table() -> pa.Table:
    rows = [*people("Ulm", 40), *people("Aalen", 30), *people("Calw", 3)]
    random.Random(1).shuffle(rows)  # noqa: S311 - the same order in every run
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pa.table(
        {
            "person": [row[0] for row in rows],
            "region": [row[1] for row in rows],
            "age": [row[2] for row in rows],
            "income": [row[3] for row in rows],
            "at": pa.array(
                [start + timedelta(hours=number) for number in range(len(rows))], pa.timestamp("ns", "UTC")
            ),
            "tags": [[SECRET]] * len(rows),
        }
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "people.parquet"
    pa.parquet.write_table(table(), path)
    return path


def own(name: str, operator: str, *values: str) -> dict:
    return {
        "leftOperand": POLICY + name,
        "operator": operator,
        "rightOperand": list(values) if len(values) > 1 else values[0],
    }


UNIT = own("groupUnit", "eq", "person")
SIZE = own("minGroupSize", "gteq", "5")

Try = Callable[..., tuple[int, Any]]


@pytest.fixture
def attempt(data: Path, tmp_path: Path) -> Try:
    def attempted(
        statement: str, *constraints: dict, options: tuple[str, ...] = (), **members: object
    ) -> tuple[int, Any]:
        path = tmp_path / "policy.json"
        rule = {"action": POLICY + "query", "constraint": [UNIT, SIZE, *constraints]}
        path.write_text(json.dumps({"@type": "Set", "permission": [rule], **members}))
        return run("--data", str(data), "--policy", str(path), *options, statement)

    return attempted


def run(*arguments: str) -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["query", "try", *arguments], catch_exceptions=False)
    assert result.stdout.count("\n") == 1
    return result.exit_code, json.loads(result.stdout)


def test_a_lawful_query_is_answered_and_says_what_was_enforced(attempt: Try) -> None:
    code, found = attempt("SELECT avg(income) AS mean, count(*) AS n FROM data")
    assert code == 0
    assert set(found) == {"status", "reason", "rows", "enforced"}
    assert (found["status"], found["reason"]) == ("ok", None)
    assert found["rows"] == [{"mean": pytest.approx(1016.0, abs=10), "n": 73}]
    assert "at least 5 different person" in found["enforced"]


def test_small_groups_are_withheld_with_the_names_of_their_groups(attempt: Try) -> None:
    code, found = attempt("SELECT region, count(*) AS n FROM data GROUP BY region ORDER BY n DESC")
    assert (code, found["status"]) == (0, "suppressed")
    assert found["rows"] == [{"region": "Ulm", "n": 40}, {"region": "Aalen", "n": 30}]
    assert found["reason"].startswith("1 of 3 groups")


def test_nobody_is_singled_out(attempt: Try) -> None:
    code, found = attempt("SELECT avg(income) FROM data WHERE region = 'Calw'")
    assert (code, found["status"], found["rows"]) == (0, "suppressed", [])


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM data",
        "SELECT person, income FROM data",
        "SELECT count(*) FROM data GROUP BY person",
        "SELECT avg(income) FROM data WHERE person = 'x'",
        "SELECT max(income) FROM data",
        "SELECT tags, count(*) FROM data GROUP BY 1",
        "SELECT count(*) FROM read_parquet('people.parquet')",
        "DROP TABLE data",
        "",
        "\x00",
    ],
)
def test_what_a_partner_may_not_ask_is_refused_with_a_sentence(attempt: Try, statement: str) -> None:
    code, found = attempt(statement)
    assert (code, found["status"], found["rows"]) == (3, "refused", [])
    assert found["reason"].endswith(".")
    assert SECRET not in json.dumps(found)


def test_whole_numbers_can_be_grouped_filtered_and_averaged(attempt: Try) -> None:
    _, found = attempt("SELECT count(*) AS n, avg(age) AS age FROM data WHERE age < 40")
    assert found["status"] == "ok"
    assert found["rows"][0]["n"] > 5


def test_times_of_nanoseconds_are_read(attempt: Try) -> None:
    _, found = attempt("SELECT date_trunc('day', at) AS day, count(*) AS n FROM data GROUP BY 1 ORDER BY 1")
    assert found["rows"][0] == {"day": "2026-01-01", "n": 24}


def test_the_purpose_decides(attempt: Try) -> None:
    purpose = {"leftOperand": "purpose", "operator": "isA", "rightOperand": PURPOSE}
    statement = "SELECT count(*) AS n FROM data"
    code, found = attempt(statement, purpose)
    assert (code, found["status"]) == (3, "refused")
    code, found = attempt(statement, purpose, options=("--purpose", PURPOSE))
    assert (code, found["rows"]) == (0, [{"n": 73}])


def test_the_rules_that_a_policy_takes_over_decide_too(attempt: Try, tmp_path: Path) -> None:
    statement, heir = "SELECT count(*) AS n FROM data", {"inheritFrom": "urn:house"}
    parent = tmp_path / "parent.json"
    parent.write_text(json.dumps({"@id": "urn:house", "prohibition": [{"action": POLICY + "query"}]}))
    code, found = attempt(statement, **heir)
    assert (code, found["status"]) == (3, "refused")
    assert "urn:house, whose rules are taken over, is not at hand" in found["reason"]
    code, found = attempt(statement, options=("--parent", str(parent)), **heir)
    assert (code, found["status"]) == (3, "refused")
    assert "Prohibited" in found["reason"]
    parent.write_text(json.dumps({"@id": "urn:house", "prohibition": [{"action": "sell"}]}))
    code, found = attempt(statement, options=("--parent", str(parent)), **heir)
    assert (code, found["rows"]) == (0, [{"n": 73}])


def test_columns_that_the_policy_withholds_do_not_exist(attempt: Try) -> None:
    for constraint in (own("deniedColumn", "eq", "income"), own("allowedColumn", "isAnyOf", "region", "age")):
        code, found = attempt("SELECT avg(income) FROM data", constraint)
        assert (code, found["status"]) == (3, "refused")
        assert "does not exist" in found["reason"]
        assert attempt("SELECT count(*) AS n FROM data", constraint)[1]["rows"] == [{"n": 73}]


def test_masks_are_applied_before_the_query(attempt: Try) -> None:
    statement = "SELECT region, count(*) AS n FROM data GROUP BY 1 ORDER BY 1"
    _, found = attempt(statement, own("columnMask", "eq", "region=truncate:1"))
    assert found["rows"] == [{"region": "A", "n": 30}, {"region": "U", "n": 40}]
    _, found = attempt(statement, own("columnMask", "eq", "region=hash"))
    assert sorted(row["n"] for row in found["rows"]) == [30, 40]
    assert not {"Ulm", "Aalen"} & {row["region"] for row in found["rows"]}
    _, found = attempt("SELECT avg(income) AS mean FROM data", own("columnMask", "eq", "income=null"))
    assert (found["status"], found["rows"]) == ("suppressed", [])


def test_row_filters_come_from_the_publication_and_nowhere_else(attempt: Try, tmp_path: Path) -> None:
    constraint, statement = (
        own("rowFilter", "eq", "large"),
        "SELECT region, count(*) AS n FROM data GROUP BY 1",
    )
    code, found = attempt(statement, constraint)
    assert (code, found["status"]) == (3, "refused")
    assert "large" in found["reason"]
    dataset = tmp_path / "dataset.json"
    columns = [
        {"name": "person", "role": "unit"},
        {"name": "region", "role": "dimension"},
        {"name": "income", "role": "measure", "step": 10},
    ]
    filters = {"large": {"column": "region", "operator": "neq", "values": ["Calw"]}}
    dataset.write_text(json.dumps({"columns": columns, "row_filters": filters}))
    _, found = attempt(statement, constraint, options=("--dataset", str(dataset)))
    assert found["status"] == "ok"
    assert {row["region"] for row in found["rows"]} == {"Ulm", "Aalen"}
    _, found = attempt(
        "SELECT max(income) AS peak FROM data", constraint, options=("--dataset", str(dataset))
    )
    assert found["rows"] == [{"peak": 1030.0}]


def test_dominance_and_rounding_are_applied(attempt: Try) -> None:
    statement = "SELECT sum(income) AS total, count(*) AS n FROM data"
    _, found = attempt(statement, own("roundingBase", "eq", "50"))
    assert found["rows"][0]["n"] == 50
    _, found = attempt(statement, own("maxCellDominance", "eq", "2,2"))
    assert (found["status"], found["rows"]) == ("suppressed", [])


def test_earlier_queries_count(attempt: Try) -> None:
    total, groups = "SELECT count(*) AS n FROM data", "SELECT region, count(*) AS n FROM data GROUP BY region"
    _, found = attempt(groups, options=("--after", total))
    assert found["rows"] == [{"region": "Ulm", "n": 40}]
    code, found = attempt(total, options=("--after", groups))
    assert (code, found["status"]) == (3, "refused")
    assert "earlier answers" in found["reason"]


@pytest.mark.parametrize(
    "members",
    [
        {"@type": "Offer"},
        {"@type": "Offer", "@id": "urn:uuid:1", "target": "urn:mine"},
        {
            "@type": "Agreement",
            "@id": "urn:1",
            "target": "urn:2",
            "assigner": "did:web:a",
            "assignee": "did:web:b",
        },
        {"profile": "https://w3id.org/allmende/policy/v1", "@context": "http://www.w3.org/ns/odrl.jsonld"},
    ],
)
def test_any_kind_of_policy_can_be_tried(attempt: Try, members: dict) -> None:
    assert attempt("SELECT count(*) AS n FROM data", **members)[1]["rows"] == [{"n": 73}]


@pytest.mark.parametrize(
    "members",
    [
        {"permission": []},
        {"permission": [{"action": "reproduce"}]},
        {"permission": [{"action": POLICY + "query", "constraint": [own("nothing", "eq", "x")]}]},
        {"prohibition": [{"action": POLICY + "query"}]},
        {"profile": "https://example.org/unknown"},
    ],
)
def test_a_policy_that_permits_no_query_refuses_it(attempt: Try, members: dict) -> None:
    code, found = attempt("SELECT count(*) FROM data", **members)
    assert (code, found["status"]) == (3, "refused")
    assert found["reason"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\xfe", b'{"@id": 1}', b'"x"'])
def test_a_policy_that_cannot_be_read_is_refused_without_a_traceback(
    data: Path, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "policy.json"
    if content is not None:
        path.write_bytes(content)
    code, found = run("--data", str(data), "--policy", str(path), "SELECT count(*) FROM data")
    assert (code, found["status"], found["rows"], found["enforced"]) == (3, "refused", [], [])
    assert found["reason"].endswith(".")


@pytest.mark.parametrize(
    "name", ["missing.parquet", "broken.parquet", "empty.csv", "people.xlsx", "folder.parquet"]
)
def test_data_that_cannot_be_read_are_refused_without_a_traceback(
    attempt: Try, tmp_path: Path, name: str
) -> None:
    attempt("SELECT count(*) FROM data")  # writes the policy
    path = tmp_path / name
    if name.startswith(("broken", "empty", "people")):
        path.write_bytes(b"" if name == "empty.csv" else b"PAR1 nonsense")
    if name.startswith("folder"):
        path.mkdir()
    code, found = run(
        "--data", str(path), "--policy", str(tmp_path / "policy.json"), "SELECT count(*) FROM data"
    )
    assert (code, found["status"]) == (3, "refused")
    assert found["reason"].endswith(".")


def test_a_csv_file_is_a_table_as_well(attempt: Try, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    pa.csv.write_csv(table().drop_columns(["tags"]), path)
    attempt("SELECT count(*) FROM data")
    code, found = run(
        "--data",
        str(path),
        "--policy",
        str(tmp_path / "policy.json"),
        "SELECT sum(age) AS s, count(*) AS n FROM data",
    )
    assert (code, found["rows"][0]["n"]) == (0, 73)


COUNT = "SELECT count(*) AS n FROM data"
ALL = [{"n": 73}]


@pytest.mark.parametrize(
    ("constraint", "column"),
    [
        (own("deniedColumn", "eq", "incme"), "incme"),
        (own("columnMask", "eq", "nope=hash"), "nope"),
        (own("allowedColumn", "isAnyOf", "region", "nocol"), "nocol"),
        (own("allowedColumn", "eq", "nocol"), "nocol"),
    ],
)
def test_a_policy_that_names_no_column_of_the_data_is_refused_as_when_it_is_published(
    attempt: Try, constraint: dict, column: str
) -> None:
    code, found = attempt("SELECT avg(income) FROM data", constraint)
    assert (code, found["status"], found["rows"], found["enforced"]) == (3, "refused", [], [])
    assert f"names columns that the dataset does not have: {column}." in found["reason"]
    assert "It has: person, region, age, income, at, tags." in found["reason"]


def test_a_group_unit_has_to_be_described_as_a_unit(attempt: Try, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset.json"
    dataset.write_text(json.dumps({"columns": [{"name": "person", "role": "dimension"}]}))
    code, found = attempt(COUNT, options=("--dataset", str(dataset)))
    assert (code, found["reason"]) == (3, "The group unit person is not described as a unit column.")


def test_a_policy_that_leaves_no_column_is_refused_before_the_engine(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    for constraints, reason in (
        ([own("allowedColumn", "eq", "age"), own("deniedColumn", "eq", "age")], "leaves no column"),
        ([own("allowedColumn", "eq", "tags")], "of a type that queries can use"),
    ):
        rule = {"action": POLICY + "query", "constraint": constraints}
        path.write_text(json.dumps({"@type": "Set", "permission": [rule]}))
        code, found = run("--data", str(data), "--policy", str(path), COUNT)
        assert code == 3
        assert reason in found["reason"]


def limit(name: str, operator: str, value: str) -> dict:
    return {"leftOperand": name, "operator": operator, "rightOperand": value}


def test_the_first_query_needs_no_time_since_the_last_one(attempt: Try) -> None:
    constraint = limit("timeInterval", "gteq", "PT1H")
    assert attempt(COUNT, constraint)[1]["rows"] == ALL
    at = ("--at", "2027-01-31T12:00:00Z", "--last-used")
    code, found = attempt(COUNT, constraint, options=(*at, "2027-01-31T11:30:00Z"))
    assert (code, found["status"]) == (3, "refused")
    assert "At least 1 hour" in found["reason"]
    assert attempt(COUNT, constraint, options=(*at, "2027-01-31T10:30:00Z"))[1]["rows"] == ALL
    code, found = attempt(COUNT, constraint, options=("--after", COUNT))
    assert code == 3
    assert "--last-used TIME" in found["reason"]


def test_earlier_statements_are_uses(attempt: Try) -> None:
    constraint = limit("count", "lteq", "2")
    assert attempt(COUNT, constraint, options=("--after", COUNT))[1]["rows"] == ALL
    code, found = attempt(COUNT, constraint, options=("--after", COUNT, "--after", COUNT))
    assert code == 3
    assert "used up" in found["reason"]
    assert attempt(COUNT, constraint, options=("--uses", "2"))[0] == 3
    assert attempt(COUNT, constraint, options=("--uses", "1"))[0] == 0


@pytest.mark.parametrize(
    ("constraint", "started", "permitted"),
    [
        (limit("elapsedTime", "lteq", "P30D"), "2027-01-02T00:00:00Z", True),
        (limit("elapsedTime", "lteq", "P30D"), "2026-12-31T00:00:00Z", False),
        (limit("delayPeriod", "gteq", "P2D"), "2027-01-28T00:00:00Z", True),
        (limit("delayPeriod", "gteq", "P2D"), "2027-01-30T12:00:00Z", False),
    ],
)
def test_the_time_since_the_agreement_decides(
    attempt: Try, constraint: dict, started: str, *, permitted: bool
) -> None:
    options = ("--at", "2027-01-31T12:00:00Z", "--started", started)
    code, found = attempt(COUNT, constraint, options=options)
    assert (code, found["rows"]) == ((0, ALL) if permitted else (3, []))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--purpose", "not an iri"), "The purpose not an iri is no absolute IRI"),
        (("--partner", "nobody"), "The partner nobody is no DID"),
        (("--at", "tomorrow"), "--at takes a time with its zone"),
        (("--started", "2027-01-31T12:00:00"), "--started takes a time with its zone"),
        (("--last-used", ""), "--last-used takes a time with its zone"),
        (("--at", "2027-01-31T12:00:00Z", "--started", "2027-02-01T00:00:00Z"), "--started is later"),
        (("--config", "/nowhere/allmende.toml"), "/nowhere/allmende.toml"),
        (("--dataset", "/nowhere/dataset.json"), "There is no file /nowhere/dataset.json."),
        (("--purpose", "\udcff"), "The purpose ? is no absolute IRI"),
    ],
)
def test_an_option_that_means_nothing_is_refused_and_not_ignored(
    attempt: Try, options: tuple[str, ...], reason: str
) -> None:
    code, found = attempt(COUNT, options=options)
    assert (code, found["status"], found["rows"]) == (3, "refused", [])
    assert reason in found["reason"]


CONFIGURATION = """
participant_name = "Trial"
public_url = "http://localhost:8080"
data_dir = "data"
place = "DE12"

[[events]]
name = "fair"
from = 2027-04-01T00:00:00Z
until = 2027-04-05T00:00:00Z

[[participants]]
participant = "did:web:known.example"
memberships = ["https://example.org/region"]
roles = ["https://example.org/auditor"]
seat = "DE11"
"""
KNOWN, UNKNOWN = ("--partner", "did:web:known.example"), ("--partner", "did:web:unknown.example")
DURING, LATER = ("--at", "2027-04-02T00:00:00Z"), ("--at", "2027-05-01T00:00:00Z")


@pytest.mark.parametrize(
    ("constraint", "lawful", "unlawful"),
    [
        (limit("spatial", "isPartOf", "DE"), (), None),
        (limit("spatial", "isPartOf", "FR"), None, ()),
        (limit("event", "eq", "fair"), DURING, LATER),
        (own("membership", "eq", "https://example.org/region"), KNOWN, UNKNOWN),
        (own("role", "eq", "https://example.org/auditor"), KNOWN, UNKNOWN),
        (own("seat", "isPartOf", "DE"), KNOWN, UNKNOWN),
        (own("seat", "isPartOf", "FR"), None, KNOWN),
    ],
)
def test_place_events_and_partners_are_those_of_a_connectors_configuration(
    attempt: Try,
    tmp_path: Path,
    constraint: dict,
    lawful: tuple[str, ...] | None,
    unlawful: tuple[str, ...] | None,
) -> None:
    config = tmp_path / "allmende.toml"
    config.write_text(CONFIGURATION)
    if lawful is not None:
        assert attempt(COUNT, constraint, options=("--config", str(config), *lawful))[1]["rows"] == ALL
    if unlawful is not None:
        code, found = attempt(COUNT, constraint, options=("--config", str(config), *unlawful))
        assert (code, found["status"]) == (3, "refused")
    code, found = attempt(COUNT, constraint, options=lawful or unlawful or ())
    assert (code, found["status"]) == (3, "refused")
    assert "configuration" in found["reason"]


def test_an_event_that_is_in_no_calendar_is_refused_as_when_it_is_published(attempt: Try) -> None:
    rule = {"action": POLICY + "query", "constraint": [limit("event", "eq", "fiar")]}
    code, found = attempt(COUNT, prohibition=[rule])
    assert code == 3
    assert found["reason"].startswith("The policy names events that are not in the calendar: fiar;")


def test_only_rows_of_those_who_consent_exist(attempt: Try, tmp_path: Path) -> None:
    constraint, register = own("consent", "eq", "register"), tmp_path / "consents.csv"
    columns = [{"name": "person", "role": "unit"}, {"name": "region", "role": "dimension"}]
    dataset = tmp_path / "dataset.json"
    consents = {"register": {"column": "person", "file": str(register)}}
    dataset.write_text(json.dumps({"columns": columns, "consents": consents}))
    options = ("--dataset", str(dataset), "--at", "2027-01-31T12:00:00Z")
    agreed = [f"{SECRET}-Ulm-{number},{PURPOSE},2027-12-31" for number in range(12)]
    ended = [f"{SECRET}-Aalen-{number},{PURPOSE},2026-12-31" for number in range(12)]
    register.write_text("\n".join(["subject,purpose,until", *agreed, *ended]))
    statement = "SELECT region, count(*) AS n FROM data GROUP BY region"
    _, found = attempt(statement, constraint, options=(*options, "--purpose", PURPOSE))
    assert (found["status"], found["rows"]) == ("ok", [{"region": "Ulm", "n": 12}])
    assert "only rows with consent in the register register" in found["enforced"]
    _, found = attempt(statement, constraint, options=options)
    assert found["rows"] == []
    register.write_text("subject,withdrawn\nx,y")
    code, found = attempt(statement, constraint, options=(*options, "--lang", "de"))
    assert code == 3
    assert found["reason"].startswith("Das Einwilligungsregister consents.csv: Ein Einwilligungsregister hat")
    code, found = attempt(statement, own("consent", "eq", "other"), options=options)
    assert (code, found["reason"]) == (3, "The consent registers other are not defined.")
    code, found = attempt(statement, constraint)
    assert code == 3
    assert "--dataset" in found["reason"]


def test_every_condition_that_decided_is_named(attempt: Try) -> None:
    conditions = [
        {"leftOperand": "purpose", "operator": "isA", "rightOperand": PURPOSE},
        limit("dateTime", "lteq", "2029-12-31T23:59:59Z"),
        limit("count", "lteq", "20"),
        own("federatedMinParticipants", "gteq", "2"),
        {"or": [limit("elapsedTime", "lteq", "P30D"), limit("dateTime", "lteq", "2030-12-31T00:00:00Z")]},
    ]
    forbidden = [
        {"action": POLICY + "query", "constraint": [limit("dateTime", "gteq", "2099-01-01T00:00:00Z")]},
        {"action": "sell"},
    ]
    found = {
        language: attempt(
            COUNT, *conditions, prohibition=forbidden, options=("--purpose", PURPOSE, "--lang", language)
        )[1]["enforced"]
        for language in ("de", "en")
    }
    english, german = found["en"], found["de"]
    assert len(german) == len(english)
    assert english[:2] == [
        "Permitted by permission/0: aggregates only.",
        "Only for the purpose “load forecasting” and what falls under it.",
    ]
    assert any(line.endswith("This is a promise of the partner.") for line in english)
    assert "At most 20 uses." in english
    assert any(line.startswith("At least one of: (") for line in english)
    [prohibition] = [line for line in english if "not in force" in line]
    assert prohibition.startswith("Looked at, and not in force here: Queries are prohibited. Holds if: ")
    assert "Höchstens 20 Nutzungen." in german
    assert [
        line for line in german if line.startswith("Geprüft und hier nicht in Kraft: Abfragen sind verboten.")
    ]


def test_a_refused_earlier_statement_is_named_as_such(attempt: Try) -> None:
    code, found = attempt(COUNT, options=("--after", COUNT, "--after", "SELECT * FROM data"))
    assert code == 3
    assert found["reason"].startswith(
        "The earlier statement 2 (--after) would not have been answered: Row-level"
    )


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SELECT", "The statement asks for nothing."),
        ("SELECT FROM data", "The statement asks for nothing."),
        ("SELECT count(*)", "The statement names no table."),
    ],
)
def test_an_incomplete_statement_is_told_what_it_lacks(attempt: Try, statement: str, reason: str) -> None:
    assert attempt(statement)[1]["reason"].startswith(reason)


def test_groups_whose_figures_are_not_finite_are_withheld_with_that_reason(
    attempt: Try, tmp_path: Path
) -> None:
    attempt(COUNT)
    path = tmp_path / "infinite.parquet"
    table = pa.table({"person": [f"p{n}" for n in range(200)], "income": [float("nan"), float("inf")] * 100})
    pa.parquet.write_table(table, path)
    files = ("--data", str(path), "--policy", str(tmp_path / "policy.json"))
    _, found = run(*files, "SELECT avg(income) AS mean FROM data")
    assert (found["status"], found["rows"]) == ("suppressed", [])
    assert found["reason"].endswith(
        "Rows in which income is empty, infinite or not a number (NaN) do not count."
    )


def test_sentences_are_german_where_that_is_asked_for(attempt: Try) -> None:
    _, found = attempt("SELECT region, count(*) FROM data GROUP BY 1", options=("--lang", "de"))
    assert "Gruppen" in found["reason"]
    assert "mindestens 5 verschiedene person" in found["enforced"]


FILTERED = {
    "columns": [{"name": "person", "role": "unit"}, {"name": "region", "role": "dimension"}],
    "row_filters": {"large": {"column": "region", "operator": "eq", "values": [7]}},
}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"",
            "Die Datei policy.json ist kein wohlgeformtes JSON (Ursache auf Englisch: The text is not JSON",
        ),
        (b"[]", "Die Datei policy.json muss ein JSON-Objekt enthalten."),
        (None, "Die Datei {folder}/policy.json gibt es nicht."),
    ],
)
def test_a_policy_that_cannot_be_read_is_explained_in_german(
    data: Path, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "policy.json"
    if content is not None:
        path.write_bytes(content)
    _, found = run("--lang", "de", "--data", str(data), "--policy", str(path), COUNT)
    assert found["reason"].startswith(reason.format(folder=tmp_path))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.parquet", "Die Datendatei missing.parquet gibt es nicht. Bitte prüfen Sie ihren Pfad."),
        ("people.xlsx", "Die Datendatei people.xlsx ist von unbekannter Art."),
        ("broken.parquet", "Die Datendatei broken.parquet kann nicht gelesen werden (Ursache auf Englisch: "),
        ("broken.csv", "Die Datendatei broken.csv kann nicht gelesen werden (Ursache auf Englisch: "),
        ("twice.csv", "Die Datendatei twice.csv hat zwei Spalten mit demselben Namen."),
    ],
)
def test_data_that_cannot_be_read_are_explained_in_german(
    attempt: Try, tmp_path: Path, name: str, reason: str
) -> None:
    attempt(COUNT)
    path = tmp_path / name
    if name != "missing.parquet":
        path.write_bytes(b"a,a\n1,2\n" if name == "twice.csv" else b"a,b\n1\n2,3,4\n")
    _, found = run("--lang", "de", "--data", str(path), "--policy", str(tmp_path / "policy.json"), COUNT)
    assert found["reason"].startswith(reason)
    assert not found["reason"].endswith("..")


@pytest.mark.parametrize(
    ("constraint", "changes", "reason"),
    [
        (own("rowFilter", "eq", "small"), {}, "Der Anbieter hat die Zeilenfilter small nicht festgelegt"),
        (own("rowFilter", "eq", "large"), {}, "Ein Wert eines Zeilenfilters passt nicht zur Spalte region"),
        (own("consent", "eq", "x"), {}, "Die Einwilligungsregister x sind nicht festgelegt."),
        (
            own("columnMask", "eq", "region=generalise:5"),
            {},
            "Die Maske generalise passt nicht zur Spalte region",
        ),
        (SIZE, {"consents": {"x": {"column": "age"}}}, "Das Einwilligungsregister x braucht column und file"),
        (SIZE, {"row_filters": {"x": {}}}, "Der Zeilenfilter 'x' braucht column, operator und values"),
        (SIZE, {"row_filters": []}, "Die Angabe row_filters der Beschreibung muss ein JSON-Objekt sein."),
        (SIZE, {"privacy": {}}, "Die Angaben zu privacy brauchen die Einheit (unit)"),
        (
            own("deniedColumn", "eq", "nope"),
            {},
            "Der Vertrag nennt Spalten, die der Datensatz nicht hat: nope.",
        ),
    ],
)
def test_a_description_that_does_not_fit_is_explained_in_german(
    attempt: Try, tmp_path: Path, constraint: dict, changes: dict, reason: str
) -> None:
    dataset = tmp_path / "dataset.json"
    dataset.write_text(json.dumps(FILTERED | changes))
    code, found = attempt(COUNT, constraint, options=("--dataset", str(dataset), "--lang", "de"))
    assert code == 3
    assert reason in found["reason"]


def test_a_type_that_the_description_states_has_to_be_the_files(attempt: Try, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset.json"
    columns = [*FILTERED["columns"], {"name": "age", "role": "measure", "data_type": "int32"}]
    dataset.write_text(json.dumps({"columns": columns}))
    code, found = attempt(COUNT, options=("--dataset", str(dataset)))
    assert (code, found["reason"]) == (3, "The column age is of type int64, not int32.")


@pytest.mark.parametrize(
    ("language", "reason"),
    [
        ("de", "Die Engine konnte die Abfrage nicht beantworten. Mehr steht auf der Standardfehlerausgabe."),
        ("en", "The query could not be answered by the engine. Standard error says more."),
    ],
)
def test_a_failure_of_the_engine_points_to_where_its_words_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, language: str, reason: str
) -> None:
    data, policy = tmp_path / "halves.parquet", tmp_path / "policy.json"
    # DuckDB knows no numbers of two bytes.
    pa.parquet.write_table(pa.table({"half": pa.array([None] * 20, pa.float16())}), data)
    policy.write_text(json.dumps({"@type": "Set", "permission": [{"action": POLICY + "query"}]}))
    code, found = run("--lang", language, "--data", str(data), "--policy", str(policy), COUNT)
    assert (code, found["status"], found["reason"]) == (3, "refused", reason)
    assert "NotImplementedException" in caplog.text


def test_nothing_is_left_behind(attempt: Try, tmp_path: Path) -> None:
    before = set(Path("/tmp").glob("allmende-try-*"))  # noqa: S108 - where it would lie
    attempt("SELECT count(*) FROM data")
    assert set(Path("/tmp").glob("allmende-try-*")) <= before  # noqa: S108 - as above
    assert {path.name for path in tmp_path.iterdir()} == {"people.parquet", "policy.json"}
