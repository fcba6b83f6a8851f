"""Captures: what a relay moves, kept as text, rows of hex and packets; read back by Wireshark's tshark."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import packets
import pytest
from lines import LIMIT, Done, Tool, wait_until
from packets import Section, streams
from peers import Server, ask, dial, echo, pattern, read_all, read_exactly, reset, wait_listening

STAMP = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}"


@pytest.fixture
def tshark() -> Callable[..., str]:
    """Runs tshark on a file; `make test` installs it as root, so only others may go without."""
    path = shutil.which("tshark")
    if path is None:
        assert os.geteuid() != 0, "tshark is missing: apt-get install tshark"
        pytest.skip("tshark is not installed here and only root could install it")

    def run(file: Path | bytes, *arguments: str) -> str:
        given = file if isinstance(file, bytes) else file.read_bytes()
        # Dissectors of chance ports must not find things in what is no protocol.
        command = [
            path,
            "-r",
            "-",
            "-n",
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "ip.check_checksum:TRUE",
            *arguments,
        ]
        done = subprocess.run(command, input=given, capture_output=True, timeout=2 * LIMIT, check=False)
        complaints = [line for line in done.stderr.decode().splitlines() if "Running as user" not in line]
        assert (done.returncode, complaints) == (0, [])
        return done.stdout.decode()

    return run


def complaints(tshark: Callable[..., str], file: Path) -> str:
    """What Wireshark finds wrong with packets: checksums, gaps, retransmissions, full windows."""
    wrong = "tcp.analysis.flags || tcp.checksum.status == 0 || ip.checksum.status == 0 || _ws.malformed"
    return tshark(file, "-Y", wrong)


def followed(tshark: Callable[..., str], file: Path, stream: int = 0) -> tuple[bytes, bytes]:
    """The bytes of both directions as "Follow TCP Stream" gives them: of who opened it, of the other one."""
    lines = tshark(file, "-q", "-z", f"follow,tcp,raw,{stream}").splitlines()
    body = [line for line in lines if re.fullmatch(r"\t?[0-9a-f]+", line)]
    there = bytes.fromhex("".join(line for line in body if not line.startswith("\t")))
    back = bytes.fromhex("".join(line.strip() for line in body if line.startswith("\t")))
    return there, back


def only(path: Path) -> Section:
    (section,) = packets.read(path)
    return section


def forwarded(
    ferrule: Tool, port: int, server: Server, file: str, *more: str, question: bytes
) -> tuple[bytes, Done, int]:
    """One client of a forwarding line with a capture: the answer, what the line left, the client's port."""
    listener = f"TCP-LISTEN:{port},reuseaddr,bind=127.0.0.1"
    line = ferrule.start("-t", "10", "--capture", file, *more, listener, f"TCP:127.0.0.1:{server.port}")
    wait_listening(port)
    client = dial(port)
    here = client.getsockname()[1]
    return ask(client, question), line.wait(), here


# Packets, for Wireshark


def test_a_stream_is_followed_byte_for_byte(
    ferrule: Tool,
    tmp_path: Path,
    free_port: Callable[[], int],
    serve: Callable[..., Server],
    tshark: Callable[..., str],
) -> None:
    data, server = pattern(300_001), serve(echo)
    answer, done, client = forwarded(ferrule, free_port(), server, "x.pcapng", question=data)
    assert (answer == data, done.code, done.err) == (True, 0, "")
    file = tmp_path / "x.pcapng"
    assert followed(tshark, file) == (data, data)
    assert complaints(tshark, file) == ""
    section = only(file)
    numbers = tshark(file, "-T", "fields", "-e", "frame.number").split()
    assert len(numbers) == len(section.segments) > 10
    (stream,) = streams(section.segments)
    assert (stream.opened.source, stream.opened.target) == (("127.0.0.1", client), ("127.0.0.1", server.port))
    assert (stream.data(opener=True), stream.data(opener=False), stream.end) == (data, data, "closed")
    # SYN, SYN-ACK, ACK, data and FIN: complete, once all have been seen.
    assert tshark(file, "-T", "fields", "-e", "tcp.completeness").split()[-1] == "31"
    assert section.dropped == 0


