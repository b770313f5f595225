"""Every setting, route, page and decision record is documented, and every reference leads somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from connector.app import build_connector
from connector.initialising import initialise
from connector.settings import ENVIRONMENT_PREFIX, Listener, Settings, read_settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONFIGURATION = ("configuration.md", "de/konfiguration.md")
ROUTES = {"public": "data-plane.md", "management": "management-api.md"}
OF_THE_REPOSITORY = ("bench", "catalog", "connector", "docs", "examples", "policies", "schemas", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
NAMES_OF_PAGES = [str(page.relative_to(ROOT)) for page in PAGES]
GERMAN = re.compile(r"(^|/)de/|\.de\.md$")


def read(name: str) -> str:
    """A file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


# settings


def settings_in_code() -> dict[str, FieldInfo]:
    """Every setting by its name in TOML, those of a section with the section's name before a point."""
    found: dict[str, FieldInfo] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= {f"{name}.{inner}": value for inner, value in field.annotation.model_fields.items()}
        else:
            found[name] = field
    return found


def settings_on_page(page: str) -> dict[str, tuple[str, str, str]]:
    """Default, variable and meaning by name, from the page's table of settings."""
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| `(ALLMENDE_\w+)` \| (.+?) \|$", page, re.MULTILINE)
    return {name: (default, variable, meaning) for name, default, variable, meaning in rows}


def default_of(name: str) -> Any:
    section, _, inner = name.partition(".")
    default = Settings.model_fields[section].default
    return getattr(default, inner) if isinstance(default, Listener) else default


@pytest.mark.parametrize("page", CONFIGURATION)
def test_every_setting_is_documented_and_nothing_else_is(page: str) -> None:
    assert set(settings_on_page(read(f"docs/{page}"))) == set(settings_in_code())


@pytest.mark.parametrize("page", CONFIGURATION)
def test_the_variable_of_each_setting_is_the_one_that_is_read(page: str) -> None:
    for name, (_, variable, _) in settings_on_page(read(f"docs/{page}")).items():
        assert variable == ENVIRONMENT_PREFIX + name.upper().replace(".", "__")


@pytest.mark.parametrize("page", CONFIGURATION)
def test_the_default_of_each_setting_is_the_one_that_holds(page: str) -> None:
    for name, (default, _, _) in settings_on_page(read(f"docs/{page}")).items():
        if name in Settings.model_fields and Settings.model_fields[name].is_required():
            assert default.startswith(("none", "keine")), name
        elif default_of(name) == "":
            assert default.startswith(("empty", "leer")), name
        elif default_of(name) == ():
            assert default in {"none", "keine"}, name
        else:
            value = default_of(name)
            assert default == f"`{str(value).lower() if isinstance(value, bool) else value}`", name


