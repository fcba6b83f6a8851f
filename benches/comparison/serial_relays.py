"""Programs that bring serial ports to the network, and the command line that makes each do it."""

import dataclasses
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from comparison.endpoints import Endpoint
from comparison.relays import Tools

SER2NET = shutil.which("ser2net", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


@dataclasses.dataclass(frozen=True)
class Line:
    """A device and where it is to be had.

    Args:
        path: Of the device.
        listen: Where clients connect to.
    """

    path: str
    listen: Endpoint


@dataclasses.dataclass(frozen=True)
class SerialPeer:
    """One program under measurement.

    Args:
        name: As in ``--peers`` and the tables.
        program: What has to be installed.
        command: Makes the command line that serves lines, each to so many clients at a time.
    """

    name: str
    program: str
    command: Callable[[Tools, Sequence[Line], int], list[str]]

    def available(self, tools: Tools) -> bool:
        """Whether the program is there to be measured."""
        if self.program == "ferrule":
            return tools.ferrule is not None
        return SER2NET is not None if self.program == "ser2net" else shutil.which(self.program) is not None


def _listen(line: Line, more: str = "") -> str:
    return f"TCP-LISTEN:{line.listen.place},bind=127.0.0.1,reuseaddr,nodelay{more}"


def _ferrule(tools: Tools, lines: Sequence[Line], clients: int) -> list[str]:
    assert tools.ferrule is not None
    if len(lines) == 1:
        line = lines[0]
        return [str(tools.ferrule), _listen(line, ",share" * (clients > 1)), f"SERIAL:{line.path}"]
    script = Path(__file__).with_name("many_relays.py")
    pairs = [f"{line.listen.place}={line.path}" for line in lines]
    return [str(tools.ferrule.with_name("python")), str(script), *pairs]


def _socat(_tools: Tools, lines: Sequence[Line], _clients: int) -> list[str]:
    (line,) = lines
    return ["socat", _listen(line), f"FILE:{line.path},raw,echo=0"]


def _ser2net(chardelay: bool) -> Callable[[Tools, Sequence[Line], int], list[str]]:
    def command(tools: Tools, lines: Sequence[Line], clients: int) -> list[str]:
        words = ["%YAML 1.1", "---"]
        for line in lines:
            words += [
                f"connection: &p{line.listen.place}",
                f"  accepter: tcp(nodelay),127.0.0.1,{line.listen.place}",
                f"  connector: serialdev,{line.path},115200n81,local",
                f"  options: {{max-connections: {clients}, chardelay: {str(chardelay).lower()}}}",
            ]
        config = tools.directory / "ser2net.yaml"
        config.write_text("\n".join(words) + "\n")
        return [str(SER2NET), "-n", "-u", "-c", str(config)]

    return command


PEERS = {
    peer.name: peer
    for peer in (
        SerialPeer("ferrule", "ferrule", _ferrule),
        SerialPeer("socat", "socat", _socat),
        SerialPeer("ser2net", "ser2net", _ser2net(chardelay=False)),
        SerialPeer("ser2net-chardelay", "ser2net", _ser2net(chardelay=True)),
    )
}
