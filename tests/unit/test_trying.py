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


def test_sentences_are_german_where_that_is_asked_for(attempt: Try) -> None:
    _, found = attempt("SELECT region, count(*) FROM data GROUP BY 1", options=("--lang", "de"))
    assert "Gruppen" in found["reason"]
    assert "mindestens 5 verschiedene person" in found["enforced"]


def test_nothing_is_left_behind(attempt: Try, tmp_path: Path) -> None:
    before = set(Path("/tmp").glob("allmende-try-*"))  # noqa: S108 - where it would lie
    attempt("SELECT count(*) FROM data")
    assert set(Path("/tmp").glob("allmende-try-*")) <= before  # noqa: S108 - as above
    assert {path.name for path in tmp_path.iterdir()} == {"people.parquet", "policy.json"}
