//! A receiver that fails in every way before it takes an alert.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    serve::Listener,
};
use hmac::{Hmac, Mac};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::support::{SECRET, alert, certificates, run};

/// What the receiver does with a request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Status(u16),
    Busy { secs: u64 },
    Redirect,
    Hang,
}

#[derive(Clone, Debug)]
struct Request {
    path: String,
    headers: HeaderMap,
    body: String,
}

/// Requests received, and answers to give in order; then 204.
#[derive(Debug, Default)]
struct Receiver {
    requests: Mutex<Vec<Request>>,
    answers: Mutex<Vec<Answer>>,
}

impl Receiver {
    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    receiver.requests.lock().unwrap().push(Request { path: uri.path().to_owned(), headers, body });
    let answer = {
        let mut answers = receiver.answers.lock().unwrap();
        if answers.is_empty() { Answer::Status(204) } else { answers.remove(0) }
    };
    match answer {
        Answer::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
        Answer::Busy { secs } => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, secs.to_string())]).into_response()
        }
        Answer::Redirect => (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
        Answer::Hang => std::future::pending().await,
    }
}

async fn serve(answers: Vec<Answer>) -> (SocketAddr, Arc<Receiver>) {
    let receiver = Arc::new(Receiver { answers: Mutex::new(answers), ..Receiver::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(receive).with_state(Arc::clone(&receiver));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, receiver)
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.get(name).unwrap().to_str().unwrap()
}

/// What a receiver does to know that the request is ours.
fn assert_signed(request: &Request) {
    let signature = header(request, "x-fleetward-signature");
    let (time, digest) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.{}", request.body).as_bytes());
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, expected);
}

#[tokio::test]
async fn is_tried_through_every_failure_with_one_id_and_a_good_signature() {
    let folder = tempfile::tempdir().unwrap();
    let answers = vec![
        Answer::Status(500),
        Answer::Hang,
        Answer::Busy { secs: 1 },
        Answer::Redirect,
        Answer::Status(404),
    ];
    let (address, receiver) = serve(answers).await;
    let running = run(
        folder.path(),
        &format!(
            "outbox = {{ retry_first_ms = 1, retry_max_secs = 1 }}\n\
             [webhook.ops]\nurl = \"http://{address}/hook\"\nsecret = {{ env = \"S\" }}\ntimeout_secs = 1"
        ),
    );
    let alert = alert("pump-17");
    running.send(std::slice::from_ref(&alert));
    running.settled().await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 6);
    for request in &requests {
        assert_eq!(request.path, "/hook", "redirects are not followed");
        assert_eq!(header(request, "x-fleetward-id"), alert.id());
        assert_eq!(header(request, "content-type"), "application/json");
        assert_eq!(request.body, requests[0].body);
        assert_signed(request);
    }
    let body: Value = serde_json::from_str(&requests[0].body).unwrap();
    assert_eq!(body["title"], "in-alarm: pumps/quiet on pump-17");
    assert_eq!(body["responses"][0]["text"], "`quarantine` is being carried out");
    assert_eq!(running.outbox.stats()[0].retried_total, 5);
}

#[tokio::test]
async fn what_the_receiver_refuses_is_a_dead_letter_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (address, receiver) = serve(vec![Answer::Status(422)]).await;
    let running = run(folder.path(), &format!("[webhook.ops]\nurl = \"http://{address}/\""));
    running.send(&[alert("pump-17")]);
    running.settled().await;
    assert_eq!(receiver.requests().len(), 1);
    let letters = running.outbox.dead_letters(10).unwrap();
    assert_eq!(letters[0].reason, "the receiver answered 422");
}

#[tokio::test]
async fn the_aws_form_is_what_a_consumer_of_sns_messages_reads() {
    let folder = tempfile::tempdir().unwrap();
    let (address, receiver) = serve(vec![]).await;
    let running =
        run(folder.path(), &format!("[webhook.sns]\nurl = \"http://{address}/\"\nformat = \"aws\""));
    running.send(&[alert("pump-17")]);
    running.settled().await;
    let requests = receiver.requests();
    let body: Value = serde_json::from_str(&requests[0].body).unwrap();
    let expected = json!({
        "violationEventTime": 1_735_690_200_000_i64,
        "thingName": "pump-17",
        "behavior": {"criteria": {"value": {"count": 50}, "durationSeconds": 300, "comparisonOperator": "less-than-equals"}, "name": "quiet", "metric": "aws:num-messages-sent"},
        "violationEventType": "in-alarm",
        "metricValue": {"count": 212},
        "violationId": "5be0c1f2a3d4e5f60718293a4b5c6d7e",
        "securityProfileName": "pumps"
    });
    assert_eq!(body, expected);
    assert!(!requests[0].headers.contains_key("x-fleetward-signature"), "no secret, no signature");
}

#[tokio::test]
async fn an_outage_across_a_restart_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // A port that nobody listens on.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let options = format!(
        "outbox = {{ retry_first_ms = 1, retry_max_secs = 1 }}\n[webhook.ops]\nurl = \"http://{address}/\""
    );
    let before = run(folder.path(), &options);
    let alerts: Vec<_> = (1..=20).map(|n| alert(&"x".repeat(n))).collect();
    before.send(&alerts);
    crate::support::until("it was tried", || before.outbox.stats()[0].retried_total > 1).await;
    before.workers.stop(Duration::from_secs(5)).await;
    drop(before.outbox);

    let receiver = Arc::new(Receiver::default());
    let listener = TcpListener::bind(address).await.unwrap();
    let router = Router::new().fallback(receive).with_state(Arc::clone(&receiver));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let after = run(folder.path(), &options);
    after.settled().await;
    let mut got: Vec<_> =
        receiver.requests().iter().map(|request| header(request, "x-fleetward-id").to_owned()).collect();
    got.sort();
    got.dedup();
    let mut sent: Vec<_> = alerts.iter().map(|alert| alert.id().to_owned()).collect();
    sent.sort();
    assert_eq!(got, sent);
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

async fn serve_tls(folder: &Path) -> (SocketAddr, Arc<Receiver>) {
    certificates(folder);
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(folder.join("cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let receiver = Arc::new(Receiver::default());
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let router = Router::new().fallback(receive).with_state(Arc::clone(&receiver));
    let listener = TlsListener { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) };
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, receiver)
}

#[tokio::test]
async fn https_is_checked_against_the_trusted_cas() {
    let folder = tempfile::tempdir().unwrap();
    let (address, receiver) = serve_tls(folder.path()).await;
    let ca = folder.path().join("ca.pem");
    let running = run(
        folder.path(),
        &format!(
            "outbox = {{ attempts_max = 1 }}\n\
             [webhook.public]\nurl = \"https://localhost:{port}/public\"\n\
             [webhook.own]\nurl = \"https://localhost:{port}/own\"\nca_file = \"{ca}\"",
            port = address.port(),
            ca = ca.display()
        ),
    );
    running.send(&[alert("pump-17")]);
    running.settled().await;
    let paths: Vec<_> = receiver.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/own"]);
    let letters = running.outbox.dead_letters(10).unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.contains("invalid peer certificate: UnknownIssuer"), "{}", letters[0].reason);
    assert!(!letters[0].reason.contains("/public"), "the URL may hold a token");
}
