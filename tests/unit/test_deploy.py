"""The deployment files agree with each other and with the program they start."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = DEPLOY / "embertrace-aggregator.service"
AGGREGATOR = ["python", "-m", "aggregator"]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """(instruction, arguments) in order, with continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(line[0], line[1]) for line in lines]


def test_the_ray_image_has_the_ray_version_that_is_tested() -> None:
    pinned = re.search(r"^ray==([\d.]+)$", (DEPLOY.parent / "constraints.txt").read_text(), re.MULTILINE)
    base = re.search(r"^FROM rayproject/ray:([\d.]+)-py312$", (DEPLOY / "ray.Dockerfile").read_text(), re.MULTILINE)
    assert pinned is not None and base is not None and base[1] == pinned[1]


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return parser


def test_compose_starts_an_aggregator_two_ray_nodes_and_prometheus(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"keys", "aggregator", "ray-head", "ray-worker", "prometheus"}
    assert all(service["networks"] == ["tracing"] for name, service in services.items() if name != "keys")
    assert services["keys"]["network_mode"] == "none"
    assert services["ray-head"]["command"][:3] == ["ray", "start", "--head"]
    assert "--address=ray-head:6379" in services["ray-worker"]["command"]
    waits = {name: list(service.get("depends_on", {}).items()) for name, service in services.items()}
    assert waits["aggregator"] == [("keys", {"condition": "service_completed_successfully"})]
    for name in ("ray-head", "prometheus"):
        assert waits[name] == [("aggregator", {"condition": "service_healthy"})]
    for node in ("ray-head", "ray-worker"):
        assert services[node]["environment"]["EMBERTRACE_KEY"] == "/run/embertrace/ray.key"
        assert services[node]["environment"]["EMBERTRACE_ENDPOINT"] == "tcp://aggregator:5557"
        assert services[node]["command"][-1] == "--block"
        assert "ports" not in services[node]


def test_the_aggregator_in_compose_is_open_to_this_host_only(compose: dict[str, Any]) -> None:
    aggregator = compose["services"]["aggregator"]
    assert aggregator["command"][:3] == AGGREGATOR
    assert aggregator["command"][4:8] == ["--bind", "tcp://0.0.0.0:5557", "--keys", "/etc/embertrace"]
    assert "--insecure-bind" not in aggregator["command"]
    assert aggregator["ports"] == ["127.0.0.1:5557-5560:5557-5560"]
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["prometheus"]["ports"])


def test_secrets_in_compose_reach_only_those_who_need_them(compose: dict[str, Any]) -> None:
    held = {
        name: {volume.partition(":")[0] for volume in service.get("volumes", ())}
        for name, service in compose["services"].items()
    }
    assert {name for name, volumes in held.items() if "keys" in volumes} == {"keys", "aggregator"}
    assert held["ray-head"] == held["ray-worker"] == {"client-keys"}
    assert held["prometheus"] == {"./prometheus.yaml", "token"}
    named = {volume for volumes in held.values() for volume in volumes if not volume.startswith(".")}
    assert named == set(compose["volumes"])


def test_prometheus_asks_the_aggregator_with_its_token(compose: dict[str, Any]) -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["aggregator:5560"]}]
    command = compose["services"]["aggregator"]["command"]
    assert command[command.index("--advertise") + 1] == "aggregator", "else it does not answer to that name"
    folder, _, name = job["authorization"]["credentials_file"].rpartition("/")
    assert any(volume == f"token:{folder}:ro" for volume in compose["services"]["prometheus"]["volumes"])
    assert f"/run/prometheus/{name}" in compose["services"]["keys"]["command"][-1]


def test_recordings_in_compose_lie_in_a_volume(compose: dict[str, Any]) -> None:
    aggregator = compose["services"]["aggregator"]
    name, _, place = aggregator["volumes"][0].partition(":")
    assert name in compose["volumes"]
    assert aggregator["command"][3].startswith(place + "/")


