"""The demonstration from start to end, with what it shows on the way."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.demo import steps
from connector.demo.participants import DemonstrationError, Participant
from connector.demo.reporting import Report
from connector.demo.steps import Company

__all__ = ["DemonstrationError", "DemonstrationOptions", "demonstrate"]

PROVIDERS = {"stadtwerke": "Stadtwerke Rheinaue", "gewerbeverbund": "Gewerbeverbund Neckar"}
CONSUMER = "Lastwerk KI"


@dataclass(frozen=True, slots=True)
class DemonstrationOptions:
    """How to run the demonstration.

    Attributes:
        directory: Where to keep everything; None for a temporary directory.
        as_json: Print one JSON object on stdout, and progress only on stderr.
        keep_serving: Leave the connectors running until Ctrl-C.
    """

    directory: Path | None
    as_json: bool = False
    keep_serving: bool = False


async def demonstrate(options: DemonstrationOptions) -> None:
    """Run the whole way: publish, find, negotiate, sign, enforce, compute, release, prove.

    Raises:
        DemonstrationError: A step failed; every process has been stopped.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        with _directory(options) as directory:
            await _run(options, directory)
    except asyncio.CancelledError:
        if not options.keep_serving:
            raise DemonstrationError("The demonstration was stopped.") from None


@contextmanager
def _directory(options: DemonstrationOptions) -> Iterator[Path]:
    if options.directory is None:
        with tempfile.TemporaryDirectory(prefix="allmende-demo-") as made:
            yield Path(made)
        return
    try:
        options.directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DemonstrationError(f"{options.directory} cannot be used: {problem.strerror}.") from problem
    yield options.directory.absolute()


async def _run(options: DemonstrationOptions, directory: Path) -> None:
    report = Report(as_json=options.as_json)
    evidence = directory / "evidence"
    evidence.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        companies = [
            Company(Participant(directory / key, name, report.notice), key) for key, name in PROVIDERS.items()
        ]
        consumer = Participant(directory / "lastwerk", CONSUMER, report.notice)
        with report.step("Three companies start their connectors", 1):
            everybody = [*(company.participant for company in companies), consumer]
            await _start(stack, everybody)
            report.participants(everybody)
        summary = await _show(report, companies, consumer, evidence)
        report.finish(summary, directory if options.directory or options.keep_serving else None)
        if options.keep_serving:
            report.serving(everybody)
            await asyncio.Event().wait()


async def _start(stack: AsyncExitStack, participants: list[Participant]) -> None:
    """Start all at once; if one fails, the others are stopped by the stack."""
    outcomes = await asyncio.gather(
        *(stack.enter_async_context(participant) for participant in participants), return_exceptions=True
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _show(
    report: Report, companies: list[Company], consumer: Participant, evidence: Path
) -> dict[str, Any]:
    with report.step("Each provider puts a dataset on offer", 2):
        for company in companies:
            await steps.publish(company)
            report.offer(company)
    with report.step("The consumer reads both catalogs and negotiates", 3):
        agreements = []
        for company in companies:
            await steps.read_catalog(consumer, company)
            agreed = await steps.negotiate(consumer, company, evidence)
            agreements.append(agreed)
            report.agreement(agreed)
    with report.step("What is not agreed is refused", 4):
        refusals = {
            "purpose": await steps.refused_purpose(consumer, companies[0]),
            "rows": await steps.refused_rows(consumer),
        }
        report.refusals(refusals)
    with report.step("One SQL statement over both providers", 5):
        result = await steps.ask(consumer)
        receipts = await steps.query_receipts(consumer, result, evidence)
        report.query(steps.STATEMENT, result)
    with report.step("A job trains a forecast where the data are", 6):
        computed = await steps.compute(consumer, companies, evidence)
        forecast = steps.compare(computed)
        report.computations(computed, forecast)
    with report.step("The books", 7):
        lines = await steps.books(companies)
        report.books(
            lines, [*(one.file for one in agreements), *receipts, *(one.receipt for one in computed)]
        )
    return {
        "agreements": [
            {
                "identifier": one.identifier,
                "provider": one.provider,
                "file": str(one.file),
                "signed_by": one.signers,
                "milliseconds": round(one.milliseconds, 1),
            }
            for one in agreements
        ],
        "refusals": refusals,
        "query": {
            "statement": steps.STATEMENT,
            "rows": result["rows"],
            "sites": result["sites"],
            "receipts": [str(path) for path in receipts],
        },
        "computations": [
            {
                "identifier": one.identifier,
                "provider": one.provider,
                "status": one.state,
                "outputs": one.outputs,
                "receipt": str(one.receipt),
                "metrics": one.metrics,
                "sandbox": one.tier,
            }
            for one in computed
        ],
        "forecast": forecast,
        "ledger": {
            **{
                name: sum(line[name] for line in lines)
                for name in ("raw_rows_out", "raw_bytes_out", "result_bytes_out")
            },
            "datasets": lines,
        },
        "urls": {one.name: one.facts for one in [*(company.participant for company in companies), consumer]},
    }
