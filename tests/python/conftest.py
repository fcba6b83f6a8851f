"""What the tests in this folder share."""

import sys
from pathlib import Path

from fixtures import *  # noqa: F403

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))

from serial_fixtures import *  # noqa: F403
