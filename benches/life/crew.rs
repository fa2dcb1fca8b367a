//! Processes of dialers: this program again, with an argument.

use std::{env, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{
    Fallible,
    dialer::{ARGUMENT, OPEN, Tally},
    world::{World, cpu_ms},
};

/// How the dialers are.
pub struct Shape {
    /// Processes.
    pub processes: usize,
    /// Dialers in each.
    pub sessions: usize,
    /// Calls that a dialer holds.
    pub slots: usize,
    /// Leases per unary call at the most.
    pub batch: usize,
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
            let numbers = [shape.sessions, shape.slots, shape.batch].map(|number| number.to_string());
            let mut child = Command::new(env::current_exe()?)
                .args([ARGUMENT, server, campaign])
                .args(numbers)
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
            all.grants += one.grants;
            all.begins += one.begins;
            all.reports += one.reports;
            all.callback_us.extend(one.callback_us);
            child.wait().await?;
        }
        Ok(all)
    }
}
