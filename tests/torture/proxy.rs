//! The bad network: a TCP proxy whose links can be cut, silenced in one direction, slowed and healed.
//!
//! What a silent direction holds back is delivered when it heals: late, as a real network does, and never torn.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Where a link leads.
#[derive(Clone)]
pub enum Upstream {
    Port(u16),
    Socket(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards the server.
    Up,
    Down,
}

#[derive(Clone, Copy, Default)]
struct Weather {
    up_silent: bool,
    down_silent: bool,
    delay: Duration,
    /// Counts cuts: each one breaks the connections that there are.
    cuts: u64,
}

impl Weather {
    fn is_silent(&self, direction: Direction) -> bool {
        match direction {
            Direction::Up => self.up_silent,
            Direction::Down => self.down_silent,
        }
    }
}

/// A port that leads somewhere, as long as the weather permits. Dropped, it is closed with all its connections.
pub struct Link {
    port: u16,
    weather: watch::Sender<Weather>,
    accepting: JoinHandle<()>,
}

impl Link {
    pub async fn to(upstream: Upstream) -> io::Result<Link> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (weather, _) = watch::channel(Weather::default());
        let accepting = tokio::spawn(accept(listener, upstream, weather.clone()));
        Ok(Link { port, weather, accepting })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks every connection, with a reset.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Nothing gets through in this direction; the connections stay.
    pub fn silence(&self, direction: Direction) {
        self.weather.send_modify(|weather| match direction {
            Direction::Up => weather.up_silent = true,
            Direction::Down => weather.down_silent = true,
        });
    }

    /// Everything takes longer.
    pub fn slow(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    pub fn heal(&self) {
        self.weather.send_modify(|weather| *weather = Weather { cuts: weather.cuts, ..Weather::default() });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: Upstream, weather: watch::Sender<Weather>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                connections.spawn(connection(client, upstream.clone(), weather.subscribe()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until either side ends it or it is cut.
async fn connection(client: TcpStream, upstream: Upstream, mut weather: watch::Receiver<Weather>) {
    let cuts = weather.borrow().cuts;
    let _ = client.set_nodelay(true);
    match upstream {
        Upstream::Port(port) => {
            let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
            let _ = server.set_nodelay(true);
            let (read, write) = server.split();
            carry(client, read, write, &mut weather, cuts).await;
            if weather.borrow().cuts > cuts {
                let _ = server.set_zero_linger();
            }
        }
        Upstream::Socket(path) => {
            let Ok(mut server) = UnixStream::connect(path).await else { return };
            let (read, write) = server.split();
            carry(client, read, write, &mut weather, cuts).await;
        }
    }
}

async fn carry(
    mut client: TcpStream,
    from_server: impl AsyncRead + Unpin,
    to_server: impl AsyncWrite + Unpin,
    weather: &mut watch::Receiver<Weather>,
    cuts: u64,
) {
    let (from_client, to_client) = client.split();
    let was_cut = tokio::select! {
        _ = pump(from_client, to_server, weather.clone(), Direction::Up) => false,
        _ = pump(from_server, to_client, weather.clone(), Direction::Down) => false,
        cut = weather.wait_for(|weather| weather.cuts > cuts) => cut.is_ok(),
    };
    if was_cut {
        let _ = client.set_zero_linger();
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    direction: Direction,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        let delay = match weather.wait_for(|weather| !weather.is_silent(direction)).await {
            Ok(weather) => weather.delay,
            Err(_) => return Ok(()),
        };
        if length == 0 {
            return to.shutdown().await;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}
