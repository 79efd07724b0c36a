//! Attempts at names without a history. Anyone can invent such a name, so the store has a limited number of their records (`WriteBudget`).
//!
//! What is over budget is written only if the user has a history. The rest is in this process: attempts go on being counted, and a success that
//! reaches the same process is learned. Other processes do not find it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use smol_str::SmolStr;
use tokio::time::Instant;

use crate::{
    attempt::Origin,
    repository::{
        HistoryRepository, PendingAttempt,
        forgetting::{FORGOTTEN, Recorded},
        outcome::OUTCOME_TTL,
        user_record::{LAST_SUCCESS, MAX_ATTEMPTS, UserRecord},
    },
    write_budget::{Charge, Source},
};
use riskgate_engine::{
    evidence::{FailureReason, store_parts::StorePart},
    sign_in::SignIn,
};
use riskgate_store::{Change, MissingWindow, Record, Store, Ttl};

/// Records, windows and pending outcomes of each kind in this process: about 5 MB, and 30 MB if every record has 24 attempts.
pub(super) const MAX_IN_PROCESS: usize = 10_000;

/// How long an outcome may be reported for a name without a history while such attempts are too many. It covers the result of the sign-in, but
/// not a label that comes days later.
const SHORT_OUTCOME_TTL: Duration = Duration::from_secs(3600);

/// What an attempt may write.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriteAllowance {
    source: Source,
    charge: Charge,
    /// Whether the attempt is in the store.
    is_stored: bool,
    /// Whether the user has a history, and so few attempts that the user may have made them.
    is_proven: bool,
}

impl WriteAllowance {
    /// The allowance of a sign-in that was not charged yet.
    pub(super) fn new(sign_in: &SignIn) -> Self {
        WriteAllowance { source: Source::of(sign_in), charge: Charge::Within, is_stored: true, is_proven: false }
    }

    /// What happens to windows that do not exist.
    pub(super) fn missing_window(self) -> MissingWindow {
        if self.charge == Charge::Within { MissingWindow::Create } else { MissingWindow::Skip }
    }

    /// Whether the attempt is in this process only.
    pub(super) fn is_in_process(self) -> bool {
        !self.is_stored && !self.is_proven
    }
}

impl HistoryRepository {
    /// Charges an attempt to the write budget.
    pub(super) fn charge_attempt(&self, pending_attempt: &mut PendingAttempt, now: Timestamp) {
        let allowance = &mut pending_attempt.allowance;
        allowance.charge = self.write_budget.charge(allowance.source, now);
    }

    /// Records an attempt. Returns the record that now has it, and whether that is in the store.
    pub(super) async fn record_attempt(&self, pending_attempt: &PendingAttempt, now: Timestamp) -> Result<(Arc<Record>, bool), FailureReason> {
        let key = &pending_attempt.keys[0];
        let attempt = (pending_attempt.field.clone(), pending_attempt.attempt.to_field());
        let change = Change { set: vec![attempt, pending_attempt.origin_field()], remove: Vec::new(), ttl: Ttl::AtLeast(self.retention.attempt()) };
        if pending_attempt.allowance.charge == Charge::Within {
            let record = self.store.update(key, change, now).await?;
            return Ok((self.with_in_process(key, record, now).await?, true));
        }
        let record = self.store.update_if_field(key, LAST_SUCCESS, change.clone(), now).await?;
        if record.fields.contains_key(LAST_SUCCESS) {
            return Ok((record, true));
        }
        self.write_budget.record_limited(now);
        let in_process = self.in_process.update(key, change, now).await?;
        Ok((merge_in_process(record, &in_process), false))
    }

    /// Decides what the attempt may write, now that the user's record is known, and reports a limited write.
    pub(super) fn settle_allowance(&self, pending_attempt: &mut PendingAttempt, user_record: &UserRecord, is_stored: bool, now: Timestamp) {
        let is_proven = user_record.last_success.is_some() && user_record.attempts.len() < MAX_ATTEMPTS;
        let allowance = &mut pending_attempt.allowance;
        (allowance.is_stored, allowance.is_proven) = (is_stored, is_proven);
        let cause = match allowance.charge {
            Charge::Within if is_proven => {
                self.write_budget.refund(allowance.source);
                None
            }
            Charge::OverNetwork if !is_proven => Some(FailureReason::RateLimited),
            Charge::OverTotal if !is_proven => Some(FailureReason::OverQuota),
            Charge::Within | Charge::OverNetwork | Charge::OverTotal => None,
        };
        if cause.is_some() {
            self.write_budget.record_limited(now);
        }
        if cause.is_some() || !self.write_budget.is_limiting(now) {
            self.health.store.report(StorePart::NewRecords, cause, Instant::now());
        }
    }

