//! The pen of dialers, operators and faults: one line per event, and what a reader of the terminal should see.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use crate::{carrier::now, log::Event};

/// Oddities that are printed; the rest are counted.
const ODDITIES_MAX: usize = 20;

pub struct Pen {
    file: Mutex<File>,
    started: Instant,
    faults: Mutex<BTreeMap<String, usize>>,
    oddities: Mutex<BTreeMap<String, usize>>,
    broken: Mutex<Vec<String>>,
    permits: AtomicUsize,
}

impl Pen {
    pub fn new(path: &Path) -> io::Result<Pen> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Pen {
            file: Mutex::new(file),
            started: Instant::now(),
            faults: Mutex::default(),
            oddities: Mutex::default(),
            broken: Mutex::default(),
            permits: AtomicUsize::new(0),
        })
    }

    pub fn write(&self, event: &Event) {
        if matches!(event, Event::Permitted { .. }) {
            self.permits.fetch_add(1, Ordering::Relaxed);
        }
        let mut line = serde_json::to_vec(event).unwrap();
        line.push(b'\n');
        self.file.lock().unwrap().write_all(&line).unwrap();
    }

    /// Permits so far.
    pub fn permits(&self) -> usize {
        self.permits.load(Ordering::Relaxed)
    }

    pub fn say(&self, what: &str) {
        println!("{:>9.3}  {what}", self.started.elapsed().as_secs_f64());
    }

    /// A fault, now.
    pub fn fault(&self, kind: &str, what: &str) {
        self.say(&format!("{kind}: {what}"));
        *self.faults.lock().unwrap().entry(kind.to_owned()).or_default() += 1;
        self.write(&Event::Fault { kind: kind.to_owned(), what: what.to_owned(), at: now() });
    }

    /// How often it came up.
    pub fn count(&self, kind: &str) -> usize {
        self.faults.lock().unwrap().get(kind).copied().unwrap_or(0)
    }

    /// A promise that an answer broke.
    pub fn broken(&self, what: &str) {
        self.say(&format!("BROKEN: {what}"));
        self.broken.lock().unwrap().push(what.to_owned());
    }

    pub fn findings(&self) -> Vec<String> {
        self.broken.lock().unwrap().clone()
    }

    /// Something that is worth a look, but breaks no guarantee by itself.
    pub fn odd(&self, what: &str) {
        let mut oddities = self.oddities.lock().unwrap();
        let seen = oddities.entry(what.to_owned()).or_default();
        *seen += 1;
        if *seen == 1 && oddities.len() <= ODDITIES_MAX {
            self.say(&format!("odd: {what}"));
        }
    }

    /// How often each kind of fault came up, a line each (`fault KIND COUNT`), and what was odd.
    pub fn sum_up(&self, kinds: &[String]) {
        let faults = self.faults.lock().unwrap();
        println!();
        let kinds: BTreeSet<&String> = kinds.iter().chain(faults.keys()).collect();
        for kind in kinds {
            println!("fault {kind} {}", faults.get(kind).unwrap_or(&0));
        }
        for (what, count) in self.oddities.lock().unwrap().iter() {
            println!("odd {count} {what}");
        }
    }
}
