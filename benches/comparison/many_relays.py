"""Many serial ports brought to the network by one process that runs Ferrule's relays.

Usage: ``python many_relays.py PORT=PATH...``; each TCP port of the loopback address leads to one device.
"""

import logging
import signal
import sys

from ferrule import Host, Relay

_ENDINGS = {signal.SIGTERM, signal.SIGINT}


def _serve(pairs: list[str]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)  # the relays' threads inherit it
    running = []
    host = Host()
    for pair in pairs:
        port, _, path = pair.partition("=")
        listen = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,nodelay"
        running.append(Relay(listen, f"SERIAL:{path}").start(host))
    signal.sigwait(_ENDINGS)
    for relay in running:
        relay.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    _serve(sys.argv[1:])
