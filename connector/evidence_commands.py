"""The `allmende ledger` and `allmende keys` commands: what was signed, and what with."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn

import typer
from rich.console import Console

from connector.adapters.key_files import KeyFileError
from connector.adapters.own_credentials import OwnCredentials, Purpose, load_credentials, rotate_key
from connector.adapters.sql_store import StoreUnavailableError, read_kept
from connector.adapters.system_clock import SystemClock
from connector.evidence.audit import Check
from connector.evidence.checking import Report
from connector.evidence.did import did_of
from connector.evidence.ledger import leaf_hash
from connector.evidence.multikey import fingerprint
from connector.services.inspecting import inspect_ledger
from connector.settings import ConfigurationError, Settings, read_settings
from policies.model import LanguageMap
from policies.wording import sentence
from schemas.errors import in_english
from schemas.strict_json import JsonObject, MalformedJsonError, loads

Language = Literal["de", "en"]
LanguageOption = Annotated[Language, typer.Option("--lang", help="de or en.")]
ConfigOption = Annotated[Path, typer.Option(help="The participant's configuration file.")]

key_commands = typer.Typer(no_args_is_help=True, help="Show and replace the keys of this participant.")
ledger_commands = typer.Typer(no_args_is_help=True, help="Check the ledger of this participant.")
_errors = Console(stderr=True, highlight=False)
_CONFIGURATION: Final = Path("allmende.toml")
_DSP: Final = "/dsp/2025-1"
_LARGEST_FILE: Final = 10_000_000
_WORDS: Final = {
    "de": {True: "stimmt", False: "STIMMT NICHT"},
    "en": {True: "holds", False: "DOES NOT HOLD"},
}
_NOTE: Final = {"de": "Hinweis", "en": "note"}
_UNTIL: Final = {"de": "bis", "en": "until"}
_START_AGAIN: Final = {
    "de": "Starten Sie den Connector neu, damit er die neuen Schlüssel benutzt.",
    "en": "Start the connector again, so that it uses the new keys.",
}


@ledger_commands.command("verify")
def verify(
    config: ConfigOption = _CONFIGURATION,
    head: Annotated[
        list[Path] | None,
        typer.Option(
            help="A tree head or a receipt of this ledger that somebody else kept; may be repeated."
        ),
    ] = None,
    language: LanguageOption = "en",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Check every entry of the ledger, and that none was added, removed or moved; exit 1 if one was."""
    witnessed = [_head(path, language) for path in head or []]
    show_report(Report(_audited(config, witnessed, language)), language, as_json=as_json)


@key_commands.command("show")
def show_keys(config: ConfigOption = _CONFIGURATION, language: LanguageOption = "en") -> None:
    """Print the keys' fingerprints, for partners to compare; those that were given up come last."""
    _, credentials = read_participant(config, language)
    for method in credentials.document.methods.values():
        ended = f" {_UNTIL[language]} {method.ended.isoformat()}" if method.ended else ""
        typer.echo(f"{method.identifier}{ended}\n  {fingerprint(method.key)}")


@key_commands.command("rotate")
def rotate(
    config: ConfigOption = _CONFIGURATION,
    key: Annotated[
        Literal["contracts", "tokens", "both"],
        typer.Option(help="Which key; partners notice at once only if both are replaced."),
    ] = "both",
    language: LanguageOption = "en",
) -> None:
    """Put new keys in the place of those in use; what was signed before stays valid.

    The connector uses them when it is started again.
    """
    settings, credentials = read_participant(config, language)
    purposes: tuple[Purpose, ...] = ("contracts", "tokens") if key == "both" else (key,)
    try:
        for purpose in purposes:
            now = SystemClock().now()
            made = rotate_key(settings.data_dir, purpose, did=credentials.did, now=now)
            typer.echo(f"{purpose}: {made}")
    except KeyFileError as problem:
        fail(problem.reason[language])
    _errors.print(f"allmende: {_START_AGAIN[language]}", soft_wrap=True)


def show_report(report: Report, language: Language, *, as_json: bool) -> None:
    """Print one line per check and note, and end with exit code 1 where a check does not hold."""
    holds = all(check.holds for check in report.checks)
    if as_json:
        typer.echo(json.dumps({"holds": holds, **asdict(report)}))
    else:
        for check in report.checks:
            typer.echo(f"{_WORDS[language][check.holds]}: {check.text[language]}")
        for note in report.notes:
            typer.echo(f"{_NOTE[language]}: {note[language]}")
    if not holds:
        raise typer.Exit(1)


def _audited(config: Path, witnessed: Sequence[JsonObject], language: Language) -> tuple[Check, ...]:
    settings, credentials = read_participant(config, language)
    try:
        return read_kept(
            settings.store_url, leaf_hash, lambda tx: inspect_ledger(tx, credentials.document, witnessed)
        )
    except StoreUnavailableError as problem:
        fail(problem.reason[language])


def read_participant(config: Path, language: Language) -> tuple[Settings, OwnCredentials]:
    """A participant's settings and keys, or the end of the command with a sentence."""
    try:
        settings = read_settings(config)
        url = settings.public_url
        return settings, load_credentials(settings.data_dir, did=did_of(url), base_url=url + _DSP)
    except (ConfigurationError, KeyFileError) as problem:
        fail(problem.reason[language])


def _head(path: Path, language: Language) -> JsonObject:
    """The tree head in a file: alone, or in the receipt that carries it."""
    try:
        with path.open("rb") as file:
            document = loads(file.read(_LARGEST_FILE), max_bytes=_LARGEST_FILE)
    except OSError as problem:
        fail(not_read(path, problem)[language])
    except MalformedJsonError as problem:
        fail(sentence(*_NO_JSON, file=str(path), cause=str(problem), quoted=in_english(problem))[language])
    inclusion = document.get("inclusion") if isinstance(document, dict) else None
    found = inclusion.get("treeHead") if isinstance(inclusion, dict) else document
    if not isinstance(found, dict) or found.get("type") != "TreeHead":
        fail(sentence(*_NO_HEAD, file=str(path))[language])
    return found


def not_read(path: Path, problem: OSError) -> LanguageMap:
    """Say why a file cannot be read."""
    for kind, words in _CAUSES.items():
        if isinstance(problem, kind):
            return sentence(*words, file=str(path.absolute()))
    return sentence(*_NOT_READ, file=str(path), cause=str(problem.strerror))


_CAUSES: Final[dict[type[OSError], tuple[str, str]]] = {
    FileNotFoundError: (
        "Die Datei {file} gibt es nicht.",
        "{file} cannot be read: there is no such file.",
    ),
    IsADirectoryError: (
        "{file} ist ein Verzeichnis; bitte nennen Sie eine Datei.",
        "{file} is a directory; name a file.",
    ),
    PermissionError: (
        "Die Datei {file} kann nicht gelesen werden: Das Recht dazu fehlt.",
        "{file} cannot be read: the right to read it is missing.",
    ),
}
_NOT_READ: Final = ("Die Datei {file} kann nicht gelesen werden: {cause}.", "{file} cannot be read: {cause}.")
_NO_JSON: Final = (
    "{file} ist kein wohlgeformtes JSON {quoted}.",
    "{file} is no JSON file: {cause}",
)
_NO_HEAD: Final = (
    "{file} ist weder der Stand eines Protokolls noch eine Quittung.",
    "{file} is neither a tree head nor a receipt.",
)


def fail(sentence: str, code: int = 2) -> NoReturn:
    """End the command with a sentence."""
    _errors.print(f"allmende: {sentence}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)
