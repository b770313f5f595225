"""A connector that counts and times its own stations: `python -m bench.observed FILE serve --config …`.

Timers are put around the functions named below; a signal sets them to zero, and
at the end the figures are written to the file. Nothing of this is in the product.
"""

import asyncio
import functools
import importlib
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from connector.__main__ import main

RESET = signal.SIGUSR1
STATIONS = {
    "store: transactions": ["connector.adapters.sql_store:SqlStore._part"],
    "store: commits (fsync)": ["connector.adapters.sql_statements:Statements.commit"],
    "http: requests sent, with the wait for the answer": ["connector.adapters.egress:EgressClient.request"],
    "http: connections opened": ["connector.adapters.egress:_GuardedBackend.connect_tcp"],
    "identity: tokens signed": ["connector.adapters.did_identity:DidIdentity.authorization"],
    "identity: token signatures checked": ["connector.adapters.jose_tokens:verify_jwt"],
    "identity: DID documents fetched": ["connector.adapters.did_identity:DidIdentity._fetch"],
    "messages: JSON read": ["schemas.strict_json:loads"],
    "messages: JSON-LD normalised": ["schemas.jsonld:normalise_message"],
    "messages: validated": ["schemas.wire:parse_message"],
    "policy: parsed": ["policies.odrl:parse_policy"],
    "policy: terms classified": ["policies.terms:require_enforceable"],
    "policy: compared with the offer": ["policies.refinement:compare_with_offer"],
    "policy: evaluated": ["policies.evaluation:evaluate_offer"],
    "evidence: proofs made": ["connector.adapters.own_credentials:OwnCredentials.prove"],
    "evidence: proofs checked": ["connector.evidence.proofs:verify_proofs"],
    "evidence: agreement file made": ["connector.evidence.agreements:agreement_file"],
}
"""What is timed, as `module:name`. Stations contain each other; they do not add up."""
_OURS = ("connector", "schemas", "policies", "catalog")

Figures = dict[str, tuple[int, float]]


class Stopwatches:
    """Calls and seconds per station, and the processor time of the whole process."""

    def __init__(self) -> None:
        self._figures: Figures = {}
        self._processor = 0.0

    def reset(self, *_: object) -> None:
        """Begin again at zero."""
        self._figures.clear()
        self._processor = time.process_time()

    def add(self, station: str, seconds: float) -> None:
        """Count one call."""
        calls, sum_of_seconds = self._figures.get(station, (0, 0.0))
        self._figures[station] = (calls + 1, sum_of_seconds + seconds)

    def written(self) -> str:
        """Everything as JSON."""
        used = time.process_time() - self._processor
        return json.dumps({"processor": used, "stations": self._figures})


def around(function: Callable[..., Any], station: str, watches: Stopwatches) -> Callable[..., Any]:
    """The same function, timed."""
    if asyncio.iscoroutinefunction(function):

        @functools.wraps(function)
        async def waited(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the function takes
            began = time.perf_counter()
            try:
                return await function(*arguments, **named)
            finally:
                watches.add(station, time.perf_counter() - began)

        return waited

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the function takes
        began = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            watches.add(station, time.perf_counter() - began)

    return called


def located(place: str) -> tuple[Any, str]:
    """The module or class that holds a function, and the function's name there."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    return owner, name


def observe(watches: Stopwatches) -> None:
    """Put a timer around every station, wherever it has been imported."""
    for station, places in STATIONS.items():
        for place in places:
            owner, name = located(place)
            original = getattr(owner, name)
            timed = around(original, station, watches)
            for holder in (owner, *_importers(original)):
                setattr(holder, name, timed)


def _importers(function: object) -> list[ModuleType]:
    """Our modules that have imported a function under its own name."""
    name = getattr(function, "__name__", "")
    ours = [module for path, module in sys.modules.items() if path.split(".")[0] in _OURS]
    return [module for module in ours if vars(module).get(name) is function]


def run(file: Path) -> None:
    """Run the command with timers."""
    watches = Stopwatches()
    observe(watches)
    signal.signal(RESET, watches.reset)
    try:
        main()
    finally:
        file.write_text(watches.written(), encoding="utf-8")


if __name__ == "__main__":
    run(Path(sys.argv.pop(1)))
