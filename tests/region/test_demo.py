"""`allmende demo` as a newcomer, a careless and a hostile user meets it: real processes, real sockets."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc
import pyarrow.parquet
import pytest

from connector.demo import steps
from connector.demo.assets import ENERGY, job_files
from connector.demo.participants import DemonstrationError, Participant
from connector.demo.steps import Company, compute, negotiate, publish, read_catalog
from connector.evidence.verification import verify_file
from connector.sandbox.launch import Sandbox, SandboxUnavailableError
from tests.region.processes import (
    Demonstration,
    Running,
    addresses,
    demonstration,
    is_listening,
    one_sentence,
    processes_about,
    run,
    started,
    until,
)

PROVIDERS = ("Stadtwerke Rheinaue", "Gewerbeverbund Neckar")
STEPS = (
    "Three companies start their connectors",
    "Each provider puts its load profiles on offer",
    "The consumer finds the offers and signs a contract with each provider",
    "What was not agreed is refused",
    "One SQL statement over both providers",
    "A job trains a forecast where the data are",
    "The books",
)


def _can_confine() -> bool:
    try:
        Sandbox.probe()
    except SandboxUnavailableError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _can_confine(), reason="no sandbox here, and the demo needs one")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    return demonstration(tmp_path_factory.getbasetemp())


# what it prints


def test_standard_output_is_one_json_object_and_nothing_else(shown: Demonstration) -> None:
    assert shown.done.stdout.startswith("{")
    wanted = {"agreements", "query", "computations", "ledger", "urls"}
    assert wanted <= set(json.loads(shown.done.stdout))


def test_progress_names_every_step_on_standard_error(shown: Demonstration) -> None:
    for number, title in enumerate(STEPS, 1):
        assert f"{number}/7 {title}" in shown.done.stderr
    assert "Traceback" not in shown.done.stderr


# what it shows


def test_both_agreements_are_signed_files_that_verify(shown: Demonstration) -> None:
    consumer = shown.result["urls"]["Lastwerk KI"]["did"]
    assert [one["provider"] for one in shown.result["agreements"]] == list(PROVIDERS)
    for agreement in shown.result["agreements"]:
        verified = verify_file(Path(agreement["file"]).read_bytes())
        provider = shown.result["urls"][agreement["provider"]]["did"]
        assert verified.kind == "agreement"
        assert verified.identifier == agreement["identifier"]
        assert (
            {party.did for party in verified.parties} == {provider, consumer} == set(agreement["signed_by"])
        )


def test_another_purpose_and_single_rows_are_refused_with_the_reason(shown: Demonstration) -> None:
    assert "marketing" in shown.result["refusals"]["purpose"]
    assert "Row-level queries are not allowed" in shown.result["refusals"]["rows"]


def test_the_query_gives_what_the_raw_data_say(shown: Demonstration) -> None:
    raw = [
        pyarrow.parquet.read_table(ENERGY / "data" / f"{name}.parquet")
        for name in ("stadtwerke-rheinaue", "gewerbeverbund-neckar")
    ]
    table = pyarrow.concat_tables(raw, promote_options="permissive")
    table = table.append_column("hour", pc.hour(table["ts"]))
    means = table.group_by(["sector", "hour"]).aggregate([("load_kw", "mean")]).to_pylist()
    highest = table.group_by(["sector", "hour", "profile"]).aggregate([("load_kw", "max")]).to_pylist()
    peaks: dict[tuple[str, int], list[float]] = {}
    for one in highest:
        peaks.setdefault((one["sector"], one["hour"]), []).append(one["load_kw_max"])

    rows = {(row["sector"], row["hour"]): row for row in shown.result["query"]["rows"]}
    assert set(rows) == set(peaks)
    for mean in means:
        row, of_each = rows[mean["sector"], mean["hour"]], peaks[mean["sector"], mean["hour"]]
        if len(of_each) < 5:
            assert (row["status"], row["mean_kw"], row["peak_kw"]) == ("suppressed", None, None)
            continue
        assert row["status"] == "released"
        # The sum over thousands of rows is rounded to 0.05 kW.
        assert row["mean_kw"] == pytest.approx(mean["load_kw_mean"], abs=0.001)
        # The highest value that 5 profiles reach, rounded down to 0.05 kW.
        fifth = sorted(of_each)[-5]
        assert fifth - 0.05 < row["peak_kw"] <= fifth + 1e-6


def test_suppressed_groups_are_visible_and_counted_per_site(shown: Demonstration) -> None:
    sites = {site["name"]: site for site in shown.result["query"]["sites"]}
    assert [(sites[name]["status"], sites[name]["suppressed"]) for name in PROVIDERS] == [
        ("released", 0),
        ("released", 24),
    ]
    withheld = [row["sector"] for row in shown.result["query"]["rows"] if row["status"] == "suppressed"]
    assert withheld == ["base_load"] * 24


def test_each_provider_releases_metrics_and_a_model_with_a_receipt(shown: Demonstration) -> None:
    assert [one["provider"] for one in shown.result["computations"]] == list(PROVIDERS)
    for computation in shown.result["computations"]:
        assert computation["status"] == "RELEASED"
        assert {output["name"] for output in computation["outputs"]} == {"metrics.json", "model.safetensors"}
        statement = verify_file(Path(computation["receipt"]).read_bytes()).statement
        signed = {output["name"]: output["sha256"] for output in _outputs(statement)}
        assert signed == {output["name"]: output["sha256"] for output in computation["outputs"]}


def test_the_joint_model_forecasts_better_than_the_consumers_own(shown: Demonstration) -> None:
    forecast = shown.result["forecast"]
    assert 0 < forecast["joint_mae"] < forecast["own_mae"]


def test_the_books_say_that_only_results_left_and_agree_with_the_receipts(shown: Demonstration) -> None:
    receipts = [
        *shown.result["query"]["receipts"],
        *(computation["receipt"] for computation in shown.result["computations"]),
    ]
    signed = [verify_file(Path(receipt).read_bytes()).statement for receipt in receipts]
    ledger = shown.result["ledger"]
    assert (ledger["raw_rows_out"], ledger["raw_bytes_out"]) == (0, 0)
    assert ledger["result_bytes_out"] == sum(
        int(str(output["bytes"])) for one in signed for output in _outputs(one)
    )
    assert {line["provider"]: line["releases"] for line in ledger["datasets"]} == dict.fromkeys(PROVIDERS, 2)


def _outputs(statement: dict[str, object]) -> list[dict[str, object]]:
    outputs = statement["outputs"]
    assert isinstance(outputs, list)
    return outputs


def test_a_forged_copy_was_refused_before_our_eyes(shown: Demonstration) -> None:
    assert "The signature of" in shown.result["verification"]["forgery"]
    assert len(shown.result["verification"]["valid"]) == 6


# what it leaves behind


def test_no_process_no_socket_and_nothing_but_the_evidence_is_left(shown: Demonstration) -> None:
    assert processes_about(shown.temporary) == []
    assert [url for url in addresses(shown.result["urls"]) if is_listening(url)] == []
    (evidence,) = shown.temporary.iterdir()
    assert sorted(path.name for path in evidence.iterdir()) == [
        "agreement-gewerbeverbund.json",
        "agreement-stadtwerke.json",
        "receipt-gewerbeverbund-computation.json",
        "receipt-gewerbeverbund-query.json",
        "receipt-stadtwerke-computation.json",
        "receipt-stadtwerke-query.json",
    ]


def to_the_group(running: Running) -> None:
    os.killpg(running.process.pid, signal.SIGINT)


def with_sigterm(running: Running) -> None:
    running.process.terminate()


@pytest.mark.parametrize("stop", [to_the_group, with_sigterm])
def test_stopped_in_the_middle_it_leaves_nothing_at_all(
    stop: Callable[[Running], None], tmp_path: Path
) -> None:
    with started("demo", "--json", env={"TMPDIR": str(tmp_path)}) as running:
        running.await_line("3/7")
        assert len(processes_about(tmp_path)) == 3
        stop(running)
        assert running.wait() == 130
        assert running.rest().splitlines()[-1] == (
            "allmende: The demonstration was stopped; every connector has ended."
        )

    assert processes_about(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_killed_in_the_middle_it_leaves_no_process(tmp_path: Path) -> None:
    with started("demo", "--json", "--dir", tmp_path / "kept") as running:
        running.await_line("3/7")
        running.process.kill()
        running.wait()
        until(lambda: not processes_about(tmp_path), "the connectors end with whoever started them")


# left running, and started a second time


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def first(kept: Path) -> "subprocess.CompletedProcess[str]":
    return run("demo", "--dir", kept)


@pytest.fixture(scope="module")
def served(first: "subprocess.CompletedProcess[str]", kept: Path) -> Iterator[dict[str, Any]]:
    """The second demonstration in a directory, which goes on serving; Ctrl-C in its terminal ends it."""
    assert first.returncode == 0
    with started("demo", "--dir", kept, "--json", "--serve") as running:
        result = running.read_object()
        yield result
        to_the_group(running)
        assert running.wait() == 0
        assert "has died" not in running.rest()
    assert processes_about(kept) == []
    assert [url for url in addresses(result["urls"]) if is_listening(url)] == []


def test_without_json_everything_is_on_standard_output(
    first: "subprocess.CompletedProcess[str]", kept: Path
) -> None:
    assert (first.returncode, first.stderr) == (0, "")
    assert "suppressed" in first.stdout
    hint = first.stdout.splitlines()[-1].split()
    assert hint[:2] == ["allmende", "verify"]
    assert Path(hint[2]).is_relative_to(kept)
    assert run(*hint[1:]).returncode == 0


def test_every_page_answers_while_it_serves(served: dict[str, Any]) -> None:
    for facts in served["urls"].values():
        with httpx.Client(trust_env=False, timeout=30) as client:
            for kind in ("text/html", "text/turtle", "application/ld+json"):
                answer = client.get(facts["catalog"], headers={"accept": kind})
                assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)
            assert client.get(facts["public"] + "/.well-known/did.json").json()["id"] == facts["did"]
            versions = client.get(facts["public"] + "/.well-known/dspace-version").json()
            assert [one["version"] for one in versions["protocolVersions"]] == ["2025-1"]
            assert client.get(facts["management"] + "/healthz").status_code == 200
            assert client.get(facts["management"] + "/readyz").json() == {"status": "ready"}


def test_one_browser_can_be_logged_in_to_all_three_stewards_pages(served: dict[str, Any]) -> None:
    with httpx.Client(trust_env=False, timeout=30, follow_redirects=True) as browser:
        for facts in served["urls"].values():
            assert browser.get(facts["management"] + "/").status_code == 401
            assert browser.get(facts["login"]).status_code == 200
        for name, facts in served["urls"].items():
            page = browser.get(facts["management"] + "/", headers={"accept-language": "de"})
            assert page.status_code == 200
            assert name in page.text


def test_a_second_run_replaces_the_offers_of_the_first(served: dict[str, Any]) -> None:
    for name in PROVIDERS:
        facts = served["urls"][name]
        answer = httpx.get(
            facts["management"] + "/api/datasets",
            headers={"authorization": "Bearer " + facts["login"].partition("token=")[2]},
            trust_env=False,
        )
        assert len(answer.json()) == 1
    assert [site["status"] for site in served["query"]["sites"]] == ["released", "released"]
    assert [line["releases"] for line in served["ledger"]["datasets"]] == [4, 4]
    assert served["ledger"]["raw_rows_out"] == 0


def test_what_is_kept_can_be_read_by_its_owner_only(served: dict[str, Any], kept: Path) -> None:
    assert served
    participants = [kept / name for name in ("stadtwerke", "gewerbeverbund", "lastwerk")]
    assert [path.stat().st_mode & 0o777 for path in participants] == [0o700] * 3
    secrets = [file for path in participants for file in (*(path / "keys").iterdir(), path / "allmende.toml")]
    assert {file.stat().st_mode & 0o777 for file in secrets} == {0o600}


# what goes wrong


def test_a_killed_provider_resumes_and_the_result_is_the_same(shown: Demonstration, tmp_path: Path) -> None:
    with started("demo", "--json", "--serve", "--dir", tmp_path) as running:
        running.await_line("5/7")
        (provider,) = processes_about(tmp_path / "gewerbeverbund")
        os.kill(provider, signal.SIGKILL)
        result = running.read_object()
        assert result["query"]["rows"] == shown.result["query"]["rows"]
        assert [one["outputs"] for one in result["computations"]] == [
            one["outputs"] for one in shown.result["computations"]
        ]
        assert (result["ledger"]["raw_rows_out"], result["ledger"]["raw_bytes_out"]) == (0, 0)
        running.process.send_signal(signal.SIGINT)
        assert running.wait() == 0
        assert "Gewerbeverbund Neckar has died (signal 9); starting it again" in running.rest()
    assert processes_about(tmp_path) == []
    assert [url for url in addresses(result["urls"]) if is_listening(url)] == []


def test_an_occupied_port_is_named_and_the_others_are_stopped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        made = run("init", tmp_path / "lastwerk", "--name", "x", "--public-url", f"http://localhost:{port}")
        assert made.returncode == 0
        done = run("demo", "--json", "--dir", tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(
        f"allmende: Lastwerk KI did not start: The public listener cannot use 127.0.0.1:{port}"
    )
    assert processes_about(tmp_path) == []


def test_a_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("demo", "--json", "--dir", tmp_path / "file")
    assert done.returncode == 1
    assert str(tmp_path / "file") in one_sentence(done)


async def test_a_job_that_the_contract_does_not_permit_ends_with_the_providers_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        Participant(tmp_path / "stadtwerke", PROVIDERS[0], print) as provider,
        Participant(tmp_path / "lastwerk", "Lastwerk KI", print) as consumer,
    ):
        company = Company(provider, "stadtwerke")
        await publish(company)
        await read_catalog(consumer, company)
        await negotiate(consumer, company, tmp_path)
        files = {**job_files(), "extra.py": "print('not in the contract')"}
        monkeypatch.setattr(steps, "job_files", lambda: files)
        with pytest.raises(DemonstrationError, match=r"^Lastwerk KI: .*digest"):
            await compute(consumer, [company], tmp_path)
