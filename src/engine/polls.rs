//! PollLeases: a session whose stream is a mailbox that its dialer empties by polls. The floor knows no difference, so both
//! kinds draw from one queue.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, interval, sleep_until},
};
use uuid::Uuid;

use super::{
    Engine, EngineError,
    leasing::{
        events::{Inbox, Outbound},
        messages::{Ending, Message},
    },
    sessions::{Demand, Session},
};
use crate::domain::ids::{LeaseId, SessionId};

/// One poll.
pub struct Poll {
    /// The session and its demand; campaigns and held leases count when it is opened.
    pub demand: Demand,
    /// Receipts.
    pub received: Vec<LeaseId>,
    /// How long the answer may wait.
    pub wait: Duration,
    /// New for every poll; the same again replays the answer.
    pub id: Uuid,
}

/// Sessions that poll here.
#[derive(Default)]
pub(crate) struct Polls {
    mailboxes: Mutex<HashMap<SessionId, Arc<Mailbox>>>,
}

struct Mailbox {
    dialer: String,
    /// Counts polls: one that waits gives way to a later one.
    latest: watch::Sender<u64>,
    line: tokio::sync::Mutex<Option<Line>>,
}

struct Line {
    session: Session,
    inbox: Inbox,
    answered: Option<(Uuid, Vec<Message>)>,
}

impl Polls {
    fn mailbox(&self, demand: &Demand) -> Result<Arc<Mailbox>, EngineError> {
        let mut mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let mailbox = mailboxes.entry(demand.session).or_insert_with(|| {
            let (latest, _) = watch::channel(0);
            Arc::new(Mailbox { dialer: demand.dialer.clone(), latest, line: tokio::sync::Mutex::default() })
        });
        if mailbox.dialer == demand.dialer { Ok(Arc::clone(mailbox)) } else { Err(EngineError::SessionInUse) }
    }

    /// Forgets a mailbox whose session could not be opened, unless another poll is at it.
    fn forget(&self, session: SessionId, mailbox: &Arc<Mailbox>) {
        let mut mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and the caller's.
        if Arc::strong_count(mailbox) == 2 {
            mailboxes.remove(&session);
        }
    }

    /// Forgets mailboxes whose session is over and that nobody asks.
    pub(crate) fn forget_closed(&self) {
        let mut mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        mailboxes.retain(|_, mailbox| {
            // A poll that has it, or is about to.
            Arc::strong_count(mailbox) > 1
                || mailbox
                    .line
                    .try_lock()
                    .map_or(true, |line| line.as_ref().is_some_and(|line| !line.inbox.is_closed()))
        });
    }
}

/// What a poll found.
enum Found {
    Messages(Vec<Message>),
    /// The session ended.
    End(Ending),
}

impl Engine {
    /// Waits for news of a session, which it opens where it is not open here.
    ///
    /// # Errors
    /// [`EngineError::SessionTakenOver`]: do not poll on. Else as [`Engine::open_session`].
    pub async fn poll(self: &Arc<Self>, poll: Poll) -> Result<Vec<Message>, EngineError> {
        let Poll { demand, received, wait, id } = poll;
        let mailbox = self.polls.mailbox(&demand)?;
        let mut turn = 0;
        mailbox.latest.send_modify(|latest| {
            *latest += 1;
            turn = *latest;
        });
        let until = Instant::now() + wait;
        let mut place = mailbox.line.lock().await;
        if let Some((_, messages)) =
            place.as_ref().and_then(|line| line.answered.as_ref()).filter(|(answered, _)| *answered == id)
        {
            return Ok(messages.clone());
        }
        // A session that ended between two polls, by its loss or by another stream, is opened anew: the dialer asks for it.
        if place.as_ref().is_some_and(|line| line.inbox.is_closed()) {
            *place = None;
        }
        for _ in 0..2 {
            let line = match place.as_mut() {
                Some(line) => line,
                None => {
                    let opened = self.open_session(demand.clone()).await;
                    let (session, inbox) = opened.inspect_err(|_| self.polls.forget(demand.session, &mailbox))?;
                    place.insert(Line { session, inbox, answered: None })
                }
            };
            line.session.set_slots(usize::try_from(demand.slots).unwrap_or(0));
            if !received.is_empty() {
                line.session.received(received.clone());
            }
            match self.collect(line, &mailbox, turn, until).await {
                Found::Messages(messages) => {
                    line.answered = Some((id, messages.clone()));
                    return Ok(messages);
                }
                Found::End(ending) => {
                    *place = None;
                    match ending {
                        Ending::TakenOver => return Err(EngineError::SessionTakenOver),
                        Ending::Leaving => return Err(EngineError::ShuttingDown),
                        Ending::Done | Ending::Lost | Ending::Deaf => {}
                    }
                }
            }
        }
        Err(EngineError::Unavailable)
    }

    /// What is there; else what comes first, with all that comes with it. Nothing is taken out of the inbox before a wait, so
    /// a caller that goes away loses nothing.
    async fn collect(&self, line: &mut Line, mailbox: &Mailbox, turn: u64, until: Instant) -> Found {
        let mut latest = mailbox.latest.subscribe();
        let mut alive = interval((self.settings().session_ttl / 4).max(Duration::from_millis(50)));
        let first = loop {
            tokio::select! {
                biased;
                // Its caller may be gone, and nobody know it.
                _ = latest.wait_for(|latest| *latest != turn) => return Found::Messages(Vec::new()),
                next = line.inbox.recv() => match next {
                    Outbound::Message(Message::HeartbeatAck(_)) => {}
                    Outbound::Message(message) => break message,
                    Outbound::End(ending) => return Found::End(ending),
                },
                () = sleep_until(until) => return Found::Messages(Vec::new()),
                _ = alive.tick() => line.session.heard(),
            }
        };
        let mut messages = vec![first];
        loop {
            match line.inbox.try_recv() {
                Some(Outbound::Message(Message::HeartbeatAck(_))) => {}
                Some(Outbound::Message(message)) => messages.push(message),
                // What was granted to a session that is over is over.
                Some(Outbound::End(ending)) => return Found::End(ending),
                None => return Found::Messages(messages),
            }
        }
    }
}
