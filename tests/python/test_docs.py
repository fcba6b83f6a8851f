"""Every recipe of README.md and of the cookbook, acted out.

The command lines are taken from the Markdown files; `recipes.py` puts free ports, this machine and a folder
of the test in the places of those shown. A scenario for each heading checks what a person would see.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import tty
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
import serial
from lines import log_lines, wait_until
from peers import (
    LOOPBACK,
    ask,
    bound,
    dial,
    dial_unix,
    echo,
    greet,
    listening,
    pattern,
    read_all,
    read_exactly,
    wait_listening,
    wait_unix_listening,
)
from recipes import Recipe, Scenarios, Stage, name_of

README = "README.md"
COOKBOOK = "docs/cookbook.md"
SERIAL = "docs/serial.md"
scenarios = Scenarios(README, COOKBOOK, SERIAL)


def test_every_recipe_has_a_scenario() -> None:
    scenarios.check_complete()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("recipe", scenarios.recipes(), ids=name_of)
def test_recipe(recipe: Recipe, request: pytest.FixtureRequest) -> None:
    scenarios.run(recipe, request)


def answer_request(connection: socket.socket) -> None:
    """Answers one request as a web server does, and says what it was asked for."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(4096)
        if not piece:
            return
        request += piece
    body = b"you asked for " + request.split()[1]
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def converses(port: int, clients: int = 3) -> None:
    """Clients that are connected at the same time each get back what they said."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(dial(port)) for _ in range(clients)]
        for number, connection in enumerate(connections):
            connection.sendall(f"client {number}\n".encode())
        for number, connection in enumerate(connections):
            said = f"client {number}\n".encode()
            assert read_exactly(connection, len(said)) == said
    data = pattern(200_000)
    assert ask(dial(port), data) == data


def forwards(listens: int, serves: int) -> Callable[[Stage], None]:
    """The line listens on one port and forwards to the other."""

    def run(stage: Stage) -> None:
        server = stage.serve(serves, echo)
        line, port = stage.listen(listens)
        converses(port)
        assert server.accepted == 4
        assert line.terminate().code == 143
        assert not listening(port)

    return run


# Forward ports

scenarios(README, "Forward a port")(forwards(8080, 80))
scenarios(COOKBOOK, "Forward a TCP port to another host")(forwards(8080, 5432))


@scenarios(COOKBOOK, "Allow only one network, and only some clients at a time")
def restrict(stage: Stage) -> None:
    stage.serve(80, echo)
    line, port = stage.listen(8080)
    with dial(port) as stranger, contextlib.suppress(ConnectionResetError):
        assert stranger.recv(1) == b""
    line.wait_for_log(r" W refusing connection from AF=2 127\.0\.0\.1:\d+ due to range option")
    served = [dial(port, source="127.0.0.2") for _ in range(10)]
    try:
        for client in served:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        with dial(port, source="127.0.0.2") as eleventh:
            eleventh.sendall(b"y")
            line.wait_for_log("maxchildren are active, waiting")
            assert line.err.data.count(b"accepting connection from AF=2 127.0.0.2:") == 10
            served.pop().close()
            assert eleventh.recv(1) == b"y"
    finally:
        for client in served:
            client.close()


@scenarios(COOKBOOK, "Close idle connections")
def close_idle(stage: Stage) -> None:
    stage.serve(80, echo)
    line, port = stage.listen(8080)
    for _ in range(2):
        with dial(port) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            assert client.recv(1) == b"", "nobody but the relay ends this"
    assert line.process.poll() is None


@scenarios(COOKBOOK, "IPv6 clients for an IPv4 server")
def from_v6_to_v4(stage: Stage) -> None:
    stage.fixture("needs_ipv6")
    stage.serve(80, echo)
    _, port = stage.listen(8080)
    assert ask(dial(port, "::1"), b"six") == b"six"
    assert ask(dial(port, LOOPBACK), b"four") == b"four"


@scenarios(COOKBOOK, "Merge many connections into one")
def merge(stage: Stage) -> None:
    said = bytearray()

    def keep(connection: socket.socket) -> None:
        while piece := connection.recv(4096):
            said.extend(piece)

    server = stage.serve(9999, keep)
    _, port = stage.listen(8888)
    for number in range(4):
        with dial(port) as client:
            client.sendall(b"%d\n" % number)
        wait_until(lambda wanted=2 * number + 2: len(said) == wanted, "the line")
    assert (bytes(said), server.accepted) == (b"0\n1\n2\n3\n", 1)


@scenarios(COOKBOOK, "Collect lines from many clients in one file")
def collect_lines(stage: Stage) -> None:
    file = stage.path("/var/log/collected.log")
    file.write_text("before\n")
    _, port = stage.listen(3334)
    clients = [dial(port) for _ in range(5)]
    for number, client in enumerate(clients):
        client.sendall(b"from %d\n" % number)
        client.close()
    wait_until(lambda: len(file.read_text().splitlines()) == 6, "all lines")
    assert sorted(file.read_text().splitlines()) == ["before", *(f"from {n}" for n in range(5))]


# Look at traffic


@scenarios(README, "See what two programs say to each other")
@scenarios(COOKBOOK, "See what two programs say to each other")
def show_traffic(stage: Stage) -> None:
    stage.serve(80, answer_request)
    line, port = stage.listen(8080)
    assert ask(dial(port), b"GET /page HTTP/1.0\r\n\r\n").endswith(b"you asked for /page")
    stamp = rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}"
    line.wait_for_log(rb"> %s  length=22 from=0 to=21\nGET /page HTTP/1\.0\\r\n\\r\n" % stamp)
    line.wait_for_log(rb"< %s  length=\d+ from=0 to=\d+\nHTTP/1\.0 200 OK\\r\n" % stamp)


@scenarios(COOKBOOK, "Record a conversation in files")
def record(stage: Stage) -> None:
    stage.serve(80, answer_request)
    _, port = stage.listen(8080)
    for _ in range(2):
        assert b"/x" in ask(dial(port), b"GET /x\r\n\r\n")
    assert (stage.folder / "requests.bin").read_bytes() == b"GET /x\r\n\r\n" * 2
    assert (stage.folder / "answers.bin").read_bytes().count(b"you asked for /x") == 2


@scenarios(COOKBOOK, "Capture what passes for Wireshark")
def capture_packets(stage: Stage) -> None:
    stage.fixture("program")("tshark")
    relay, look = stage.lines
    stage.serve(80, answer_request)
    line, port = stage.listen(8080, relay)
    for number in range(2):
        assert b"/page" in ask(dial(port), b"GET /page%d HTTP/1.0\r\n\r\n" % number)
    wait_until(lambda: (stage.folder / "web.pcapng").read_bytes().count(b" ended: finished") == 2, "both")
    # Also while it is written.
    shown = stage.run(look).out.decode()
    told = re.findall(r"GET /page\d HTTP/1.0|HTTP/1.0 200 OK", shown)
    assert told == ["GET /page0 HTTP/1.0", "HTTP/1.0 200 OK", "GET /page1 HTTP/1.0", "HTTP/1.0 200 OK"]
    assert line.terminate().code == 143


@scenarios(COOKBOOK, "Count the bytes")
def count(stage: Stage) -> None:
    stage.serve(9999, read_all)
    stage.path("/var/backups/site.tar").write_bytes(bytes(123_456))
    done = stage.run(stage.line)
    assert done.code == 0
    (told,) = [text for text in done.level("I") if "STATISTICS" in text]
    assert re.fullmatch(r"STATISTICS: left to right: +\d+ packets\(s\), +123456 byte\(s\)", told)
    assert done.level("W") == []


# UNIX sockets


@scenarios(README, "A TCP port for a UNIX socket")
@scenarios(COOKBOOK, "Docker socket over TCP")
def docker(stage: Stage) -> None:
    stage.serve_unix("/var/run/docker.sock", answer_request)
    _, port = stage.listen(2375)
    curl = stage.fixture("program")("curl")
    done = curl.run("-sS", f"http://127.0.0.1:{port}/containers/json")
    assert (done.code, done.out) == (0, b"you asked for /containers/json")
    with pytest.raises(ConnectionRefusedError):
        dial(port, "127.0.0.2")


@scenarios(README, "A UNIX socket for a remote database")
@scenarios(COOKBOOK, "A local UNIX socket for a remote database")
def database(stage: Stage) -> None:
    path = stage.path("/tmp/db.sock")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    stage.serve(5432, echo)
    line = stage.start(stage.line)
    wait_unix_listening(path)
    assert path.stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        assert ask(dial_unix(path), b"select 1") == b"select 1"
    assert line.terminate().code == 143
    assert not path.exists()


@scenarios(README, "Ask an admin socket")
@scenarios(COOKBOOK, "Query the HAProxy admin socket")
def admin_socket(stage: Stage) -> None:
    def handle(connection: socket.socket) -> None:
        question = b""
        while not question.endswith(b"\n"):
            question += connection.recv(100)
        connection.sendall(b"Name: HAProxy\n" if question == b"show info\n" else b"unknown\n")

    stage.serve_unix("/run/haproxy/admin.sock", handle)
    done = stage.run(stage.line)
    assert (done.code, done.out, done.err) == (0, b"Name: HAProxy\n", "")


@scenarios(COOKBOOK, "Connect to an abstract UNIX socket")
def abstract(stage: Stage) -> None:
    server, client = stage.lines
    stage.start(server)
    wait_unix_listening(f"@chat-{stage.port(0)}")
    done = stage.run(client, b"hello\n")
    assert (done.code, done.out, done.err) == (0, b"hello\n", "")


@scenarios(COOKBOOK, "X11 display for a container")
def display(stage: Stage) -> None:
    stage.serve_unix("/tmp/.X11-unix/X0", echo)
    _, port = stage.listen(6000)
    converses(port)
    with pytest.raises(ConnectionRefusedError):
        dial(port, "127.0.0.2")


# Clients and checks


@scenarios(README, "Talk to a server by hand")
@scenarios(COOKBOOK, "Netcat: talk to a TCP server by hand")
def by_hand(stage: Stage) -> None:
    stage.serve(80, answer_request)
    done = stage.run(stage.line, b"GET /by-hand HTTP/1.0\n\n")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(b"HTTP/1.0 200 OK\nContent-Length: ")
    assert done.out.endswith(b"you asked for /by-hand")


@scenarios(COOKBOOK, "The answer is cut off, or comes too late")
def slow_answer(stage: Stage) -> None:
    goes_on = threading.Event()

    def handle(connection: socket.socket) -> None:
        question = read_all(connection)
        goes_on.wait(1.0)  # longer than -t is without being told
        connection.sendall(question.replace(b"question", b"answer"))

    stage.serve(5432, handle)
    assert stage.run(stage.line).out == b"slow answer\n"
    hasty = stage.line.replace("-t 30 ", "")
    assert hasty != stage.line
    assert stage.run(hasty).out == b""
    goes_on.set()


@scenarios(COOKBOOK, "Check whether a port is open")
def port_check(stage: Stage) -> None:
    closed = stage.run(stage.line)
    assert (closed.code, closed.out, len(closed.level("E"))) == (1, b"", 1)
    assert closed.level("E")[0].endswith("Connection refused")
    stage.serve(5432, read_all)
    done = stage.run(stage.line)
    assert (done.code, done.out, done.err) == (0, b"open\n", "")


@scenarios(README, "Wait until a server is up")
@scenarios(COOKBOOK, "Wait until a server is up")
def wait_for_server(stage: Stage) -> None:
    line = stage.start(stage.line.replace("ferrule ", "ferrule -d -d ", 1))
    line.wait_for_log("(Connection refused.*){2}")
    assert line.process.poll() is None
    server = stage.serve(5432, read_all)
    assert line.wait().code == 0
    assert server.accepted == 1


@scenarios(COOKBOOK, "A server that never answers, to test time-outs")
def never_answers(stage: Stage) -> None:
    _, port = stage.listen(8080)
    with dial(port) as client, dial(port) as other:
        for one in (client, other):
            one.sendall(b"hello?\n")
            one.settimeout(0.3)
            with pytest.raises(TimeoutError):
                one.recv(1)


@scenarios(COOKBOOK, "Echo server")
def echo_server(stage: Stage) -> None:
    _, port = stage.listen(7777)
    converses(port)


@scenarios(COOKBOOK, "One-line web server")
def web_server(stage: Stage) -> None:
    _, port = stage.listen(8080)
    curl = stage.fixture("program")("curl")
    done = curl.run("-sS", "-i", f"http://127.0.0.1:{port}/")
    assert done.code == 0
    assert re.fullmatch(rb"HTTP/1\.0 200 OK\r\nContent-Type: text/plain\r\n\r\n\w+ .*20\d\d.*\r\n", done.out)


# Files


@scenarios(README, "Send a file")
@scenarios(COOKBOOK, "Send a file over the network")
def send_file(stage: Stage) -> None:
    there, here = stage.lines
    data = pattern(3_000_000)
    (stage.folder / "original.bin").write_bytes(data)
    receiver, _ = stage.listen(9999, there)
    assert stage.run(here).code == 0
    assert receiver.wait().code == 0
    assert (stage.folder / "copy.bin").read_bytes() == data


@scenarios(COOKBOOK, "Copy a directory over the network with tar")
def copy_tree(stage: Stage) -> None:
    there, here = stage.lines
    for name in ("here", "there"):
        (stage.folder / name).mkdir()
    (stage.folder / "here/photos").mkdir()
    (stage.folder / "here/photos/a.jpg").write_bytes(pattern(100_000))
    receiver, _ = stage.listen(9999, there, cwd=stage.folder / "there")
    assert stage.run(here, cwd=stage.folder / "here").code == 0
    assert receiver.wait().code == 0
    assert (stage.folder / "there/photos/a.jpg").read_bytes() == pattern(100_000)
    failing, port = stage.listen(9999, there)
    with dial(port) as client:
        client.sendall(b"no archive" * 1000)
    assert failing.wait().code == 1


@scenarios(COOKBOOK, "Follow a file, like tail -f")
def follow(stage: Stage) -> None:
    said = bytearray()

    def keep(connection: socket.socket) -> None:
        while piece := connection.recv(4096):
            said.extend(piece)

    server = stage.serve(9999, keep)
    path = stage.path("/var/log/app.log")
    path.write_text("old\n")
    line = stage.start(stage.line)
    wait_until(lambda: server.accepted, "the connection")
    expected = b""
    for text in (b"new\n", b"newer\n"):
        expected += text
        with path.open("ab") as log:
            log.write(text)
        wait_until(lambda wanted=expected: bytes(said) == wanted, f"{text!r}")
    assert line.process.poll() is None


@scenarios(COOKBOOK, "Append to a log file")
def append(stage: Stage) -> None:
    for _ in range(2):
        assert stage.run(stage.line).code == 0
    assert stage.path("/var/log/app.log").read_text() == "it happened\n" * 2


@scenarios(COOKBOOK, "Convert line ends to CR LF")
def convert(stage: Stage) -> None:
    (stage.folder / "unix.txt").write_bytes(b"one\ntwo\n")
    assert stage.run(stage.line).code == 0
    assert (stage.folder / "dos.txt").read_bytes() == b"one\r\ntwo\r\n"
    assert stage.run("ferrule -u STDIN,crlf STDOUT", b"one\r\ntwo\r\n").out == b"one\ntwo\n"


@scenarios(COOKBOOK, "Change bytes in the middle of a file")
def patch(stage: Stage) -> None:
    file = stage.folder / "firmware.bin"
    file.write_bytes(bytes(100))
    assert stage.run(stage.line).code == 0
    assert file.read_bytes() == bytes(32) + b"PATCH" + bytes(63)


@scenarios(COOKBOOK, "Read only the first bytes")
def first_bytes(stage: Stage) -> None:
    (stage.folder / "original.bin").write_bytes(pattern(5000))
    assert stage.run(stage.line).code == 0
    assert (stage.folder / "boot.bin").read_bytes() == pattern(5000)[:512]


# Programs


@scenarios(README, "Serve a program")
@scenarios(COOKBOOK, "Serve a program to each client that connects")
def serve_program(stage: Stage) -> None:
    if not shutil.which("bc"):
        calculator = "import sys\nfor line in sys.stdin:\n    print(eval(line), flush=True)\n"
        stage.install("bc", f"#!{sys.executable} -S\n{calculator}")
    line, port = stage.listen(5555)
    with dial(port) as first, dial(port) as second:
        for client, question, answer in ((first, b"6*7\n", b"42\n"), (second, b"2+3\n", b"5\n")):
            client.sendall(question)
            assert read_exactly(client, len(answer)) == answer
    wait_until(lambda: len(line.descendants()) == 1, "the programs to be gone")


@scenarios(COOKBOOK, "Know who is connecting")
def who_connects(stage: Stage) -> None:
    _, port = stage.listen(5555)
    client = dial(port, source="127.0.0.3")
    own = client.getsockname()[1]
    assert ask(client, b"") == f"hello 127.0.0.3 port {own}\n".encode()


@contextlib.contextmanager
def on_terminal(stage: Stage, line: str) -> Iterator[pexpect.spawn[bytes]]:
    """The line in front of a person."""
    environment = {**os.environ, **stage.env, "TERM": "dumb"}
    child = pexpect.spawn("bash", ["-c", line], env=environment, timeout=10, cwd=str(stage.folder))
    try:
        yield child
    finally:
        child.close(force=True)


@scenarios(COOKBOOK, "A shell with job control on a socket")
def shell_on_socket(stage: Stage) -> None:
    there, here = stage.lines
    server = stage.start(there)
    path = stage.path("/tmp/shell.sock")
    wait_unix_listening(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with on_terminal(stage, here) as person:
        person.expect(r"[$#] ")
        person.sendline("echo $((6*7)); tty")
        person.expect(r"42\r+\n/dev/pts/\d+\r+\n")
        person.sendline("sleep 1000")
        wait_until(lambda: any(one.name() == "sleep" for one in server.descendants()), "the sleeping program")
        person.sendintr()
        person.sendline("echo status=$?")
        person.expect("status=130")
        assert b"no job control" not in person.before
        person.send("\x1d")
        person.expect(pexpect.EOF)
        person.wait()
        assert person.exitstatus == 0


SSH = f"""\
#!{sys.executable} -S
import os, sys
terminal = os.open("/dev/tty", os.O_RDWR)
def ask(prompt):
    os.write(terminal, prompt)
    answer = b""
    while not answer.endswith(b"\\n"):
        answer += os.read(terminal, 1)
    return answer.strip()
