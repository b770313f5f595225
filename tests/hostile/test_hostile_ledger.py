"""Somebody with the database in hands: every edit, cut and move is found, and nothing leaves unrecorded."""

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from connector.adapters.migrations import HEAD
from connector.adapters.sql_store import SqlStore
from connector.evidence.ledger import leaf_hash
from connector.protocol.transfer import TransferFormat
from tests.region.participants import (
    JOB,
    METRICS,
    STATEMENT,
    Participant,
    Region,
    copied,
    dsp,
    leaks_nothing,
    running,
    segment,
    voice_of,
)
from tests.region.processes import call

ENTRIES = 8
"""The contract, the start of two transfers, three queries, a computation that was accepted and released."""
DATABASE = "allmende.sqlite"


async def ask(region: Region) -> Any:
    """Ask the one provider that runs."""
    body = {"statement": STATEMENT, "agreements": [await region.agreement_with(region.rheinaue)]}
    return await region.lastwerk.call("POST", "/api/queries", body)


async def fill(region: Region) -> bytes:
    """A contract, three queries and a computation; returns the last receipt as its recipient has it."""
    async with running(region, region.rheinaue, region.lastwerk):
        for _ in range(3):
            answer = await ask(region)
            receipt = next(site["receipt"] for site in answer["sites"] if site["receipt"])
        assert (await region.commission(region.rheinaue))["state"] == "RELEASED"
        return await region.lastwerk.file(f"/api/receipts/{segment(receipt)}")


