"""PNGs made small: at most 256 colours, which a picture of a page hardly has more of."""

from __future__ import annotations

import struct
import zlib

import numpy as np

COLOURS = 256
FREQUENT = 64
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def reduced(png: bytes) -> bytes:
    """The same picture with a palette. Of an RGB or RGBA PNG with 8 bits and without interlace; opaque."""
    pixels = read(png)
    colours, where = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    counts = np.bincount(where.ravel())
    palette, nearest = _palette(colours.astype(np.int64), counts)
    indices = nearest[where.ravel()].astype(np.uint8).reshape(pixels.shape[:2])
    height, width = indices.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), indices], axis=1).tobytes()
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(_chunk(kind, body) for kind, body in chunks)


def read(png: bytes) -> np.ndarray:
    """The pixels, (height, width, 3)."""
    assert png.startswith(SIGNATURE)
    at, found = len(SIGNATURE), {b"IDAT": b""}
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        found[kind] = found.get(kind, b"") + png[at + 8 : at + 8 + length]
        at += 12 + length
    width, height, bits, colour, _, _, interlace = struct.unpack(">IIBBBBB", found[b"IHDR"])
    assert bits == 8 and colour in (2, 6) and not interlace
    channels = 3 if colour == 2 else 4
    lines = np.frombuffer(zlib.decompress(found[b"IDAT"]), np.uint8).reshape(height, 1 + width * channels)
    pixels = np.zeros((height, width * channels), np.uint8)
    above = np.zeros(width * channels, np.uint8)
    for number, line in enumerate(lines):
        above = pixels[number] = _unfiltered(int(line[0]), line[1:], above, channels)
    return pixels.reshape(height, width, channels)[:, :, :3]


def _unfiltered(kind: int, line: np.ndarray, above: np.ndarray, channels: int) -> np.ndarray:
    if kind == 0:
        return line
    if kind == 2:
        return line + above
    if kind == 1:
        return np.cumsum(line.reshape(-1, channels), axis=0, dtype=np.uint8).ravel()
    made = bytearray(line)
    up = above.tobytes()
    for place in range(len(made)):
        left = made[place - channels] if place >= channels else 0
        corner = up[place - channels] if place >= channels else 0
        guess = (left + up[place]) // 2 if kind == 3 else _paeth(left, up[place], corner)
        made[place] = (made[place] + guess) & 0xFF
    return np.frombuffer(bytes(made), np.uint8)


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    distances = abs(guess - left), abs(guess - above), abs(guess - corner)
    return (left, above, corner)[distances.index(min(distances))]


def _palette(colours: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The colours to use, and of each given one which: the most frequent, then those that the others are worst for."""
    chosen = np.argsort(-counts, kind="stable")[:FREQUENT].tolist()
    distance = np.full(len(colours), np.inf)
    nearest = np.zeros(len(colours), np.int64)
    place = 0
    while place < len(chosen):
        apart = ((colours - colours[chosen[place]]) ** 2).sum(axis=1)
        nearest[apart < distance] = place
        distance = np.minimum(apart, distance)
        place += 1
        if place == len(chosen) and place < COLOURS and distance.any():
            chosen.append(int((distance * counts).argmax()))
    return colours[chosen], nearest


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
