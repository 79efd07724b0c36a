//! Calls of Amazon Cognito user pools: a user's sessions and authentication events, and the end of a session.
//!
//! Every field of an answer is optional, because AWS documents none as always present.

use aws_config::SdkConfig;
use serde::Deserialize;
use serde_json::json;

use crate::{
    environment::AwsFault,
    json_call::{CallError, Operation, call},
    signer::{AwsService, Signer},
};
use riskgate_engine::time::ClockReading;
use riskgate_http_client::Client;

const fn operation(target: &'static str) -> Operation {
    let service = AwsService { id: "Cognito Identity Provider", host: "cognito-idp", signing_name: "cognito-idp" };
    Operation { service, content_type: "application/x-amz-json-1.1", target }
}

const LIST_SESSIONS: Operation = operation("AWSCognitoIdentityProviderService.AdminListUserSessions");
const REVOKE_SESSION: Operation = operation("AWSCognitoIdentityProviderService.AdminRevokeUserSession");
const LIST_EVENTS: Operation = operation("AWSCognitoIdentityProviderService.AdminListUserAuthEvents");

/// Calls of user pools. A pool's id names its region.
#[derive(Debug)]
pub struct UserPoolsClient {
    signer: Signer,
}

/// A session as Cognito describes it. It has no `Debug`, because it contains an address.
#[derive(Deserialize, Clone, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct UserSession {
    /// The session's id.
    pub session_id: Option<String>,
    /// `TOKEN` or `SSO`.
    pub session_type: Option<String>,
    /// The app client.
    pub client_id: Option<String>,
    /// Seconds since 1970.
    pub create_date: Option<f64>,
    /// Seconds since 1970.
    pub last_active_date: Option<f64>,
    /// The address of the latest activity.
    #[serde(rename = "LastIPAddress")]
    pub last_ip_address: Option<String>,
    /// The parsed user agent, such as `Chrome 125 / macOS 15.0`.
    pub device_type: Option<String>,
    /// The managed-login session that a token session came through.
    pub origin_session_id: Option<String>,
}

/// The sessions of a user. It has no `Debug`, because it contains addresses.
#[derive(Clone, Default)]
pub struct UserSessions {
    /// Those that were read.
    pub sessions: Vec<UserSession>,
    /// Whether there are no more.
    pub is_complete: bool,
}

/// An authentication event of a pool with threat protection. It has no `Debug`, because it contains an address.
#[derive(Deserialize, Clone, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthEvent {
    /// The event's id.
    pub event_id: Option<String>,
    /// `SignIn`, `SignUp`, `ForgotPassword`, `PasswordChange` or `ResendCode`.
    pub event_type: Option<String>,
    /// Seconds since 1970.
    pub creation_date: Option<f64>,
    /// `Pass`, `Fail` or `InProgress`.
    pub event_response: Option<String>,
    /// The connection.
    pub event_context_data: Option<EventContext>,
}

/// The connection of an authentication event.
#[derive(Deserialize, Clone, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct EventContext {
    /// The address.
    pub ip_address: Option<String>,
    /// The parsed user agent.
    pub device_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct SessionPage {
    sessions: Option<Vec<UserSession>>,
    next_token: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct EventPage {
    auth_events: Option<Vec<AuthEvent>>,
}

#[derive(Deserialize)]
struct Empty {}

impl UserPoolsClient {
    /// A client with the AWS configuration of the environment.
    pub fn new(client: Client) -> Self {
        UserPoolsClient { signer: Signer::new(client) }
    }

    /// A client with a given AWS configuration.
    pub fn with_config(sdk_config: SdkConfig, client: Client) -> Self {
        UserPoolsClient { signer: Signer::with_config(sdk_config, client) }
    }

    /// What the operator must fix before calls can be signed, if known.
    pub fn problem(&self) -> Option<AwsFault> {
        self.signer.problem()
    }

    /// A user's active sessions, of at most `pages` pages of up to 125. `user` is the user's name in the pool.
    ///
    /// # Errors
    ///
    /// A page could not be read.
    pub async fn list_sessions(&self, pool: &str, user: &str, pages: usize, now: ClockReading) -> Result<UserSessions, CallError> {
        let (mut sessions, mut next): (Vec<UserSession>, Option<String>) = (Vec::new(), None);
        for _ in 0..pages {
            let mut request = json!({ "UserPoolId": pool, "Username": user });
            if let Some(next) = &next {
                request["NextToken"] = json!(next);
            }
            let page: SessionPage = call(&self.signer, &LIST_SESSIONS, region_of(pool), &request, now).await?;
            sessions.extend(page.sessions.unwrap_or_default());
            next = page.next_token.filter(|next| !next.is_empty());
            if next.is_none() {
                break;
            }
        }
        Ok(UserSessions { sessions, is_complete: next.is_none() })
    }

    /// Revokes a session with those linked to it. Repeating the call has no further effect.
    ///
    /// # Errors
    ///
    /// The call failed. A session that has ended is not found.
    pub async fn revoke_session(&self, pool: &str, user: &str, session: &str, now: ClockReading) -> Result<(), CallError> {
        let request = json!({ "UserPoolId": pool, "Username": user, "SessionId": session, "RevokeAssociatedSessions": "LINKED" });
        call::<Empty>(&self.signer, &REVOKE_SESSION, region_of(pool), &request, now).await.map(|_| ())
    }

    /// A user's newest authentication events, at most 60.
    ///
    /// # Errors
    ///
    /// The call failed.
    pub async fn list_auth_events(&self, pool: &str, user: &str, now: ClockReading) -> Result<Vec<AuthEvent>, CallError> {
        let request = json!({ "UserPoolId": pool, "Username": user, "MaxResults": 60 });
        let page: EventPage = call(&self.signer, &LIST_EVENTS, region_of(pool), &request, now).await?;
        Ok(page.auth_events.unwrap_or_default())
    }
}

fn region_of(pool: &str) -> Option<&str> {
    pool.split_once('_').map(|(region, _)| region).filter(|region| !region.is_empty())
}
