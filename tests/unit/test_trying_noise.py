"""Trying out statistics with noise, and what a machine without OpenDP makes of them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from connector.cli import app
from connector.sandbox.launch import Sandbox, SandboxUnavailableError

TEMPLATE = ("policy", "new", "private-statistics", "--set", "unit=person", "--set", "epsilon=5000")
DATASET: dict[str, Any] = {
    "columns": [
        {"name": "person", "role": "unit"},
        {"name": "region", "role": "dimension"},
        {"name": "income", "role": "measure"},
    ],
    "privacy": {
        "unit": "person",
        "contribution_bound": 2,
        "epsilon_total": "1",
        "bounds": {"income": [0, 5000]},
        "values": {"region": ["Ulm", "Aalen", "Calw"]},
    },
}
STATEMENT = "SELECT region, count(*) AS n, avg(income) AS mean FROM data GROUP BY region ORDER BY region"

Try = Callable[..., tuple[int, Any]]


@pytest.fixture
def attempt(tmp_path: Path) -> Try:
    pytest.importorskip("opendp", reason="the extra `dp` is not installed")
    try:
        Sandbox.probe()
    except SandboxUnavailableError as error:
        pytest.skip(f"no sandbox on this machine: {error}")
    data, policy, dataset = (tmp_path / name for name in ("people.parquet", "policy.json", "dataset.json"))
    regions = [
        region for region, people in (("Ulm", 40), ("Aalen", 30), ("Stuttgart", 9)) for _ in range(people)
    ]
    people = [f"p{number}" for number in range(len(regions))]
    table = pa.table({"person": people, "region": regions, "income": [1000.0] * len(people)})
    pa.parquet.write_table(table, data)
    made = CliRunner().invoke(app, [*TEMPLATE, "-o", str(policy)], catch_exceptions=False)
    assert made.exit_code == 0, made.output

    def attempted(statement: str, **changes: Any) -> tuple[int, Any]:
        dataset.write_text(json.dumps(DATASET | changes))
        files = ("--data", str(data), "--policy", str(policy), "--dataset", str(dataset))
        result = CliRunner().invoke(app, ["query", "try", *files, statement], catch_exceptions=False)
        return result.exit_code, json.loads(result.stdout)

    return attempted


def test_an_answer_has_noise_and_says_what_it_would_cost(attempt: Try) -> None:
    code, found = attempt(STATEMENT)

    assert (code, found["status"]) == (0, "suppressed")  # nobody is in Calw
    rows = {row["region"]: row for row in found["rows"]}
    assert set(rows) == {"Ulm", "Aalen"}
    assert rows["Ulm"]["n"] == pytest.approx(40, abs=1)
    assert rows["Ulm"]["mean"] == pytest.approx(1000, rel=0.01)
    said = "noise (differential privacy) per person: epsilon 5000 per new question, 5 in total"
    assert said in found["enforced"]
    assert not any("different person" in sentence for sentence in found["enforced"])


def test_what_noise_cannot_protect_is_refused_with_a_sentence(attempt: Try) -> None:
    for statement in ("SELECT max(income) FROM data", "SELECT stddev_samp(income) FROM data"):
        code, found = attempt(statement)
        assert (code, found["status"], found["rows"]) == (3, "refused", [])
        assert found["reason"].endswith(".")


@pytest.mark.parametrize(
    ("privacy", "said"),
    [
        (None, "not described"),
        ({"unit": "person"}, "contribution_bound"),
        (DATASET["privacy"] | {"bounds": {"age": [0, 1]}}, "age"),
        (DATASET["privacy"] | {"bounds": {}}, "bounds"),
    ],
)
def test_a_dataset_that_is_not_described_for_noise_is_not_answered(
    attempt: Try, privacy: dict[str, Any] | None, said: str
) -> None:
    code, found = attempt(STATEMENT, privacy=privacy)
    assert (code, found["status"]) == (3, "refused")
    assert said in found["reason"]


WITHOUT = """
import sys
sys.modules["opendp"] = None
from connector.adapters.opendp_noise import OpendpNoise
from connector.cli import app
assert OpendpNoise.where_installed() is None
app(sys.argv[1:])
"""


def without_opendp(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_without_opendp_the_terms_are_refused_with_the_remedy(tmp_path: Path) -> None:
    made = without_opendp(*TEMPLATE)
    assert made.returncode == 2
    assert "install allmende[dp]" in " ".join(made.stderr.split())
    policy = tmp_path / "policy.json"
    part = {"leftOperand": "https://w3id.org/allmende/policy/v1#epsilonTotal", "operator": "lteq"}
    rule = {"action": "use", "constraint": [part | {"rightOperand": "5"}]}
    policy.write_text(json.dumps({"@type": "Set", "@id": "urn:x", "permission": [rule]}))
    shown = without_opendp("policy", "explain", str(policy))
    assert "install allmende[dp]" in " ".join(shown.stdout.split())


UNDERSTOOD = """
import json, sys
sys.modules["opendp"] = None
from connector.services.negotiating import _require_understood
from policies.errors import PolicyRefusedError
from policies.odrl import parse_policy
from policies.terms import require_enforceable
offer = json.loads(sys.argv[1])
_require_understood(json.dumps(offer), "urn:dataset")
try:
    require_enforceable(parse_policy(offer, default_target="urn:dataset"))
except PolicyRefusedError as refusal:
    print(refusal.reason["en"])
"""


def test_a_consumer_without_opendp_takes_an_offer_that_it_could_not_make() -> None:
    constraints = [
        {
            "leftOperand": f"https://w3id.org/allmende/policy/v1#{name}",
            "operator": operator,
            "rightOperand": value,
        }
        for name, operator, value in (
            ("groupUnit", "eq", "person"),
            ("epsilonPerQuery", "lteq", "0.5"),
            ("epsilonTotal", "lteq", "5"),
        )
    ]
    rule = {"action": "https://w3id.org/allmende/policy/v1#query", "constraint": constraints}
    offer = {"@type": "Offer", "@id": "urn:uuid:1", "permission": [rule]}
    command = [sys.executable, "-c", UNDERSTOOD, json.dumps(offer)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "install allmende[dp]" in done.stdout
