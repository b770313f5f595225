"""`allmende init`, `serve` and `verify`, and publishing, as careless and hostile users call them."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet
import pytest

from connector.adapters.rdf_canonicaliser import RdfCanonicaliser
from connector.demo.assets import publication
from connector.evidence.agreements import agreement_file
from connector.evidence.verification import verify_file
from tests.region.processes import (
    Demonstration,
    Participant,
    call,
    demonstration,
    free_port,
    one_sentence,
    run,
    started,
)
from tests.unit.evidence.parties import CONSUMER, DOCUMENTS, PROVIDER, make_statement, prove_as_rdf, signatory

NAME = 'Müller "& Söhne" \\ GmbH\nZeile zwei'
POLICY = "https://w3id.org/allmende/policy/v1#"


# verify


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    return demonstration(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def agreement(shown: Demonstration) -> Path:
    return Path(shown.result["agreements"][0]["file"])


@pytest.fixture(scope="module")
def receipt(shown: Demonstration) -> Path:
    return Path(shown.result["computations"][0]["receipt"])


@pytest.mark.parametrize(
    ("language", "first", "last"),
    [
        ("de", "Gültig: Vertrag urn:uuid:", "Fingerabdruck"),
        ("en", "Valid: agreement urn:uuid:", "fingerprint"),
    ],
)
def test_an_agreement_verifies_in_both_languages(
    agreement: Path, language: str, first: str, last: str
) -> None:
    done = call("verify", agreement, "--lang", language)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(first)
    assert last in lines[-1]
    assert sum(line.startswith("  did:web:") for line in lines) == 2


def test_a_receipt_verifies_for_programs(receipt: Path) -> None:
    done = call("verify", receipt, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["kind"] == "receipt"
    assert [party["key_source"] for party in answer["parties"]] == [
        "file",
        "file",
    ]  # who released, who received


def _changed(position: Callable[[bytes], int]) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        place = position(data)
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return change


def _inside(text: bytes) -> Callable[[bytes], bytes]:
    return _changed(lambda data: data.index(text) + len(text) // 2)


CHANGES = {
    "the first byte": _changed(lambda _: 0),
    "the last byte": _changed(lambda data: len(data) - 1),
    "the kind of the file": _inside(b"ReleaseReceiptFile"),
    "the name of the statement": _inside(b'"signedReceipt"'),
    "a signature": _changed(lambda data: data.index(b'"proofValue"') + 40),
    "a key": _changed(lambda data: data.index(b'"publicKeyMultibase"') + 40),
    "a figure": _changed(lambda data: data.index(b'"resultBytesOut": ') + 18),
    "white space": _changed(lambda data: data.index(b"\n  ") + 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_one_changed_byte_is_an_answer_of_no_with_the_reason(
    change: Callable[[bytes], bytes], receipt: Path, tmp_path: Path
) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(change(receipt.read_bytes()))
    assert sum(a != b for a, b in zip(file.read_bytes(), receipt.read_bytes(), strict=True)) == 1

    done = call("verify", file)

    assert done.returncode == 1
    assert one_sentence(done).startswith(f"{file}: ")


def test_as_a_program_it_says_so_too(agreement: Path, tmp_path: Path) -> None:
    (tmp_path / "forged.json").write_bytes(agreement.read_bytes().replace(b'"20"', b'"90"', 1))
    done = run("verify", tmp_path / "forged.json")
    assert done.returncode == 1
    assert "The signature of did:web:localhost" in one_sentence(done)


def _missing(path: Path) -> Path:
    return path / "missing.json"


def _directory(path: Path) -> Path:
    return path


def _no_json(path: Path) -> Path:
    (path / "text.json").write_text("Sehr geehrte Damen und Herren")
    return path / "text.json"


def _other_json(path: Path) -> Path:
    (path / "other.json").write_text('{"type": "Rechnung"}')
    return path / "other.json"


def _empty(path: Path) -> Path:
    (path / "empty.json").touch()
    return path / "empty.json"


def _huge(path: Path) -> Path:
    with (path / "huge.json").open("wb") as file:
        file.truncate(200 << 30)
    return path / "huge.json"


@pytest.mark.parametrize("make", [_missing, _directory, _no_json, _other_json, _empty, _huge])
def test_what_is_no_evidence_cannot_be_tried(make: Callable[[Path], Path], tmp_path: Path) -> None:
    file = make(tmp_path)
    done = call("verify", file)
    assert done.returncode == 2
    assert str(file) in one_sentence(done)


def _did_document(verified: Path, party: int) -> dict[str, Any]:
    statement = verify_file(verified.read_bytes())
    document: dict[str, Any] = json.loads(verified.read_bytes())["didDocuments"][statement.parties[party].did]
    return document


def test_pinned_did_documents_answer_whose_keys_they_are(agreement: Path, tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / f"{number}.json").write_text(json.dumps(_did_document(agreement, number)))
    pinned = ["--did-document", tmp_path / "0.json", "--did-document", tmp_path / "1.json"]
    done = call("verify", agreement, *pinned)
    assert done.returncode == 0
    assert "All keys are in the DID documents that you supplied." in done.stdout


def test_a_pinned_did_document_with_another_key_is_an_answer_of_no(agreement: Path, tmp_path: Path) -> None:
    real, other = _did_document(agreement, 0), _did_document(agreement, 1)
    for method, foreign in zip(real["verificationMethod"], other["verificationMethod"], strict=True):
        method["publicKeyMultibase"] = foreign["publicKeyMultibase"]
    (tmp_path / "did.json").write_text(json.dumps(real))
    done = call("verify", agreement, "--did-document", tmp_path / "did.json")
    assert done.returncode == 1
    assert real["id"] in one_sentence(done)


def test_a_pinned_did_document_of_somebody_else_is_not_ignored(
    receipt: Path, agreement: Path, tmp_path: Path
) -> None:
    signers = {party.did for party in verify_file(receipt.read_bytes()).parties}
    elsewhere = agreement.parent / "agreement-gewerbeverbund.json"
    documents = [_did_document(elsewhere, number) for number in (0, 1)]
    (stranger,) = [document for document in documents if document["id"] not in signers]
    (tmp_path / "did.json").write_text(json.dumps(stranger))
    done = call("verify", receipt, "--did-document", tmp_path / "did.json")
    assert done.returncode == 1
    assert f"is not signed by {stranger['id']}" in one_sentence(done)


def test_a_document_of_somebody_else_is_not_ignored_by_the_explanation_either(
    receipt: Path, tmp_path: Path
) -> None:
    stranger = signatory("fremd.example", 55)
    (tmp_path / "did.json").write_text(json.dumps(stranger.document.content))
    asked = ("verify", receipt, "--did-document", tmp_path / "did.json", "--explain")
    done, german = call(*asked), call(*asked, "--lang", "de")
    assert (done.returncode, german.returncode) == (1, 1)
    assert done.stdout.startswith(f"DOES NOT HOLD: The file is not signed by {stranger.did}")
    assert german.stdout.startswith(f"STIMMT NICHT: Die Datei ist nicht von {stranger.did} unterschrieben")
    answer = json.loads(call(*asked, "--json").stdout)
    assert answer["holds"] is False
    assert answer["notes"] == []


@pytest.mark.parametrize(
    ("language", "note", "source"),
    [("de", "Hinweis: ", "(aus der Datei selbst)"), ("en", "note: ", "(from the file itself)")],
)
def test_the_explanation_says_whose_keys_signed_and_what_stays_open(
    agreement: Path, language: str, note: str, source: str
) -> None:
    done = call("verify", agreement, "--explain", "--lang", language)
    assert (done.returncode, done.stderr) == (0, "")
    notes = [line for line in done.stdout.splitlines() if line.startswith(note)]
    plain = call("verify", agreement, "--lang", language).stdout.splitlines()
    assert notes[-1] == note + plain[-1]
    assert [source in line for line in notes] == [True, True, False]
    for key in (line.split()[1] for line in plain if line.startswith("    ")):
        assert sum(key in line for line in notes) == 1


def _signed_as_rdf(path: Path) -> Path:
    signed = PROVIDER.prove(prove_as_rdf(CONSUMER, make_statement(PROVIDER, CONSUMER), RdfCanonicaliser()))
    (path / "rdfc.json").write_bytes(agreement_file(signed, DOCUMENTS))
    return path / "rdfc.json"


def test_a_signature_over_the_meaning_is_verified_and_named_with_and_without_explanation(
    tmp_path: Path,
) -> None:
    file = _signed_as_rdf(tmp_path)
    for more, beginning in (((), ""), (("--explain",), "note: ")):
        done = call("verify", file, *more)
        assert (done.returncode, done.stderr) == (0, "")
        said = beginning + "At least one signature covers what the agreement means as RDF"
        assert sum(line.startswith(said) for line in done.stdout.splitlines()) == 1


def test_a_signature_over_the_meaning_covers_every_figure(tmp_path: Path) -> None:
    file = _signed_as_rdf(tmp_path)
    file.write_bytes(file.read_bytes().replace(b'"20"', b'"21"'))
    for more in ((), ("--explain",)):
        assert call("verify", file, *more).returncode == 1


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("more", [(), ("--explain",)])
def test_what_was_changed_is_said_in_german(
    change: Callable[[bytes], bytes], more: tuple[str, ...], receipt: Path, tmp_path: Path
) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(change(receipt.read_bytes()))
    german, english = (call("verify", file, *more, "--lang", language) for language in ("de", "en"))
    assert german.returncode == 1
    said = [line for line in (german.stdout + german.stderr).splitlines() if not line.startswith("stimmt: ")]
    other = (english.stdout + english.stderr).splitlines()
    assert said
    for line in said:
        assert re.search(r"\b(Datei|Dokument|Member|Schlüssel|Unterschrift|Nachweis|Quittung)", line), line
        assert line not in other


@pytest.mark.parametrize(
    ("make", "said"), [(_missing, "gibt es nicht"), (_directory, "ist ein Verzeichnis"), (_huge, "zu groß")]
)
def test_what_cannot_be_read_is_said_in_german(
    make: Callable[[Path], Path], said: str, tmp_path: Path
) -> None:
    done = call("verify", make(tmp_path), "--lang", "de")
    assert done.returncode == 2
    assert said in one_sentence(done)


def test_a_directory_is_named_in_full_where_nothing_was_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert one_sentence(call("verify", "")) == f"{tmp_path} is a directory; name a file."


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"id": 7}', '{"id": "did:web:a.example", "service": 7}'])
def test_a_malformed_did_document_cannot_be_tried(text: str, agreement: Path, tmp_path: Path) -> None:
    (tmp_path / "did.json").write_text(text)
    done = call("verify", agreement, "--did-document", tmp_path / "did.json")
    assert done.returncode == 2
    assert "is no DID document" in one_sentence(done)


# keys


def test_keys_are_shown_and_replaced_in_german(tmp_path: Path) -> None:
    called = ("init", tmp_path / "new", "--name", "A", "--public-url", "https://daten.example.de")
    assert call(*called).returncode == 0
    at = ("--config", tmp_path / "new" / "allmende.toml", "--lang", "de")
    done = call("keys", "rotate", *at)
    assert done.returncode == 0
    assert done.stderr == "allmende: Starten Sie den Connector neu, damit er die neuen Schlüssel benutzt.\n"
    assert " bis 20" in call("keys", "show", *at).stdout
    (tmp_path / "new" / "keys" / "contracts-2.pem").chmod(0o644)
    for command in ("show", "rotate"):
        said = one_sentence(call("keys", command, *at))
        assert "können andere lesen oder ändern" in said
        assert "Rufen Sie auf: chmod 600" in said


@pytest.mark.parametrize("command", [("keys", "show"), ("keys", "rotate"), ("ledger", "verify")])
@pytest.mark.parametrize(
    ("config", "english", "german"),
    [
        ("missing.toml", "There is no configuration file", "Es gibt keine Konfigurationsdatei"),
        (".", "is no regular file", "ist keine gewöhnliche Datei"),
        ("broken.toml", "is not valid TOML", "ist kein gültiges TOML"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_named(
    command: tuple[str, ...], config: str, english: str, german: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.toml").write_text("= 3")
    for language, said in (("en", english), ("de", german)):
        done = call(*command, "--config", tmp_path / config, "--lang", language)
        assert done.returncode == 2
        assert said in one_sentence(done)


# init


def test_init_makes_a_private_directory_and_keeps_odd_names(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "participant"
    old = os.umask(0o000)
    try:
        done = call("init", directory, "--name", NAME, "--public-url", "https://daten.example.de/region/")
    finally:
        os.umask(old)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(directory / "allmende.toml")
    written = tomllib.loads((directory / "allmende.toml").read_text())
    assert written["participant_name"] == NAME
    assert written["public_url"] == "https://daten.example.de/region"
    assert (written["public"]["port"], written["management"]["port"]) == (8080, 8081)
    assert {path.name: path.stat().st_mode & 0o777 for path in [directory, *directory.rglob("*")]} == {
        "participant": 0o700,
        "keys": 0o700,
        "contracts.pem": 0o600,
        "tokens.pem": 0o600,
        "management.token": 0o600,
        "allmende.toml": 0o600,
    }


def test_init_changes_nothing_where_a_participant_is(tmp_path: Path) -> None:
    arguments = ("init", tmp_path, "--name", "A", "--public-url", "http://localhost:8080")
    assert call(*arguments).returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = call(*arguments)
    assert done.returncode == 2
    assert "exists already" in one_sentence(done)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_init_leaves_a_directory_with_other_things_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").touch()
    done = call("init", tmp_path, "--name", "A", "--public-url", "http://localhost:8080")
    assert done.returncode == 2
    assert "is not empty" in one_sentence(done)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("place", ["/proc/participant", "{file}", "{file}/below"])
def test_init_names_a_place_where_it_cannot_write(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    directory = place.format(file=tmp_path / "file")
    done = call("init", directory, "--name", "A", "--public-url", "http://localhost:8080")
    assert done.returncode == 2
    assert directory in one_sentence(done)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("A", "http://127.0.0.1:8080"),
        ("A", "ftp://daten.example.de"),
        ("A", "http://localhost:99999"),
        ("A", "https://user:secret@daten.example.de"),
        ("", "http://localhost:8080"),
    ],
)
def test_init_refuses_what_nobody_could_be_called_or_reached_by(
    name: str, address: str, tmp_path: Path
) -> None:
    done = call("init", tmp_path / "new", "--name", name, "--public-url", address)
    assert done.returncode == 2
    assert one_sentence(done)
    assert not (tmp_path / "new").exists()


# serve


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Participant:
    """A participant that no test changes."""
    return Participant(tmp_path_factory.mktemp("made") / "participant", NAME)


@pytest.fixture
def copied(made: Participant, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(made.directory, tmp_path / "participant"))


def _refused_to_serve(directory: Path, env: dict[str, str] | None = None) -> str:
    done = call("serve", "--config", directory / "allmende.toml", env=env)
    assert done.returncode == 2
    return one_sentence(done)


def _without_configuration(directory: Path) -> str:
    (directory / "allmende.toml").unlink()
    return "allmende init"


def _with_broken_toml(directory: Path) -> str:
    (directory / "allmende.toml").write_text("participant_name = = 3")
    return "is not valid TOML"


def _with_an_unknown_key(directory: Path) -> str:
    path = directory / "allmende.toml"
    path.write_text(path.read_text().replace("[public]", "[public]\nprot = 8080"))
    return "public.prot: is not a setting"


def _without_a_key(directory: Path) -> str:
    (directory / "keys" / "contracts.pem").unlink()
    return "contracts.pem is missing"


def _with_a_key_that_others_can_read(directory: Path) -> str:
    (directory / "keys" / "tokens.pem").chmod(0o644)
    return "chmod 600"


def _with_a_key_of_another_kind(directory: Path) -> str:
    key = directory / "keys" / "tokens.pem"
    key.unlink()
    subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "ED448", "-out", key], check=True)
    key.chmod(0o600)
    return "is not an Ed25519 key"


def _without_the_management_token(directory: Path) -> str:
    (directory / "management.token").unlink()
    return "management.token"


def _with_a_database_that_is_none(directory: Path) -> str:
    (directory / "allmende.sqlite").write_bytes(b"This is not a database. " * 400)
    return "The database cannot be opened: file is not a database"


def _with_a_database_from_the_future(directory: Path) -> str:
    with closing(sqlite3.connect(directory / "allmende.sqlite")) as database, database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('9999_future')")
    return "The database cannot be opened"


SPOILT = (
    _without_configuration,
    _with_broken_toml,
    _with_an_unknown_key,
    _without_a_key,
    _with_a_key_that_others_can_read,
    _with_a_key_of_another_kind,
    _without_the_management_token,
    _with_a_database_that_is_none,
    _with_a_database_from_the_future,
)


@pytest.mark.parametrize("spoil", SPOILT)
def test_serve_says_in_one_sentence_why_it_cannot_start(spoil: Callable[[Path], str], copied: Path) -> None:
    wanted = spoil(copied)
    assert wanted in _refused_to_serve(copied)


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("ALLMENDE_PUBLIC_PORT", "8080", "The environment variable ALLMENDE_PUBLIC_PORT is not a setting"),
        ("ALLMENDE_PUBLIC__PORT", "eight", "The environment variable ALLMENDE_PUBLIC__PORT"),
        ("ALLMENDE_PUBLIC__HOST", "203.0.113.77", "public.host"),
        ("ALLMENDE_DATABASE_URL", "sqlite:////nowhere/at/all.sqlite", "The database cannot be opened"),
        (
            "ALLMENDE_DATABASE_URL",
            "mysql://root:geheim@localhost/x",
            "ALLMENDE_DATABASE_URL: must begin with",
        ),
        ("ALLMENDE_DATA_DIR", "/proc", "management.token"),
    ],
)
def test_serve_names_the_variable_that_is_wrong(
    variable: str, value: str, wanted: str, made: Participant
) -> None:
    said = _refused_to_serve(made.directory, {variable: value})
    assert wanted in said
    assert "geheim" not in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_serve_names_a_data_directory_that_it_cannot_write(copied: Path) -> None:
    copied.chmod(0o500)
    try:
        assert "The database cannot be opened" in _refused_to_serve(copied)
    finally:
        copied.chmod(0o700)


@pytest.mark.parametrize("which", ["public", "management"])
def test_serve_names_the_port_that_is_occupied(which: str, made: Participant) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        said = _refused_to_serve(made.directory, {f"ALLMENDE_{which.upper()}__PORT": str(port)})
    assert f"The {which} listener cannot use 127.0.0.1:{port}: Address already in use" in said
    assert f"{which}.port" in said


def test_serve_announces_itself_in_one_line_and_stops_at_once(made: Participant) -> None:
    with started("serve", "--config", made.directory / "allmende.toml") as running:
        facts = running.read_object()
        assert facts["did"] == made.did
        assert httpx.get(facts["management"] + "/healthz", trust_env=False).json() == {"status": "alive"}
        running.process.send_signal(signal.SIGINT)
        assert running.wait() == 0
        assert running.rest() == ""


def test_serve_stops_when_whoever_started_it_has_gone(made: Participant) -> None:
    with started("serve", "--config", made.directory / "allmende.toml", "--until-stdin-closes") as running:
        running.read_object()
        assert running.process.stdin is not None
        running.process.stdin.close()
        assert running.wait() == 0


# publishing


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Participant]:
    participant = Participant(tmp_path_factory.mktemp("provider") / "participant", "Stadtwerke Rheinaue")
    with participant.serving():
        yield participant


def _file(path: Path, table: pa.Table) -> str:
    pyarrow.parquet.write_table(table, path)
    return str(path)


def _no_data_file(body: dict[str, Any], path: Path) -> str:
    body["file"] = str(path / "missing.parquet")
    return "missing.parquet"


def _malformed_parquet(body: dict[str, Any], path: Path) -> str:
    (path / "broken.parquet").write_bytes(b"PAR1 and then nothing of the kind PAR1")
    body["file"] = str(path / "broken.parquet")
    return "broken.parquet"


def _cut_parquet(body: dict[str, Any], path: Path) -> str:
    whole = Path(body["file"]).read_bytes()
    (path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    body["file"] = str(path / "cut.parquet")
    return "cut.parquet"


def _another_type(body: dict[str, Any], path: Path) -> str:
    table = pyarrow.parquet.read_table(body["file"]).slice(0, 100)
    column = table.schema.get_field_index("load_kw")
    body["file"] = _file(
        path / "typed.parquet", table.set_column(column, "load_kw", table["load_kw"].cast("double"))
    )
    return "load_kw"


def _a_column_too_few(body: dict[str, Any], path: Path) -> str:
    table = pyarrow.parquet.read_table(body["file"]).slice(0, 100)
    body["file"] = _file(path / "narrow.parquet", table.drop_columns(["sector"]))
    return "sector"


def _an_unknown_operand(body: dict[str, Any], _: Path) -> str:
    _constraint(body, {"leftOperand": POLICY + "moonPhase", "operator": "eq", "rightOperand": "full"})
    return "moonPhase"


def _an_unknown_operator(body: dict[str, Any], _: Path) -> str:
    _constraint(body, {"leftOperand": "count", "operator": "roughly", "rightOperand": "20"})
    return "roughly"


def _an_operand_that_nobody_can_enforce(body: dict[str, Any], _: Path) -> str:
    _constraint(body, {"leftOperand": "percentage", "operator": "lteq", "rightOperand": "30"})
    return "percentage"


def _an_unknown_action(body: dict[str, Any], _: Path) -> str:
    body["offer"]["permission"].append({"action": "https://example.org/actions#teleport"})
    return "teleport"


def _an_unknown_profile(body: dict[str, Any], _: Path) -> str:
    body["offer"]["profile"] = ["https://example.org/other-profile"]
    return "other-profile"


def _a_duty(body: dict[str, Any], _: Path) -> str:
    body["offer"]["permission"][0]["duty"] = [{"action": "http://www.w3.org/ns/odrl/2/watermark"}]
    return "watermark"


def _a_group_unit_that_is_no_column(body: dict[str, Any], _: Path) -> str:
    for one in body["offer"]["permission"][0]["constraint"]:
        if one["leftOperand"] == POLICY + "groupUnit":
            one["rightOperand"] = "customer"
    return "customer"


def _constraint(body: dict[str, Any], constraint: dict[str, str]) -> None:
    body["offer"]["permission"][0]["constraint"].append(constraint)


MISTAKES = (
    _no_data_file,
    _malformed_parquet,
    _cut_parquet,
    _another_type,
    _a_column_too_few,
    _an_unknown_operand,
    _an_unknown_operator,
    _an_operand_that_nobody_can_enforce,
    _an_unknown_action,
    _an_unknown_profile,
    _a_duty,
    _a_group_unit_that_is_no_column,
)


@pytest.mark.parametrize("spoil", MISTAKES)
def test_a_publication_that_cannot_be_kept_is_refused_by_name_and_not_saved(
    spoil: Callable[[dict[str, Any], Path], str], provider: Participant, tmp_path: Path
) -> None:
    body = dict(publication("stadtwerke"))
    wanted = spoil(body, tmp_path)
    before = provider.get("/api/datasets")

    answer = provider.ask("POST", "/api/datasets", body)

    assert (answer.status_code // 100, answer.headers["content-type"]) == (4, "application/problem+json")
    assert wanted in answer.json()["detail"]
    assert provider.get("/api/datasets") == before


def test_a_failed_replacement_leaves_the_offer_as_it_was(provider: Participant, tmp_path: Path) -> None:
    body = dict(publication("stadtwerke"))
    published = provider.post("/api/datasets", body)
    before = httpx.get(provider.public + "/catalog", headers={"accept": "text/turtle"}, trust_env=False).text
    body["identifier"] = published["identifier"]
    _malformed_parquet(body, tmp_path)

    assert provider.ask("POST", "/api/datasets", body).status_code == 422
    after = httpx.get(provider.public + "/catalog", headers={"accept": "text/turtle"}, trust_env=False).text
    assert after == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"table": 7}', b'{"a": 1, "a": 2}', b"\xff"])
def test_a_body_that_is_no_publication_gets_a_problem_document(content: bytes, provider: Participant) -> None:
    token = (provider.directory / "management.token").read_text()
    answer = httpx.post(
        f"http://127.0.0.1:{provider.management_port}/api/datasets",
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        content=content,
        trust_env=False,
    )
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


# three by hand


def test_who_does_not_answer_is_named(provider: Participant) -> None:
    did = f"did:web:localhost%3A{free_port()}"
    answer = provider.ask("POST", "/api/catalogs", {"provider": did})
    assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
    assert did in answer.json()["detail"]


def test_a_connector_that_stops_answers_who_waits(provider: Participant, tmp_path: Path) -> None:
    consumer = Participant(tmp_path / "lastwerk", "Lastwerk KI")
    body = {**publication("gewerbeverbund"), "approval": "manual"}
    dataset = provider.post("/api/datasets", body)["identifier"]
    with consumer.serving() as running, ThreadPoolExecutor(1) as threads:
        consumer.post("/api/catalogs", {"provider": provider.did})
        wanted = {"dataset": dataset, "purpose": POLICY + "LoadForecasting"}
        pid = consumer.post("/api/negotiations", wanted)["pid"]
        waiting = threads.submit(consumer.get, f"/api/negotiations/{pid}?wait=60")
        with pytest.raises(TimeoutError):
            waiting.result(timeout=1)

        running.process.send_signal(signal.SIGTERM)

        assert waiting.result(timeout=30)["state"] == "REQUESTED"
        assert running.wait() == 0
        assert running.rest() == ""


def test_a_provider_that_was_killed_resumes_with_its_contracts_and_its_ledger(
    provider: Participant, tmp_path: Path
) -> None:
    killed = Participant(tmp_path / "neckar", "Gewerbeverbund Neckar")
    consumer = Participant(tmp_path / "lastwerk", "Lastwerk KI")
    statement = "SELECT sector, count(*) AS n FROM load_profiles GROUP BY sector ORDER BY sector"
    with consumer.serving():
        with killed.serving() as running:
            agreements = []
            for one, offer in ((provider, "stadtwerke"), (killed, "gewerbeverbund")):
                dataset = one.post("/api/datasets", publication(offer))["identifier"]
                consumer.post("/api/catalogs", {"provider": one.did})
                purpose = {"dataset": dataset, "purpose": POLICY + "LoadForecasting"}
                pid = consumer.post("/api/negotiations", purpose)["pid"]
                outcome = consumer.get(f"/api/negotiations/{pid}?wait=30")
                assert outcome["state"] == "FINALIZED", outcome
                agreements.append(outcome["agreement_id"])
            query = {"statement": statement, "agreements": agreements}
            before = consumer.post("/api/queries", query)
            assert [site["status"] for site in before["sites"]] == ["released", "released"]
            ledger, contracts = killed.get("/api/ledger"), killed.get("/api/agreements")
            running.process.kill()
            running.wait()

        alone = consumer.post("/api/queries", query)
        assert [site["status"] for site in alone["sites"]] == ["released", "unreachable"]

        with killed.serving():
            assert killed.get("/api/agreements") == contracts
            assert killed.get("/api/ledger")["entries"] == ledger["entries"]
            after = consumer.post("/api/queries", query)
            assert after["rows"] == before["rows"]
            assert len(killed.get("/api/ledger")["entries"]) == len(ledger["entries"]) + 1
