// pg-boss: four loops of fetch and complete, 500 jobs a time; and on a queue of the policy `singleton`, which lets one job per
// key be active: its only limit. Keys come round in the order of the jobs, so that no two batches under way share one.
import PgBoss from "pg-boss";
import { inPieces, report, sql, told } from "./common.mjs";

const BATCH = 500;
const LOOPS = 4;
const KEYS = 5_000;
const QUEUE = "calls";
const { url, jobs, mode } = told();
const limited = mode === "limited";

const boss = new PgBoss({ connectionString: url, max: LOOPS + 1, supervise: false, schedule: false });
boss.on("error", (error) => {
  throw error;
});
await boss.start();
await boss.createQueue(QUEUE, { name: QUEUE, policy: limited ? "singleton" : "standard" });
// Within one insert jobs have no order; from one to the next they have.
await inPieces(jobs, BATCH, (numbers) =>
  boss.insert(numbers.map((n) => ({ name: QUEUE, data: { lead: n }, ...(limited && { singletonKey: `${n % KEYS}` }) }))),
);
await sql(url, "vacuum analyze");

let done = 0;
let last = 0;
async function work() {
  for (;;) {
    const batch = await boss.fetch(QUEUE, { batchSize: BATCH });
    if (batch.length === 0) return;
    await boss.complete(QUEUE, batch.map((job) => job.id));
    done += batch.length;
    last = performance.now();
  }
}
const started = performance.now();
await Promise.all(Array.from({ length: LOOPS }, work));
const seconds = (last - started) / 1000;
await boss.stop({ graceful: false });
await report(done, seconds, url, `select count(*) from pgboss.job where name = '${QUEUE}' and state <> 'completed'`);
