"""Two EDCs with each other: proves the recipe, before one of them is our counterparty.

    python -m tests.interop.two_edcs [--edc VERSION] [--loop MILLISECONDS] [--keep DIRECTORY]

Exit codes: 0 every step held, 1 one did not, 2 it could not be tried, 3 Java or Maven is missing.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from tests.interop.data_server import serving_data
from tests.interop.edc import VERSIONS, EdcError, running_edc
from tests.interop.edc_as_consumer import CONTENT, EdcAsConsumer
from tests.interop.maven import JavaMissingError, UnresolvedError, require_java
from tests.interop.processes import end_on_termination, run_directory, say
from tests.interop.steps import Report


async def _run(version: str, directory: Path, loop_milliseconds: int | None) -> int:
    report = Report()
    with serving_data(CONTENT) as data:
        async with (
            running_edc(
                version, "edc-provider", directory / "provider", loop_milliseconds=loop_milliseconds
            ) as provider,
            running_edc(
                version, "edc-consumer", directory / "consumer", loop_milliseconds=loop_milliseconds
            ) as consumer,
        ):
            for one in (provider, consumer):
                print(f"{one.ready_seconds * 1000:7.0f} ms  EDC {version}: {one.participant} is ready")  # noqa: T201
            await report.run(f"EDC {version}", EdcAsConsumer(provider, consumer, data).steps())
    return report.finish()


def main(arguments: list[str]) -> int:
    """Run both EDCs and all steps."""
    parser = argparse.ArgumentParser(prog="tests.interop.two_edcs", description="Two EDCs with each other.")
    parser.add_argument("--edc", choices=VERSIONS, default=VERSIONS[0], help="which version")
    parser.add_argument("--loop", type=int, help="milliseconds between two looks of EDC's state machines")
    parser.add_argument("--keep", type=Path, help="keep configuration and logs in this new directory")
    options = parser.parse_args(arguments)
    end_on_termination()
    try:
        require_java()
        with run_directory(options.keep) as directory:
            return asyncio.run(_run(options.edc, directory, options.loop))
    except JavaMissingError as missing:
        return say(str(missing), 3)
    except (UnresolvedError, EdcError) as problem:
        return say(str(problem), 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
