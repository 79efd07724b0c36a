//! Services behind TLS: which certificates are accepted.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use riskgate_config::Config;
use riskgate_pipeline::enricher::Enricher;
use riskgate_runtime::{deadline::Deadline, mode::RuntimeMode};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{harness::sign_in, wire::Act};

/// A server behind TLS; it ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Who vouches for certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// When a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// From long ago until long from now.
    Current,
    /// Until the year 2001.
    Over,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    /// A certificate for a name or address, with its key.
    pub fn certificate(&self, name: &str, validity: Validity) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        if validity == Validity::Over {
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }

    /// Its own certificate, as `SERVICES_CA` wants it.
    pub fn pem(&self) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(self.0.der()))
    }
}

impl Server {
    /// Answers every request over TLS with a score of 1.
    pub async fn start((certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>)) -> Self {
        let config = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate and its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = [0; 4096];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"score\":1}";
                        let body = if request.starts_with(b"HEAD ") { 11 } else { 0 };
                        let _ = stream.write_all(&answer[..answer.len() - body]).await;
                        let _ = stream.flush().await;
                    }
                });
            }
        });
        Server { address, task }
    }

    /// Answers the first bytes of a handshake so.
    pub async fn pretending(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let act = act.clone();
                tokio::spawn(async move {
                    let mut hello = [0; 4096];
                    let _ = stream.read(&mut hello).await;
                    match act {
                        Act::RawThenHangUp(bytes) => {
                            let _ = stream.write_all(&bytes).await;
                        }
                        Act::HangUp => {}
                        Act::Reset => {
                            let _ = stream.set_zero_linger();
                        }
                        Act::RawThenReset(bytes) => {
                            let _ = stream.write_all(&bytes).await;
                            tokio::time::sleep(Duration::from_millis(20)).await;
                            let _ = stream.set_zero_linger();
                        }
                        Act::Drip(pause, bytes) => {
                            for byte in bytes {
                                tokio::time::sleep(pause).await;
                                let _ = stream.write_all(&[byte]).await;
                            }
                        }
                        Act::Endless(head, chunk) => {
                            let _ = stream.write_all(&head).await;
                            while stream.write_all(&chunk).await.is_ok() {
                                tokio::time::sleep(Duration::from_millis(5)).await;
                            }
                        }
                        _ => tokio::time::sleep(Duration::from_secs(60)).await,
                    }
                });
            }
        });
        Server { address, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://name:port`.
    pub fn origin(&self, name: &str) -> String {
        format!("https://{name}:{}", self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Looks up an address at a service with a certificate, trusting one authority.
async fn outcome(trusted: &Authority, certificate: (CertificateDer<'static>, PrivateKeyDer<'static>), name: &str) -> &'static str {
    let server = Server::start(certificate).await;
    let variables = [("PROVIDERS", "http".to_owned()), ("HTTP_URL", server.origin(name)), ("SERVICES_CA", trusted.pem())];
    let variables = variables.map(|(name, value)| (format!("RISKGATE_{name}"), value));
    let (config, faults) = Config::read(&std::collections::BTreeMap::from(variables));
    assert!(faults.is_empty(), "{faults:?}");
    let (sources, _) = Enricher::open(&config, RuntimeMode::Lambda);
    let sign_in = sign_in("8.8.8.8");
    let deadline = Deadline::after(sign_in.received.mono, Duration::from_secs(2));
    sources.enrich(sign_in, deadline).await.evidence.services[0].outcome.as_label()
}

#[tokio::test]
async fn only_a_valid_certificate_of_a_trusted_authority_for_the_name_is_accepted() {
    let (known, other) = (Authority::new(), Authority::new());
    assert_eq!(outcome(&known, known.certificate("localhost", Validity::Current), "localhost").await, "fresh");
    assert_eq!(outcome(&known, known.certificate("127.0.0.1", Validity::Current), "127.0.0.1").await, "fresh");
    assert_eq!(outcome(&known, known.certificate("localhost", Validity::Over), "localhost").await, "tls", "expired");
    assert_eq!(outcome(&known, known.certificate("risk.example", Validity::Current), "localhost").await, "tls", "another host's");
    assert_eq!(outcome(&known, other.certificate("localhost", Validity::Current), "localhost").await, "tls", "an unknown authority");
}
