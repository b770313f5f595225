import re
from pathlib import Path
from typing import Any

import pytest
from compose_spec import PyOptions

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
PREPARATIONS = ("prepare", "prepare-stadtwerke", "prepare-gewerbeverbund", "prepare-lastwerk")


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
        ('volumes: ["lastwerk:/data"]', 'volumes: ["lastwerke:/data"]'),
    ],
)
def test_the_check_itself_notices_a_mistake(right: str, wrong: str) -> None:
    assert right in COMPOSE
    with pytest.raises(ValueError, match=r".+"):
        parse(COMPOSE.replace(right, wrong))


def test_the_file_has_one_participant_a_postgres_profile_and_the_three_of_the_demo() -> None:
    assert set(SERVICES) == {*PARTICIPANTS, *PREPARATIONS, "db"}
    assert SERVICES["db"]["profiles"] == ["postgres"]
    for name, profile in PARTICIPANTS.items():
        assert SERVICES[name].get("profiles", []) == ([profile] if profile else [])


@pytest.mark.parametrize("name", [*PARTICIPANTS, *PREPARATIONS])
def test_a_connector_container_has_no_root_no_capability_and_no_writable_root(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service)


@pytest.mark.parametrize("name", PARTICIPANTS)
def test_management_is_published_on_the_hosts_loopback_only(name: str) -> None:
    ports = [re.fullmatch(r"(?:(.+):)?(\d+):(\d+)", port) for port in map(str, SERVICES[name]["ports"])]
    published = {match[3]: match[1] for match in ports if match}
    assert set(published) == {"8080", "8081"}
    assert published["8081"] == "127.0.0.1"


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
