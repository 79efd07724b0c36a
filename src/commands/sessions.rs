//! `riskgate sessions`: lists and revokes the sessions of a user in an Amazon Cognito user pool.

use std::{io::Write as _, time::Duration};

use riskgate_aws::{
    json_call::CallError,
    user_pools::{UserPoolsClient, UserSession},
};
use riskgate_http_client::{Client, Tls};
use riskgate_runtime::{clock, mode::RuntimeMode};

use crate::commands::{Failure, user_name::UserName};

/// The most pages of sessions that are read: more than a pool allows.
const MAX_PAGES: usize = 40;

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

/// Runs the command. Each line is printed as soon as it is known.
///
/// # Errors
///
/// Cognito refused a call or did not answer.
pub fn run(args: &Args) -> Result<(), Failure> {
    let client = UserPoolsClient::new(Client::new(CONNECT_TIMEOUT, RuntimeMode::Command, Tls::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Failure::Run(error.to_string()))?;
    runtime.block_on(async {
        match &args.action {
            SessionAction::List(user) => {
                let listed = list(&client, user).await?;
                listed.iter().for_each(|session| print_line(&line(session)));
                Ok(())
            }
            SessionAction::Revoke(RevokeArgs { user, selection: SessionSelection { session: Some(session), .. } }) => {
                let revoked = client.revoke_session(&user.pool, user.user.text(), session, clock::read()).await;
                revoked.map_err(|error| failure(&client, &error))?;
                print_line(&format!("revoked: {session}"));
                Ok(())
            }
            SessionAction::Revoke(RevokeArgs { user, .. }) => revoke_all(&client, user).await,
        }
    })
}

/// The sessions of a user. If there are more than can be read, a line on standard error says so.
async fn list(client: &UserPoolsClient, user: &UserArgs) -> Result<Vec<UserSession>, Failure> {
    let listed = client.list_sessions(&user.pool, user.user.text(), MAX_PAGES, clock::read()).await.map_err(|error| failure(client, &error))?;
    if !listed.is_complete {
        let _ = writeln!(std::io::stderr(), "there are more than these {} sessions: revoke some and repeat the command", listed.sessions.len());
    }
    Ok(listed.sessions)
}

/// Revokes every session that is listed. A failure does not stop the others.
async fn revoke_all(client: &UserPoolsClient, user: &UserArgs) -> Result<(), Failure> {
    let listed = list(client, user).await?;
    let (mut failed, total) = (0_usize, listed.len());
    for id in listed.into_iter().filter_map(|session| session.session_id) {
        match client.revoke_session(&user.pool, user.user.text(), &id, clock::read()).await {
            Ok(()) => print_line(&format!("revoked: {id}")),
            Err(error) if error.name == "ResourceNotFoundException" => print_line(&format!("ended with an earlier one: {id}")),
            Err(error) => {
                failed += 1;
                let _ = writeln!(std::io::stderr(), "not revoked: {id}: {}", describe(client, &error));
            }
        }
    }
    if failed > 0 { Err(Failure::Run(format!("{failed} of {total} sessions were not revoked; repeat the command"))) } else { Ok(()) }
}

fn print_line(text: &str) {
    // A closed pipe is not an error.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn failure(client: &UserPoolsClient, error: &CallError) -> Failure {
    Failure::Run(format!("the call to Cognito failed: {}", describe(client, error)))
}

fn describe(client: &UserPoolsClient, error: &CallError) -> String {
    let problem = client.problem().map(|problem| format!(": {problem}")).unwrap_or_default();
    let name = if error.name.is_empty() { String::new() } else { format!(" ({})", error.name) };
    format!("{}{name}{problem}", error.cause.as_label())
}

fn line(session: &UserSession) -> String {
    serde_json::json!({
        "session": session.session_id, "type": session.session_type, "client": session.client_id, "created": session.create_date,
        "active": session.last_active_date, "ip": session.last_ip_address, "device": session.device_type, "origin": session.origin_session_id,
    })
    .to_string()
}