def test_times_are_exact_and_never_go_back(
    ferrule: Tool,
    tmp_path: Path,
    free_port: Callable[[], int],
    serve: Callable[..., Server],
    tshark: Callable[..., str],
) -> None:
    forwarded(ferrule, free_port(), serve(echo), "x.pcapng", question=pattern(100_000))
    file = tmp_path / "x.pcapng"
    shown = tshark(file, "-T", "fields", "-e", "frame.time_epoch").split()
    assert all(re.fullmatch(r"\d+\.\d{9}", time) for time in shown)
    assert shown == sorted(shown)
    times = [segment.time for segment in only(file).segments]
    assert [f"{time // 10**9}.{time % 10**9:09}" for time in times] == shown
    assert abs(times[-1] / 1e9 - file.stat().st_mtime) < LIMIT


def test_http_is_taken_apart(
    ferrule: Tool,
    tmp_path: Path,
    free_port: Callable[[], int],
    serve: Callable[..., Server],
    tshark: Callable[..., str],
) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello")

    server = serve(answer)
    request = b"GET /page?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    forwarded(ferrule, free_port(), server, "x.pcapng", question=request)
    arguments = ("-d", f"tcp.port=={server.port},http", "-Y", "http", "-T", "fields", "-E", "separator=;")
    shown = tshark(tmp_path / "x.pcapng", *arguments, "-e", "http.request.uri", "-e", "http.response.code")
    assert shown.splitlines() == ["/page?x=1;", ";200"]


def test_sessions_are_streams_with_comments(
    ferrule: Tool,
    tmp_path: Path,
    free_port: Callable[[], int],
    serve: Callable[..., Server],
    tshark: Callable[..., str],
) -> None:
    port, server, file = free_port(), serve(echo), tmp_path / "x.pcapng"
    listener = f"TCP-LISTEN:{port},reuseaddr,fork,bind=127.0.0.1"
    line = ferrule.start("--capture", "x.pcapng", listener, f"TCP:127.0.0.1:{server.port}")
    wait_listening(port)
    clients = [dial(port) for _ in range(5)]
    for number, client in enumerate(clients):
        client.sendall(b"client %d" % number)
    for number, client in enumerate(clients):
        assert read_exactly(client, 8) == b"client %d" % number
        client.close()
    wait_until(
        lambda: "".join(only(file).comments).count(" ended: finished, 8 ") == 5, "five ends in the file"
    )
    assert line.terminate().code == 143
    found = streams(only(file).segments)
    assert {stream.data(opener=True) for stream in found} == {b"client %d" % n for n in range(5)}
    assert [stream.end for stream in found] == ["closed"] * 5
    for number in range(5):
        there, back = followed(tshark, file, number)
        assert there == back == found[number].data(opener=True)
    client, there = r"\(127\.0\.0\.1:\d+\)", rf"TCP:127\.0\.0\.1:{server.port} \(127\.0\.0\.1:{server.port}\)"
    begin = f"session 1 begins: {re.escape(listener)} {client} <-> {there}"
    assert re.fullmatch(begin, only(file).comments[0])
    assert "session 1 begins" in tshark(file, "-Y", "frame.comment", "-T", "fields", "-e", "frame.comment")


def test_ends_that_are_nowhere_are_made_up(ferrule: Tool, tmp_path: Path, tshark: Callable[..., str]) -> None:
    done = ferrule.run("--capture", "x.pcapng", "TEXT:hello", "EXEC:'tr a-z A-Z'")
    assert (done.code, done.err) == (0, "")
    (stream,) = streams(only(tmp_path / "x.pcapng").segments)
    assert (stream.opened.source, stream.opened.target) == (("127.0.0.1", 10001), ("127.0.0.2", 65000))
    assert followed(tshark, tmp_path / "x.pcapng") == (b"hello", b"HELLO")


