#!/usr/bin/env python3
"""An independent answer to "may this number be called now, and if not, when next?", for
src/domain/calling_calendar/oracle_tests.rs.

    pip install tzdata holidays && tests/hours_oracle.py

Writes tests/data/hours_oracle.txt. Zones are those of Python's zoneinfo with the package tzdata, holidays those of the
package holidays. It knows nothing of the engine's code: it walks through two years minute by minute, watches the wall
clock of each zone, and takes the rules from the contract:

- a local minute is open when every set of hours has it and its day is neither a holiday nor outside the dates;
- where open minutes of the wall clock begin, the line opens when the clock comes to that time for the last time; where
  they end, it closes when the clock comes to it for the first time. (A clock that jumps over a time comes to it at the
  jump; one that is set back comes to the time that it is set to.)
- in several zones, it is open when it is open in each.

A row is a question: zones, hours, instant; and its answer: open, or the instant of the next opening.
"""

import datetime
import pathlib
import random
import zoneinfo

import holidays
import tzdata

zoneinfo.reset_tzpath([])  # The package's zones, not the system's.
UTC = datetime.timezone.utc
EPOCH = datetime.datetime(2025, 12, 15, tzinfo=UTC)
FIRST, LAST = datetime.datetime(2026, 1, 1, tzinfo=UTC), datetime.datetime(2028, 1, 1, tzinfo=UTC)
MINUTES = int((LAST - EPOCH).total_seconds()) // 60 + 30 * 1440  # Openings after the last question lie in January.
DAY0 = EPOCH.date() - datetime.timedelta(days=2)

ZONES = [
    "America/New_York", "America/Los_Angeles", "America/Vancouver", "America/St_Johns", "America/Sao_Paulo",
    "America/Havana", "America/Santiago", "America/Asuncion", "Europe/London", "Europe/Dublin", "Africa/Casablanca",
    "Africa/Cairo", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Beirut", "Australia/Sydney", "Australia/Lord_Howe",
    "Pacific/Apia", "Pacific/Chatham", "Antarctica/Troll",
]
# Several zones of one number.
TOGETHER = [["America/Los_Angeles", "America/New_York"], ["Australia/Lord_Howe", "Australia/Perth", "Australia/Sydney"]]

DAILY = "Mon,Tue,Wed,Thu,Fri,Sat,Sun"
# Name: own spans, presets (restated here), country of holidays, dates of its own, first and last day.
PRESETS = {
    "us-tcpa": [(DAILY, "08:00", "21:00")],
    "us-fl": [(DAILY, "08:00", "20:00")],
    "ca-crtc": [("Mon,Tue,Wed,Thu,Fri", "09:00", "21:30"), ("Sat,Sun", "10:00", "18:00")],
    "in-trai": [(DAILY, "09:00", "21:00")],
    "in-rbi": [(DAILY, "08:00", "19:00")],
    "uk": [("Mon,Tue,Wed,Thu,Fri", "08:00", "21:00"), ("Sat,Sun", "09:00", "21:00")],
}
CASES = {
    "tcpa-us": ([], ["us-tcpa"], "US", [], "", ""),
    "crtc-ca": ([], ["ca-crtc"], "CA", ["2026-12-24", "2027-03-14"], "", ""),
    "india": ([(DAILY, "07:30", "23:00")], ["in-trai", "in-rbi"], "IN", [], "", ""),
    "uk-fl": ([], ["uk", "us-fl"], "GB", [], "", ""),
    # Where clocks change: across midnight, through the small hours, short spans in them, days joined to one.
    "nights": ([(DAILY, "22:00", "02:30")], [], "", ["2026-03-08", "2026-11-01", "2027-10-31"], "", ""),
    "small-hours": ([(DAILY, "00:00", "00:20"), (DAILY, "00:40", "01:30"), ("Sun,Sat", "02:10", "02:50"), (DAILY, "03:00", "03:05")], [], "", [], "", ""),
    "weekend": ([("Fri", "18:00", "24:00"), ("Sat", "00:00", "24:00"), ("Sun", "00:00", "24:00"), ("Mon", "00:00", "01:15")], [], "", ["2026-10-04"], "", ""),
    "always": ([(DAILY, "00:00", "24:00")], [], "BR", ["2026-03-29", "2027-04-04", "2027-09-05"], "2026-02-14", "2027-11-07"),
}


def minute_of(text):
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def wall_clock(name):
    """What the wall clock of a zone shows each minute, as minutes since DAY0."""
    zone = zoneinfo.ZoneInfo(name)
    midnight = datetime.datetime.combine(DAY0, datetime.time())
    shown = []
    for quarter in range(0, MINUTES, 15):  # No clock changes within a quarter of an hour, since 1972.
        local = (EPOCH + datetime.timedelta(minutes=quarter)).astimezone(zone).replace(tzinfo=None)
        first = int((local - midnight).total_seconds()) // 60
        shown.extend(range(first, first + 15))
    return shown


def hours_on_wall(spans, days):
    """Minutes of the wall clock that a set of hours has open."""
    is_open = bytearray(days * 1440 + 1440)
    for day in range(days):
        weekday = (DAY0 + datetime.timedelta(days=day)).strftime("%a")
        for weekdays, start, end in spans:
            if weekday in weekdays.split(","):
                first, last = minute_of(start), minute_of(end)
                last += 1440 if last <= first else 0
                for minute in range(day * 1440 + first, day * 1440 + last):
                    is_open[minute] = 1
    return is_open


