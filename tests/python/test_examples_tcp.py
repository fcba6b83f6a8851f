"""The well-known lines over TCP: clients, echo servers, forwarders."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from lines import Tool, wait_until
from peers import (
    LOOPBACK,
    Collector,
    Server,
    answer_after,
    ask,
    dial,
    echo,
    listening,
    pattern,
    read_all,
    read_exactly,
    wait_listening,
)

Ports = Callable[[], int]
Serve = Callable[..., Server]
TEXT = b"GET / HTTP/1.0\r\n\r\n"


# 28: the client


@pytest.mark.parametrize(
    "address",
    [
        "TCP:127.0.0.1:{}",
        "TCP4:127.0.0.1:{}",
        "TCP4:localhost:{}",
        "tcp-connect:127.0.0.1:{}",
        "TCP4-CONNECT:localhost:{}",
        "TCP:localhost:{},pf=ip4",
        "TCP:127.0.0.1:{},bind=127.0.0.2",
    ],
)
def test_client(tool: Tool, serve: Serve, address: str) -> None:
    server = serve(answer_after(0.05, b"the answer"))
    done = tool.run("-t", "10", "-", address.format(server.port), stdin=TEXT)
    assert (done.code, done.out, done.err) == (0, b"the answer", "")


def test_client_of_an_ipv6_server(tool: Tool, serve: Serve, needs_ipv6: None) -> None:
    server = serve(echo, "::1")
    for address in (f"TCP:[::1]:{server.port}", f"TCP6:[::1]:{server.port}"):
        done = tool.run("-t", "10", "-", address, stdin=TEXT)
        assert (done.code, done.out, done.err) == (0, TEXT, "")


def test_source_address_and_port(tool: Tool, serve: Serve, free_port: Ports) -> None:
    def name_peer(connection: socket.socket) -> None:
        connection.sendall(repr(connection.getpeername()).encode())

    server, port = serve(name_peer), free_port()
    done = tool.run("-u", f"TCP:{LOOPBACK}:{server.port},bind=127.0.0.3:{port}", "-")
    assert done.out == repr(("127.0.0.3", port)).encode()


# 29: echo servers


@pytest.mark.parametrize("right", ["EXEC:cat", "PIPE", "SYSTEM:cat", "EXEC:cat,pipes"])
def test_echo_server_serves_many_at_once(tool: Tool, free_port: Ports, right: str) -> None:
    port = free_port()
    line = tool.start(f"TCP-LISTEN:{port},reuseaddr,fork,backlog=64", right)
    wait_listening(port)
    held = [dial(port) for _ in range(8)]
    for number, connection in enumerate(held):
        connection.sendall(pattern(3000, number))
    for number, connection in reversed(list(enumerate(held))):
        assert read_exactly(connection, 3000) == pattern(3000, number)
        connection.close()
    assert line.process.poll() is None
    assert line.terminate().code == 143


def test_echo_server_half_closes(tool: Tool, free_port: Ports) -> None:
    port = free_port()
    line = tool.start("-t", "10", f"TCP-LISTEN:{port},reuseaddr,fork", "EXEC:cat")
    wait_listening(port)
    data = [pattern(200_000, number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda each: ask(dial(port), each), data)) == data
    assert line.terminate().code == 143


def test_listener_without_fork_serves_one(tool: Tool, free_port: Ports) -> None:
    port = free_port()
    line = tool.start(f"TCP-LISTEN:{port},reuseaddr", "PIPE")
    wait_listening(port)
    with dial(port) as connection:
        connection.sendall(TEXT)
        assert read_exactly(connection, len(TEXT)) == TEXT
        with pytest.raises(ConnectionRefusedError):
            dial(port)
    assert line.wait().code == 0


# 30 and 31: forwarders


@pytest.mark.parametrize(
    "left",
    [
        "TCP-LISTEN:{},fork",
        "TCP-L:{},reuseaddr,fork",
        "TCP4-LISTEN:{},bind=127.0.0.1,fork",
        "TCP-LISTEN:{},reuseaddr,fork,range=127.0.0.0/8",
        "TCP-LISTEN:{},reuseaddr,fork,range=127.0.0.1:255.255.255.255,max-children=10",
    ],
)
def test_forwarder(tool: Tool, serve: Serve, free_port: Ports, left: str) -> None:
    server, port = serve(answer_after(0, b"from behind")), free_port()
    line = tool.start("-t", "10", left.format(port), f"TCP:{LOOPBACK}:{server.port}")
    wait_listening(port)
    assert [ask(dial(port), TEXT) for _ in range(3)] == [b"from behind"] * 3
    assert server.accepted == 3
    assert line.terminate().code == 143


@pytest.mark.parametrize("size", [1, 8192, 65_536, 5_000_000])
def test_forwarder_both_ways_at_once(tool: Tool, serve: Serve, free_port: Ports, size: int) -> None:
    server, port = serve(echo), free_port()
    line = tool.start("-t", "10", f"TCP-LISTEN:{port},reuseaddr", f"TCP:{LOOPBACK}:{server.port}")
    wait_listening(port)
    data = pattern(size)
    assert sha256(ask(dial(port), data)).digest() == sha256(data).digest()
    assert line.wait().code == 0


@pytest.mark.parametrize(
    "allowed", ["range=127.0.0.2/32", "range=127.0.0.2:255.255.255.255", "range=127.0.0.2/31"]
)
def test_range_refuses_and_waits_for_the_next(tool: Tool, free_port: Ports, allowed: str) -> None:
    port = free_port()
    line = tool.start("-d", "-d", f"TCP4-LISTEN:{port},bind={LOOPBACK},reuseaddr,{allowed}", "PIPE")
    wait_listening(port)
    with dial(port) as refused:
        assert read_all_or_reset(refused) == b""
    line.wait_for_log(r" W refusing connection from AF=2 127\.0\.0\.1:\d+ due to range option")
    with dial(port, source="127.0.0.2") as admitted:
        admitted.sendall(TEXT)
        assert read_exactly(admitted, len(TEXT)) == TEXT
    assert line.wait().code == 0


def read_all_or_reset(connection: socket.socket) -> bytes:
    try:
        return read_all(connection)
    except ConnectionResetError:
        return b""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_hardened_forwarder(tool: Tool, free_port: Ports) -> None:
    port = free_port()
    left = f"TCP4-LISTEN:{port},bind={LOOPBACK},reuseaddr,fork,su=nobody,range=127.0.0.0/8,max-children=10"
    line = tool.start(left, "SYSTEM:'id -un; echo $USER'", cwd="/")
    wait_listening(port)
    assert [ask(dial(port), b"") for _ in range(2)] == [b"nobody\nnobody\n"] * 2
    line.terminate()


def test_web_server_behind_and_curl_in_front(
    tool: Tool, program: Callable[[str], Tool], free_port: Ports, tmp_path: Path
) -> None:
    page = pattern(300_000)
    (tmp_path / "page").write_bytes(page)
    behind, port = free_port(), free_port()
    program(sys.executable).start("-m", "http.server", str(behind), "--bind", LOOPBACK)
    wait_listening(behind)
    line = tool.start(f"TCP-LISTEN:{port},reuseaddr,fork", f"TCP:{LOOPBACK}:{behind}")
    wait_listening(port)
    curl = program("curl")
    for _ in range(3):
        got = curl.run("-sS", "--fail", f"http://{LOOPBACK}:{port}/page")
        assert (got.code, got.out == page, got.err) == (0, True, "")
    missing = curl.run("-sS", "--fail", f"http://{LOOPBACK}:{port}/missing")
    assert (missing.code, "404" in missing.err) == (22, True)
    assert line.terminate().code == 143


# 32 and 33: files and trees


@pytest.mark.parametrize("ends", ["both", "sender", "receiver"])
def test_file_transfer(ferrule: Tool, socat: Tool, free_port: Ports, tmp_path: Path, ends: str) -> None:
    port, data = free_port(), pattern(3_000_000)
    (tmp_path / "source").write_bytes(data)
    sender = socat if ends == "receiver" else ferrule
    receiver = socat if ends == "sender" else ferrule
    waiting = receiver.start("-u", f"TCP-LISTEN:{port},reuseaddr", "CREATE:file")
    wait_listening(port)
    sent = sender.run("-u", "FILE:source", f"TCP:{LOOPBACK}:{port}")
    got = waiting.wait()
    assert (sent.code, sent.err, got.code, got.err) == (0, "", 0, "")
    assert sha256((tmp_path / "file").read_bytes()).digest() == sha256(data).digest()


def test_tree_copy(tool: Tool, program: Callable[[str], Tool], free_port: Ports, tmp_path: Path) -> None:
    source, target, port = tmp_path / "tree", tmp_path / "copy", free_port()
    (source / "deep").mkdir(parents=True)
    target.mkdir()
    for number in range(5):
        (source / "deep" / f"file{number}").write_bytes(pattern(40_000, number))
    packed = program("tar").run("czf", "-", "tree").out
    line = tool.start("-t", "10", f"TCP-LISTEN:{port},reuseaddr", "SYSTEM:'tar xzf -'", cwd=target)
    wait_listening(port)
    assert tool.run("-", f"TCP:{LOOPBACK}:{port}", stdin=packed).code == 0
    assert line.wait().code == 0
    copied = {path.name: path.read_bytes() for path in (target / "tree" / "deep").iterdir()}
    assert copied == {f"file{number}": pattern(40_000, number) for number in range(5)}


# 34: is the port open


def test_port_check(tool: Tool, serve: Serve, free_port: Ports) -> None:
    server = serve(echo)
    right = f"TCP:{LOOPBACK}:{server.port},connect-timeout=2"
    open_port = tool.run("/dev/null", right)
    closed = tool.run("/dev/null", f"TCP:{LOOPBACK}:{free_port()},connect-timeout=2")
    assert (open_port.code, closed.code) == (0, 1)
    assert closed.level("E")[0].endswith("Connection refused")


# 35: the web server in one line


def test_one_line_web_server(tool: Tool, program: Callable[[str], Tool], free_port: Ports) -> None:
    port = free_port()
    page = r"SYSTEM:echo HTTP/1.0 200 OK; echo Content-Type\: text/plain; echo; date -u +%Y; echo end"
    line = tool.start("-t", "5", f"TCP-LISTEN:{port},crlf,reuseaddr,fork", page)
    wait_listening(port)
    for _ in range(3):
        got = program("curl").run("-sSi", f"http://{LOOPBACK}:{port}/")
        assert (got.code, got.err) == (0, "")
        head = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"
        assert got.out == head + time.strftime("%Y", time.gmtime()).encode() + b"\r\nend\r\n"
    line.terminate()


# 36 and 37: many into one


@pytest.mark.parametrize("file", ["OPEN:in.log,creat,append", "./in.log", "FILE:{}/in.log,creat,append"])
def test_message_collector(tool: Tool, free_port: Ports, tmp_path: Path, file: str) -> None:
    port = free_port()
    line = tool.start("-u", f"TCP4-LISTEN:{port},reuseaddr,fork,backlog=64", file.format(tmp_path))
    wait_listening(port)
    messages = [f"message {number} {'x' * 50}\n".encode() for number in range(20)]

    def post(message: bytes) -> None:
        with dial(port) as connection:
            connection.sendall(message)

    log = tmp_path / "in.log"
    # The first makes the file: socat's processes that make it at the same time write over each other.
    post(messages[0])
    wait_until(
        lambda: log.exists() and log.stat().st_size == len(messages[0]), "the first message in the file"
    )
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(post, messages[1:]))
    size = sum(map(len, messages))
    wait_until(lambda: log.exists() and log.stat().st_size >= size, "all messages in the file")
    assert sorted(log.read_bytes().splitlines(keepends=True)) == sorted(messages)
    assert line.terminate().code == 143


def test_many_streams_merge_into_one(tool: Tool, collect: Collector, free_port: Ports) -> None:
    port = free_port()
    line = tool.start("-U", f"TCP:{LOOPBACK}:{collect.port},end-close", f"TCP-L:{port},reuseaddr,fork")
    wait_listening(port)
    said = b""
    for number in range(5):
        with dial(port) as connection:
            connection.sendall(f"stream {number}\n".encode())
        said += f"stream {number}\n".encode()
        collect.wait_for(said)
    assert (collect.accepted, collect.ended) == (1, 0)
    line.terminate()
    collect.wait_ended()


# 38 and 39: patience


def test_idle_connection_is_dropped(tool: Tool, serve: Serve, free_port: Ports) -> None:
    server, port = serve(echo), free_port()
    line = tool.start("-d", "-d", "-T", "1", f"TCP-LISTEN:{port},reuseaddr", f"TCP:{LOOPBACK}:{server.port}")
    wait_listening(port)
    with dial(port) as connection:
        for _ in range(4):  # active for longer than the limit, never idle for as long
            connection.sendall(b"alive")
            assert read_exactly(connection, 5) == b"alive"
            time.sleep(0.4)
        connection.sendall(b"last")
        assert read_exactly(connection, 4) == b"last"
        idle_since = time.monotonic()
        assert read_all(connection) == b""
        assert 0.9 < time.monotonic() - idle_since < 4
    done = line.wait()
    assert done.code == 0
    assert [text for text in done.level("N") if "inactivity timeout triggered" in text]


@pytest.mark.parametrize("option", ["retry=50,interval=0.2", "forever,interval=0.2"])
def test_client_waits_for_its_server(tool: Tool, serve: Serve, free_port: Ports, option: str) -> None:
    port = free_port()
    line = tool.start("-d", "-d", "-t", "10", "-", f"TCP:{LOOPBACK}:{port},{option}")
    # Debian's socat names the failed attempts differently
    line.wait_for_log("(refused|unavailable).*(refused|unavailable)")
    server = serve(echo, LOOPBACK, port)
    line.feed(TEXT)
    done = line.wait()
    assert (done.code, done.out, server.accepted) == (0, TEXT, 1)
    assert done.level("E") == []


# 42 and 43: two families, and nobody at all


def test_dual_stack_gateway(tool: Tool, serve: Serve, free_port: Ports, needs_ipv6: None) -> None:
    server, port = serve(echo), free_port()
    left = f"TCP6-LISTEN:{port},ipv6-v6only=0,fork,reuseaddr"
    line = tool.start("-t", "10", left, f"TCP4:{LOOPBACK}:{server.port}")
    wait_listening(port)
    assert [ask(dial(port, host), TEXT) for host in ("::1", LOOPBACK)] == [TEXT, TEXT]
    line.terminate()


@pytest.mark.parametrize("only", ["TCP6-LISTEN:{},ipv6-v6only=1,fork", "TCP6-LISTEN:{},fork,bind=[::1]"])
def test_ipv6_listener_refuses_ipv4(
    tool: Tool, serve: Serve, free_port: Ports, needs_ipv6: None, only: str
) -> None:
    server, port = serve(echo), free_port()
    line = tool.start("-t", "10", only.format(port), f"TCP4:{LOOPBACK}:{server.port}")
    wait_listening(port)
    assert ask(dial(port, "::1"), TEXT) == TEXT
    with pytest.raises(ConnectionRefusedError):
        dial(port)
    line.terminate()


def test_listener_gives_up(tool: Tool, free_port: Ports) -> None:
    started = time.monotonic()
    done = tool.run("-d", "-d", f"TCP4-LISTEN:{free_port()},accept-timeout=0.7,reuseaddr", "PIPE")
    assert 0.6 < time.monotonic() - started < 5
    assert (done.code, done.level("E")) == (0, [])
    assert done.level("W") == ["accept: Connection timed out"]


# 46: one device only


@pytest.mark.parametrize("option", ["so-bindtodevice={}", "setsockopt-string=1:25:{}", "interface={}"])
def test_listener_on_a_device(tool: Tool, free_port: Ports, option: str) -> None:
    port = free_port()
    line = tool.start(f"TCP-L:{port},reuseaddr,{option.format('lo')}", "PIPE")
    wait_until(lambda: listening(port) or line.process.poll() is not None, "a listener or an end")
    if line.process.poll() is not None and "Operation not permitted" in (said := line.wait().err):
        pytest.skip(f"binding to a device needs a privilege: {said}")
    with dial(port) as connection:
        connection.sendall(TEXT)
        assert read_exactly(connection, len(TEXT)) == TEXT
    assert line.wait().code == 0


@pytest.mark.parametrize("option", ["so-bindtodevice", "setsockopt-string=1:25", "interface"])
def test_unknown_device_is_an_error(tool: Tool, free_port: Ports, option: str) -> None:
    """An option of the kind setsockopt is applied to each connection, the others to the listener."""
    port = free_port()
    joint = ":" if "1:25" in option else "="
    line = tool.start(f"TCP-L:{port},reuseaddr,{option}{joint}nodevice", "PIPE")
    wait_until(lambda: listening(port) or line.process.poll() is not None, "a listener or an end")
    if line.process.poll() is None:
        dial(port).close()
    done = line.wait()
    assert (done.code, len(done.level("E"))) == (1, 1)
    assert "No such device" in done.err or "Operation not permitted" in done.err