if ask(b"password: ") != b"sesame":
    sys.exit("denied")
print("welcome", " ".join(sys.argv[1:3]), "you said", ask(b"").decode(), flush=True)
"""


@scenarios(COOKBOOK, "Type a password for a program")
def password(stage: Stage) -> None:
    stage.install("ssh", SSH)
    done = stage.run(stage.line)
    assert done.code == 0, done
    assert b"password: " in done.out
    assert b"welcome -l user you said hello\r\n" in done.out
    wrong = stage.run(stage.line.replace("sesame", "guess"))
    assert b"welcome" not in wrong.out
    assert wrong.code == 1


@scenarios(COOKBOOK, "Give a program the connection of inetd or systemd")
def activation(stage: Stage) -> None:
    stage.serve(80, echo)
    with bound() as listener:
        listener.listen()
        os.dup2(listener.fileno(), held := 43, inheritable=True)
        try:
            line = stage.start(f"{stage.line} 3<&{held} {held}<&-", pass_fds=(held,))
        finally:
            os.close(held)
        for _ in range(2):
            assert ask(dial(listener.getsockname()[1]), b"activated") == b"activated"
        assert line.terminate().code == 143


# Serial ports and terminals


@scenarios(README, "Two linked serial ports")
@scenarios(COOKBOOK, "Two linked virtual serial ports")
def serial_pair(stage: Stage) -> None:
    line = stage.start(stage.line)
    line.wait_for_log("starting data transfer loop")
    told = [entry.text for entry in log_lines(line.err.data.decode()) if entry.text.startswith("PTY is ")]
    links = [stage.path("/tmp/a"), stage.path("/tmp/b")]
    assert told == [f"PTY is {link.readlink()}" for link in links]
    every = bytes(range(256))
    with serial.Serial(str(links[0]), timeout=10) as a, serial.Serial(str(links[1]), 9600, timeout=10) as b:
        for here, there in ((a, b), (b, a)):
            here.write(every)
            assert there.read(256) == every
    assert line.terminate().code == 143
    assert not any(link.is_symlink() for link in links)


@contextlib.contextmanager
def device(stage: Stage) -> Iterator[str]:
    """A serial device that answers each line, under the name the recipes use."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    stage.path("/dev/ttyUSB0").symlink_to(name)

    def answer() -> None:
        line = b""
        with contextlib.suppress(OSError):
            while piece := os.read(master, 100):
                line += piece
                while (at := re.search(rb"[\r\n]", line)) is not None:
                    os.write(master, b"you said " + line[: at.start()] + b"\n")
                    line = line[at.end() :]

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield name
    finally:
        os.close(slave)
        thread.join(10)
        os.close(master)