@pytest.fixture(scope="module")
def filled(region_stages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a provider whose connector has stopped, and a receipt beside it."""
    region = copied(region_stages / "agreed", tmp_path_factory.mktemp("ledger") / "region")
    with ThreadPoolExecutor(1) as thread:
        receipt = thread.submit(asyncio.run, fill(region)).result()
    (region.directory / "receipt.json").write_bytes(receipt)
    return region.directory


@pytest.fixture
def provider(filled: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(filled / "rheinaue", tmp_path / "rheinaue")
    return tmp_path / "rheinaue"


@contextlib.contextmanager
def database(directory: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(directory / DATABASE)) as connection:
        yield connection
        connection.commit()


def audited(directory: Path, *more: str | Path) -> tuple[int, dict[str, str]]:
    """The exit code of `allmende ledger verify`, and what it says about each check that fails."""
    done = call("ledger", "verify", "--config", directory / "allmende.toml", "--json", *more)
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert answer["holds"] is (done.returncode == 0)
    return done.returncode, {one["name"]: one["text"]["en"] for one in answer["checks"] if not one["holds"]}


def test_the_ledger_that_nobody_touched_verifies(provider: Path, filled: Path) -> None:
    assert audited(provider) == (0, {})
    assert audited(provider, "--head", filled / "receipt.json") == (0, {})
    with database(provider) as connection:
        assert connection.execute("SELECT count(*) FROM ledger").fetchone() == (ENTRIES,)


def test_every_check_is_one_line_in_either_language(provider: Path) -> None:
    german = call(
        "ledger", "verify", "--config", provider / "allmende.toml", "--lang", "de"
    ).stdout.splitlines()
    english = call("ledger", "verify", "--config", provider / "allmende.toml").stdout.splitlines()
    assert len(german) == len(english) == 6
    assert all(line.startswith("stimmt: ") for line in german)
    assert all(line.startswith("holds: ") for line in english)


@pytest.mark.parametrize("left", range(ENTRIES))
def test_a_ledger_cut_off_after_any_entry_is_noticed(provider: Path, left: int) -> None:
    with database(provider) as connection:
        connection.execute('DELETE FROM ledger WHERE "index" >= ?', [left])
    code, problems = audited(provider)
    assert code == 1
    assert f"{left + 1} entries were signed for, {left} are there" in problems["ledger-heads"]
    assert "missing" in problems["ledger-complete"]


@pytest.mark.parametrize("gone", range(ENTRIES))
def test_any_entry_taken_out_is_noticed(provider: Path, gone: int) -> None:
    with database(provider) as connection:
        connection.execute('DELETE FROM ledger WHERE "index" = ?', [gone])
    code, problems = audited(provider)
    assert code == 1
    assert "ledger-heads" in problems


@pytest.mark.parametrize("gone", range(ENTRIES))
def test_any_entry_taken_out_and_the_others_moved_up_is_noticed(provider: Path, gone: int) -> None:
    with database(provider) as connection:
        connection.execute('DELETE FROM ledger WHERE "index" = ?', [gone])
        for index in range(gone + 1, ENTRIES):
            connection.execute('UPDATE ledger SET "index" = ? WHERE "index" = ?', [index - 1, index])
    assert "ledger-heads" in audited(provider)[1]


@pytest.mark.parametrize(("one", "other"), [(a, b) for a in range(ENTRIES) for b in range(a)])
def test_any_two_entries_exchanged_are_noticed(provider: Path, one: int, other: int) -> None:
    with database(provider) as connection:
        for before, after in ((one, -1), (other, one), (-1, other)):
            connection.execute('UPDATE ledger SET "index" = ? WHERE "index" = ?', [after, before])
    assert "ledger-heads" in audited(provider)[1]


@pytest.mark.parametrize("index", range(ENTRIES))
@pytest.mark.parametrize(
    "change",
    [
        "leaf = CAST(replace(CAST(leaf AS TEXT), 'urn:uuid:', 'urn:uuid:0') AS BLOB)",
        "leaf_hash = zeroblob(32)",
        "identifier = 'urn:uuid:00000000-0000-4000-8000-000000000000'",
        "dataset = 'urn:other'",
        "agreement_id = 'urn:other'",
        "kind = 'download'",
        "raw_rows_out = raw_rows_out + 1",
        "raw_bytes_out = 7",
        "result_bytes_out = 1",
        "leaf = X'7B7D'",
        "leaf = X'FF'",
    ],
)
def test_any_entry_edited_in_any_column_is_noticed(provider: Path, index: int, change: str) -> None:
    with database(provider) as connection:
        connection.execute(f'UPDATE ledger SET {change} WHERE "index" = ?', [index])  # noqa: S608 - ours
    code, problems = audited(provider)
    assert code == 1
    assert problems


def test_an_entry_edited_together_with_its_hash_is_noticed(provider: Path) -> None:
    with database(provider) as connection:
        (leaf,) = connection.execute('SELECT leaf FROM ledger WHERE "index" = 2').fetchone()
        forged = leaf.replace(b'"suppressedGroups":', b'"suppressedGroups":1')
        assert forged != leaf
        change = 'UPDATE ledger SET leaf = ?, leaf_hash = ? WHERE "index" = 2'
        connection.execute(change, [forged, leaf_hash(forged)])
    problems = audited(provider)[1]
    assert {"ledger-heads", "ledger-signatures"} <= set(problems)


def test_an_entry_made_up_at_the_end_is_noticed(provider: Path) -> None:
    with database(provider) as connection:
        connection.execute(
            "INSERT INTO ledger SELECT 8, identifier, dataset, leaf_hash, leaf, kind, agreement_id, "
            'raw_rows_out, raw_bytes_out, result_bytes_out, recorded FROM ledger WHERE "index" = 7'
        )
    assert "belongs elsewhere" in audited(provider)[1]["ledger-columns"]


def test_a_forged_tree_head_is_noticed(provider: Path) -> None:
    with database(provider) as connection:
        connection.execute(
            "UPDATE tree_heads SET record = replace(record, 'treeSize\":8', 'treeSize\":7') WHERE size = 8"
        )
    assert "does not fit" in audited(provider)[1]["ledger-heads"]


def test_a_thief_of_the_whole_database_is_found_out_by_what_a_partner_kept(
    provider: Path, filled: Path
) -> None:
    """Entries, tree heads and all other records are gone together: only what is elsewhere can tell."""
    with database(provider) as connection:
        connection.execute('DELETE FROM ledger WHERE "index" >= 3')
        connection.execute("DELETE FROM tree_heads WHERE size > 3")
        connection.execute("DELETE FROM queries")
        connection.execute("DELETE FROM computations")
    assert audited(provider) == (0, {})
    code, problems = audited(provider, "--head", filled / "receipt.json")
    assert code == 1
    assert "5 entries were signed for, 3 are there" in problems["ledger-witnesses"]


def test_a_tree_head_of_somebody_else_bears_no_witness(provider: Path, filled: Path, tmp_path: Path) -> None:
    with database(filled / "lastwerk") as connection:
        (record,) = connection.execute("SELECT record FROM tree_heads WHERE ledger LIKE '%18083'").fetchone()
    path = tmp_path / "head.json"
    path.write_text(json.dumps(json.loads(record)["head"]))
    assert "no tree head of the ledger of" in audited(provider, "--head", path)[1]["ledger-witnesses"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"type": "Agreement"}', '{"inclusion": {}}'])
def test_a_file_that_is_no_tree_head_cannot_be_tried(provider: Path, tmp_path: Path, content: str) -> None:
    path = tmp_path / "head.json"
    path.write_text(content)
    done = call("ledger", "verify", "--config", provider / "allmende.toml", "--head", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert str(path) in done.stderr


# no database, no answer


def not_tried(directory: Path, language: str = "en") -> str:
    """What the command says where it cannot try; it says nothing about checks then."""
    done = call("ledger", "verify", "--config", directory / "allmende.toml", "--lang", language)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    return done.stderr.removeprefix("allmende: ").strip()


def test_a_database_that_is_missing_is_not_made_and_holds_nothing(provider: Path) -> None:
    for path in provider.glob(DATABASE + "*"):
        path.unlink()
    before = sorted(provider.iterdir())
    assert not_tried(provider).startswith(
        f"There is no database at {provider / DATABASE}. Check database_url"
    )
    assert not_tried(provider, "de").startswith(f"Unter {provider / DATABASE} gibt es keine Datenbank.")
    assert sorted(provider.iterdir()) == before


NONE_OF_OURS = "is no database of Allmende", "ist keine Datenbank von Allmende"


@pytest.mark.parametrize(
    ("tables", "version", "english", "german"),
    [
        ([], None, *NONE_OF_OURS),
        (["invoices (number INTEGER)"], None, *NONE_OF_OURS),
        (["alembic_version (version_num TEXT)"], "0001", "has tables of version '0001'", "Version '0001'"),
        (["alembic_version (version_num TEXT)"], "9999", "has tables of version '9999'", "Version '9999'"),
        (["alembic_version (version_num TEXT)"], HEAD, "cannot be read: no such table", "(no such table"),
    ],
)
def test_a_database_of_somebody_else_is_named_and_not_touched(
    provider: Path, tables: list[str], version: str | None, english: str, german: str
) -> None:
    for path in provider.glob(DATABASE + "*"):
        path.unlink()
    (provider / DATABASE).touch()
    with database(provider) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table}")
        if version is not None:
            connection.execute("INSERT INTO alembic_version VALUES (?)", [version])
    before = {path: path.read_bytes() for path in provider.glob(DATABASE + "*")}

    assert english in not_tried(provider)
    assert german in not_tried(provider, "de")

    assert {path: path.read_bytes() for path in provider.glob(DATABASE + "*")} == before


@pytest.mark.parametrize("record", ["", "{", "{}", "[1]", "\x00"])
def test_a_record_that_somebody_spoilt_ends_the_audit_with_a_sentence(provider: Path, record: str) -> None:
    with database(provider) as connection:
        connection.execute("UPDATE agreements SET record = ?", [record])
    assert not_tried(provider).startswith("The database cannot be read: ")
    assert not_tried(provider, "de").startswith("Die Datenbank kann nicht gelesen werden (")


@pytest.mark.parametrize("value", ["text", b"bytes", 7, 2.5, -1, 10**18])
@pytest.mark.parametrize(
    "column", ["kind", "identifier", "agreement_id", "leaf", "leaf_hash", "raw_rows_out", "recorded"]
)
def test_a_value_of_another_type_is_noticed_and_ends_in_no_traceback(
    provider: Path, column: str, value: Any
) -> None:
    with database(provider) as connection:
        connection.execute(f'UPDATE ledger SET "{column}" = ? WHERE "index" = 3', [value])  # noqa: S608
    done = call("ledger", "verify", "--config", provider / "allmende.toml")
    if (column, type(value)) in {("recorded", int), ("recorded", float)} and done.returncode == 0:
        return  # the time of writing is nobody's statement, so any is as good
    assert done.returncode in {1, 2}
    assert "DOES NOT HOLD: " in done.stdout or done.stderr.startswith(
        "allmende: The database cannot be read:"
    )


def test_an_audit_changes_nothing_and_leaves_nothing_behind(provider: Path) -> None:
    before = {path: path.read_bytes() for path in provider.iterdir() if path.is_file()}
    assert audited(provider) == (0, {})
    assert {path: path.read_bytes() for path in provider.iterdir() if path.is_file()} == before


def test_without_any_tree_head_the_ledger_is_not_said_to_lead_to_them_all(provider: Path) -> None:
    with database(provider) as connection:
        connection.execute("DELETE FROM tree_heads")
    code, problems = audited(provider)
    assert (code, list(problems)) == (1, ["ledger-heads"])
    assert problems["ledger-heads"].startswith("No signed tree head is kept here, although the ledger has 8")


def test_of_an_empty_ledger_it_says_that_no_tree_head_is_kept(tmp_path: Path) -> None:
    called = ("init", tmp_path / "new", "--name", "A", "--public-url", "https://daten.example.de")
    assert call(*called).returncode == 0
    SqlStore(f"sqlite:///{tmp_path / 'new' / DATABASE}", leaf_hash).close()
    done = call("ledger", "verify", "--config", tmp_path / "new" / "allmende.toml")
    assert done.returncode == 0
    assert "holds: No signed tree head is kept here; the ledger is empty." in done.stdout.splitlines()


def test_what_does_not_hold_is_said_in_german_too(provider: Path) -> None:
    with database(provider) as connection:
        connection.execute("UPDATE ledger SET leaf = replace(leaf, 'a', 'b') WHERE \"index\" = 5")
        connection.execute('UPDATE ledger SET result_bytes_out = 7 WHERE "index" = 6')
        connection.execute('DELETE FROM ledger WHERE "index" = 7')
    done = call("ledger", "verify", "--config", provider / "allmende.toml", "--lang", "de")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any("5: Der Eintrag hat nicht den Hashwert" in line for line in lines)
    assert any("6: Die Zeile sagt nicht, was der Eintrag sagt." in line for line in lines)
    assert any("8 Einträge sind unterschrieben, 7 sind da." in line for line in lines)
    assert "Ursache auf Englisch" not in done.stdout


# no entry, no answer

REFUSE = (
    "CREATE TRIGGER refuse BEFORE INSERT ON {table} WHEN {which} "
    "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
)


def sabotage(participant: Participant, table: str, which: str = "1") -> None:
    with database(participant.directory) as connection:
        connection.execute(REFUSE.format(table=table, which=which))


@pytest.mark.parametrize("table", ["ledger", "tree_heads", "documents"])
async def test_a_query_whose_entry_cannot_be_written_gets_no_answer(contracted: Region, table: str) -> None:
    await ask(contracted)
    before = contracted.rheinaue.state("queries")
    sabotage(contracted.rheinaue, table)

    result = await ask(contracted)

    (answer,) = [one for one in result["sites"] if one["provider"] == contracted.rheinaue.did]
    assert (answer["status"], answer["result_bytes"], answer["receipt"]) == ("unreachable", 0, None)
    *_, passed = contracted.network.sent("/data/queries")
    assert passed.status == 500
    assert b"ARROW" not in passed.answer
    assert len(passed.answer) < 1000
    after = contracted.rheinaue.state("queries")
    assert after["ledger"] == before["ledger"]
    assert after["uses"] == before["uses"], "the use was given back"


async def test_a_computation_whose_entry_cannot_be_written_releases_nothing(contracted: Region) -> None:
    sabotage(contracted.rheinaue, "ledger", "NEW.kind = 'computation'")
    agreement = await contracted.agreement_with(contracted.rheinaue)
    body = {"agreement_id": agreement, "files": dict(JOB), "outputs": METRICS}

    identifier = (await contracted.lastwerk.call("POST", "/api/computations", body))["identifier"]

    shown = await contracted.lastwerk.call("GET", f"/api/computations/{segment(identifier)}?wait=5")
    assert (shown["outputs"], shown["receipt"]) == ([], None)
    (record,) = contracted.rheinaue.rows("computations")
    assert record["state"] != "RELEASED"
    assert contracted.rheinaue.state()["outputs"] == []
    assert not [one for one in contracted.network.passed if "/outputs/" in one.path and one.status == 200]


async def test_access_whose_entry_cannot_be_written_is_not_opened(contracted: Region) -> None:
    sabotage(contracted.rheinaue, "ledger", "NEW.kind = 'permit'")

    answer = await voice_of(contracted.lastwerk).say(
        contracted.rheinaue,
        "/transfers/request",
        dsp(
            "TransferRequestMessage",
            **{
                "@id": "urn:uuid:00000000-0000-4000-8000-00000000000c",
                "consumerPid": "urn:uuid:00000000-0000-4000-8000-00000000000d",
                "agreementId": await contracted.agreement_with(contracted.rheinaue),
                "format": TransferFormat.QUERY.value,
                "callbackAddress": f"{contracted.lastwerk.origin}/dsp/2025-1",
            },
        ),
    )

    assert answer.status_code == 500
    leaks_nothing(answer, contracted)
    assert contracted.rheinaue.state()["transfers"] == []


async def test_nothing_is_released_once_the_ledger_was_shortened(contracted: Region) -> None:
    await ask(contracted)
    with database(contracted.rheinaue.directory) as connection:
        connection.execute("DELETE FROM ledger")

    result = await ask(contracted)

    (answer,) = [one for one in result["sites"] if one["provider"] == contracted.rheinaue.did]
    assert (answer["status"], answer["receipt"]) == ("unreachable", None)
    assert contracted.rheinaue.state()["ledger"] == []


async def test_a_contract_whose_entry_cannot_be_written_is_not_finalised(published: Region) -> None:
    sabotage(published.rheinaue, "ledger")
    pid = await published.request(published.rheinaue)

    async def state(participant: Participant) -> Any:
        return [one["state"] for one in await participant.call("GET", "/api/negotiations")]

    for _ in range(50):
        await asyncio.sleep(0.02)
        if (await state(published.lastwerk))[-1:] == ["FINALIZED"]:
            break
    assert published.rheinaue.state()["ledger"] == []
    assert "FINALIZED" not in await state(published.rheinaue)
    assert pid
