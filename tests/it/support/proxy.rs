//! A link to the database that a test can cut, or make swallow the answers.

use std::sync::{Arc, Mutex};

use dialplane::domain::settings::SchedulerSettings;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::AbortHandle,
};

use super::{World, database::Database, start_engine};

/// How the link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It carries both ways.
    Whole,
    /// Connections are closed, and so are new ones at once.
    Cut,
    /// Connections stay, and what the database says is lost.
    Mute,
}

/// A proxy in front of a database, on loopback.
pub struct Proxy {
    pub url: String,
    link: Arc<Mutex<watch::Sender<Link>>>,
    accepting: AbortHandle,
}

impl Proxy {
    /// In front of the database of this URL, which names a socket directory.
    pub async fn before(url: &str) -> Proxy {
        let part = |name: &str| url.split(' ').find_map(|part| part.strip_prefix(name)).unwrap().to_owned();
        let socket = format!("{}/.s.PGSQL.{}", part("host=").trim_matches('\''), part("port="));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let link = Arc::new(Mutex::new(watch::Sender::new(Link::Whole)));
        let of_link = Arc::clone(&link);
        let accepting = tokio::spawn(async move {
            while let Ok((engine, _)) = listener.accept().await {
                let link = of_link.lock().unwrap().subscribe();
                tokio::spawn(carry(engine, socket.clone(), link));
            }
        });
        let url = format!("host=127.0.0.1 port={port} user={} dbname={}", part("user="), part("dbname="));
        Proxy { url, link, accepting: accepting.abort_handle() }
    }

    /// Changes the link, for all connections.
    pub fn set(&self, link: Link) {
        self.link.lock().unwrap().send_replace(link);
    }

    /// Connections of before stay as they are; new ones are whole. Whoever holds one of before is a receiver of what is
    /// returned.
    pub fn renew(&self) -> watch::Sender<Link> {
        std::mem::replace(&mut *self.link.lock().unwrap(), watch::Sender::new(Link::Whole))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Link::Cut);
    }
}

async fn carry(engine: TcpStream, socket: String, mut link: watch::Receiver<Link>) {
    let mut state = link.clone();
    let carrying = async move {
        let Ok(database) = UnixStream::connect(socket).await else { return };
        let (mut asks, mut hears) = engine.into_split();
        let (mut answers, mut takes) = database.into_split();
        let talk = async {
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(read @ 1..) = answers.read(&mut bytes).await {
                if *state.borrow_and_update() != Link::Mute && hears.write_all(&bytes[..read]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            _ = copy(&mut asks, &mut takes) => {}
            () = talk => {}
        }
    };
    tokio::select! {
        // First: through a link that is cut nobody knocks at the database, whose other tests would find its door blocked.
        biased;
        _ = link.wait_for(|link| *link == Link::Cut) => {}
        () = carrying => {}
    }
}

impl World {
    /// A world whose engine reaches its database through a proxy; the test itself reaches it directly.
    pub async fn behind_a_proxy(database: Database, settings: SchedulerSettings) -> (World, Proxy) {
        let proxy = Proxy::before(&database.url).await;
        let replica = start_engine(&proxy.url, settings).await;
        let (campaigns, scheduler) = (replica.campaigns.clone(), replica.scheduler.clone());
        (World { database, replica, campaigns, scheduler }, proxy)
    }
}
