"""The `allmende` command.

Results go to stdout, progress and problems to stderr. Exit codes: 0 done, 1 the
answer is no (a verification or a demonstration failed), 2 it could not be tried,
3 a query that was tried is refused.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, NoReturn, cast

import typer
from rich.console import Console

from connector import serving
from connector.adapters.rdf_canonicaliser import RdfCanonicaliser
from connector.adapters.system_clock import SystemClock
from connector.demo.running import DemonstrationError, DemonstrationOptions, demonstrate
from connector.evidence.agreements import AGREEMENT_FILE
from connector.evidence.checking import check_file
from connector.evidence.did import parse_did_document
from connector.evidence.errors import EvidenceError
from connector.evidence.receipts import RECEIPT_FILE
from connector.evidence.verification import KEY_SOURCES, Verification, require_signers, verify_file
from connector.evidence_commands import Language, key_commands, ledger_commands, not_read, show_report
from connector.initialising import initialise
from connector.policy_commands import ParentOption
from connector.policy_commands import commands as policy_commands
from connector.settings import require_address
from connector.trying import Trial, try_query
from policies.model import LanguageMap
from policies.wording import sentence
from schemas.errors import in_english
from schemas.strict_json import JsonObject, MalformedJsonError, loads

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(policy_commands, name="policy")
app.add_typer(ledger_commands, name="ledger")
app.add_typer(key_commands, name="keys")
_queries = typer.Typer(no_args_is_help=True, help="Governed queries.")
app.add_typer(_queries, name="query")
_errors = Console(stderr=True, highlight=False)
_LARGEST_FILE = 10_000_000
_HTTPS_PORT, _HTTP_PORT = 443, 80
_INTERRUPTED = 130
_REFUSED = 3
_MARKS = (AGREEMENT_FILE.encode(), RECEIPT_FILE.encode(), b'"signedAgreement"', b'"signedReceipt"')
"""Two for each kind of file, far apart: one damaged byte cannot hide what a file was meant to be."""
_WORDS = {
    "de": {
        "valid": "Gültig",
        "agreement": "Vertrag",
        "receipt": "Quittung",
        "key": "Schlüssel",
    },
    "en": {
        "valid": "Valid",
        "agreement": "agreement",
        "receipt": "receipt",
        "key": "key",
    },
}

_NO_EVIDENCE: LanguageMap = {
    "de": (
        "{file} ist weder ein Vertrag noch eine Quittung von Allmende; Stände und Nachweise eines Protokolls "
        "prüft --explain."
    ),
    "en": (
        "{file} is neither an agreement nor a receipt of Allmende; --explain checks tree heads and proofs "
        "of ledgers."
    ),
}
_TOO_LARGE: LanguageMap = {
    "de": "{file} ist zu groß: Verträge, Quittungen und DID-Dokumente haben höchstens {most} Bytes.",
    "en": "{file} is too large: agreements, receipts and DID documents have at most {most} bytes.",
}
_NO_DID_DOCUMENT = ("{file} ist kein DID-Dokument: {cause}", "{file} is no DID document: {cause}")


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: What follows `allmende` on the command line.
    """
    app(arguments, prog_name="allmende")


def _fail(sentence: str, code: int = 2) -> NoReturn:
    _errors.print(f"allmende: {sentence}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn expected problems into one sentence and an exit code."""
    try:
        yield
    except serving.EXPECTED as problem:
        _fail(str(problem))


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")],
    name: Annotated[str, typer.Option(help="What the participant calls itself.")],
    public_url: Annotated[str, typer.Option(help="Address at which others reach it.")],
    public_port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
    management_port: Annotated[int, typer.Option(min=1, max=65535)] = 8081,
    host: Annotated[str, typer.Option(help="Address that the public listener binds to.")] = "127.0.0.1",
    management_host: Annotated[str, typer.Option(help="Address for the management listener.")] = "127.0.0.1",
    *,
    unsafe_loopback_http: Annotated[
        bool, typer.Option(help="Allow http between participants on this machine; for demonstrations.")
    ] = False,
) -> None:
    """Make a participant: its directory, configuration, keys and management token."""
    with _sentences():
        port = public_port or _local_port(public_url)
        configuration = initialise(
            directory,
            name=name,
            public_url=public_url.rstrip("/"),
            public=(host, port),
            management=(management_host, management_port),
            unsafe_loopback_http=unsafe_loopback_http,
        )
    typer.echo(configuration)


def _local_port(public_url: str) -> int:
    """The port of the address, unless a proxy in front of us has it."""
    port = require_address(public_url).port
    return 8080 if port in {None, _HTTP_PORT, _HTTPS_PORT} else int(port or 0)


