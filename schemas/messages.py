"""The messages, acknowledgements, errors and documents of the Dataspace Protocol, one class each.

A class is named like the `@type` it has on the wire. The classes whose names
end in `Error` are answers of the protocol, not Python exceptions.

Beside the protocol, four messages of a negotiation may carry `evidence`:
signatures over the agreement, under the key `https://w3id.org/allmende/v1#evidence`
as a JSON literal, which a connector that does not know it ignores.

Source:
    DSP 2025-1, sections 5 to 8, and its JSON Schemas.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    Tag,
    ValidationInfo,
    model_validator,
)

from schemas.errors import InvalidMessageError
from schemas.strict_json import JsonObject
from schemas.vocabulary import EDC, EVIDENCE
from schemas.wire import (
    SINGLE_OR_ARRAY,
    Text,
    TypedObject,
    WireModel,
    broken_rule,
    is_from_the_wire,
    one_of,
    parse_message,
    to_wire,
)
from schemas.wire_policies import agreement as _check_agreement
from schemas.wire_policies import offer_in_catalog, offer_in_message

__all__ = [
    "Catalog",
    "CatalogError",
    "CatalogRequestMessage",
    "ContractAgreementMessage",
    "ContractAgreementVerificationMessage",
    "ContractNegotiation",
    "ContractNegotiationError",
    "ContractNegotiationEventMessage",
    "ContractNegotiationTerminationMessage",
    "ContractOfferMessage",
    "ContractRequestMessage",
    "DataAddress",
    "DataService",
    "Dataset",
    "DatasetRequestMessage",
    "Distribution",
    "EndpointProperty",
    "InvalidMessageError",
    "Message",
    "NestedCatalog",
    "ProtocolAuthentication",
    "ProtocolVersion",
    "TransferCompletionMessage",
    "TransferError",
    "TransferProcess",
    "TransferRequestMessage",
    "TransferStartMessage",
    "TransferSuspensionMessage",
    "TransferTerminationMessage",
    "VersionDocument",
    "VersionsError",
    "bearer_data_address",
    "parse_message",
    "reasons_in_languages",
    "to_wire",
]

HTTP_ENDPOINT_TYPE: Final = "https://w3id.org/idsa/v4.1/HTTP"
"""Endpoint type of an HTTP pull, as the protocol's own examples name it."""


def _unwrapped_literal(value: object, info: ValidationInfo) -> object:
    """Take received evidence out of its JSON literal."""
    if value is None or not is_from_the_wire(info):
        return value
    if isinstance(value, dict) and value.get("@type") == "@json" and isinstance(value.get("@value"), dict):
        return value["@value"]
    raise broken_rule("must be a JSON literal, {'@type': '@json', '@value': {...}}")


def _wrapped_literal(value: JsonObject | None) -> JsonObject | None:
    return None if value is None else {"@type": "@json", "@value": value}


NegotiationState = Annotated[
    str, one_of("REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED", "TERMINATED")
]
TransferState = Annotated[str, one_of("REQUESTED", "STARTED", "SUSPENDED", "COMPLETED", "TERMINATED")]
MessageOffer = Annotated[JsonObject, PlainValidator(offer_in_message)]
CatalogOffer = Annotated[JsonObject, PlainValidator(offer_in_catalog)]
Agreement = Annotated[JsonObject, PlainValidator(_check_agreement)]
Values = Annotated[tuple[JsonValue, ...], SINGLE_OR_ARRAY]
Reasons = Annotated[tuple[JsonValue, ...], Field(min_length=1), SINGLE_OR_ARRAY]
Evidence = Annotated[
    JsonObject | None,
    BeforeValidator(_unwrapped_literal),
    PlainSerializer(_wrapped_literal),
    Field(alias=EVIDENCE),
]


class Message(TypedObject):
    """What one participant sends to another, or answers with.

    Attributes:
        id: Identifier of this one message; EDC ignores a second message with the same one.
    """

    has_context: ClassVar[bool] = True

    id: Annotated[Text | None, Field(alias="@id")] = None


