"""Reads pcapng files and puts TCP streams together again; nothing is shared with what wrote them.

See draft-ietf-opsawg-pcapng for the blocks, RFC 791, RFC 8200 and RFC 9293 for what is in them.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field
from pathlib import Path

SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

End = tuple[str, int]


@dataclass(frozen=True)
class Segment:
    """One packet: when, from whom, to whom, and what TCP says."""

    time: int
    source: End
    target: End
    sequence: int
    acknowledged: int
    flags: int
    data: bytes
    outbound: bool
    dropped: int
    comment: str


@dataclass
class Section:
    """What one section header begins: a capture of its own."""

    description: str = ""
    segments: list[Segment] = field(default_factory=list)
    dropped: int | None = None

    @property
    def comments(self) -> list[str]:
        return [segment.comment for segment in self.segments if segment.comment]


@dataclass
class Stream:
    """One connection, from its SYN to its end."""

    opened: Segment
    segments: list[Segment]

    def data(self, *, opener: bool) -> bytes:
        """All bytes of one direction; fails where one is missing, or there twice."""
        pieces = [s for s in self.segments if (s.source == self.opened.source) == opener]
        (first,) = [s.sequence for s in pieces if s.flags & SYN]
        data = bytearray()
        for segment in pieces:
            if segment.data:
                assert segment.sequence == (first + 1 + len(data)) % 2**32
                data += segment.data
        return bytes(data)

    @property
    def end(self) -> str:
        """How it ended."""
        flags = [segment.flags for segment in self.segments]
        if any(bits & RST for bits in flags):
            return "reset"
        return "closed" if sum(bool(bits & FIN) for bits in flags) == 2 else "open"


def read(path: Path) -> list[Section]:
    """Return the sections of a file; each block, option and checksum is looked at."""
    return parse(path.read_bytes())


def parse(data: bytes) -> list[Section]:
    sections: list[Section] = []
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert length % 4 == 0 and at + length <= len(data), "a block that is cut"
        assert struct.unpack_from("<I", data, at + length - 4) == (length,)
        body = data[at + 8 : at + length - 4]
        at += length
        if kind == SECTION:
            assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
            sections.append(Section())
        elif kind == INTERFACE:
            link, _, snap = struct.unpack_from("<HHI", body)
            told = options(body[8:])
            assert (link, snap, told[9]) == (101, 0, b"\x09")
            sections[-1].description = told[3].decode()
        elif kind == PACKET:
            sections[-1].segments.append(packet(body))
        else:
            assert kind == STATISTICS
            told = options(body[12:])
            (sections[-1].dropped,) = struct.unpack("<Q", told[5])
    return sections


def options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while True:
        code, length = struct.unpack_from("<HH", data, at)
        at += 4
        if code == 0:
            assert (length, at) == (0, len(data))
            return found
        assert code not in found
        found[code] = data[at : at + length]
        at += length + -length % 4


def packet(body: bytes) -> Segment:
    interface, high, low, length, original = struct.unpack_from("<IIIII", body)
    assert (interface, length) == (0, original)
    told = options(body[20 + length + -length % 4 :])
    (flags,) = struct.unpack("<I", told[2])
    dropped = struct.unpack("<Q", told[4])[0] if 4 in told else 0
    comment = told.get(1, b"").decode()
    return segment(body[20 : 20 + length], high << 32 | low, flags == 2, dropped, comment)


def segment(frame: bytes, time: int, outbound: bool, dropped: int, comment: str) -> Segment:
    if frame[0] >> 4 == 4:
        assert frame[0] == 0x45 and frame[9] == 6
        assert struct.unpack_from(">H", frame, 2) == (len(frame),)
        assert checksum(frame[:20]) == 0
        names, tcp = frame[12:20], frame[20:]
    else:
        assert frame[0] >> 4 == 6 and frame[6] == 6
        names, tcp = frame[8:40], frame[40:]
        assert struct.unpack_from(">H", frame, 4) == (len(tcp),)
    assert checksum(names + struct.pack(">HH", 6, len(tcp)) + tcp) == 0
    half = len(names) // 2
    source, target = (str(ipaddress.ip_address(name)) for name in (names[:half], names[half:]))
    from_port, to_port, sequence, acknowledged, offset, flags = struct.unpack_from(">HHIIBB", tcp)
    return Segment(
        time,
        (source, from_port),
        (target, to_port),
        sequence,
        acknowledged,
        flags,
        tcp[(offset >> 4) * 4 :],
        outbound,
        dropped,
        comment,
    )


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def streams(segments: list[Segment]) -> list[Stream]:
    """Sort segments into connections; a SYN begins a new one between the same ends."""
    found: list[Stream] = []
    open_ones: dict[frozenset[End], Stream] = {}
    for one in segments:
        ends = frozenset((one.source, one.target))
        if one.flags & (SYN | ACK) == SYN:
            open_ones[ends] = Stream(one, [])
            found.append(open_ones[ends])
        open_ones[ends].segments.append(one)
    return found