@scenarios(COOKBOOK, "Serial port over TCP")
def serial_over_tcp(stage: Stage) -> None:
    with device(stage):
        line, port = stage.listen(4000)
        lock = stage.path("/tmp/ttyUSB0.lock")
        for text in (b"one", b"two"):
            with dial(port) as client:
                client.sendall(text + b"\n")
                assert read_exactly(client, 10 + len(text)) == b"you said " + text + b"\n"
                assert int(lock.read_text()) == line.pid
            wait_until(lambda: not lock.exists(), "the end of the session")
        line.terminate()


@scenarios(COOKBOOK, "Network serial port as a local device")
def remote_serial(stage: Stage) -> None:
    line = stage.start(stage.line)
    line.wait_for_log("PTY is /dev/pts")
    path = stage.path("/tmp/ttyV0")
    wait_until(path.is_symlink, "the link")
    assert b"opening connection" not in line.err.data
    with serial.Serial(str(path), timeout=10) as port:
        line.wait_for_log("(Connection refused.*){2}")
        stage.serve(4001, echo)
        port.write(b"over the net\xff")
        assert port.read(13) == b"over the net\xff"
    assert line.wait().code == 0
    assert not path.is_symlink()


def remote(port: int) -> serial.SerialBase:
    """The port as pyserial's client has it."""
    return serial.serial_for_url(f"rfc2217://{LOOPBACK}:{port}", baudrate=19200, timeout=10)


