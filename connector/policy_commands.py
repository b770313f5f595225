"""The `allmende policy` commands: what a policy is worth here, and new policies from templates."""

import json
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn

import typer
from rich.console import Console

from catalog.dcat import TURTLE, serialise
from catalog.rdf import to_graph
from connector.adapters.system_clock import SystemClock
from connector.file_problems import cause_in_words
from policies.catena_x import CATENA_X
from policies.enforcement_map import MapEntry, arranged
from policies.errors import PolicyRefusedError
from policies.evaluation import Decision, Facts, Request, assess, survey
from policies.explanation import named, read_to_explain
from policies.inheritance import by_identifier, flattened
from policies.model import LanguageMap, Policy
from policies.odrl import Reading, parse_policy, read_policy
from policies.report import action_named, compliance_report
from policies.templates import TEMPLATES, Template, TemplateError, fill
from policies.terms import Enforcement, TermUse, stations_in_words
from policies.values import ValueType, read_value
from schemas.strict_json import JsonObject, MalformedJsonError, loads
from schemas.vocabulary import DPV, IDS, IDSC, ODRL, POLICY

Language = Literal["de", "en"]
LanguageOption = Annotated[Language, typer.Option("--lang", help="de or en.")]
ParentOption = Annotated[
    list[Path] | None,
    typer.Option("--parent", help="A policy whose rules it takes over (inheritFrom); may be repeated."),
]

commands = typer.Typer(no_args_is_help=True, help="Explain usage policies, and write them from templates.")
_errors = Console(stderr=True, highlight=False)
_LARGEST_FILE: Final = 1_000_000
_REFUSED: Final = 3
_TARGET: Final = "urn:allmende:policy:data"
_PARTNER: Final = "did:web:partner.invalid"
_PREFIXES: Final = {
    ODRL: "odrl:",
    POLICY: "",
    DPV: "dpv:",
    CATENA_X: "cx-policy:",
    IDS: "ids:",
    IDSC: "idsc:",
}
_WORDS: Final[dict[Enforcement, LanguageMap]] = {
    Enforcement.ENFORCED: {"de": "durchgesetzt", "en": "enforced"},
    Enforcement.DECLARED: {"de": "zugesagt", "en": "declared"},
    Enforcement.REFUSED: {"de": "abgelehnt", "en": "refused"},
}
_HEADINGS: Final = {
    "de": ("Wert", "Begriff", "Wo", "Aussage"),
    "en": ("worth", "term", "where", "statement"),
}
_KINDS: Final[dict[str, LanguageMap]] = {
    "": {"de": "Ganzer Vertrag", "en": "Whole policy"},
    "permission": {"de": "Erlaubnis", "en": "Permission"},
    "prohibition": {"de": "Verbot", "en": "Prohibition"},
    "obligation": {"de": "Verpflichtung", "en": "Obligation"},
}
_SUMMARY: Final = {
    "de": "{enforced} durchgesetzt, {declared} zugesagt, {refused} abgelehnt.",
    "en": "{enforced} enforced, {declared} declared, {refused} refused.",
}
_NOT_ACCEPTED: Final = {
    "de": "Dieser Vertrag wird so weder veröffentlicht noch angenommen.",
    "en": "This policy is neither published nor accepted as it stands.",
}
_NO_TEMPLATE: Final = {
    "de": "Es gibt keine Vorlage {template}; möglich: {known}.",
    "en": "There is no template {template}; possible: {known}.",
}
_NOT_WRITTEN: Final = {
    "de": "{path} kann nicht geschrieben werden: {cause}",
    "en": "{path} cannot be written: {cause}",
}
_NOT_READ: Final = {"de": "{path} kann nicht gelesen werden: {cause}", "en": "{path} cannot be read: {cause}"}
_NOT_JSON: Final = {
    "de": "{path} ist kein Vertrag: Der Text ist kein gültiges JSON. Ursache auf Englisch: {problem}",
    "en": "{path} is no policy: {problem}",
}
_NO_OBJECT: Final = {
    "de": "{path} ist kein Vertrag: Die Datei enthält kein JSON-Objekt.",
    "en": "{path} is no policy: it does not hold a JSON object.",
}
_NO_VALUE: Final = {
    "de": "--set verlangt SCHLÜSSEL=WERT; angegeben ist {setting}.",
    "en": "--set takes KEY=VALUE, not {setting}.",
}
_STATED_TWICE: Final = {
    "de": "--set {name} ist zweimal angegeben; trennen Sie mehrere Werte durch Kommas.",
    "en": "--set {name} is stated twice; separate several values by commas.",
}
_KEY_NOTES: Final[dict[str, LanguageMap]] = {
    "required": {"de": "muss gesetzt werden", "en": "has to be set"},
    "default": {"de": "sonst {value}", "en": "{value} unless set"},
    "optional": {"de": "sonst keine Grenze", "en": "no limit unless set"},
}


