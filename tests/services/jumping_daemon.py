"""``dagster-daemon`` whose clock is wrong by the seconds that the file ``CLOCK_OFFSET`` holds."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import dagster._time
from dagster._daemon.cli import main

real_time = time.time


def jumping_time() -> float:
    text = Path(os.environ["CLOCK_OFFSET"]).read_text()
    return real_time() + float(text or 0)  # empty while it is being written


time.time = jumping_time
dagster._time._mockable_get_current_datetime = lambda: datetime.fromtimestamp(jumping_time(), UTC)

if __name__ == "__main__":
    sys.exit(main())
