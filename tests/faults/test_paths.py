"""Names in the file system: what is taken, what is left alone, what is cleaned up."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from lines import Tool, wait_until
from peers import ask, bound_unix, dial, dial_unix, unix_listening, wait_listening, wait_unix_listening

PRECIOUS = b"years of work"
Ports = Callable[[], int]


# The link of a terminal


@pytest.mark.parametrize("option", ["link={}", "symbolic-link={}"])
def test_link_does_not_replace_a_file(ferrule: Tool, tmp_path: Path, option: str) -> None:
    """Socat deletes the file."""
    path = tmp_path / "precious"
    path.write_bytes(PRECIOUS)
    done = ferrule.run(f"PTY,{option.format(path)}", "PIPE")
    assert (done.code, len(done.level("E"))) == (1, 1)
    assert str(path) in done.level("E")[0]
    assert path.read_bytes() == PRECIOUS


def test_link_does_not_replace_a_folder_or_a_socket(ferrule: Tool, tmp_path: Path) -> None:
    folder, socket_path = tmp_path / "folder", tmp_path / "socket"
    folder.mkdir()
    with bound_unix(socket_path):
        for path in (folder, socket_path):
            assert ferrule.run(f"PTY,link={path}", "PIPE").code == 1
    assert folder.is_dir()
    assert socket_path.is_socket()


def test_link_left_behind_is_replaced(tool: Tool, tmp_path: Path) -> None:
    link = tmp_path / "tty"
    link.symlink_to("/dev/pts/987654")
    line = tool.start("-d", "-d", f"PTY,link={link},rawer", "PIPE")
    name = line.wait_for_log(r"PTY is (/dev/pts/\d+)")[1].decode()
    wait_until(lambda: str(link.readlink()) == name, "the new link")
    line.terminate()
    assert not link.is_symlink()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_link_is_removed(tool: Tool, tmp_path: Path, number: signal.Signals) -> None:
    link = tmp_path / "tty"
    line = tool.start(f"PTY,link={link},rawer", "PIPE")
    wait_until(link.is_symlink, "the link")
    line.terminate(number)
    assert list(tmp_path.iterdir()) == []


def test_link_of_somebody_else_is_left_alone(ferrule: Tool, tmp_path: Path) -> None:
    link = tmp_path / "tty"
    line = ferrule.start(f"PTY,link={link},rawer", "PIPE")
    wait_until(link.is_symlink, "the link")
    link.unlink()
    link.symlink_to("/dev/null")
    line.terminate()
    assert str(link.readlink()) == "/dev/null"


# UNIX sockets


def test_socket_left_behind_is_explained(ferrule: Tool, tmp_path: Path) -> None:
    """Socat says that the name exists and leaves people to guess."""
    path = tmp_path / "s"
    with bound_unix(path):
        pass
    done = ferrule.run(f"UNIX-LISTEN:{path}", "PIPE")
    assert (done.code, len(done.level("E"))) == (1, 1)
    assert str(path) in done.err
    assert "unlink-early" in done.err, "the way out is named"
    assert path.is_socket()


@pytest.mark.parametrize("option", ["unlink-early", "unlink-early=1"])
def test_socket_left_behind_is_reclaimed(tool: Tool, tmp_path: Path, option: str) -> None:
    path = tmp_path / "s"
    first = tool.start(f"UNIX-LISTEN:{path},fork", "PIPE")
    wait_unix_listening(path)
    first.terminate(signal.SIGKILL)
    assert path.is_socket(), "nobody could clean up"
    assert not unix_listening(str(path))
    second = tool.start("-t", "10", f"UNIX-LISTEN:{path},fork,{option}", "PIPE")
    wait_unix_listening(path)
    assert ask(dial_unix(path), b"ping") == b"ping"
    assert second.terminate().code == 143
    assert not path.exists()


@pytest.mark.parametrize("kind", ["UNIX-LISTEN", "UNIX-RECV", "UNIX-RECVFROM"])
def test_file_in_the_way_is_left_alone(tool: Tool, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "precious"
    path.write_bytes(PRECIOUS)
    done = tool.run("-u", f"{kind}:{path}", "-")
    assert (done.code, len(done.level("E"))) == (1, 1)
    assert path.read_bytes() == PRECIOUS


@pytest.mark.parametrize("successor", ["file", "socket"])
def test_only_the_own_socket_is_removed(ferrule: Tool, tmp_path: Path, successor: str) -> None:
    """Somebody has put something else under the name: it is not ours to remove. Socat removes it."""
    path = tmp_path / "s"
    line = ferrule.start(f"UNIX-LISTEN:{path},fork", "PIPE")
    wait_unix_listening(path)
    path.rename(tmp_path / "moved")
    if successor == "file":
        path.write_bytes(PRECIOUS)
    else:
        bound_unix(path).close()
    line.terminate()
    assert path.is_socket() if successor == "socket" else path.read_bytes() == PRECIOUS


def test_socket_mode_is_never_wider_than_asked(ferrule: Tool, tmp_path: Path) -> None:
    """From the moment the name exists: watch it while the line is started many times."""
    path, seen = tmp_path / "s", set()
    for _ in range(5):
        line = ferrule.start(f"UNIX-LISTEN:{path},mode=600", "PIPE", umask=0)

        def appeared() -> bool:
            try:
                seen.add(stat.S_IMODE(path.stat().st_mode))
            except FileNotFoundError:
                return False
            return True

        wait_until(appeared, "the socket")
        wait_unix_listening(path)
        appeared()
        line.terminate()
    assert seen == {0o600}


# Named pipes and lock files


def test_named_pipe_of_somebody_else_is_kept(tool: Tool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "theirs")
    assert tool.run("-", f"PIPE:{tmp_path}/theirs,nonblock!!{tmp_path}/theirs", stdin=b"x").code == 0
    assert (tmp_path / "theirs").is_fifo()


@pytest.mark.parametrize("kind", ["switch", "option"])
def test_lock_is_not_written_through_a_link(ferrule: Tool, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "precious"
    target.write_bytes(PRECIOUS)
    (tmp_path / "lock").symlink_to(target)
    lock = str(tmp_path / "lock")
    arguments = ("-L", lock, "-", "PIPE") if kind == "switch" else (f"-,lockfile={lock}", "PIPE")
    assert ferrule.run(*arguments).code == 1
    assert target.read_bytes() == PRECIOUS


def test_only_one_of_many_gets_the_lock(tool: Tool, tmp_path: Path) -> None:
    lock = str(tmp_path / "lock")
    lines = [tool.start("-L", lock, "-", "PIPE") for _ in range(10)]
    wait_until(lambda: sum(line.process.poll() is None for line in lines) == 1, "a single winner")
    (winner,) = (line for line in lines if line.process.poll() is None)
    assert int(Path(lock).read_text()) == winner.pid
    assert winner.finish().code == 0
    assert [line.wait().code for line in lines if line is not winner] == [1] * 9
    assert not Path(lock).exists()


def test_lock_of_a_listener_outlives_its_connections(tool: Tool, free_port: Ports, tmp_path: Path) -> None:
    port, lock = free_port(), tmp_path / "lock"
    line = tool.start("-L", str(lock), f"TCP-LISTEN:{port},reuseaddr,fork", "EXEC:echo done")
    wait_listening(port)
    for _ in range(3):
        assert ask(dial(port), b"") == b"done\n"
    assert int(lock.read_text()) == line.pid
    line.terminate()
    assert not lock.exists()