class _Exchange(Message):
    """A message about one negotiation or transfer that both sides have numbered."""

    consumer_pid: Text
    provider_pid: Text


class _Refusal(_Exchange):
    """An end or an error, with what there is to say about it."""

    code: str | None = None
    reason: Reasons | None = None

    @property
    def said(self) -> dict[str, str]:
        """The stated reasons in German and English, each in one line.

        A reason without a language counts for both; where a language has none,
        the others stand for it. The code, where no reason is given.
        """
        stated = [(_text_of(reason), _language_of(reason)) for reason in self.reason or ()]
        chosen = {
            name: [text for text, language in stated if language in {None, name}]
            or [text for text, _ in stated]
            for name in _LANGUAGES
        }
        return {name: "; ".join(texts) or self.code or "no reason given" for name, texts in chosen.items()}

    @property
    def words(self) -> str:
        """The stated reasons in one line, in English where there are several languages."""
        return self.said["en"]


_LANGUAGES: Final = ("de", "en")


def reasons_in_languages(texts: Mapping[str, str]) -> tuple[JsonValue, ...]:
    """Write a reason for a message, in every language that it is known in.

    Args:
        texts: The reason by language. The same text in all of them is somebody's
            own words, and is sent without a language.

    Source:
        DSP 2025-1: `reason` is an array of anything; JSON-LD 1.1, section 4.2.4 (language-tagged strings).
    """
    if len(set(texts.values())) == 1:
        return (next(iter(texts.values())),)
    return tuple(
        {"@value": texts[name], "@language": name} for name in sorted(texts, key=lambda name: name != "en")
    )


def _text_of(reason: JsonValue) -> str:
    if isinstance(reason, dict) and isinstance(reason.get("@value"), str):
        return str(reason["@value"])
    return str(reason)


def _language_of(reason: JsonValue) -> str | None:
    """The primary language of a reason, if it says so: `de` for `de-AT`, too."""
    language = reason.get("@language") if isinstance(reason, dict) else None
    return language.partition("-")[0].lower() if isinstance(language, str) else None


class EndpointProperty(TypedObject):
    """One property of a data address."""

    name: Text
    value: str


class DataAddress(TypedObject):
    """Where and how data of a transfer is to be had."""

    endpoint_type: Text
    endpoint: str | None = None
    endpoint_properties: Annotated[
        tuple[EndpointProperty, ...] | None, Field(min_length=1), SINGLE_OR_ARRAY
    ] = None

    def value_of(self, name: Literal["endpoint", "authorization", "authType"]) -> str | None:
        """Return one property, in the protocol's form or in the one that EDC sends.

        Source:
            EDC issue 5890: properties under full IRIs, `endpoint` only among them.
        """
        if name == "endpoint" and self.endpoint is not None:
            return self.endpoint
        stated = {item.name: item.value for item in self.endpoint_properties or ()}
        return stated.get(name, stated.get(EDC + name))

    @property
    def destination(self) -> str | None:
        """Where a push goes; EDC names it `baseUrl`."""
        stated = {item.name: item.value for item in self.endpoint_properties or ()}
        return self.value_of("endpoint") or stated.get(EDC + "baseUrl")

    @property
    def authorization(self) -> str | None:
        """What to send as `Authorization`: the token alone where it has EDC's name, else after `Bearer`."""
        token = self.value_of("authorization")
        names = {item.name for item in self.endpoint_properties or ()}
        return token if token is None or EDC + "authorization" in names else f"Bearer {token}"


def bearer_data_address(endpoint: str, token: str) -> DataAddress:
    """Describe an HTTP endpoint that a token opens, so that EDC understands it, too.

    Args:
        endpoint: Address at which the data are pulled.
        token: What the caller sends as `Authorization: Bearer`.
    """
    properties = {
        "authorization": token,
        "authType": "bearer",
        EDC + "endpoint": endpoint,
        EDC + "endpointType": HTTP_ENDPOINT_TYPE,
        EDC + "authorization": token,
    }
    named = tuple(EndpointProperty(name=key, value=value) for key, value in properties.items())
    return DataAddress(endpoint_type=HTTP_ENDPOINT_TYPE, endpoint=endpoint, endpoint_properties=named)