@scenarios(README, "A serial port on the network")
@scenarios(SERIAL, "A port for everybody on the network")
def serial_for_everybody(stage: Stage) -> None:
    with device(stage), warnings.catch_warnings():
        # pyserial's client starts its thread the way of Python 2.
        warnings.simplefilter("ignore", DeprecationWarning)
        line = stage.start(stage.line)
        wait_listening(stage.port(4000))
        with remote(stage.port(4000)) as one, dial(stage.port(4000)) as other:
            one.write(b"hello\n")
            assert one.read(15) == b"you said hello\n"
            # The other one does not speak telnet; what it is asked by it comes first.
            assert read_until(other, b"you said hello\n")
        line.terminate()


@scenarios(SERIAL, "The same as addresses")
def shared_serial(stage: Stage) -> None:
    with device(stage) as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        line, port = stage.listen(4000)
        with remote(port) as client:
            client.write(b"hello\n")
            assert client.read(15) == b"you said hello\n"
            assert speed_of(name) == 19200
        wait_until(lambda: speed_of(name) == 9600, "the settings to be put back")
        line.terminate()


@scenarios(SERIAL, "A remote port as a local device")
def mirrored(stage: Stage) -> None:
    with device(stage) as name:
        server = stage.start(f"ferrule RFC2217-LISTEN:{stage.port(4000)},reuseaddr SERIAL:{name}")
        wait_listening(stage.port(4000))
        line = stage.start(stage.line)
        path = stage.path("/tmp/ttyV0")
        wait_until(path.is_symlink, "the link")
        with serial.Serial(str(path), 57600, timeout=10) as port:
            wait_until(lambda: speed_of(name) == 57600, "the speed to be set at the far end")
            port.write(b"hello\n")
            assert port.read(15) == b"you said hello\n"
        line.terminate()
        server.terminate()


