"""The well-known lines that run programs: filters, shells, terminals, logins."""

from __future__ import annotations

import os
import re
import socket
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import psutil
import pytest
import serial
from lines import Running, Tool, plain_environment, wait_until
from peers import dial, pattern, read_all, wait_listening

TEXT = b"one\ntwo\nthree\n"

PASSWORD_PROGRAM = '''\
"""Behaves as a login does: the password comes from the controlling terminal and from nowhere else."""
import os, sys, termios
terminal = os.open("/dev/tty", os.O_RDWR)
def ask(prompt, shown):
    settings = termios.tcgetattr(terminal)
    hidden = [*settings[:3], settings[3] & ~(0 if shown else termios.ECHO), *settings[4:]]
    termios.tcsetattr(terminal, termios.TCSANOW, hidden)
    os.write(terminal, prompt)
    answer = b""
    while not answer.endswith(b"\\n"):
        answer += os.read(terminal, 1)
    termios.tcsetattr(terminal, termios.TCSANOW, settings)
    return answer.strip()
name = sys.argv[2].encode() if len(sys.argv) > 2 else ask(b"login: ", True)
if ask(b"password: ", False) != b"sesame":
    print("denied", file=sys.stderr)
    sys.exit(1)
print("welcome", name.decode(), "on", " ".join(sys.argv[3:]) or "the line", flush=True)
print("you said", sys.stdin.readline().strip(), flush=True)
sys.stdin.readline()
'''


@pytest.fixture
def password_program(tmp_path: Path) -> Callable[[str], Path]:
    """Installs the stand-in under a name in `bin/` of the test's folder."""

    def install(name: str) -> Path:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable} -S\n{textwrap.dedent(PASSWORD_PROGRAM)}")
        path.chmod(0o755)
        return path

    return install


# 12: programs as endpoints


def patience(tool: Tool) -> str:
    """Debian's socat does not see the end of a program that talks through two pipes: there -t ends it."""
    return "10" if tool.name == "ferrule" else "1"


@pytest.mark.parametrize("address", ["EXEC:cat", "SYSTEM:cat", "exec:/bin/cat", "EXEC:'cat -u'"])
@pytest.mark.parametrize("option", ["", ",pipes"])
def test_program_answers(tool: Tool, address: str, option: str) -> None:
    data = pattern(100_000)
    done = tool.run("-t", patience(tool), "-", address + option, stdin=data, limit=8)
    assert (done.code, done.out == data, done.err) == (0, True, "")


@pytest.mark.parametrize("address", ["EXEC:cat,pty", "SYSTEM:cat,pty", "EXEC:cat,pty,setsid,ctty"])
def test_terminal_adds_echo_and_carriage_return(tool: Tool, address: str) -> None:
    line = tool.start("-", address)
    line.send(b"x\n")
    line.out.wait_for(rb"x\r\nx\r\n")
    done = line.finish()
    assert done.out == b"x\r\nx\r\n"


def test_raw_terminal_adds_nothing(tool: Tool) -> None:
    line = tool.start("-", "EXEC:cat,pty,rawer")
    data = bytes(range(256))
    line.send(data)
    wait_until(lambda: len(line.out) >= len(data), "the echo of all bytes")
    assert line.finish().out == data


@pytest.mark.parametrize(
    ("address", "out"),
    [
        ("EXEC:echo a  'b c'  d", b"a b c d\n"),
        (r"EXEC:echo a\,b", b"a,b\n"),
        ("EXEC:'echo x,y:z'", b"x,y:z\n"),
        ("EXEC:\"sh -c 'echo $0; exit 0' name\"", b"name\n"),
        ("SYSTEM:'echo $((6*7)) | tr 4 5'", b"52\n"),
    ],
)
def test_words_of_the_command(tool: Tool, address: str, out: bytes) -> None:
    assert tool.run("-u", address, "-").out == out


# 13 to 15: filters, stderr, other descriptors


@pytest.mark.parametrize(
    ("command", "out"),
    [("wc -l", b"3\n"), ("sort -r", b"two\nthree\none\n"), ("sleep 0.2; tr a-z A-Z", TEXT.upper())],
)
@pytest.mark.parametrize("option", ["", ",pipes"])
def test_filter_sees_the_end_and_answers(tool: Tool, command: str, out: bytes, option: str) -> None:
    done = tool.run("-t", patience(tool), "-", f"SYSTEM:'{command}'{option}", stdin=TEXT, limit=8)
    assert (done.code, done.out, done.err) == (0, out, "")


