"""pgqueuer: five consumers that drain the queue in batches of 100, as its own benchmark does; and with a concurrency limit,
which it keeps in the database over all consumers. It is above what they hold, as our caps are: kept, counted, never reached."""

import asyncio
import time

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from common import report, told

CONSUMERS = 5
BATCH = 100
LIMIT = 5_000
PIECE = 5_000


async def main() -> None:
    url, jobs, mode = told()
    limit = LIMIT if mode == "limited" else 0
    sql = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(sql))
    await queries.install()
    for first in range(0, jobs, PIECE):
        count = min(PIECE, jobs - first)
        await queries.enqueue(["call"] * count, [str(first + n).encode() for n in range(count)], [0] * count)
    await sql.execute("vacuum analyze")

    done = 0
    finished = 0.0

    async def call(_job) -> None:
        nonlocal done, finished
        done += 1
        if done == jobs:
            finished = time.perf_counter()

    consumers = []
    for _ in range(CONSUMERS):
        consumer = PgQueuer(AsyncpgDriver(await asyncpg.connect(url)))
        consumer.entrypoint("call", concurrency_limit=limit)(call)
        consumers.append(consumer)
    started = time.perf_counter()
    await asyncio.gather(*(one.run(batch_size=BATCH, mode=QueueExecutionMode.drain) for one in consumers))
    left = await sql.fetchval("select count(*) from pgqueuer")
    report(jobs, finished - started, left or jobs - done)


uvloop.run(main())
