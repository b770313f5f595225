"""Messages as the rest of the software builds and reads them."""

from enum import StrEnum
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.jsonld import normalise_message
from schemas.messages import (
    Catalog,
    ContractAgreementMessage,
    ContractNegotiation,
    ContractNegotiationTerminationMessage,
    ContractRequestMessage,
    InvalidMessageError,
    TransferStartMessage,
    VersionDocument,
    bearer_data_address,
    parse_message,
    reasons_in_languages,
    to_wire,
)

DSP = "https://w3id.org/dspace/2025/1/context.jsonld"
EVIDENCE = "https://w3id.org/allmende/v1#evidence"
OFFER: dict[str, Any] = {"@type": "Offer", "@id": "o", "target": "d", "permission": [{"action": "use"}]}
REQUEST: dict[str, Any] = {
    "@context": [DSP],
    "@type": "ContractRequestMessage",
    "consumerPid": "c",
    "offer": OFFER,
    "callbackAddress": "https://consumer.example/dsp",
}


class State(StrEnum):
    VERIFIED = "VERIFIED"


def test_a_message_is_built_with_python_names_and_written_with_those_of_the_protocol() -> None:
    message = ContractRequestMessage(
        consumer_pid="c", offer=OFFER, callback_address="https://consumer.example/dsp"
    )
    assert to_wire(message) == REQUEST


def test_an_identifier_is_sent_only_if_one_is_given() -> None:
    message = parse_message({**REQUEST, "@id": "urn:uuid:m"}, ContractRequestMessage)
    assert message.id == "urn:uuid:m"
    assert list(to_wire(message))[:3] == ["@context", "@type", "@id"]
    assert "@id" not in to_wire(parse_message(REQUEST, ContractRequestMessage))


def test_evidence_travels_as_a_json_literal_under_its_full_iri() -> None:
    evidence = {"proof": [{"@context": "anything", "cryptosuite": "eddsa-jcs-2022", "note": None}]}
    message = ContractRequestMessage(consumer_pid="c", offer=OFFER, callback_address="x", evidence=evidence)
    document = to_wire(message)
    assert document[EVIDENCE] == {"@type": "@json", "@value": evidence}
    assert parse_message(document, ContractRequestMessage).evidence == evidence


def tagged(text: str, language: str) -> dict[str, str]:
    return {"@value": text, "@language": language}


REASONS = [
    # reasons on the wire; what is said in German and in English
    ([tagged("Nein.", "de"), tagged("No.", "en")], "Nein.", "No."),
    ([tagged("No.", "en-GB"), tagged("Nein.", "DE-at")], "Nein.", "No."),
    (["No."], "No.", "No."),
    ([{"@value": "No."}], "No.", "No."),
    (["Code 7.", tagged("Nein.", "de"), tagged("No.", "en")], "Code 7.; Nein.", "Code 7.; No."),
    ([tagged("Nein.", "de")], "Nein.", "Nein."),
    ([tagged("Non.", "fr"), tagged("No.", "en")], "Non.; No.", "No."),
    ([tagged("Non.", "fr")], "Non.", "Non."),
    (["a", "b"], "a; b", "a; b"),
    ([{"strange": 1}], "{'strange': 1}", "{'strange': 1}"),
    ([{"@value": 5, "@language": ["de"]}], *["{'@value': 5, '@language': ['de']}"] * 2),
    (None, "refused", "refused"),
]


@pytest.mark.parametrize(("reasons", "german", "english"), REASONS)
def test_the_reasons_of_an_end_are_read_in_both_languages(reasons: Any, german: str, english: str) -> None:
    document = {
        "@context": [DSP],
        "@type": "ContractNegotiationTerminationMessage",
        "consumerPid": "c",
        "providerPid": "p",
        "code": "refused",
        **({} if reasons is None else {"reason": reasons}),
    }
    message = parse_message(document, ContractNegotiationTerminationMessage)
    assert message.said == {"de": german, "en": english}
    assert message.words == english


@pytest.mark.parametrize(
    ("texts", "sent"),
    [
        ({"de": "Nein.", "en": "No."}, [tagged("No.", "en"), tagged("Nein.", "de")]),
        ({"de": "Nein.", "en": "Nein."}, ["Nein."]),
    ],
)
def test_a_reason_is_sent_in_every_language_and_read_as_it_was_sent(texts: dict[str, str], sent: Any) -> None:
    message = ContractNegotiationTerminationMessage(
        consumer_pid="c", provider_pid="p", reason=reasons_in_languages(texts)
    )
    document = to_wire(message)
    assert document["reason"] == sent
    assert normalise_message(document) is document, "no connector has to translate it"
    assert parse_message(document, ContractNegotiationTerminationMessage).said == texts


def test_unknown_properties_are_kept_and_sent_on() -> None:
    unknown = {"https://other.example/a": [{"b": None}], "plain": 1}
    message = parse_message({**REQUEST, **unknown}, ContractRequestMessage)
    assert message.model_extra == unknown
    assert to_wire(message) == {**REQUEST, **unknown}


