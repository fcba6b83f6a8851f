"""``ferrule``, ``ferrule help``, ``ferrule --help``: what the program is and where to read on."""

from __future__ import annotations

import sys

SHORT = """\
usage: ferrule [switches] ADDRESS ADDRESS     relay between two endpoints, as socat does
       ferrule serial PORT --listen 4000      a serial port on the network
       ferrule demo                           watch it work
       ferrule --help                         more
"""

LONG = """\
Ferrule joins any two endpoints and relays between them, both ways, losing nothing.

usage:
  ferrule [switches] ADDRESS ADDRESS   relay; any command line of socat 1.8
  ferrule explain [--json] ARGUMENTS   say in words what a command line would do; opens nothing
  ferrule serial PORT --listen [HOST:]PORT [--rfc2217] [--baud N] ...
                                       a serial port on the network; --help says more
  ferrule ports [--json]               the serial ports of this machine and what is known of them
  ferrule demo [--json]                a serial device on a TCP port, and 256 MiB from TCP to TCP
  ferrule help                         this text
  ferrule -h | -hh | -hhh              switches and addresses | and options | and all other names
  ferrule -V                           version and features

examples:
  ferrule TCP-LISTEN:8080,fork,reuseaddr TCP:db:5432         forward a port
  ferrule TCP-LISTEN:4000,bind=127.0.0.1 SERIAL:/dev/ttyUSB0,baud=9600
                                                             a serial line on the network
  ferrule PTY,link=/tmp/a,rawer PTY,link=/tmp/b,rawer        two serial ports, wired together
  ferrule - UNIX-CONNECT:/run/app.sock                       talk to a socket
  ferrule -u FILE:backup.tar TCP:host:9000                   send a file, one way

common switches:
  -d -d          say what happens (-d0 errors only, -d3 more, -d4 all)
  -u, -U         one way only: left to right, right to left
  -t SECONDS     wait so long for the rest once one side has ended (0.5)
  -T SECONDS     end after so long without a byte
  -v, -x         show the bytes as text, as hex
  --statistics   say at the end what was moved

exit code: 0 when everything read was written, 1 on errors, 128+n after signal n
"""


def main(arguments: list[str]) -> int:
    """Prints the help; without being asked for it the short one, as an error."""
    if len(sys.argv) > 1 and not arguments:
        sys.stdout.write(LONG)
        return 0
    sys.stderr.write(SHORT)
    return 1
