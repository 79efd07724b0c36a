//! `riskgate watch`: shows the dashboard of an audit log, which also works for Lambda.

use std::{
    fs::File,
    io::{self, Read, Seek},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;

use crate::commands::{Failure, dashboard_link};
use riskgate_config::{Config, env::ProcessEnv};
use riskgate_engine::score::model::Model;
use riskgate_lab::rows::source::{Source, SourceError};
use riskgate_runtime::shutdown;
use riskgate_server::{
    dashboard::{Dashboard, Feed, Settings},
    sidecar,
};
use riskgate_telemetry::{subscriber, writer::LineWriter};

/// The maximum length of an event in bytes. Longer events are not shown.
const MAX_EVENT_LENGTH: usize = 64 * 1024;

/// The interval at which a file is checked for new lines.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// The maximum number of lines queued for the dashboard. A faster reader blocks.
const MAX_QUEUED_LINES: usize = 4096;

/// The first bytes of a gzip member (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The first bytes of a zstd frame (RFC 8878).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A reader of a file that waits for appended bytes. It ends when the file is replaced or truncated.
struct FollowedFile {
    path: PathBuf,
    file: File,
    /// If `false`, the reader ends at the end of the file.
    is_followed: Arc<AtomicBool>,
}

/// Shows the dashboard of an audit log. The log is standard input or a file, which may grow or be rotated.
/// It may have every wrapper, compression and encoding that `replay` reads.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  aws logs tail /aws/lambda/riskgate --follow --format short | riskgate watch -
  riskgate watch audit.jsonl --listen 127.0.0.1:8711

The printed link has a token that shows users and decisions; without it, the page shows aggregates. RISKGATE_DASHBOARD_VIEW_TOKEN sets the token.

Thresholds are those that the decisions name; for a log without them, RISKGATE_DENY_AT and RISKGATE_REVIEW_AT of this process. The budget is RISKGATE_BUDGET.")]
pub struct Args {
    /// An audit log. `-` is standard input.
    #[arg(default_value = "-", value_name = "FILE")]
    file: PathBuf,
    /// The loopback address and port of the dashboard.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8710")]
    listen: SocketAddr,
}

/// Runs the command.
///
/// # Errors
///
/// The file cannot be read, or the address cannot be bound.
pub fn run(args: &Args) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::Usage("--listen must be a loopback address".to_owned()));
    }
    let (mut config, faults) = Config::read(&ProcessEnv);
    if let Some(fault) = faults.first() {
        return Err(Failure::Usage(fault.to_string()));
    }
    subscriber::install(&config.telemetry);
    let name = args.file.display().to_string();
    let (lines, queue) = sync_channel(MAX_QUEUED_LINES);
    let source = if args.file.as_os_str() == "-" { "standard input".to_owned() } else { name.clone() };
    let settings = Settings::new(&config, &Model::bundled(config.history.model_config()), source);
    if args.file.as_os_str() == "-" {
        std::thread::spawn(move || log_read_error(&name, read_stream(io::stdin(), &AtomicBool::new(false), &lines).map(|_| ())));
    } else {
        let file = File::open(&args.file).map_err(|error| Failure::Run(format!("{name}: {error}")))?;
        let path = args.file.clone();
        std::thread::spawn(move || log_read_error(&name, follow_file(&path, file, &lines)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    runtime
        .block_on(async {
            let listener = TcpListener::bind(args.listen).await?;
            let address = listener.local_addr()?;
            // The writer does not block when the terminal is not read.
            let out = LineWriter::stdout();
            let link = dashboard_link::add_viewer(&mut config.dashboard, address);
            out.write(format!("dashboard: {link}   (Ctrl-C stops it)\n").as_bytes());
            let dashboard = Dashboard::start(settings, Feed::Log(queue), None);
            let access = Arc::new(ArcSwap::from_pointee(config.dashboard.clone()));
            sidecar::serve_dashboard(listener, dashboard, (&config.sidecar, access), shutdown::requested_or_hung_up()).await
        })
        .map_err(|error: io::Error| Failure::Run(format!("{}: {error}", args.listen)))
}

/// Logs an error of reading. The dashboard continues.
fn log_read_error(name: &str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(file = name, error.kind = ?error.kind(), problem = %error, "the audit log cannot be read");
    }
}

/// Sends the events of a log until it ends, in every wrapper, compression and encoding that `replay` reads. Returns `false` if the dashboard has stopped.
fn read_stream(input: impl Read + Send + 'static, is_followed: &AtomicBool, lines: &SyncSender<Arc<str>>) -> io::Result<bool> {
    let mut events = match Source::from_reader(input, String::new(), &[]) {
        Ok(source) => source.events()?,
        Err(SourceError::Empty) => return Ok(true),
        Err(SourceError::Io(error)) => return Err(error),
        Err(SourceError::Header(problem)) => return Err(io::Error::new(io::ErrorKind::InvalidData, problem)),
    };
    if events.waits_for_the_end() {
        is_followed.store(false, Ordering::Relaxed);
    }
    while let Some(event) = events.next_event()? {
        // The dashboard counts an empty line as a line without an event.
        let line = if event.len() <= MAX_EVENT_LENGTH { event } else { String::new() };
        if lines.send(line.into()).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads a file and the lines that are appended to it. A replaced or truncated file is read again from its start. A compressed file is read once.
fn follow_file(path: &Path, mut file: File, lines: &SyncSender<Arc<str>>) -> io::Result<()> {
    loop {
        let is_followed = Arc::new(AtomicBool::new(!is_compressed(&mut file)?));
        let followed = FollowedFile { path: path.to_owned(), file, is_followed: Arc::clone(&is_followed) };
        if !read_stream(followed, &is_followed, lines)? || !is_followed.load(Ordering::Relaxed) {
            return Ok(());
        }
        file = loop {
            match File::open(path) {
                // During a rotation the file may be missing for a moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound => std::thread::sleep(POLL_INTERVAL),
                opened => break opened?,
            }
        };
    }
}

/// Whether a file is compressed, by its first bytes.
fn is_compressed(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.by_ref().take(4).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start.starts_with(&GZIP_MAGIC) || start == ZSTD_MAGIC)
}

impl Read for FollowedFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.file.read(into)?;
            if read > 0 || !self.is_followed.load(Ordering::Relaxed) {
                return Ok(read);
            }
            std::thread::sleep(POLL_INTERVAL);
            let Ok(now) = self.path.metadata() else { continue };
            let is_truncated = now.len() < self.file.stream_position()?;
            if is_truncated || !is_same_file(&now, &self.file.metadata()?) {
                // A replaced file may have received more bytes just before it was replaced.
                return if is_truncated { Ok(0) } else { self.file.read(into) };
            }
        }
    }
}