def test_stderr_joins_stdout(tool: Tool) -> None:
    done = tool.run("-u", "SYSTEM:'echo out; echo err >&2; echo end',stderr", "-")
    assert (done.code, done.out, done.err) == (0, b"out\nerr\nend\n", "")


def test_stderr_is_separate_by_default(tool: Tool) -> None:
    done = tool.run("-u", "SYSTEM:'echo out; echo err >&2'", "-")
    assert (done.code, done.out, done.err) == (0, b"out\n", "err\n")


@pytest.mark.parametrize("numbers", [(3, 4), (4, 3)])
@pytest.mark.parametrize("option", ["", ",pipes"])
def test_program_talks_on_other_descriptors(tool: Tool, numbers: tuple[int, int], option: str) -> None:
    given, taken = numbers
    address = f"SYSTEM:'cat <&{given} >&{taken}',fdin={given},fdout={taken}{option}"
    done = tool.run("-t", patience(tool), "-", address, stdin=TEXT, limit=8)
    assert (done.code, done.out, done.err) == (0, TEXT, "")


@pytest.mark.parametrize("numbers", [(6, 9), (9, 6), (3, 200), (200, 3)])
@pytest.mark.parametrize("option", ["", ",pipes"])
def test_any_descriptor_will_do(ferrule: Tool, numbers: tuple[int, int], option: str) -> None:
    """Some of these collide with descriptors socat has open itself, and fail there."""
    given, taken = numbers
    command = f"bash -c 'cat <&{given} >&{taken}'"
    address = f'EXEC:"{command}",fdin={given},fdout={taken}{option}'
    done = ferrule.run("-t", "10", "-", address, stdin=TEXT, limit=8)
    assert (done.code, done.out, done.err) == (0, TEXT, "")


# 16: the password that is only read from a controlling terminal


@pytest.mark.parametrize("options", ["pty,setsid,ctty", "pty,ctty,setsid", "pty,setsid,ctty,echo=0,raw"])
def test_scripted_password(tool: Tool, password_program: Callable[[str], Path], options: str) -> None:
    folder = password_program("ssh").parent
    path = f"{folder}:{os.environ['PATH']}"
    line = tool.start("-", f"EXEC:'ssh -l user server',{options}", env={"PATH": path})
    line.out.wait_for("password: ")
    line.send(b"sesame\n")
    line.out.wait_for(r"welcome user on server\r?\n")
    line.send(b"hello\n")
    line.out.wait_for(r"you said hello\r?\n")
    line.send(b"bye\n")
    done = line.wait()
    assert done.code == 0
    assert b"sesame" not in done.out


def test_no_controlling_terminal_no_password(tool: Tool, password_program: Callable[[str], Path]) -> None:
    folder = password_program("ssh").parent
    path = f"{folder}:{os.environ['PATH']}"
    done = tool.run("-t", "10", "-", "EXEC:'ssh -l user server'", stdin=b"sesame\n", env={"PATH": path})
    assert b"welcome" not in done.out
    assert "/dev/tty" in done.err


# 18: a shell with job control inside


@pytest.fixture
def interactive(tmp_path: Path) -> Iterator[Callable[..., pexpect.spawn]]:
    """Starts a program on a terminal of its own."""
    made: list[pexpect.spawn] = []

    def start(path: str, *args: str) -> pexpect.spawn:
        environment = {**plain_environment(tmp_path), "SHELL": "/bin/bash"}
        child = pexpect.spawn(path, list(args), env=environment, timeout=10, cwd=str(tmp_path))
        made.append(child)
        return child

    yield start
    for child in made:
        child.close(force=True)


def converse(shell: pexpect.spawn) -> None:
    """What anybody does in a shell: commands, Ctrl-C, job control, the end."""
    shell.expect(r"[$#] ")
    shell.sendline("PS1='rea''dy> '")
    shell.expect("ready> ")
    before = shell.before
    shell.sendline("echo $((6*7)); tty")
    shell.expect(r"42\r+\n/dev/pts/\d+\r+\n")
    shell.expect("ready> ")
    shell.sendline("sleep 1000")
    shell.expect("sleep 1000")
    wait_until(lambda: _has_child(shell.pid, "sleep"), "the sleeping child")
    shell.sendintr()
    shell.expect("ready> ")
    shell.sendline("echo status=$?")
    shell.expect("status=130")
    shell.sendline("sleep 1000 & kill %1; wait; echo done=$?")
    shell.expect("done=0")
    assert b"no job control" not in before
    shell.sendline("exit")
    shell.expect(pexpect.EOF)