@scenarios(SERIAL, "From Python")
def serial_from_python(stage: Stage) -> None:
    with device(stage):
        program = stage.python(stage.recipe.blocks[0])
        wait_listening(stage.port(4000))
        program.send(b"\n")
        done = program.wait()
        assert (done.code, done.out.decode().splitlines()) == (0, ["Enter ends it", "stopped"]), done.err


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    """Reads until `wanted` has come."""
    got = b""
    while wanted not in got:
        piece = connection.recv(1000)
        assert piece, got
        got += piece
    return got


def speed_of(name: str) -> int:
    """The speed a terminal is set to."""
    done = subprocess.run(
        ["stty", "-F", name, "speed"], capture_output=True, text=True, timeout=10, check=True
    )
    return int(done.stdout)


@scenarios(COOKBOOK, "Serial terminal program")
def terminal_program(stage: Stage) -> None:
    with device(stage), on_terminal(stage, f"{stage.line}; stty -a") as person:
        wait_until(lambda: not _echoes(person.child_fd), "the raw terminal")
        person.send("help\x03\r")
        person.expect_exact("you said help\x03")
        person.send("\x1d")
        person.expect(pexpect.EOF)
        assert re.search(rb"(?<!-)icanon .*(?<!-)echo ", person.before, re.DOTALL), person.before


