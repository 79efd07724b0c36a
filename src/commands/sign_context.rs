//! `riskgate sign-context`: a signed client context, for tests and for backends to copy.

use std::{io::Write as _, path::PathBuf};

use jsonwebtoken::{Algorithm, EncodingKey};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::json;
use ulid::Ulid;

use super::Failure;
use crate::{
    config::context_key::ContextKey,
    event::{
        Now,
        context::{Claims, sign},
    },
};

/// Mints a signed client context, as a backend or an edge would, with a key of RISKGATE_CONTEXT_KEYS or a private key.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  export RISKGATE_CONTEXT_KEYS=k1:HS256:$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=')
  riskgate sign-context --pool eu-west-1_AbCdEf --client web --user ada --ip 8.8.8.8
  riskgate sign-context --pool eu-west-1_AbCdEf --client web --user ada --ip 8.8.8.8 --event | riskgate assess -
  riskgate sign-context --pool eu-west-1_AbCdEf --client web --ip 8.8.8.8 --kid edge1 --private-key edge1.pem

The claims and the same in Node and Python: docs/SIGNED_CONTEXT.md")]
pub struct Args {
    /// The user pool's id.
    #[arg(long)]
    pool: String,
    /// The app client's id.
    #[arg(long)]
    client: String,
    /// The person, by any name; without one the context is anybody's, once.
    #[arg(long)]
    user: Option<String>,
    /// The client's address.
    #[arg(long)]
    ip: Option<String>,
    /// The User-Agent header.
    #[arg(long)]
    user_agent: Option<String>,
    /// The id that the app keeps on the device.
    #[arg(long)]
    device_id: Option<String>,
    /// The Accept-Language header.
    #[arg(long)]
    accept_language: Option<String>,
    /// The device's time zone, such as Europe/Oslo.
    #[arg(long)]
    timezone: Option<String>,
    /// The key's id; the first HS256 key when left out.
    #[arg(long)]
    kid: Option<String>,
    /// A PKCS#8 private key (PEM), Ed25519 or P-256, whose public half RISKGATE_CONTEXT_KEYS holds under --kid.
    #[arg(long, value_name = "FILE", requires = "kid")]
    private_key: Option<PathBuf>,
    /// The whole Cognito event around it instead of the bare context.
    #[arg(long)]
    event: bool,
}

/// Runs the command.
///
/// # Errors
///
/// No key to sign with, or one that is faulty.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (config, faults) = super::configured()?;
    if let Some(fault) = faults.iter().find(|fault| fault.variable.starts_with("RISKGATE_CONTEXT_KEYS")) {
        return Err(Failure::Usage(fault.to_string()));
    }
    let token = mint(args, &config.trust.context_keys, Now::read()).map_err(Failure::Usage)?;
    let text = if args.event { event(args, &token) } else { token };
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(())
}

fn mint(args: &Args, keys: &[ContextKey], now: Now) -> Result<String, String> {
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
    let is_meant = |key: &&ContextKey| args.kid.as_ref().map_or(key.algorithm == Algorithm::HS256, |kid| *kid == key.kid);
    let key = keys.iter().find(is_meant).ok_or(
        "RISKGATE_CONTEXT_KEYS has no such HS256 key; make one with: printf 'k1:HS256:%s\\n' \"$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=')\"",
    )?;
    if key.algorithm != Algorithm::HS256 {
        return Err(format!("{} is a public key: give its private half with --private-key", key.kid));
    }
    let secret = key.key.try_get_as_bytes().map_err(|error| error.to_string())?;
    sign(&claims, &key.kid, Algorithm::HS256, &EncodingKey::from_secret(secret)).map_err(|error| error.to_string())
}

/// A pre-authentication event as Cognito would send it.
fn event(args: &Args, token: &str) -> String {
    json!({
        "version": "1", "triggerSource": "PreAuthentication_Authentication", "userPoolId": args.pool, "userName": args.user.as_deref().unwrap_or("ada"),
        "callerContext": { "awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": args.client },
        "request": { "userAttributes": {}, "validationData": { "riskgate": token } }, "response": {},
    })
    .to_string()
}
