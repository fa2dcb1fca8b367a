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

    /// One median over another.
    pub fn ratio(&mut self, key: &str, ours: &str, floor: &str) {
        self.ratio_to(key, ours, self.median(floor));
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
        table.load_style(UTF8_BORDERS_ONLY).set_header(["", "median", "least", "most", "samples"]);
        let mut json = serde_json::Map::new();
        for (name, value) in self.conditions {
            json.insert(format!("conditions.{name}"), value.into());
        }
        for (key, samples) in &self.samples {
            let middle = median(samples);
            let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let most = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            table.add_row([key.clone(), shown(middle), shown(least), shown(most), samples.len().to_string()]);
            json.insert(key.clone(), middle.into());
        }
        for column in table.column_iter_mut().skip(1) {
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

fn shown(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
