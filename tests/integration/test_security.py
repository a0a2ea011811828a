"""Who may talk to an aggregator: those with a key on its list, and they are told at once if they may not (R15)."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import time
from collections.abc import Callable

import pytest

import embertrace as et
from embertrace import collect
from embertrace.emit import emitter_for
from embertrace.errors import SecurityError
from embertrace.handshake import new_pair
from embertrace.keys import ClientKey, make_keys
from embertrace.recording import BATCH, Recording
from support.aggregators import aggregator, refused


@pytest.fixture
def keys(tmp_path: pathlib.Path) -> pathlib.Path:
    make_keys(tmp_path / "keys", ["alice"], new_pair)
    return tmp_path / "keys"


def client_key(keys: pathlib.Path, name: str = "alice") -> ClientKey:
    return ClientKey.read(keys / "clients" / f"{name}.key")


def batches(directory: pathlib.Path) -> int:
    return sum(getattr(record, "kind", 0) == BATCH for record in Recording.open(directory).records())


def test_with_the_right_key_everything_works(tmp_path: pathlib.Path, keys: pathlib.Path) -> None:
    before = collect.settings
    path = str(keys / "clients" / "alice.key")
    with aggregator(tmp_path / "rec", "--keys", str(keys)) as (ready, _):
        try:
            with et.init(ready["endpoint"], key=path) as run, et.operator("inside"):
                pass
            run.emitter.close(10)
            analysis = et.connect(ready["endpoint"], key=path)
            while not [call for call in analysis.calls if call.ended]:
                pass
            et.replay(tmp_path / "rec", to=ready["endpoint"], speed="max")
        finally:
            collect.configure(before)
    assert [call.operator_id for call in et.open(tmp_path / "rec").calls] == ["inside"]


def wrong_server(key: ClientKey) -> ClientKey:
    return dataclasses.replace(key, name="wrong-server", server_public=new_pair()[0])


def unknown_client(key: ClientKey) -> ClientKey:
    public, secret = new_pair()
    return dataclasses.replace(key, name="unknown", public=public, secret=secret)


def no_key(key: ClientKey) -> None:
    return None


@pytest.mark.parametrize("spoil", [wrong_server, unknown_client, no_key])
def test_strangers_are_refused_and_told_so(
    tmp_path: pathlib.Path,
    keys: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[ClientKey], ClientKey | None],
) -> None:
    key = spoil(client_key(keys))
    with aggregator(tmp_path / "rec", "--keys", str(keys)) as (ready, _):
        emitter = emitter_for(ready["endpoint"], key=key)
        with caplog.at_level(logging.WARNING, "embertrace"):
            emitter.put(b"\x90")
            started = time.monotonic()
            while "events are held" not in caplog.text:
                assert time.monotonic() - started < 30, "nothing is said"
            with pytest.raises(SecurityError, match=f"the aggregator at {ready['endpoint']} "):
                list(et.connect(ready["endpoint"], key=key).calls)
        assert not emitter.close(0)
    assert batches(tmp_path / "rec") == 0


def test_a_client_that_is_added_is_let_in_at_once(tmp_path: pathlib.Path, keys: pathlib.Path) -> None:
    with aggregator(tmp_path / "rec", "--keys", str(keys)) as (ready, _):
        with pytest.raises(SecurityError):
            et.connect(ready["endpoint"], key=dataclasses.replace(unknown_client(client_key(keys)), name="bob")).runs()
        make_keys(keys, ["bob"], new_pair)
        assert list(et.connect(ready["endpoint"], key=keys / "clients" / "bob.key").runs()) == []


def test_beyond_this_machine_it_listens_with_keys_only(tmp_path: pathlib.Path, keys: pathlib.Path) -> None:
    assert "say --keys DIR" in refused(tmp_path / "rec", "--bind", "tcp://0.0.0.0:0")
    with aggregator(tmp_path / "rec", "--keys", str(keys), bind="tcp://0.0.0.0:0") as (ready, _):
        endpoint = ready["endpoint"].replace("0.0.0.0", "127.0.0.1")
        assert list(et.connect(endpoint, key=client_key(keys)).runs()) == []


def test_keys_that_can_not_be_used_stop_it_with_a_sentence(tmp_path: pathlib.Path, keys: pathlib.Path) -> None:
    assert "can't be read" in refused(tmp_path / "rec", "--keys", str(tmp_path / "nowhere"))
    (keys / "aggregator.key").chmod(0o640)
    assert "chmod 600" in refused(tmp_path / "rec", "--keys", str(keys))
