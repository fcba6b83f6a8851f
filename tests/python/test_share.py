"""One channel for many clients: `share` and the options around it, and `busy`."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import threading
import tty
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import psutil
import pytest
from devices import Plug
from lines import LIMIT, Running, Tool, wait_until
from peers import LOOPBACK, Server, dial, listening, pattern, read_all, read_exactly, taken, wait_listening

Ports = Callable[[], int]
Serve = Callable[..., Server]


class Device:
    """A TCP server that stands for the device: the test holds its end of each connection."""

    def __init__(self, serve: Serve) -> None:
        self._opened: Queue[socket.socket] = Queue()
        self._over = threading.Event()
        self.server = serve(self._hold)

    def _hold(self, connection: socket.socket) -> None:
        self._opened.put(connection)
        self._over.wait(60)

    def opened(self) -> socket.socket:
        """The next connection."""
        return self._opened.get(timeout=LIMIT)

    @property
    def address(self) -> str:
        return f"TCP:{LOOPBACK}:{self.server.port}"

    def finish(self) -> None:
        self._over.set()


@pytest.fixture
def device(serve: Serve) -> Iterator[Device]:
    made = Device(serve)
    yield made
    made.finish()


class Shared:
    """A command line with a shared listener on the left."""

    def __init__(self, tool: Tool, port: int, options: str, device: str, *switches: str) -> None:
        self.port = port
        self.line: Running = tool.start("-dd", *switches, f"TCP-LISTEN:{port},reuseaddr,{options}", device)
        self._joined = 0
        self._clients: list[socket.socket] = []
        wait_listening(port)

    def said(self, text: str) -> int:
        return len(re.findall(text, self.line.err.data.decode()))

    def client(self, receive_buffer: int | None = None) -> socket.socket:
        """A client that has joined."""
        self._joined += 1
        made = self.dial(receive_buffer)
        wait_until(lambda: self.said("joins") >= self._joined, f"client {self._joined} to join")
        return made

    def dial(self, receive_buffer: int | None = None) -> socket.socket:
        """A client that connects; it is closed with the test."""
        made = socket.socket()
        self._clients.append(made)
        made.settimeout(LIMIT)
        if receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made.connect((LOOPBACK, self.port))
        return made

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def statistics(self) -> tuple[int, int]:
        """Bytes left to right, and right to left, after the end."""
        text = self.line.err.data.decode()
        found = [
            re.search(rf"STATISTICS: {way}:.* (\d+) byte", text) for way in ("left to right", "right to left")
        ]
        return int(found[0][1]) if found[0] else 0, int(found[1][1]) if found[1] else 0


Share = Callable[..., Shared]


@pytest.fixture
def share(ferrule: Tool, free_port: Ports) -> Iterator[Share]:
    made: list[Shared] = []

    def start(device: str, options: str = "share", *switches: str) -> Shared:
        made.append(Shared(ferrule, free_port(), options, device, *switches))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_eight_readers_get_every_byte_in_order(share: Share, device: Device) -> None:
    line = share(device.address, "share,share-queue=8388608", "--statistics")
    far, data = device.opened(), pattern(3_000_000)
    clients = [line.client() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        readings = [pool.submit(read_exactly, client, len(data)) for client in clients]
        far.sendall(data)
        assert all(reading.result(LIMIT) == data for reading in readings)
    for client in clients:
        client.close()
    far.shutdown(socket.SHUT_WR)
    assert line.line.wait().code == 0
    assert line.statistics() == (0, 8 * len(data))


def test_one_that_does_not_read_delays_nobody(share: Share, device: Device) -> None:
    """What may wait is bound by bytes: each piece has to arrive before the next one is sent."""
    line = share(device.address, "share,share-queue=65536,sndbuf=4096")
    far, data = device.opened(), pattern(2_000_000)
    stuck, well = line.client(receive_buffer=4096), line.client()
    for start in range(0, len(data), 1000):
        far.sendall(data[start : start + 1000])
        assert read_exactly(well, 1000) == data[start : start + 1000]
    line.line.wait_for_log(r"client 1 .* does not read: more than 65536 bytes wait")
    far.sendall(b"the end")
    far.shutdown(socket.SHUT_WR)
    assert read_all(well) == b"the end"
    got = read_all(stuck)
    assert 65536 <= len(got) < len(data) / 2
    assert got.endswith(data[-65000:] + b"the end"), "the newest bytes are kept"
    missed = line.line.wait_for_log(r"client 1 \(fd \d+\) reads again; it missed (\d+) bytes")
    assert len(got) + int(missed[1]) == len(data) + 7
    for client in (stuck, well):
        client.close()
    assert line.line.wait().code == 0, "what an option drops is no failure"


def test_one_that_does_not_read_is_closed(share: Share, device: Device) -> None:
    line = share(device.address, "share-slow=kick,share-queue=65536,sndbuf=4096")
    far, data = device.opened(), pattern(1_000_000)
    stuck, well = line.client(receive_buffer=4096), line.client()
    for start in range(0, len(data), 1000):
        far.sendall(data[start : start + 1000])
        assert read_exactly(well, 1000) == data[start : start + 1000]
    line.line.wait_for_log(r"client 1 .* wait for it, it is closed")
    got = read_all(stuck)
    assert data.startswith(got)
    assert len(got) < len(data) / 2
    line.line.wait_for_log(r"client 1 .* leaves, 1 stay")
    assert line.line.terminate().code == 143


def test_all_wait_for_the_slowest(share: Share, device: Device) -> None:
    line = share(device.address, "share-slow=wait,share-queue=65536,sndbuf=4096")
    far, data = device.opened(), pattern(4_000_000)
    clients = [line.client(receive_buffer=4096), line.client()]
    with ThreadPoolExecutor(3) as pool:
        sending = pool.submit(far.sendall, data)
        first = read_exactly(clients[0], 1000)
        well = pool.submit(read_exactly, clients[1], len(data))
        slow = first + read_exactly(clients[0], len(data) - 1000)
        sending.result(LIMIT)
        assert (slow == data, well.result(LIMIT) == data) == (True, True)
    assert line.said("missed|wait for it") == 0
    assert line.line.terminate().code == 143


def test_blocks_are_merged_whole(share: Share, device: Device) -> None:
    """The device takes little at a time; what a client sent at once stays together all the same."""
    line = share(f"{device.address},sndbuf=4096")
    far, size, count = device.opened(), 5000, 5
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    clients = [line.client() for _ in range(4)]

    def talk(number: int) -> None:
        client = clients[number]
        for _ in range(count):
            client.sendall(bytes([97 + number]) * size)
            wait_until(lambda: taken(client), "the block to be read")

    with ThreadPoolExecutor(4) as pool:
        talking = [pool.submit(talk, number) for number in range(4)]
        data = read_exactly(far, 4 * count * size)
        for each in talking:
            each.result(LIMIT)
    runs = [len(run.group()) for run in re.finditer(rb"(.)\1*", data)]
    assert all(length % size == 0 for length in runs), runs
    assert len(runs) > count, "they took turns"
    assert all(data.count(bytes([97 + number])) == count * size for number in range(4))


def test_a_reader_may_not_write(share: Share, device: Device) -> None:
    line = share(device.address, "share-access=ro", "--statistics")
    far, client = device.opened(), line.client()
    client.sendall(b"reboot\n")
    line.line.wait_for_log(r" W client 1 .* may not write \(share-access=ro\)")
    client.sendall(b"reboot\n")
    far.sendall(b"still here")
    assert read_exactly(client, 10) == b"still here"
    client.shutdown(socket.SHUT_WR)
    assert read_all(client) == b""
    line.line.wait_for_log(r"client 1 .* leaves, 0 stay; it was not allowed to write 14 bytes")
    assert line.said("may not write") == 1
    assert line.line.terminate().code == 143
    assert read_all(far) == b""
    assert line.statistics() == (0, 10)


def test_one_writer_at_a_time(share: Share, device: Device) -> None:
    line = share(device.address, "share-access=lease,lease-time=0.3")
    far, first, second = device.opened(), line.client(), line.client()
    first.sendall(b"one")
    assert read_exactly(far, 3) == b"one"
    second.sendall(b"dropped")
    line.line.wait_for_log(r"client 2 .* may not write while client 1 does")

    def until_written() -> bool:
        second.sendall(b"?")
        return b"?" in far.recv(1)

    far.settimeout(0.1)
    tries = iter(range(100))

    def taken() -> bool:
        try:
            return until_written()
        except TimeoutError:
            assert next(tries) < 99
            return False

    wait_until(taken, "the lease to end by silence")
    assert line.said("client 2 has the right to write") == 1
    first.sendall(b"dropped")
    line.line.wait_for_log(r"client 1 .* may not write while client 2 does")


def test_last_words_for_a_late_client(share: Share, device: Device) -> None:
    line = share(device.address, "share-replay=7")
    far, early = device.opened(), line.client()
    far.sendall(b"booting... login: ")
    assert read_exactly(early, 18) == b"booting... login: "
    with line.client() as late:
        assert read_exactly(late, 7) == b"login: "
        far.sendall(b"x")
        assert read_exactly(late, 1) == b"x"


@pytest.mark.parametrize(("options", "right"), [("share", "device"), ("fork", "PIPE")])
def test_busy_refuses(share: Share, device: Device, options: str, right: str) -> None:
    address = device.address if right == "device" else right
    line = share(address, f"{options},max-children=2,busy=refuse")
    served = [line.dial() for _ in range(2)]
    wait_until(lambda: line.said("accepting connection") == 2, "both accepted")
    with dial(line.port) as refused:
        assert read_all(refused) == b""
    line.line.wait_for_log(r" W refusing the client: 2 are served, and max-children allows no more")
    served[0].close()
    if options == "fork":
        served[1].sendall(b"ping")
        assert read_exactly(served[1], 4) == b"ping"
    else:
        line.line.wait_for_log("leaves, 1 stay")
        third = line.dial()
        line.line.wait_for_log(r"client 3 .* joins")
        device.opened().sendall(b"hello")
        assert read_exactly(third, 5) == b"hello"


@pytest.mark.parametrize("options", ["share", "fork"])
def test_busy_kicks_the_oldest(share: Share, options: str) -> None:
    line = share("EXEC:cat", f"{options},busy=kick")
    first = line.dial()
    first.sendall(b"one")
    assert read_exactly(first, 3) == b"one"
    second = line.dial()
    assert read_all(first) == b""
    second.sendall(b"two")
    assert read_exactly(second, 3) == b"two"
    assert line.said("closing the oldest of 1 clients") == 1
    assert line.line.terminate().code == 143


def test_a_client_may_come_back_at_once(share: Share) -> None:
    line = share("EXEC:cat", "share,busy=refuse")
    for _ in range(20):
        with dial(line.port) as client:
            client.sendall(b"ping")
            assert read_exactly(client, 4) == b"ping"
    assert line.said("refusing") == 0
    assert line.line.terminate().code == 143


def test_busy_waits(share: Share, device: Device) -> None:
    line = share(device.address, "share,busy=wait,max-children=1")
    far, first = device.opened(), line.client()
    with dial(line.port) as second:
        second.sendall(b"second")
        line.line.wait_for_log("are active, waiting")
        first.sendall(b"first")
        assert read_exactly(far, 5) == b"first"
        first.close()
        assert read_exactly(far, 6) == b"second"


def test_clients_come_and_go(share: Share, device: Device) -> None:
    """No descriptor and no memory stays behind."""
    line = share(device.address, "share-replay=1000,backlog=64")
    far = device.opened()
    process = psutil.Process(line.line.pid)

    def rounds(count: int) -> tuple[int, int]:
        for number in range(count):
            with dial(line.port) as client:
                client.sendall(b"?")
                assert read_exactly(far, 1) == b"?"
                if number % 10 == 0:
                    far.sendall(b"!" * 100)
        wait_until(lambda: line.said(r"leaves, 0 stay") and process.num_fds() <= rest, "all to leave")
        return process.num_fds(), process.memory_info().rss

    rest = process.num_fds()
    before = rounds(200)
    after = rounds(1000)
    assert after[0] == before[0] == rest
    assert after[1] - before[1] < 2 << 20, "a client leaves less than 2 KiB"
    assert line.line.terminate().code == 143


def test_the_end_of_the_device_ends_all(share: Share, device: Device) -> None:
    line = share(device.address)
    far, clients = device.opened(), [line.client() for _ in range(5)]
    far.sendall(b"last words")
    far.shutdown(socket.SHUT_WR)
    assert [read_all(client) for client in clients] == [b"last words"] * 5
    wait_until(lambda: not listening(line.port), "the end of the listening")
    clients[0].sendall(b"bye")
    for client in clients:
        client.close()
    assert read_all(far) == b"bye"
    assert line.line.wait().code == 0


def test_a_device_that_cannot_be_opened_is_told_at_once(ferrule: Tool, free_port: Ports) -> None:
    port = free_port()
    done = ferrule.run(f"TCP-LISTEN:{free_port()},share", f"TCP:{LOOPBACK}:{port}")
    assert done.code == 1
    assert f"{port}" in done.level("E")[0]


def test_a_lazy_device_is_open_while_there_are_clients(share: Share, device: Device) -> None:
    line = share(device.address, "share=lazy")
    assert device.server.accepted == 0
    for number in range(2):
        with dial(line.port) as first, dial(line.port) as second:
            far = device.opened()
            line.line.wait_for_log("client 4 .*joins" if number else "client 2 .*joins")
            far.sendall(b"hello")
            assert (read_exactly(first, 5), read_exactly(second, 5)) == (b"hello", b"hello")
        assert read_all(far) == b""
        assert device.server.accepted == number + 1


def test_serial_port_that_is_unplugged(share: Share) -> None:
    """The master of a pseudo terminal stands for the adapter."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    line = share(f"{os.ttyname(slave)},raw,echo=0", "share")
    os.close(slave)
    clients = [line.client() for _ in range(3)]
    os.write(master, b"login: ")
    assert [read_exactly(client, 7) for client in clients] == [b"login: "] * 3
    for number, client in enumerate(clients):
        client.sendall(f"{number}".encode())
        assert os.read(master, 10) == f"{number}".encode()
    os.close(master)
    assert [read_all(client) for client in clients] == [b""] * 3
    for client in clients:
        client.close()
    line.line.wait()
    assert line.said("joins") == 3


