"""The wheel holds everything that `pip install . && allmende demo` needs, without the repository."""

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.region.processes import environment

ROOT = Path(__file__).parents[2]
PACKAGES = ("catalog", "connector", "policies", "schemas")
DATA = (
    "connector/adapters/migrations/versions/0001_initial.py",
    "connector/demo/energy/data/SOURCE.md",
    "connector/demo/energy/data/gewerbeverbund-neckar.parquet",
    "connector/demo/energy/data/lastwerk-ki.parquet",
    "connector/demo/energy/data/stadtwerke-rheinaue.parquet",
    "connector/demo/energy/forecast.py",
    "connector/demo/energy/load-forecast/job.json",
    "connector/demo/energy/load-forecast/main.py",
    "connector/demo/energy/offers/gewerbeverbund.json",
    "connector/demo/energy/offers/stadtwerke.json",
    "connector/ui/static/allmende.css",
    "connector/ui/templates/frame.html",
    "connector/ui/translations/de.toml",
)
MOST_BYTES = 6_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel; the build tools are those of requirements-build.txt, or come from the package index."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    tools = ["--no-build-isolation", "--no-index"] if find_spec("hatchling") else []
    build = ["wheel", "--no-deps", *tools, "--wheel-dir", directory, ROOT]
    done = subprocess.run([*pip, *build], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, which borrows the packages that it depends on from ours."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=False, symlinks=True)
    python = directory / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    install = ["install", "--no-deps", "--no-index", "--quiet", wheel]
    done = subprocess.run([*pip, *install], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # A directory named in a .pth file is searched, but its own .pth files are not read:
    # the editable installation of the repository stays out.
    (own,) = directory.glob("lib/python*/site-packages")
    (own / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return directory


def test_the_wheel_holds_packages_and_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert set(DATA) - names == set()
    assert {name.split("/")[0] for name in names} == {*PACKAGES, "allmende-0.1.0.dist-info"}
    assert {
        name for name in names if "__pycache__" in name or name.endswith((".pyc", ".pem", ".sqlite"))
    } == set()
    assert wheel.stat().st_size < MOST_BYTES


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours - names == set()


def _run(*command: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_an_installed_connector_shows_its_demonstration_anywhere(installed: Path, tmp_path: Path) -> None:
    python, allmende = installed / "bin" / "python", installed / "bin" / "allmende"
    found = _run(python, "-c", "import connector; print(connector.__file__)", cwd=tmp_path)
    assert Path(found.stdout.strip()).is_relative_to(installed)

    done = _run(allmende, "demo", "--json", "--dir", "kept", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ledger"]["raw_rows_out"] == 0

    verified = _run(allmende, "verify", "kept/evidence/agreement-stadtwerke.json", cwd=tmp_path)
    assert (verified.returncode, verified.stderr) == (0, "")
