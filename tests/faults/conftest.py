"""What the fault tests share: the harness of the acceptance tests, which lives in the folder beside."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from fixtures import *  # noqa: F403
from serial_fixtures import *  # noqa: F403
