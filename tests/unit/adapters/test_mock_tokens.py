"""Participants that are believed without proof: only those that are listed, and only on this machine."""

import json
from pathlib import Path

import pytest

from connector.adapters.mock_tokens import MockToken, MockTokens
from connector.ports import IdentityRefusedError, Participant
from connector.settings import ConfigurationError, read_settings

EDC = MockToken("edc", "http://localhost:19194/protocol/2025-1", "eu")


class _Others:
    """Answers for everybody else, and remembers who asked."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    async def authorization(self, audience: str) -> str:
        self.asked.append(audience)
        return "Bearer signed"

    async def verify(self, header: str | None) -> Participant:
        self.asked.append(header)
        return Participant("did:web:other", None)


async def test_our_token_is_what_edc_expects() -> None:
    others = _Others()
    header = await MockTokens([EDC], "did:web:us", others).authorization("edc")
    assert json.loads(header) == {
        "region": "eu",
        "audience": "http://localhost:19194/protocol/2025-1",
        "clientId": "did:web:us",
    }
    assert others.asked == []


async def test_edcs_token_names_the_participant() -> None:
    stated = '{"region":"eu","audience":"http://localhost:8080/dsp/2025-1","clientId":"edc"}'
    assert await MockTokens([EDC], "did:web:us", _Others()).verify(stated) == Participant(
        "edc", None, "http://localhost:19194/protocol/2025-1"
    )


@pytest.mark.parametrize(
    "header",
    [
        '{"clientId":"somebody"}',
        '{"clientId":["edc"]}',
        '{"clientid":"edc"}',
        '{"clientId":"nobody","clientId":"edc"}',
        '{"clientId":"edc"',
        "{}",
        '{"clientId":"edc","region":"' + "x" * 2000 + '"}',
    ],
)
async def test_a_token_that_names_nobody_who_is_listed_is_refused(header: str) -> None:
    others = _Others()
    with pytest.raises(IdentityRefusedError):
        await MockTokens([EDC], "did:web:us", others).verify(header)
    assert others.asked == []


@pytest.mark.parametrize("header", [None, "", "Bearer abc", "edc"])
async def test_every_other_token_goes_to_the_real_identity(header: str | None) -> None:
    others = _Others()
    assert (await MockTokens([EDC], "did:web:us", others).verify(header)).did == "did:web:other"
    assert await MockTokens([EDC], "did:web:us", others).authorization("did:web:x") == "Bearer signed"
    assert others.asked == [header, "did:web:x"]


async def test_where_nobody_is_listed_json_is_not_even_read() -> None:
    others = _Others()
    await MockTokens([], "did:web:us", others).verify('{"clientId":"edc"}')
    assert others.asked == ['{"clientId":"edc"}']


def _configuration(directory: Path, host: str, more: str) -> Path:
    file = directory / "allmende.toml"
    file.write_text(
        f'participant_name = "Us"\npublic_url = "https://daten.example.de"\ndata_dir = "."\n{more}\n'
        f'[public]\nhost = "{host}"\nport = 8080\n'
        '[[mock_tokens]]\nparticipant = "edc"\naddress = "http://localhost:19194/protocol/2025-1"\n'
    )
    return file


def test_they_are_refused_where_other_machines_reach_the_listener(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"mock_tokens are refused .* set unsafe_mock_tokens"):
        read_settings(_configuration(tmp_path, "192.0.2.1", ""))


@pytest.mark.parametrize(("host", "more"), [("127.0.0.1", ""), ("192.0.2.1", "unsafe_mock_tokens = true")])
def test_they_are_allowed_on_this_machine_or_where_it_is_spelled_out(
    tmp_path: Path, host: str, more: str
) -> None:
    settings = read_settings(_configuration(tmp_path, host, more))
    assert [entry.participant for entry in settings.mock_tokens] == ["edc"]
