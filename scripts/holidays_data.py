#!/usr/bin/env python3
"""Writes data/holidays.txt: the public holidays of countries, from the PyPI package holidays (MIT).

    pip install holidays && scripts/holidays_data.py

National holidays only, with the days on which they are observed. A country is listed with the last year that the package
knows without a gap; one that it does not know is left out, so that naming it is refused.
"""

import collections
import pathlib

import holidays

FIRST, LAST = 2026, 2032


def days_of(country, year):
    try:
        return holidays.country_holidays(country, years=year, language="en_US")
    except Exception:  # Not every country has English names.
        return holidays.country_holidays(country, years=year)


def main():
    lines = [
        "# Public holidays of countries: `= CC LAST`, the last year that is known, then a name and its days: `MM-DD` in every",
        f"# year from {FIRST} on, `YYYY-MM-DD` in that one. Written by scripts/holidays_data.py from the package holidays",
        f"# (MIT; see NOTICE), version {holidays.__version__}.",
    ]
    for country in sorted(c for c in holidays.list_supported_countries(include_aliases=False) if len(c) == 2):
        last = FIRST - 1
        named = collections.defaultdict(list)
        for year in range(FIRST, LAST + 1):
            days = days_of(country, year)
            if len(days) < 4 or (year > FIRST and 2 * len(days) < known):
                break
            last, known = year, len(days)
            for day, name in sorted(days.items()):
                named[" ".join(name.replace("|", "/").split())].append(day)
        if last < FIRST:
            continue
        lines.append(f"= {country} {last}")
        for name, days in named.items():
            fixed = {day.strftime("%m-%d") for day in days}
            every_year = len(fixed) == 1 and len(days) == last - FIRST + 1
            lines.append(f"{name}|{' '.join(sorted(fixed) if every_year else (day.isoformat() for day in days))}")
    target = pathlib.Path(__file__).parent.parent / "data" / "holidays.txt"
    target.write_text("\n".join(lines) + "\n")


main()
