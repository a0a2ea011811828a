"""What the deployment files say, done here: keys as compose makes them, the health check, a token for Prometheus."""

from __future__ import annotations

import json
import os
import pathlib
import re
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import yaml

import embertrace as et

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"


def sh(script: str, **environment: str) -> None:
    subprocess.run(
        ["sh", "-ec", script], check=True, env={**os.environ, **environment}, capture_output=True, timeout=60
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The keys, made by the command of compose's first service, with the volumes as directories here."""
    place = tmp_path_factory.mktemp("deploy")
    for volume in ("etc/embertrace", "run/embertrace", "run/prometheus", "bin"):
        (place / volume).mkdir(parents=True)
    command = place / "bin" / "embertrace"
    command.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from embertrace.cli import main; main()' \"$@\"\n")
    command.chmod(0o755)
    script = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["keys"]["command"][-1]
    script = re.sub(r"(?<![\w.])/(etc|run)/", rf"{place}/\1/", script)
    for _ in range(2):  # the second start finds everything made
        sh(script, PATH=f"{place / 'bin'}:{os.environ['PATH']}")
    return place


@pytest.fixture(scope="module")
def aggregator(place: pathlib.Path) -> Iterator[dict[str, object]]:
    command = [sys.executable, "-m", "aggregator", str(place / "rec"), "--bind", "tcp://127.0.0.1:0"]
    command += ["--keys", str(place / "etc/embertrace"), "--ready-json", "--with-parent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        yield json.loads(process.stdout.readline())
        process.stdin.close()
        process.wait(30)


def test_the_keys_service_gives_each_its_own(place: pathlib.Path) -> None:
    found = (path for volume in ("etc", "run") for path in (place / volume).rglob("*") if path.is_file())
    assert sorted(str(path.relative_to(place)) for path in found) == [
        "etc/embertrace/aggregator.key",
        "etc/embertrace/clients/ray.key",
        "etc/embertrace/clients/ray.pub",
        "etc/embertrace/http.token",
        "run/embertrace/ray.key",
        "run/prometheus/http.token",
    ]
    secrets = [place / "run/embertrace/ray.key", place / "run/prometheus/http.token"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)


def test_the_health_check_of_the_image_passes_and_fails(aggregator: dict[str, object]) -> None:
    check = next(
        line
        for line in (DEPLOY / "Dockerfile").read_text().splitlines()
        if line.strip().startswith("CMD") and "healthz" in line
    )
    command = json.loads(check[check.index("[") :])[1:]
    here = [part.replace(":5560", f":{aggregator['http_port']}") for part in command]
    assert subprocess.run([sys.executable, *here], check=False, timeout=30).returncode == 0
    nowhere = [part.replace(":5560", ":9") for part in command]
    assert subprocess.run([sys.executable, *nowhere], check=False, capture_output=True, timeout=30).returncode != 0


def test_prometheus_gets_metrics_with_its_token_and_not_without(
    aggregator: dict[str, object], place: pathlib.Path
) -> None:
    url = f"http://127.0.0.1:{aggregator['http_port']}/metrics"
    token = (place / "run/prometheus/http.token").read_text().strip()
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})) as answer:
        assert b"embertrace_up" in answer.read()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url)
    assert refused.value.code == 401
    refused.value.close()


def test_a_node_reaches_the_aggregator_with_the_key_it_was_given(
    aggregator: dict[str, object], place: pathlib.Path
) -> None:
    analysis = et.connect(str(aggregator["endpoint"]), key=place / "run/embertrace/ray.key")
    assert list(analysis.runs()) == []


def test_the_init_container_turns_a_mounted_secret_into_keys(tmp_path: pathlib.Path, place: pathlib.Path) -> None:
    """Kubernetes mounts a Secret as links that the group can read; the aggregator takes neither."""
    mounted = tmp_path / "secret"
    (mounted / "..data").mkdir(parents=True)
    for name, source in (("aggregator.key", ""), ("http.token", ""), ("ray.pub", "clients/")):
        (mounted / "..data" / name).write_bytes((place / "etc/embertrace" / source / name).read_bytes())
        (mounted / "..data" / name).chmod(0o440)
        (mounted / name).symlink_to(f"..data/{name}")
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "aggregator.yaml").read_text())
    (stateful,) = [document for document in documents if document["kind"] == "StatefulSet"]
    script = stateful["spec"]["template"]["spec"]["initContainers"][0]["command"][-1]
    sh(script.replace("/secret/", f"{mounted}/").replace("/etc/embertrace", str(tmp_path / "etc")))
    from embertrace.keys import ServerKey, allowed, read_token

    keys = tmp_path / "etc" / "keys"
    assert ServerKey.read(keys) and read_token(keys) and len(allowed(keys)) == 1
