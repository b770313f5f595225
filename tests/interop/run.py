"""Our connector and a real EDC, as processes, with each in both roles.

    python -m tests.interop.run [--edc VERSION]... [--loop MILLISECONDS] [--keep DIRECTORY]

Exit codes: 0 every step held, 1 one did not, 2 it could not be tried, 3 Java or Maven is missing.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from tests.interop.allmende import NotStartedError, running_allmende
from tests.interop.allmende_steps import Allmende, AllmendeAsConsumer
from tests.interop.data_server import serving_data
from tests.interop.edc import VERSIONS, Edc, EdcError, running_edc
from tests.interop.edc_as_consumer import CONTENT, EdcAsConsumer
from tests.interop.maven import JavaMissingError, UnresolvedError, require_java
from tests.interop.processes import end_on_termination, run_directory, say
from tests.interop.steps import Report

_OURS = "Allmende"


async def _with(version: str, directory: Path, loop_milliseconds: int | None, report: Report) -> None:
    """Both directions with one version of EDC, each with processes of its own."""
    for role in ("provider", "consumer"):
        place = directory / version / role
        place.mkdir(parents=True)
        async with running_edc(
            version, f"edc-{role}", place / "edc", loop_milliseconds=loop_milliseconds
        ) as edc:
            print(f"{edc.ready_seconds * 1000:7.0f} ms  EDC {version}: {edc.participant} is ready")  # noqa: T201
            await _one_direction(version, edc, role, place, report)


async def _one_direction(version: str, edc: Edc, role: str, place: Path, report: Report) -> None:
    with (
        serving_data(CONTENT) as data,
        running_allmende(place, _OURS, [_identity(edc)]) as running,
    ):
        ours = Allmende(running, place)
        if role == "provider":
            steps = AllmendeAsConsumer(ours, edc, data).steps()
            await report.run(f"EDC {version} to {_OURS}", steps)
            return
        steps = EdcAsConsumer(ours, edc, data).steps()
        steps.append(("our ledger counts what left, with a receipt each", ours.releases))
        await report.run(f"{_OURS} to EDC {version}", steps)


def _identity(edc: Edc) -> str:
    return f'[[mock_tokens]]\nparticipant = "{edc.participant}"\naddress = "{edc.address}"'


async def _run(options: argparse.Namespace, directory: Path) -> int:
    report = Report()
    for version in options.edc or VERSIONS:
        await _with(version, directory, options.loop, report)
    return report.finish()


def main(arguments: list[str]) -> int:
    """Run both directions with each version of EDC."""
    parser = argparse.ArgumentParser(prog="tests.interop.run", description="Our connector with a real EDC.")
    parser.add_argument(
        "--edc", action="append", choices=VERSIONS, help="which version; may be repeated, all if not given"
    )
    parser.add_argument("--loop", type=int, help="milliseconds between two looks of EDC's state machines")
    parser.add_argument("--keep", type=Path, help="keep configuration and logs in this new directory")
    options = parser.parse_args(arguments)
    end_on_termination()
    try:
        require_java()
        with run_directory(options.keep) as directory:
            return asyncio.run(_run(options, directory))
    except JavaMissingError as missing:
        return say(str(missing), 3)
    except (UnresolvedError, EdcError, NotStartedError) as problem:
        return say(str(problem), 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
