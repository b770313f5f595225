"""The official TCK as a program: its properties, its run, and what came of it."""

import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from tests.interop.maven import BUILD, class_path, resolve
from tests.interop.processes import stop

HERE = Path(__file__).parent
EXPECTED = 65
"""Tests that the TCK runs: of 67, it has disabled TP:02-04 and TP_C:02-04."""
_PREFIX = "dataspacetck."
_WAIT_SECONDS = 15
"""How long a test waits for one thing; the TCK's README calls it milliseconds, its code takes seconds."""
_SILENCE_SECONDS = 150
"""No test waits for so many things that it takes longer than this."""
_STARTED = re.compile(r"Started: (\S+?): ")
_RESULT = re.compile(r"(SUCCESSFUL|FAILED): (\S+)")
_FAILURE = re.compile(r"^FAILURE: (\S+?): (.*)$")
_COUNTS = re.compile(r"^COUNTS: started (\d+) succeeded (\d+) failed (\d+)")

_LAST = {
    "CN_01": 4,
    "CN_02": 7,
    "CN_03": 4,
    "CN_C_01": 4,
    "CN_C_02": 6,
    "CN_C_03": 6,
    "TP_01": 5,
    "TP_02": 5,
    "TP_03": 6,
    "TP_C_01": 5,
    "TP_C_02": 5,
    "TP_C_03": 6,
}
"""The number of the last test of each group."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the TCK finds the connector under test, and where it listens itself.

    Attributes:
        participant: The connector's participant identifier.
        root: Address below which its version document lies.
        base: Base address of the protocol.
        negotiate: Trigger of a negotiation as consumer.
        transfer: Trigger of a transfer as consumer.
        callback: Base address of the TCK itself.
        authorization: What the TCK sends as `Authorization`.
    """

    participant: str
    root: str
    base: str
    negotiate: str
    transfer: str
    callback: str
    authorization: str

    def properties(self) -> dict[str, str]:
        """The properties that name them."""
        named = {
            "dsp.local.connector": "false",
            "dsp.connector.agent.id": self.participant,
            "dsp.connector.http.url": self.base,
            "dsp.connector.http.base.url": self.root,
            "dsp.connector.http.headers.authorization": self.authorization,
            "dsp.connector.negotiation.initiate.url": self.negotiate,
            "dsp.connector.transfer.initiate.url": self.transfer,
            "callback.address": self.callback,
            "port": self.callback.rpartition(":")[2],
        }
        return {_PREFIX + name: value for name, value in named.items()}


@dataclass(slots=True)
class Outcome:
    """What became of a run.

    Attributes:
        passed: Names of tests that passed.
        failed: Why each of the others failed.
        running: The test that runs, or ran last.
        started: How many tests the TCK says it started; None if it did not come to an end.
    """

    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    running: str | None = None
    started: int | None = None

    def read(self, line: str) -> str | None:
        """Take one line of the TCK's output; return what of it is worth showing."""
        if begun := _STARTED.search(line):
            self.running = begun[1]
            return None
        if counts := _COUNTS.match(line):
            self.started = int(counts[1])
            return None
        if failure := _FAILURE.match(line):
            self.failed[failure[1]] = failure[2]
            return f"{failure[1]}: {failure[2]}"
        if result := _RESULT.search(line):
            name = result[2]
            if result[1] == "SUCCESSFUL":
                self.passed.append(name)
            else:
                self.failed.setdefault(name, "no reason given")
            return f"{result[1]}: {name}"
        return None

    def objection(self, expected: int = EXPECTED) -> str | None:
        """Why this is no complete pass; None where it is one."""
        if self.started is None:
            return f"The TCK did not come to its end; the last test that it started is {self.running}."
        if self.failed:
            return f"Not conformant: {', '.join(sorted(self.failed))}."
        passed = len(set(self.passed))
        if self.started != expected or passed != expected:
            return f"{expected} tests should have run; the TCK ran {self.started}, and {passed} passed."
        return None

    def summary(self) -> str:
        """The last line: how many passed and failed."""
        unfinished = ", not finished" if self.started is None else ""
        return f"{len(set(self.passed))} passed, {len(self.failed)} failed{unfinished}"


def identifiers() -> dict[str, str]:
    """The dataset, offer or agreement of each test: those of the TCK's sample, which it partly hard-codes."""
    properties = {f"CAT_01_0{number}_DATASETID": f"CAT010{number}" for number in (1, 2, 3)}
    for group, last in _LAST.items():
        for number in range(1, last + 1):
            properties |= _of_test(group, number)
    return properties


def _of_test(group: str, number: int) -> dict[str, str]:
    test = f"{group}_0{number}"
    identifier = f"A{group.replace('_', '')}0{number}"
    if group.startswith("TP"):
        return {f"{test}_AGREEMENTID": identifier, f"{test}_FORMAT": "AllmendeQuery-PULL"}
    if group.startswith("CN_C"):
        return {f"{test}_DATASETID": identifier}
    return {f"{test}_DATASETID": identifier, f"{test}_OFFERID": f"CD123:{identifier}:456"}


def self_test_properties() -> dict[str, str]:
    """Let the TCK test its own built-in connector, which wants offers that begin with `offer`."""
    offers = {name: f"offer:{value}" for name, value in identifiers().items() if name.endswith("_OFFERID")}
    return {**identifiers(), **offers, _PREFIX + "dsp.local.connector": "true"}


def run_suite(
    properties: Mapping[str, str], directory: Path, *, seconds: float, debug: bool = False
) -> Outcome:
    """Run all tests, and print the TCK's own line for each.

    Args:
        properties: Which connector and which tests' identifiers.
        directory: Where the properties and the TCK's whole output are kept.
        seconds: After this time the TCK is stopped.
        debug: Have the TCK log each message.

    Raises:
        UnresolvedError: Maven could not fetch the TCK.
    """
    library = resolve(HERE / "pom.xml", BUILD / "tck")
    settings = {
        _PREFIX + "debug": str(debug).lower(),
        _PREFIX + "dsp.default.wait": str(_WAIT_SECONDS),
        **properties,
    }
    file = directory / "tck.properties"
    file.write_text("".join(f"{name}={_escaped(value)}\n" for name, value in settings.items()))
    command = ["java", "-cp", class_path(library), str(HERE / "RunDspTck.java"), str(file)]
    outcome = Outcome()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        with (directory / "tck.log").open("w") as log:
            for line in _lines(process, seconds):
                log.write(line)
                if shown := outcome.read(line):
                    print(shown, flush=True)  # noqa: T201 - this is a command
    finally:
        stop(process)
    return outcome


def _lines(process: subprocess.Popen[str], seconds: float) -> Iterator[str]:
    """What a process prints, until it ends, falls silent or has taken too long."""
    lines: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    end = time.monotonic() + seconds
    while (left := min(end - time.monotonic(), _SILENCE_SECONDS)) > 0:
        try:
            line = lines.get(timeout=left)
        except Empty:
            return
        if line is None:
            return
        yield line


def _read(process: subprocess.Popen[str], lines: "SimpleQueue[str | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _escaped(value: str) -> str:
    """A value as a Java properties file wants it."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")
