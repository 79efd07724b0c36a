//! The cost of the first HTTPS request of a process: `cargo bench --bench https`.
//!
//! Each sample runs in its own process, because only the first handshake initializes root certificates, the client and random numbers.
//! Only the CPU time of that process is measured. The server runs in the parent process.
#![expect(clippy::print_stderr, clippy::panic, reason = "a benchmark prints its results on standard error, and panics when it fails")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Parser;
use riskgate_config::Config;
use riskgate_engine::{client_ip::ClientIp, evidence::Outcome, sign_in::SignIn};
use riskgate_event::http;
use riskgate_pipeline::enricher::Enricher;
use riskgate_runtime::clock;
use riskgate_runtime::{deadline::Deadline, mode::RuntimeMode};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// The number of processes. The result is the median.
const SAMPLES: usize = 15;

/// Measures the first HTTPS request of a process.
#[derive(Debug, Parser)]
struct Args {
    /// The file for the result.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Runs one sample. The arguments are the address of the server and its certificate in base64.
    #[arg(long, num_args = 2, hide = true)]
    sample: Option<Vec<String>>,
    /// Passed by cargo to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if let Some(sample) = &args.sample {
        let [address, certificate] = &sample[..] else { panic!("--sample ADDRESS CERTIFICATE") };
        let certificate = STANDARD.decode(certificate).expect("base64");
        print_nanos(time_first_request(address.parse().expect("an address"), certificate.into()));
        return;
    }
    let (address, certificate) = serve();
    let this = std::env::current_exe().expect("the path of the benchmark is known");
    let mut millis: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let output = Command::new(&this).args(["--sample", &address.to_string(), &STANDARD.encode(&certificate)]).output().expect("a sample runs");
            let nanos = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>();
            nanos.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))) / 1e6
        })
        .collect();
    millis.sort_by(f64::total_cmp);
    let median = millis[SAMPLES / 2];
    eprintln!("first HTTPS request: {median:.2} ms of CPU time [{:.2}..{:.2}]", millis[0], millis[SAMPLES - 1]);
    if let Some(path) = args.json {
        fs::write(path, format!("{{\"first_https_ms\": {median}}}")).expect("the result can be written");
    }
}

/// Returns the CPU time from the creation of the client to the first response of the provider, in nanoseconds.
fn time_first_request(address: SocketAddr, certificate: CertificateDer<'static>) -> u64 {
    let variables = [("RISKGATE_PROVIDERS", "http".to_owned()), ("RISKGATE_HTTP_URL", format!("https://localhost:{}/score", address.port()))];
    let (mut config, faults) = Config::read(&BTreeMap::from(variables.map(|(name, value)| (name.to_owned(), value))));
    assert!(faults.is_empty(), "{faults:?}");
    config.services.authorities.push(certificate);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let before = cpu_nanos();
    let (sources, _) = Enricher::open(&config, RuntimeMode::Lambda);
    let sign_in: SignIn = http::parse(br#"{"user":"ada","ip":"81.2.69.142"}"#, ClientIp::Missing, clock::read()).expect("a sign-in");
    let deadline = Deadline::after(sign_in.received.mono, Duration::from_secs(2));
    let evidence = runtime.block_on(sources.enrich(sign_in, deadline)).evidence;
    let after = cpu_nanos();
    assert_eq!(evidence.services[0].outcome, Outcome::Fresh);
    after - before
}

/// Returns the CPU time of all threads of this process, in nanoseconds.
fn cpu_nanos() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let stat = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task.ok()?.path().join("schedstat")).ok();
    tasks.filter_map(stat).filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok()).sum()
}

/// Starts a TLS server with a self-signed ECDSA certificate for `localhost`.
fn serve() -> (SocketAddr, CertificateDer<'static>) {
    let certified_key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = certified_key.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified_key.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("the key belongs to the certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    let address = listener.local_addr().expect("a listener has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            thread::spawn(move || serve_connection(stream, config));
        }
    });
    (address, certificate)
}

/// Responds to each request of a connection.
fn serve_connection(stream: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut request = [0; 4096];
    while stream.read(&mut request)? > 0 {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"score\": 7}")?;
        stream.flush()?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the parent process reads the result")]
fn print_nanos(nanos: u64) {
    println!("{nanos}");
}