def test_compose_builds_the_image_of_this_directory(compose: dict[str, Any]) -> None:
    build = compose["services"]["aggregator"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"


def test_the_dockerfile_runs_the_aggregator_without_root(dockerfile: list[tuple[str, str]]) -> None:
    known = {*("FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL")}
    names = [name for name, _ in dockerfile]
    assert set(names) <= known | {"ENTRYPOINT", "CMD"}
    assert dockerfile[0] == ("FROM", "python:3.12-slim")
    assert dict(dockerfile)["USER"] == "embertrace"
    after_user = names[names.index("USER") :]
    assert "RUN" not in after_user and "CMD" in after_user
    command = json.loads(dict(dockerfile)["CMD"])
    assert command[:3] == AGGREGATOR and command[-2:] == ["--keys", "/etc/embertrace"]
    assert dict(dockerfile)["STOPSIGNAL"] == "SIGTERM"


def test_the_dockerfile_installs_pinned_versions_of_files_that_exist(dockerfile: list[tuple[str, str]]) -> None:
    installs = [text for name, text in dockerfile if name == "RUN" and "pip install" in text]
    assert installs
    for text in installs:
        assert "--constraint constraints.txt" in text
        assert "index-url" not in text and "trusted-host" not in text
    copied = [name for instruction, text in dockerfile if instruction == "COPY" for name in text.split()[:-1]]
    assert {"constraints.txt", "pyproject.toml", "embertrace", "aggregator"} <= set(copied)


def test_the_health_check_is_a_program_that_compiles(dockerfile: list[tuple[str, str]]) -> None:
    check = dict(dockerfile)["HEALTHCHECK"]
    command = json.loads(check[check.index("[") :])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert "http://127.0.0.1:5560/healthz" in command[2]


def test_the_unit_starts_the_aggregator_on_loopback(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert service["ExecStart"].split()[1:3] == AGGREGATOR[1:]
    assert "${STATE_DIRECTORY}/" in service["ExecStart"]
    assert service["Environment"]  # the last of them; the first is checked below
    assert "Environment=EMBERTRACE_BIND=tcp://127.0.0.1:5557" in UNIT.read_text()
    assert "--insecure-bind" not in UNIT.read_text()


def test_the_unit_is_hardened_and_stops_gently(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    wanted = {
        "DynamicUser": "yes",
        "StateDirectory": "embertrace",
        "Restart": "on-failure",
        "KillSignal": "SIGTERM",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "CapabilityBoundingSet": "",
    }
    assert {name: service[name] for name in wanted} == wanted
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def drop_in() -> str:
    """What the README says to write with `systemctl edit`."""
    (text,) = re.findall(r"^```\n(\[Service\]\n.*?)^```", (DEPLOY / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    return str(text)


@pytest.mark.parametrize("edited", [False, True], ids=["as it is", "as the README edits it"])
def test_systemd_accepts_the_unit(tmp_path: Path, edited: bool) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian package: systemd)")

    # systemd checks that the program is there: here, this Python stands for the installed one.
    def here(text: str) -> str:
        return text.replace("/opt/embertrace/bin/python", str(Path(sys.executable)))

    copy = tmp_path / UNIT.name
    copy.write_text(here(UNIT.read_text()))
    if edited:
        (tmp_path / f"{UNIT.name}.d").mkdir()
        (tmp_path / f"{UNIT.name}.d" / "override.conf").write_text(here(drop_in()))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
    about_us = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert done.returncode == 0 and not about_us, done.stderr


def test_the_commands_of_the_readme_name_files_that_exist() -> None:
    text = (DEPLOY / "README.md").read_text()
    for name in re.findall(r"deploy/[\w./-]+[\w]", text):
        assert (DEPLOY.parent / name).exists(), name
    assert str(UNIT.name).removesuffix(".service") in text


def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package: prometheus)")
    (tmp_path / "token").write_text("x" * 40)
    text = (DEPLOY / "prometheus.yaml").read_text().replace("/run/embertrace/http.token", str(tmp_path / "token"))
    (tmp_path / "prometheus.yaml").write_text(text)
    command = [promtool, "check", "config", str(tmp_path / "prometheus.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
