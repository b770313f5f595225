"""A catalog ready to be sent: every dataset is written once, and pages are put together from what is written.

Limits: datasets that were published while somebody reads page after page are on
the last page; one that was withdrawn meanwhile is not. No dataset is on two
pages, and none is left out because another one came or went.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from catalog.dsp import to_dsp_catalog, to_dsp_dataset
from catalog.model import Catalog, Dataset
from catalog.selection import Condition, Position, Selection, write_token
from schemas.vocabulary import DSPACE_CONTEXT

_EVERYTHING: Final = Selection()
_CONTEXT: Final = json.dumps({"@context": [DSPACE_CONTEXT]}).encode().removesuffix(b"}") + b", "


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a catalog.

    Attributes:
        body: A DSP catalog that holds the page's datasets, as JSON.
        next: Address of the following page; None on the last one.
        previous: Address of the page before; None on the first one.
    """

    body: bytes
    next: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A dataset with what it is found by."""

    position: Position
    body: bytes
    terms: Mapping[str, frozenset[str]]
    text: str

    def fits(self, conditions: Sequence[Condition]) -> bool:
        return all(self._fits(condition) for condition in conditions)

    def _fits(self, condition: Condition) -> bool:
        if condition.member == "text":
            return any(value in self.text for value in condition.values)
        return not self.terms[condition.member].isdisjoint(condition.values)


class PreparedCatalog:
    """A participant's catalog as it is sent, made once per change.

    Args:
        catalog: The catalog; withdrawn datasets are left out.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._address = f"{catalog.endpoint_url}/catalog/request"
        frame = json.dumps(to_dsp_catalog(replace(catalog, datasets=())))
        self._frame = frame.removesuffix("}").encode()
        entries = (_entry(dataset, catalog) for dataset in catalog.published)
        self._entries = sorted(entries, key=lambda entry: entry.position)
        self._by_identifier = {entry.position[1]: entry for entry in self._entries}
        # Nearly every reader asks for everything from the beginning.
        self._first = self._page(_EVERYTHING)

    def page(self, selection: Selection = _EVERYTHING) -> Page:
        """The page that shows a selection, or the first of several."""
        return self._first if selection == _EVERYTHING else self._page(selection)

    def dataset(self, identifier: str) -> bytes | None:
        """One dataset as DSP JSON; None where it is not on offer."""
        found = self._by_identifier.get(identifier)
        return None if found is None else _CONTEXT + found.body.removeprefix(b"{")

    def _page(self, selection: Selection) -> Page:
        found = [entry for entry in self._entries if entry.fits(selection.conditions)]
        start, stop = _window([entry.position for entry in found], selection)
        shown = found[start:stop]
        onwards = replace(selection, offset=0, after=None, before=None)
        last, first = (shown[-1].position, shown[0].position) if shown else (None, None)
        return Page(
            body=self._written(shown),
            next=self._link(replace(onwards, after=last)) if stop < len(found) else None,
            previous=self._link(replace(onwards, before=first)) if shown and start > 0 else None,
        )

    def _written(self, shown: Sequence[_Entry]) -> bytes:
        # An empty array is invalid, an absent one is not.
        inside = b', "dataset": [' + b", ".join(entry.body for entry in shown) + b"]" if shown else b""
        return self._frame + inside + b"}"

    def _link(self, selection: Selection) -> str:
        return f"{self._address}?continuationToken={write_token(selection)}"


def _window(positions: Sequence[Position], selection: Selection) -> tuple[int, int]:
    if selection.before is not None:
        stop = bisect_left(positions, selection.before)
        return max(0, stop - selection.size), stop
    start = selection.offset if selection.after is None else bisect_right(positions, selection.after)
    return start, min(len(positions), start + selection.size)


def _entry(dataset: Dataset, catalog: Catalog) -> _Entry:
    stated = {
        "dataset": (dataset.identifier,),
        "format": dataset.formats,
        "keyword": dataset.keywords,
        "table": (dataset.table,),
        "theme": dataset.themes,
    }
    document = to_dsp_dataset(dataset, catalog)
    texts = (*dataset.title.values(), *dataset.description.values(), *dataset.keywords)
    return _Entry(
        position=(dataset.issued.isoformat(), dataset.identifier),
        body=json.dumps({name: value for name, value in document.items() if name != "@context"}).encode(),
        terms={name: frozenset(value.casefold() for value in values) for name, values in stated.items()},
        text="\n".join(texts).casefold(),
    )
