import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from connector.protocol.machine import Machine, Party
from connector.protocol.negotiation import NEGOTIATION
from connector.protocol.transfer import TRANSFER
from tests.tck.suite import Outcome, identifiers

HERE = Path(__file__).parent
SPECIFICATIONS = Path(os.environ.get("ALLMENDE_SPEC_DIR", HERE.parents[2] / "shared" / "spec"))
SAMPLE = SPECIFICATIONS / "dsp-tck" / "sample.tck.properties"
RULES = tomllib.loads((HERE / "workflow.toml").read_text())["workflow"]
SEEDS = json.loads((HERE / "seeds.json").read_text())
MESSAGES = {
    "offer": "offer",
    "agree": "agreement",
    "accept": "acceptance",
    "counter": "request",
    "verify": "verification",
    "finalize": "finalization",
    "start": "start",
    "suspend": "suspension",
    "complete": "completion",
    "terminate": "termination",
}


def rules_that_act() -> list[dict[str, Any]]:
    return [rule for rule in RULES if rule["action"] != "none"]


def machine_of(rule: dict[str, Any]) -> Machine:
    return NEGOTIATION if "dataset" in rule else TRANSFER


def names_ending(*endings: str) -> dict[str, str]:
    return {name: value for name, value in identifiers().items() if name.endswith(endings)}


def test_the_tests_use_the_identifiers_of_the_official_sample() -> None:
    if not SAMPLE.is_file():
        pytest.skip(f"the TCK's sample configuration is not at {SAMPLE}")
    lines = [
        line.split("=", 1) for line in SAMPLE.read_text().splitlines() if line[:3] in {"CN_", "TP_", "CAT"}
    ]
    sample = {name: value.strip() for name, value in lines}
    # The sample gives two tests of the consumer one agreement, and the format is the connector's to choose.
    expected = sample | {"TP_C_01_05_AGREEMENTID": "ATPC0105"}
    assert identifiers().keys() == expected.keys()
    assert identifiers() == expected | names_ending("FORMAT")


def test_everything_that_the_tests_ask_of_a_provider_is_on_offer_but_the_unknown_dataset() -> None:
    asked = {value for name, value in names_ending("DATASETID").items() if not name.startswith("CN_C")}
    assert asked - {seed["identifier"] for seed in SEEDS["datasets"]} == {"CAT0103"}


def test_an_offer_on_sale_has_the_identifier_that_the_test_asks_for() -> None:
    offered = {seed["offer"]["@id"] for seed in SEEDS["datasets"]}
    assert set(names_ending("OFFERID").values()) <= offered


@pytest.mark.parametrize(("prefix", "role"), [("ATP0", "provider"), ("ATPC", "consumer")])
def test_there_is_an_agreement_for_each_transfer_in_the_role_of_its_test(prefix: str, role: str) -> None:
    needed = {value for value in names_ending("AGREEMENTID").values() if value.startswith(prefix)}
    assert {seed["agreement"]["@id"] for seed in SEEDS["agreements"] if seed["role"] == role} == needed


def test_every_rule_belongs_to_a_test() -> None:
    known = set(identifiers().values())
    assert {rule.get("dataset", rule.get("agreement")) for rule in RULES[:-2]} <= known
    assert RULES[-2:] == [{"dataset": "*", "action": "none"}, {"agreement": "*", "action": "none"}]


@pytest.mark.parametrize("rule", rules_that_act(), ids=lambda rule: "-".join(map(str, rule.values())))
def test_a_rule_does_only_what_the_protocol_allows_in_its_state_and_role(rule: dict[str, Any]) -> None:
    assert machine_of(rule).target(rule["state"], MESSAGES[rule["action"]], Party(rule["role"])) is not None


def test_every_action_waits_until_the_tck_can_have_registered_its_handler() -> None:
    assert {rule["delay_ms"] for rule in rules_that_act()} == {300}


def printed(passed: int, failed: int = 0) -> list[str]:
    lines = [f"[2026-11-22T03:02:15.4] SUCCESSFUL: CN:{number}" for number in range(passed)]
    for number in range(failed):
        lines += [f"[2026-11-22T03:02:15.4] FAILED: TP:{number}", f"FAILURE: TP:{number}: Verify: a reason"]
    return [
        *lines,
        f"COUNTS: started {passed + failed} succeeded {passed} failed {failed} aborted 0 skipped 2",
    ]


def outcome_of(lines: list[str]) -> Outcome:
    outcome = Outcome()
    for line in lines:
        outcome.read(line)
    return outcome


def test_sixty_five_passed_tests_are_a_pass() -> None:
    outcome = outcome_of(printed(65))
    assert (outcome.objection(), outcome.summary()) == (None, "65 passed, 0 failed")


@pytest.mark.parametrize(
    ("lines", "sentence", "summary"),
    [
        (printed(64, 1), "Not conformant: TP:0.", "64 passed, 1 failed"),
        (printed(65, 1), "Not conformant: TP:0.", "65 passed, 1 failed"),
        (printed(64), "65 tests should have run; the TCK ran 64, and 64 passed.", "64 passed, 0 failed"),
        (printed(66), "65 tests should have run; the TCK ran 66, and 66 passed.", "66 passed, 0 failed"),
        (
            [*printed(65)[:-1], "[2026-11-22T03:02:15.4] Started: TP:03-04: Verify transfer request"],
            "The TCK did not come to its end; the last test that it started is TP:03-04.",
            "65 passed, 0 failed, not finished",
        ),
        (
            [],
            "The TCK did not come to its end; the last test that it started is None.",
            "0 passed, 0 failed, not finished",
        ),
    ],
)
def test_anything_else_is_named_and_no_pass(lines: list[str], sentence: str, summary: str) -> None:
    outcome = outcome_of(lines)
    assert (outcome.objection(), outcome.summary()) == (sentence, summary)


def test_a_test_that_passes_twice_counts_once() -> None:
    lines = printed(65)
    lines[0] = lines[1]
    assert outcome_of(lines).objection() == "65 tests should have run; the TCK ran 65, and 64 passed."


def test_a_failed_test_is_shown_with_its_reason() -> None:
    outcome = Outcome()
    shown = [outcome.read(line) for line in printed(0, 1)]
    assert shown == ["FAILED: TP:0", "TP:0: Verify: a reason", None]
