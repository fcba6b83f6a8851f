"""The relays measured, and the command line that makes each relay from one endpoint to another."""

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from comparison.endpoints import Endpoint

# One thread each, as ferrule has, which on two processors with both ends beside it is no slower than two.
_HAPROXY = """
global
    nbthread 1
    maxconn 9750
    maxpipes 128
    tune.pipesize 1048576
defaults
    mode tcp
    timeout connect 10s
    timeout client 10m
    timeout server 10m
    option splice-request
    option splice-response
listen relay
    bind {listen} backlog 4096
    server far {target}
"""

_NGINX = """
{module}
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{
    worker_connections 19900;
}}
stream {{
    access_log off;
    server {{
        listen {listen} backlog=4096;
        proxy_pass {target};
        proxy_half_close on;
        proxy_timeout 10m;
    }}
}}
"""


@dataclasses.dataclass(frozen=True)
class Tools:
    """Where the programs are, and where files for one run go."""

    load: Path
    ferrule: Path | None
    directory: Path


@dataclasses.dataclass(frozen=True)
class Peer:
    """One relay under measurement.

    Args:
        name: As in ``--peers`` and the tables.
        program: What has to be installed; None for what always is.
        command: Makes the command line that relays from the first endpoint to the second.
        one_shot: Makes the command line that relays stdin and stdout to a port, if it can.
    """

    name: str
    program: str | None
    command: Callable[[Tools, Endpoint, Endpoint], list[str]] | None
    one_shot: Callable[[Tools, int | str], list[str]] | None = None

    def available(self, tools: Tools) -> bool:
        """Whether the program is there to be measured."""
        if self.program == "ferrule":
            return tools.ferrule is not None
        return self.program is None or shutil.which(self.program) is not None


def _socat_target(target: Endpoint) -> str:
    if target.kind == "tcp":
        return f"TCP:127.0.0.1:{target.place},nodelay"
    return f"UNIX-CONNECT:{target.place}"


def _socat_words(listen: Endpoint, target: Endpoint) -> list[str]:
    if listen.kind == "tcp":
        source = f"TCP-LISTEN:{listen.place},bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=4096"
    else:
        source = f"UNIX-LISTEN:{listen.place},fork,backlog=4096"
    return [source, _socat_target(target)]


def _like_socat(name: str, *switches: str) -> Peer:
    def program(tools: Tools) -> str:
        return str(tools.ferrule) if name == "ferrule" else "socat"

    def command(tools: Tools, listen: Endpoint, target: Endpoint) -> list[str]:
        return [program(tools), *switches, *_socat_words(listen, target)]

    def one_shot(tools: Tools, port: int | str) -> list[str]:
        return [program(tools), *switches, "-", f"TCP:127.0.0.1:{port}"]

    return Peer(" ".join((name, *switches)).replace(" ", ""), name, command, one_shot)


def _haproxy(tools: Tools, listen: Endpoint, target: Endpoint) -> list[str]:
    def place(endpoint: Endpoint) -> str:
        return f"127.0.0.1:{endpoint.place}" if endpoint.kind == "tcp" else f"unix@{endpoint.place}"

    config = tools.directory / "haproxy.cfg"
    config.write_text(_HAPROXY.format(listen=place(listen), target=place(target)))
    return ["haproxy", "-db", "-f", str(config)]


def _nginx(tools: Tools, listen: Endpoint, target: Endpoint) -> list[str]:
    def place(endpoint: Endpoint) -> str:
        return f"127.0.0.1:{endpoint.place}" if endpoint.kind == "tcp" else f"unix:{endpoint.place}"

    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=False).stderr
    module = "load_module modules/ngx_stream_module.so;" if "--with-stream=dynamic" in built else ""
    config = tools.directory / "nginx.conf"
    config.write_text(
        _NGINX.format(module=module, directory=tools.directory, listen=place(listen), target=place(target))
    )
    return ["nginx", "-e", str(tools.directory / "nginx.log"), "-c", str(config)]


def _asyncio(_tools: Tools, listen: Endpoint, target: Endpoint) -> list[str]:
    script = Path(__file__).with_name("asyncio_relay.py")
    return [sys.executable, str(script), *(f"{end.kind}:{end.place}" for end in (listen, target))]


def _tokio(tools: Tools, listen: Endpoint, target: Endpoint) -> list[str]:
    return [str(tools.load), "tokio-copy", "--listen", str(listen), "--to", str(target)]


def _floor(tools: Tools, listen: Endpoint, target: Endpoint) -> list[str]:
    return [str(tools.load), "floor", "--listen", str(listen), "--to", str(target)]


PEERS = {
    peer.name: peer
    for peer in (
        _like_socat("ferrule"),
        _like_socat("socat"),
        _like_socat("socat", "-b262144"),
        Peer("haproxy", "haproxy", _haproxy),
        Peer("nginx", "nginx", _nginx),
        Peer("asyncio", None, _asyncio),
        Peer("tokio", None, _tokio),
        Peer("floor", None, _floor),
        Peer("python", None, None),
        Peer("direct", None, None),
    )
}
