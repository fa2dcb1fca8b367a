//! Everything that takes part in a storm: processes, links, dialers, operators, files. Dropped, all of it ends.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use uuid::Uuid;

use crate::{
    dialer::{Dialer, Part},
    engine::Engine,
    operators::{NUMBER_RULES, Operators, until_done},
    pen::Pen,
    postgres::Postgres,
    proxy::{Link, Upstream},
};

pub const ENGINES: usize = 3;
pub const DIALERS: usize = 12;
/// Below what all slots together ask for, so that the cap is what holds them back.
pub const CAP: i32 = 60;
pub const CAMPAIGNS: usize = 2;
/// Leads per campaign at first; half of the numbers are in both.
pub const LEADS: usize = 400;

/// The files of a storm; removed when it ends well.
pub struct Files {
    pub dir: PathBuf,
    pub keep: AtomicBool,
}

impl Drop for Files {
    fn drop(&mut self) {
        if self.keep.load(Ordering::Relaxed) || std::env::var_os("STORM_KEEP").is_some() {
            println!("files: {}", self.dir.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// The carrier's process.
struct CarrierProcess {
    child: Child,
    address: SocketAddr,
}

impl CarrierProcess {
    fn start(log: &Path) -> CarrierProcess {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["carrier", "--listen", "127.0.0.1:0", "--log"])
            .arg(log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        CarrierProcess { address: line.trim().parse().unwrap(), child }
    }
}

impl Drop for CarrierProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The scene. Fields drop from the top: first those who ask, at last the files.
pub struct Scene {
    pub dialers: Vec<Arc<Dialer>>,
    keepers: Vec<AbortHandle>,
    pub operators: Arc<Operators>,
    pub engines: Vec<Arc<Engine>>,
    _carrier: CarrierProcess,
    /// By dialer, then by engine.
    pub dialer_links: Vec<Vec<Link>>,
    /// By engine.
    pub database_links: Vec<Link>,
    pub postgres: Arc<Postgres>,
    pub campaigns: Vec<Uuid>,
    pub calm: Arc<AtomicBool>,
    pub stop: Arc<AtomicBool>,
    pub pen: Arc<Pen>,
    pub files: Files,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.keepers.iter().for_each(AbortHandle::abort);
    }
}

impl Scene {
    pub fn rings(&self) -> PathBuf {
        self.files.dir.join("rings.jsonl")
    }

    pub fn events(&self) -> PathBuf {
        self.files.dir.join("events.jsonl")
    }

    /// Everything is up, two campaigns run, nobody dials yet.
    pub async fn build(seed: u64) -> Scene {
        let dir = std::env::temp_dir().join(format!("dialplane-storm-{}-{seed}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let files = Files { dir: dir.clone(), keep: AtomicBool::new(true) };
        let pen = Arc::new(Pen::new(&dir.join("events.jsonl")).unwrap());
        let postgres = Arc::new(Postgres::start(dir.join("postgres")).await);
        let carrier = CarrierProcess::start(&dir.join("rings.jsonl"));
        let (mut database_links, mut engines) = (Vec::new(), Vec::new());
        for n in 0..ENGINES {
            let link = Link::to(Upstream::Socket(postgres.socket())).await.unwrap();
            let url = format!("host=127.0.0.1 port={} user=dialplane dbname=dialplane", link.port());
            let name = format!("engine-{n}");
            engines.push(Arc::new(Engine::new(&name, url, dir.join(format!("{name}.log")))));
            database_links.push(link);
        }
        let keepers = engines
            .iter()
            .map(|engine| tokio::spawn(Arc::clone(engine).keep(Arc::clone(&pen))).abort_handle())
            .collect();
        let ports: Vec<u16> = engines.iter().map(|engine| engine.port).collect();
        let operators = Arc::new(Operators::new(&ports, Arc::clone(&pen)));
        let campaigns = campaigns(&operators).await;
        let (calm, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (mut dialers, mut dialer_links) = (Vec::new(), Vec::new());
        for number in 0..DIALERS {
            let mut links = Vec::new();
            for port in &ports {
                links.push(Link::to(Upstream::Port(*port)).await.unwrap());
            }
            let part = Part {
                number,
                seed: seed.wrapping_mul(1_000) + number as u64,
                ports: links.iter().map(Link::port).collect(),
                campaigns: if number % 5 == 1 { vec![campaigns[number % 2].to_string()] } else { Vec::new() },
            };
            let (calm, stop) = (Arc::clone(&calm), Arc::clone(&stop));
            dialers.push(Dialer::new(part, carrier.address, Arc::clone(&pen), calm, stop));
            dialer_links.push(links);
        }
        Scene {
            dialers,
            keepers,
            operators,
            engines,
            _carrier: carrier,
            dialer_links,
            database_links,
            postgres,
            campaigns,
            calm,
            stop,
            pen,
            files,
        }
    }

    /// Lets all dialers dial.
    pub fn dial(&self) -> JoinSet<()> {
        self.dialers.iter().map(|dialer| Arc::clone(dialer).run()).collect()
    }

    /// No fault any more, wherever it was.
    pub async fn heal(&self) {
        self.database_links.iter().chain(self.dialer_links.iter().flatten()).for_each(Link::heal);
        self.dialers.iter().for_each(|dialer| dialer.behaviours.heal());
        for engine in &self.engines {
            engine.signal(nix::sys::signal::Signal::SIGCONT);
            if !engine.is_disarmed() {
                engine.kill(None);
            }
        }
    }
}

/// Two campaigns that share half of their numbers.
async fn campaigns(operators: &Operators) -> Vec<Uuid> {
    until_done(|| operators.engine_cap(CAP)).await;
    until_done(|| operators.number_rules(Some(NUMBER_RULES))).await;
    let mut campaigns = Vec::new();
    for (n, name) in ["north", "south"][..CAMPAIGNS].iter().enumerate() {
        let campaign = loop {
            match operators.create(name).await {
                Some(campaign) => break campaign,
                None => sleep(Duration::from_millis(200)).await,
            }
        };
        let first = n * LEADS / 2;
        until_done(|| operators.import(campaign, first..first + LEADS, None)).await;
        until_done(|| operators.run(campaign, true)).await;
        campaigns.push(campaign);
    }
    campaigns
}
