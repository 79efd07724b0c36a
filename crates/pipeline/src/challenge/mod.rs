//! The custom challenge: the answers of its three Cognito triggers, without a transport.
//!
//! ```text
//! SRP_A -> define -> PASSWORD_VERIFIER -> define: assess -> tokens | failure | challenge
//!                                           challenge -> create: a code is sent -> verify: an answer -> define
//! ```
//!
//! `flow` is what comes next, as a pure function of the answered challenges. `issued` is what travels through Cognito, `delivery` what
//! reaches the user.

use serde_json::{Value, json, value::RawValue};
use smol_str::SmolStr;
use tokio::time::Instant;

use crate::{
    challenge::{
        delivery::{CodeRequest, CodeSender, Delivered, DeliveryError},
        flow::{CUSTOM_CHALLENGE, MAX_ANSWERS, NEW_PASSWORD_REQUIRED, NextStep, PASSWORD_VERIFIER, needs_new_password, next_step},
        issued::{CodeKind, IssuedCode, new_code},
    },
    learn,
    risk_engine::{RiskEngine, new_id},
};
use riskgate_config::challenge::ChallengeFallback;
use riskgate_engine::{
    decision::Verdict,
    evidence::FailureReason,
    personal::RawEvent,
    settings::{Mode, PerClient},
    sign_in::Existence,
};
use riskgate_event::{
    cognito::{AuthChallenge, challenge::ChallengeStep, challenge::PRIVATE_PARAMETER},
    json_splice::set,
    response::{Assessment, cognito::Denial},
};
use riskgate_history::repository::{
    Learned,
    challenge::ChallengeResult,
    challenge_codes::{CodeAdmission, CodeLimits, PendingChallenge},
};
use riskgate_runtime::{
    catch_panic::catch_panic,
    challenge_health::{ChallengeEvent, ChallengeHealth},
    clock,
    deadline::Deadline,
};

pub mod delivery;

pub mod flow;

pub mod issued;

pub mod templates;

pub mod webhook;

/// Answers the triggers of a custom challenge.
#[derive(Debug)]
pub struct ChallengeHandler<'a> {
    /// Assesses the sign-in once the password is right.
    pub engine: &'a RiskEngine,
    /// Sends codes.
    pub sender: &'a CodeSender,
    /// Enforce or monitor, for each app client.
    pub mode: &'a PerClient<Mode>,
    /// The sentence of a denial.
    pub deny_message: &'a str,
}

/// The answer of `DefineAuthChallenge`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Definition {
    /// This challenge comes next.
    Challenge(&'static str),
    /// Cognito issues tokens.
    Tokens,
    /// The sign-in fails. The user sees what a wrong password shows.
    Failure,
}

/// What an assessment of the sign-in with the right password leads to.
type Assessed = (Definition, Option<Assessment>);

