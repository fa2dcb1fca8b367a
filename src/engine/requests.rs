//! Mutations that answer a repeated request_id alike.

use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};

use super::{Engine, EngineError};
use crate::store::{
    StoreError, Transaction,
    requests::{self, RequestKey, Seen},
};

/// What a mutation answers, and what must be done once it is durable.
pub struct Done<T, A = ()> {
    /// The answer; kept for the request_id.
    pub answer: T,
    /// For the caller alone; `None` when the answer is an old one.
    pub aftermath: Option<A>,
}

impl Engine {
    /// What was answered to this request before, if it was.
    ///
    /// # Errors
    /// [`EngineError::RequestReused`]; [`EngineError::Unavailable`].
    pub(crate) async fn answered<T: DeserializeOwned>(
        &self,
        request: Option<RequestKey>,
    ) -> Result<Option<T>, EngineError> {
        let Some(key) = request else { return Ok(None) };
        match self.store.seen(&key).await? {
            Seen::New => Ok(None),
            Seen::Reused => Err(EngineError::RequestReused),
            Seen::Answered(bytes) => Ok(Some(kept(&bytes)?)),
        }
    }

    /// Runs a mutation in a transaction, or answers what it answered before. A deadlock has it run again.
    ///
    /// # Errors
    /// [`EngineError::RequestReused`]; whatever the mutation answers.
    pub(crate) async fn mutate<T, A, F>(&self, request: Option<RequestKey>, work: F) -> Result<Done<T, A>, EngineError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        A: Send + 'static,
        F: for<'a> Fn(&'a Transaction<'a>) -> BoxFuture<'a, Result<(T, A), EngineError>>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let mut tries = 0;
        loop {
            let work = work.clone();
            let done = self
                .store
                .transaction(move |tx| {
                    Box::pin(async move {
                        if let Some(key) = &request {
                            match requests::claim(tx, key).await.map_err(Failure::from)? {
                                Seen::New => {}
                                Seen::Reused => return Err(Failure::Refused(EngineError::RequestReused)),
                                Seen::Answered(bytes) => {
                                    let answer = kept(&bytes).map_err(Failure::Refused)?;
                                    return Ok(Done { answer, aftermath: None });
                                }
                            }
                        }
                        let (answer, aftermath) = work(tx).await.map_err(Failure::Refused)?;
                        if let Some(key) = &request {
                            let bytes = serde_json::to_vec(&answer).map_err(|error| {
                                Failure::Refused(EngineError::Internal(format!("an answer to keep: {error}")))
                            })?;
                            requests::answer(tx, key, &bytes).await.map_err(Failure::from)?;
                        }
                        Ok(Done { answer, aftermath: Some(aftermath) })
                    })
                })
                .await;
            match done {
                Ok(done) => return Ok(done),
                Err(Failure::Refused(EngineError::Again) | Failure::Store(StoreError::Again))
                    if tries < super::TRIES_MAX =>
                {
                    tries += 1;
                }
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Store(error)) => return Err(error.into()),
            }
        }
    }
}

fn kept<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(bytes).map_err(|error| EngineError::Internal(format!("a kept answer: {error}")))
}

/// A refusal of the mutation, or a failure around it.
enum Failure {
    Refused(EngineError),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}
