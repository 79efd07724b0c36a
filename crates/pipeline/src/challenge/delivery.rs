//! Delivery of codes: by e-mail through SES, or by the operator's own service.

use secrecy::SecretString;
use smol_str::SmolStr;

use crate::challenge::{
    templates::{Templates, accepted},
    webhook::Webhook,
};
use riskgate_config::{
    Config,
    challenge::{ChallengeConfig, DeliveryConfig},
    env::ConfigError,
};
use riskgate_engine::{evidence::FailureReason, sign_in::SignIn, time::ClockReading};
use riskgate_event::cognito::challenge::Recipient;
use riskgate_http_client::{Client, Tls};
use riskgate_runtime::mode::RuntimeMode;

/// Sends codes as the configuration states.
#[derive(Debug)]
pub struct CodeSender {
    pub(super) config: ChallengeConfig,
    #[cfg_attr(not(feature = "secrets"), expect(dead_code, reason = "only e-mails need texts"))]
    templates: Templates,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    /// No delivery is configured.
    None,
    #[cfg(feature = "secrets")]
    Ses(riskgate_aws::ses::SesClient, String),
    Webhook(Webhook),
}

/// A code to deliver. It has no `Debug`.
pub struct CodeRequest<'a> {
    /// The id of the assessment, or of this call.
    pub id: &'a SmolStr,
    /// The sign-in.
    pub sign_in: &'a SignIn,
    /// Where it can be sent.
    pub recipient: &'a Recipient,
    /// The code.
    pub code: &'a SecretString,
    /// When it expires, in seconds since 1970.
    pub expires_at: i64,
}

/// How a code was delivered, as the user may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The medium, such as `EMAIL`.
    pub medium: String,
    /// The masked address.
    pub destination: String,
}

/// Why a code was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryError {
    /// The user has no verified address.
    NoRecipient,
    /// The transport failed.
    Failed(FailureReason),
}

impl CodeSender {
    /// Prepares the configured transport. No connection is made yet.
    ///
    /// # Errors
    ///
    /// Errors in the operator's texts. The built-in ones replace them.
    pub fn open(config: &Config, runtime_mode: RuntimeMode) -> (Self, Vec<ConfigError>) {
        let (templates, faults) = Templates::open(config.challenge.templates.as_deref());
        let client = || Client::new(config.budget.connect, runtime_mode, Tls::trusting(&config.services.authorities));
        let transport = match &config.challenge.delivery {
            None => Transport::None,
            #[cfg(feature = "secrets")]
            Some(DeliveryConfig::Ses { from, region }) => Transport::Ses(riskgate_aws::ses::SesClient::new(client(), region.clone()), from.clone()),
            #[cfg(not(feature = "secrets"))]
            Some(DeliveryConfig::Ses { .. }) => Transport::None,
            Some(DeliveryConfig::Webhook { url, secret }) => Transport::Webhook(Webhook::new(client(), url.clone(), secret.clone())),
        };
        (CodeSender { config: config.challenge.clone(), templates, transport }, faults)
    }

    /// What the operator must fix before codes can be sent, if known.
    pub fn problem(&self) -> Option<String> {
        match &self.transport {
            Transport::None => Some("neither RISKGATE_CHALLENGE_FROM nor RISKGATE_CHALLENGE_WEBHOOK is set, so no code can be sent".to_owned()),
            #[cfg(feature = "secrets")]
            Transport::Ses(client, _) => client.problem().map(|fault| fault.to_string()),
            Transport::Webhook(_) => None,
        }
    }

    /// Whether codes are sent only to a verified e-mail address.
    pub(super) fn recipient_is_missing(&self, recipient: &Recipient) -> bool {
        // The operator's service may know another way to reach the user.
        self.sends_email() && recipient.email.is_none()
    }

    /// Sends a code. The caller sets the deadline.
    ///
    /// # Errors
    ///
    /// It was not delivered.
    pub async fn send(&self, request: &CodeRequest<'_>, now: ClockReading) -> Result<Delivered, DeliveryError> {
        match &self.transport {
            Transport::None => Err(DeliveryError::Failed(FailureReason::NoCredentials)),
            #[cfg(feature = "secrets")]
            Transport::Ses(client, from) => {
                use secrecy::ExposeSecret as _;
                let to = request.recipient.email.as_ref().ok_or(DeliveryError::NoRecipient)?.expose();
                let minutes = self.config.code_ttl.as_secs().div_euclid(60).max(1);
                let message =
                    self.templates.fill(request.locales(), request.code.expose_secret(), minutes).ok_or(DeliveryError::Failed(FailureReason::BadAnswer))?;
                let email = riskgate_aws::ses::Email { from, to, subject: &message.subject, text: &message.text, html: &message.html };
                client.send(&email, now).await.map_err(DeliveryError::Failed)?;
                Ok(Delivered::by_email(to))
            }
            Transport::Webhook(webhook) => webhook.send(request, now).await.map_err(DeliveryError::Failed),
        }
    }

    /// How a code that was sent before was delivered, as far as that is known.
    pub(super) fn delivered_before(&self, recipient: &Recipient) -> Delivered {
        match recipient.email.as_ref().filter(|_| self.sends_email()) {
            Some(email) => Delivered::by_email(email.expose()),
            None => Delivered::by_operator(),
        }
    }

    fn sends_email(&self) -> bool {
        match &self.transport {
            #[cfg(feature = "secrets")]
            Transport::Ses(..) => true,
            Transport::None | Transport::Webhook(_) => false,
        }
    }
}

impl CodeRequest<'_> {
    /// The user's locale, then the languages of the browser.
    pub(super) fn locales(&self) -> impl Iterator<Item = &str> {
        let languages = self.sign_in.context.accept_language.iter().flat_map(|list| accepted(list.expose()));
        self.recipient.locale.iter().map(|locale| locale.expose().as_str()).chain(languages)
    }
}

impl Delivered {
    /// By e-mail, with the address masked as Cognito masks it: `a***@e***`.
    pub fn by_email(address: &str) -> Self {
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
        Delivered { medium: "EMAIL".to_owned(), destination: format!("{}***@{}***", first(local), first(domain)) }
    }

    /// By the operator's service, which stated nothing else.
    pub fn by_operator() -> Self {
        Delivered { medium: "CUSTOM".to_owned(), destination: "***".to_owned() }
    }

    /// Not at all: the password suffices.
    pub fn waived() -> Self {
        Delivered { medium: "NONE".to_owned(), destination: "***".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_masked() {
        for (address, expected) in [("ada@example.com", "a***@e***"), ("\"a@b\"@example.com", "\"***@e***"), ("é@ü.de", "é***@ü***"), ("", "***@***")] {
            assert_eq!(Delivered::by_email(address).destination, expected);
        }
    }
}
