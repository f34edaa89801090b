//! The least of HTTP: whether a server answers.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Whether `GET path` gets any answer from 127.0.0.1 but a server's error.
pub(crate) async fn answers(port: u16, path: &str) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(text)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(text)?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.map_err(text)?;
    // "HTTP/1.1 200"
    match String::from_utf8_lossy(&start[9..]).parse() {
        Ok(200..500) => Ok(()),
        Ok::<u16, _>(status) => Err(format!("answered {status}")),
        Err(_) => Err("did not answer in HTTP".into()),
    }
}
