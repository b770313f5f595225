"""Credentials, lists of states, and what credentials prove, as the specifications have them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.evidence.credentials import (
    Credential,
    StatusEntry,
    read_credential,
    read_presentation,
    write_presentations,
)
from connector.evidence.errors import CredentialError
from connector.evidence.status_lists import LEAST_ENTRIES, read_status_list, write_status_list
from connector.evidence.trusted_issuers import TrustedIssuer, attested
from policies.facts import Partner, joined

ISSUER, HOLDER = "did:web:issuer.example", "did:web:holder.example"
# Bitstring Status List 1.0, section 3.2: 131,072 entries, none of them set
EMPTY_LIST = "uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA"


def version_two(**changes: Any) -> dict[str, Any]:
    """After the example of VCDM 2.0, section 4."""
    return {
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "id": "http://university.example/credentials/3732",
        "type": ["VerifiableCredential", "MembershipCredential"],
        "issuer": {"id": ISSUER, "name": "An issuer"},
        "validFrom": "2026-01-01T00:00:00Z",
        "validUntil": "2027-01-01T01:00:00+01:00",
        "credentialSubject": {"id": HOLDER, "role": "https://issuer.example/#a"},
    } | changes


def version_one() -> dict[str, Any]:
    """After VCDM 1.1, section 6.3.1: the names of the token stand for those of the credential."""
    return {
        "iss": ISSUER,
        "sub": HOLDER,
        "jti": "urn:uuid:1",
        "nbf": 1_767_225_600,
        "exp": 1_798_761_600,
        "vc": {
            "@context": ["https://www.w3.org/2018/credentials/v1"],
            "type": ["VerifiableCredential", "MembershipCredential"],
            "issuer": ISSUER,
            "credentialSubject": {"id": HOLDER, "role": "https://issuer.example/#a"},
        },
    }


@pytest.mark.parametrize(
    ("claims", "identifier", "enveloped"),
    [
        (version_two(), "http://university.example/credentials/3732", True),
        (version_one(), "urn:uuid:1", False),
    ],
    ids=["data model 2.0", "data model 1.1"],
)
def test_a_credential_says_the_same_in_both_data_models(
    claims: dict[str, Any], identifier: str, *, enveloped: bool
) -> None:
    assert read_credential(claims) == Credential(
        identifier=identifier,
        issuer=ISSUER,
        subject=HOLDER,
        types=("VerifiableCredential", "MembershipCredential"),
        claims={"role": "https://issuer.example/#a"},
        enveloped=enveloped,
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        valid_until=datetime(2027, 1, 1, tzinfo=UTC),
    )


def test_the_narrower_of_two_times_counts() -> None:
    claims = version_one()
    claims["vc"] |= {"issuanceDate": "2026-06-01T00:00:00Z", "expirationDate": "2026-07-01T00:00:00Z"}
    credential = read_credential(claims)
    assert credential.valid_from == datetime(2026, 6, 1, tzinfo=UTC)
    assert credential.valid_until == datetime(2026, 7, 1, tzinfo=UTC)
    credential.require_current(datetime(2026, 6, 1, tzinfo=UTC))
    with pytest.raises(CredentialError, match="only from"):
        credential.require_current(datetime(2026, 5, 31, 23, 59, tzinfo=UTC))
    with pytest.raises(CredentialError, match="expired") as ended:
        credential.require_current(datetime(2026, 7, 1, tzinfo=UTC))
    assert ended.value.reason["de"] == "Der Nachweis ist am 2026-07-01T00:00:00+00:00 abgelaufen."


def test_a_credential_without_a_name_gets_one_that_follows_from_its_content() -> None:
    claims = version_two()
    del claims["id"]
    first, second = read_credential(claims), read_credential(claims)
    assert first.identifier == second.identifier
    assert first.identifier.startswith("urn:sha256:")


def test_states_are_read_in_both_forms() -> None:
    entry = {
        "id": "https://issuer.example/status/3#94567",
        "type": "BitstringStatusListEntry",
        "statusPurpose": "revocation",
        "statusListIndex": "94567",
        "statusListCredential": "https://issuer.example/status/3",
    }
    older = entry | {"type": "StatusList2021Entry", "statusPurpose": "suspension", "statusListIndex": 5}
    assert read_credential(version_two(credentialStatus=[entry, older])).statuses == (
        StatusEntry("revocation", "https://issuer.example/status/3", 94567),
        StatusEntry("suspension", "https://issuer.example/status/3", 5),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"type": None},
        {"type": []},
        {"type": ["VerifiableCredential", 7]},
        {"issuer": None},
        {"issuer": {"name": "nobody"}},
        {"iss": "did:web:other.example"},
        {"sub": "did:web:other.example"},
        {"credentialSubject": None},
        {"credentialSubject": []},
        {"credentialSubject": {}},
        {"validFrom": "yesterday"},
        {"validUntil": 7},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 10**30},
        {"credentialStatus": "revoked"},
        {"credentialSchema": {"id": "https://issuer.example/schema.json"}},
        {"vc": "nothing"},
    ],
    ids=str,
)
def test_a_malformed_credential_is_refused_with_a_sentence(changes: dict[str, Any]) -> None:
    with pytest.raises(CredentialError, match=r"\.$"):
        read_credential(version_two(**changes))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "vc",
                        "id",
                        "type",
                        "issuer",
                        "iss",
                        "credentialSubject",
                        "credentialStatus",
                        "exp",
                        "validFrom",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_a_token_states_it_is_a_credential_or_refused(value: Any) -> None:
    claims = value if isinstance(value, dict) else {"vc": value}
    try:
        credential = read_credential(claims)
    except CredentialError:
        return
    assert credential.issuer
    assert credential.subject


def test_presentations_never_mix_the_data_models_and_are_read_again() -> None:
    held = {"a.a.a": read_credential(version_two()), "b.b.b": read_credential(version_one())}
    older, newer = write_presentations(held)
    assert read_presentation(older) == ("b.b.b",)
    assert read_presentation(newer) == ("a.a.a",)
    assert older["vp"] == {
        "@context": ["https://www.w3.org/2018/credentials/v1"],
        "type": ["VerifiablePresentation"],
        "verifiableCredential": ["b.b.b"],
    }
    # Securing Verifiable Credentials using JOSE and COSE, section 3.1.2
    assert newer["verifiableCredential"] == [
        {
            "@context": "https://www.w3.org/ns/credentials/v2",
            "id": "data:application/vc+jwt,a.a.a",
            "type": "EnvelopedVerifiableCredential",
        }
    ]
    assert list(write_presentations({})) == []


# lists of states


def list_credential(encoded: str, purpose: Any = "revocation") -> Credential:
    subject = {"id": "https://issuer.example/status/3#list", "statusPurpose": purpose, "encodedList": encoded}
    return read_credential(
        version_two(type=["VerifiableCredential", "BitstringStatusListCredential"], credentialSubject=subject)
    )


@pytest.mark.parametrize("encoded", [EMPTY_LIST, EMPTY_LIST.removeprefix("u")], ids=["Bitstring", "2021"])
def test_the_example_of_the_specification_is_an_empty_list(encoded: str) -> None:
    states = read_status_list(list_credential(encoded))
    assert len(states.bits) * 8 == 131_072
    assert not any(states.bits)
    assert not states.is_set(0, "revocation")
    assert not states.is_set(131_071, "revocation")
    with pytest.raises(CredentialError, match="no place"):
        states.is_set(131_072, "revocation")
    with pytest.raises(CredentialError, match="not about"):
        states.is_set(0, "suspension")


def test_the_first_place_is_the_highest_bit_of_the_first_byte() -> None:
    written = write_status_list(
        address="https://issuer.example/1", issuer=ISSUER, purpose="revocation", taken_back={0, 9}
    )
    states = read_status_list(read_credential(written))
    assert states.bits[:2] == bytes([0b1000_0000, 0b0100_0000])


@given(st.sets(st.integers(0, LEAST_ENTRIES - 1), max_size=40), st.integers(0, LEAST_ENTRIES - 1))
def test_what_is_taken_back_is_set_and_nothing_else(taken_back: set[int], other: int) -> None:
    written = write_status_list(
        address="https://issuer.example/1", issuer=ISSUER, purpose="revocation", taken_back=taken_back
    )
    states = read_status_list(read_credential(written))
    assert all(states.is_set(place, "revocation") for place in taken_back)
    assert states.is_set(other, "revocation") == (other in taken_back)


# what credentials prove

RULE = TrustedIssuer(
    ISSUER,
    "MembershipCredential",
    {"memberships": frozenset({"https://issuer.example/#members"})},
    {"roles": "role", "organisation": "organisation", "seat": "seat"},
)


def stating(**claims: Any) -> Credential:
    return read_credential(version_two(credentialSubject={"id": HOLDER, **claims}))


def test_the_credentials_of_an_issuer_prove_what_it_is_trusted_for() -> None:
    known = attested([stating(role=["urn:a", "urn:b"], organisation="urn:o", seat="DE11")], [RULE])
    assert known == Partner(
        organisation="urn:o",
        memberships=frozenset({"https://issuer.example/#members"}),
        roles=frozenset({"urn:a", "urn:b"}),
        seat="DE11",
        complete=False,
    )


def test_two_credentials_that_contradict_each_other_prove_neither() -> None:
    known = attested([stating(organisation="urn:a"), stating(organisation="urn:b", role="urn:r")], [RULE])
    assert known is not None
    assert known.organisation is None
    assert known.roles == {"urn:r"}


def test_credentials_of_others_or_of_other_types_prove_nothing() -> None:
    other = read_credential(version_two(issuer="did:web:other.example"))
    diploma = read_credential(version_two(type=["VerifiableCredential", "Diploma"]))
    assert attested([other, diploma], [RULE]) is None
    assert attested([stating()], []) is None


def test_the_providers_own_word_comes_first_and_only_its_register_is_complete() -> None:
    stated = Partner(organisation="urn:own", memberships=frozenset({"urn:m"}))
    proven = Partner(organisation="urn:other", seat="DE", roles=frozenset({"urn:r"}), complete=False)
    assert joined(stated, proven) == Partner(
        organisation="urn:own",
        memberships=frozenset({"urn:m"}),
        roles=frozenset({"urn:r"}),
        seat="DE",
        complete=True,
    )
    assert joined(None, proven) == proven
    assert joined(stated, None) == stated
    assert joined(None, None) is None
