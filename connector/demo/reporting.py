"""What the demonstration shows: progress and evidence, step by step."""

import json
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from connector.demo.participants import Participant
from connector.demo.steps import Agreed, Checked, Company, Computed

_STEPS = 7
_INDENT = " " * 4
_NAME_WIDTH = 23
_NARROWEST, _WIDEST = 80, 100
_SHOWN_HOURS = (0, 6, 12, 18)
_FIGURES = {
    "offered": "rows_offered",
    "raw rows": "raw_rows_out",
    "raw bytes": "raw_bytes_out",
    "result bytes": "result_bytes_out",
    "receipts": "releases",
}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUPPRESSED = "suppressed"


class Report:
    """Writes for people; to stderr where stdout is for a program.

    Args:
        as_json: Whether stdout is for one JSON object.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(stderr=as_json, highlight=False, soft_wrap=True)
        width = self._console.width if self._console.is_terminal else _WIDEST
        self._width = min(max(width, _NARROWEST), _WIDEST)
        self._began = time.perf_counter()
        self._line("Allmende: three companies, two contracts, one query, one job", "bold")
        self._paragraph(
            "The companies are invented. The load profiles come from SimBench 2016 (ODbL). "
            "Everything happens on this machine."
        )

    @contextmanager
    def step(self, title: str, number: int) -> Iterator[Callable[[str], None]]:
        """Name a step, and show that it is under way.

        Yields:
            Tells what is being done at the moment; shown in a terminal only.
        """
        self._console.print(Text.assemble("\n", (f"{number}/{_STEPS}", "bold green"), " ", (title, "bold")))
        with self._console.status(f"{number}/{_STEPS} {title} …") as status:
            yield lambda doing: status.update(f"{number}/{_STEPS} {doing} …")

    def notice(self, sentence: str) -> None:
        """Say what was not planned."""
        self._paragraph(sentence, _INDENT, style="yellow")

    def participants(self, companies: Sequence[Company], consumer: Participant) -> None:
        """Who takes part."""
        for company in companies:
            self._participant(company.participant, "provider")
        self._participant(consumer, "consumer")

    def offers(self, companies: Sequence[Company]) -> None:
        """What is offered, on which terms, and how much of them is a lock and how much a promise."""
        for company in companies:
            enforced = sum(term["level"] == "enforced" for term in company.terms)
            self._fact(
                company.participant.name,
                f"{company.rows:,} rows on offer; of {len(company.terms)} terms {enforced} are enforced, "
                f"{len(company.terms) - enforced} only promised",
            )
        rules = [_rules(company.terms) for company in companies]
        if all(one == rules[0] for one in rules):
            self._fact("Terms of both", *rules[0])
            return
        for company, own in zip(companies, rules, strict=True):
            self._fact(company.participant.name, *own)

    def agreements(self, agreements: Sequence[Agreed]) -> None:
        """The contracts, and who signed them."""
        for one in agreements:
            self._fact(
                one.provider,
                f"contract after {one.milliseconds:.0f} ms, signed by {' and '.join(one.signers)}: "
                f"{one.file.name}",
            )

    def refusals(self, refusals: dict[str, str]) -> None:
        """What was refused, and why."""
        self._fact("Another purpose", refusals["purpose"])
        self._fact("Single rows", refusals["rows"])

    def query(self, statement: str, result: dict[str, Any], receipts: Sequence[Path]) -> None:
        """A merged result, and what each site gave."""
        self._fact("SQL", statement)
        self._line()
        for line in _by_hour(result["rows"]):
            self._line(_INDENT + line)
        self._paragraph(
            "Mean load in kW at some hours (UTC), and the day's peak: the highest load that at least 5 "
            "profiles reach. Groups of fewer than 5 profiles or 10 rows are suppressed.",
            _INDENT,
        )
        self._line()
        for site, receipt in zip(result["sites"], receipts, strict=True):
            self._fact(
                site["name"],
                f"{site['groups']} groups released, {site['suppressed']} suppressed; "
                f"{site['result_bytes']:,} bytes left: {receipt.name}",
            )

    def computations(self, computed: Sequence[Computed], forecast: dict[str, float]) -> None:
        """What was computed, and what the models are worth."""
        for one in computed:
            names = " and ".join(f"{output['name']} ({output['bytes']:,} bytes)" for output in one.outputs)
            self._fact(one.provider, f"{one.state.lower()} {names}: {one.receipt.name}")
        self._fact("Sandbox", computed[0].tier)
        self._fact(
            "Forecast error",
            f"{forecast['own_mae']:.2f} with Lastwerk KI's own model, {forecast['joint_mae']:.2f} with the "
            "average of the two models (mean absolute error / mean load). This is one series; the average "
            "wins on 5 of the 10 in examples/energy/data/SOURCE.md.",
        )

    def books(self, lines: Sequence[dict[str, Any]], checked: Checked) -> None:
        """What left the house, and how anybody can check it."""
        for line in _books(lines):
            self._line(_INDENT + line)
        self._line()
        width = max(len(file.name) for file in checked.sentences)
        for file, sentence in checked.sentences.items():
            self._fact(file.name, f"valid. {sentence}", width=width)
        self._fact("Forged: 90 uses for 20", f"refused. {checked.forgery}", width=width)

    def finish(self, summary: dict[str, Any], evidence: Path) -> None:
        """The end: the time that it took, how to go on, and the result for programs."""
        self._line(f"\nDone in {time.perf_counter() - self._began:.1f} s.", "bold")
        self._line("Check any file yourself; no connector needs to run:")
        self._line(f"{_INDENT}{_command()} verify {min(evidence.iterdir())}")
        if self._as_json:
            sys.stdout.write(json.dumps(summary, indent=2) + "\n")
            sys.stdout.flush()

    def serving(self, participants: Sequence[Participant]) -> None:
        """Where the connectors are to be found."""
        self._line("\nThe three connectors are running. Ctrl-C stops them.", "bold")
        for one in participants:
            self._line(one.name)
            self._line(f"{_INDENT}catalog, for everybody     {one.facts['catalog']}")
            self._line(f"{_INDENT}the data steward's pages   {one.facts['login']}")

    def _participant(self, one: Participant, role: str) -> None:
        self._fact(one.name, f"{role}, process {one.pid}, catalog {one.facts['catalog']}")

    def _fact(self, name: str, *paragraphs: str, width: int = _NAME_WIDTH) -> None:
        """Name and text side by side; long text goes on below itself."""
        first = _INDENT + name.ljust(width) + "  "
        for paragraph in paragraphs:
            self._paragraph(paragraph, first, " " * len(first))
            first = " " * len(first)

    def _paragraph(self, text: str, first: str = "", later: str | None = None, *, style: str = "") -> None:
        filled = textwrap.fill(
            text,
            self._width,
            initial_indent=first,
            subsequent_indent=first if later is None else later,
            break_long_words=False,
            break_on_hyphens=False,
        )
        self._line(filled, style)

    def _line(self, text: str = "", style: str = "") -> None:
        self._console.print(Text(text, style=style))


def _command() -> str:
    """The command that we were started with; its short name where the shell finds the same one."""
    program = Path(sys.argv[0])
    is_found = shutil.which(program.name) == str(program.absolute())
    return "allmende" if is_found or program.name != "allmende" else sys.argv[0]


def _rules(terms: Sequence[dict[str, Any]]) -> list[str]:
    """What each rule says, one paragraph per rule; where and how it is enforced is left to the catalog."""
    rules: dict[str, list[str]] = {}
    for term in terms:
        sentence = str(term["sentence"]["en"]).split(". ", 1)[0].rstrip(".") + "."
        rules.setdefault(term["rule"], []).append(_DIGEST.sub(lambda found: f"{found[0][:12]}…", sentence))
    return [" ".join(sentences) for sentences in rules.values()]


def _by_hour(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Mean load at a few hours, and the day's peak, per sector; what is suppressed says so."""
    lines = [("sector", *(f"{hour}:00" for hour in _SHOWN_HOURS), "peak")]
    for sector in dict.fromkeys(row["sector"] for row in rows):
        group = {row["hour"]: row for row in rows if row["sector"] == sector}
        released = [row["peak_kw"] for row in group.values() if row["status"] != _SUPPRESSED]
        peak = f"{max(released):.2f}" if released else _SUPPRESSED
        lines.append((sector, *(_mean(group.get(hour)) for hour in _SHOWN_HOURS), peak))
    return [name.ljust(15) + "".join(cell.rjust(12) for cell in cells) for name, *cells in lines]


def _mean(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    return _SUPPRESSED if row["status"] == _SUPPRESSED else f"{row['mean_kw']:.3f}"


def _books(lines: Sequence[dict[str, Any]]) -> list[str]:
    """What was on offer, and what left."""
    heading = "rows, and what left".ljust(_NAME_WIDTH - 2) + "".join(f"  {name:>7}" for name in _FIGURES)
    body = [
        line["provider"].ljust(_NAME_WIDTH - 2)
        + "".join(f"  {line[key]:>{max(7, len(name))},}" for name, key in _FIGURES.items())
        for line in lines
    ]
    return [heading, *body]
