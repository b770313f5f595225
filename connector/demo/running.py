"""The demonstration from start to end, with what it shows on the way."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from connector.demo import steps
from connector.demo.participants import DemonstrationError, Participant
from connector.demo.reporting import Report
from connector.demo.steps import Company
from connector.demo.summary import Outcome, summarise

__all__ = ["DemonstrationError", "DemonstrationOptions", "demonstrate"]

PROVIDERS = {"stadtwerke": "Stadtwerke Rheinaue", "gewerbeverbund": "Gewerbeverbund Neckar"}
CONSUMER = "Lastwerk KI"


@dataclass(frozen=True, slots=True)
class DemonstrationOptions:
    """How to run the demonstration.

    Attributes:
        directory: Where to keep everything; None for a temporary directory, of
            which only the evidence stays.
        as_json: Print one JSON object on stdout, and progress only on stderr.
        keep_serving: Leave the connectors running until Ctrl-C.
    """

    directory: Path | None
    as_json: bool = False
    keep_serving: bool = False


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the participants live, and where the evidence is put."""

    participants: Path
    evidence: Path


async def demonstrate(options: DemonstrationOptions) -> None:
    """Run the whole way: publish, find, negotiate, sign, enforce, compute, release, prove.

    However it ends, every process that it started has been stopped.

    Raises:
        DemonstrationError: A step failed.
        CancelledError: It was told to stop before its end.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        with _kept(options.directory) if options.directory else _temporary() as places:
            await _run(options, places)
    except OSError as problem:
        raise DemonstrationError(
            f"{problem.filename or 'A file'} cannot be used: {problem.strerror}."
        ) from problem


@contextmanager
def _kept(directory: Path) -> Iterator[_Places]:
    places = _Places(directory.absolute(), directory.absolute() / "evidence")
    places.evidence.mkdir(parents=True, exist_ok=True)
    yield places


@contextmanager
def _temporary() -> Iterator[_Places]:
    """Places of which only the evidence of a whole run stays: no keys, no databases, nothing of a failure."""
    evidence = Path(tempfile.mkdtemp(prefix="allmende-evidence-"))
    try:
        with tempfile.TemporaryDirectory(prefix="allmende-demo-") as made:
            yield _Places(Path(made), evidence)
    except BaseException:
        shutil.rmtree(evidence, ignore_errors=True)
        raise


async def _run(options: DemonstrationOptions, places: _Places) -> None:
    report = Report(as_json=options.as_json)
    async with AsyncExitStack() as stack:
        companies = [
            Company(Participant(places.participants / key, name, report.notice), key)
            for key, name in PROVIDERS.items()
        ]
        consumer = Participant(places.participants / "lastwerk", CONSUMER, report.notice)
        everybody = [*(company.participant for company in companies), consumer]
        with report.step("Three companies start their connectors", 1):
            await _start(stack, everybody)
            for participant in everybody:
                stack.callback(participant.retire)
            report.participants(companies, consumer)
        outcome = await _show(report, companies, consumer, places.evidence)
        report.finish(summarise(outcome, everybody), places.evidence)
        if options.keep_serving:
            report.serving(everybody)
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


async def _start(stack: AsyncExitStack, participants: Sequence[Participant]) -> None:
    """Start all at once; if one fails, the others are stopped by the stack."""
    outcomes = await asyncio.gather(
        *(stack.enter_async_context(participant) for participant in participants), return_exceptions=True
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _show(
    report: Report, companies: Sequence[Company], consumer: Participant, evidence: Path
) -> Outcome:
    with report.step("Each provider puts its load profiles on offer", 2) as doing:
        for company in companies:
            doing(f"{company.participant.name} publishes its offer")
            await steps.publish(company)
        report.offers(companies)
    with report.step("The consumer finds the offers and signs a contract with each provider", 3) as doing:
        agreements = []
        for company in companies:
            doing(f"{CONSUMER} negotiates with {company.participant.name}")
            await steps.read_catalog(consumer, company)
            agreements.append(await steps.negotiate(consumer, company, evidence))
        report.agreements(agreements)
    with report.step("What was not agreed is refused", 4):
        refusals = {
            "purpose": await steps.refused_purpose(consumer, companies[0]),
            "rows": await steps.refused_rows(consumer),
        }
        report.refusals(refusals)
    with report.step("One SQL statement over both providers; only aggregates leave", 5):
        result = await steps.ask(consumer, [company.agreement for company in companies])
        receipts = await steps.query_receipts(consumer, companies, result, evidence)
        report.query(steps.STATEMENT, result, receipts)
    with report.step("A job trains a forecast where the data are; only the models leave", 6):
        computed = await steps.compute(consumer, companies, evidence)
        forecast = await asyncio.to_thread(steps.compare, computed)
        report.computations(computed, forecast)
    with report.step("The books, and the proof", 7):
        lines = await steps.books(companies)
        files = [*(one.file for one in agreements), *receipts, *(one.receipt for one in computed)]
        checked = await asyncio.to_thread(steps.check, files)
        report.books(lines, checked)
    return Outcome(agreements, refusals, result, receipts, computed, forecast, lines, checked)