def _echoes(descriptor: int) -> bool:
    import termios

    return bool(termios.tcgetattr(descriptor)[3] & termios.ECHO)


# Run it as a service


@scenarios(COOKBOOK, "Log to a file")
def log_file(stage: Stage) -> None:
    stage.serve(80, echo)
    line, port = stage.listen(8080)
    assert ask(dial(port), b"x") == b"x"
    done = line.terminate()
    assert (done.code, done.err) == (143, "")
    entries = log_lines(stage.path("/var/log/ferrule.log").read_text())
    assert {entry.program for entry in entries} == {"forwarder"}
    assert all(re.fullmatch(r"[\d:]{8}\.\d{6}", entry.time) for entry in entries)
    assert any(entry.text.startswith("listening on AF=2 127.0.0.1:") for entry in entries)


@scenarios(COOKBOOK, "Only one instance at a time")
def one_instance(stage: Stage) -> None:
    stage.serve(80, echo)
    first, port = stage.listen(8080)
    assert int(stage.path("/tmp/forwarder.lock").read_text()) == first.pid
    second = stage.run(stage.line)
    assert second.code == 1
    assert second.level("E") == [f'could not obtain lock "{stage.path("/tmp/forwarder.lock")}"']
    assert ask(dial(port), b"x") == b"x"
    assert first.terminate().code == 143
    assert not stage.path("/tmp/forwarder.lock").exists()


