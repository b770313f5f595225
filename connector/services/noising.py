"""Noising: a question is answered with noise, paid for once, and answered the same when it is asked again.

Epsilon is checked and reserved in one transaction, from the agreement's account and
from the dataset's, over all its partners. Once noise has been drawn it stays spent,
whatever happens then; it is given back only where we failed before.

Source:
    docs/adr/0013-noise.md
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from connector.evidence.documents import digest
from connector.ports import (
    Clock,
    EpsilonEntry,
    Identifiers,
    Noise,
    NoisyAnswer,
    QueryEngine,
    Store,
    Transaction,
)
from connector.protocol.negotiation import ContractAgreement
from connector.queries.errors import REFUSALS, QueryRefusedError
from connector.queries.noisy import NoisyQuestion, bounded_statement, exact_figures
from connector.services.auditing import View
from policies.privacy import NoiseTerms
from schemas.strict_json import JsonObject, JsonValue

AGREEMENT: Final = "agreement:"
DATASET: Final = "dataset:"
"""Kinds of accounts; the identifier follows."""


class EpsilonSpentError(QueryRefusedError):
    """A budget is used up. Nothing was read, so the use is given back."""


@dataclass(frozen=True, slots=True)
class EpsilonAccount:
    """What a question did to the agreement's budget.

    Attributes:
        before: Spent before.
        after: Spent afterwards: the same where the question had been asked before.
        total: What may be spent altogether.
    """

    before: Decimal
    after: Decimal
    total: Decimal

    def as_data(self) -> JsonObject:
        """The account as plain values, for the receipt; decimal numbers are texts."""
        return {
            "spent": in_digits(self.after - self.before),
            "before": in_digits(self.before),
            "after": in_digits(self.after),
            "total": in_digits(self.total),
        }


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Who asks what, and from which budgets it is paid.

    Attributes:
        question: What is asked.
        agreement: Under which agreement.
        terms: What the agreement asks of noise.
        dataset_total: What all partners together may spend on the dataset.
        data: What the question is about besides: digest and redaction of the data.
    """

    question: NoisyQuestion
    agreement: ContractAgreement
    terms: NoiseTerms
    dataset_total: Decimal
    data: Mapping[str, JsonValue]

    @property
    def digest(self) -> str:
        """What this question is called: the same for the same question about the same data."""
        return digest({**self.question.as_data, "data": dict(self.data)})


@dataclass(frozen=True, slots=True)
class Noised:
    """Noisy figures, and what they cost.

    Attributes:
        answer: The figures; not kept yet where they are new.
        account: What happened to the agreement's budget.
    """

    answer: NoisyAnswer
    account: EpsilonAccount


class Noising:
    """Answers questions with noise.

    Args:
        store: Where budgets and answers are kept.
        clock: Tells the time.
        identifiers: Names lines of the account.
        engine: Runs our statements.
        noise: Draws noise; None where the extra `dp` is not installed.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        engine: QueryEngine,
        noise: Noise | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._engine = engine
        self._noise = noise

    async def answer(self, inquiry: Inquiry, view: View, seconds: float) -> Noised:
        """Answer a question; the caller lets one question of an agreement in at a time.

        Args:
            inquiry: Who asks what.
            view: What it is asked about.
            seconds: Longest run of a statement.

        Raises:
            EpsilonSpentError: The agreement's budget is used up, or the dataset's.
            QueryRefusedError: Nobody can draw noise here.
            QueryError: It could not be computed; nothing was spent.
        """
        known, account = await self._store.transact(lambda tx: self._known_or_reserved(tx, inquiry))
        if known is not None:
            return Noised(known, account)
        figures = await self._drawn(inquiry, view, seconds)
        answer = NoisyAnswer(inquiry.agreement.identifier, inquiry.digest, figures, self._clock.now())
        return Noised(answer, account)

    def _known_or_reserved(
        self, tx: Transaction, inquiry: Inquiry
    ) -> tuple[NoisyAnswer | None, EpsilonAccount]:
        spent = tx.epsilon_spent(_agreement_account(inquiry))
        total, epsilon = inquiry.terms.epsilon_total, inquiry.question.epsilon
        known = tx.noisy_answer(inquiry.agreement.identifier, inquiry.digest)
        if known is not None:
            return known, EpsilonAccount(spent, spent, total)
        if self._noise is None:
            raise QueryRefusedError("noise-missing", REFUSALS["noise-missing"])
        if not tx.spend_epsilon(_agreement_account(inquiry), epsilon, total):
            raise _spent("epsilon-agreement")
        if not tx.spend_epsilon(_dataset_account(inquiry), epsilon, inquiry.dataset_total):
            raise _spent("epsilon-dataset")
        tx.append_epsilon(self._entry(inquiry, epsilon))
        return None, EpsilonAccount(spent, spent + epsilon, total)

    async def _drawn(self, inquiry: Inquiry, view: View, seconds: float) -> Mapping[str, tuple[int, ...]]:
        question = inquiry.question
        try:
            table = await self._engine.run(
                bounded_statement(question),
                table=view.table,
                projection=view.projection,
                timeout_seconds=seconds,
            )
            exact = exact_figures(question, table)
        except Exception:
            await self._store.transact(lambda tx: self._refund(tx, inquiry))
            raise
        # From here on nothing is given back: what was drawn may have been seen.
        assert self._noise is not None  # noqa: S101 - nothing is reserved without
        return {name: await self._noise.add(figures) for name, figures in exact.items()}

    def _refund(self, tx: Transaction, inquiry: Inquiry) -> None:
        epsilon = inquiry.question.epsilon
        tx.refund_epsilon(_agreement_account(inquiry), epsilon)
        tx.refund_epsilon(_dataset_account(inquiry), epsilon)
        tx.append_epsilon(self._entry(inquiry, -epsilon))

    def _entry(self, inquiry: Inquiry, epsilon: Decimal) -> EpsilonEntry:
        return EpsilonEntry(
            identifier=self._identifiers.new(),
            agreement_id=inquiry.agreement.identifier,
            dataset=inquiry.agreement.dataset,
            question=inquiry.digest,
            epsilon=epsilon,
            recorded=self._clock.now(),
        )


def _agreement_account(inquiry: Inquiry) -> str:
    return AGREEMENT + inquiry.agreement.identifier


def _dataset_account(inquiry: Inquiry) -> str:
    return DATASET + inquiry.agreement.dataset


def _spent(code: str) -> EpsilonSpentError:
    return EpsilonSpentError(code, REFUSALS[code])


def in_digits(epsilon: Decimal) -> str:
    """Epsilon as a text, without needless zeros."""
    return f"{epsilon.normalize():f}"