#[cfg(unix)]
fn is_same_file(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use flate2::{Compression, write::GzEncoder};

    use std::io::Write as _;

    use super::*;

    #[track_caller]
    fn check(input: &[u8], expected: &[&str]) {
        let (sender, receiver) = sync_channel(64);
        read_stream(io::Cursor::new(input.to_vec()), &AtomicBool::new(false), &sender).expect("reads");
        drop(sender);
        let lines: Vec<Arc<str>> = receiver.iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn plain_and_gzipped_streams_are_read_and_long_lines_are_skipped() {
        check(b"one\ntwo", &["one", "two"]);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"one\ntwo\n").expect("writes");
        let member = gzip.finish().expect("ends");
        check(&[member.clone(), member].concat(), &["one", "two", "one", "two"]);
        let long = [vec![b'x'; 2_000_000], b"\nnext\n".to_vec()].concat();
        check(&long, &["next"]);
    }

    const EVENT: &str = r#"{"schema":1,"time":"2026-11-22T00:00:00.000Z","id":"x","decision":"deny","score":87.4,"user":"u"}"#;

    #[test]
    fn events_are_read_in_the_wrappers_and_encodings_of_replay() {
        let quoted = serde_json::to_string(EVENT).expect("JSON");
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(EVENT).expect("JSON")).expect("JSON");
        let utf16 = |mark: &[u8], bytes: fn(u16) -> [u8; 2]| [mark, &EVENT.encode_utf16().flat_map(bytes).collect::<Vec<u8>>()].concat();
        let subscription = format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":[{{"id":"1","timestamp":1,"message":{quoted}}}]}}"#);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(subscription.as_bytes()).expect("writes");
        let line = |text: String| text.into_bytes();
        for input in [
            line(format!("\u{feff}{EVENT}\r\n")),
            utf16(&[0xff, 0xfe], u16::to_le_bytes),
            utf16(&[0xfe, 0xff], u16::to_be_bytes),
            line(format!("{{\"log\":{quoted},\"stream\":\"stdout\",\"time\":\"2026-11-22T00:00:00Z\"}}\n")),
            line(format!("2026-11-22T00:00:00Z stdout F {EVENT}\n")),
            line(format!("@timestamp,@message\n2026-11-22,\"{}\"\n", EVENT.replace('"', "\"\""))),
            line(pretty),
            line(subscription),
            gzip.finish().expect("ends"),
        ] {
            let (sender, receiver) = sync_channel(64);
            read_stream(io::Cursor::new(input.clone()), &AtomicBool::new(false), &sender).expect("reads");
            drop(sender);
            let found: Vec<serde_json::Value> = receiver.iter().filter_map(|line| serde_json::from_str(&line).ok()).collect();
            assert_eq!(found, [serde_json::from_str::<serde_json::Value>(EVENT).expect("JSON")], "{}", String::from_utf8_lossy(&input));
        }
    }

    #[test]
    fn a_growing_file_in_utf_16_is_followed_event_by_event() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.jsonl");
        let mut log = File::create(&path).expect("creates");
        let text: Vec<u8> = format!("\u{feff}{EVENT}\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
        log.write_all(&text).expect("writes");
        let (sender, lines) = sync_channel(64);
        let (file, followed) = (File::open(&path).expect("opens"), path.clone());
        std::thread::spawn(move || follow_file(&followed, file, &sender));
        assert_eq!(&*next(&lines), EVENT);
        log.write_all(&text[2..]).expect("writes");
        assert_eq!(&*next(&lines), EVENT);
    }

    fn next(lines: &Receiver<Arc<str>>) -> Arc<str> {
        lines.recv_timeout(Duration::from_secs(10)).expect("a line arrives")
    }

    #[test]
    fn a_file_is_followed_through_incomplete_lines_and_rotation() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.jsonl");
        let mut log = File::create(&path).expect("creates");
        log.write_all(b"one\ntw").expect("writes");
        let (sender, lines) = sync_channel(64);
        let file = File::open(&path).expect("opens");
        let followed = path.clone();
        std::thread::spawn(move || follow_file(&followed, file, &sender));
        assert_eq!(&*next(&lines), "one");
        log.write_all(b"o\nthree\n").expect("writes");
        assert_eq!((&*next(&lines), &*next(&lines)), ("two", "three"));
        std::fs::rename(&path, dir.path().join("audit.jsonl.1")).expect("renames");
        std::fs::write(&path, "four\n").expect("writes");
        assert_eq!(&*next(&lines), "four");
    }
}