def test_program_is_started_once_and_ended_with_the_relay(share: Share) -> None:
    line = share("SYSTEM:echo ready; cat", "share-replay=100")
    clients = [line.client() for _ in range(3)]
    assert [read_exactly(client, 6) for client in clients] == [b"ready\n"] * 3
    clients[0].sendall(b"ping")
    assert [read_exactly(client, 4) for client in clients] == [b"ping"] * 3
    assert line.line.terminate().code == 143
    wait_until(lambda: not line.line.descendants(), "the end of the program")


def test_one_way_to_a_file(share: Share, tmp_path: Path) -> None:
    """A log of all that many say."""
    line = share(f"OPEN:{tmp_path}/log,creat,append", "share", "-u")
    for number in range(5):
        with dial(line.port) as client:
            client.sendall(f"line {number}\n".encode())
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
    expected = "".join(f"line {number}\n" for number in range(5))
    wait_until(lambda: (tmp_path / "log").read_text() == expected, "all lines in the file")
    assert line.line.terminate().code == 143


def test_one_way_from_a_program(share: Share) -> None:
    line = share("SYSTEM:echo hello; exec sleep 60", "share-replay=6", "-U")
    clients = [line.client() for _ in range(3)]
    for client in clients:
        client.sendall(b"nobody reads this")
    assert [read_exactly(client, 6) for client in clients] == [b"hello\n"] * 3
    assert line.line.terminate().code == 143