def _fail(sentence: str, code: int = 2) -> NoReturn:
    _errors.print(f"allmende: {sentence}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


@commands.command()
def explain(
    file: Annotated[Path, typer.Argument(help="A policy as JSON: an offer, an agreement or a set.")],
    language: LanguageOption = "en",
    parent: ParentOption = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array on stdout.")] = False,
) -> None:
    """Show term by term what a policy is worth here: enforced and where, declared, or refused."""
    document = _document(file, language)
    parents = [_document(path, language) for path in parent or []]
    try:
        explained = read_to_explain(document, by_identifier(parents))
    except PolicyRefusedError as refusal:
        _fail(f"{file}: {refusal.reason[language]}")
    policy, uses = explained.policy, explained.uses
    if as_json:
        typer.echo(json.dumps([_as_json(use) for use in uses], ensure_ascii=False))
        return
    typer.echo(f"{policy.kind.value} {policy.uid}")
    for line in _table(uses, language):
        typer.echo(line)
    counted = Counter(use.level for use in uses)
    numbers = {level.value: counted[level] for level in Enforcement}
    typer.echo("")
    typer.echo(_SUMMARY[language].format(**numbers))
    if explained.objection is not None:
        typer.echo(explained.objection[language])
    if explained.objection is not None or counted[Enforcement.REFUSED]:
        typer.echo(_NOT_ACCEPTED[language])


@commands.command()
def report(
    file: Annotated[Path, typer.Argument(help="A policy as JSON: an offer, an agreement or a set.")],
    action: Annotated[str, typer.Option(help="query, compute, reproduce, another word of ODRL, or an IRI.")],
    purpose: Annotated[str | None, typer.Option(help="The purpose that is declared, an IRI.")] = None,
    assignee: Annotated[
        str | None, typer.Option(help="Who asks, a DID; otherwise the policy's assignee, or anybody.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="When, such as 2027-01-31T12:00:00Z; now otherwise.")] = None,
    uses: Annotated[int | None, typer.Option(min=0, help="Uses so far, per rule; unknown otherwise.")] = None,
    parent: ParentOption = None,
    written: Annotated[
        Literal["jsonld", "turtle"], typer.Option("--format", help="jsonld or turtle.")
    ] = "jsonld",
    language: LanguageOption = "en",
) -> None:
    """Print as RDF how every rule of a policy stands to a request; exit 3 where it is refused."""
    document = _document(file, language)
    parents = [_document(path, language) for path in parent or []]
    now = _moment(at)
    try:
        policy, decide = _to_be_decided(flattened(named(document), by_identifier(parents)))
        wanted = action_named(action)
    except PolicyRefusedError as refusal:
        _fail(f"{file}: {refusal.reason[language]}")
    asked = Request(wanted, policy.target or _TARGET, assignee or policy.assignee or _PARTNER, purpose)
    counted = {} if uses is None else {rule.identifier: uses for rule in policy.permissions}
    decision = decide(policy, asked, Facts(now, uses=counted))
    name = f"urn:uuid:{uuid.uuid4()}"
    told = compliance_report(
        policy, decision, identifier=name, created=now, request=f"{name}#request", asked=asked
    )
    sys.stdout.write(
        serialise(to_graph(told), TURTLE).decode()
        if written == "turtle"
        else json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    )
    if not decision.permitted:
        raise typer.Exit(_REFUSED)


def _to_be_decided(document: Mapping[str, object]) -> tuple[Policy, Callable[..., Decision]]:
    """A policy and who decides it: what travels between connectors as they do, any other one at once."""
    try:
        policy = parse_policy(document)
    except PolicyRefusedError:
        return read_policy(document, Reading(wide=True)), assess
    return (policy if policy.target else replace(policy, target=_TARGET)), survey


def _moment(text: str | None) -> datetime:
    if text is None:
        return SystemClock().now()
    moment = read_value(ValueType.DATE_TIME, text)
    if not isinstance(moment, datetime):
        _fail(f"--at takes a time with its zone, such as 2027-01-31T12:00:00Z, not {text}.")
    return moment


@commands.command()
def new(
    template: Annotated[str, typer.Argument(help="Name of a template; `allmende policy list` shows them.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="May be repeated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; stdout otherwise.")
    ] = None,
    language: LanguageOption = "en",
) -> None:
    """Write a policy from a template."""
    known = TEMPLATES.get(template)
    if known is None:
        _fail(_NO_TEMPLATE[language].format(template=template, known=", ".join(TEMPLATES)))
    try:
        offer = fill(known, _read_settings(settings or [], language), f"urn:uuid:{uuid.uuid4()}")
    except TemplateError as problem:
        _fail(problem.reason[language])
    text = json.dumps(offer, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as problem:
        cause = cause_in_words(problem, writing=True)[language]
        _fail(_NOT_WRITTEN[language].format(path=output, cause=cause))


@commands.command("list")
def list_templates(
    language: LanguageOption = "en",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array on stdout.")] = False,
) -> None:
    """Name the templates, with their keys and defaults."""
    if as_json:
        typer.echo(json.dumps([_template_as_json(known) for known in TEMPLATES.values()], ensure_ascii=False))
        return
    for known in TEMPLATES.values():
        typer.echo(f"{known.name}: {known.title[language]}")
        width = max(len(key.name) for key in known.keys)
        for key in known.keys:
            kind = "required" if key.required else "optional" if key.default is None else "default"
            note = _KEY_NOTES[kind][language].format(value=key.default)
            typer.echo(f"  {key.name.ljust(width)}  {key.meaning[language]} ({note})")


def _read_settings(settings: list[str], language: Language) -> dict[str, str]:
    read: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            _fail(_NO_VALUE[language].format(setting=setting))
        if name.strip() in read:
            _fail(_STATED_TWICE[language].format(name=name.strip()))
        read[name.strip()] = value
    return read


def _document(path: Path, language: Language) -> JsonObject:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        document = loads(data, max_bytes=_LARGEST_FILE)
    except OSError as problem:
        _fail(_NOT_READ[language].format(path=path, cause=cause_in_words(problem)[language]))
    except MalformedJsonError as problem:
        _fail(_NOT_JSON[language].format(path=path, problem=problem))
    if not isinstance(document, dict):
        _fail(_NO_OBJECT[language].format(path=path))
    return document


def _table(uses: tuple[TermUse, ...], language: Language) -> list[str]:
    """Lay out the map: one line per term under the rule that it belongs to, notes below it."""
    headings = _HEADINGS[language]
    rows = (headings, *(_row(use, language) for use in uses))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [_line(headings, widths)]
    for rule, members in groupby(uses, key=lambda use: use.rule):
        lines += ["", _heading(rule, language)]
        for entry in arranged(members):
            lines += _entry(entry, language, widths)
    return lines


def _entry(entry: MapEntry, language: Language, widths: list[int], mark: str = "") -> Iterator[str]:
    """Lay out a term, or what joins several and those below it, numbered and further in."""
    if isinstance(entry, TermUse):
        *cells, statement = _row(entry, language)
        yield _line((*cells, mark + statement), widths)
        if entry.note is not None:
            yield _line(("", "", "", " " * len(mark) + entry.note[language]), widths)
        return
    yield _line(("", "", "", f"{mark}{entry.head[language]}:"), widths)
    for number, member in enumerate(entry.members, 1):
        yield from _entry(member, language, widths, " " * (len(mark) + 2) + f"{number}. ")


def _row(use: TermUse, language: Language) -> tuple[str, str, str, str]:
    where = stations_in_words(use.where)[language] if use.where else "-"
    return _WORDS[use.level][language], _short(use.term), where, use.statement[language]


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)]
    return "  " + "  ".join((*padded, row[3]))


def _heading(rule: str, language: Language) -> str:
    kind, _, position = rule.partition("/")
    name = _KINDS[kind][language]
    return f"{name} ({rule})" if position else name


def _short(term: str) -> str:
    for namespace, prefix in _PREFIXES.items():
        if term.startswith(namespace):
            return prefix + term.removeprefix(namespace)
    return term


def _as_json(use: TermUse) -> JsonObject:
    return {
        "rule": use.rule,
        "term": use.term,
        "level": use.level.value,
        "where": [station.value for station in use.where],
        "within": [dict(part.written) for part in use.within],
        "sentence": dict(use.text),
    }


def _template_as_json(template: Template) -> JsonObject:
    return {
        "name": template.name,
        "title": dict(template.title),
        "keys": [
            {
                "name": key.name,
                "meaning": dict(key.meaning),
                "default": key.default,
                "required": key.required,
            }
            for key in template.keys
        ],
    }
