"""Crawling: reading other participants' catalogs, page by page.

Source:
    Dataspace Protocol 2025-1, catalog protocol, HTTPS binding (pagination).
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from catalog.dsp import CatalogView, read_dsp_catalog
from catalog.errors import CatalogError
from connector.ports import (
    Clock,
    DocumentResolver,
    IdentityRefusedError,
    IdentityUnavailableError,
    PeerAnswer,
    PeerRefusedError,
    Peers,
    PeerUnreachableError,
    RemoteDataset,
    Store,
    Transaction,
)
from connector.protocol.callbacks import origin_of
from connector.services.delivering import reason_in
from connector.services.exchanging import RequestRefusedError
from schemas import messages as dsp
from schemas.strict_json import JsonValue, MalformedJsonError, loads

MOST_PAGES: Final = 100
"""Most pages that are read of one catalog."""
MOST_BYTES: Final = 20_000_000
"""Most bytes that are read of one catalog, all its pages together."""
_SECONDS: Final = 20
_OK: Final = 200


class Crawling:
    """Reads catalogs, and remembers what they offer.

    Args:
        store: Where remote datasets are kept.
        clock: Tells the time.
        peers: Talks to participants.
        resolver: Finds them.
    """

    def __init__(self, *, store: Store, clock: Clock, peers: Peers, resolver: DocumentResolver) -> None:
        self._store = store
        self._clock = clock
        self._peers = peers
        self._resolver = resolver

    async def read(
        self, provider: str, address: str | None = None, wanted: Sequence[JsonValue] = ()
    ) -> CatalogView:
        """Read a participant's catalog over the Dataspace Protocol, all its pages.

        Args:
            provider: The participant's DID.
            address: Its DSP base address; None to take it from its DID document.
            wanted: A filter for the provider to apply; what it understands is its choice.

        Raises:
            RequestRefusedError: It has no catalog, gives us none, or one without end.
            PeerUnreachableError: It does not answer.
            PeerRefusedError: Its address is one that we never call.
        """
        base = (address or await self._address(provider)).rstrip("/")
        view = await self._all_pages(provider, base, wanted)
        await self._remember(view, base)
        return view

    async def _address(self, provider: str) -> str:
        try:
            document = await self._resolver.document(provider)
        except IdentityUnavailableError as problem:
            raise PeerUnreachableError(
                f"The DID document of {provider} cannot be read now: {problem}"
            ) from problem
        except IdentityRefusedError as problem:
            raise PeerRefusedError(f"The DID document of {provider} cannot be used: {problem}") from problem
        endpoint = document.endpoint("CatalogService")
        if endpoint is None:
            raise RequestRefusedError(f"The DID document of {provider} names no catalog; give its address.")
        return endpoint.removesuffix("/").removesuffix("/catalog")

    async def _all_pages(self, provider: str, base: str, wanted: Sequence[JsonValue]) -> CatalogView:
        """The whole catalog; each page says where the next one is."""
        message = dsp.CatalogRequestMessage(filter=tuple(wanted) or None)
        body = json.dumps(dsp.to_wire(message)).encode()
        address: str | None = f"{base}/catalog/request"
        seen: set[str] = set()
        left = MOST_BYTES
        whole: CatalogView | None = None
        while address is not None:
            _require_bounded(provider, base, address, seen)
            seen.add(address)
            answer = await self._page(provider, address, body, left)
            left -= len(answer.body)
            page = _read(answer, provider, address)
            whole = page if whole is None else _joined(whole, page)
            address = answer.links.get("next")
        assert whole is not None  # noqa: S101 - there is a first page
        return whole

    async def _page(self, provider: str, address: str, body: bytes, most_bytes: int) -> PeerAnswer:
        answer = await self._peers.send(
            "POST",
            address,
            audience=provider,
            body=body,
            timeout=timedelta(seconds=_SECONDS),
            max_bytes=most_bytes,
        )
        if answer.status != _OK:
            raise RequestRefusedError(f"{provider} refuses its catalog: {reason_in(answer)}.")
        return answer

    async def _remember(self, view: CatalogView, base: str) -> None:
        now = self._clock.now()
        name = next(iter(view.title.values()), view.participant_id)

        def work(tx: Transaction) -> None:
            for dataset in view.datasets:
                tx.save_remote_dataset(RemoteDataset(view.participant_id, name, base, dataset, now))

        await self._store.transact(work)


def _require_bounded(provider: str, base: str, address: str, seen: set[str]) -> None:
    """Refuse a next page that leads elsewhere, in a circle, or on without end."""
    if origin_of(address) != origin_of(base):
        raise RequestRefusedError(
            f"The catalog of {provider} goes on at another origin, {_shown(address)}, which is not followed."
        )
    if address in seen:
        raise RequestRefusedError(f"The catalog of {provider} leads in a circle, at {_shown(address)}.")
    if len(seen) >= MOST_PAGES:
        raise RequestRefusedError(
            f"The catalog of {provider} has more than {MOST_PAGES} pages; ask for a part of it with a filter."
        )


def _shown(address: str) -> str:
    return repr(address[:200])


def _read(answer: PeerAnswer, provider: str, address: str) -> CatalogView:
    try:
        view = read_dsp_catalog(loads(answer.body, max_bytes=MOST_BYTES))
    except (MalformedJsonError, CatalogError) as problem:
        raise RequestRefusedError(f"The catalog of {provider} cannot be read: {problem}") from problem
    if view.participant_id != provider:
        raise RequestRefusedError(f"The catalog at {address} is {view.participant_id}'s, not {provider}'s.")
    return view


def _joined(whole: CatalogView, page: CatalogView) -> CatalogView:
    """Two parts of a catalog in one; a dataset on both is as the later one shows it."""
    datasets = {dataset.identifier: dataset for dataset in (*whole.datasets, *page.datasets)}
    return replace(whole, datasets=tuple(datasets.values()))
