"""What was spent of a dataset's budget of epsilon, for the provider's own people."""

from decimal import Decimal

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from connector.http.management import PREFIX
from connector.ports import EpsilonEntry, Store, Transaction
from connector.services.exchanging import UnknownExchangeError
from connector.services.noising import DATASET, in_digits
from schemas.strict_json import JsonObject


def epsilon_router(store: Store) -> APIRouter:
    """The budget of one dataset, with every line of its account."""
    router = APIRouter(prefix=PREFIX)

    @router.get("/epsilon/{dataset}")
    async def budget(dataset: str) -> JSONResponse:
        return JSONResponse(await store.transact(lambda tx: _budget(tx, dataset)))

    return router


def _budget(tx: Transaction, dataset: str) -> JsonObject:
    published = tx.dataset(dataset)
    if published is None or published.privacy is None:
        raise UnknownExchangeError(dataset)
    entries = tx.epsilon_entries(dataset)
    spent: dict[str, Decimal] = {}
    for entry in entries:
        spent[entry.agreement_id] = spent.get(entry.agreement_id, Decimal(0)) + entry.epsilon
    return {
        "dataset": dataset,
        "total": in_digits(published.privacy.epsilon_total),
        "spent": in_digits(tx.epsilon_spent(DATASET + dataset)),
        "agreements": {agreement: in_digits(epsilon) for agreement, epsilon in spent.items()},
        "entries": [_line(entry) for entry in entries],
    }


def _line(entry: EpsilonEntry) -> JsonObject:
    return {
        "identifier": entry.identifier,
        "agreement_id": entry.agreement_id,
        "question": entry.question,
        "epsilon": in_digits(entry.epsilon),
        "recorded": entry.recorded.isoformat(),
    }
