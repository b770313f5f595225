"""Publishing: a dataset comes on offer once its data can be read and its policy can be enforced."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from catalog.model import Column, ColumnRole, Dataset, Offer
from connector.ports import (
    Clock,
    ConsentRegisters,
    Identifiers,
    InheritedPolicy,
    Projections,
    PublishedDataset,
    Store,
    TableDescription,
    Transaction,
)
from connector.protocol.transfer import TransferFormat
from connector.queries.noisy import require_described
from connector.services.computing import COMPUTE_ACTION
from connector.services.consenting import usable_registers
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from connector.services.inheriting import inherited, taken_over
from connector.services.querying import QUERY_ACTION
from policies.actions import includes
from policies.circumstances import Circumstances
from policies.consents import ConsentError, ConsentRegister
from policies.left_operands import ROW_FILTER
from policies.model import LanguageMap, Policy
from policies.odrl import parse_policy
from policies.privacy import PrivacyDescription, PrivacyDescriptionError, read_privacy
from policies.references import require_columns, require_events, require_registers
from policies.restrictions import offers_raw_data, query_restrictions, values_in
from policies.row_filters import RowFilter, RowFilterError, named_filters, read_row_filter
from policies.terms import require_enforceable
from schemas.strict_json import JsonObject

_FORMATS = {QUERY_ACTION: TransferFormat.QUERY, COMPUTE_ACTION: TransferFormat.COMPUTE}


@dataclass(frozen=True, slots=True)
class Publication:
    """What a data steward states about a dataset.

    Attributes:
        identifier: IRI of the dataset; None to have one made.
        table: Name under which SQL statements address it.
        title: Per language.
        description: Per language.
        keywords: Free keywords.
        license: IRI of the licence.
        source_note: Where the data come from.
        columns: What a row holds.
        source: The data file.
        offer: The offer, compact DSP JSON; it may take over the rules of policies that are kept.
        approval: `automatic`, or `manual` where a person accepts each negotiation.
        row_filters: The filters that the offer may name, as a provider writes
            them: name to column, operator and values.
        consents: The registers of consents that the offer may name.
        accepts_unsigned: Whether an agreement opens it that not both parties have signed.
        privacy: What noise needs to know, as a provider writes it (`policies.privacy`);
            None where no offer may ask for noise.
    """

    identifier: str | None
    table: str
    title: LanguageMap
    description: LanguageMap
    keywords: Sequence[str]
    license: str
    source_note: LanguageMap
    columns: Sequence[Column]
    source: Path
    offer: JsonObject
    approval: str
    row_filters: Mapping[str, JsonObject] = field(default_factory=dict)
    consents: Mapping[str, ConsentRegister] = field(default_factory=dict)
    accepts_unsigned: bool = False
    privacy: JsonObject | None = None


class Publishing:
    """Puts datasets on offer, and takes them off again.

    Args:
        store: Where they are kept.
        clock: Tells the time.
        identifiers: Names datasets and offers.
        projections: Reads data files.
        consents: Reads registers of consents.
        circumstances: What we state about ourselves, the calendar and our partners.
        changed: Called when something on offer has changed.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        projections: Projections,
        consents: ConsentRegisters,
        circumstances: Circumstances,
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._projections = projections
        self._consents = consents
        self._circumstances = circumstances
        self._changed = changed

    async def publish(self, publication: Publication) -> PublishedDataset:
        """Put a dataset on offer, or replace what is on offer under its identifier.

        The offer is given the rules that it takes over here, once: partners could
        not find out what they are.

        Raises:
            DataUnreadableError: The data file is missing or malformed.
            PolicyRefusedError: The policy has a term that cannot be enforced, names a column, a
                register or an event that does not exist, or takes over rules of a policy
                that is not at hand.
            RequestRefusedError: The stated columns are not those of the file, the policy
                names a filter that does not exist, or a register does not fit the data.
        """
        identifier = publication.identifier or self._identifiers.new()
        document = self._document(publication)
        whole, parents = await self._store.transact(
            lambda tx: (taken_over(tx, document), inherited(tx, document))
        )
        offer = _offer(whole, identifier)
        description = await self._projections.describe(publication.source)
        _require_columns(publication.columns, description)
        require_columns(offer.policy, _names(publication.columns), _units(publication.columns))
        require_events(offer.policy, self._circumstances.event_names)
        filters = _row_filters(publication, offer.policy, description)
        consents = await self._registers(publication, offer.policy, description)
        privacy = _privacy(publication, offer.policy)
        now = self._clock.now()

        def work(tx: Transaction) -> PublishedDataset:
            known = tx.dataset(identifier)
            issued = known.dataset.issued if known else now
            dataset = _dataset(publication, identifier, offer, description, issued, now)
            record = _record(publication, dataset, filters, consents, parents)
            record = replace(record, privacy=privacy)
            tx.save_dataset(record)
            return record

        published = await self._store.transact(work)
        self._changed()
        return published

    async def withdraw(self, identifier: str) -> None:
        """Take a dataset off the catalog; agreements that exist stay in force.

        Raises:
            UnknownExchangeError: There is no such dataset.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            known = tx.dataset(identifier)
            if known is None:
                raise UnknownExchangeError(identifier)
            dataset = replace(known.dataset, publishing=False, modified=now)
            tx.save_dataset(replace(known, dataset=dataset))

        await self._store.transact(work)
        self._changed()

    async def _registers(
        self, publication: Publication, policy: Policy, description: TableDescription
    ) -> Mapping[str, ConsentRegister]:
        """Make sure that the registers which the policy names exist, and read every one."""
        try:
            registers = await usable_registers(self._consents, publication.consents, description)
        except ConsentError as problem:
            raise RequestRefusedError(str(problem)) from None
        require_registers(policy, registers)
        return registers

    def _document(self, publication: Publication) -> JsonObject:
        """The offer with an identifier of its own; its target is the dataset around it."""
        return {
            "@type": "Offer",
            "@id": self._identifiers.new(),
            **{name: value for name, value in publication.offer.items() if name not in {"@type", "target"}},
        }


def _offer(document: JsonObject, dataset: str) -> Offer:
    """The offer, read and judged."""
    policy = parse_policy(document, default_target=dataset)
    require_enforceable(policy)
    return Offer(policy, document)


def _record(
    publication: Publication,
    dataset: Dataset,
    filters: Mapping[str, RowFilter],
    consents: Mapping[str, ConsentRegister],
    parents: tuple[InheritedPolicy, ...],
) -> PublishedDataset:
    return PublishedDataset(
        dataset=dataset,
        source=publication.source,
        approval=publication.approval,
        row_filters=filters,
        accepts_unsigned=publication.accepts_unsigned,
        consents=consents,
        inherited=parents,
    )


def _dataset(
    publication: Publication,
    identifier: str,
    offer: Offer,
    description: TableDescription,
    issued: datetime,
    now: datetime,
) -> Dataset:
    return Dataset(
        identifier=identifier,
        table=publication.table,
        title=dict(publication.title),
        description=dict(publication.description),
        keywords=tuple(publication.keywords),
        license=publication.license,
        source_note=dict(publication.source_note),
        columns=tuple(publication.columns),
        rows=description.rows,
        digest=description.digest,
        formats=_formats(offer.policy),
        offer=offer,
        issued=issued,
        modified=now,
    )


def _formats(policy: Policy) -> tuple[str, ...]:
    governed = tuple(
        transfer_format.value
        for action, transfer_format in _FORMATS.items()
        if any(includes(permission.action, action) for permission in policy.permissions)
    )
    raw = (TransferFormat.DOWNLOAD.value, TransferFormat.PUSH.value) if offers_raw_data(policy) else ()
    if not governed and not raw:
        raise RequestRefusedError(
            "The offer permits no queries, no computations and no raw data, so there is nothing to serve."
        )
    return (*governed, *raw)


def _require_columns(columns: Sequence[Column], description: TableDescription) -> None:
    stated = {column.name: column.data_type for column in columns}
    found: Mapping[str, str] = dict(description.columns)
    for name, data_type in stated.items():
        if name not in found:
            raise RequestRefusedError(f"The data file has no column {name!r}; it has: {', '.join(found)}.")
        if found[name] != data_type:
            raise RequestRefusedError(f"The column {name!r} is of type {found[name]}, not {data_type}.")


def _names(columns: Sequence[Column]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column.name for column in columns))


def _units(columns: Sequence[Column]) -> frozenset[str]:
    """Name the columns that name a unit and are for nothing else."""
    others = {column.name for column in columns if column.role is not ColumnRole.UNIT}
    return frozenset(_names(columns)) - others


def _privacy(publication: Publication, policy: Policy) -> PrivacyDescription | None:
    """Read what noise needs to know, and make sure that it fits the columns and the policy."""
    try:
        privacy = None if publication.privacy is None else read_privacy(publication.privacy)
        if privacy is not None:
            require_described(privacy, publication.columns)
    except PrivacyDescriptionError as problem:
        raise RequestRefusedError(str(problem)) from None
    for permission in policy.permissions:
        limits = query_restrictions(permission)
        if limits.noise is not None and (privacy is None or privacy.unit != limits.group_unit):
            raise RequestRefusedError(
                "The policy asks for noise, so the dataset needs a description of its privacy "
                "whose unit is the policy's group unit."
            )
    return privacy


def _row_filters(
    publication: Publication, policy: Policy, description: TableDescription
) -> Mapping[str, RowFilter]:
    """Read the filters, and make sure that those which the policy names exist."""
    known = {name for name, _ in description.columns}
    try:
        filters = {name: read_row_filter(name, one) for name, one in publication.row_filters.items()}
        for permission in policy.permissions:
            named_filters(values_in(permission, ROW_FILTER), filters)
    except RowFilterError as problem:
        raise RequestRefusedError(str(problem)) from None
    if unknown := sorted(one.column for one in filters.values() if one.column not in known):
        raise RequestRefusedError(f"The row filters name columns that do not exist: {', '.join(unknown)}.")
    return filters