@app.command(
    "serve",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def serve_command(context: typer.Context) -> None:
    """Run a participant's connector until Ctrl-C."""
    # Its options are its own: as a process, `allmende serve` does not come through here.
    serving.main(context.args)


@app.command()
def demo(
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Keep everything here; a temporary directory otherwise.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    keep_serving: Annotated[
        bool, typer.Option("--serve", help="Leave the three connectors running.")
    ] = False,
) -> None:
    """Show the whole way with three companies on this machine, on real data."""
    options = DemonstrationOptions(directory, as_json=as_json, keep_serving=keep_serving)
    try:
        asyncio.run(demonstrate(options))
    except DemonstrationError as problem:
        _fail(str(problem), 1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        _fail("The demonstration was stopped; every connector has ended.", _INTERRUPTED)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="An agreement or receipt file.")],
    did_document: Annotated[
        list[Path] | None,
        typer.Option("--did-document", help="A DID document that you got from its owner; may be repeated."),
    ] = None,
    language: Annotated[Literal["de", "en"], typer.Option("--lang", help="de or en.")] = "en",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    explain: Annotated[bool, typer.Option(help="Print each check; tree heads can be checked, too.")] = False,
) -> None:
    """Check an agreement or a receipt offline; exit 1 with the reason if anything was changed."""
    pinned = dict(_pinned(path, language) for path in did_document or [])
    data, rdf = _read(file, language), RdfCanonicaliser()
    if explain:
        show_report(check_file(data, pinned=pinned, rdf=rdf), language, as_json=as_json)
        return
    if not any(mark in data for mark in _MARKS):
        _fail(_NO_EVIDENCE[language].format(file=file))
    try:
        verification = verify_file(data, pinned=pinned, rdf=rdf)
        require_signers(pinned, {party.did for party in verification.parties})
    except EvidenceError as problem:
        _fail(f"{file}: {problem.reason[language]}", 1)
    if as_json:
        typer.echo(json.dumps(asdict(verification), default=str))
    else:
        _show(verification, language)


@_queries.command("try")
def query_try(
    statement: Annotated[str, typer.Argument(help="One SELECT over the table `data`.")],
    data: Annotated[Path, typer.Option(help="A Parquet, CSV or Arrow file: the table `data`.")],
    policy: Annotated[Path, typer.Option(help="An ODRL policy as JSON.")],
    purpose: Annotated[str | None, typer.Option(help="The purpose that is declared, an IRI.")] = None,
    partner: Annotated[str | None, typer.Option(help="Who asks, a DID.")] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(
            help="A publication file: roles of columns (inferred otherwise), row filters, consents, privacy."
        ),
    ] = None,
    after: Annotated[
        list[str] | None, typer.Option(help="A statement that was answered before; may be repeated.")
    ] = None,
    parent: ParentOption = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A connector's configuration: its place, events and partners; unknown otherwise."),
    ] = None,
    at: Annotated[str | None, typer.Option(help="When, such as 2027-01-31T12:00:00Z; now otherwise.")] = None,
    started: Annotated[
        str | None, typer.Option(help="When the agreement was made; just then otherwise.")
    ] = None,
    last_used: Annotated[str | None, typer.Option(help="When it was last used; never otherwise.")] = None,
    uses: Annotated[
        int | None, typer.Option(min=0, help="Uses so far; otherwise as many as there are --after.")
    ] = None,
    language: Annotated[Literal["de", "en"], typer.Option("--lang", help="de or en.")] = "en",
) -> None:
    """Show as JSON what a partner would get under a policy; exit 3 where the query is refused."""
    trial = Trial(
        data,
        policy,
        statement,
        purpose,
        partner,
        dataset,
        tuple(after or ()),
        parents=tuple(parent or ()),
        config=config,
        at=at,
        started=started,
        last_used=last_used,
        uses=uses,
    )
    outcome = asyncio.run(try_query(trial, SystemClock().now()))
    typer.echo(outcome.as_json(language))
    if outcome.status == "refused":
        raise typer.Exit(_REFUSED)


def _show(verification: Verification, language: Language) -> None:
    words = _WORDS[language]
    typer.echo(f"{words['valid']}: {words[verification.kind]} {verification.identifier}")
    for party in verification.parties:
        typer.echo(f"  {party.did}")
        typer.echo(f"    {words['key']} {party.key_fingerprint} ({KEY_SOURCES[party.key_source][language]})")
    for said in (*verification.steps, *verification.missing, verification.limit):
        typer.echo(said[language])


def _read(path: Path, language: Language) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as problem:
        _fail(not_read(path, problem)[language])
    if len(data) > _LARGEST_FILE:
        _fail(_TOO_LARGE[language].format(file=path, most=f"{_LARGEST_FILE:,}"))
    return data


def _pinned(path: Path, language: Language) -> tuple[str, JsonObject]:
    data = _read(path, language)
    try:
        document = loads(data)
        did = str(document["id"]) if isinstance(document, dict) and "id" in document else ""
        parse_did_document(document if isinstance(document, dict) else {}, did=did)
    except MalformedJsonError as problem:
        cause = {"de": f"Es ist kein wohlgeformtes JSON {in_english(problem)}.", "en": str(problem)}
        _fail(sentence(*_NO_DID_DOCUMENT, file=str(path), cause=cause)[language])
    except EvidenceError as problem:
        _fail(sentence(*_NO_DID_DOCUMENT, file=str(path), cause=problem.reason)[language])
    return did, cast("JsonObject", document)
