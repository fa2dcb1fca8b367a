// graphile-worker: job by job; with its local queue and batched completion, set as in its own performance test; and with each
// job in one of 24 named queues, of which each runs one job at a time: its only limit. There without the local queue, with
// which it ran 24 jobs of one named queue at once. Whoever finds all queues locked waits for the next poll: 2 s by default.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { inPieces, report, sql, told } from "./common.mjs";

const NAMED_QUEUES = 24;
const { url, jobs, mode } = told();

const modes = {
  plain: { concurrentJobs: 24, maxPoolSize: 26 },
  local_queue: {
    concurrentJobs: 24,
    maxPoolSize: 26,
    localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
  limited: { concurrentJobs: 8, maxPoolSize: 10, pollInterval: 5 },
};
const worker = { connectionString: url, logger: new Logger(() => () => {}), ...modes[mode] };

const utils = await makeWorkerUtils({ preset: { worker } });
await utils.migrate();
const queueOf = (n) => (mode === "limited" ? { queueName: `place ${n % NAMED_QUEUES}` } : {});
await inPieces(jobs, 10_000, (numbers) =>
  utils.addJobs(numbers.map((n) => ({ identifier: "call", payload: { lead: n }, ...queueOf(n) }))),
);
await utils.release();
await sql(url, "vacuum analyze");

let done = 0;
let finish;
const finished = new Promise((resolve) => (finish = resolve));
const taskList = {
  call: () => {
    done += 1;
    if (done === jobs) finish(performance.now());
  },
};
const started = performance.now();
const runner = await run({ preset: { worker }, taskList, noHandleSignals: true });
const seconds = ((await finished) - started) / 1000;
await runner.stop();
await report(jobs, seconds, url, "select count(*) from graphile_worker.jobs");
