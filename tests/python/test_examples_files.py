"""The well-known lines with stdio, files and pipes, told alike of Ferrule and of socat."""

from __future__ import annotations

import grp
import os
import pty
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from lines import Tool, wait_until
from peers import Server, greet, pattern

TEXT = b"one\ntwo\n\nlast without newline"
EVERY_BYTE = bytes(range(256)) * 3


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# 1 and 2: the echo


@pytest.mark.parametrize(
    "right",
    [
        "STDIO",
        "-",
        "STDIN!!STDOUT",
        "-!!-",
        "0!!1",
        "FD:0!!FD:1",
        "/dev/stdin!!/dev/stdout",
        "stdin!!stdout",
        "0!!STDOUT",
    ],
)
@pytest.mark.parametrize("data", [TEXT, EVERY_BYTE, b""], ids=["text", "binary", "nothing"])
def test_pipe_echoes_in_all_spellings(tool: Tool, right: str, data: bytes) -> None:
    done = tool.run("PIPE", right, stdin=data)
    assert (done.code, done.out, done.err) == (0, data, "")


@pytest.mark.parametrize("left", ["-", "STDIO", "stdio", "stdin!!stdout"])
@pytest.mark.parametrize("echo", ["PIPE", "pipe", "ECHO"])
def test_echo_returns_the_input(tool: Tool, left: str, echo: str) -> None:
    done = tool.run(left, echo, stdin=TEXT)
    assert (done.code, done.out, done.err) == (0, TEXT, "")


def test_echo_of_more_than_a_pipe_holds(tool: Tool) -> None:
    data = pattern(700_001)
    done = tool.run("-", "PIPE", stdin=data)
    assert (done.code, done.out == data, done.err) == (0, True, "")


def test_echo_answers_before_the_input_ends(tool: Tool) -> None:
    line = tool.start("-", "PIPE")
    for word in (b"first\n", b"second\n"):
        line.send(word)
        line.out.wait_for(word)
    assert line.finish().code == 0


# 3: cat


@pytest.mark.parametrize(
    "address", ["./f1", "{folder}/f1", "FILE:f1", "file:f1", "OPEN:f1,rdonly", "GOPEN:f1"]
)
@pytest.mark.parametrize("right", ["-", "STDOUT", "1"])
def test_cat(tool: Tool, tmp_path: Path, address: str, right: str) -> None:
    data = pattern(100_000)
    (tmp_path / "f1").write_bytes(data)
    done = tool.run("-u", address.format(folder=tmp_path), right)
    assert (done.code, done.out == data, done.err) == (0, True, "")


def test_cat_right_to_left(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "f1").write_bytes(TEXT)
    done = tool.run("-U", "-", "FILE:f1")
    assert (done.code, done.out) == (0, TEXT)


def test_bare_name_needs_a_slash(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "f1").write_bytes(TEXT)
    done = tool.run("-u", "f1", "-")
    assert (done.code, done.out) == (1, b"")
    assert done.level("E") == ['unknown device/address "f1"']


# 4 and 5: writing files


@pytest.mark.parametrize(
    ("address", "mode"),
    [
        ("CREATE:out,mode=0640", 0o640),
        ("CREATE:out,perm=0640", 0o640),
        ("CREAT:out,mode=600", 0o600),
        ("CREATE:out", 0o644),
        ("OPEN:out,creat,mode=0604", 0o604),
        ("./out", 0o644),
    ],
)
def test_file_is_created_with_the_mode(tool: Tool, tmp_path: Path, address: str, mode: int) -> None:
    done = tool.run("-u", "-", address, stdin=TEXT)
    assert (done.code, done.out, done.err) == (0, b"", "")
    assert (tmp_path / "out").read_bytes() == TEXT
    assert mode_of(tmp_path / "out") == mode


def test_file_is_created_with_the_group(tool: Tool, tmp_path: Path) -> None:
    own = os.getegid()
    usable = [entry.gr_gid for entry in grp.getgrall()] if os.geteuid() == 0 else os.getgroups()
    other = next((gid for gid in usable if gid != own), None)
    if other is None:
        pytest.skip("this user is in no second group")
    name = grp.getgrgid(other).gr_name
    done = tool.run("-u", "-", f"CREATE:out,group={name},perm=0640", stdin=TEXT)
    assert (done.code, done.err) == (0, "")
    assert ((tmp_path / "out").stat().st_gid, mode_of(tmp_path / "out")) == (other, 0o640)


def test_create_truncates(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"x" * 1000)
    assert tool.run("-u", "-", "CREATE:out", stdin=b"short").code == 0
    assert (tmp_path / "out").read_bytes() == b"short"


@pytest.mark.parametrize("address", ["OPEN:log,creat,append", "./log", "GOPEN:log", "FILE:log,create,append"])
def test_append(tool: Tool, tmp_path: Path, address: str) -> None:
    (tmp_path / "log").write_bytes(b"old\n")
    for word in (b"new\n", b"newer\n"):
        done = tool.run("-u", "-", address, stdin=word)
        assert (done.code, done.err) == (0, "")
    assert (tmp_path / "log").read_bytes() == b"old\nnew\nnewer\n"


# 6: ends of lines


@pytest.mark.parametrize(
    ("left", "right", "given", "wanted"),
    [
        ("-", "-,crlf", b"a\nb\n\n", b"a\r\nb\r\n\r\n"),
        ("-", "-,crnl", b"a\nb", b"a\r\nb"),
        ("-", "-,cr", b"a\nb\n", b"a\rb\r"),
        ("-,cr", "-", b"a\rb\r", b"a\nb\n"),
        ("-,crlf", "-", b"a\r\nb\r\nlone\rcr", b"a\nb\nlonecr"),
        ("-,crnl", "-,cr", b"a\r\nb\r\n", b"a\rb\r"),
    ],
)
def test_line_ends_are_converted(tool: Tool, left: str, right: str, given: bytes, wanted: bytes) -> None:
    done = tool.run("-u", left, right, stdin=given)
    assert (done.code, done.out, done.err) == (0, wanted, "")


