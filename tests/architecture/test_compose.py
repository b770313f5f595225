import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from compose_spec import PyOptions

from connector.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = [line.strip() for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line[:1].isupper()]

PARTICIPANTS = {
    "allmende": None,
    "allmende-postgres": "postgres",
    "stadtwerke": "demo",
    "gewerbeverbund": "demo",
    "lastwerk": "demo",
}
PREPARATIONS = {
    "prepare": ("allmende", "allmende-postgres"),
    "prepare-stadtwerke": ("stadtwerke",),
    "prepare-gewerbeverbund": ("gewerbeverbund",),
    "prepare-lastwerk": ("lastwerk",),
}
REGION = {"stadtwerke": 18080, "gewerbeverbund": 28080, "lastwerk": 38080}
"""The three of the demo and their public ports; the management port is the next one."""
EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a container, which publishes what it means to


def parse(text: str) -> dict[str, Any]:
    """Parse with the Compose specification's own rules: unknown keys and broken references are errors."""
    compose = PyOptions(apply_merge=True).from_yaml(text)
    compose.validate()
    document: dict[str, Any] = compose.to_dict()
    return document


SERVICES = parse(COMPOSE)["services"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("  read_only: true", "  readonly: true"),
        ('cap_drop: ["ALL"]', "cap_drop: 7"),
        ("condition: service_healthy", "condition: service_happy"),
        ('networks: ["region"]', 'networks: ["regions"]'),
        ('network_mode: "service:region"', 'network_mode: "service:"'),
        ('volumes: ["lastwerk:/data"]', 'volumes: ["lastwerke:/data"]'),
    ],
)
def test_the_check_itself_notices_a_mistake(right: str, wrong: str) -> None:
    assert right in COMPOSE
    with pytest.raises(ValueError, match=r".+"):
        parse(COMPOSE.replace(right, wrong))


def test_the_file_has_one_participant_a_postgres_profile_and_the_three_of_the_demo() -> None:
    assert set(SERVICES) == {*PARTICIPANTS, *PREPARATIONS, "db", "region"}
    assert SERVICES["db"]["profiles"] == ["postgres"]
    for name, profile in PARTICIPANTS.items():
        assert SERVICES[name].get("profiles", []) == ([profile] if profile else [])


@pytest.mark.parametrize("name", [*PARTICIPANTS, *PREPARATIONS, "region"])
def test_a_connector_container_has_no_root_no_capability_and_no_writable_root(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service)


def published(name: str) -> dict[int, tuple[str | None, int]]:
    """Where a service's ports are reached on the host: port inside to address and port outside."""
    ports = [re.fullmatch(r"(?:(.+):)?(\d+):(\d+)", str(port)) for port in SERVICES[name]["ports"]]
    return {int(match[3]): (match[1], int(match[2])) for match in ports if match}


@pytest.mark.parametrize("name", ["allmende", "allmende-postgres"])
def test_management_is_published_on_the_hosts_loopback_only(name: str) -> None:
    assert published(name) == {8080: (None, 8080), 8081: ("127.0.0.1", 8081)}


def test_the_three_of_the_demo_share_a_network_in_which_localhost_means_the_same_to_all() -> None:
    for name, port in REGION.items():
        assert SERVICES[name]["network_mode"] == "service:region"
        assert "ports" not in SERVICES[name]
        assert (
            urlsplit(SERVICES[f"prepare-{name}"]["environment"]["PARTICIPANT_URL"]).netloc
            == f"localhost:{port}"
        )
    # The same numbers inside and outside, so that a participant's address is right in a browser as well.
    listened = {number for port in REGION.values() for number in (port, port + 1)}
    assert published("region") == {number: ("127.0.0.1", number) for number in listened}


