//! `riskgate sessions`: lists and revokes the sessions of a user in an Amazon Cognito user pool.

use std::{io::Write as _, time::Duration};

use riskgate_aws::{
    json_call::CallError,
    user_pools::{UserPoolsClient, UserSession},
};
use riskgate_http_client::{Client, Tls};
use riskgate_runtime::{clock, mode::RuntimeMode};

use crate::commands::Failure;

/// Longest time to connect to Cognito.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Lists and revokes a user's sessions in a user pool with session tracking (experimental).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate sessions list --pool eu-west-1_AbCdEf --name ada
  riskgate sessions revoke --pool eu-west-1_AbCdEf --name ada --session tkna7b3c9d2e5f8g1h4j6k0m2n5p
  riskgate sessions revoke --pool eu-west-1_AbCdEf --name ada --all

It calls AdminListUserSessions and AdminRevokeUserSession with the AWS credentials of the environment. An address is printed to you only.")]
pub struct Args {
    #[command(subcommand)]
    action: SessionAction,
}

#[derive(Debug, clap::Subcommand)]
enum SessionAction {
    /// Prints the active sessions, one JSON object per line.
    List(UserArgs),
    /// Ends a session and those linked to it, or all.
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
struct UserArgs {
    /// The user pool's id.
    #[arg(long)]
    pool: String,
    #[command(flatten)]
    user: UserName,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct UserName {
    /// The account's `sub`, in a pool that signs in by e-mail or phone.
    #[arg(long)]
    sub: Option<String>,
    /// The user's name in the pool.
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
struct RevokeArgs {
    #[command(flatten)]
    user: UserArgs,
    #[command(flatten)]
    selection: SessionSelection,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct SessionSelection {
    /// The session's id, as `list` prints it.
    #[arg(long)]
    session: Option<String>,
    /// All of the user's sessions.
    #[arg(long)]
    all: bool,
}

/// Runs the command.
///
/// # Errors
///
/// Cognito refused the call or did not answer.
pub fn run(args: &Args) -> Result<(), Failure> {
    let client = UserPoolsClient::new(Client::new(CONNECT_TIMEOUT, RuntimeMode::Command, Tls::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    let lines = runtime.block_on(async {
        match &args.action {
            SessionAction::List(user) => {
                let sessions = client.list_sessions(&user.pool, user.user.text(), clock::read()).await?;
                Ok(sessions.iter().map(line).collect::<Vec<String>>())
            }
            SessionAction::Revoke(RevokeArgs { user, selection }) => {
                let ids: Vec<String> = match &selection.session {
                    Some(session) => vec![session.clone()],
                    None => {
                        client.list_sessions(&user.pool, user.user.text(), clock::read()).await?.into_iter().filter_map(|session| session.session_id).collect()
                    }
                };
                let mut lines = Vec::new();
                for id in ids {
                    match client.revoke_session(&user.pool, user.user.text(), &id, clock::read()).await {
                        // One that was linked to an earlier one has ended with it.
                        Err(error) if selection.all && error.name == "ResourceNotFoundException" => {}
                        result => result?,
                    }
                    lines.push(format!("revoked: {id}"));
                }
                Ok(lines)
            }
        }
    });
    let lines = lines.map_err(|error: CallError| {
        let problem = client.problem().map(|problem| format!(": {problem}")).unwrap_or_default();
        let name = if error.name.is_empty() { String::new() } else { format!(" ({})", error.name) };
        Failure::Run(format!("the call to Cognito failed: {}{name}{problem}", error.cause.as_label()))
    })?;
    // A closed pipe is not an error.
    lines.iter().for_each(|line| drop(writeln!(std::io::stdout(), "{line}")));
    Ok(())
}

fn line(session: &UserSession) -> String {
    serde_json::json!({
        "session": session.session_id, "type": session.session_type, "client": session.client_id, "created": session.create_date,
        "active": session.last_active_date, "ip": session.last_ip_address, "device": session.device_type, "origin": session.origin_session_id,
    })
    .to_string()
}

impl UserName {
    fn text(&self) -> &str {
        self.sub.as_deref().or(self.name.as_deref()).unwrap_or_default()
    }
}
