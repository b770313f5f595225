"""Keys are replaced with the real command, and everything that was signed before stays valid."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.adapters.own_credentials import load_credentials, rotate_key
from connector.demo.assets import publication
from connector.evidence.verification import verify_file
from tests.region.participants import POLICY, segment
from tests.region.processes import Participant, call, run

STATEMENT = "SELECT sector, count(*) AS n FROM load_profiles GROUP BY sector"


def keys(participant: Participant) -> list[str]:
    return sorted(path.name for path in (participant.directory / "keys").iterdir())


def rotate(participant: Participant, *more: str) -> str:
    done = run("keys", "rotate", "--config", participant.directory / "allmende.toml", *more)
    assert done.returncode == 0, done.stderr
    assert "Start the connector again" in done.stderr
    return done.stdout


def did_document(participant: Participant) -> Any:
    return httpx.get(participant.public + "/.well-known/did.json", trust_env=False).json()


def contract(provider: Participant, consumer: Participant) -> str:
    """A contract on a new dataset of the provider."""
    dataset = provider.post("/api/datasets", publication("stadtwerke"))["identifier"]
    consumer.post("/api/catalogs", {"provider": provider.did})
    wanted = {"dataset": dataset, "purpose": POLICY + "LoadForecasting"}
    pid = consumer.post("/api/negotiations", wanted)["pid"]
    outcome = consumer.get(f"/api/negotiations/{pid}?wait=30")
    assert outcome["state"] == "FINALIZED", outcome
    return str(outcome["agreement_id"])


def evidence(participant: Participant, agreement: str) -> bytes:
    return participant.ask("GET", f"/api/agreements/{segment(agreement)}/evidence").content


def receipt(consumer: Participant, agreement: str) -> bytes:
    """The receipt of a new query."""
    answer = consumer.post("/api/queries", {"statement": STATEMENT, "agreements": [agreement]})
    (site,) = answer["sites"]
    assert site["status"] == "released", site
    return consumer.ask("GET", f"/api/receipts/{segment(site['receipt'])}").content


def methods(file: bytes) -> list[str]:
    return [party.verification_method.partition("#")[2] for party in verify_file(file).parties]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Participant, Participant]:
    return Participant(tmp_path / "rheinaue", "Rheinaue"), Participant(tmp_path / "lastwerk", "Lastwerk")


def test_both_replace_their_keys_and_nothing_that_was_signed_is_lost(
    two: tuple[Participant, Participant], tmp_path: Path
) -> None:
    provider, consumer = two
    with provider.serving(), consumer.serving():
        old = contract(provider, consumer)
        files = {"agreement": evidence(consumer, old), "receipt": receipt(consumer, old)}
        pinned = {one.did: did_document(one) for one in two}
    assert methods(files["agreement"]) == ["contracts", "contracts"]

    for one in two:
        before = keys(one)
        rotate(one)
        assert before == ["contracts.pem", "tokens.pem"]
        assert keys(one) == ["contracts-2.pem", "retired.json", "tokens-2.pem"], "the old ones are gone"

    with provider.serving(), consumer.serving():
        now = {one.did: did_document(one) for one in two}
        assert evidence(consumer, old) == files["agreement"]
        again = receipt(consumer, old)
        new = contract(provider, consumer)
        files |= {"later receipt": again, "later agreement": evidence(consumer, new)}

    assert methods(files["later agreement"]) == ["contracts-2", "contracts-2"]
    for name, file in files.items():
        path = tmp_path / f"{name}.json"
        path.write_bytes(file)
        for documents in (pinned, now):
            verified = verify_file(file, pinned=documents)
            assert {party.key_source for party in verified.parties} == {"pinned"}, name
        assert call("verify", path).returncode == 0
    for one in two:
        done = call("ledger", "verify", "--config", one.directory / "allmende.toml", "--json")
        assert json.loads(done.stdout)["holds"] is True, done.stdout


def test_a_partner_notices_a_new_token_key_although_it_has_a_copy_of_the_old_document(
    two: tuple[Participant, Participant],
) -> None:
    provider, consumer = two
    with provider.serving():
        with consumer.serving():
            agreement = contract(provider, consumer)
        rotate(consumer)
        with consumer.serving():
            receipt(consumer, agreement)
            assert contract(provider, consumer)


def test_the_command_shows_the_keys_with_the_fingerprints_that_verifying_shows(
    two: tuple[Participant, Participant],
) -> None:
    provider, _ = two
    printed = rotate(provider)
    shown = call("keys", "show", "--config", provider.directory / "allmende.toml").stdout
    lines = shown.splitlines()
    assert [line.partition("#")[2].split()[0] for line in lines[::2]] == [
        "contracts-2",
        "tokens-2",
        "contracts",
    ]
    assert f"contracts: {lines[1].strip()}" in printed
    assert " until 20" in lines[4]


def test_one_key_alone_can_be_replaced(two: tuple[Participant, Participant]) -> None:
    provider, _ = two
    rotate(provider, "--key", "contracts")
    rotate(provider, "--key", "contracts")
    assert keys(provider) == ["contracts-3.pem", "retired.json", "tokens.pem"]


def test_a_rotation_that_was_interrupted_is_taken_up_by_the_next_one(
    two: tuple[Participant, Participant],
) -> None:
    provider, _ = two
    keys_directory = provider.directory / "keys"

    def loaded() -> str:
        found = load_credentials(provider.directory, did=provider.did, base_url="http://localhost/dsp/2025-1")
        return found.verification_method.partition("#")[2]

    (keys_directory / "retired.json.new").write_text("{")
    assert loaded() == "contracts"
    (keys_directory / "contracts-2.pem").write_bytes((keys_directory / "tokens.pem").read_bytes())
    (keys_directory / "contracts-2.pem").chmod(0o600)
    assert loaded() == "contracts"
    rotate_key(provider.directory, "contracts", did=provider.did, now=datetime.now(UTC))
    assert loaded() == "contracts-2"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"contracts": [{}], "tokens": 0}', '{"tokens": 1}'])
def test_a_damaged_list_of_former_keys_is_named_and_no_key_is_guessed(
    two: tuple[Participant, Participant], content: str
) -> None:
    provider, _ = two
    (provider.directory / "keys" / "retired.json").write_text(content)
    done = call("keys", "show", "--config", provider.directory / "allmende.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "retired.json" in done.stderr.replace("\n", "")
