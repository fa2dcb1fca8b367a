//! An alarm clock that rings on time. The runtime's timers count in milliseconds and ring up to two late; a promise is kept to the
//! instant.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// What the runtime's timers may be late by.
const COARSE: Duration = Duration::from_millis(2);

/// Waits on a thread of its own, which lives as long as it does.
pub struct Alarm {
    set: Sender<Duration>,
    rings: Arc<Notify>,
}

impl Alarm {
    /// Starts the thread. Where there is none, the runtime's timers must do.
    pub fn start() -> Alarm {
        let (set, told) = mpsc::channel();
        let rings = Arc::new(Notify::new());
        let bell = Arc::clone(&rings);
        if let Err(error) = thread::Builder::new().name("alarm".into()).spawn(move || ring(&told, &bell)) {
            tracing::warn!(%error, "callbacks may come two milliseconds late: no thread for an alarm clock");
        }
        Alarm { set, rings }
    }

    /// Waits for so long, and no shorter. May be dropped.
    pub async fn wait(&self, lasts: Duration) {
        let until = Instant::now() + lasts;
        sleep(lasts.saturating_sub(COARSE)).await;
        while let left = until.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            match self.set.send(left) {
                // It may ring for a wait that was dropped.
                Ok(()) => self.rings.notified().await,
                Err(_) => sleep(left).await,
            }
        }
    }
}

/// Rings when so long has passed as was told last, until nobody is left to tell.
fn ring(told: &Receiver<Duration>, bell: &Notify) {
    let mut next = told.recv().ok();
    while let Some(lasts) = next {
        next = match told.recv_timeout(lasts) {
            Ok(another) => Some(another),
            Err(RecvTimeoutError::Timeout) => {
                bell.notify_one();
                told.recv().ok()
            }
            Err(RecvTimeoutError::Disconnected) => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_no_sooner_than_it_was_set_for() {
        let alarm = Alarm::start();
        for lasts in [0, 300, 1_500, 2_000, 4_100].map(Duration::from_micros) {
            let before = Instant::now();
            alarm.wait(lasts).await;
            assert!(before.elapsed() >= lasts, "{lasts:?}");
        }
    }

    #[tokio::test]
    async fn a_wait_that_was_dropped_does_not_end_the_next() {
        let alarm = Alarm::start();
        let before = Instant::now();
        for lasts in [1, 500, 1_900].map(Duration::from_micros) {
            let dropped = alarm.wait(lasts);
            let _ = futures::poll!(std::pin::pin!(dropped));
        }
        alarm.wait(Duration::from_millis(4)).await;
        assert!(before.elapsed() >= Duration::from_millis(4));
    }
}
