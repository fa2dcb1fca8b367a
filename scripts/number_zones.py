#!/usr/bin/env python3
"""Writes data/number_zones.txt: in which time zones a phone number may be, by its prefix.

    pip install phonenumbers tzdata && scripts/number_zones.py

The source is libphonenumber's resources/timezones/map_data.txt (Apache-2.0), as the PyPI package phonenumbers carries
it. Two of its habits would open lines at night, and are mended here with the zones that tzdata lists per country:

- It names one zone for many that share a name in CLDR, also across borders: +212 is Atlantic/Canary, an hour behind
  Casablanca. A zone of no country with that calling code is replaced by the country's zones of the same winter, or by
  all of them where none is.
- The entry of a whole country leaves zones out (+61: Darwin). Those whose clocks differ from all that are named are added.
"""

import datetime
import importlib.resources
import pathlib
import zoneinfo

import phonenumbers
import tzdata
from phonenumbers.tzdata import TIMEZONE_DATA

zoneinfo.reset_tzpath([])  # The package's zones, not the system's.
DAYS = [datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone.utc) + datetime.timedelta(days=day) for day in range(0, 1096)]


def clock(name):
    """What the clocks of a zone show over three years."""
    zone = zoneinfo.ZoneInfo(name)
    return tuple(day.astimezone(zone).utcoffset() for day in DAYS)


def zones_of_countries():
    found = {}
    for line in (importlib.resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text().splitlines():
        if not line.startswith("#"):
            country, _, name = line.split("\t")[:3]
            found.setdefault(country, []).append(name)
    return found


def main():
    countries = zones_of_countries()
    clocks = {}

    def same_clock(one, other):
        return clocks.setdefault(one, clock(one)) == clocks.setdefault(other, clock(other))

    def winter(name):
        return clocks.setdefault(name, clock(name))[0]

    by_zones = {}
    for prefix, zones in TIMEZONE_DATA.items():
        code = next(c for c in phonenumbers.COUNTRY_CODE_TO_REGION_CODE if prefix.startswith(str(c)))
        home = [z for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code] for z in countries.get(region, [])]
        aliases = {"Asia/Calcutta": "Asia/Kolkata", "Asia/Katmandu": "Asia/Kathmandu", "Asia/Rangoon": "Asia/Yangon"}
        named = set()
        for zone in zones:
            zone = aliases.get(zone, zone)
            if zone in home or not home:
                named.add(zone)
            else:
                named.update([z for z in home if same_clock(z, zone)][:1] or [z for z in home if winter(z) == winter(zone)] or home)
        if prefix == str(code):
            for zone in sorted(home):
                if not any(same_clock(zone, known) for known in named):
                    named.add(zone)
        by_zones.setdefault(",".join(sorted(named)), []).append(prefix)

    lines = [
        "# Time zones by the prefix of a number, longest prefix first; the entry of a country code alone has every zone of",
        "# its countries. Written by scripts/number_zones.py from libphonenumber's map_data.txt (Apache-2.0; see NOTICE):",
        f"# phonenumbers {phonenumbers.__version__}, tzdata {tzdata.IANA_VERSION}.",
    ]
    lines += [f"{zones}|{' '.join(sorted(prefixes))}" for zones, prefixes in sorted(by_zones.items())]
    target = pathlib.Path(__file__).parent.parent / "data" / "number_zones.txt"
    target.write_text("\n".join(lines) + "\n")


main()
