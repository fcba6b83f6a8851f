"""What the tests in this folder share."""

from fixtures import *  # noqa: F403