    /// Whether the attempt may create a record that lasts for days.
    pub(super) fn may_create_long_lived(&self, pending_attempt: &PendingAttempt, now: Timestamp) -> bool {
        let allowance = pending_attempt.allowance;
        allowance.is_proven || allowance.charge == Charge::Within && self.write_budget.charge_long_lived(allowance.source, now)
    }

    /// Reports that a challenge restricts a name without a history only for as long as its attempt is stored, because the write budget is exceeded.
    pub(super) fn report_short_restriction(&self, now: Timestamp) {
        self.write_budget.record_limited(now);
        self.health.store.report(StorePart::NewRecords, Some(FailureReason::RateLimited), Instant::now());
    }

    /// Stores a pending outcome. It lasts 7 days if the attempt may create long-lived records.
    pub(super) async fn put_outcome(
        &self,
        pending_attempt: &PendingAttempt,
        key: &str,
        value: &[u8],
        is_long_lived: bool,
        now: Timestamp,
    ) -> Result<(), FailureReason> {
        let ttl = if is_long_lived { OUTCOME_TTL } else { SHORT_OUTCOME_TTL };
        let is_allowed = is_long_lived || pending_attempt.allowance.charge == Charge::Within;
        if is_allowed { self.store.put(key, value, ttl, now).await } else { self.in_process.put(key, value, ttl, now).await }
    }

    /// Reads a pending outcome from the store or, if it has none, from this process. Returns it with the store that has it.
    pub(super) async fn get_outcome(&self, key: &str, now: Timestamp) -> Result<Option<(Vec<u8>, &dyn Store)>, FailureReason> {
        let store: &dyn Store = &*self.store;
        match store.get(key, now).await? {
            Some(value) => Ok(Some((value, store))),
            None => Ok(self.in_process.get(key, now).await?.map(|value| (value, &*self.in_process as &dyn Store))),
        }
    }

    /// Writes the decision of an attempt where the attempt is.
    pub(super) async fn update_attempt(&self, pending_attempt: &PendingAttempt, mut change: Change, now: Timestamp) -> Result<Recorded, FailureReason> {
        let (key, allowance) = (&pending_attempt.keys[0], pending_attempt.allowance);
        if allowance.is_in_process() {
            self.in_process.update(key, change, now).await?;
            return Ok(Recorded::Done);
        }
        if !allowance.is_stored {
            // The user's history was under an older key.
            change.set.push(pending_attempt.origin_field());
        }
        self.update_unless_forgotten(key, change, pending_attempt.forgotten, now).await
    }

    /// Removes fields of a user's record in this process.
    pub(super) async fn remove_in_process(&self, key: &str, fields: &[SmolStr], now: Timestamp) -> Result<(), FailureReason> {
        if !self.write_budget.has_limited() || self.in_process.get_record(key, now).await?.fields.is_empty() {
            return Ok(());
        }
        self.in_process.update(key, Change { remove: fields.to_vec(), ..Change::default() }, now).await.map(|_| ())
    }

    /// A record with the fields that are in this process only.
    pub(super) async fn with_in_process(&self, key: &str, record: Arc<Record>, now: Timestamp) -> Result<Arc<Record>, FailureReason> {
        if !self.write_budget.has_limited() {
            return Ok(record);
        }
        Ok(merge_in_process(record, &*self.in_process.get_record(key, now).await?))
    }
}

impl PendingAttempt {
    fn origin_field(&self) -> (SmolStr, Vec<u8>) {
        (Origin::field(self.attempt.origin), self.origin.to_bytes())
    }
}

/// Merges the fields that are in this process only. They are ignored if the user was forgotten.
fn merge_in_process(mut record: Arc<Record>, in_process: &Record) -> Arc<Record> {
    if !in_process.fields.is_empty() && !record.fields.contains_key(FORGOTTEN) {
        let fields = &mut Arc::make_mut(&mut record).fields;
        for (name, value) in &in_process.fields {
            fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    record
}