def test_a_device_that_takes_no_more_is_the_end_if_it_is_only_written(share: Share) -> None:
    line = share("EXEC:true", "share", "-u")
    wait_until(lambda: not line.line.descendants()[1:], "the end of the program")
    client = line.client()
    client.sendall(b"to nobody")
    done = line.line.wait()
    assert done.code == 1
    assert any("Broken pipe" in text for text in done.level("E")), done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_writes_what_has_arrived(share: Share, device: Device, number: signal.Signals) -> None:
    # Read in small blocks, so that most of it is still to be read by then.
    line = share(device.address, "share", "-b", "100")
    far, clients = device.opened(), [line.client() for _ in range(3)]
    data = pattern(50_000)
    # All of it is there when the signal is seen.
    line.line.kill(signal.SIGSTOP)
    far.sendall(data)
    clients[0].sendall(b"bye")
    line.line.kill(number)
    line.line.kill(signal.SIGCONT)
    done = line.line.wait()
    assert done.code == 128 + number
    assert [read_all(client) == data for client in clients] == [True] * 3
    assert read_all(far) == b"bye"


def test_stopping_does_not_wait_for_one_that_does_not_read(share: Share, device: Device) -> None:
    line = share(device.address, "share,sndbuf=4096")
    far, stuck = device.opened(), line.client(receive_buffer=4096)
    far.sendall(pattern(100_000))
    assert line.line.terminate(limit=3).code == 143
    stuck.close()


