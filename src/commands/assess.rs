//! `riskgate assess`: assesses one sign-in and prints the verdict with its reasons.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::PathBuf,
    sync::Arc,
};

use crate::commands::{
    Failure,
    provider_check::{self, ProviderCheck},
    verdict_text::explain,
};
use riskgate_config::{Config, encoding, variables::most_similar};
use riskgate_engine::{client_ip::ClientIp, personal::RawEvent, service::Service, sign_in::SignIn};
use riskgate_event::{
    cognito::{self, Event},
    http,
    response::http::AssessmentJson,
};
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::{clock, mode::RuntimeMode};

/// The maximum size of an event in bytes, equal to the limit of Lambda.
const MAX_EVENT_SIZE: u64 = 6 * 1024 * 1024;

/// The fields of every Cognito event.
const COGNITO_FIELDS: [&str; 8] = ["version", "triggerSource", "region", "userPoolId", "userName", "callerContext", "request", "response"];

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputKind {
    CognitoEvent,
    SidecarRequest,
}

/// Assesses one sign-in and explains the verdict. Reads the history and writes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate assess event.json
  echo '{\"user\":\"ada\",\"ip\":\"8.8.8.8\"}' | riskgate assess - --json
  echo '{\"user\":\"ada\",\"ip\":\"8.8.8.8\"}' | riskgate assess - --provider ipqs

--provider tests the key of a new service.")]
pub struct Args {
    /// A Cognito event or a request of the sidecar, as JSON. `-` is standard input.
    #[arg(default_value = "-", value_name = "FILE")]
    file: PathBuf,
    /// Prints the assessment as JSON.
    #[arg(long)]
    json: bool,
    /// Queries only this one of PROVIDERS and shows how its answer is interpreted.
    #[arg(long, value_name = "NAME", value_parser = provider_check::parse_service)]
    provider: Option<Service>,
}

