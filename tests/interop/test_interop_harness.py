"""The run with EDC says what is missing, and counts only what it has seen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.steps import Report, StepFailedError


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.interop.run", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
    )


def test_without_java_it_says_so_in_one_sentence_and_exits_3(tmp_path: Path) -> None:
    done = _run("--edc", "0.14.0", PATH=str(tmp_path))
    assert done.returncode == 3
    assert done.stderr == "This needs Java 17 and Maven; install java and mvn, and try again.\n"
    assert done.stdout == ""


def test_a_version_that_nobody_has_assembled_is_refused() -> None:
    done = _run("--edc", "0.1.0")
    assert done.returncode == 2
    assert "0.14.0" in done.stderr


async def test_after_a_step_that_fails_the_rest_counts_as_failed(capsys: pytest.CaptureFixture[str]) -> None:
    async def holds() -> None:
        return None

    async def fails() -> None:
        raise StepFailedError("It does not.")

    report = Report()
    assert await report.run("one", [("first", holds)]) is True
    assert await report.run("two", [("first", holds), ("second", fails), ("third", holds)]) is False
    assert report.finish() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 of 4 steps hold"
    assert "two: second: StepFailedError: It does not." in lines[-3]
