"""procrastinate: one worker of 24 places; and with each job under one of 24 locks, of which each runs one job at a time: the
only limit it has."""

import asyncio
import contextlib
import time

from procrastinate import App, PsycopgConnector

from common import report, told

CONCURRENCY = 24
LOCKS = 24
# Where its locks leave it without a job it waits this long; by default 5 s.
POLL_SECONDS = 0.005
PIECE = 1_000


async def main() -> None:
    url, jobs, mode = told()
    connector = PsycopgConnector(conninfo=url, min_size=CONCURRENCY + 2, max_size=CONCURRENCY + 2)
    app = App(connector=connector)
    done = 0
    finished = 0.0
    all_done = asyncio.Event()

    @app.task(name="call")
    async def call(lead: int) -> None:
        nonlocal done, finished
        done += 1
        if done == jobs:
            finished = time.perf_counter()
            all_done.set()

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        locks = [f"place {n}" for n in range(LOCKS)] if mode == "limited" else [None]
        for n, lock in enumerate(locks):
            leads = range(n, jobs, len(locks))
            for first in range(0, len(leads), PIECE):
                await call.configure(lock=lock).batch_defer_async(*({"lead": lead} for lead in leads[first : first + PIECE]))
        await app.connector.execute_query_async("analyze")
        started = time.perf_counter()
        worker = asyncio.create_task(
            app.run_worker_async(
                concurrency=CONCURRENCY, fetch_job_polling_interval=POLL_SECONDS, install_signal_handlers=False
            )
        )
        await asyncio.wait([worker, asyncio.create_task(all_done.wait())], return_when=asyncio.FIRST_COMPLETED)
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
        row = await app.connector.execute_query_one_async(
            "select count(*) as left from procrastinate_jobs where status <> 'succeeded'"
        )
    report(jobs, finished - started, row["left"] or jobs - done)


asyncio.run(main())
