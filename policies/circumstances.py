"""What a provider knows by itself: where it computes, what goes on when, and who its partners are.

It states this in its own configuration, which also says whose credentials it
believes about its partners; nothing of it comes from a request.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from policies.facts import Facts, Partner, joined


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """An event with a name that policies can refer to.

    Attributes:
        name: What it is called; the same event may take place several times.
        begins: Its first moment, with its zone.
        ends: Its last moment, with its zone.
    """

    name: str
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Uses:
    """What an agreement's account says about the uses so far, per rule identifier.

    Attributes:
        counted: How many there were.
        last: When the last one was; None where there was none.
        metered: For how long computations ran.
    """

    counted: Mapping[str, int] = field(default_factory=dict)
    last: Mapping[str, datetime | None] = field(default_factory=dict)
    metered: Mapping[str, timedelta] = field(default_factory=dict)


_NOTHING_USED: Final = Uses()

Proofs = Callable[[str, datetime], Partner | None]
"""What the credentials of a partner prove about it at a moment, by its DID; None where that is nothing."""


def no_proofs(partner: str, now: datetime) -> None:
    """Prove nothing about anybody: no credentials are believed."""
    del partner, now


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a provider states about itself and its partners.

    Attributes:
        place: Where it computes: an ISO 3166 country or a NUTS region; None where it has not said.
        calendar: The events that it knows by name.
        partners: The partners that it vouches for, by their DID.
        proofs: What the credentials of partners prove.
    """

    place: str | None = None
    calendar: tuple[CalendarEvent, ...] = ()
    partners: Mapping[str, Partner] = field(default_factory=dict)
    proofs: Proofs = no_proofs

    @property
    def event_names(self) -> tuple[str, ...]:
        """The names of all events, each once."""
        return tuple(dict.fromkeys(event.name for event in self.calendar))

    def facts(
        self, now: datetime, partner: str, *, uses: Uses = _NOTHING_USED, started: datetime | None = None
    ) -> Facts:
        """Say what is known for a decision.

        Args:
            now: The current time.
            partner: DID of who asks.
            uses: The account of the agreement; what is missing in it is unknown.
            started: When the agreement was made; None where there is none yet.
        """
        return Facts(
            now=now,
            uses=uses.counted,
            started=started,
            last_used=uses.last,
            metered=uses.metered,
            partner=self.known_about(partner, now),
            place=self.place,
            events=self._events(now),
        )

    def known_about(self, partner: str, now: datetime) -> Partner | None:
        """Say what is known about a partner; None where nothing is.

        Args:
            partner: The partner's DID.
            now: The current time.
        """
        return joined(self.partners.get(partner), self.proofs(partner, now))

    def _events(self, now: datetime) -> dict[str, bool]:
        going_on = {event.name for event in self.calendar if event.begins <= now <= event.ends}
        return {name: name in going_on for name in self.event_names}


NOTHING_STATED: Final = Circumstances()
"""A provider that has stated nothing: what depends on it is unknown, and opens nothing."""
