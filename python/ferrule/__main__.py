"""The command ``ferrule``, also as ``python -m ferrule``: socat's command line, and commands of its own.

The way to the engine imports nothing but it, since a command line has to start quickly.
"""

import sys

from ferrule import _core

# First words that are no address, and the module of `ferrule.cli` that serves them.
COMMANDS = {
    "": "help",
    "help": "help",
    "--help": "help",
    "demo": "demo",
    "explain": "explain",
    "ports": "ports",
    "serial": "serial",
}


def main(argv: list[str]) -> int:
    """Runs the command line ``argv``, which begins with the program's name; gives the exit code."""
    first = argv[1] if len(argv) > 1 else ""
    if first not in COMMANDS:
        return _core.main(argv)
    from importlib import import_module

    command = import_module(f"ferrule.cli.{COMMANDS[first]}")
    try:
        return int(command.main(argv[2:]))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.argv[0] = "ferrule"
    sys.exit(main(sys.argv))