@pytest.mark.parametrize("page", CONFIGURATION)
def test_the_example_of_the_configuration_page_is_read_without_complaint(page: str, tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.+?)^```$", read(f"docs/{page}"), re.MULTILINE | re.DOTALL)
    file = tmp_path / "allmende.toml"
    file.write_text(example, encoding="utf-8")
    assert read_settings(file).public_url == "https://daten.stadtwerke-rheinaue.example"
    if page == "configuration.md":
        stated = set(re.findall(r"^(\w+) =", example.partition("[public]")[0], re.MULTILINE))
        stated |= set(re.findall(r"^\[\[(\w+)\]\]$", example, re.MULTILINE))
        assert stated == {name for name in settings_in_code() if "." not in name}


def test_the_check_of_settings_reads_a_table() -> None:
    row = "| `public.port` | `8080` | `ALLMENDE_PUBLIC__PORT` | Its port. |"
    assert settings_on_page(row) == {"public.port": ("`8080`", "ALLMENDE_PUBLIC__PORT", "Its port.")}


# routes


def routes_of(app: Any) -> Iterator[tuple[str, str]]:
    """Method and path of every route of an app, through the guards around it and the routers in it."""
    while not hasattr(app, "routes"):
        app = app._app
    for route in app.routes:
        router = getattr(route, "original_router", None)
        if router is not None:
            yield from routes_of(router)
            continue
        path = re.sub(r"\{(\w+):path\}", r"{\1}", route.path)
        yield from ((method, path) for method in route.methods - {"HEAD"})


def sections_of(page: str) -> dict[tuple[str, str], str]:
    """The text below each heading that names a route."""
    parts = re.split(r"^### `([A-Z]+) (/\S*)`$", page, flags=re.MULTILINE)
    sections = zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    return {(method, path): text for method, path, text in sections}


def examples_in(section: str) -> list[str]:
    """The curl commands of a section, one line each."""
    blocks = re.findall(r"^```\n(.+?)^```$", section, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("curl ")]


def calls(command: str, listener: str, method: str, path: str) -> bool:
    """Whether a curl command calls a route."""
    stated = re.search(r"--request ([A-Z]+)", command)
    address = re.escape(path).replace(r"\{", "{").replace(r"\}", "}")
    address = rf'"\${listener.upper()}' + re.sub(r"\{\w+\}", r"[^/\\s?\"]+", address) + r'(\?[^"\s]*)?"'
    return (stated[1] if stated else "GET") == method and re.search(address, command) is not None


@pytest.mark.parametrize("listener", ROUTES)
async def test_every_route_is_documented_with_an_example_and_nothing_else_is(
    listener: str, tmp_path: Path
) -> None:
    configuration = initialise(
        tmp_path / "participant",
        name="Stadtwerke Rheinaue",
        public_url="https://daten.stadtwerke-rheinaue.example",
        public=("127.0.0.1", 8080),
        management=("127.0.0.1", 8081),
        unsafe_loopback_http=False,
    )
    async with build_connector(read_settings(configuration)) as connector:
        routes = list(routes_of(getattr(connector, listener)))
    sections = sections_of(read(f"docs/{ROUTES[listener]}"))
    assert set(sections) == set(routes)
    for (method, path), section in sections.items():
        assert any(calls(line, listener, method, path) for line in examples_in(section)), f"{method} {path}"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ('curl "$PUBLIC/data/computations/$C/outputs/m.json"', True),
        ('curl --output m.json "$PUBLIC/data/computations/$C/outputs/m.json?x=1"', True),
        ('curl --request POST "$PUBLIC/data/computations/$C/outputs/m.json"', False),
        ('curl "$PUBLIC/data/computations/$C"', False),
        ('curl "$MANAGEMENT/data/computations/$C/outputs/m.json"', False),
    ],
)
def test_the_check_of_examples_tells_one_route_from_another(command: str, expected: bool) -> None:
    assert calls(command, "public", "GET", "/data/computations/{identifier}/outputs/{name}") is expected


# references


def anchors_of(page: Path) -> set[str]:
    """The anchors that a Markdown page's headings get."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def links_of(text: str) -> Iterator[str]:
    """The targets of a Markdown text's links that stay inside the repository."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield unquote(target)


def is_broken(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    found = page if not path else (page.parent / path).resolve()
    if not found.exists() or not found.is_relative_to(ROOT):
        return True
    return bool(anchor) and anchor not in anchors_of(found)


@pytest.mark.parametrize("name", NAMES_OF_PAGES)
def test_every_link_inside_the_repository_leads_somewhere(name: str) -> None:
    assert [target for target in links_of(read(name)) if is_broken(ROOT / name, target)] == []


def test_every_document_that_a_source_names_exists() -> None:
    sources = [
        *(path for folder in OF_THE_REPOSITORY for path in (ROOT / folder).rglob("*.py")),
        *(ROOT / name for name in ("Makefile", "Dockerfile", "docker-compose.yml", "pyproject.toml")),
        *PAGES,
    ]
    pattern = re.compile(r"(?<![\w/])(docs/[\w./-]+\.md)\b")
    named = {name: path for path in sources for name in pattern.findall(path.read_text(encoding="utf-8"))}
    assert named
    assert {
        name: str(path.relative_to(ROOT)) for name, path in named.items() if not (ROOT / name).is_file()
    } == {}


@pytest.mark.parametrize("name", NAMES_OF_PAGES)
def test_every_module_that_a_page_names_exists(name: str) -> None:
    named = re.findall(rf"`((?:{'|'.join(OF_THE_REPOSITORY)})/[\w./-]+\.\w+)`", read(name))
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("name", [name for name in NAMES_OF_PAGES if name.startswith("docs/adr/0")])
def test_every_module_that_a_decision_record_names_exists(name: str) -> None:
    """Decision records name modules of the connector without `connector/` before them."""
    named = set(re.findall(r"`([\w/]+\.py)`", read(name))) - {"main.py"}  # a job's
    homes = (ROOT, ROOT / "connector")
    assert [path for path in named if not any((home / path).is_file() for home in homes)] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [
            (page.parent / link.partition("#")[0]).resolve() for link in links_of(page.read_text("utf-8"))
        ]
        waiting += [target for target in targets if target.suffix == ".md" and target.is_file()]
    assert {name for name in NAMES_OF_PAGES if ROOT / name not in reached} == set()


# the readme and the language of the pages


def test_the_readme_begins_with_the_commands_and_shows_the_demos_own_steps() -> None:
    readme = read("README.md")
    assert re.findall(r"^make (?:demo|test)\b", readme[:1500], re.MULTILINE) == ["make demo", "make test"]
    assert "pip install . && allmende demo" in readme[:1500]
    steps = re.findall(r"report\.step\(\"(.+?)\", (\d)\)", read("connector/demo/running.py"))
    assert steps
    shown = re.findall(r"^(\d)/(\d) (.+)$", readme, re.MULTILINE)
    assert [(title, number) for number, _, title in shown] == steps
    assert {total for _, total, _ in shown} == {str(len(steps))}


@pytest.mark.parametrize("name", [name for name in NAMES_OF_PAGES if GERMAN.search(name)])
def test_german_pages_address_the_reader_formally(name: str) -> None:
    words = set(re.findall(r"\b\w+\b", read(name)))
    assert "Sie" in words
    assert words & {"du", "Du", "dein", "deine", "Deine", "dir", "dich"} == set()
