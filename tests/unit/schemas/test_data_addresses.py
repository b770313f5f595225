"""A data address in the protocol's form and in EDC's: where to go, and what to show there."""

import pytest

from schemas.messages import DataAddress, bearer_data_address, parse_message, to_wire

EDC = "https://w3id.org/edc/v0.0.1/ns/"


def address(endpoint: str | None = None, **properties: str) -> DataAddress:
    named = [{"@type": "EndpointProperty", "name": key, "value": value} for key, value in properties.items()]
    document = {
        "@type": "DataAddress",
        "endpointType": "https://w3id.org/idsa/v4.1/HTTP",
        **({"endpoint": endpoint} if endpoint else {}),
        **({"endpointProperties": named} if named else {}),
    }
    return parse_message(document, DataAddress)


@pytest.mark.parametrize(
    ("stated", "endpoint", "header"),
    [
        (address("http://a/x", authorization="t"), "http://a/x", "Bearer t"),
        (address(**{EDC + "endpoint": "http://b/x", EDC + "authorization": "t"}), "http://b/x", "t"),
        (bearer_data_address("http://c/x", "t"), "http://c/x", "t"),
        (address("http://d/x"), "http://d/x", None),
    ],
)
def test_edc_wants_its_token_alone_and_everybody_else_after_bearer(
    stated: DataAddress, endpoint: str, header: str | None
) -> None:
    assert (stated.value_of("endpoint"), stated.authorization) == (endpoint, header)


def test_our_address_has_both_forms() -> None:
    names = {one["name"] for one in to_wire(bearer_data_address("http://a/x", "t"))["endpointProperties"]}
    assert names == {
        "authorization",
        "authType",
        EDC + "endpoint",
        EDC + "endpointType",
        EDC + "authorization",
    }


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (address("http://a/sink"), "http://a/sink"),
        (address(**{EDC + "baseUrl": "http://b/sink"}), "http://b/sink"),
        (address(), None),
    ],
)
def test_a_push_goes_to_the_endpoint_or_to_edcs_base_url(stated: DataAddress, expected: str | None) -> None:
    assert stated.destination == expected
