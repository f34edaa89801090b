//! The least of HTTP on loopback: whether a server answers, and what.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// More than this is not read.
const MOST: u64 = 1 << 20;

/// Whether `GET path` gets any answer from 127.0.0.1 but a server's error.
pub(crate) async fn answers(port: u16, path: &str) -> Result<(), String> {
    match request(port, "GET", path, &[]).await {
        Ok((200..500, _)) => Ok(()),
        Ok((status, body)) => Err(format!("answered {status} {body}")),
        Err(error) => Err(error.to_string()),
    }
}

/// One request on a connection of its own; status and body.
///
/// # Errors
/// When nothing listens there, or what it answers is not HTTP.
pub async fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n");
    for (name, value) in headers {
        head.extend([*name, ": ", *value, "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    // "HTTP/1.0 200 OK", headers, an empty line, the body.
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status
        .map(|status| (status, body.to_owned()))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no answer in HTTP"))
}
