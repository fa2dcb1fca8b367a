//! The simulated carrier: a process of its own, with its own log. Dialers place each call here over a line of JSON; it
//! writes what rings before it answers. It knows nothing of engines and leases: it is told a permit and writes it down.
//!
//! Ring ids are made from the clock, so that a second carrier on the same log repeats none.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use uuid::Uuid;

use crate::log::{Micros, Ring};

/// Microseconds since 1970 of the machine's clock: the instants of every log.
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

/// What a dialer says, a line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    /// `until`: the permit's last instant to dial (`asked` + `dial_within`). The carrier places no call after it: a dialer
    /// may be stopped between looking at its clock and dialing.
    Dial {
        permit: Uuid,
        number: String,
        dialer: String,
        until: Option<Micros>,
    },
    HangUp(u64),
}

/// What the carrier answers, a line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ring(u64),
    /// Nothing rang: it was after `until`.
    TooLate,
    Over(u64),
}

/// The log and the next ring.
struct Book {
    log: File,
    next: u64,
}

impl Book {
    fn open(path: &Path) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { log, next: now().unsigned_abs() })
    }

    /// One write per record: a killed carrier leaves whole lines, but for the last one.
    fn write(&mut self, record: &Ring) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.log.write_all(&line)?;
        self.log.flush()
    }

    fn ring(&mut self, permit: Uuid, number: String, dialer: String, until: Option<Micros>) -> io::Result<Option<u64>> {
        let at = now();
        if until.is_some_and(|until| at > until) {
            return Ok(None);
        }
        let ring = self.next;
        self.next += 1;
        self.write(&Ring::Start { ring, permit, number, dialer, at })?;
        Ok(Some(ring))
    }

    fn end(&mut self, ring: u64) -> io::Result<()> {
        self.write(&Ring::End { ring, at: now() })
    }
}

/// The process's main: prints the address it listens on as the first line, and serves until it is killed, or its stdin
/// ends: whoever started it is gone.
pub fn run(listen: SocketAddr, log: PathBuf) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        println!("{}", listener.local_addr()?);
        io::stdout().flush()?;
        let book = Book::open(&log)?;
        let parent_is_gone = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
        tokio::select! {
            served = serve(listener, book) => served,
            _ = parent_is_gone => Ok(()),
        }
    })
}

async fn serve(listener: TcpListener, book: Book) -> io::Result<()> {
    let book = Arc::new(Mutex::new(book));
    loop {
        let (stream, _) = listener.accept().await?;
        let book = Arc::clone(&book);
        tokio::spawn(async move {
            let mut rings = BTreeSet::new();
            // A link that breaks, or babbles, is over like one that is closed.
            let _ = talk(stream, &book, &mut rings).await;
            let mut book = book.lock().unwrap();
            for ring in rings {
                book.end(ring).unwrap();
            }
        });
    }
}

async fn talk(stream: TcpStream, book: &Mutex<Book>, rings: &mut BTreeSet<u64>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str(&line)? {
            Ask::Dial { permit, number, dialer, until } => {
                // A log that cannot be written is no carrier: the panic breaks the link and the test.
                match book.lock().unwrap().ring(permit, number, dialer, until).unwrap() {
                    Some(ring) => {
                        rings.insert(ring);
                        Answer::Ring(ring)
                    }
                    None => Answer::TooLate,
                }
            }
            Ask::HangUp(ring) => {
                if rings.remove(&ring) {
                    book.lock().unwrap().end(ring).unwrap();
                }
                Answer::Over(ring)
            }
        };
        write_line(&mut write, &answer).await?;
    }
    Ok(())
}

async fn write_line(write: &mut OwnedWriteHalf, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// A dialer's line to the carrier. When it is dropped, or its process dies, all its rings are over.
///
/// After an error the line is not to be used again: whether the phone rings is unknown, and dropping the line ends it.
pub struct Line {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

/// The way to a line.
pub struct Carrier;

impl Carrier {
    pub async fn connect(carrier: SocketAddr) -> io::Result<Line> {
        let stream = TcpStream::connect(carrier).await?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        Ok(Line { lines: BufReader::new(read).lines(), write })
    }
}

impl Line {
    /// Lets the phone ring, unless it is after `until`: then nothing rang, and there is no ring.
    pub async fn dial(
        &mut self,
        permit: Uuid,
        number: &str,
        dialer: &str,
        until: Option<Micros>,
    ) -> io::Result<Option<u64>> {
        let ask = Ask::Dial { permit, number: number.to_owned(), dialer: dialer.to_owned(), until };
        match self.ask(&ask).await? {
            Answer::Ring(ring) => Ok(Some(ring)),
            Answer::TooLate => Ok(None),
            Answer::Over(_) => Err(ErrorKind::InvalidData.into()),
        }
    }

    /// Ends a ring. One that is over already stays so.
    pub async fn hang_up(&mut self, ring: u64) -> io::Result<()> {
        match self.ask(&Ask::HangUp(ring)).await? {
            Answer::Over(over) if over == ring => Ok(()),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    async fn ask(&mut self, ask: &Ask) -> io::Result<Answer> {
        write_line(&mut self.write, ask).await?;
        let line = self.lines.next_line().await?.ok_or(ErrorKind::UnexpectedEof)?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// The carrier's own test: what it answers, it has written; a broken line ends its rings.
pub fn writes_what_rings() {
    let path = std::env::temp_dir().join(format!("carrier-{}.jsonl", Uuid::new_v4()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Book::open(&path).unwrap()));
        let mut line = Carrier::connect(address).await.unwrap();
        let permit = Uuid::new_v4();
        assert_eq!(
            line.dial(permit, "+12025550100", "a", Some(now() - 1)).await.unwrap(),
            None,
            "after its last instant"
        );
        let first = line.dial(permit, "+12025550100", "a", None).await.unwrap().unwrap();
        line.hang_up(first).await.unwrap();
        line.hang_up(first).await.unwrap();
        let second = line.dial(permit, "+12025550101", "a", Some(now() + 60_000_000)).await.unwrap().unwrap();
        drop(line);
        let records = loop {
            let records: Vec<Ring> = crate::history::read_log(&path).unwrap();
            if records.len() >= 4 {
                break records;
            }
            tokio::task::yield_now().await;
        };
        assert!(
            matches!(records[..], [Ring::Start { ring: a, .. }, Ring::End { ring: b, .. }, Ring::Start { ring: c, .. },
                Ring::End { ring: d, .. }] if (a, b, c, d) == (first, first, second, second)),
            "{records:?}"
        );
    });
    std::fs::remove_file(&path).unwrap();
}
