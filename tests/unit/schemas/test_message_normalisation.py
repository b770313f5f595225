"""Every JSON-LD spelling of a message becomes the one that the rest reads."""

import copy
import json
from typing import Any

import pytest

from schemas.jsonld import (
    JsonLdError,
    UnknownContextError,
    compact,
    context_document,
    expand,
    normalise_message,
)
from schemas.messages import ContractRequestMessage, InvalidMessageError, parse_message

DSP = "https://w3id.org/dspace/2025/1/context.jsonld"
EDC = "https://w3id.org/edc/dspace/v0.0.1"
PROFILE = "https://w3id.org/allmende/policy/v1"
EVIDENCE = "https://w3id.org/allmende/v1#evidence"

NAMESPACES = {"dspace:": "https://w3id.org/dspace/2025/1/", "odrl:": "http://www.w3.org/ns/odrl/2/"}


def limit(left: str, operator: str, right: object) -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


REQUEST: dict[str, Any] = {
    "@context": [DSP],
    "@id": "urn:uuid:m",
    "@type": "ContractRequestMessage",
    "consumerPid": "urn:uuid:c",
    "offer": {
        "@type": "Offer",
        "@id": "ACN0101",
        "target": "ADATASET",
        "profile": PROFILE,
        "permission": [
            {
                "action": PROFILE + "#query",
                "constraint": [
                    limit("purpose", "isA", PROFILE + "#LoadForecasting"),
                    limit("dateTime", "lteq", "2027-12-31T23:59:59Z"),
                    limit("count", "lteq", "20"),
                    limit(PROFILE + "#outputKind", "isAnyOf", ["metrics", "model"]),
                ],
            }
        ],
        "prohibition": [{"action": "reproduce"}],
    },
    "callbackAddress": "https://consumer.example/dsp",
}


def test_a_message_in_normal_form_is_returned_as_it_is() -> None:
    assert normalise_message(REQUEST) is REQUEST


def test_edcs_context_beside_that_of_the_protocol_changes_nothing() -> None:
    document = {**REQUEST, "@context": [DSP, EDC]}
    assert normalise_message(document) is document


def with_offer(**changes: object) -> dict[str, Any]:
    return {**REQUEST, "offer": {**REQUEST["offer"], **changes}}


def respelt() -> dict[str, dict[str, Any]]:
    permission = copy.deepcopy(REQUEST["offer"]["permission"][0])
    permission["constraint"][0] = {
        "odrl:leftOperand": {"@id": "purpose"},
        "odrl:operator": {"@id": "odrl:isA"},
        "odrl:rightOperand": PROFILE + "#LoadForecasting",
    }
    (node,) = expand(REQUEST)
    abbreviated = json.dumps(node)
    for prefix, namespace in NAMESPACES.items():
        abbreviated = abbreviated.replace(namespace, prefix)
    without_pid = {key: value for key, value in REQUEST.items() if key != "consumerPid"}
    return {
        "a context that is no array": {**REQUEST, "@context": DSP},
        "prefixes everywhere": {"@context": [DSP], **json.loads(abbreviated)},
        "a type in an array": {**REQUEST, "@type": ["ContractRequestMessage"]},
        "a prefixed property": {**without_pid, "dspace:consumerPid": {"@id": "urn:uuid:c"}},
        "a property as an IRI": {
            **without_pid,
            "https://w3id.org/dspace/2025/1/consumerPid": {"@id": "urn:uuid:c"},
        },
        "an identifier as an object": {**REQUEST, "consumerPid": {"@id": "urn:uuid:c"}},
        "a nested prefixed type": with_offer(**{"@type": "odrl:Offer"}),
        "a nested type as an IRI": with_offer(**{"@type": "http://www.w3.org/ns/odrl/2/Offer"}),
        "prefixed constraints": with_offer(permission=[permission]),
        "a string as a value object": {**REQUEST, "callbackAddress": {"@value": REQUEST["callbackAddress"]}},
        "our policy context": {**REQUEST, "@context": [DSP, PROFILE]},
        "the expanded form": {"@context": [DSP], **node},
        "a graph of one": {"@context": [DSP], "@graph": [REQUEST]},
        "a nested context": with_offer(**{"@context": [DSP]}),
    }


@pytest.mark.parametrize("document", respelt().values(), ids=respelt().keys())
def test_every_other_spelling_becomes_the_normal_form(document: dict[str, Any]) -> None:
    assert normalise_message(document) == REQUEST


@pytest.mark.parametrize(
    "key", ["inheritFrom", "odrl:inheritFrom", "http://www.w3.org/ns/odrl/2/inheritFrom"]
)
@pytest.mark.parametrize("value", ["urn:p", {"@id": "urn:p"}, ["urn:p", "urn:q"]])
@pytest.mark.parametrize("context", [[DSP], DSP, [DSP, PROFILE]], ids=["plain", "translated", "our context"])
def test_that_a_policy_takes_over_rules_is_never_lost(key: str, value: object, context: object) -> None:
    message: Any = normalise_message({**with_offer(**{key: value}), "@context": context})
    offer = message["offer"]
    assert offer.get("inheritFrom", offer.get("http://www.w3.org/ns/odrl/2/inheritFrom")) == value