def push_data_address(endpoint: str, token: str) -> DataAddress:
    """Describe an HTTP endpoint to which data are pushed, so that EDC understands it, too.

    Args:
        endpoint: Address to which the data are posted.
        token: What the sender sends as `Authorization: Bearer`.

    Source:
        EDC, data address of type HttpData: `baseUrl`, `authKey`, `authCode`.
    """
    properties = {
        "authorization": token,
        "authType": "bearer",
        EDC + "baseUrl": endpoint,
        EDC + "authKey": "Authorization",
        EDC + "authCode": f"Bearer {token}",
    }
    named = tuple(EndpointProperty(name=key, value=value) for key, value in properties.items())
    return DataAddress(endpoint_type="HttpData", endpoint=endpoint, endpoint_properties=named)


class DataService(TypedObject):
    """A connector, as a catalog names it."""

    id: Annotated[Text, Field(alias="@id")]
    endpoint_url: Annotated[Text, Field(alias="endpointURL")]


def _form_of_service(value: object) -> str:
    return "(text)" if isinstance(value, str) else "(object)"


ServiceReference = Annotated[
    Annotated[Text, Tag("(text)")] | Annotated[DataService, Tag("(object)")], Discriminator(_form_of_service)
]
"""A data service by its identifier, or in full; the tags never show in a JSON path."""


class Distribution(TypedObject):
    """One way in which a dataset can be had."""

    type_is_required: ClassVar[bool] = False

    format: Text
    access_service: ServiceReference
    has_policy: Annotated[tuple[CatalogOffer, ...] | None, Field(min_length=1), SINGLE_OR_ARRAY] = None


class Dataset(TypedObject):
    """A dataset on offer, with at least one offer and one distribution."""

    type_is_required: ClassVar[bool] = False
    has_context: ClassVar[bool] = True

    id: Annotated[Text, Field(alias="@id")]
    has_policy: Annotated[tuple[CatalogOffer, ...], Field(min_length=1), SINGLE_OR_ARRAY]
    distribution: Annotated[tuple[Distribution, ...], Field(min_length=1), SINGLE_OR_ARRAY]


class NestedCatalog(TypedObject):
    """A catalog, which may stand inside another one."""

    wire_type: ClassVar[str | None] = "Catalog"

    id: Annotated[Text, Field(alias="@id")]
    participant_id: Text | None = None
    dataset: Annotated[tuple[Dataset, ...] | None, Field(min_length=1), SINGLE_OR_ARRAY] = None
    catalog: Annotated[tuple["NestedCatalog", ...] | None, Field(min_length=1), SINGLE_OR_ARRAY] = None
    service: Annotated[tuple[DataService, ...] | None, Field(min_length=1), SINGLE_OR_ARRAY] = None
    distribution: Annotated[tuple[Distribution, ...] | None, Field(min_length=1), SINGLE_OR_ARRAY] = None

    @model_validator(mode="after")
    def _has_no_policy(self) -> Self:
        if "hasPolicy" in (self.model_extra or {}):
            raise broken_rule("must be absent: offers stand on datasets", ".hasPolicy")
        return self


class Catalog(NestedCatalog):
    """What a participant offers: the answer to a CatalogRequestMessage."""

    has_context: ClassVar[bool] = True

    participant_id: Text


class CatalogRequestMessage(Message):
    """Asks for a catalog."""

    filter: Values | None = None


class DatasetRequestMessage(Message):
    """Asks for one dataset; the HTTP binding asks by address instead."""

    dataset: Text


class CatalogError(Message):
    """The answer where a catalog or dataset cannot be given."""

    code: str | None = None
    reason: Values | None = None


class VersionsError(Message):
    """The answer where the protocol's versions cannot be given."""

    code: str | None = None
    reason: Values | None = None


