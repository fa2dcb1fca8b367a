//! Processes of dialers: this program again, with an argument.

use std::{env, process::Stdio};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{
    Fallible,
    dialer::{ARGUMENT, OPEN, Order, Tally},
    world::{World, cpu_ms},
};

/// How the dialers are.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Shape {
    /// Processes.
    pub processes: usize,
    /// Dialers in each.
    pub sessions: usize,
    /// Calls that a dialer holds.
    pub slots: usize,
    /// Leases per unary call at the most.
    pub batch: usize,
    /// Connections of each process; 0: one per dialer.
    pub channels: usize,
    /// How long a call lasts on average; 0: no time.
    pub call_ms: u64,
}

impl Shape {
    /// One dialer of one slot with calls that take no time.
    pub const PLAIN: Shape = Shape { processes: 1, sessions: 1, slots: 1, batch: 1, channels: 0, call_ms: 0 };
}

/// Dialers whose sessions are open.
pub struct Crew {
    members: Vec<(Child, Lines<BufReader<ChildStdout>>)>,
}

impl Crew {
    /// Starts them on a campaign and waits until all sessions are open.
    pub async fn open(world: &World, campaign: &str, shape: &Shape) -> Fallible<Crew> {
        let mut crew = Crew { members: Vec::new() };
        // Each process has its engine, by turns.
        for server in world.servers().iter().cycle().take(shape.processes) {
            let order = Order { server: (*server).to_owned(), campaign: campaign.to_owned(), shape: *shape };
            let mut child = Command::new(env::current_exe()?)
                .args([ARGUMENT, &serde_json::to_string(&order)?])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let stdout = child.stdout.take().ok_or("a dialer without an output")?;
            crew.members.push((child, BufReader::new(stdout).lines()));
        }
        for (_, lines) in &mut crew.members {
            if lines.next_line().await?.as_deref() != Some(OPEN) {
                return Err("a dialer did not open its sessions".into());
            }
        }
        Ok(crew)
    }

    /// Processor time of all, in milliseconds.
    pub fn cpu_ms(&self) -> f64 {
        self.members.iter().filter_map(|(child, _)| child.id()).map(cpu_ms).sum()
    }

    /// Sends them home; what they did, added up.
    pub async fn close(mut self) -> Fallible<Tally> {
        let mut all = Tally::default();
        for (child, _) in &mut self.members {
            drop(child.stdin.take());
        }
        for (mut child, mut lines) in self.members {
            let line = lines.next_line().await?.ok_or("a dialer ended early")?;
            let one: Tally = serde_json::from_str(&line)?;
            all.lives += one.lives;
            all.refused += one.refused;
            all.waits += one.waits;
            all.lost += one.lost;
            all.grants += one.grants;
            all.begins += one.begins;
            all.reports += one.reports;
            all.callback_us.extend(one.callback_us);
            all.grants_us.extend(one.grants_us);
            child.wait().await?;
        }
        Ok(all)
    }
}