/// Runs the command.
///
/// # Errors
///
/// The input cannot be read, or the configuration is faulty.
pub fn run(args: &Args) -> Result<(), Failure> {
    let name = args.file.display().to_string();
    let bytes = read_input(args).map_err(|error| Failure::Run(format!("{name}: {error}")))?;
    let (mut config, faults) = crate::commands::read_config_with_secrets()?;
    if let Some(service) = args.provider {
        config.services.services.retain(|configured| configured.service() == service);
        if config.services.services.is_empty() {
            return Err(Failure::Usage(format!("RISKGATE_PROVIDERS does not name {}", service.as_label())));
        }
    }
    let instance = Instance::strict(config, faults, RuntimeMode::Command).map_err(|faults| Failure::Usage(faults.to_string()))?;
    let sign_in = match parse_sign_in(&bytes, &instance.config).map_err(|problem| Failure::Run(format!("{name}: {problem}")))? {
        Some(sign_in) => sign_in,
        None => {
            println!("not assessed: only pre-authentication events of a served pool are assessed; this event is returned unchanged");
            return Ok(());
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    let deadline = instance.engine.deadline(sign_in.received.mono, None);
    if args.provider.is_some() {
        let evidence = runtime.block_on(instance.engine.enricher().enrich(sign_in, deadline)).evidence;
        for (result, config) in evidence.services.iter().zip(&instance.config.services.services) {
            let check = ProviderCheck { result, config, last_response: instance.engine.enricher().last_response(result.service) };
            let _ = writeln!(std::io::stdout(), "{}", if args.json { check.to_json() } else { check.explain() });
        }
        runtime.shutdown_background();
        return Ok(());
    }
    let assessment = runtime.block_on(instance.engine.assess(sign_in, deadline));
    runtime.shutdown_background();
    let text =
        if args.json { String::from_utf8_lossy(&AssessmentJson(&assessment).to_bytes()).into_owned() } else { explain(&assessment, &instance.config.decision) };
    // A closed pipe is not an error.
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(())
}

fn read_input(args: &Args) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read_limited = |reader: &mut dyn Read, bytes: &mut Vec<u8>| reader.take(MAX_EVENT_SIZE + 1).read_to_end(bytes).map_err(|error| error.to_string());
    if args.file.as_os_str() == "-" {
        read_limited(&mut std::io::stdin().lock(), &mut bytes)?;
    } else {
        let mut file = std::fs::File::open(&args.file).map_err(|error| error.to_string())?;
        read_limited(&mut file, &mut bytes)?;
    }
    match bytes.len() as u64 {
        0 => Err("the input is empty; a Cognito event or the sidecar's JSON is expected".to_owned()),
        length if length > MAX_EVENT_SIZE => Err("the event is larger than 6 MiB, the limit of Lambda".to_owned()),
        _ => encoding::decode(bytes).map(String::into_bytes).map_err(|error| error.to_string()),
    }
}

/// Parses a Cognito event or a request of the sidecar. `None` for a Cognito event that is not assessed.
fn parse_sign_in(bytes: &[u8], config: &Config) -> Result<Option<SignIn>, String> {
    let received = clock::read();
    let raw: Box<serde_json::value::RawValue> = serde_json::from_slice(bytes).map_err(|error| format!("not JSON: {error}"))?;
    let fields: BTreeMap<String, &serde_json::value::RawValue> = serde_json::from_str(raw.get()).map_err(|_| "not a JSON object".to_owned())?;
    match input_kind(&fields.keys().map(String::as_str).collect::<Vec<_>>())? {
        InputKind::SidecarRequest => http::parse(raw.get().as_bytes(), ClientIp::Missing, received).map(Some).map_err(|bad| bad.to_string()),
        InputKind::CognitoEvent => match cognito::parse(RawEvent::new(raw), received, &config.trust).map_err(|bad| bad.to_string())? {
            Event::PreAuthentication(sign_in) => Ok(Some(Arc::unwrap_or_clone(sign_in))),
            Event::PostAuthentication(_)
            | Event::PreTokenGeneration(_)
            | Event::AuthChallenge(_)
            | Event::Authorize(_)
            | Event::NotHandled(_)
            | Event::QueueBatch(_)
            | Event::Check => Ok(None),
        },
    }
}

/// Recognizes an input by its fields. A misspelt field is an error: it would otherwise look like a missing claim, or a sidecar
/// request like an event that is not assessed.
fn input_kind(fields: &[&str]) -> Result<InputKind, String> {
    if fields.contains(&"triggerSource") || fields.contains(&"riskgate") {
        return Ok(InputKind::CognitoEvent);
    }
    let is_unknown = |field: &&&str| !http::FIELDS.contains(*field) && !COGNITO_FIELDS.contains(*field);
    let unknown = fields.iter().find(is_unknown).map(|field| match most_similar(field, http::FIELDS.into_iter().chain(COGNITO_FIELDS)) {
        Some(near) => format!("unknown field {field:?}; did you mean {near:?}?"),
        None => format!("unknown field {field:?}"),
    });
    let sidecar_fields = http::FIELDS.join(", ");
    match unknown {
        _ if fields.iter().any(|field| COGNITO_FIELDS.contains(field)) => {
            let unknown = unknown.map(|unknown| format!(": {unknown}")).unwrap_or_default();
            Err(format!("a Cognito event needs the field \"triggerSource\"{unknown}"))
        }
        Some(unknown) if fields.contains(&"user") => Err(format!("{unknown} (a sidecar request has the fields {sidecar_fields})")),
        Some(unknown) => Err(format!("neither a Cognito event (no \"triggerSource\") nor a sidecar request (no \"user\"): {unknown}")),
        None if fields.contains(&"user") => Ok(InputKind::SidecarRequest),
        None => Err("a sidecar request needs the field \"user\", a Cognito event \"triggerSource\"".to_owned()),
    }
}
