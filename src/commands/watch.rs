//! `riskgate watch`: the page, fed from an audit log, so that Lambda users watch it too.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use flate2::bufread::MultiGzDecoder;
use tokio::net::TcpListener;

use super::Failure;
use crate::{
    config::{Config, env::ProcessEnv},
    score::Model,
    serve::{
        dashboard::{Dashboard, Feed, Settings},
        shutdown, sidecar,
    },
    telemetry::{subscriber, writer::LineWriter},
};

/// The longest line that is read; the rest of a longer one is skipped.
const LONGEST: u64 = 64 * 1024;

/// How often a file is looked at for new lines.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Lines that may wait for the page; a reader that is faster waits.
const QUEUE: usize = 4096;

/// What every gzip member begins with (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Shows the dashboard from an audit log: a file that may grow, be rotated or be gzipped, or standard input.
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
        std::thread::spawn(move || told(&name, stream(BufReader::new(io::stdin()), &lines)));
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
        tracing::error!(file = name, error.kind = ?error.kind(), "the log cannot be read any further");
    }
}

/// Reads to the end, gzipped or not.
fn stream(mut input: impl BufRead, lines: &SyncSender<Arc<str>>) -> io::Result<()> {
    let last = if is_gzip(input.fill_buf()?) { send_lines(&mut BufReader::new(MultiGzDecoder::new(input)), lines)? } else { send_lines(&mut input, lines)? };
    // The page may have gone meanwhile, and nobody is left to miss the line.
    let _ = lines.send(String::from_utf8_lossy(&last).into());
    Ok(())
}

/// Reads a file and then what is added to it. A file that is replaced or cut is read from its new beginning.
fn follow(path: &Path, file: File, lines: &SyncSender<Arc<str>>) -> io::Result<()> {
    let mut input = BufReader::new(file);
    if is_gzip(input.fill_buf()?) {
        return stream(input, lines);
    }
    let mut rest = Vec::new();
    loop {
        rest = send_lines(&mut BufReader::new(rest.chain(&mut input)), lines)?;
        std::thread::sleep(LOOK_EVERY);
        // Between two rotations the name may be missing for a moment.
        let Ok(now) = path.metadata() else { continue };
        let read = input.stream_position()?;
        if now.len() < read || !same_file(&now, &input.get_ref().metadata()?) {
            input = BufReader::new(File::open(path)?);
            rest = Vec::new();
        } else {
            input.seek(SeekFrom::Start(read))?;
        }
    }
}

/// Sends every whole line, and hands back one that has no end yet.
fn send_lines(input: &mut impl BufRead, lines: &SyncSender<Arc<str>>) -> io::Result<Vec<u8>> {
    loop {
        let mut line = Vec::new();
        input.take(LONGEST).read_until(b'\n', &mut line)?;
        match line.last() {
            None => return Ok(line),
            Some(b'\n') => {
                if lines.send(String::from_utf8_lossy(&line).into()).is_err() {
                    return Ok(Vec::new());
                }
            }
            Some(_) if line.len() as u64 == LONGEST => skip_line(input)?,
            Some(_) => return Ok(line),
        }
    }
}

/// Skips to the end of a line without keeping it.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (used, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        input.consume(used);
        if ended {
            return Ok(());
        }
    }
}

fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(&GZIP)
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
        stream(input, &sender).expect("reads");
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
        let long = [vec![b'x'; 200_000], b"\nnext\n".to_vec()].concat();
        check(&long, &["next"]);
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
        assert_eq!(&*next(&lines), "one\n");
        log.write_all(b"o\nthree\n").expect("writes");
        assert_eq!((&*next(&lines), &*next(&lines)), ("two\n", "three\n"));
        std::fs::rename(&path, dir.path().join("audit.jsonl.1")).expect("renames");
        std::fs::write(&path, "four\n").expect("writes");
        assert_eq!(&*next(&lines), "four\n");
    }
}
