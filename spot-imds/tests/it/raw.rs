//! A listener that answers in bytes: what no HTTP server would say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What is sent after a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes; the connection stays open.
    Bytes(Vec<u8>),
    /// These bytes, then the connection is closed.
    Close(Vec<u8>),
    /// The connection is reset.
    Reset,
    /// These bytes, then one more every few milliseconds, for ever.
    Trickle(Vec<u8>),
    /// These bytes, then these again and again, as fast as they are taken.
    Flood(Vec<u8>, Vec<u8>),
}

/// A whole reply.
pub(crate) fn reply(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n");
    Reply::Bytes([head.as_bytes(), body.as_bytes()].concat())
}

type Answer = dyn Fn(&str) -> Reply + Send + Sync;

/// The listener; it ends with this value.
pub(crate) struct Listener {
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<Arc<Answer>>>,
    _tasks: JoinSet<()>,
}

impl Listener {
    /// Answers each request by its method and path, as in `GET /latest`.
    pub(crate) async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Mutex<Arc<Answer>>> = Arc::new(Mutex::new(Arc::new(answer)));
        let mut tasks = JoinSet::new();
        let shared = (
            Arc::clone(&connections),
            Arc::clone(&requests),
            Arc::clone(&answer),
        );
        tasks.spawn(async move {
            let (connections, requests, answer) = shared;
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
                open.spawn(async move {
                    let _ = serve(stream, &requests, &answer).await;
                });
            }
        });
        Self {
            url,
            connections,
            requests,
            answer,
            _tasks: tasks,
        }
    }

    pub(crate) fn change(&self, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Arc::new(answer);
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    requests: &Mutex<Vec<String>>,
    answer: &Mutex<Arc<Answer>>,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        // Requests have no body: one ends with an empty line.
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head: Vec<u8> = buffer.drain(..end).collect();
        let head = String::from_utf8_lossy(&head);
        let request = head.split(" HTTP").next().unwrap_or_default().to_owned();
        requests.lock().unwrap().push(request.clone());
        let answer = Arc::clone(&answer.lock().unwrap());
        match answer(&request) {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await?,
            Reply::Close(bytes) => return stream.write_all(&bytes).await,
            Reply::Reset => return stream.set_zero_linger(),
            Reply::Trickle(bytes) => {
                stream.write_all(&bytes).await?;
                loop {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    stream.write_all(b"x").await?;
                }
            }
            Reply::Flood(first, more) => {
                stream.write_all(&first).await?;
                loop {
                    stream.write_all(&more).await?;
                }
            }
        }
    }
}
