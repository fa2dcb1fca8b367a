"""What the peers in Python share: what they are told, what they check, what they say."""

import json
import sys


def told() -> tuple[str, int, str]:
    """`URL JOBS MODE`: an empty database, how many jobs, which way of running them."""
    url, jobs, mode = sys.argv[1:]
    return url, int(jobs), mode


def report(jobs: int, seconds: float, left: int) -> None:
    """A time counts only if the peer's own table has no job left."""
    if left:
        sys.exit(f"{left} of {jobs} jobs are left")
    print(json.dumps({"jobs": jobs, "seconds": seconds}))