def open_on_wall(case, days):
    own, presets, country, dates, start, end = case
    sets = ([own] if own or not presets else []) + [PRESETS[name] for name in presets]
    is_open = None
    for spans in sets:
        one = hours_on_wall(spans, days)
        is_open = one if is_open is None else bytearray(a & b for a, b in zip(is_open, one))
    closed = {datetime.date.fromisoformat(text) for text in dates}
    if country:
        closed.update(holidays.country_holidays(country, years=range(2025, 2030)))
    for day in range(days + 1):
        date = DAY0 + datetime.timedelta(days=day)
        # The engine knows holidays from 2026 on.
        unknown = country and date.year < 2026
        if date in closed or unknown or (start and date.isoformat() < start) or (end and date.isoformat() > end):
            is_open[day * 1440:day * 1440 + 1440] = bytes(1440)
    return is_open


def passing(shown):
    """For each time of the wall clock the first and the last minute in which the clock comes to it."""
    first, last = {}, {}
    for now in range(1, len(shown)):
        for wall in range(min(shown[now - 1] + 1, shown[now]), shown[now] + 1):
            first.setdefault(wall, now)
            last[wall] = now
    return first, last


def open_minutes(shown, passed, is_open):
    first, last = passed
    line = bytearray(len(shown))
    wall, end_of_wall = 0, len(is_open)
    while wall < end_of_wall:
        if not is_open[wall]:
            wall += 1
            continue
        start = wall
        while wall < end_of_wall and is_open[wall]:
            wall += 1
        opens = last.get(start, 0 if start < shown[0] else len(shown))
        closes = first.get(wall, len(shown) if wall > shown[0] else 0)
        for minute in range(opens, closes):
            line[minute] = 1
    return line


def questions(lines, shown_of):
    """Instants worth asking: around every change of any clock, at every edge of some days, and at random."""
    asked = set()
    random.seed(4)
    first, last = (int((at - EPOCH).total_seconds()) // 60 for at in (FIRST, LAST))
    changes = [m for shown in shown_of for m in range(1, len(shown)) if shown[m] != shown[m - 1] + 1]
    for change in changes:
        asked.update((change + d) * 60 for d in range(-26 * 60, 26 * 60, 157))
        asked.update((change + d) * 60 + s for d in range(-180, 180, 30) for s in (0, 59))
    edges = [m for m in range(first, last) if lines[m] != lines[m - 1]]
    near = [m for m in edges if any(abs(m - change) < 1440 for change in changes)]
    for edge in random.sample(edges, min(50, len(edges))) + near:
        asked.update((edge * 60 - 1, edge * 60))
    asked.update(random.randrange(first * 60, last * 60) for _ in range(60))
    return sorted(second for second in asked if first * 60 <= second < last * 60)


def main():
    rows = []
    clocks = {name: wall_clock(name) for name in {*ZONES, *(name for zones in TOGETHER for name in zones)}}
    passed = {name: passing(shown) for name, shown in clocks.items()}
    for case_name, case in CASES.items():
        days = MINUTES // 1440 + 5
        is_open = open_on_wall(case, days)
        for zones in [[name] for name in ZONES] + TOGETHER:
            lines = bytearray(b"\x01" * MINUTES)
            for name in zones:
                one = open_minutes(clocks[name], passed[name], is_open)
                lines = bytearray(a & b for a, b in zip(lines, one))
            opening = [None] * (MINUTES + 1)
            for minute in range(MINUTES - 1, -1, -1):
                opening[minute] = minute if lines[minute] else opening[minute + 1]
            answers = []
            for second in questions(lines, [clocks[name] for name in zones]):
                minute = second // 60
                at = EPOCH + datetime.timedelta(seconds=second)
                if lines[minute]:
                    answers.append(f"{at:%y%m%d%H%M%S}+")
                elif opening[minute] is None:
                    answers.append(f"{at:%y%m%d%H%M%S}-")
                else:
                    answers.append(f"{at:%y%m%d%H%M%S}-{opening[minute] - minute}")
            rows.append((case_name, ",".join(zones), answers))
    write(rows)


def write(rows):
    lines = [
        f"# Written by tests/hours_oracle.py with tzdata {tzdata.IANA_VERSION} and holidays {holidays.__version__}.",
        "# `case` name, spans, presets, countries, own holidays, first and last day; `ask` case and zones, then per line",
        "# YYMMDDHHMMSS in UTC and `+`: open, `-N`: closed, opens at the start of the Nth minute after this one, `-`: never.",
    ]
    for name, (own, presets, country, dates, start, end) in CASES.items():
        spans = ";".join("/".join(span) for span in own)
        lines.append("|".join(["case", name, spans, ",".join(presets), country, ",".join(dates), start, end]))
    for case_name, zones, answers in rows:
        lines.append(f"ask|{case_name}|{zones}")
        lines.append(" ".join(answers))
    target = pathlib.Path(__file__).parent / "data" / "hours_oracle.txt"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines) + "\n")
    print(f"{sum(len(answers) for _, _, answers in rows)} rows, {target.stat().st_size} bytes")


main()