@scenarios(COOKBOOK, "Give up when nobody connects")
def give_up(stage: Stage) -> None:
    done = stage.run(stage.line)
    assert (done.code, done.level("W")) == (0, ["accept: Connection timed out"])
    _, port = stage.listen(8080)
    assert ask(dial(port), b"in time") == b"in time"


# The rest of README.md


@scenarios(README, "Ferrule")
def set_up(stage: Stage) -> None:
    """What `make` would do is the business of CI; the targets have to be there."""
    makefile = Path(__file__).parents[2] / "Makefile"
    for line in stage.lines:
        command, target = shlex.split(line, comments=True)
        assert command == "make"
        dry = ["make", "--dry-run", "--file", str(makefile), target]
        run = subprocess.run(dry, cwd=makefile.parent, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr


@scenarios(README, "Explain a command line")
def explain(stage: Stage) -> None:
    done = stage.run(stage.line)
    assert (done.code, done.err) == (0, "")
    text = " ".join(done.out.decode().split())
    assert f"TCP-LISTEN:{stage.port(5555)}" in text
    assert "whoever reaches TCP-LISTEN gets a program that runs as you" in text
    as_json = stage.run(stage.line.replace("explain", "explain --json"))
    assert json.loads(as_json.out)["right"]["address"] == "EXEC:bash"
    assert not listening(stage.port(5555))


@scenarios(README, "Python")
def python(stage: Stage) -> None:
    example, error = stage.recipe.blocks
    stage.serve(80, echo)
    stage.serve(7777, greet(b"under asyncio\n"))
    running = stage.python(example, "-u")
    wait_until(lambda: listening(stage.port(8080)) or running.process.poll() is not None, "the listener")
    assert ask(dial(stage.port(8080)), b"12345") == b"12345"
    done = running.finish()
    assert (done.code, done.err) == (0, "")
    assert done.out == b"5 bytes sent, 5 received\nunder asyncio\n"
    shown = error.text.splitlines()
    wrong = shown[1].strip()
    code = f"import ferrule; ferrule.parse({wrong!r})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert said.splitlines()[-len(shown) :] == [f"ferrule.errors.AddressError: {shown[0]}", *shown[1:]]