def test_two_ways_to_say_what_a_policy_takes_over_are_both_kept() -> None:
    document = {**with_offer(**{"inheritFrom": "urn:p", "odrl:inheritFrom": "urn:q"}), "@context": DSP}
    message: Any = normalise_message(document)
    assert sorted(message["offer"]["http://www.w3.org/ns/odrl/2/inheritFrom"]) == ["urn:p", "urn:q"]


def test_what_is_inside_a_json_literal_keeps_its_names() -> None:
    literal = {"@type": "@json", "@value": {"inheritFrom": "urn:p"}}
    message: Any = normalise_message({**REQUEST, "@context": DSP, EVIDENCE: literal})
    assert message[EVIDENCE] == literal


def test_terms_beside_a_type_that_does_not_define_them_mean_nothing() -> None:
    message = normalise_message({**REQUEST, "@type": "dspace:ContractRequestMessage"})
    with pytest.raises(InvalidMessageError, match=r"\$\.consumerPid is required"):
        parse_message(message, ContractRequestMessage)


def test_abbreviations_of_terms_without_a_short_name_become_full_iris() -> None:
    document = with_offer(
        permission=[{"action": "odrl:read", "constraint": [limit("odrl:purpose", "odrl:eq", "x")]}]
    )
    message: Any = normalise_message(document)
    assert message["offer"]["permission"] == [
        {
            "action": "http://www.w3.org/ns/odrl/2/read",
            "constraint": [limit("http://www.w3.org/ns/odrl/2/purpose", "eq", "x")],
        }
    ]


def test_short_names_of_our_policy_context_become_full_iris() -> None:
    rule = {"action": "query", "constraint": [limit("queryClass", "eq", "aggregate")]}
    document = {**with_offer(permission=[rule]), "@context": [DSP, PROFILE]}
    message: Any = normalise_message(document)
    assert message["offer"]["permission"] == [
        {"action": PROFILE + "#query", "constraint": [limit(PROFILE + "#queryClass", "eq", "aggregate")]}
    ]


def test_identifiers_that_are_no_iris_are_never_completed() -> None:
    message: Any = normalise_message({**REQUEST, "@context": DSP})
    assert message["offer"]["@id"] == "ACN0101"
    assert message["offer"]["target"] == "ADATASET"


def test_an_identifier_is_never_abbreviated() -> None:
    target = "http://purl.org/dc/terms/dataset"
    message: Any = normalise_message({**with_offer(target=target), "@context": DSP})
    assert message["offer"]["target"] == target


def test_evidence_survives_both_ways_untouched() -> None:
    evidence = {
        "@type": "@json",
        "@value": {
            "@context": ["https://www.w3.org/ns/credentials/v2"],
            "b": [1, None, {"odrl:x": []}],
            "a": 1.5,
        },
    }
    plain = {**REQUEST, EVIDENCE: evidence}
    assert normalise_message(plain) is plain
    assert normalise_message({**plain, "@context": DSP}) == plain


def test_titles_under_full_iris_stay_under_full_iris() -> None:
    catalog = {
        "@context": [DSP],
        "@type": "Catalog",
        "@id": "k",
        "participantId": "did:web:p",
        "http://purl.org/dc/terms/title": [{"@value": "Lastprofile", "@language": "de"}, "x"],
    }
    assert normalise_message(catalog) is catalog
    prefixed = {**catalog, "dct:title": catalog["http://purl.org/dc/terms/title"]}
    del prefixed["http://purl.org/dc/terms/title"]
    assert normalise_message(prefixed) == catalog


def test_a_document_without_a_context_is_left_for_the_reader_of_messages() -> None:
    document: dict[str, Any] = {"protocolVersions": []}
    assert normalise_message(document) is document


def test_a_query_of_edc_is_understood() -> None:
    document = {
        "@context": [DSP, EDC],
        "@type": ["CatalogRequestMessage"],
        "filter": {"@type": "QuerySpec", "offset": 0, "limit": 50, "filterExpression": []},
    }
    message: Any = normalise_message(document)
    (query,) = message["filter"]
    assert query["https://w3id.org/edc/v0.0.1/ns/limit"] == 50


def test_compacting_keeps_the_context_an_array() -> None:
    (node,) = expand(REQUEST)
    assert compact(node, DSP)["@context"] == [DSP]
    assert compact(node, [DSP, EDC])["@context"] == [DSP, EDC]
    assert compact(REQUEST, DSP) == REQUEST


def test_a_type_does_not_inherit_the_terms_of_another_one() -> None:
    document = {"@context": [DSP], "@type": "Dataset", "@id": "d", "callbackAddress": "x", "offer": "y"}
    assert expand(document) == [
        {"@id": "d", "@type": ["http://www.w3.org/ns/dcat#Dataset"]},
    ]


def test_unknown_contexts_are_named() -> None:
    for attempt in (
        lambda: context_document("https://other.example/"),
        lambda: compact(REQUEST, "https://other.example/"),
        lambda: normalise_message({**REQUEST, "@context": [DSP, "https://other.example/"]}),
    ):
        with pytest.raises(UnknownContextError, match=r"https://other\.example/"):
            attempt()


def test_what_is_no_json_ld_is_refused_with_its_cause() -> None:
    with pytest.raises(JsonLdError, match=r"not valid JSON-LD \(.+\)\.$"):
        normalise_message({**REQUEST, "@context": DSP, "@id": 5})