@pytest.mark.parametrize(
    ("preparation", "name"), [(one, name) for one, names in PREPARATIONS.items() for name in names]
)
def test_what_a_preparation_makes_is_what_its_connector_starts_with(
    preparation: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(preparation, tmp_path)
    assert prepared.returncode == 0, prepared.stderr
    settings = settings_of(name, tmp_path, monkeypatch)
    port = REGION.get(name, 8080)
    assert settings.public_url == f"http://localhost:{port}"
    assert (settings.public.host, settings.public.port) == (EVERYWHERE, port)
    assert (settings.management.host, settings.management.port) == (EVERYWHERE, port + 1)
    assert settings.unsafe_loopback_http is (name in REGION)
    assert settings.store_url.startswith("postgresql+psycopg:" if name == "allmende-postgres" else "sqlite:")


def test_a_preparation_leaves_an_initialised_volume_as_it_is(tmp_path: Path) -> None:
    assert prepare("prepare", tmp_path).returncode == 0
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"allmende.toml", "management.token", "contracts.pem", "tokens.pem"} == set(before)
    assert prepare("prepare", tmp_path).returncode == 0
    assert before == {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_setting_that_no_connector_knows_is_in_no_container() -> None:
    known = {"ALLMENDE_" + name.upper() for name in Settings.model_fields}
    stated = {name for service in SERVICES.values() for name in service.get("environment", {})}
    stated |= set(re.findall(r"\$\{(\w+)", COMPOSE))
    stated |= set(re.findall(r"ALLMENDE_\w+(?==)", DOCKERFILE))
    ours = {name for name in stated if name.startswith("ALLMENDE_")}
    assert ours
    assert {name for name in ours if name.partition("__")[0] not in known} == set()


def prepare(name: str, volume: Path) -> "subprocess.CompletedProcess[str]":
    """Run a preparation as the container would, on an existing empty directory instead of the volume."""
    shell, flag, script = SERVICES[name]["entrypoint"]
    environment = {key: default_of(str(value)) for key, value in SERVICES[name]["environment"].items()}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [shell, flag, script.replace("$$", "$").replace("/data", str(volume))]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def settings_of(name: str, volume: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that a connector reads from its volume, its image's environment and its service's."""
    image = dict(re.findall(r"(ALLMENDE_\w+)=(\S+)", DOCKERFILE))
    service = SERVICES[name].get("environment", {})
    for key, value in {**image, **service}.items():
        monkeypatch.setenv(key, default_of(str(value)))
    return read_settings(volume / "allmende.toml")


def default_of(text: str) -> str:
    """A value of the file with nothing set on the host."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.mark.parametrize("name", PARTICIPANTS)
def test_each_participant_keeps_its_own_data_and_waits_for_its_keys(name: str) -> None:
    (volume,) = SERVICES[name]["volumes"]
    (preparation,) = (other for other in SERVICES[name]["depends_on"] if other in PREPARATIONS)
    assert str(volume).endswith(":/data")
    assert SERVICES[preparation]["volumes"] == [volume]
    assert SERVICES[name]["depends_on"][preparation]["condition"] == "service_completed_successfully"


def test_the_three_of_the_demo_share_no_volume() -> None:
    volumes = [SERVICES[name]["volumes"][0] for name, profile in PARTICIPANTS.items() if profile == "demo"]
    assert len({str(volume) for volume in volumes}) == 3


def test_the_database_is_reached_by_its_connector_only() -> None:
    assert "ports" not in SERVICES["db"]
    assert [name for name, service in SERVICES.items() if "database" in service.get("networks", [])] == [
        "db",
        "allmende-postgres",
    ]
    assert parse(COMPOSE)["networks"]["database"]["internal"] is True


def test_no_image_floats_with_its_publisher() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += [line.split()[1] for line in INSTRUCTIONS if line.startswith("FROM ")]
    assert all(re.fullmatch(r"[\w./-]+:\d[\w.-]*", image) for image in images)


def test_the_image_runs_as_a_user_without_rights_and_reports_its_health() -> None:
    last_stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.findall(r"^USER (.+)$", last_stage, re.MULTILINE) == ["10001:10001"]
    assert "/healthz" in last_stage[last_stage.index("HEALTHCHECK") :]
    assert 'ENTRYPOINT ["allmende"]' in last_stage
    assert "VOLUME /data" in last_stage


def test_the_image_installs_only_packages_whose_hash_is_locked() -> None:
    installs = re.findall(r"pip (?:install|wheel) ([^\n\\]+)", DOCKERFILE)
    assert len(installs) == 4
    assert all("--require-hashes" in install or "--no-deps" in install for install in installs)


def test_everything_that_the_image_copies_exists_and_reaches_the_build() -> None:
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    copies = [
        line.split()[1:-1] for line in INSTRUCTIONS if line.startswith("COPY ") and "--from" not in line
    ]
    sources = {source for copy in copies for source in copy}
    assert sources == set(allowed)
    assert all((ROOT / source).exists() for source in sources)
