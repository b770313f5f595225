"""Crawling: reading other participants' catalogs."""

import json
from datetime import timedelta

from catalog.dsp import CatalogView, read_dsp_catalog
from catalog.errors import CatalogError
from connector.ports import (
    Clock,
    DocumentResolver,
    IdentityRefusedError,
    IdentityUnavailableError,
    PeerRefusedError,
    Peers,
    PeerUnreachableError,
    RemoteDataset,
    Store,
    Transaction,
)
from connector.services.delivering import reason_in
from connector.services.exchanging import RequestRefusedError
from schemas import messages as dsp
from schemas.strict_json import MalformedJsonError, loads

_SECONDS = 20
_MOST_BYTES = 20_000_000
_OK = 200


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

    async def read(self, provider: str, address: str | None = None) -> CatalogView:
        """Read a participant's catalog over the Dataspace Protocol.

        Args:
            provider: The participant's DID.
            address: Its DSP base address; None to take it from its DID document.

        Raises:
            RequestRefusedError: It has no catalog, or gives us none.
            PeerUnreachableError: It does not answer.
            PeerRefusedError: Its address is one that we never call.
        """
        base = (address or await self._address(provider)).rstrip("/")
        view = await self._fetch(provider, base)
        if view.participant_id != provider:
            raise RequestRefusedError(f"The catalog at {base} is {view.participant_id}'s, not {provider}'s.")
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

    async def _fetch(self, provider: str, base: str) -> CatalogView:
        answer = await self._peers.send(
            "POST",
            f"{base}/catalog/request",
            audience=provider,
            body=json.dumps(dsp.to_wire(dsp.CatalogRequestMessage())).encode(),
            timeout=timedelta(seconds=_SECONDS),
            max_bytes=_MOST_BYTES,
        )
        if answer.status != _OK:
            raise RequestRefusedError(f"{provider} refuses its catalog: {reason_in(answer)}.")
        try:
            return read_dsp_catalog(loads(answer.body, max_bytes=_MOST_BYTES))
        except (MalformedJsonError, CatalogError) as problem:
            raise RequestRefusedError(f"The catalog of {provider} cannot be read: {problem}") from problem

    async def _remember(self, view: CatalogView, base: str) -> None:
        now = self._clock.now()
        name = next(iter(view.title.values()), view.participant_id)

        def work(tx: Transaction) -> None:
            for dataset in view.datasets:
                tx.save_remote_dataset(RemoteDataset(view.participant_id, name, base, dataset, now))

        await self._store.transact(work)
