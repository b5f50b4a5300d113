"""The files that operators read and copy agree with each other and with the code."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from uptime.environment import BASE_DIR

APPS = ("accounts", "alerts", "incidents", "monitors", "uptime")
COMMANDS = {"web", "worker", "setup", "up"}


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def variables_read() -> set[str]:
    sources = [path for app in APPS for path in (BASE_DIR / app).rglob("*.py")]
    calls = re.compile(r"\benv(?:\.\w+)?\(\s*\"([A-Z][A-Z_]+)\"")
    return {name for path in sources for name in calls.findall(path.read_text())}


def variables_in(path: str) -> set[str]:
    text = (BASE_DIR / path).read_text()
    return set(re.findall(r"\b(UPTIME_[A-Z_]+|[A-Z]+_URL|[A-Z]+_API_URL)\b", text))


def test_every_variable_is_documented_and_no_other() -> None:
    assert variables_read()
    assert variables_in("docs/configuration.md") == variables_read()


@pytest.mark.parametrize("path", ["README.md", ".env.example", "docker-compose.yml", "Dockerfile"])
def test_no_file_names_a_variable_that_nobody_reads(path: str) -> None:
    assert variables_in(path) <= variables_read()


@pytest.mark.parametrize("path", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_pinned_with_hashes_and_name_no_index(path: str) -> None:
    text = (BASE_DIR / path).read_text()
    assert "://" not in text
    assert "index" not in "".join(line for line in text.splitlines() if line.startswith("-"))
    packages = re.split(r"\n(?=[a-z])", re.sub(r"(?m)^\s*#.*\n", "", text).strip())
    assert len(packages) > 20
    for package in packages:
        assert re.match(r"[a-z0-9._\[\],-]+==\S+", package), package
        assert "--hash=sha256:" in package, package


def test_what_runs_is_a_part_of_what_tests() -> None:
    def pins(path: str) -> set[str]:
        return set(re.findall(r"(?m)^[a-z]\S+==\S+", (BASE_DIR / path).read_text()))

    assert pins("requirements.txt") <= pins("requirements-dev.txt")


def test_the_dockerfile_passes_its_linter() -> None:
    done = subprocess.run([tool("hadolint"), "Dockerfile"], cwd=BASE_DIR, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


def test_the_image_holds_all_that_the_program_needs() -> None:
    let_in = set(re.findall(r"(?m)^!(\S+)", (BASE_DIR / ".dockerignore").read_text()))
    assert let_in == {*APPS, "probe", "static", "templates", "manage.py", "requirements.txt"}
    assert all((BASE_DIR / name).exists() for name in let_in)


def test_the_compose_file_passes_its_linter() -> None:
    command = [tool("compose-lint"), "check", "docker-compose.yml"]
    done = subprocess.run(command, cwd=BASE_DIR, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


def test_the_compose_file_starts_every_process_after_the_setup() -> None:
    services = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())["services"]
    commands = {name: " ".join(service.get("command", ())) for name, service in services.items()}
    assert commands == {
        "postgres": "",
        "setup": "setup",
        "web": "web",
        "worker-checks": "worker checks",
        "worker-default": "worker default",
    }
    for name in ("web", "worker-checks", "worker-default"):
        wait = services[name]["depends_on"]
        assert wait["setup"]["condition"] == "service_completed_successfully"


@pytest.mark.parametrize(
    "path", sorted((BASE_DIR / "deploy" / "systemd").iterdir()), ids=lambda path: path.name
)
def test_a_systemd_unit_starts_a_command_of_ours_and_waits_for_its_end(path: Path) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(path)
    service = unit["Service"]
    command = service["ExecStart"].split("manage.py ")[1].split()[0]
    assert command in COMMANDS
    assert int(service["TimeoutStopSec"]) >= 20
    assert service["KillMode"] == "mixed"
