"""The well-known lines with UNIX sockets: services, Docker, databases, X11, admin sockets."""

from __future__ import annotations

import os
import pwd
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from lines import Tool, wait_until
from peers import (
    LOOPBACK,
    Server,
    ask,
    bound_unix,
    dial,
    dial_unix,
    echo,
    pattern,
    read_exactly,
    unix_listening,
    wait_listening,
    wait_unix_listening,
)

Ports = Callable[[], int]
Serve = Callable[..., Server]
TEXT = b"show info\n"


# 48: a service on a socket


@pytest.mark.parametrize(("option", "mode"), [("mode=600", 0o600), ("perm=0660", 0o660), ("mode=777", 0o777)])
def test_service_on_a_socket(tool: Tool, tmp_path: Path, option: str, mode: int) -> None:
    path = tmp_path / "s.sock"
    line = tool.start("-t", "10", f"UNIX-LISTEN:{path},fork,{option}", "EXEC:cat")
    wait_unix_listening(path)
    wait_until(lambda: stat.S_IMODE(path.stat().st_mode) == mode, f"mode {mode:o}")
    data = pattern(100_000)
    for spelling in ("UNIX-CONNECT", "unix-connect", "UNIX-CLIENT", "UNIX"):
        done = tool.run("-t", "10", "-", f"{spelling}:{path}", stdin=data)
        assert (done.code, done.out == data, done.err) == (0, True, "")
    assert line.terminate().code == 143
    assert not path.exists(), "the path is removed at the end"


@pytest.mark.parametrize("option", ["", ",unlink-close=0"])
def test_path_after_a_single_connection(tool: Tool, tmp_path: Path, option: str) -> None:
    path = tmp_path / "s.sock"
    line = tool.start("-t", "10", f"UNIX-LISTEN:{path}{option}", "PIPE")
    wait_unix_listening(path)
    assert ask(dial_unix(path), TEXT) == TEXT
    assert line.wait().code == 0
    assert path.exists() == bool(option)


def test_client_without_a_server(tool: Tool, tmp_path: Path) -> None:
    done = tool.run("-", f"UNIX-CONNECT:{tmp_path}/nobody")
    assert (done.code, len(done.level("E"))) == (1, 1)
    assert done.level("E")[0].endswith("No such file or directory")


# 49: a daemon that speaks HTTP on a UNIX socket, reached over TCP


