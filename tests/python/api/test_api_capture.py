"""Captures of relays that run in this process."""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from connections import PATIENCE, everything
from ferrule import AddressError, Capture, OpenError, Relay
from hypothesis import given, settings
from hypothesis import strategies as st

# The reader of packets is that of the tests of the command line.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import packets

FORMATS = ["text", "hex", "pcapng"]
PIECES = st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=3000)), max_size=30)


def relayed(text: str, capture: str | Path | Capture) -> None:
    report = Relay(f"TEXT:{text}", "OPEN:/dev/null", direction="left-to-right", capture=capture).run()
    assert report.is_success


def test_a_path_is_enough(tmp_path: Path) -> None:
    relayed("hello", tmp_path / "x.txt")
    relayed("again", os.fspath(tmp_path / "x.txt"))
    text = (tmp_path / "x.txt").read_text()
    assert re.findall(r"1 > (.*)", text) == ["hello", "again"]
    assert text.count("1 * ended: finished, 5 bytes to the right, 0 to the left\n") == 2


@pytest.mark.parametrize("form", FORMATS)
def test_formats_sizes_and_numbers(tmp_path: Path, form: str) -> None:
    capture = Capture(tmp_path / "x", format=form, size=4096, files=3)  # type: ignore[arg-type]
    relayed("y" * 20_000, capture)
    files = sorted(tmp_path.iterdir())
    assert len(files) in {1, 2, 3}
    assert all(b"ferrule" in file.read_bytes() or b"TEXT:y" in file.read_bytes() for file in files)


def test_what_makes_no_sense_is_told_before_anything_is_opened(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for capture, words in [
        (Capture("x"), "does not say its format"),
        (Capture("x", format="pcap"), 'no format "pcap"'),  # type: ignore[arg-type]
        (Capture("x.txt", size=5), "too small"),
        (Capture("x.txt", files=5), "have no size"),
        (Capture("x.txt", size=4096, files=0), "keeps nothing"),
    ]:
        with pytest.raises(AddressError, match=words) as raised:
            Relay("TEXT:x", f"CREATE:{made}", capture=capture)
        assert raised.value.hint
    relay = Relay("TEXT:x", f"CREATE:{made}", direction="left-to-right", capture=tmp_path / "no" / "x.txt")
    with pytest.raises(OpenError, match="No such file") as failed:
        relay.run()
    assert failed.value.address == f'capture file "{tmp_path}/no/x.txt"'
    assert not made.exists()
    with pytest.raises(TypeError):
        Relay("TEXT:x", "PIPE", capture=5)  # type: ignore[arg-type]


def test_a_capture_says_what_it_is() -> None:
    assert repr(Capture(Path("x.txt"))) == "Capture('x.txt')"
    assert repr(Capture("x", format="hex", size=4096)) == "Capture('x', format='hex', size=4096)"


def test_one_file_belongs_to_one_run(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        relay = Relay(f"FD:{theirs.fileno()}", "PIPE", capture=tmp_path / "x.txt")
        with relay.start() as running:
            ours.sendall(b"ping")
            assert ours.recv(4) == b"ping"
            with pytest.raises(OpenError, match="another capture writes this file"):
                relay.run()
            running.stop()
            assert running.wait(PATIENCE).ended == "stopped"
        with relay.start() as running:
            ours.sendall(b"pong")
            assert ours.recv(4) == b"pong"
    assert re.findall(r"1 > (.*)", (tmp_path / "x.txt").read_text()) == ["ping", "pong"]


def test_an_aborted_relay_leaves_a_whole_file(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    file = tmp_path / "x.pcapng"
    with ours, theirs, Relay(f"FD:{theirs.fileno()}", "PIPE", capture=file).start() as running:
        ours.sendall(b"ping")
        assert ours.recv(4) == b"ping"
        running.abort()
        assert running.wait(PATIENCE).ended == "stopped"
        (section,) = packets.read(file)
    (stream,) = packets.streams(section.segments)
    assert (stream.data(opener=True), stream.end, section.dropped) == (b"ping", "reset", 0)
    # By itself in order, or dropped, whichever comes first.
    assert re.match("session 1 ended: (stopped|broken off)", section.comments[-1])


@settings(max_examples=40, deadline=None)
@given(pieces=PIECES)
def test_any_conversation_can_be_put_together_again(pieces: list[tuple[bool, bytes]]) -> None:
    """What was said is in the file once and in order, both ways, and the times never go back."""
    (left, a), (right, b) = socket.socketpair(), socket.socketpair()
    with tempfile.TemporaryDirectory() as folder, left, right, a, b:
        file = Path(folder) / "x.pcapng"
        with Relay(
            f"FD:{a.fileno()},shut-down", f"FD:{b.fileno()},shut-down", capture=file
        ).start() as running:
            heard: dict[socket.socket, bytes] = {}

            def listen(end: socket.socket) -> None:
                heard[end] = everything(end)

            listeners = [threading.Thread(target=listen, args=(end,)) for end in (left, right)]
            for listener in listeners:
                listener.start()
            for to_right, piece in pieces:
                (left if to_right else right).sendall(piece)
            for end in (left, right):
                end.shutdown(socket.SHUT_WR)
            for listener in listeners:
                listener.join(PATIENCE)
            assert running.wait(PATIENCE).is_success
        (section,) = packets.read(file)
        (stream,) = packets.streams(section.segments)
    said = [b"".join(piece for to_right, piece in pieces if to_right is way) for way in (True, False)]
    assert [heard[right], heard[left]] == said
    assert [stream.data(opener=True), stream.data(opener=False)] == said
    assert (stream.end, section.dropped) == ("closed", 0)
    times = [segment.time for segment in section.segments]
    assert times == sorted(times)
