// What the peers on Node share: what they are told, what they check, what they say.
import { setTimeout } from "node:timers/promises";
import pg from "pg";

/** `URL JOBS MODE`: an empty database, how many jobs, which way of running them. */
export function told() {
  const [url, jobs, mode] = process.argv.slice(2);
  if (!url || !(Number(jobs) > 0) || !mode) throw new Error("usage: URL JOBS MODE");
  return { url, jobs: Number(jobs), mode };
}

/** The number in the first column of the first row. */
export async function sql(url, text) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query({ text, rowMode: "array" });
    return Number(rows[0]?.[0]);
  } finally {
    await client.end();
  }
}

/** Jobs are queued in pieces. */
export async function inPieces(jobs, size, queue) {
  for (let from = 0; from < jobs; from += size) {
    const numbers = Array.from({ length: Math.min(size, jobs - from) }, (_, n) => from + n);
    await queue(numbers);
  }
}

/** A time counts only if the peer's own table has no job left: `text` counts them. The last completions may be on their way. */
export async function report(jobs, seconds, url, text) {
  let left = await sql(url, text);
  for (let look = 0; left > 0 && look < 50; look += 1) {
    await setTimeout(100);
    left = await sql(url, text);
  }
  if (left !== 0) throw new Error(`${left} of ${jobs} jobs are left`);
  console.log(JSON.stringify({ jobs, seconds }));
}
