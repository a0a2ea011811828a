"""dev.py: what it decides, without making an environment."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dev() -> ModuleType:
    found = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_only_the_standard_library(dev: ModuleType) -> None:
    names = re.findall(r"^(?:import|from) (\w+)", (ROOT / "dev.py").read_text(), flags=re.MULTILINE)
    assert set(names) <= set(sys.stdlib_module_names) | {"__future__"}


def test_the_stamp_tells_environments_apart(dev: ModuleType) -> None:
    first = dev.stamp(b"a", b"b", (3, 11), "/clone")
    assert first == dev.stamp(b"a", b"b", (3, 11), "/clone")
    others = {
        dev.stamp(b"x", b"b", (3, 11), "/clone"),
        dev.stamp(b"a", b"x", (3, 11), "/clone"),
        dev.stamp(b"a", b"b", (3, 12), "/clone"),
        dev.stamp(b"a", b"b", (3, 11), "/moved"),
        dev.stamp(b"ab", b"", (3, 11), "/clone"),
        dev.stamp(b"", b"ab", (3, 11), "/clone"),
    }
    assert len(others) == 6 and first not in others


def test_children_get_the_settings_of_ray_and_no_foreign_environment(dev: ModuleType) -> None:
    parent = {"PATH": "/bin", "VIRTUAL_ENV": "/elsewhere", "PYTHONHOME": "/x", "RAY_USAGE_STATS_ENABLED": "1"}
    assert dev.child_environment(parent) == {
        "PATH": "/bin",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    assert parent["RAY_USAGE_STATS_ENABLED"] == "1"


def test_a_python_without_venv_names_the_debian_package(dev: ModuleType) -> None:
    assert dev.missing_parts({"venv": True, "ensurepip": True}) is None
    assert "python3-venv" in dev.missing_parts({"venv": True, "ensurepip": False})
    assert "no venv and no ensurepip" in dev.missing_parts({"venv": False, "ensurepip": False})


def test_constraints_lose_what_one_machine_knows(dev: ModuleType) -> None:
    versions = "ray==2.60.0\nscipy==1.17.1 ; python_version < '3.12'\n"
    cleaned = dev.clean_constraints(f"# made by\n--find-links /opt/wheels\n-i https://mirror\n{versions}\n")
    assert cleaned == dev.CONSTRAINTS_HEAD + versions


@pytest.mark.parametrize("line", ["a @ file:///opt/a.whl", "./wheels/a.whl", "a>=1", "a==1 ; x == '/opt/y'"])
def test_constraints_with_a_path_are_refused(dev: ModuleType, line: str) -> None:
    with pytest.raises(dev.WorkshopError, match="no pinned version"):
        dev.clean_constraints(f"ray==2.60.0\n{line}\n")


def test_constraints_that_are_empty_are_refused(dev: ModuleType) -> None:
    with pytest.raises(dev.WorkshopError, match="no version at all"):
        dev.clean_constraints("# nothing\n")


def test_arguments_are_passed_on_unread(dev: ModuleType) -> None:
    assert dev.parse(["test"]) == ("test", [])
    assert dev.parse(["test", "-k", "flow", "-x", "tests/unit"]) == ("test", ["-k", "flow", "-x", "tests/unit"])
    assert dev.parse(["demo", "--help"]) == ("demo", ["--help"])


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["lint", "--fix"], ["constraints", "now"]])
def test_what_makes_no_sense_is_refused(
    dev: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        dev.parse(arguments)
    assert stopped.value.code == 2
    assert "dev.py" in capsys.readouterr().err


def test_help_needs_no_environment() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "dev.py"), "--help"], capture_output=True, text=True, check=True)
    assert "python3 dev.py test" in done.stdout


def test_the_committed_constraints_are_clean_and_pin_what_we_ask_for(dev: ModuleType) -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert dev.clean_constraints(text) == text
    pinned = {re.split(r"[\[=]", line)[0].lower() for line in text.splitlines() if not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    names = {re.split(r"[\[<>=!~ ]", name)[0].lower() for name in asked} - {"embertrace"}
    assert names <= pinned


def test_ci_runs_both_and_is_executable() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text()
    assert script.stat().st_mode & 0o111
    assert text.startswith("#!/usr/bin/env bash\n") and "set -euo pipefail" in text
    assert text.rstrip().endswith(
        "python3 dev.py lint\npython3 dev.py test\npython3 dev.py package\npython3 dev.py faults R17"
    )
    subprocess.run(["bash", "-n", str(script)], check=True)
