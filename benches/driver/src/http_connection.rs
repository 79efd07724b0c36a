//! A minimal blocking HTTP/1.1 connection for loopback.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

/// A connection with a read buffer.
pub struct HttpConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The first line and the body of a message.
pub struct Message {
    /// The method and path of a request, or the status code of a response.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpConnection {
    /// Creates a connection over a stream.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(HttpConnection { stream, buffer: Vec::with_capacity(8192) })
    }

    /// Writes the bytes of a message.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads a request. `None` if the peer has closed the connection.
    pub fn read_request(&mut self) -> io::Result<Option<Message>> {
        self.read_message(|bytes, headers| {
            let mut request = httparse::Request::new(headers);
            let httparse::Status::Complete(end) = request.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
            Ok(Some((format!("{} {}", request.method.unwrap_or_default(), request.path.unwrap_or_default()), end, Framing::of(request.headers))))
        })
    }

    /// Reads a response. `None` if the peer has closed the connection.
    pub fn read_response(&mut self) -> io::Result<Option<Message>> {
        self.read_message(|bytes, headers| {
            let mut response = httparse::Response::new(headers);
            let httparse::Status::Complete(end) = response.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
            Ok(Some((response.code.unwrap_or_default().to_string(), end, Framing::of(response.headers))))
        })
    }

    fn read_message(
        &mut self,
        parse: impl for<'b> Fn(&'b [u8], &mut [httparse::Header<'b>; 64]) -> io::Result<Option<(String, usize, Framing)>>,
    ) -> io::Result<Option<Message>> {
        loop {
            if let Some((head, end, framing)) = parse(&self.buffer, &mut [httparse::EMPTY_HEADER; 64])? {
                self.buffer.drain(..end);
                let body = match framing {
                    Framing::Length(length) => self.read_exact(length)?,
                    Framing::Chunked => self.read_chunks()?,
                };
                return Ok(Some(Message { head, body }));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let (start, size) = loop {
                match httparse::parse_chunk_size(&self.buffer).map_err(|_| io::Error::other("invalid chunk size"))? {
                    httparse::Status::Complete(found) => break found,
                    httparse::Status::Partial if self.fill()? == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    httparse::Status::Partial => {}
                }
            };
            self.buffer.drain(..start);
            let size = usize::try_from(size).map_err(io::Error::other)?;
            let chunk = self.read_exact(size + 2)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    fn read_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 8192];
        let read = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(read)
    }
}

/// How the length of a body is given.
enum Framing {
    Length(usize),
    Chunked,
}

impl Framing {
    fn of(headers: &[httparse::Header<'_>]) -> Self {
        let value = |name: &str| headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).and_then(|header| str::from_utf8(header.value).ok());
        if value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Framing::Chunked;
        }
        Framing::Length(value("content-length").and_then(|length| length.trim().parse().ok()).unwrap_or(0))
    }
}
