"""What an evaluation is asked and what it may know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks to do.

    Attributes:
        action: Absolute IRI of the action.
        target: Absolute IRI of the dataset.
        assignee: Identifier (DID) of who asks, as verified by the caller.
        purpose: Absolute IRI of the declared purpose; None where none is declared.
        algorithm_digest: SHA-256 of the algorithm (64 lower-case hexadecimal
            digits); None where no algorithm is involved.
    """

    action: str
    target: str
    assignee: str
    purpose: str | None = None
    algorithm_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """The state of the world, as the enforcing side measured it.

    Attributes:
        now: The current time, with its zone; never taken from the request.
        uses: Uses so far, per rule identifier. A rule that is missing here has
            an unknown number of uses, not none: a limit on it does not hold.
        started: When the agreement was first used; None where it was not.
        fulfilled: Identifiers of the duties that were met, such as
            `permission/0/duty/0`.
    """

    now: datetime
    uses: Mapping[str, int] = field(default_factory=dict)
    started: datetime | None = None
    fulfilled: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.now.utcoffset() is None:
            raise ValueError("The time of an evaluation needs a zone; pass a datetime in UTC.")
