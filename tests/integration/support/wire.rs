//! A server on loopback that behaves over real TCP as a test prescribes, well or badly.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A server; it ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET /path?query`.
    pub line: String,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Answers, with these header lines.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// EnrichmentTimings, then does something else.
    After(Duration, Box<Act>),
    /// Sends nothing and keeps the connection open.
    Hang,
    /// Ends the connection in order, without a word.
    HangUp,
    /// Breaks the connection.
    Reset,
    /// Sends bytes as they are, then breaks the connection.
    RawThenReset(Vec<u8>),
    /// Sends bytes as they are, then ends the connection.
    RawThenHangUp(Vec<u8>),
    /// Sends bytes one by one, with a pause before each.
    Drip(Duration, Vec<u8>),
    /// Sends a head, then the same chunk for ever.
    Endless(Vec<u8>, Vec<u8>),
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: Mutex<Vec<Request>>,
}

impl Server {
    /// Starts a server that treats every request so.
    pub async fn start(treat: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Self {
        Self::listen(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port"), treat)
    }

    /// As `start`, on a port of the test's choice: a server that comes back.
    pub async fn start_at(address: SocketAddr, treat: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.bind(address).expect("the port is free again");
        Self::listen(socket.listen(1024).expect("listening"), treat)
    }

    fn listen(listener: TcpListener, treat: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Seen>::default();
        let (treat, shared) = (Arc::new(treat), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                while connections.try_join_next().is_some() {}
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let (treat, seen) = (Arc::clone(&treat), Arc::clone(&shared));
                connections.spawn(async move {
                    seen.open.fetch_add(1, Ordering::Relaxed);
                    let _ = serve(stream, &seen, treat.as_ref()).await;
                    seen.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Server { address, seen, task }
    }

    /// A server that answers everything with this JSON.
    pub async fn json(body: &'static str) -> Self {
        Self::start(move |_| json(200, body)).await
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().expect("the requests").clone()
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// The number of calls so far. A `HEAD` is not one: it only opens a connection.
    pub fn count(&self) -> usize {
        self.seen.requests.lock().expect("the requests").iter().filter(|request| !request.line.starts_with("HEAD ")).count()
    }

    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.seen.open.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A JSON answer.
pub fn json(status: u16, body: impl Into<String>) -> Act {
    Act::Answer(status, vec![("content-type", "application/json".to_owned())], body.into().into_bytes())
}

/// An answer of any status and headers.
pub fn answer(status: u16, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> Act {
    Act::Answer(status, headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), body.into())
}

async fn serve(mut stream: TcpStream, seen: &Seen, treat: &(impl Fn(&Request) -> Act + Send + Sync)) -> io::Result<()> {
    while let Some(request) = read(&mut stream).await? {
        let mut act = treat(&request);
        let is_head = request.line.starts_with("HEAD ");
        seen.requests.lock().expect("the requests").push(request);
        while let Act::After(pause, next) = act {
            tokio::time::sleep(pause).await;
            act = *next;
        }
        match act {
            Act::Answer(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\n");
                stream.write_all(&[head.into_bytes(), if is_head { Vec::new() } else { body }].concat()).await?;
            }
            Act::Hang => wait_for_end(&mut stream).await,
            Act::HangUp => return Ok(()),
            Act::Reset => return reset(stream),
            Act::RawThenReset(bytes) => {
                stream.write_all(&bytes).await?;
                // What was sent has to be on its way before the reset overtakes it.
                tokio::time::sleep(Duration::from_millis(20)).await;
                return reset(stream);
            }
            Act::RawThenHangUp(bytes) => return stream.write_all(&bytes).await,
            Act::Drip(pause, bytes) => {
                for byte in bytes {
                    tokio::time::sleep(pause).await;
                    stream.write_all(&[byte]).await?;
                }
            }
            Act::Endless(head, chunk) => {
                stream.write_all(&head).await?;
                loop {
                    stream.write_all(&chunk).await?;
                }
            }
            Act::After(..) => unreachable!("waited for above"),
        }
    }
    Ok(())
}

fn reset(stream: TcpStream) -> io::Result<()> {
    stream.set_zero_linger()?;
    drop(stream);
    Ok(())
}

async fn wait_for_end(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

/// Reads one request; `None` when the peer has ended the connection.
async fn read(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let mut request = Request { line, headers, body: String::new() };
    let length: usize = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    request.body = String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned();
    Ok(Some(request))
}
