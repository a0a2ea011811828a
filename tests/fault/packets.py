"""As much of IPv4 and TCP as a wire needs that can reset connections: reading segments, and making a RST. Pure."""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
_TCP = 6
_IP_HEADER = struct.Struct("!BBHHHBBH4s4s")
_TCP_HEADER = struct.Struct("!HHIIBBHHH")

End = tuple[str, int]
"""One end of a connection: address and port."""


class Segment(NamedTuple):
    """A TCP segment's header."""

    source: End
    target: End
    seq: int
    ack: int
    flags: int

    @property
    def connection(self) -> frozenset[End]:
        """The same for both directions."""
        return frozenset((self.source, self.target))


def read_segment(packet: bytes) -> Segment | None:
    """The TCP segment in an IPv4 packet; None for any other packet, and for a fragment without the header."""
    if len(packet) < _IP_HEADER.size or packet[0] >> 4 != 4:
        return None
    _, _, _, _, fragment, _, protocol, _, source, target = _IP_HEADER.unpack_from(packet)
    start = (packet[0] & 0x0F) * 4
    if protocol != _TCP or fragment & 0x1FFF or len(packet) < start + _TCP_HEADER.size:
        return None
    source_port, target_port, seq, ack, _, flags, *_ = _TCP_HEADER.unpack_from(packet, start)
    return Segment((_text(source), source_port), (_text(target), target_port), seq, ack, flags)


def reset_packet(source: End, target: End, seq: int) -> bytes:
    """The packet that makes `target` reset its connection to `source`.

    `seq` must be exactly the one that `target` expects next (what it last acknowledged), or it is not believed.
    """
    addresses = ipaddress.IPv4Address(source[0]).packed, ipaddress.IPv4Address(target[0]).packed
    tcp = _TCP_HEADER.pack(source[1], target[1], seq, 0, 5 << 4, RST, 0, 0, 0)
    pseudo = b"".join(addresses) + struct.pack("!BBH", 0, _TCP, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", _checksum(pseudo + tcp)) + tcp[18:]
    ip = _IP_HEADER.pack(0x45, 0, _IP_HEADER.size + len(tcp), 0, 0x4000, 64, _TCP, 0, *addresses)
    return ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:] + tcp


def _text(address: bytes) -> str:
    return str(ipaddress.IPv4Address(address))


def _checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