@pytest.mark.parametrize("option", ["crlf", "cr"])
def test_conversion_does_not_depend_on_the_pieces(tool: Tool, option: str) -> None:
    data = (b"x" * 8190 + b"\n" + b"\n" * 5 + b"y\n") * 7
    end = b"\r\n" if option == "crlf" else b"\r"
    done = tool.run("-u", "-", f"-,{option}", stdin=data)
    assert (done.code, done.out == data.replace(b"\n", end)) == (0, True)


# 7: tail -f


def test_tail(tool: Tool, tmp_path: Path) -> None:
    log = tmp_path / "f"
    log.write_bytes(b"before\n")
    line = tool.start("-d", "-d", "-u", "./f,seek-end=0,ignoreeof", "-")
    line.wait_for_log("starting data transfer loop")
    for word in (b"added\n", b"more\n"):
        with log.open("ab") as growing:
            growing.write(word)
        line.out.wait_for(word)
    done = line.terminate()
    assert (done.code, done.out) == (143, b"added\nmore\n")


# 8: a given number of bytes. TEXT is younger than Debian's socat.


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("TEXT:abcdef,readbytes=3", b"abc"),
        ("TEXT:abcdef,bytes=0", b"abcdef"),
        ("TEXT:abcdef", b"abcdef"),
        (r"TEXT:one\ntwo\:three", b"one\ntwo:three"),
    ],
)
def test_text(ferrule: Tool, address: str, wanted: bytes) -> None:
    done = ferrule.run("-u", address, "-")
    assert (done.code, done.out, done.err) == (0, wanted, "")


@pytest.mark.parametrize("count", [1, 1000, 8192, 20_000])
def test_readbytes_ends_a_stream_that_goes_on(tool: Tool, serve: Callable[..., Server], count: int) -> None:
    data = pattern(50_000)
    server = serve(greet(data))
    done = tool.run("-u", f"TCP:127.0.0.1:{server.port},readbytes={count}", "-")
    assert (done.code, done.out == data[:count], done.err) == (0, True, "")


def test_readbytes_of_stdin(tool: Tool) -> None:
    line = tool.start("-u", "-,readbytes=5", "-")
    line.send(b"123456789")
    done = line.wait()
    assert (done.code, done.out) == (0, b"12345")


# 9: writing at an offset


@pytest.mark.parametrize("offset", ["100000000000", "0x174876e800"])
def test_sparse_file(tool: Tool, tmp_path: Path, offset: str) -> None:
    done = tool.run("-u", "-", f"FILE:big,create,largefile,seek={offset}", stdin=b"\n")
    assert (done.code, done.err) == (0, "")
    size = (tmp_path / "big").stat()
    assert (size.st_size, size.st_blocks * 512 < 1_000_000) == (100_000_000_001, True)


@pytest.mark.parametrize("option", ["seek=0x74420", "seek=476192", "lseek=01642040"])
def test_patching_a_binary(tool: Tool, tmp_path: Path, option: str) -> None:
    before = pattern(0x80000)
    (tmp_path / "binary").write_bytes(before)
    done = tool.run("-u", "-", f"FILE:binary,{option}", stdin=b"PATCH")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "binary").read_bytes() == before[:0x74420] + b"PATCH" + before[0x74425:]


# 10: the named pipe, and a terminal written to a file


@pytest.mark.parametrize("names", ["PIPE:{0},nonblock!!{0}", "PIPE:{0},nonblock!!PIPE:{0}"])
def test_echo_through_a_named_pipe(tool: Tool, tmp_path: Path, names: str) -> None:
    done = tool.run("-", names.format(tmp_path / "pipi"), stdin=TEXT)
    assert (done.code, done.out, done.err) == (0, TEXT, "")
    assert not (tmp_path / "pipi").exists(), "a pipe made by the line is removed by it"


def test_existing_named_pipe_is_kept(tool: Tool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipi")
    done = tool.run("-", f"PIPE:{tmp_path}/pipi,nonblock!!{tmp_path}/pipi", stdin=TEXT)
    assert (done.code, done.out) == (0, TEXT)
    assert (tmp_path / "pipi").is_fifo()


def test_terminal_written_to_a_file(tool: Tool, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    try:
        line = tool.start("-d", "-d", "-u", f"{os.ttyname(slave)},raw,echo=0", "CREATE:f")
        line.wait_for_log("starting data transfer loop")
        data = bytes(range(256))
        os.write(master, data)
        wait_until(lambda: (tmp_path / "f").read_bytes() == data, "all bytes in the file")
    finally:
        os.close(slave)
        os.close(master)
    line.wait()
    assert (tmp_path / "f").read_bytes() == data


# 11: the escape byte


@pytest.mark.parametrize(("escape", "byte"), [("27", b"\x1b"), ("0x0f", b"\x0f"), ("017", b"\x0f")])
def test_escape_byte_ends_the_line(tool: Tool, escape: str, byte: bytes) -> None:
    line = tool.start(f"-,escape={escape}", "PIPE")
    line.send(b"kept" + byte + b"dropped")
    done = line.wait()  # stdin stays open: nothing but the escape can have ended it
    assert (done.code, done.out, done.err) == (0, b"kept", "")
