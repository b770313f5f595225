"""The enforcement map laid out: terms under what joins them, for pages and for running text."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from policies.model import LanguageMap
from policies.terms import TermUse
from policies.wording import sentence, together

__all__ = ["Joined", "MapEntry", "arranged", "in_running_text"]


@dataclass(frozen=True, slots=True)
class Joined:
    """Terms of which only together it can be said what has to hold.

    Attributes:
        head: How many of them have to hold, without a full stop.
        members: The terms, and groups inside the group, in the policy's order.
    """

    head: LanguageMap
    members: tuple["TermUse | Joined", ...]


MapEntry = TermUse | Joined


def arranged(uses: Iterable[TermUse]) -> tuple[MapEntry, ...]:
    """Put terms under what joins them.

    Args:
        uses: Terms of a policy, as `policies.terms.classify` lists them.

    Returns:
        The same terms in the same order; those that a connective joins as one
        entry.
    """
    return tuple(_level(uses, 0))


def _level(uses: Iterable[TermUse], depth: int) -> Iterator[MapEntry]:
    for group, members in groupby(uses, key=lambda use: _group(use, depth)):
        if group is None:
            yield from members
        else:
            joined = tuple(members)
            yield Joined(joined[0].within[depth].head, tuple(_level(joined, depth + 1)))


def _group(use: TermUse, depth: int) -> str | None:
    return use.within[depth].group if len(use.within) > depth else None


def in_running_text(uses: Iterable[TermUse]) -> LanguageMap:
    """Say all terms and what each is worth one after the other, those that are joined in brackets.

    Args:
        uses: Terms of a policy, as `policies.terms.classify` lists them.
    """
    return together(tuple(_said(entry) for entry in arranged(uses)))


def _said(entry: MapEntry) -> LanguageMap:
    if isinstance(entry, TermUse):
        return entry.own_text
    numbered = tuple(
        sentence("({number}: {said})", "({number}: {said})", number=str(number), said=_said(member))
        for number, member in enumerate(entry.members, 1)
    )
    return sentence("{head}: {members}", "{head}: {members}", head=entry.head, members=together(numbered))