class ContractRequestMessage(Message):
    """A consumer asks for an agreement, or answers an offer with its own.

    Attributes:
        callback_address: Where the provider answers; in the first message only.
        provider_pid: The provider's identifier; in every later message.
    """

    consumer_pid: Text
    provider_pid: Text | None = None
    offer: MessageOffer
    callback_address: Text | None = None
    evidence: Evidence = None

    @model_validator(mode="after")
    def _is_first_or_reply(self) -> Self:
        if (self.callback_address is None) == (self.provider_pid is None):
            raise broken_rule("must have exactly one of callbackAddress (first) and providerPid (reply)")
        return self


class ContractOfferMessage(Message):
    """A provider makes an offer, first or in reply.

    Attributes:
        callback_address: Where the consumer answers; in the first message only.
        consumer_pid: The consumer's identifier; in every later message.
    """

    provider_pid: Text
    consumer_pid: Text | None = None
    offer: MessageOffer
    callback_address: Text | None = None

    @model_validator(mode="after")
    def _is_first_or_reply(self) -> Self:
        if (self.callback_address is None) == (self.consumer_pid is None):
            raise broken_rule("must have exactly one of callbackAddress (first) and consumerPid (reply)")
        return self


class ContractAgreementMessage(_Exchange):
    """The provider agrees and sends the agreement; one that we send must be dated."""

    agreement: Agreement
    evidence: Evidence = None

    @model_validator(mode="after")
    def _is_dated_by_us(self, info: ValidationInfo) -> Self:
        if "timestamp" not in self.agreement and not is_from_the_wire(info):
            raise broken_rule("is required", ".agreement.timestamp")
        return self


class ContractAgreementVerificationMessage(_Exchange):
    """The consumer has verified the agreement."""

    evidence: Evidence = None


class ContractNegotiationEventMessage(_Exchange):
    """The consumer accepts an offer, or the provider finalises the negotiation."""

    event_type: Annotated[str, one_of("ACCEPTED", "FINALIZED")]
    evidence: Evidence = None


class ContractNegotiationTerminationMessage(_Refusal):
    """Either side ends the negotiation."""


class ContractNegotiation(_Exchange):
    """The acknowledgement: where a negotiation stands."""

    state: NegotiationState


class ContractNegotiationError(_Refusal):
    """The answer to a message that does not fit the negotiation."""


class TransferRequestMessage(Message):
    """A consumer asks for data under an agreement.

    Attributes:
        data_address: Where the provider delivers; only where it pushes.
    """

    consumer_pid: Text
    agreement_id: Text
    format: Text
    callback_address: Text
    data_address: DataAddress | None = None


class TransferStartMessage(_Exchange):
    """The transfer begins, or goes on after a suspension.

    Attributes:
        data_address: Where the consumer pulls; only from the provider.
    """

    data_address: DataAddress | None = None


class TransferCompletionMessage(_Exchange):
    """The transfer is complete."""


class TransferSuspensionMessage(_Refusal):
    """The transfer pauses."""


class TransferTerminationMessage(_Refusal):
    """Either side ends the transfer."""


class TransferProcess(_Exchange):
    """The acknowledgement: where a transfer stands."""

    state: TransferState


class TransferError(_Refusal):
    """The answer to a message that does not fit the transfer."""


class ProtocolAuthentication(WireModel):
    """How callers of an endpoint prove who they are."""

    protocol: Text
    version: Text
    profile: Annotated[tuple[str, ...] | None, SINGLE_OR_ARRAY] = None


class ProtocolVersion(WireModel):
    """One endpoint: a version of the protocol under a path.

    Attributes:
        path: Path of the version below the connector's root.
        binding: `HTTPS`, the protocol's only binding, over plain HTTP, too.
    """

    version: Text
    path: Text
    binding: Literal["HTTPS"]
    service_id: str | None = None
    identifier_type: str | None = None
    auth: ProtocolAuthentication | None = None


class VersionDocument(WireModel):
    """The protocol versions that a connector speaks; plain JSON without a context."""

    protocol_versions: Annotated[tuple[ProtocolVersion, ...], Field(min_length=1), SINGLE_OR_ARRAY]
