"""The demonstration's result for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.demo.participants import Participant
from connector.demo.steps import STATEMENT, Agreed, Checked, Computed

_FIGURES = ("raw_rows_out", "raw_bytes_out", "result_bytes_out")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of each step."""

    agreements: Sequence[Agreed]
    refusals: dict[str, str]
    result: dict[str, Any]
    query_receipts: Sequence[Path]
    computed: Sequence[Computed]
    forecast: dict[str, float]
    books: Sequence[dict[str, Any]]
    checked: Checked


def summarise(outcome: Outcome, participants: Sequence[Participant]) -> dict[str, Any]:
    """One object of plain values, as `--json` prints it.

    Its files are evidence and stay; its `urls` answer only while the connectors run.
    """
    return {
        "agreements": [_agreement(one) for one in outcome.agreements],
        "refusals": outcome.refusals,
        "query": {
            "statement": STATEMENT,
            "rows": outcome.result["rows"],
            "sites": outcome.result["sites"],
            "receipts": [str(path) for path in outcome.query_receipts],
        },
        "computations": [_computation(one) for one in outcome.computed],
        "forecast": outcome.forecast,
        "ledger": {
            **{name: sum(line[name] for line in outcome.books) for name in _FIGURES},
            "datasets": list(outcome.books),
        },
        "verification": {
            "valid": {str(file): sentence for file, sentence in outcome.checked.sentences.items()},
            "forgery": outcome.checked.forgery,
        },
        "urls": {one.name: one.facts for one in participants},
    }


def _agreement(one: Agreed) -> dict[str, Any]:
    return {
        "identifier": one.identifier,
        "provider": one.provider,
        "file": str(one.file),
        "signed_by": one.signers,
        "milliseconds": round(one.milliseconds, 1),
    }


def _computation(one: Computed) -> dict[str, Any]:
    return {
        "identifier": one.identifier,
        "provider": one.provider,
        "status": one.state,
        "outputs": one.outputs,
        "receipt": str(one.receipt),
        "metrics": one.metrics,
        "sandbox": one.tier,
    }
