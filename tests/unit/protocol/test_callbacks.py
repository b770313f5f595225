"""Where a counterparty may be called back."""

import pytest

from connector.protocol.callbacks import CallbackRefusedError, origin_of, require_own_callback

ORIGINS = {
    "https://daten.example.de/dsp": "https://daten.example.de:443",
    "HTTPS://Daten.Example.DE:443": "https://daten.example.de:443",
    "http://localhost:8081/dsp/2025-1": "http://localhost:8081",
    "https://[fd00::1]:8443/": "https://[fd00::1]:8443",
    "https://10.0.0.1": "https://10.0.0.1:443",
}
NONE = (
    "",
    "daten.example.de",
    "//daten.example.de/dsp",
    "/dsp",
    "ftp://daten.example.de/",
    "file:///etc/passwd",
    "https:///dsp",
    "https://user@daten.example.de/",
    "https://user:secret@daten.example.de/",
    "https://daten.example.de:port/",
    "https://daten.example.de:99999/",
    "https://[::1/",
    "https://daten.example.de /",
    "https://daten.example.de\\@other.example/",
    "not an address",
)


@pytest.mark.parametrize(("address", "origin"), ORIGINS.items())
def test_an_address_has_one_origin(address: str, origin: str) -> None:
    assert origin_of(address) == origin


@pytest.mark.parametrize("address", NONE)
def test_what_is_no_http_address_has_none_and_is_never_called_back(address: str) -> None:
    assert origin_of(address) is None
    for addresses in (None, (), (address,)):
        with pytest.raises(CallbackRefusedError, match="no HTTP address"):
            require_own_callback(address, addresses)


OWN = ("https://daten.example.de/.well-known/did.json", "https://dsp.example.de:8443/dsp/2025-1/catalog")


@pytest.mark.parametrize("callback", ["https://daten.example.de", "https://dsp.example.de:8443/elsewhere/"])
def test_a_participant_is_called_back_where_its_own_services_are(callback: str) -> None:
    require_own_callback(callback, OWN)


@pytest.mark.parametrize(
    "callback",
    [
        "http://daten.example.de/",
        "https://daten.example.de:8443/",
        "https://dsp.example.de/",
        "https://daten.example.de.evil.example/",
        "https://evil.example/https://daten.example.de/",
        "https://evil.example#https://daten.example.de/",
        "https://sub.daten.example.de/",
    ],
)
def test_a_participant_is_called_back_nowhere_else(callback: str) -> None:
    with pytest.raises(CallbackRefusedError, match="not of an origin") as caught:
        require_own_callback(callback, OWN)
    assert "https://daten.example.de:443" in str(caught.value)
    with pytest.raises(CallbackRefusedError, match="none"):
        require_own_callback(callback, ())


def test_a_participant_without_known_addresses_says_itself_where_it_is() -> None:
    require_own_callback("http://localhost:8083", None)
