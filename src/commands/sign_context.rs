//! `riskgate sign-context`: creates a signed client context, for tests and as an example for backends.

use std::{io::Write as _, path::PathBuf};

use jsonwebtoken::{Algorithm, EncodingKey};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::json;
use ulid::Ulid;

use crate::commands::Failure;
use riskgate_config::context_key::ContextKey;
use riskgate_engine::time::ClockReading;
use riskgate_event::signed_context::{Claims, sign};
use riskgate_runtime::clock;

/// Creates a signed client context, as a backend or an edge server does, with a key of RISKGATE_CONTEXT_KEYS or a private key.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  export RISKGATE_CONTEXT_KEYS=k1:HS256:$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=')
  riskgate sign-context --pool eu-west-1_AbCdEf --client web --user ada --ip 8.8.8.8
  riskgate sign-context --pool eu-west-1_AbCdEf --client web --event | riskgate assess -
  riskgate sign-context --pool eu-west-1_AbCdEf --client web --kid k2 --private-key k2.pem

docs/SIGNED_CONTEXT.md describes the claims and has examples in Node and Python.")]
pub struct Args {
    /// The user pool's id.
    #[arg(long)]
    pool: String,
    /// The app client's id.
    #[arg(long)]
    client: String,
    /// The user, by any name. Without it the context is valid once for any user.
    #[arg(long)]
    user: Option<String>,
    /// The client's IP address.
    #[arg(long)]
    ip: Option<String>,
    /// The User-Agent header.
    #[arg(long)]
    user_agent: Option<String>,
    /// The id that the app stores on the device.
    #[arg(long)]
    device_id: Option<String>,
    /// The Accept-Language header.
    #[arg(long)]
    accept_language: Option<String>,
    /// The device's time zone, such as Europe/Oslo.
    #[arg(long)]
    timezone: Option<String>,
    /// The key's id. The default is the first HS256 key.
    #[arg(long)]
    kid: Option<String>,
    /// A PKCS#8 private key (PEM), Ed25519 or P-256. RISKGATE_CONTEXT_KEYS contains its public key under --kid.
    #[arg(long, value_name = "FILE", requires = "kid")]
    private_key: Option<PathBuf>,
    /// Prints a complete Cognito event that contains the context.
    #[arg(long)]
    event: bool,
}

/// Runs the command.
///
/// # Errors
///
/// The signing key is missing or invalid.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (config, faults) = crate::commands::read_config_with_secrets()?;
    if let Some(fault) = faults.iter().find(|fault| fault.variable.starts_with("RISKGATE_CONTEXT_KEYS")) {
        return Err(Failure::Usage(fault.to_string()));
    }
    let token = create_context(args, &config.trust.context_keys, clock::read()).map_err(Failure::Usage)?;
    let text = if args.event { build_event(args, &token) } else { token };
    // A closed pipe is not an error.
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(())
}

fn create_context(args: &Args, keys: &[ContextKey], now: ClockReading) -> Result<String, String> {
    let millis = u64::try_from(now.wall.as_millisecond()).unwrap_or_default();
    let claims = Claims {
        aud: args.pool.clone(),
        client_id: args.client.clone(),
        sub: args.user.clone(),
        iat: now.wall.as_second(),
        exp: None,
        jti: Ulid::from_parts(millis, rand::random()).to_string(),
        ip: args.ip.clone(),
        user_agent: args.user_agent.clone(),
        device_id: args.device_id.clone(),
        accept_language: args.accept_language.clone(),
        timezone: args.timezone.clone(),
    };
    if let (Some(file), Some(kid)) = (&args.private_key, &args.kid) {
        let key = PrivatePkcs8KeyDer::from_pem_file(file).map_err(|_| format!("{} is not a PKCS#8 private key in PEM", file.display()))?;
        let key = key.secret_pkcs8_der();
        return sign(&claims, kid, Algorithm::EdDSA, &EncodingKey::from_ed_der(key))
            .or_else(|_| sign(&claims, kid, Algorithm::ES256, &EncodingKey::from_ec_der(key)))
            .map_err(|_| format!("{} is neither an Ed25519 nor a P-256 key", file.display()));
    }
    let is_selected = |key: &&ContextKey| args.kid.as_ref().map_or(key.algorithm == Algorithm::HS256, |kid| *kid == key.kid);
    let key = keys.iter().find(is_selected).ok_or(
        "RISKGATE_CONTEXT_KEYS has no matching HS256 key; create one with: printf 'k1:HS256:%s\\n' \"$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=')\"",
    )?;
    if key.algorithm != Algorithm::HS256 {
        return Err(format!("{} is a public key; pass the private key with --private-key", key.kid));
    }
    let secret = key.key.try_get_as_bytes().map_err(|error| error.to_string())?;
    sign(&claims, &key.kid, Algorithm::HS256, &EncodingKey::from_secret(secret)).map_err(|error| error.to_string())
}

/// A pre-authentication event as Cognito would send it.
fn build_event(args: &Args, token: &str) -> String {
    json!({
        "version": "1", "triggerSource": "PreAuthentication_Authentication", "userPoolId": args.pool, "userName": args.user.as_deref().unwrap_or("ada"),
        "callerContext": { "awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": args.client },
        "request": { "userAttributes": {}, "validationData": { "riskgate": token } }, "response": {},
    })
    .to_string()
}