def _has_child(pid: int, name: str) -> bool:
    return any(child.name() == name for child in psutil.Process(pid).children(recursive=True))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("left", ["STDIO,raw,echo=0", "STDIO,cfmakeraw", "-,rawer"])
def test_interactive_shell(tool: Tool, interactive: Callable[..., pexpect.spawn], left: str) -> None:
    shell = interactive(tool.path, left, "EXEC:'bash -i',pty,setsid,ctty,stderr")
    converse(shell)
    shell.wait()
    assert (shell.exitstatus, shell.signalstatus) == (0, None)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_shell_address_is_interactive(ferrule: Tool, interactive: Callable[..., pexpect.spawn]) -> None:
    """SHELL is younger than Debian's socat."""
    shell = interactive(ferrule.path, "STDIO,cfmakeraw", "SHELL,pty,setsid,ctty,stderr")
    converse(shell)
    shell.wait()
    assert (shell.exitstatus, shell.signalstatus) == (0, None)


def test_shell_address_runs_a_command(ferrule: Tool) -> None:
    """SHELL is younger than Debian's socat."""
    done = ferrule.run("-u", "SHELL:'echo $0; echo $((6*7))'", "-", env={"SHELL": "/bin/sh"})
    assert (done.code, done.out.splitlines()[-1], done.err) == (0, b"42", "")


# 20: the null modem


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("PTY,link=t0,rawer", "PTY,link=t1,rawer"),
        ("pty,raw,echo=0,link=t0", "pty,raw,echo=0,link=t1"),
        ("PTY,link=t0,raw,echo=0,b9600", "PTY,link=t1,cfmakeraw"),
    ],
)
@pytest.mark.parametrize("verbosity", [("-dd",), ("-d", "-d")], ids=["dd", "d-d"])
def test_null_modem(tool: Tool, tmp_path: Path, left: str, right: str, verbosity: tuple[str, ...]) -> None:
    line = tool.start(*verbosity, left, right)
    line.wait_for_log("starting data transfer loop")
    names = re.findall(rb" N PTY is (/dev/pts/\d+)$", line.err.data, re.MULTILINE)
    links = [tmp_path / "t0", tmp_path / "t1"]
    assert [bytes(link.readlink()) for link in links] == names
    every = bytes(range(256))
    with serial.Serial(str(links[0]), timeout=10) as a, serial.Serial(str(links[1]), timeout=10) as b:
        for here, there in ((a, b), (b, a)):
            here.write(every)
            assert there.read(256) == every
    done = line.terminate()
    assert done.code == 143
    assert not any(link.is_symlink() for link in links)


# 24: the login on a network port, with a stand-in for the login program


def test_login_server(
    tool: Tool, password_program: Callable[[str], Path], free_port: Callable[[], int]
) -> None:
    line, port = login_server(tool, password_program("login"), free_port())
    with dial(port) as ann, dial(port) as bob:
        for person, name in ((ann, b"ann"), (bob, b"bob")):
            talk(person, [(b"login: ", name), (b"password: ", b"sesame"), (b"welcome " + name, b"thanks")])
        for person in (bob, ann):
            talk(person, [(b"you said thanks", b"bye")])
            read_all(person)
    assert line.terminate().code == 143


def test_login_refused(
    ferrule: Tool, password_program: Callable[[str], Path], free_port: Callable[[], int]
) -> None:
    """The last words of a program that ends at once arrive; socat loses them now and then."""
    line, port = login_server(ferrule, password_program("login"), free_port())
    for _ in range(5):
        with dial(port) as person:
            talk(person, [(b"login: ", b"eve"), (b"password: ", b"guess")])
            assert b"denied" in read_all(person)
    assert line.terminate().code == 143


def login_server(tool: Tool, program: Path, port: int) -> tuple[Running, int]:
    options = "pty,setsid,setpgid,stderr,ctty"
    line = tool.start("-d", "-d", f"TCP-LISTEN:{port},reuseaddr,fork", f"EXEC:{program},{options}")
    wait_listening(port)
    return line, port


def talk(person: socket.socket, steps: list[tuple[bytes, bytes]]) -> None:
    """Wait for each prompt, then answer it."""
    for prompt, answer in steps:
        heard = b""
        while prompt not in heard:
            piece = person.recv(1024)
            assert piece, f"{prompt!r} never came, only {heard!r}"
            heard += piece
        person.sendall(answer + b"\n")
