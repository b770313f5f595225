"""What the demonstration shows: progress and evidence, step by step."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from connector.demo.participants import Participant
from connector.demo.steps import Agreed, Company, Computed

_STEPS = 7
_SHOWN_HOURS = (0, 6, 12, 18)


class Report:
    """Writes for people; to stderr where stdout is for a program.

    Args:
        as_json: Whether stdout is for one JSON object.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(stderr=as_json, highlight=False, soft_wrap=True)
        self._began = time.perf_counter()

    @contextmanager
    def step(self, title: str, number: int) -> Iterator[None]:
        """Name a step, show that it is under way, and how long it took."""
        began = time.perf_counter()
        self._console.print(f"\n[bold green]{number}/{_STEPS}[/] [bold]{title}[/]")
        with self._console.status(f"{title} …"):
            yield
        self._console.print(f"    [dim]{time.perf_counter() - began:.1f} s[/]")

    def notice(self, sentence: str) -> None:
        """Say what was not planned."""
        self._console.print(f"    [yellow]{sentence}[/]")

    def _line(self, text: str) -> None:
        self._console.print(f"    {text}", markup=False)

    def participants(self, participants: Sequence[Participant]) -> None:
        """Who takes part."""
        for one in participants:
            self._line(f"{one.name:<24} {one.did}  catalog {one.facts['catalog']}")
        self._line("The companies are invented; the load profiles are SimBench 2016 (ODbL).")

    def offer(self, company: Company) -> None:
        """What is offered, and how much of its policy is a lock and how much a promise."""
        enforced = sum(term["level"] == "enforced" for term in company.terms)
        self._line(
            f"{company.participant.name}: {company.rows:,} rows on offer; of {len(company.terms)} terms "
            f"{enforced} are enforced, {len(company.terms) - enforced} promised."
        )

    def agreement(self, agreed: Agreed) -> None:
        """A contract, and who signed it."""
        signers = " and ".join(agreed.signers)
        self._line(f"{agreed.provider}: contract in {agreed.milliseconds:.0f} ms, signed by {signers}")
        self._line(f"  {agreed.file}")

    def refusals(self, refusals: dict[str, str]) -> None:
        """What was refused, and why."""
        self._line(f"Another purpose: {refusals['purpose']}")
        self._line(f"Single rows: {refusals['rows']}")

    def query(self, statement: str, result: dict[str, Any]) -> None:
        """A merged result, and what each site gave."""
        self._line(statement)
        table = Table(title=None, box=None, padding=(0, 2))
        for column in ("sector", "hour", "mean kW", "peak kW", "sites", "status"):
            table.add_column(column, justify="left" if column in {"sector", "status"} else "right")
        for row in result["rows"]:
            if row["hour"] in _SHOWN_HOURS:
                figures = [_figure(row["mean_kw"], 3), _figure(row["peak_kw"], 2)]
                table.add_row(row["sector"], str(row["hour"]), *figures, str(row["sites"]), row["status"])
        self._console.print(table)
        self._line(f"{len(result['rows'])} groups; shown are the hours {', '.join(map(str, _SHOWN_HOURS))}.")
        for site in result["sites"]:
            self._line(
                f"{site['name']}: {site['groups']} groups released, {site['suppressed']} suppressed "
                f"(fewer than 5 profiles), {site['result_bytes']:,} bytes"
            )

    def computations(self, computed: Sequence[Computed], forecast: dict[str, float]) -> None:
        """What was computed, and what the models are worth."""
        for one in computed:
            names = ", ".join(f"{output['name']} ({output['bytes']:,} bytes)" for output in one.outputs)
            self._line(f"{one.provider}: {one.state.lower()}: {names}")
        self._line(f"Sandbox: {computed[0].tier}")
        self._line(
            f"Forecast error (mean absolute error / mean load) at {'Lastwerk KI'}: "
            f"own model {forecast['own_mae']:.2f}, joint model {forecast['joint_mae']:.2f}"
        )
        self._line(
            "One series only; the joint model wins on 5 of the 10 series in examples/energy/data/SOURCE.md."
        )

    def books(self, lines: Sequence[dict[str, Any]], files: Sequence[Path]) -> None:
        """What left the house, and how anybody can check it."""
        for line in lines:
            self._line(
                f"{line['provider']}: of {line['rows_offered']:,} rows {line['raw_rows_out']} left "
                f"({line['raw_bytes_out']} bytes); results: {line['result_bytes_out']:,} bytes "
                f"in {line['releases']} releases, each with a signed receipt"
            )
        self._line("Check any of them offline, with no connector running:")
        for file in files:
            self._line(f"  allmende verify {file}")

    def finish(self, summary: dict[str, Any], directory: Path | None) -> None:
        """The end: the time that it took, and the result for programs."""
        self._console.print(f"\nDone in {time.perf_counter() - self._began:.1f} s.")
        if directory is None:
            self._console.print("The files were temporary; keep them with --dir DIR.", style="dim")
        if self._as_json:
            sys.stdout.write(json.dumps(summary, ensure_ascii=False, indent=2) + "\n")
            sys.stdout.flush()

    def serving(self, participants: Sequence[Participant]) -> None:
        """Where the connectors are to be found."""
        self._console.print("\nThe three connectors are running; Ctrl-C stops them.")
        for one in participants:
            self._line(f"{one.name}: catalog {one.facts['catalog']}  steward's pages {one.facts['login']}")


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
