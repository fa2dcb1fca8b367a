//! The only composition root: pool, engine, loops, services; the order in which they start and drain.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Server as GrpcServer, TcpIncoming};
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, trace::TraceLayer};

use crate::{
    config::{CONNECTIONS_MAX, ConfigError, ServerConfig},
    engine::{Engine, EngineError},
    grpc,
    store::{Store, StoreError},
};

/// How long calls under way may go on after the last stream is over.
const FINISH_MAX: Duration = Duration::from_secs(5);
/// How often health looks at the database.
const HEALTH_EVERY: Duration = Duration::from_secs(2);

/// How long it waits for an answer.
const HEALTH_MAX: Duration = Duration::from_secs(5);

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum AppError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// The engine.
    #[error("the engine: {0}")]
    Engine(#[from] EngineError),
    /// The address cannot be listened on.
    #[error("cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    /// The embedded descriptors.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The private PostgreSQL.
    #[error(transparent)]
    Embedded(#[from] crate::embedded::EmbeddedError),
    /// The private PostgreSQL ended by itself.
    #[error("the private PostgreSQL has died; its log is postgres.log in its directory")]
    EmbeddedDied,
    /// The server broke.
    #[error("the server: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// A server that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its engine.
    pub engine: Arc<Engine>,
    /// How long dialers have to go elsewhere when it stops.
    pub drain_within: Duration,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Running {
    /// Stops: dialers are told to go elsewhere and have `drain_within` for it, then streams end, calls under way finish, the
    /// replica leaves. Bounded by a deadline.
    ///
    /// # Errors
    /// [`AppError::Serve`] when the server had broken.
    pub async fn stop(self) -> Result<(), AppError> {
        self.engine.leave(self.drain_within);
        let _ = tokio::time::timeout(self.drain_within, self.engine.drained.cancelled()).await;
        self.stop.cancel();
        let served = tokio::time::timeout(FINISH_MAX, self.served).await;
        let left = tokio::time::timeout(FINISH_MAX, self.engine.store.leave_replica(self.engine.replica()));
        let left = left.await.unwrap_or_else(|_| Err(StoreError::no_answer()));
        if let Err(error) = left {
            tracing::warn!(%error, "the replica could not say goodbye; others take over in seconds");
        }
        match served {
            Ok(Ok(result)) => Ok(result?),
            // Calls that do not end, or a task that died: the process ends anyway.
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Waits until the server ends by itself, which it does only when it breaks.
    pub async fn ended(&mut self) {
        let _ = (&mut self.served).await;
    }
}

/// Starts a server on a database: migrates it, starts an engine, serves.
///
/// # Errors
/// [`AppError`].
pub async fn start(database_url: &str, config: ServerConfig) -> Result<Running, AppError> {
    let store = Store::new(database_url, CONNECTIONS_MAX)?;
    store.migrate().await?;
    let stop = CancellationToken::new();
    let engine = Engine::start(store, &config.fill, stop.clone()).await?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let health_service = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
    drop(health);
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    tokio::spawn(watch_health(Arc::clone(&engine), reporter, stop.clone()));
    let routes = grpc::routes(&engine, health_service)?;
    let listener = TcpListener::bind(config.listen).await?;
    let address = listener.local_addr()?;
    // Set here: the server's own option is ignored for connections that are handed to it, and Nagle's algorithm with delayed
    // acknowledgements makes a lone answer wait for 40 ms.
    let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
    let stopped = stop.clone();
    let served = tokio::spawn(async move {
        GrpcServer::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .layer(
                ServiceBuilder::new()
                    // A refusal is no failure; what is one is logged where it is answered.
                    .layer(TraceLayer::new_for_grpc().on_failure(()))
                    // A panic is a bug of one request: without this it would end its connection, and every stream on it.
                    .layer(CatchPanicLayer::custom(grpc::panicked))
                    .map_response(grpc::typed),
            )
            .add_routes(routes)
            .serve_with_incoming_shutdown(connections, async move { stopped.cancelled().await })
            .await
    });
    tracing::info!(%address, replica = engine.replica(), "serving");
    Ok(Running { address, engine, drain_within: config.drain_within, stop, served })
}

/// Each service is SERVING while the database answers; the process itself ("") always.
async fn watch_health(engine: Arc<Engine>, reporter: tonic_health::server::HealthReporter, stop: CancellationToken) {
    use tonic_health::ServingStatus::{NotServing, Serving};
    loop {
        let answers = tokio::time::timeout(HEALTH_MAX, engine.store.now()).await.is_ok_and(|answer| answer.is_ok());
        let serving = if answers && !engine.leaving() { Serving } else { NotServing };
        for service in ["dialplane.v1.CampaignService", "dialplane.v1.SchedulerService"] {
            reporter.set_service_status(service, serving).await;
        }
        tokio::select! {
            () = stop.cancelled() => {
                for service in ["dialplane.v1.CampaignService", "dialplane.v1.SchedulerService"] {
                    reporter.set_service_status(service, NotServing).await;
                }
                return;
            }
            () = tokio::time::sleep(HEALTH_EVERY) => {}
        }
    }
}

/// Brings a database to this binary's schema.
///
/// # Errors
/// [`AppError::Store`].
pub async fn migrate(database_url: &str) -> Result<(), AppError> {
    Ok(Store::new(database_url, 1)?.migrate().await?)
}

/// Serves until `stopping` is done.
///
/// # Errors
/// [`AppError`].
pub async fn serve(
    database_url: &str,
    config: ServerConfig,
    stopping: impl Future<Output = ()>,
) -> Result<(), AppError> {
    let mut running = start(database_url, config).await?;
    tokio::select! {
        () = stopping => tracing::info!("stopping"),
        () = running.ended() => {}
    }
    running.stop().await
}
