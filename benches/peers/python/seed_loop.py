"""The plain loop that a call scheduler begins as: a tick looks for running campaigns, their hours and the calls that go on,
selects as many contacts as may be called beside them, and for each marks the contact, counts and writes the attempt, and
commits before it would call; each outcome is a transaction of its own. One process. Ticks follow one another at once, though
such a loop sleeps for a minute between them. By SQLAlchemy's models and sessions, as it is usually written; and the same
statements by psycopg alone."""

import time

import psycopg

from common import report, told
from seed_models import Models

CONTACTS = 100_000
MAX_CONCURRENT_CALLS = 10
BATCH = 50

TABLES = f"""
create table campaigns (id int primary key, status text not null, max_attempts int not null,
    allowed_call_start time not null, allowed_call_end time not null);
insert into campaigns values (1, 'running', 5, '00:00', '23:59:59.999999');
create table contacts (id uuid primary key default gen_random_uuid(), campaign_id int not null references campaigns,
    phone text not null, state text not null default 'pending', attempts_count int not null default 0,
    do_not_call boolean not null default false, updated_at timestamptz not null default now());
create table call_attempts (id uuid primary key default gen_random_uuid(), contact_id uuid not null references contacts,
    campaign_id int not null references campaigns, attempt_number int not null, started_at timestamptz not null default now(),
    ended_at timestamptz, outcome text);
insert into contacts (campaign_id, phone) select 1, '+1201' || lpad(n::text, 7, '0') from generate_series(1, {CONTACTS}) n;
create index on contacts (campaign_id, state);
create index on call_attempts (contact_id);
vacuum analyze;
"""


class Bare:
    """The statements alone."""

    def __init__(self, url: str) -> None:
        self.sql = psycopg.connect(url, autocommit=True)

    def eligible(self, most: int) -> list:
        with self.sql.transaction():
            campaigns = self.sql.execute(
                """select id, max_attempts from campaigns
                   where status = 'running' and localtime between allowed_call_start and allowed_call_end"""
            ).fetchall()
            found = []
            for campaign, max_attempts in campaigns:
                going_on = self.sql.execute(
                    "select count(*) from contacts where campaign_id = %s and state = 'in_progress'", (campaign,)
                ).fetchone()[0]
                found += self.sql.execute(
                    """select id, campaign_id, attempts_count from contacts
                       where campaign_id = %s and state in ('pending', 'not_reached') and attempts_count < %s
                           and not do_not_call limit %s""",
                    (campaign, max_attempts, min(BATCH, MAX_CONCURRENT_CALLS - going_on, most)),
                ).fetchall()
            return found

    def lease(self, row):
        contact, campaign, attempts = row
        with self.sql.transaction():
            self.sql.execute(
                """update contacts set state = 'in_progress', attempts_count = attempts_count + 1, updated_at = now()
                   where id = %s""",
                (contact,),
            )
            attempt = self.sql.execute(
                "insert into call_attempts (contact_id, campaign_id, attempt_number) values (%s, %s, %s) returning id",
                (contact, campaign, attempts + 1),
            ).fetchone()[0]
        return contact, attempt

    def outcome(self, call) -> None:
        contact, attempt = call
        with self.sql.transaction():
            self.sql.execute("update call_attempts set ended_at = now(), outcome = 'completed' where id = %s", (attempt,))
            self.sql.execute("update contacts set state = 'completed', updated_at = now() where id = %s", (contact,))


def main() -> None:
    url, jobs, mode = told()
    with psycopg.connect(url, autocommit=True) as sql:
        for statement in TABLES.split(";\n"):
            if statement.strip():
                sql.execute(statement)
    way = Bare(url) if mode == "bare" else Models(url, MAX_CONCURRENT_CALLS, BATCH)
    done = 0
    started = time.perf_counter()
    while done < jobs:
        calls = [way.lease(row) for row in way.eligible(jobs - done)]
        if not calls:
            break
        for call in calls:
            way.outcome(call)
        done += len(calls)
    report(done, time.perf_counter() - started, jobs - done)


main()
