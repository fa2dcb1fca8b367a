//! Group commit: requests gather while the previous batch is in flight; a lone request goes at once. A batch that takes long (it
//! waits for a lock, or the disk does) does not hold up the next.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::EngineError;

/// Requests that may wait; beyond, they are refused.
const WAITING_MAX: usize = 4096;
/// How long the next batch waits for the one before.
const PATIENCE: Duration = Duration::from_millis(25);
/// How long a caller waits. What was asked may happen all the same, but for what still waits then: that is forgotten.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

type Answer<A> = oneshot::Sender<Result<Vec<A>, EngineError>>;
type Call<Q, A> = (Vec<Q>, Answer<A>);

/// Gathers batches of requests into larger ones. Every item has one answer, in order.
pub struct Gather<Q, A> {
    calls: mpsc::Sender<Call<Q, A>>,
}

impl<Q: Send + 'static, A: Send + 'static> Gather<Q, A> {
    /// Starts gathering: up to `items_max` items a batch (one call is never split), `in_flight` batches at once where they take
    /// long. `run`
    /// answers as many items as it was given.
    pub fn start<F, Fut>(items_max: usize, in_flight: usize, run: F) -> Gather<Q, A>
    where
        F: Fn(Vec<Q>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<A>, EngineError>> + Send + 'static,
    {
        let (calls, mut waiting) = mpsc::channel::<Call<Q, A>>(WAITING_MAX);
        let slots = Arc::new(Semaphore::new(in_flight));
        let run = Arc::new(run);
        tokio::spawn(async move {
            let mut before: Option<JoinHandle<()>> = None;
            while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
                let Some(first) = next(&mut waiting).await else { break };
                if let Some(before) = before.take() {
                    let _ = timeout(PATIENCE, before).await;
                }
                let mut items = first.0;
                let mut answers = vec![(items.len(), first.1)];
                while items.len() < items_max {
                    let Ok((more, answer)) = waiting.try_recv() else { break };
                    if answer.is_closed() {
                        continue;
                    }
                    answers.push((more.len(), answer));
                    items.extend(more);
                }
                let run = Arc::clone(&run);
                before = Some(tokio::spawn(async move {
                    let result = run(items).await;
                    drop(slot);
                    hand_out(result, answers);
                }));
            }
        });
        Gather { calls }
    }

    /// Hands in items and waits for their answers.
    ///
    /// # Errors
    /// Whatever the batch answers; [`EngineError::Unavailable`] when there is no answer in time; [`EngineError::Overloaded`]
    /// when too many wait; [`EngineError::Internal`] when it died.
    pub async fn call(&self, items: Vec<Q>) -> Result<Vec<A>, EngineError> {
        let (answer, answered) = oneshot::channel();
        self.calls.try_send((items, answer)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => EngineError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => EngineError::ShuttingDown,
        })?;
        let answered = timeout(ANSWER_WITHIN, answered).await.map_err(|_| EngineError::Unavailable)?;
        answered.map_err(|_| EngineError::Internal("a batch died".into()))?
    }
}

/// The next call whose caller is still there.
async fn next<Q, A>(waiting: &mut mpsc::Receiver<Call<Q, A>>) -> Option<Call<Q, A>> {
    loop {
        match waiting.recv().await {
            Some((_, answer)) if answer.is_closed() => {}
            call => return call,
        }
    }
}

fn hand_out<A>(result: Result<Vec<A>, EngineError>, answers: Vec<(usize, Answer<A>)>) {
    match result {
        Ok(all) => {
            let mut all = all.into_iter();
            for (count, answer) in answers {
                // A caller that went away does not matter.
                let _ = answer.send(Ok(all.by_ref().take(count).collect()));
            }
        }
        Err(error) => {
            for (_, answer) in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}
