"""Keys: who may talk to an aggregator, as files. The aggregator has a directory, each client one file.

    DIR/aggregator.key        the aggregator's key pair, mode 0600
    DIR/clients/NAME.key      what client NAME needs, mode 0600: give it to that client, and to nobody else
    DIR/clients/NAME.pub      its public part: the allow-list is all of these
    DIR/http.token            what who asks over HTTP shows (one line of text), mode 0600

Rules:
- A secret that others can read is refused, and so is a symbolic link in the allow-list.
- Nothing is overwritten: a key that is to be replaced is removed first.
- Inside a process a key is known by its name (`register`, `find`): carriers hold names, never keys.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import stat
import threading
from collections.abc import Sequence
from typing import Any

from embertrace.errors import SecurityError

KEY_CHARS = 40
"""A CURVE key in Z85: 32 bytes as text."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_Z85 = re.compile(rb"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
TOKEN = "http.token"
TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{22,512}")
"""What a bearer token may be made of (RFC 6750), and never one that can be guessed."""
EMBEDDED = "embedded-"
"""So begin the names of keys that a session makes for itself; they end with it."""
MAX_KEY_BYTES = 4096
MAX_CLIENTS = 10_000
"""Public keys in one allow-list: all are read when the directory changes."""

Pair = tuple[bytes, bytes]
"""Public and secret key."""

_known: dict[str, ClientKey] = {}
_lock = threading.Lock()


@dataclasses.dataclass(frozen=True, slots=True)
class ClientKey:
    """What a client needs: its own pair, and the public key of the aggregator it trusts."""

    name: str
    server_public: bytes
    public: bytes
    secret: bytes = dataclasses.field(repr=False)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ClientKey:
        """The key in a client's file. Raises SecurityError."""
        values = _read_secret(pathlib.Path(path), ("name", "server_public", "public", "secret"))
        return cls(values["name"], *(_key(path, values, name) for name in ("server_public", "public", "secret")))


@dataclasses.dataclass(frozen=True, slots=True)
class ServerKey:
    """The aggregator's own pair."""

    public: bytes
    secret: bytes = dataclasses.field(repr=False)

    @classmethod
    def read(cls, directory: str | os.PathLike[str]) -> ServerKey:
        """The aggregator's key in a key directory. Raises SecurityError."""
        path = pathlib.Path(directory) / "aggregator.key"
        values = _read_secret(path, ("public", "secret"))
        return cls(_key(path, values, "public"), _key(path, values, "secret"))


def make_keys(directory: str | os.PathLike[str], clients: Sequence[str], new_pair: Any) -> list[pathlib.Path]:
    """Make the aggregator's key and token, if there are none, and one for each new client; the files that were made.

    `new_pair` makes a (public, secret) pair. Raises SecurityError for a name that can't be used, or is taken.
    """
    home = pathlib.Path(directory)
    for name in clients:
        if not _NAME.fullmatch(name):
            raise SecurityError(f"client {name!r}: a name has letters, digits, '.', '_' and '-', at most 100")
        if (home / "clients" / f"{name}.key").exists() or (home / "clients" / f"{name}.pub").exists():
            raise SecurityError(f"client {name!r} has a key in {home} already; remove it first, or choose another name")
    made = []
    try:
        (home / "clients").mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)
        if not (home / "aggregator.key").exists():
            public, secret = new_pair()
            made.append(_write(home / "aggregator.key", {"public": public.decode(), "secret": secret.decode()}))
        if not (home / TOKEN).exists():
            from secrets import token_urlsafe  # takes as long to load as a tenth of embertrace

            made.append(_write_text(home / TOKEN, token_urlsafe(TOKEN_BYTES)))
        server = ServerKey.read(home)
        for name in clients:
            public, secret = new_pair()
            keys = {"server_public": server.public.decode(), "public": public.decode(), "secret": secret.decode()}
            made.append(_write(home / "clients" / f"{name}.key", {"name": name, **keys}))
            made.append(_write(home / "clients" / f"{name}.pub", {"public": public.decode()}))
    except OSError as error:
        raise SecurityError(f"keys can't be written to {home}: {error.strerror or error}") from error
    return made


def allowed(directory: str | os.PathLike[str]) -> frozenset[bytes]:
    """The public keys of all clients. Empty without any. Raises SecurityError for what can't be read."""
    found = set()
    paths = sorted((pathlib.Path(directory) / "clients").glob("*.pub"))
    if len(paths) > MAX_CLIENTS:
        raise SecurityError(f"{directory} has {len(paths)} clients; at most {MAX_CLIENTS} are allowed")
    for path in paths:
        if path.is_symlink():
            raise SecurityError(f"{path} is a symbolic link; the allow-list takes files only")
        found.add(_key(path, _read(path, ("public",)), "public"))
    return frozenset(found)


def read_token(directory: str | os.PathLike[str]) -> str:
    """The token in a key directory. Raises SecurityError where there is none, or others can read it."""
    path = pathlib.Path(directory) / TOKEN
    _check_secret(path)
    try:
        token = (
            path.read_text(encoding="utf-8", errors="replace").strip() if path.stat().st_size < MAX_KEY_BYTES else ""
        )
    except OSError as error:
        raise SecurityError(f"the token {path} can't be read: {error.strerror or error}") from None
    if not _TOKEN.fullmatch(token):
        raise SecurityError(f"{path} is no token: remove it, and `embertrace keys` makes another")
    return token


def register(key: ClientKey) -> ClientKey:
    """Make a key known by its name in this process."""
    with _lock:
        _known[key.name] = key
    return key


def find(name: str) -> ClientKey | None:
    """The key of that name, if it is known in this process."""
    return _known.get(name)


def load(given: str | os.PathLike[str] | ClientKey | None) -> ClientKey | None:
    """A key from what a user gave: a path, or the key itself; known by its name from then on. Raises SecurityError."""
    if given is None:
        return None
    return register(given if isinstance(given, ClientKey) else ClientKey.read(given))


def _write(path: pathlib.Path, values: dict[str, str]) -> pathlib.Path:
    return _write_text(path, json.dumps(values, indent=1))


def _write_text(path: pathlib.Path, text: str) -> pathlib.Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{text}\n")
    return path


def _read_secret(path: pathlib.Path, names: Sequence[str]) -> dict[str, str]:
    _check_secret(path)
    return _read(path, names)


def _check_secret(path: pathlib.Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise SecurityError(
            f"the key {path} can't be read: {error.strerror or error}; `embertrace keys` makes keys"
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise SecurityError(f"the key {path} can be read by others (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}")


def _read(path: pathlib.Path, names: Sequence[str]) -> dict[str, str]:
    try:
        if path.stat().st_size > MAX_KEY_BYTES:
            raise SecurityError(f"{path} is too large to be a key")
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SecurityError(f"the key {path} can't be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise SecurityError(f"{path} is no key: it is not JSON") from None
    if not isinstance(values, dict) or any(not isinstance(values.get(name), str) for name in names):
        raise SecurityError(f"{path} is no key: it lacks one of {', '.join(names)}")
    return values


def _key(path: str | os.PathLike[str], values: dict[str, str], name: str) -> bytes:
    key = values[name].encode("utf-8", "surrogatepass")  # JSON may hold lone surrogates; they are no Z85 either
    if not _Z85.fullmatch(key):
        raise SecurityError(f"{os.fspath(path)} is no key: {name} is not {KEY_CHARS} characters of Z85")
    return key
