//! `riskgate watch`: the page, fed from an audit log, so that Lambda users watch it too.

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

use tokio::net::TcpListener;

use super::Failure;
use crate::{
    config::{Config, env::ProcessEnv},
    replay::rows::{Source, SourceError},
    score::Model,
    serve::{
        dashboard::{Dashboard, Feed, Settings},
        shutdown, sidecar,
    },
    telemetry::{subscriber, writer::LineWriter},
};

/// The longest line that is shown.
const LONGEST: usize = 64 * 1024;

/// How often a file is looked at for new lines.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Lines that may wait for the page; a reader that is faster waits.
const QUEUE: usize = 4096;

/// What every gzip member begins with (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What every zstd frame begins with (RFC 8878).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A file that ends only when it is replaced or cut.
struct Tail {
    path: PathBuf,
    file: File,
    /// Unset for what has to be read to its end.
    is_followed: Arc<AtomicBool>,
}

/// Shows the dashboard from an audit log: a file that may grow or be rotated, or standard input; in every wrapper, compression and encoding that `replay` reads.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  aws logs tail /aws/lambda/riskgate --follow --format short | riskgate watch -
  riskgate watch audit.jsonl --listen 127.0.0.1:8711

Thresholds and the budget that the page draws are RISKGATE_DENY_AT, RISKGATE_REVIEW_AT and RISKGATE_BUDGET of this process.")]
pub struct Args {
    /// An audit log; `-` is standard input.
    #[arg(default_value = "-", value_name = "FILE")]
    file: PathBuf,
    /// Address and port of the page; a loopback one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8710")]
    listen: SocketAddr,
}

/// Runs the command.
///
/// # Errors
///
/// A file that cannot be read, or an address that cannot be listened on.
pub fn run(args: &Args) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::Usage("--listen must be a loopback address".to_owned()));
    }
    let (config, faults) = Config::read(&ProcessEnv);
    if let Some(fault) = faults.first() {
        return Err(Failure::Usage(fault.to_string()));
    }
    subscriber::install(&config.telemetry);
    let name = args.file.display().to_string();
    let (lines, queue) = sync_channel(QUEUE);
    let source = if args.file.as_os_str() == "-" { "standard input".to_owned() } else { name.clone() };
    let settings = Settings::new(&config, &Model::bundled(&config.history), source);
    if args.file.as_os_str() == "-" {
        std::thread::spawn(move || told(&name, stream(io::stdin(), &AtomicBool::new(false), &lines).map(|_| ())));
    } else {
        let file = File::open(&args.file).map_err(|error| Failure::Run(format!("{name}: {error}")))?;
        let path = args.file.clone();
        std::thread::spawn(move || told(&name, follow(&path, file, &lines)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    runtime
        .block_on(async {
            let listener = TcpListener::bind(args.listen).await?;
            let address = listener.local_addr()?;
            // A terminal that is not read does not hold up the page.
            let out = LineWriter::stdout();
            out.write(format!("watch it at http://{address}/   (Ctrl-C ends it)\n").as_bytes());
            let page = Dashboard::start(settings, Feed::Log(queue));
            sidecar::serve_page(listener, page, &config.sidecar, shutdown::requested_or_hung_up()).await
        })
        .map_err(|error: io::Error| Failure::Run(format!("{}: {error}", args.listen)))
}

/// Tells how reading ended; the page stays up.
fn told(name: &str, ended: io::Result<()>) {
    if let Err(error) = ended {
        tracing::error!(file = name, error.kind = ?error.kind(), problem = %error, "the log cannot be read any further");
    }
}

/// Sends the events of a log until it ends, in whatever they are wrapped, compressed or encoded: what `replay` reads. `false` when the page is gone.
fn stream(input: impl Read + Send + 'static, is_followed: &AtomicBool, lines: &SyncSender<Arc<str>>) -> io::Result<bool> {
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
        // The page counts a line without an event, and needs no more of a longer one.
        let line = if event.len() <= LONGEST { event } else { String::new() };
        if lines.send(line.into()).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads a file and then what is added to it. A file that is replaced or cut is read from its new beginning; an archive ends.
fn follow(path: &Path, mut file: File, lines: &SyncSender<Arc<str>>) -> io::Result<()> {
    loop {
        let is_followed = Arc::new(AtomicBool::new(!is_archive(&mut file)?));
        let tail = Tail { path: path.to_owned(), file, is_followed: Arc::clone(&is_followed) };
        if !stream(tail, &is_followed, lines)? || !is_followed.load(Ordering::Relaxed) {
            return Ok(());
        }
        file = loop {
            match File::open(path) {
                // Between two rotations the name may be missing for a moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound => std::thread::sleep(LOOK_EVERY),
                opened => break opened?,
            }
        };
    }
}

/// Whether a file is compressed, by its first bytes.
fn is_archive(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.by_ref().take(4).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start.starts_with(&GZIP) || start == ZSTD)
}

impl Read for Tail {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.file.read(into)?;
            if read > 0 || !self.is_followed.load(Ordering::Relaxed) {
                return Ok(read);
            }
            std::thread::sleep(LOOK_EVERY);
            let Ok(now) = self.path.metadata() else { continue };
            let is_cut = now.len() < self.file.stream_position()?;
            if is_cut || !same_file(&now, &self.file.metadata()?) {
                // What was written just before the file was replaced, else the end.
                return if is_cut { Ok(0) } else { self.file.read(into) };
            }
        }
    }
}

#[cfg(unix)]
fn same_file(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
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
        stream(io::Cursor::new(input.to_vec()), &AtomicBool::new(false), &sender).expect("reads");
        drop(sender);
        let lines: Vec<Arc<str>> = receiver.iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn plain_and_gzipped_streams_are_read_and_overlong_lines_skipped() {
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
            stream(io::Cursor::new(input.clone()), &AtomicBool::new(false), &sender).expect("reads");
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
        std::thread::spawn(move || follow(&followed, file, &sender));
        assert_eq!(&*next(&lines), EVENT);
        log.write_all(&text[2..]).expect("writes");
        assert_eq!(&*next(&lines), EVENT);
    }

    fn next(lines: &Receiver<Arc<str>>) -> Arc<str> {
        lines.recv_timeout(Duration::from_secs(10)).expect("a line comes")
    }

    #[test]
    fn a_growing_file_is_followed_through_half_lines_and_rotation() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.jsonl");
        let mut log = File::create(&path).expect("creates");
        log.write_all(b"one\ntw").expect("writes");
        let (sender, lines) = sync_channel(64);
        let file = File::open(&path).expect("opens");
        let followed = path.clone();
        std::thread::spawn(move || follow(&followed, file, &sender));
        assert_eq!(&*next(&lines), "one");
        log.write_all(b"o\nthree\n").expect("writes");
        assert_eq!((&*next(&lines), &*next(&lines)), ("two", "three"));
        std::fs::rename(&path, dir.path().join("audit.jsonl.1")).expect("renames");
        std::fs::write(&path, "four\n").expect("writes");
        assert_eq!(&*next(&lines), "four");
    }
}