def test_the_listener_may_come_second(ferrule: Tool, free_port: Ports, device: Device) -> None:
    port = free_port()
    line = ferrule.start("-dd", device.address, f"TCP-LISTEN:{port},reuseaddr,share")
    far = device.opened()
    wait_listening(port)
    with dial(port) as first, dial(port) as second:
        line.wait_for_log("client 2 .*joins")
        far.sendall(b"hello")
        assert [read_exactly(client, 5) for client in (first, second)] == [b"hello"] * 2
        second.sendall(b"hi")
        assert read_exactly(far, 2) == b"hi"
    assert line.terminate().code == 143


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        ("TCP-LISTEN:0,share=eager", "PIPE", r'"eager" is none of start, lazy'),
        ("TCP-LISTEN:0,share-access=w", "PIPE", r'"w" is none of ro, rw, lease'),
        ("TCP-LISTEN:0,share-queue=0", "PIPE", "a queue of no bytes"),
        ("TCP-LISTEN:0,share-slow=no", "PIPE", r'"no" is none of drop, kick, wait'),
        ("TCP-LISTEN:0,fork,busy=leave", "PIPE", r'"leave" is none of wait, refuse, kick'),
        ("TCP-LISTEN:0,busy=kick", "PIPE", "busy not allowed without option fork"),
        ("TCP-LISTEN:0,share,fork=0", "PIPE", "option share needs fork"),
        ("TCP:127.0.0.1:9,share", "PIPE", "share"),
        ("TCP-LISTEN:0,share!!PIPE", "PIPE", "option share is not allowed here"),
        ("TCP-LISTEN:0,share", "TCP-LISTEN:0,fork", "cannot be shared and fork"),
        ("TCP-LISTEN:0,share", "TCP-LISTEN:0,share", "cannot be shared and fork"),
    ],
)
def test_what_cannot_be_is_told(ferrule: Tool, left: str, right: str, reason: str) -> None:
    done = ferrule.run(left, right)
    assert done.code == 1
    assert re.search(reason, done.level("E")[0]), done.err


