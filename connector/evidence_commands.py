"""The `allmende ledger` and `allmende keys` commands: what was signed, and what with."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn

import typer
from rich.console import Console

from connector.adapters.key_files import KeyFileError
from connector.adapters.own_credentials import OwnCredentials, Purpose, load_credentials, rotate_key
from connector.adapters.sql_store import SqlStore, StoreUnavailableError
from connector.adapters.system_clock import SystemClock
from connector.evidence.audit import Check
from connector.evidence.did import did_of
from connector.evidence.ledger import leaf_hash
from connector.evidence.multikey import fingerprint
from connector.services.inspecting import inspect_ledger
from connector.settings import ConfigurationError, Settings, read_settings
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
    witnessed = [_head(path) for path in head or []]
    checks = asyncio.run(_audited(config, witnessed))
    show_checks(checks, language, as_json=as_json)


@key_commands.command("show")
def show_keys(config: ConfigOption = _CONFIGURATION) -> None:
    """Print the keys' fingerprints, for partners to compare; those that were given up come last."""
    _, credentials = read_participant(config)
    for method in credentials.document.methods.values():
        ended = f" until {method.ended.isoformat()}" if method.ended else ""
        typer.echo(f"{method.identifier}{ended}\n  {fingerprint(method.key)}")


@key_commands.command("rotate")
def rotate(
    config: ConfigOption = _CONFIGURATION,
    key: Annotated[
        Literal["contracts", "tokens", "both"],
        typer.Option(help="Which key; partners notice at once only if both are replaced."),
    ] = "both",
) -> None:
    """Put new keys in the place of those in use; what was signed before stays valid.

    The connector uses them when it is started again.
    """
    settings, credentials = read_participant(config)
    purposes: tuple[Purpose, ...] = ("contracts", "tokens") if key == "both" else (key,)
    try:
        for purpose in purposes:
            now = SystemClock().now()
            made = rotate_key(settings.data_dir, purpose, did=credentials.did, now=now)
            typer.echo(f"{purpose}: {made}")
    except KeyFileError as problem:
        fail(str(problem))
    _errors.print("allmende: Start the connector again, so that it uses the new keys.", soft_wrap=True)


def show_checks(checks: Sequence[Check], language: Language, *, as_json: bool) -> None:
    """Print one line per check, and end with exit code 1 where one does not hold."""
    holds = all(check.holds for check in checks)
    if as_json:
        typer.echo(json.dumps({"holds": holds, "checks": [asdict(check) for check in checks]}))
    else:
        for check in checks:
            typer.echo(f"{_WORDS[language][check.holds]}: {check.text[language]}")
    if not holds:
        raise typer.Exit(1)


async def _audited(config: Path, witnessed: Sequence[JsonObject]) -> tuple[Check, ...]:
    settings, credentials = read_participant(config)
    try:
        store = SqlStore(settings.store_url, leaf_hash)
    except StoreUnavailableError as problem:
        fail(str(problem))
    try:
        return await store.transact(lambda tx: inspect_ledger(tx, credentials.document, witnessed))
    finally:
        store.close()


def read_participant(config: Path) -> tuple[Settings, OwnCredentials]:
    """A participant's settings and keys, or the end of the command with a sentence."""
    try:
        settings = read_settings(config)
        url = settings.public_url
        return settings, load_credentials(settings.data_dir, did=did_of(url), base_url=url + _DSP)
    except (ConfigurationError, KeyFileError) as problem:
        fail(str(problem))


def _head(path: Path) -> JsonObject:
    """The tree head in a file: alone, or in the receipt that carries it."""
    try:
        with path.open("rb") as file:
            document = loads(file.read(_LARGEST_FILE), max_bytes=_LARGEST_FILE)
    except OSError as problem:
        fail(f"{path} cannot be read: {problem.strerror}.")
    except MalformedJsonError as problem:
        fail(f"{path} is no JSON file: {problem}")
    inclusion = document.get("inclusion") if isinstance(document, dict) else None
    found = inclusion.get("treeHead") if isinstance(inclusion, dict) else document
    if not isinstance(found, dict) or found.get("type") != "TreeHead":
        fail(f"{path} is neither a tree head nor a receipt.")
    return found


def fail(sentence: str, code: int = 2) -> NoReturn:
    """End the command with a sentence."""
    _errors.print(f"allmende: {sentence}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)
