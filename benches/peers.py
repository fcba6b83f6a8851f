"""Measure Ferrule beside socat, HAProxy, nginx, asyncio and tokio's own copy, and compare with the goals.

    python benches/peers.py [--rounds 5] [--only names] [--peers names] [--json FILE] [--markdown]

Loopback only. In each row the peers take turns; the first round is thrown away (unless it is the only one),
the figures are medians over the others, and every ratio is between figures of one run. Every run counts its
bytes at the far end: a peer that loses some has no figure. What is not installed is said to be not measured.
An interrupt ends the measuring, not the report.
"""

from comparison import program
from comparison.goals import GOALS
from comparison.relays import PEERS
from comparison.rows import ROWS

if __name__ == "__main__":
    versions = (("socat", "-V"), ("haproxy", "-v"), ("nginx", "-v"))
    program.run(program.Comparison(__doc__, ROWS, PEERS, GOALS, versions))
