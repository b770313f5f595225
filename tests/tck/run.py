"""The conformance run: the official TCK against our connector, or against its own to prove the launcher.

    python -m tests.tck.run [--self-test] [--keep DIRECTORY] [--debug]

Exit codes: 0 all tests passed, 1 some did not or the number of tests is another,
2 it could not be tried, 3 Java or Maven is missing.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.allmende import NotStartedError
from tests.interop.maven import JavaMissingError, UnresolvedError, require_java
from tests.interop.processes import end_on_termination
from tests.tck.connector_under_test import connector_under_test
from tests.tck.suite import Outcome, identifiers, run_suite, self_test_properties

_SECONDS = 1200


def main(arguments: list[str]) -> int:
    """Run the TCK; the last line says how many tests passed and failed."""
    options = _options(arguments)
    end_on_termination()
    try:
        require_java()
        with _directory(options.keep) as directory:
            outcome = _run(options, directory)
    except JavaMissingError as missing:
        return _say(str(missing), 3)
    except (UnresolvedError, NotStartedError) as problem:
        return _say(str(problem), 2)
    objection = outcome.objection()
    if objection is not None:
        _say(objection, 1)
    of_itself = "the TCK's own connector: " if options.self_test else ""
    print(of_itself + outcome.summary())  # noqa: T201 - this is a command
    return 0 if objection is None else 1


def _run(options: argparse.Namespace, directory: Path) -> Outcome:
    if options.self_test:
        return run_suite(self_test_properties(), directory, seconds=_SECONDS, debug=options.debug)
    with connector_under_test(directory) as addresses:
        properties = {**identifiers(), **addresses.properties()}
        return run_suite(properties, directory, seconds=_SECONDS, debug=options.debug)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.tck.run", description="Run the official DSP TCK.")
    parser.add_argument("--self-test", action="store_true", help="prove the launcher: the TCK tests itself")
    parser.add_argument("--keep", type=Path, help="keep data and logs in this new directory")
    parser.add_argument("--debug", action="store_true", help="have the TCK log every message")
    parser.add_argument(
        "--connector", help="test another program than ours; it is called with: serve --config FILE"
    )
    return parser.parse_args(arguments)


@contextmanager
def _directory(kept: Path | None) -> Iterator[Path]:
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="allmende-tck-") as made:
            yield Path(made)
        return
    kept.mkdir(parents=True, exist_ok=True)
    yield kept.absolute()


def _say(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - this is a command
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
