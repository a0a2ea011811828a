"""Keys as files: made once, private, and refused where they are not."""

from __future__ import annotations

import pathlib

import pytest

from embertrace.errors import SecurityError
from embertrace.handshake import new_pair
from embertrace.keys import ClientKey, ServerKey, allowed, find, load, make_keys, read_token


def test_keys_are_private_and_say_nothing_of_their_secret(tmp_path: pathlib.Path) -> None:
    made = make_keys(tmp_path / "keys", ["alice", "bob"], new_pair)
    names = ["aggregator.key", "alice.key", "alice.pub", "bob.key", "bob.pub", "http.token"]
    assert sorted(path.name for path in made) == names
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    alice, server = ClientKey.read(tmp_path / "keys/clients/alice.key"), ServerKey.read(tmp_path / "keys")
    assert alice.server_public == server.public
    assert alice.public in allowed(tmp_path / "keys")
    assert alice.secret.decode() not in repr(alice)
    assert server.secret.decode() not in repr(server)
    assert load(alice) is alice
    assert find("alice") is alice
    assert len(read_token(tmp_path / "keys")) >= 43


def test_nothing_is_overwritten(tmp_path: pathlib.Path) -> None:
    make_keys(tmp_path, ["alice"], new_pair)
    server = ServerKey.read(tmp_path)
    with pytest.raises(SecurityError, match="client 'alice' has a key"):
        make_keys(tmp_path, ["bob", "alice"], new_pair)
    assert not (tmp_path / "clients" / "bob.key").exists()
    token = read_token(tmp_path)
    make_keys(tmp_path, ["bob"], new_pair)
    assert read_token(tmp_path) == token
    assert ServerKey.read(tmp_path) == server
    assert len(allowed(tmp_path)) == 2


@pytest.mark.parametrize("name", ["", "../alice", "a/b", "-x", "x" * 101])
def test_names_stay_in_their_directory(tmp_path: pathlib.Path, name: str) -> None:
    with pytest.raises(SecurityError, match="a name has letters"):
        make_keys(tmp_path, [name], new_pair)


def test_what_is_no_key_is_refused_with_a_sentence(tmp_path: pathlib.Path) -> None:
    make_keys(tmp_path, ["alice"], new_pair)
    path = tmp_path / "clients" / "alice.key"
    text = path.read_text()
    path.chmod(0o644)
    with pytest.raises(SecurityError, match=r"can be read by others \(mode 0644\): chmod 600"):
        ClientKey.read(path)
    path.chmod(0o600)
    for broken, words in (
        ("", "not JSON"),
        ("{}", "lacks one of"),
        (text.replace('"public": "', '"public": "~'), "Z85"),
    ):
        path.write_text(broken)
        with pytest.raises(SecurityError, match=words):
            ClientKey.read(path)
    path.write_text("x" * 5000)
    with pytest.raises(SecurityError, match="too large"):
        ClientKey.read(path)
    path.unlink()
    with pytest.raises(SecurityError, match="`embertrace keys` makes keys"):
        ClientKey.read(path)


def test_the_allow_list_takes_no_links(tmp_path: pathlib.Path) -> None:
    make_keys(tmp_path, ["alice"], new_pair)
    (tmp_path / "clients" / "mallory.pub").symlink_to(tmp_path / "clients" / "alice.pub")
    with pytest.raises(SecurityError, match="symbolic link"):
        allowed(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "short", "x" * 600, "two words of a token that is long", "ümlaut" * 8, "a" * 5000]
)
def test_what_is_no_token_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    make_keys(tmp_path, [], new_pair)
    (tmp_path / "http.token").write_text(text)
    with pytest.raises(SecurityError, match="is no token"):
        read_token(tmp_path)


def test_a_token_that_others_can_read_is_refused(tmp_path: pathlib.Path) -> None:
    make_keys(tmp_path, [], new_pair)
    (tmp_path / "http.token").chmod(0o644)
    with pytest.raises(SecurityError, match="chmod 600"):
        read_token(tmp_path)
    (tmp_path / "http.token").unlink()
    with pytest.raises(SecurityError, match="can't be read"):
        read_token(tmp_path)