def test_one_address_is_enough_for_a_real_connection(
    ferrule: Tool, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    line = ferrule.start("--capture", "x.pcapng", f"TCP-LISTEN:{port},reuseaddr,bind=127.0.0.1", "EXEC:cat")
    wait_listening(port)
    client = dial(port)
    here = client.getsockname()[1]
    assert ask(client, b"question") == b"question"
    assert line.wait().code == 0
    (stream,) = streams(only(tmp_path / "x.pcapng").segments)
    assert (stream.opened.source, stream.opened.target) == (("127.0.0.1", here), ("127.0.0.1", port))


@pytest.mark.usefixtures("needs_ipv6")
def test_two_versions_of_ip_meet_in_the_wider_one(
    ferrule: Tool,
    tmp_path: Path,
    free_port: Callable[[], int],
    serve: Callable[..., Server],
    tshark: Callable[..., str],
) -> None:
    port, server, file = free_port(), serve(echo), tmp_path / "x.pcapng"
    line = ferrule.start(
        "--capture", "x.pcapng", f"TCP6-LISTEN:{port},reuseaddr", f"TCP4:127.0.0.1:{server.port}"
    )
    wait_listening(port)
    data = pattern(200_000)
    assert ask(dial(port, "::1"), data) == data
    assert line.wait().code == 0
    (stream,) = streams(only(file).segments)
    assert (stream.opened.source[0], stream.opened.target) == ("::1", ("::ffff:7f00:1", server.port))
    assert followed(tshark, file) == (data, data)
    assert complaints(tshark, file) == ""


# As it happens, and when it is broken off


def test_a_signal_leaves_a_whole_file(
    ferrule: Tool,
    tmp_path: Path,
    free_port: Callable[[], int],
    serve: Callable[..., Server],
    tshark: Callable[..., str],
) -> None:
    port, server, file = free_port(), serve(echo), tmp_path / "x.pcapng"
    listener = f"TCP-LISTEN:{port},reuseaddr,fork,bind=127.0.0.1"
    line = ferrule.start("--capture", "x.pcapng", listener, f"TCP:127.0.0.1:{server.port}")
    wait_listening(port)
    with dial(port) as client:
        client.sendall(b"half a ")
        assert read_exactly(client, 7) == b"half a "
        assert line.terminate().code == 143
    section = only(file)
    (stream,) = streams(section.segments)
    assert (stream.data(opener=True), stream.end, section.dropped) == (b"half a ", "closed", 0)
    assert section.comments[-1].startswith("session 1 ended: stopped, 7 bytes to the right, 7 to the left")
    assert followed(tshark, file) == (b"half a ", b"half a ")


def test_a_client_that_resets_is_seen(
    ferrule: Tool, tmp_path: Path, free_port: Callable[[], int], serve: Callable[..., Server]
) -> None:
    port, server, file = free_port(), serve(echo), tmp_path / "x.pcapng"
    listener = f"TCP-LISTEN:{port},reuseaddr,bind=127.0.0.1"
    line = ferrule.start("--capture", "x.pcapng", listener, f"TCP:127.0.0.1:{server.port}")
    wait_listening(port)
    client = dial(port)
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    reset(client)
    assert line.wait().code == 1
    (stream,) = streams(only(file).segments)
    assert stream.end == "reset"
    assert "Connection reset by peer" in only(file).comments[-1]


def test_a_killed_relay_leaves_whole_blocks_and_the_next_one_goes_on(
    ferrule: Tool,
    tmp_path: Path,
    free_port: Callable[[], int],
    serve: Callable[..., Server],
    tshark: Callable[..., str],
) -> None:
    port, server, file = free_port(), serve(echo), tmp_path / "x.pcapng"
    arguments = (f"TCP-LISTEN:{port},reuseaddr,fork,bind=127.0.0.1", f"TCP:127.0.0.1:{server.port}")
    for run in (1, 2):
        line = ferrule.start("--capture", "x.pcapng", *arguments)
        wait_listening(port)
        with dial(port) as client:
            client.sendall(b"run %d" % run)
            assert read_exactly(client, 5) == b"run %d" % run
            wait_until(
                lambda run=run: (
                    len(packets.read(file)) == run
                    and sum(len(s.data) for s in packets.read(file)[-1].segments) == 10
                ),
                "both ways in the file",
            )
            assert line.terminate(signal.SIGKILL).code == -9
    first, second = packets.read(file)
    assert (first.dropped, second.dropped) == (None, None)
    (stream,) = streams(second.segments)
    assert (stream.data(opener=True), stream.end) == (b"run 2", "open")
    assert followed(tshark, file, 1) == (b"run 2", b"run 2")


def test_a_capture_can_be_piped_into_a_reader(ferrule: Tool, tshark: Callable[..., str]) -> None:
    """As in `ferrule --capture - ... | wireshark -k -i -`."""
    line = ferrule.start("--capture", "-", "TEXT:abc!!OPEN:/dev/null", "EXEC:cat")
    done = line.wait()
    assert (done.code, done.err) == (0, "")
    (section,) = packets.parse(done.out)
    (stream,) = streams(section.segments)
    assert (stream.data(opener=True), stream.data(opener=False)) == (b"abc", b"abc")
    assert tshark(done.out, "-Y", "tcp.len > 0", "-T", "fields", "-e", "tcp.len").split() == ["3", "3"]


def test_packets_are_seen_while_the_relay_runs(ferrule: Tool) -> None:
    line = ferrule.start("--capture", "-", "STDIN!!OPEN:/dev/null", "EXEC:cat")
    line.send(b"typed")
    line.out.wait_for(b"typed.*typed")
    line.end_input()
    assert line.wait().code == 0


def test_a_reader_that_leaves_costs_a_warning(ferrule: Tool, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    line = ferrule.start("--capture", "fifo", "--capture-format", "pcapng", "-", "EXEC:cat")
    line.send(b"first")
    line.out.wait_for(b"first")
    os.close(reader)
    line.send(b"second")
    line.wait_for_log('W capture file "fifo": Broken pipe; the capture ends here, the relay goes on')
    line.send(b"third")
    done = line.finish()
    assert (done.code, done.out) == (0, b"firstsecondthird")
    assert len(done.level("WE")) == 1


@pytest.mark.parametrize("right", ["-", "STDOUT", "1", "FD:1", "TEXT:y", "TEXT:x!!STDOUT"])
def test_standard_output_cannot_be_both(ferrule: Tool, right: str) -> None:
    way = ["-u"] if right in {"STDOUT", "1"} else []
    done = ferrule.run("--capture", "-", *way, "TEXT:x!!PIPE", right)
    assert (done.code, done.out) == (1, b"")
    (error,) = done.level("E")
    assert error.startswith("the capture cannot go to standard output, which is the end")
    assert "hint: name a file" in done.err


# Text and hex


def test_text_has_a_line_for_each_block(ferrule: Tool, tmp_path: Path) -> None:
    line = ferrule.start("--capture", "x.txt", "-", "EXEC:cat")
    for block in (b"one\r\n", b"two\\\x00\xff"):
        line.send(block)
        line.out.wait_for(re.escape(block))
    assert line.finish().code == 0
    head, columns, *rest = (tmp_path / "x.txt").read_text().splitlines()
    assert head == "# - <-> EXEC:cat"
    assert columns.startswith("# date time session direction bytes")
    assert all(re.match(STAMP + " 1 ", text) for text in rest)
    assert [text[27:] for text in rest] == [
        "1 * begins: - <-> EXEC:cat",
        r"1 > one\r\n",
        r"1 < one\r\n",
        r"1 > two\\\x00\xff",
        r"1 < two\\\x00\xff",
        "1 * nothing more >",
        "1 * nothing more <",
        "1 * ended: finished, 11 bytes to the right, 11 to the left",
    ]
    assert stat.S_IMODE((tmp_path / "x.txt").stat().st_mode) == 0o600


def test_hex_is_that_of_hexdump(ferrule: Tool, tmp_path: Path, program: Callable[[str], Tool]) -> None:
    data = bytes(range(256)) + b"odd"
    done = ferrule.run("-u", "--capture=x.hex", "-", "CREATE:copy", stdin=data)
    assert (done.code, (tmp_path / "copy").read_bytes()) == (0, data)
    text = (tmp_path / "x.hex").read_text()
    assert re.search(rf"^{STAMP} 1 > 259 bytes from 0$", text, re.MULTILINE)
    rows = [line for line in text.splitlines() if re.match(r"[0-9a-f]{8}  ", line)]
    dumped = program("hexdump").run("-v", "-C", "copy").out.decode().splitlines()
    assert rows == dumped[:-1]


def test_the_format_may_be_said(ferrule: Tool, tmp_path: Path) -> None:
    assert ferrule.run("--capture", "x", "--capture-format=text", "TEXT:x", "PIPE").code == 0
    assert "1 > x" in (tmp_path / "x").read_text()
    for arguments, words in [
        (["--capture", "y"], 'the name of capture file "y" does not say its format'),
        (["--capture", "y", "--capture-format", "pcap"], 'a capture has no format "pcap"'),
        (["--capture-size", "1M"], "there is no capture"),
        (["--capture", "y.txt", "--capture-size", "10"], "files of 10 bytes are too small for a capture"),
        (["--capture", "$NOWHERE.txt"], 'variable "NOWHERE" in the name of a file is not set'),
        (
            ["--capture", "y.pcapng", "--capture-size", "1M", "--capture-files=0"],
            "a capture of no files keeps nothing",
        ),
        (["--capture", "no/y.txt"], 'capture file "no/y.txt": No such file or directory'),
    ]:
        done = ferrule.run(*arguments, "TEXT:x", "CREATE:made")
        assert (done.code, done.level("E")) == (1, [words])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


def test_names_have_variables(ferrule: Tool, tmp_path: Path) -> None:
    done = ferrule.run("--capture", "$KIND-$$-$TIMESTAMP.txt", "TEXT:x", "PIPE", env={"KIND": "lab"})
    assert done.code == 0
    (made,) = tmp_path.glob("lab-*.txt")
    assert re.fullmatch(r"lab-\d+-\d{8}T\d{6}\.txt", made.name)


# Size


def test_full_files_make_room_for_new_ones(ferrule: Tool, tmp_path: Path, tshark: Callable[..., str]) -> None:
    data = pattern(300_000)
    size = ("--capture-size", "64K", "--capture-files", "3")
    done = ferrule.run("-b1000", "-u", "--capture", "x.pcapng", *size, "-", "CREATE:copy", stdin=data)
    assert (done.code, (tmp_path / "copy").read_bytes() == data) == (0, True)
    names = ["x.pcapng.2", "x.pcapng.1", "x.pcapng"]
    assert sorted(path.name for path in tmp_path.glob("x.*")) == sorted(names)
    kept = b""
    for name in names:
        file = tmp_path / name
        assert file.stat().st_size <= 65536
        section = only(file)
        assert section.comments[0].startswith("session 1 goes on: ")
        assert section.dropped == 0
        kept += b"".join(segment.data for segment in section.segments)
        shown = tshark(file, "-T", "fields", "-e", "frame.number").split()
        assert len(shown) == len(section.segments) > 2
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(kept) > 100_000
    assert data.endswith(kept)


# What must not happen to the relay


def test_a_full_disk_ends_the_capture_only(ferrule: Tool, tmp_path: Path) -> None:
    data = pattern(3_000_000)
    arguments = ("--capture", "/dev/full", "--capture-format", "pcapng")
    done = ferrule.run("-u", *arguments, "-", "CREATE:copy", stdin=data)
    assert (done.code, (tmp_path / "copy").read_bytes() == data) == (0, True)
    words = "No space left on device; the capture ends here, the relay goes on"
    assert done.level("WE") == [f'capture file "/dev/full": {words}']


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    options = ("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder))
    mounted = subprocess.run(["mount", *options], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"this root cannot mount: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.root
def test_what_a_full_disk_holds_can_be_read(
    ferrule: Tool, small_disk: Path, tmp_path: Path, tshark: Callable[..., str]
) -> None:
    data = pattern(3_000_000)
    done = ferrule.run("-b1000", "-u", "--capture", "small/x.pcapng", "-", "CREATE:copy", stdin=data)
    assert (done.code, (tmp_path / "copy").read_bytes() == data) == (0, True)
    assert len(done.level("WE")) == 1
    file = small_disk / "x.pcapng"
    kept = b"".join(segment.data for segment in only(file).segments)
    assert data.startswith(kept)
    assert len(tshark(file, "-T", "fields", "-e", "frame.number").split()) == len(only(file).segments)


@pytest.mark.parametrize("name", ["x.pcapng", "x.txt"])
def test_full_speed_changes_no_byte_and_what_is_missing_is_counted(
    ferrule: Tool, tmp_path: Path, free_port: Callable[[], int], serve: Callable[..., Server], name: str
) -> None:
    """The relay is faster than any disk: what the capture has, and what it says is missing, is all."""
    block, blocks = pattern(1 << 20), 64 if name == "x.pcapng" else 24
    digest = hashlib.sha256()

    def take(connection: socket.socket) -> None:
        while piece := connection.recv(1 << 20):
            digest.update(piece)
        connection.sendall(b"done")

    port, server = free_port(), serve(take)
    listener = f"TCP-LISTEN:{port},reuseaddr,bind=127.0.0.1"
    line = ferrule.start("-t", "10", "--capture", name, listener, f"TCP:127.0.0.1:{server.port}")
    wait_listening(port)
    with dial(port) as client:
        for _ in range(blocks):
            client.sendall(block)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"done"
    assert line.wait().code == 0
    assert digest.hexdigest() == hashlib.sha256(block * blocks).hexdigest()
    if name == "x.txt":
        text = (tmp_path / name).read_text()
        missing = sum(
            int(count) for count in re.findall(r" - \* \d+ blocks of (\d+) bytes are missing", text)
        )
        shown = sum(map(escaped_length, re.findall(rf"^{STAMP} 1 > (.*)$", text, re.MULTILINE)))
        assert shown + missing == blocks << 20
        return
    section = only(tmp_path / name)
    whole = b"".join([block] * blocks)
    first = section.segments[0].sequence + 1
    shown = 0
    for segment in section.segments:
        if segment.outbound and segment.data:
            at = (segment.sequence - first) % 2**32
            assert at >= shown and whole[at : at + len(segment.data)] == segment.data
            shown = at + len(segment.data)
    told = sum(segment.dropped for segment in section.segments)
    kept = sum(len(segment.data) for segment in section.segments if segment.outbound)
    assert section.dropped == told
    assert (kept == blocks << 20) == (told == 0)


def escaped_length(text: str) -> int:
    """The bytes that an escaped text stands for."""
    return len(re.sub(r"\\(x..|.)", "x", text).encode())


def test_a_reader_that_does_not_read_costs_no_time(ferrule: Tool, tmp_path: Path) -> None:
    fifo, data = tmp_path / "fifo", pattern(1 << 20) * 40
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        arguments = ("--capture", "fifo", "--capture-format", "pcapng")
        done = ferrule.run("-u", *arguments, "-", "CREATE:copy", stdin=data)
    finally:
        os.close(reader)
    assert (done.code, (tmp_path / "copy").read_bytes() == data) == (0, True)
    assert "its reader does not read; the capture ends here" in done.level("W")[0]


def test_two_relays_do_not_write_one_file(ferrule: Tool, tmp_path: Path) -> None:
    line = ferrule.start("--capture", "x.txt", "-", "EXEC:cat")
    line.send(b"x")
    line.out.wait_for(b"x")
    done = ferrule.run("--capture", "x.txt", "TEXT:y", "CREATE:made")
    assert (done.code, done.level("E")) == (1, ['capture file "x.txt": another capture writes this file'])
    assert not (tmp_path / "made").exists()
    assert line.finish().code == 0


def test_a_capture_beside_dumps(ferrule: Tool, tmp_path: Path) -> None:
    done = ferrule.run("-v", "-r", "raw", "--capture", "x.txt", "-", "PIPE", stdin=b"both\n")
    assert (done.code, done.out) == (0, b"both\n")
    assert re.search(rf"^> {STAMP}  length=5 from=0 to=4$", done.err, re.MULTILINE)
    assert (tmp_path / "raw").read_bytes() == b"both\n"
    assert r"1 > both\n" in (tmp_path / "x.txt").read_text()


def test_explain_says_it(ferrule: Tool) -> None:
    size = ("--capture-size", "1M")
    done = ferrule.run("explain", "--capture", "x.pcapng", *size, "PIPE", "TCP:localhost:80")
    assert done.code == 0
    text = " ".join(done.out.decode().split())
    assert (
        "what passes is kept with the time in x.pcapng, in files of 1048576 bytes, the last 10 of them"
        in text
    )
    assert 'capture=Capture("x.pcapng", size=1048576)' in text
    assert "import Capture, Pipe, Relay, TcpConnect" in text