impl ChallengeHandler<'_> {
    /// Answers an event, and returns the assessment if the sign-in was assessed.
    ///
    /// # Errors
    ///
    /// No code was sent, or the event cannot be answered. The sign-in then fails.
    pub async fn answer(&self, event: &AuthChallenge, deadline: Deadline) -> (Result<RawEvent, Denial>, Option<Assessment>) {
        match &event.step {
            ChallengeStep::Define => self.define(event, deadline).await,
            ChallengeStep::Create { challenge } => (self.create(event, challenge, deadline).await, None),
            ChallengeStep::Verify { parameter: None, .. } => (Ok(event.sign_in.raw.clone()), None),
            ChallengeStep::Verify { answer, parameter: Some(parameter) } => {
                let answer = answer.as_ref().map(|answer| answer.expose().as_str()).unwrap_or_default();
                let is_right = self.verify(event, answer, parameter, deadline).await;
                (self.respond(event, &[("answerCorrect", json!(is_right))]), None)
            }
        }
    }

    async fn define(&self, event: &AuthChallenge, deadline: Deadline) -> (Result<RawEvent, Denial>, Option<Assessment>) {
        let session = event.session.as_deref();
        // Monitor mode asks for the password, which is not riskgate's decision, and for nothing else.
        let is_monitor = *self.mode.of(&event.sign_in.client) == Mode::Monitor;
        let (definition, assessment) = match next_step(session, event.sign_in.user.existence) {
            NextStep::NotOurs => return (Ok(event.sign_in.raw.clone()), None),
            NextStep::AskPassword => (Definition::Challenge(PASSWORD_VERIFIER), None),
            NextStep::Refuse => (Definition::Failure, None),
            NextStep::AskAgain | NextStep::Failed(_) if is_monitor => (Definition::Tokens, None),
            NextStep::AskAgain => (Definition::Challenge(CUSTOM_CHALLENGE), None),
            NextStep::Passed(metadata) => {
                let issued = IssuedCode::parse(metadata);
                // Without a code there was no proof: the tokens stay restricted.
                if let Some(issued) = issued.filter(|issued| issued.kind == CodeKind::Sent) {
                    self.record_result(event, &issued.id, ChallengeResult::Passed).await;
                }
                (Definition::Tokens, None)
            }
            NextStep::Failed(metadata) => {
                if let Some(issued) = IssuedCode::parse(metadata) {
                    self.record_result(event, &issued.id, ChallengeResult::Failed).await;
                }
                (Definition::Failure, None)
            }
            NextStep::Assess { has_second_factor } => {
                let assessing = Box::pin(self.assess(event, has_second_factor, deadline));
                let undecided = if is_monitor { Definition::Tokens } else { Definition::Failure };
                catch_panic(self.engine.health(), assessing).await.unwrap_or((undecided, None))
            }
        };
        let definition = match definition {
            Definition::Tokens if needs_new_password(session, event.has_temporary_password) => Definition::Challenge(NEW_PASSWORD_REQUIRED),
            other @ (Definition::Challenge(_) | Definition::Tokens | Definition::Failure) => other,
        };
        (self.respond(event, &definition.members()), assessment)
    }

    /// Assesses the sign-in. The password is right.
    async fn assess(&self, event: &AuthChallenge, has_second_factor: bool, deadline: Deadline) -> Assessed {
        let write_time = self.engine.enricher().store_timeout().min(deadline.left(Instant::now()) / 8);
        let assessment = self.engine.assess(event.sign_in.clone(), deadline.reserving(write_time)).await;
        let definition = match assessment.decision.action {
            Verdict::Deny => Definition::Failure,
            Verdict::Allow | Verdict::Review => Definition::Tokens,
            // Who has enrolled a second factor and passed it is challenged already.
            Verdict::Challenge if has_second_factor => {
                self.record_result(event, &assessment.id, ChallengeResult::Passed).await;
                Definition::Tokens
            }
            Verdict::Challenge => {
                self.put_pending(event, &assessment, deadline).await;
                Definition::Challenge(CUSTOM_CHALLENGE)
            }
        };
        (definition, Some(assessment))
    }

    /// Stores the challenge for the trigger that makes the code. Best effort: without it, a pass is not learned from and the tokens stay
    /// restricted.
    async fn put_pending(&self, event: &AuthChallenge, assessment: &Assessment, deadline: Deadline) {
        let Some(repository) = self.engine.enricher().repository() else { return };
        let pending = PendingChallenge::of(&assessment.id, &assessment.decision.score.signals.evidence);
        let now = event.sign_in.received.wall;
        let put = repository.put_pending_challenge(&event.sign_in, event.metadata.expose(), pending, self.sender.config.code_ttl, now);
        // A failure is counted and logged already.
        let _ = self.by_deadline(deadline, put).await;
    }

    /// Records the result of a challenge before Cognito issues tokens. Best effort: without it, the tokens stay restricted.
    async fn record_result(&self, event: &AuthChallenge, id: &str, result: ChallengeResult) {
        let sign_in = &event.sign_in;
        let user = (sign_in.pool.as_str(), sign_in.user.key());
        let recorded = learn::record_challenge_result(self.engine.enricher(), user, id, result, sign_in.received).await;
        let (learned, cause) = (recorded.map_or("none", Learned::as_label), recorded.err().map_or("none", FailureReason::as_label));
        tracing::info!(id = %id, result = result.as_label(), learned, cause, "a challenge has ended");
    }

    async fn create(&self, event: &AuthChallenge, challenge: &str, deadline: Deadline) -> Result<RawEvent, Denial> {
        let session = event.session.as_deref();
        let step = next_step(session, event.sign_in.user.existence);
        if challenge != CUSTOM_CHALLENGE || step == NextStep::NotOurs {
            return Ok(event.sign_in.raw.clone());
        }
        let made = match step {
            // A wrong answer does not cost another e-mail: the code stays the same.
            NextStep::AskAgain => {
                let metadata = session.and_then(|session| session.last()?.metadata.clone());
                metadata.map(|metadata| (metadata, self.sender.delivered_before(&event.recipient))).ok_or(None)
            }
            NextStep::Assess { .. } => self.issue(event, deadline).await,
            NextStep::AskPassword | NextStep::Passed(_) | NextStep::Failed(_) | NextStep::Refuse | NextStep::NotOurs => Err(None),
        };
        let (text, delivered) = made.map_err(|id| Denial::new(self.deny_message, &id.unwrap_or_else(|| new_id(event.sign_in.received))))?;
        let shown = json!({ "CODE_DELIVERY_DELIVERY_MEDIUM": delivered.medium, "CODE_DELIVERY_DESTINATION": delivered.destination });
        let members =
            [("publicChallengeParameters", shown), ("privateChallengeParameters", json!({ PRIVATE_PARAMETER: text })), ("challengeMetadata", json!(text))];
        self.respond(event, &members)
    }

    /// Makes a code and sends it.
    ///
    /// # Errors
    ///
    /// No code was sent; the id of the assessment, if it is known.
    async fn issue(&self, event: &AuthChallenge, deadline: Deadline) -> Result<(SmolStr, Delivered), Option<SmolStr>> {
        let (sign_in, config) = (&event.sign_in, &self.sender.config);
        let (now, metadata) = (sign_in.received.wall, event.metadata.expose());
        let Some(repository) = self.engine.enricher().repository() else {
            // Without a store that all processes share, no limit can be enforced.
            self.report(ChallengeEvent::Undeliverable, Some(FailureReason::NoStore));
            return Err(None);
        };
        let read = repository.read_pending_challenge(sign_in, metadata, config.code_ttl, now);
        let pending = self.by_deadline(deadline, read).await.map_err(|_| None)?;
        let id = pending.as_ref().map(|pending| pending.id.clone());
        if self.sender.recipient_is_missing(&event.recipient) {
            self.report(ChallengeEvent::NoRecipient, None);
            return Err(id);
        }
        let (pseudonyms, code) = (self.engine.enricher().pseudonyms(), new_code());
        let issued = IssuedCode::new(&pseudonyms, sign_in, id.clone().unwrap_or_default(), Some(&code));
        let text = issued.to_text();
        let limits = CodeLimits { user: config.codes_per_user, network: config.codes_per_network };
        let admitted = repository.admit_code(sign_in, pending.as_ref(), (&text, config.code_ttl), limits, now);
        match self.by_deadline(deadline, admitted).await.map_err(|_| id.clone())? {
            CodeAdmission::Send => {}
            CodeAdmission::Repeated(text) => return Ok((text, self.sender.delivered_before(&event.recipient))),
            CodeAdmission::Exhausted => {
                self.report(ChallengeEvent::Limited, None);
                return Err(id);
            }
        }
        let request_id = id.clone().unwrap_or_else(|| new_id(sign_in.received));
        let expires_at = issued.at.saturating_add_unsigned(config.code_ttl.as_secs());
        let request = CodeRequest { id: &request_id, sign_in, recipient: &event.recipient, code: &code, expires_at };
        let sent = Box::pin(self.sender.send(&request, clock::read_since(sign_in.received)));
        let sent = match catch_panic(self.engine.health(), deadline.run(sent)).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(_)) => Err(DeliveryError::Failed(FailureReason::Timeout)),
            Err(_) => Err(DeliveryError::Failed(FailureReason::Panic)),
        };
        match sent {
            Ok(delivered) => {
                self.report(ChallengeEvent::Sent, None);
                Ok((text, delivered))
            }
            Err(DeliveryError::NoRecipient) => {
                self.report(ChallengeEvent::NoRecipient, None);
                Err(id)
            }
            Err(DeliveryError::Failed(cause)) => {
                self.report(ChallengeEvent::Undeliverable, Some(cause));
                match config.fallback {
                    ChallengeFallback::Deny => Err(id),
                    ChallengeFallback::Allow => {
                        self.report(ChallengeEvent::Waived, Some(cause));
                        Ok((IssuedCode::new(&pseudonyms, sign_in, id.unwrap_or_default(), None).to_text(), Delivered::waived()))
                    }
                }
            }
        }
    }

    /// Whether an answer is right.
    async fn verify(&self, event: &AuthChallenge, answer: &str, parameter: &str, deadline: Deadline) -> bool {
        let (sign_in, config) = (&event.sign_in, &self.sender.config);
        let now = sign_in.received.wall;
        let Some(issued) = IssuedCode::parse(parameter) else { return false };
        let is_valid = u64::try_from(now.as_second() - issued.at).is_ok_and(|age| age <= config.code_ttl.as_secs());
        if !is_valid || sign_in.user.existence == Existence::NotFound {
            self.report(ChallengeEvent::Expired, None);
            return false;
        }
        if issued.kind == CodeKind::Waived && config.fallback == ChallengeFallback::Deny {
            return false;
        }
        // If the store fails, the count of answers in Cognito's session still limits them.
        let is_admitted = match self.engine.enricher().repository() {
            Some(repository) => {
                let counted = repository.admit_answer(issued.hash(), MAX_ANSWERS as u64, config.code_ttl, now);
                self.by_deadline(deadline, counted).await.unwrap_or(true)
            }
            None => true,
        };
        let is_right = is_admitted && issued.is_answered_by(answer, &self.engine.enricher().pseudonyms(), sign_in);
        self.report(if is_right { ChallengeEvent::Right } else { ChallengeEvent::Wrong }, None);
        is_right
    }

    /// Runs a store call within the store timeout and the deadline.
    async fn by_deadline<T>(&self, deadline: Deadline, call: impl Future<Output = Result<T, FailureReason>>) -> Result<T, FailureReason> {
        let deadline = deadline.sooner(Instant::now(), self.engine.enricher().store_timeout());
        learn::run_store_call(self.engine.health(), deadline, Box::pin(call)).await
    }

    fn report(&self, event: ChallengeEvent, cause: Option<FailureReason>) {
        self.health().report(event, cause, Instant::now());
    }

    fn health(&self) -> &ChallengeHealth {
        &self.engine.health().challenge
    }

    /// The event with members of its response set.
    ///
    /// # Errors
    ///
    /// The response is not an object, so the event did not come from Cognito.
    fn respond(&self, event: &AuthChallenge, members: &[(&str, Value)]) -> Result<RawEvent, Denial> {
        let mut text = event.sign_in.raw.text().to_owned();
        for (name, value) in members {
            text = set(&text, &["response", name], &value.to_string()).ok_or_else(|| self.denial(event))?;
        }
        RawValue::from_string(text).map(RawEvent::new).map_err(|_| self.denial(event))
    }

    fn denial(&self, event: &AuthChallenge) -> Denial {
        Denial::new(self.deny_message, &new_id(event.sign_in.received))
    }
}

impl Definition {
    fn members(self) -> [(&'static str, Value); 3] {
        let name = if let Definition::Challenge(name) = self { json!(name) } else { Value::Null };
        [("challengeName", name), ("issueTokens", json!(self == Definition::Tokens)), ("failAuthentication", json!(self == Definition::Failure))]
    }
}
