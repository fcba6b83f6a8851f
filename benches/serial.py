"""Measure Ferrule beside ser2net and socat where serial ports are brought to the network.

    python benches/serial.py [--rounds 5] [--only names] [--peers names] [--json FILE] [--markdown]

Devices are pseudo terminals, clients are on the loopback address. In each row the peers take turns; the first
round is thrown away (unless it is the only one), the figures are medians over the others, and every ratio is
between figures of one run. Every run checks that all bytes arrive as they were sent: a peer that loses some,
or does not end, has no figure.
"""

from comparison import program
from comparison.serial_relays import PEERS, SER2NET
from comparison.serial_rows import GOALS, ROWS

if __name__ == "__main__":
    versions = (("socat", "-V"), (SER2NET or "ser2net", "-v"))
    program.run(program.Comparison(__doc__, ROWS, PEERS, GOALS, versions))
