//! The crate `graphile_worker`: job by job; with its local queue and batched completion, set as in its own throughput test; and
//! with each job in one of 5,000 named queues, of which each runs one job at a time: its only limit. Its local queue keeps it.

use std::{
    env,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, JobSpecBuilder, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions,
    WorkerUtils,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::sync::Notify;

const CONNECTIONS: u32 = 10;
const NAMED_QUEUES: usize = 5_000;
const PIECE: usize = 10_000;

type Fallible<T> = Result<T, Box<dyn Error>>;

#[derive(Clone, Serialize, Deserialize)]
struct Call {
    lead: usize,
}

#[derive(Clone, Debug, Default)]
struct Done {
    count: Arc<AtomicUsize>,
    all: Arc<Notify>,
    of: usize,
}

impl TaskHandler for Call {
    const IDENTIFIER: &'static str = "call";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        if let Some(done) = context.get_ext::<Done>()
            && done.count.fetch_add(1, Ordering::Relaxed) + 1 == done.of
        {
            done.all.notify_one();
        }
        Ok::<(), String>(())
    }
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [url, jobs, mode] = args.as_slice() else { return Err("usage: URL JOBS MODE".into()) };
    let jobs: usize = jobs.parse()?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(url).await?;
    queue(&pool, jobs, mode == "limited").await?;
    let seconds = work(&pool, jobs, mode).await?;
    let left: i64 = sqlx::query_scalar("select count(*) from graphile_worker._private_jobs").fetch_one(&pool).await?;
    if left > 0 {
        return Err(format!("{left} of {jobs} jobs are left").into());
    }
    println!("{}", serde_json::json!({ "jobs": jobs, "seconds": seconds }));
    Ok(())
}

async fn queue(pool: &PgPool, jobs: usize, limited: bool) -> Fallible<()> {
    let utils = WorkerUtils::new(pool.clone(), "graphile_worker");
    utils.migrate().await?;
    let specs: Vec<JobSpec> = if limited {
        (0..NAMED_QUEUES).map(|n| JobSpecBuilder::new().queue_name(format!("place {n}")).build()).collect()
    } else {
        vec![JobSpec::default()]
    };
    for first in (0..jobs).step_by(PIECE) {
        let piece: Vec<_> =
            (first..jobs.min(first + PIECE)).map(|lead| (Call { lead }, &specs[lead % specs.len()])).collect();
        utils.add_jobs(&piece).await?;
    }
    sqlx::query("vacuum analyze").execute(pool).await?;
    Ok(())
}

/// Seconds until the last job was handled.
async fn work(pool: &PgPool, jobs: usize, mode: &str) -> Fallible<f64> {
    let done = Done { of: jobs, ..Done::default() };
    let options = WorkerOptions::default()
        .pg_pool(pool.clone())
        .schema("graphile_worker")
        .poll_interval(Duration::from_millis(5))
        .listen_os_shutdown_signals(false)
        .add_extension(done.clone())
        .define_job::<Call>();
    // Places and size of the local queue. Under the limit more of either was slower.
    let (places, local_queue) = match mode {
        "local_queue" => (500, Some(5_000)),
        "limited" => (200, Some(1_000)),
        _ => (24, None),
    };
    let options = match local_queue {
        Some(size) => options
            .complete_job_batch_delay(Duration::from_millis(5))
            .local_queue(LocalQueueConfig::default().with_size(size)),
        None => options,
    };
    let worker = Arc::new(options.concurrency(places).init().await?);
    let started = Instant::now();
    let running = tokio::spawn({
        let worker = worker.clone();
        async move { worker.run().await }
    });
    done.all.notified().await;
    let seconds = started.elapsed().as_secs_f64();
    worker.request_shutdown();
    running.await??;
    Ok(seconds)
}