@pytest.mark.parametrize("kind", ["FILE:{},b115200,rawer", "SERIAL:{}"])
def test_clients_are_held_while_the_device_is_away(share: Share, tmp_path: Path, kind: str) -> None:
    """What clients write meanwhile comes first when the device is back, though nothing follows."""
    plug = Plug(tmp_path / "device")
    shared = share(f"{kind.format(plug.link)},reconnect")
    one, other = shared.client(), shared.client()
    one.sendall(b"before")
    assert plug.read(6) == b"before"
    for turn in range(3):
        plug.out()
        wait_until(lambda turn=turn: shared.said("waiting for it to come back") > turn, "the loss to be told")
        one.sendall(b"kept %d" % turn)
        plug.back()
        assert plug.read(6) == b"kept %d" % turn
        plug.write(b"for all")
        for client in (one, other):
            assert read_exactly(client, 7) == b"for all"
    shared.line.kill(signal.SIGTERM)
    assert shared.line.wait().code == 128 + signal.SIGTERM


def test_what_was_kept_for_a_device_that_stays_away_is_told(share: Share, tmp_path: Path) -> None:
    plug = Plug(tmp_path / "device")
    shared = share(f"FILE:{plug.link},b115200,rawer,reconnect,hold=0.5")
    client = shared.client()
    client.sendall(b"before")
    assert plug.read(6) == b"before"
    plug.out()
    client.sendall(b"never read")
    done = shared.line.wait()
    assert done.code == 1
    assert "10 bytes of clients were kept and could not be written" in done.err
    assert read_all(client) == b""
