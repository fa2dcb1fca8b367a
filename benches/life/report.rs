//! The table for people and the JSON for programs: flat keys, each the median of its samples.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};

use super::Fallible;

/// Conditions that change figures.
const SETTINGS: [&str; 7] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
    "autovacuum_naptime",
];

/// What a key is to reach.
enum Goal {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

/// Goals; each means two cores that dialers, engine and PostgreSQL share.
const GOALS: [(&str, Goal); 33] = [
    ("life.reference_ratio", Goal::AtLeast(0.4)),
    ("life.ratio", Goal::AtLeast(0.8)),
    ("life.single_ratio", Goal::AtLeast(4.0)),
    ("latency.callback_ms.p50", Goal::AtMost(2.0)),
    ("latency.callback_ms.p99", Goal::AtMost(10.0)),
    ("latency.grant_ms.p99", Goal::AtMost(10.0)),
    ("flat.ratio", Goal::AtLeast(0.8)),
    ("aged.ratio", Goal::AtLeast(0.9)),
    ("aged.snapshot_ratio", Goal::AtLeast(0.6)),
    ("sessions.cpu", Goal::Below(5.0)),
    ("import.ratio", Goal::AtLeast(0.5)),
    ("reset.ms", Goal::AtMost(50.0)),
    ("reset.stall", Goal::AtMost(1.5)),
    ("stats.ms", Goal::AtMost(2.0)),
    ("replicas.ratio", Goal::AtLeast(0.9)),
    ("memory.mb", Goal::AtMost(200.0)),
    ("peers.graphile_worker.plain_ratio", Goal::AtLeast(5.0)),
    ("peers.graphile_worker.local_queue_ratio", Goal::AtLeast(0.5)),
    ("peers.graphile_worker.limited_ratio", Goal::AtLeast(1.0)),
    ("peers.graphile_worker_rs.plain_ratio", Goal::AtLeast(5.0)),
    ("peers.graphile_worker_rs.local_queue_ratio", Goal::AtLeast(0.5)),
    ("peers.graphile_worker_rs.limited_ratio", Goal::AtLeast(1.0)),
    ("peers.pg_boss.fetch_ratio", Goal::AtLeast(1.0)),
    ("peers.pg_boss.limited_ratio", Goal::AtLeast(1.0)),
    ("peers.pgqueuer.batch_ratio", Goal::AtLeast(1.0)),
    ("peers.pgqueuer.limited_ratio", Goal::AtLeast(1.0)),
    ("peers.procrastinate.plain_ratio", Goal::AtLeast(5.0)),
    ("peers.procrastinate.limited_ratio", Goal::AtLeast(1.0)),
    ("peers.seed_loop_ratio", Goal::AtLeast(50.0)),
    // What all rules may cost, of the baseline.
    ("rules.wal_ratio", Goal::AtMost(1.3)),
    ("rules.buffers_ratio", Goal::AtMost(1.3)),
    ("rules.single_wal_ratio", Goal::AtMost(1.3)),
    ("rules.single_buffers_ratio", Goal::AtMost(1.3)),
];

impl Goal {
    fn told(&self, value: f64) -> String {
        let (sign, bound, met) = match *self {
            Goal::AtLeast(bound) => (">=", bound, value >= bound),
            Goal::AtMost(bound) => ("<=", bound, value <= bound),
            Goal::Below(bound) => ("<", bound, value < bound),
        };
        format!("{sign} {bound}{}", if met { ", met" } else { ", NOT MET" })
    }
}

/// What was measured.
pub struct Report {
    conditions: Vec<(String, String)>,
    samples: BTreeMap<String, Vec<f64>>,
}

impl Report {
    /// Notes the conditions.
    pub async fn new(sql: &tokio_postgres::Client) -> Fallible<Report> {
        let cores = std::thread::available_parallelism()?.to_string();
        let version: String = sql.query_one("show server_version", &[]).await?.try_get(0)?;
        let mut conditions = vec![("cores".to_owned(), cores), ("postgresql".to_owned(), version)];
        for name in SETTINGS {
            let value: String = sql.query_one("select current_setting($1)", &[&name]).await?.try_get(0)?;
            conditions.push((name.to_owned(), value));
        }
        for (name, value) in &conditions {
            println!("{name}: {value}");
        }
        Ok(Report { conditions, samples: BTreeMap::new() })
    }

    /// Takes in one figure.
    pub fn sample(&mut self, key: &str, value: f64) {
        self.samples.entry(key.to_owned()).or_default().push(value);
    }

    /// One median over another, where both were measured.
    pub fn ratio(&mut self, key: &str, ours: &str, floor: &str) {
        if [ours, floor].iter().all(|key| self.samples.contains_key(*key)) {
            self.ratio_to(key, ours, self.median(floor));
        }
    }

    /// A median over a figure known before.
    pub fn ratio_to(&mut self, key: &str, ours: &str, base: f64) -> f64 {
        let ratio = self.median(ours) / base;
        self.sample(key, ratio);
        ratio
    }

    fn median(&self, key: &str) -> f64 {
        self.samples.get(key).map_or(f64::NAN, |samples| median(samples))
    }

    /// Prints the table and writes the file.
    pub fn finish(self) -> Fallible<()> {
        let mut table = Table::new();
        table.load_style(UTF8_BORDERS_ONLY).set_header(["", "median", "min", "max", "samples", "goal"]);
        let mut json = serde_json::Map::new();
        for (name, value) in self.conditions {
            json.insert(format!("conditions.{name}"), value.into());
        }
        for (key, samples) in &self.samples {
            let middle = median(samples);
            let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let most = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let goal = GOALS.iter().find(|(name, _)| name == key).map(|(_, goal)| goal.told(middle));
            let figures = [middle, least, most].map(shown);
            let mut row = vec![key.clone()];
            row.extend(figures.into_iter().chain([samples.len().to_string(), goal.unwrap_or_default()]));
            table.add_row(row);
            json.insert(key.clone(), middle.into());
            if samples.len() > 1 {
                json.insert(format!("{key}.min"), least.into());
                json.insert(format!("{key}.max"), most.into());
            }
        }
        for column in table.column_iter_mut().skip(1).take(4) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("{table}");
        let dir = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from).join("bench");
        fs::create_dir_all(&dir)?;
        let path = dir.join("report.json");
        fs::write(&path, serde_json::to_string_pretty(&json)? + "\n")?;
        println!("{}", path.display());
        Ok(())
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        Some(upper) if sorted.len().is_multiple_of(2) => f64::midpoint(sorted[middle - 1], *upper),
        Some(middle) => *middle,
        None => f64::NAN,
    }
}

/// What so many percent of the values do not exceed.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let place = (values.len() as f64 * percent / 100.0) as usize;
    values.get(place.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn shown(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
