//! Group commit: requests gather while the previous batch is in flight; a lone request goes at once.

use std::{future::Future, sync::Arc};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::EngineError;

/// Requests that may wait; beyond, callers wait themselves.
const WAITING_MAX: usize = 4096;

type Answer<A> = oneshot::Sender<Result<Vec<A>, EngineError>>;
type Call<Q, A> = (Vec<Q>, Answer<A>);

/// Gathers batches of requests into larger ones. Every item has one answer, in order.
pub struct Gather<Q, A> {
    calls: mpsc::Sender<Call<Q, A>>,
}

impl<Q: Send + 'static, A: Send + 'static> Gather<Q, A> {
    /// Starts gathering: up to `items_max` items a batch (one call is never split), `in_flight` batches at once. `run`
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
            while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
                let Some(first) = waiting.recv().await else { break };
                let mut items = first.0;
                let mut answers = vec![(items.len(), first.1)];
                while items.len() < items_max {
                    let Ok((more, answer)) = waiting.try_recv() else { break };
                    answers.push((more.len(), answer));
                    items.extend(more);
                }
                let run = Arc::clone(&run);
                tokio::spawn(async move {
                    let result = run(items).await;
                    drop(slot);
                    hand_out(result, answers);
                });
            }
        });
        Gather { calls }
    }

    /// Hands in items and waits for their answers.
    ///
    /// # Errors
    /// Whatever the batch answers; [`EngineError::Internal`] when it died.
    pub async fn call(&self, items: Vec<Q>) -> Result<Vec<A>, EngineError> {
        let (answer, answered) = oneshot::channel();
        self.calls.send((items, answer)).await.map_err(|_| EngineError::ShuttingDown)?;
        answered.await.map_err(|_| EngineError::Internal("a batch died".into()))?
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