def test_unknown_properties_inside_a_message_are_kept_too() -> None:
    address = {"@type": "DataAddress", "endpointType": "x", "https://other.example/a": 1}
    document = {
        "@context": [DSP],
        "@type": "TransferStartMessage",
        "consumerPid": "c",
        "providerPid": "p",
        "dataAddress": address,
    }
    assert to_wire(parse_message(document, TransferStartMessage)) == document


def test_a_misspelt_name_is_an_error_where_we_build_a_message() -> None:
    with pytest.raises(ValidationError, match="consumerpid"):
        ContractRequestMessage(consumerpid="c", offer=OFFER, callback_address="x")  # type: ignore[call-arg]


def test_a_message_that_breaks_the_protocol_cannot_be_built() -> None:
    with pytest.raises(ValidationError, match="exactly one of callbackAddress"):
        ContractRequestMessage(consumer_pid="c", offer=OFFER)
    with pytest.raises(ValidationError, match=r"\.permission must have at least one item"):
        ContractRequestMessage(consumer_pid="c", offer={**OFFER, "permission": []}, callback_address="x")


def test_an_agreement_that_we_send_is_dated_while_one_that_we_receive_need_not_be() -> None:
    agreement = {**OFFER, "@type": "Agreement", "assigner": "did:web:p", "assignee": "did:web:c"}
    document = {
        "@context": [DSP],
        "@type": "ContractAgreementMessage",
        "consumerPid": "c",
        "providerPid": "p",
        "agreement": agreement,
    }
    assert parse_message(document, ContractAgreementMessage).agreement == agreement
    with pytest.raises(ValidationError, match=r"\.agreement\.timestamp is required"):
        ContractAgreementMessage(consumer_pid="c", provider_pid="p", agreement=agreement)


def test_a_state_may_be_given_as_the_member_of_an_enumeration() -> None:
    message = ContractNegotiation(consumer_pid="c", provider_pid="p", state=State.VERIFIED)
    assert type(message.state) is str
    assert to_wire(message)["state"] == "VERIFIED"


def test_a_message_cannot_be_changed_and_its_document_is_a_copy() -> None:
    message = parse_message(REQUEST, ContractRequestMessage)
    with pytest.raises(ValidationError, match="frozen"):
        message.consumer_pid = "other"  # type: ignore[misc]
    document: Any = to_wire(message)
    document["offer"]["permission"].append({"action": "transfer"})
    assert to_wire(message) == REQUEST


def test_reading_does_not_change_the_document() -> None:
    document: Any = {**REQUEST, "offer": {**OFFER, "permission": {"action": "use", "duty": None}}}
    message = parse_message(document, ContractRequestMessage)
    assert document["offer"]["permission"] == {"action": "use", "duty": None}
    assert message.offer["permission"] == [{"action": "use"}]


def test_a_refusal_names_the_place_and_the_rule_in_one_sentence() -> None:
    document = {**REQUEST, "offer": {**OFFER, "permission": [{"action": "use"}, {"action": 5}]}}
    with pytest.raises(InvalidMessageError) as caught:
        parse_message(document, ContractRequestMessage)
    assert str(caught.value) == "$.offer.permission[1].action must be a string that is not empty."
    assert caught.value.path == "$.offer.permission[1].action"
    assert caught.value.rule == "must be a string that is not empty"


def test_a_data_address_with_a_token_is_written_in_both_known_forms() -> None:
    address = bearer_data_address("https://data.example/t", "token")
    assert address.value_of("endpoint") == "https://data.example/t"
    assert address.value_of("authorization") == "token"
    assert address.value_of("authType") == "bearer"
    properties = {item.name: item.value for item in address.endpoint_properties or ()}
    assert properties["authorization"] == "token"
    assert properties["https://w3id.org/edc/v0.0.1/ns/endpoint"] == "https://data.example/t"
    assert properties["https://w3id.org/edc/v0.0.1/ns/authorization"] == "token"


def test_the_version_document_has_neither_context_nor_type() -> None:
    document: dict[str, Any] = {
        "protocolVersions": [{"version": "2025-1", "path": "/dsp/2025-1", "binding": "HTTPS"}]
    }
    assert to_wire(parse_message(document, VersionDocument)) == document
    document["protocolVersions"][0]["binding"] = "HTTP"
    with pytest.raises(InvalidMessageError, match=r"\$\.protocolVersions\[0\]\.binding"):
        parse_message(document, VersionDocument)


def test_a_data_service_in_a_catalog_is_named_or_described() -> None:
    service = {"@type": "DataService", "@id": "s", "endpointURL": "https://provider.example"}
    offer = {"@type": "Offer", "@id": "o", "permission": [{"action": "use"}]}
    for reference in ("s", service):
        dataset = {
            "@type": "Dataset",
            "@id": "d",
            "hasPolicy": [offer],
            "distribution": [
                {"@type": "Distribution", "format": "HttpData-PULL", "accessService": reference}
            ],
        }
        document = {
            "@context": [DSP],
            "@type": "Catalog",
            "@id": "k",
            "participantId": "p",
            "dataset": [dataset],
        }
        assert to_wire(parse_message(document, Catalog)) == document
