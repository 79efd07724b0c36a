//! Nonces of signed contexts: each may be used by one sign-in.

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::repository::{HistoryRepository, PendingAttempt, rotation::KeyHashes};
use riskgate_engine::{
    evidence::{FailureReason, history::NonceStatus},
    sign_in::{SignIn, Trigger},
};

/// Seconds after the first call of a sign-in within which its answer may have the same context. Cognito accepts an answer to its password
/// check only for seconds.
const ANSWER_WINDOW: i64 = 60;

/// Why a nonce is claimed. A sign-in with a custom challenge sends its context twice: with its first call and with the answer to the
/// password check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    FirstCall,
    Answer,
}

/// The result of a claim.
#[derive(Debug, Clone, Copy, Default)]
struct Claim {
    status: NonceStatus,
    /// Seconds since the nonce was first claimed, if another event has claimed it.
    age: Option<i64>,
    cause: Option<FailureReason>,
}

impl HistoryRepository {
    /// Claims the nonce of a sign-in under every key. Instances that lack one of the keys then also find it.
    pub(super) async fn claim_nonce(
        &self,
        sign_in: &SignIn,
        pending_attempt: &PendingAttempt,
        hashes: &[KeyHashes],
        now: Timestamp,
    ) -> (NonceStatus, Option<FailureReason>) {
        let Some(nonce) = &sign_in.context.nonce else { return (NonceStatus::New, None) };
        let claim = |purpose| self.claim_nonce_for(purpose, nonce, hashes, pending_attempt, now);
        if sign_in.trigger != Trigger::DefineAuthChallenge {
            let claim = claim(Purpose::FirstCall).await;
            return (claim.status, claim.cause);
        }
        let (first, answer) = tokio::join!(claim(Purpose::FirstCall), claim(Purpose::Answer));
        let cause = first.cause.or(answer.cause);
        let is_own_first_call = first.status == NonceStatus::Replayed && first.age.is_some_and(|age| (0..ANSWER_WINDOW).contains(&age));
        (if is_own_first_call { answer.status.max(NonceStatus::Retried) } else { first.status.max(answer.status) }, cause)
    }

    async fn claim_nonce_for(&self, purpose: Purpose, nonce: &SmolStr, hashes: &[KeyHashes], pending_attempt: &PendingAttempt, now: Timestamp) -> Claim {
        let purpose = match purpose {
            Purpose::FirstCall => "nonce",
            Purpose::Answer => "nonce of answer",
        };
        let keys = self.pseudonyms.records(purpose, &[nonce.as_bytes()]);
        match keys.as_slice() {
            [key] => self.claim_nonce_under(key, &hashes[0], pending_attempt, now).await,
            keys => {
                let claims = keys.iter().zip(hashes).map(|(key, hashes)| self.claim_nonce_under(key, hashes, pending_attempt, now));
                let claims = futures_util::future::join_all(claims).await.into_iter();
                claims.reduce(Claim::worse).unwrap_or_default()
            }
        }
    }

    async fn claim_nonce_under(&self, key: &str, hashes: &KeyHashes, pending_attempt: &PendingAttempt, now: Timestamp) -> Claim {
        let key = format!("x#{key}");
        let own_claim =
            [&hashes.event.unwrap_or(pending_attempt.attempt.event).to_be_bytes()[..], &now.as_second().to_be_bytes(), pending_attempt.field.as_bytes()]
                .concat();
        let first = match self.store.put_if_absent(&key, &own_claim, self.retention.nonce, now).await {
            Ok(first) if first == own_claim => return Claim::default(),
            Ok(first) => first,
            // Unknown whether the nonce was used before, so the context is not trusted.
            Err(cause) => return Claim { status: NonceStatus::Unchecked, cause: Some(cause), age: None },
        };
        let at = first.get(4..12).and_then(|at| at.try_into().ok()).map(i64::from_be_bytes);
        let age = at.map(|at| now.as_second() - at);
        let is_soon = age.is_some_and(|age| (0..crate::attempt::RETRY_WINDOW).contains(&age));
        let status = if is_soon && first.get(..4) == own_claim.get(..4) { NonceStatus::Retried } else { NonceStatus::Replayed };
        Claim { status, age, cause: None }
    }
}

impl Claim {
    /// The claim with the status that trusts less.
    fn worse(self, other: Self) -> Self {
        let cause = self.cause.or(other.cause);
        Claim { cause, ..if other.status > self.status { other } else { self } }
    }
}
