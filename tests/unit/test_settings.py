"""The configuration: what is read, what wins, and what is refused by name."""

import os
import string
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.initialising import initialise
from connector.settings import ConfigurationError, read_settings, require_address, require_name
from policies.facts import Partner

SMALLEST = """\
participant_name = "Stadtwerke Rheinaue"
public_url = "https://daten.example.de"
data_dir = "data"
"""


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("ALLMENDE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "allmende.toml"
    path.write_text(SMALLEST)
    return path


def test_what_is_not_set_has_the_documented_value(file: Path) -> None:
    read = read_settings(file)
    assert (read.public.host, read.public.port) == ("127.0.0.1", 8080)
    assert (read.management.host, read.management.port) == ("127.0.0.1", 8081)
    assert (read.require_signatures, read.unsafe_loopback_http) == (False, False)
    assert read.store_url == f"sqlite:///{file.parent}/data/allmende.sqlite"


def test_a_relative_data_directory_lies_beside_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings(Path("allmende.toml")).data_dir == tmp_path / "data"
    monkeypatch.setenv("ALLMENDE_DATA_DIR", "/srv/allmende")
    assert read_settings(file).data_dir == Path("/srv/allmende")


def test_half_a_section_keeps_the_other_half(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(SMALLEST + '[public]\nhost = "0.0.0.0"\n')
    monkeypatch.setenv("ALLMENDE_MANAGEMENT__HOST", "0.0.0.0")  # noqa: S104 - a container's setting
    read = read_settings(file)
    assert (read.public.host, read.public.port) == ("0.0.0.0", 8080)  # noqa: S104 - likewise
    assert (read.management.host, read.management.port) == ("0.0.0.0", 8081)  # noqa: S104 - likewise


def test_the_environment_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(SMALLEST + '[management]\nhost = "127.0.0.1"\nport = 9000\n')
    monkeypatch.setenv("ALLMENDE_MANAGEMENT__PORT", "9001")
    monkeypatch.setenv("allmende_participant_name", "Anders")
    read = read_settings(file)
    assert (read.management.host, read.management.port) == ("127.0.0.1", 9001)
    assert read.participant_name == "Anders"


@pytest.mark.parametrize("address", ["https://a.example/", "https://a.example"])
def test_an_address_has_no_slash_at_its_end(
    address: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLMENDE_PUBLIC_URL", address)
    assert read_settings(file).public_url == "https://a.example"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (SMALLEST + "colour = 3\n", "colour: is not a setting"),
        (SMALLEST + "[public]\nport = 8080\nprot = 1\n", "public.prot: is not a setting"),
        (SMALLEST + "[public]\nport = 0\n", "public.port: "),
        (SMALLEST + "[public]\nport = 65536\n", "public.port: "),
        (SMALLEST + '[public]\nport = "http"\n', "public.port: "),
        (SMALLEST + '[public]\nport = 8080\nhost = ""\n', "public.host: "),
        (SMALLEST + "public = 8080\n", "public: "),
        (SMALLEST + 'require_signatures = "perhaps"\n', "require_signatures: "),
        (SMALLEST + 'database_url = "postgresql://x"\n', "database_url: must begin with sqlite:/// or "),
        (SMALLEST.replace("https://daten", "ftp://daten"), "public_url: must be an address such as "),
        (SMALLEST.replace("https://daten.example.de", "https://10.0.0.1"), "public_url: has no did:web name"),
        (SMALLEST.replace("https://daten.example.de", "https://["), "public_url: is malformed"),
        (SMALLEST.replace("Stadtwerke Rheinaue", ""), "participant_name: "),
        (SMALLEST.replace("Stadtwerke Rheinaue", "x" * 201), "participant_name: "),
        ('public_url = "https://a.example"\ndata_dir = "."\n', "participant_name: is missing"),
        ("", "participant_name: is missing"),
        ("participant_name = = 1", "is not valid TOML"),
        (SMALLEST + SMALLEST, "is not valid TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(text: str, wanted: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        read_settings(file)
    assert str(refused.value).startswith(f"{file}")
    assert wanted in str(refused.value)


def test_a_file_that_is_no_text_is_no_toml(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="no UTF-8 text"):
        read_settings(file)


def test_a_missing_file_comes_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="allmende init"):
        read_settings(tmp_path / "allmende.toml")
    with pytest.raises(ConfigurationError, match="allmende init"):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("ALLMENDE_COLOUR", "3", "ALLMENDE_COLOUR is not a setting"),
        ("allmende_colour", "3", "allmende_colour is not a setting"),
        ("ALLMENDE_PUBLIC_PORT", "8080", "ALLMENDE_PUBLIC_PORT is not a setting"),
        ("ALLMENDE_PUBLIC__PROT", "8080", "ALLMENDE_PUBLIC__PROT is not a setting"),
        ("ALLMENDE_PUBLIC__PORT__X", "1", "ALLMENDE_PUBLIC__PORT__X is not a setting"),
        ("ALLMENDE_DATA_DIR__X", "1", "ALLMENDE_DATA_DIR__X is not a setting"),
        ("ALLMENDE_PUBLIC__PORT", "eighty", "The environment variable ALLMENDE_PUBLIC__PORT: "),
        ("ALLMENDE_PUBLIC", "8080", "The environment variable ALLMENDE_PUBLIC: "),
        ("ALLMENDE_PUBLIC", "{", "public"),
    ],
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, wanted: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as refused:
        read_settings(file)
    assert wanted in str(refused.value)


def test_a_password_is_not_repeated(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLMENDE_DATABASE_URL", "mysql://root:geheim@localhost/x")
    with pytest.raises(ConfigurationError) as refused:
        read_settings(file)
    assert "geheim" not in str(refused.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_every_name_survives_init_as_it_was_given(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    directory = tmp_path_factory.mktemp("participant") / "new"
    made = _initialise(directory, name) if name.strip() else None
    if made is not None:
        assert tomllib.loads(made.read_text(encoding="utf-8"))["participant_name"] == name
        assert read_settings(made).participant_name == name


def _initialise(directory: Path, name: str) -> Path:
    return initialise(
        directory,
        name=name,
        public_url="http://localhost:8080",
        public=("127.0.0.1", 8080),
        management=("127.0.0.1", 8081),
        unsafe_loopback_http=True,
    )


@pytest.mark.parametrize("name", ["", "   ", "\n", "x" * 201, "half a pair \ud800"])
def test_a_name_that_nobody_can_have_makes_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"A participant.s name"):
        require_name(name)
    with pytest.raises(ConfigurationError, match=r"A participant.s name"):
        _initialise(tmp_path / "new", name)
    assert not (tmp_path / "new").exists()


@given(st.text(string.printable, max_size=40))
def test_any_text_is_an_address_or_is_refused(text: str) -> None:
    for address in (text, f"https://{text}"):
        try:
            parts = require_address(address)
        except ConfigurationError:
            continue
        assert parts.scheme in {"http", "https"}
        assert parts.hostname
        assert parts.username is None


STATED = """\
[[events]]
name = "Hannover Messe"
from = 2027-04-05T08:00:00+02:00
until = 2027-04-09T18:00:00+02:00

[[participants]]
participant = "did:web:partner.example"
memberships = ["https://example.org/cooperative"]
seat = "DE11"
"""


def test_the_calendar_and_the_register_are_what_policies_are_compared_with(file: Path) -> None:
    file.write_text(f'{SMALLEST}place = "DE"\n{STATED}')
    stated = read_settings(file).circumstances
    assert stated.place == "DE"
    assert stated.event_names == ("Hannover Messe",)
    assert stated.calendar[0].begins == datetime(2027, 4, 5, 6, tzinfo=UTC)
    membership = frozenset({"https://example.org/cooperative"})
    assert stated.partners == {"did:web:partner.example": Partner(memberships=membership, seat="DE11")}


MISSTATED = [
    ("from = 2027-04-05T08:00:00+02:00", "from = 2027-04-05T08:00:00", "timezone"),
    ("until = 2027-04-09T18:00:00+02:00", "until = 2027-04-01T18:00:00+02:00", "ends before it begins"),
    ('name = "Hannover Messe"', 'name = ""', "at least 1 character"),
    ('seat = "DE11"', 'seat = "Stuttgart"', "seat"),
    ('seat = "DE11"', 'sea = "DE11"', "is not a setting"),
    ("https://example.org/cooperative", "cooperative", "memberships"),
    ("[[participants]]", '[[participants]]\nparticipant = "did:web:a"\n[[participants]]', None),
]


@pytest.mark.parametrize(("old", "new", "wanted"), MISSTATED)
def test_a_calendar_or_register_that_is_not_clear_is_refused(
    old: str, new: str, wanted: str | None, file: Path
) -> None:
    file.write_text(SMALLEST + STATED.replace(old, new))
    if wanted is None:
        assert len(read_settings(file).participants) == 2
        return
    with pytest.raises(ConfigurationError, match=wanted):
        read_settings(file)


def test_nobody_stands_in_the_register_twice(file: Path) -> None:
    file.write_text(SMALLEST + STATED + '[[participants]]\nparticipant = "did:web:partner.example"\n')
    with pytest.raises(ConfigurationError, match=r"did:web:partner\.example stands there twice"):
        read_settings(file)