def http_answer(connection: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(4096)
    path = request.split(b" ")[1]
    body = b'{"path": "%s"}' % path
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize("right", ["UNIX-CONNECT:{}", "UNIX-CLIENT:{}", "{}"])
def test_daemon_over_tcp(
    tool: Tool,
    program: Callable[[str], Tool],
    serve_unix: Serve,
    free_port: Ports,
    tmp_path: Path,
    right: str,
) -> None:
    port, path = free_port(), tmp_path / "docker.sock"
    serve_unix(http_answer, path)
    line = tool.start(f"TCP-LISTEN:{port},reuseaddr,fork,bind={LOOPBACK}", right.format(path))
    wait_listening(port)
    for number in range(3):
        got = program("curl").run("-sS", "--fail", f"http://{LOOPBACK}:{port}/containers/{number}")
        assert (got.code, got.out) == (0, b'{"path": "/containers/%d"}' % number)
    assert line.terminate().code == 143


# 50: a distant database as a local socket


def test_database_as_a_local_socket(tool: Tool, serve: Serve, tmp_path: Path) -> None:
    server, path = serve(echo), tmp_path / "mysql.sock"
    with bound_unix(path):
        pass  # left behind by a predecessor
    owner = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    options = f"fork,reuseaddr,unlink-early,user={owner},mode=777"
    line = tool.start("-t", "10", f"UNIX-LISTEN:{path},{options}", f"TCP:{LOOPBACK}:{server.port}")
    wait_unix_listening(path)
    assert [ask(dial_unix(path), pattern(50_000, n)) for n in range(3)] == [
        pattern(50_000, n) for n in range(3)
    ]
    entry = path.stat()
    assert (stat.S_IMODE(entry.st_mode), pwd.getpwuid(entry.st_uid).pw_name) == (0o777, owner)
    assert line.terminate().code == 143
    assert not path.exists()


def test_socket_left_behind_blocks_without_unlink_early(tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "mysql.sock"
    with bound_unix(path):
        pass
    done = tool.run(f"UNIX-LISTEN:{path}", "PIPE")
    assert (done.code, len(done.level("E"))) == (1, 1)
    assert "exists" in done.level("E")[0] or "in use" in done.level("E")[0]
    assert path.is_socket()


# 52: a display on a port


@pytest.mark.parametrize("right", ["UNIX-CONNECT:{}", 'UNIX-CLIENT:"{}"', "UNIX-CONNECT:'{}'"])
def test_display_on_a_port(
    tool: Tool, serve_unix: Serve, free_port: Ports, tmp_path: Path, right: str
) -> None:
    port, display = free_port(), tmp_path / "org.x:0"  # the colon needs the quotes
    if '"' not in right and "'" not in right:
        display = tmp_path / "X0"
    serve_unix(echo, display)
    line = tool.start(f"TCP-LISTEN:{port},reuseaddr,fork", right.format(display))
    wait_listening(port)
    clients = [dial(port) for _ in range(5)]
    for number, client in enumerate(clients):
        client.sendall(pattern(1000, number))
    for number, client in enumerate(clients):
        with client:
            assert read_exactly(client, 1000) == pattern(1000, number)
    assert line.terminate().code == 143


# 53: the abstract name space


def test_abstract_sockets(tool: Tool) -> None:
    name = f"ferrule-test-{os.getpid()}-{tool.name}"
    line = tool.start("-t", "10", f"ABSTRACT-LISTEN:{name},fork", "PIPE")
    wait_unix_listening(f"@{name}")
    for spelling in ("ABSTRACT-CONNECT", "ABSTRACT-CLIENT", "ABSTRACT"):
        if (spelling, tool.name) == ("ABSTRACT", "socat"):
            continue  # younger than Debian's socat
        done = tool.run("-t", "10", "-", f"{spelling}:{name}", stdin=TEXT)
        assert (done.code, done.out, done.err) == (0, TEXT, "")
    assert ask(dial_unix("\0" + name), TEXT) == TEXT, "no padding belongs to the name"
    assert line.terminate().code == 143
    assert not unix_listening(f"@{name}")


# 56: admin sockets


def admin(connection: socket.socket) -> None:
    """Answers one line of commands and hangs up, as HAProxy does."""
    question = b""
    while not question.endswith(b"\n"):
        piece = connection.recv(1024)
        if not piece:
            return
        question += piece
    connection.sendall(b"Name: dummy\n" * 1000 if question == TEXT else b"Unknown command\n")


@pytest.mark.parametrize("left", ["-", "stdio", "STDIO"])
@pytest.mark.parametrize("right", ["UNIX-CONNECT:{}", "{}", "GOPEN:{}", "UNIX-CLIENT:{}"])
def test_admin_socket_query(tool: Tool, serve_unix: Serve, tmp_path: Path, left: str, right: str) -> None:
    path = tmp_path / "haproxy.sock"
    serve_unix(admin, path)
    done = tool.run("-t", "10", left, right.format(path), stdin=TEXT)
    assert (done.code, done.out, done.err) == (0, b"Name: dummy\n" * 1000, "")


def test_admin_console_ends_with_its_server(tool: Tool, serve_unix: Serve, tmp_path: Path) -> None:
    """The server hangs up while the person's end stays open."""
    path = tmp_path / "console.sock"
    serve_unix(admin, path)
    line = tool.start("-", f"UNIX-CONNECT:{path}")
    line.send(b"help\n")
    done = line.wait()
    assert (done.code, done.out) == (0, b"Unknown command\n")
