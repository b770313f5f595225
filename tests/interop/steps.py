"""Steps of a run against a real counterparty: one line each, with its time, and a count at the end."""

import time
from collections.abc import Awaitable, Callable, Sequence

Step = tuple[str, Callable[[], Awaitable[object]]]
"""What holds if the step succeeds, and the step; it raises if it does not."""


class StepFailedError(Exception):
    """Something is not as it has to be; the sentence says what."""


class Report:
    """Runs steps, prints a line for each, and counts.

    Attributes:
        held: Steps that succeeded.
        planned: Steps that should have succeeded.
    """

    def __init__(self) -> None:
        self.held = 0
        self.planned = 0

    async def run(self, title: str, steps: Sequence[Step]) -> bool:
        """Run steps that build on each other; after the first failure the rest counts as failed.

        Returns:
            Whether all of them held.
        """
        self.planned += len(steps)
        for number, (name, step) in enumerate(steps, 1):
            started = time.monotonic()
            try:
                await step()
            except Exception as failure:  # noqa: BLE001 - whatever it is, the step does not hold
                _print(f"FAILED  {title}: {name}: {type(failure).__name__}: {failure}")
                left = len(steps) - number
                if left:
                    _print(f"        {title}: {left} further steps were not tried")
                return False
            self.held += 1
            _print(f"{(time.monotonic() - started) * 1000:7.0f} ms  {title}: {name}")
        return True

    def finish(self) -> int:
        """Print the last line; the exit status is 0 if every step held."""
        _print(f"{self.held} of {self.planned} steps hold")
        return 0 if self.held == self.planned else 1


def require(holds: bool, otherwise: str) -> None:
    """Fail the step unless something holds.

    Raises:
        StepFailedError: It does not.
    """
    if not holds:
        raise StepFailedError(otherwise)


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the lines are what a run is for
