//! An import against a server that breaks off, over a real connection.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures::{future::BoxFuture, stream::BoxStream};
use indicatif::ProgressBar;
use tokio::net::TcpListener;
use tokio_stream::{StreamExt as _, wrappers::TcpListenerStream};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    codegen::http,
    server::{Grpc, NamedService, StreamingService},
    transport::Server,
};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    Error,
    client::connect,
    csv_import::CsvSource,
    import_stream::{ImportOptions, Summary, import},
};
use crate::pb::{DuplicateAction, ImportLeadsRequest, ImportLeadsResponse, RefusedRow, RefusedRowCode};

/// Keeps the contract of ImportLeads, and breaks the stream without an answer after each chunk named in `breaks`.
#[derive(Clone, Default)]
struct FakeServer {
    answers: Arc<Mutex<HashMap<i64, ImportLeadsResponse>>>,
    breaks: Arc<Mutex<Vec<i64>>>,
}

impl FakeServer {
    fn take(&self, chunk: &ImportLeadsRequest) -> Result<ImportLeadsResponse, Status> {
        let mut answers = self.answers.lock().expect("no panic before");
        let through_seq = answers.len() as i64;
        if chunk.seq > through_seq + 1 {
            return Err(Status::failed_precondition("a chunk is missing"));
        }
        let bad = |number: &str| !number.starts_with('+');
        let refused = (0..).zip(&chunk.leads).filter(|(_, lead)| bad(&lead.number)).map(|(row, _)| RefusedRow {
            row,
            reason: "number: not a phone number".into(),
            code: RefusedRowCode::BadNumber.into(),
            lead_id: String::new(),
        });
        let refused: Vec<_> = refused.collect();
        let created = (chunk.leads.len() - refused.len()) as i32;
        let seq = chunk.seq;
        let answer = ImportLeadsResponse { through_seq: through_seq.max(seq), seq, created, updated: 0, refused };
        let answer = answers.entry(seq).or_insert(answer).clone();
        let mut breaks = self.breaks.lock().expect("no panic before");
        match breaks.iter().position(|at| *at == seq) {
            Some(index) => {
                breaks.remove(index);
                let soon = ErrorDetails::with_retry_info(Some(Duration::from_millis(1)));
                Err(Status::with_error_details(Code::Unavailable, "broken on purpose", soon))
            }
            None => Ok(answer),
        }
    }
}

impl StreamingService<ImportLeadsRequest> for FakeServer {
    type Response = ImportLeadsResponse;
    type ResponseStream = BoxStream<'static, Result<ImportLeadsResponse, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<ImportLeadsRequest>>) -> Self::Future {
        let server = self.clone();
        let answers = request.into_inner().map(move |chunk| server.take(&chunk?));
        Box::pin(async move { Ok(Response::new(Box::pin(answers) as Self::ResponseStream)) })
    }
}

impl tower::Service<http::Request<Body>> for FakeServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).streaming(server, request).await) })
    }
}

impl NamedService for FakeServer {
    const NAME: &'static str = "dialplane.v1.CampaignService";
}

/// Imports 1,000 rows in chunks of 50, every hundredth of them bad.
async fn imported(breaks: Vec<i64>) -> (Result<Summary, Error>, usize) {
    let server = FakeServer { breaks: Arc::new(Mutex::new(breaks)), ..FakeServer::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let incoming = TcpListenerStream::new(listener);
    let serving = tokio::spawn(Server::builder().add_service(server.clone()).serve_with_incoming(incoming));
    let rows = (0..1_000).map(|row| if row % 100 == 7 { "bad\n".to_owned() } else { format!("+{row}\n") });
    let file = format!("number\n{}", rows.collect::<String>());
    let source = CsvSource::open(file.as_bytes(), b',', &[], 50).expect("readable");
    let refused_file = std::env::temp_dir().join(format!("dialplane-import-{}.csv", uuid::Uuid::new_v4()));
    let options = ImportOptions {
        campaign_id: "c".into(),
        import_id: "i".into(),
        on_duplicate: DuplicateAction::Report,
        refused_file: refused_file.clone(),
    };
    let clients = connect(&address.to_string()).await.expect("connected");
    let summary = import(clients.campaigns, source, options, &ProgressBar::hidden()).await;
    serving.abort();
    let lines = std::fs::read_to_string(&refused_file).expect("written").lines().count();
    std::fs::remove_file(&refused_file).expect("removable");
    (summary, lines)
}

#[tokio::test]
async fn an_import_goes_on_after_broken_streams_and_counts_each_row_once() {
    for breaks in [vec![], vec![1], vec![20], vec![3, 3, 4, 11, 19]] {
        let (summary, lines) = imported(breaks.clone()).await;
        let summary = summary.expect("imported");
        assert_eq!((summary.rows, summary.created, summary.refused), (1_000, 990, 10), "broken at {breaks:?}");
        assert_eq!(summary.refused_rows[1].line, 109);
        assert_eq!(lines, 11);
    }
}

#[tokio::test]
async fn an_import_gives_up_after_some_failures_in_a_row_and_says_how_to_go_on() {
    let (summary, _) = imported(vec![5; 100]).await;
    let Err(Error::ImportBroken { import_id, through_seq, .. }) = summary else { panic!("it should have given up") };
    assert_eq!((import_id.as_str(), through_seq), ("i", 4));
}
