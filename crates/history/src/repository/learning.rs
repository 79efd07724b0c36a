//! Recording of decisions and successes, and learning from them.

use std::time::Duration;

use jiff::Timestamp;
use smol_str::{SmolStr, ToSmolStr};
use ulid::Ulid;

use crate::repository::{
    HistoryRepository, PendingAttempt,
    forgetting::Recorded,
    outcome,
    retention::SLACK,
    rotation::KeyHashes,
    sessions::{self, AwaitedSession},
    user_record::{self, LAST_SUCCESS, LastDecision, MergedRecord, Sample, UserRecord, common_restriction, days},
};
use crate::{
    attempt::{Admission, Attempt, AttemptDecision, Origin, RETRY_WINDOW, RiskLevel, TokenRestriction},
    block_list::ClientCapability,
    decoy::RENEW_AFTER,
};
use riskgate_config::history::Learn;
use riskgate_config::pseudonym::UserKeys;
use riskgate_engine::{
    encoding::hash_field_name,
    evidence::{FailureReason, store_parts::StorePart},
    features::FeatureLevel,
    profile::{DeviceStatus, Profile, day_of, seconds},
    sign_in::{Trigger, User},
};
use riskgate_event::cognito::PostAuthentication;
use riskgate_store::{
    Change, Changed, List, Ttl,
    activity::{ActivityBatch, ActivityRow, RowOrder},
};

/// The TTL of a client capability. A client without new observations for this long loses the capability.
const CAPABILITY_TTL: Duration = Duration::from_secs(90 * 86_400);

/// How a success was used for learning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// The profile was updated.
    ProfileUpdated,
    /// Attempts of several origins were pending, so the attempt with the correct password is unknown.
    Ambiguous,
    /// No attempt was pending.
    NothingPending,
    /// The attempt was degraded, replayed, or would have been denied.
    NotLearnable,
}

/// The result of recording a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// How the success was used for learning.
    pub learned: Learned,
    /// The id of its assessment, if exactly one matches.
    pub id: Option<SmolStr>,
    /// The session to look up, if sessions are looked up and the context was not trusted.
    pub session: Option<AwaitedSession>,
    /// What is counted for the pool, if the attempt is known.
    pub counted: Option<CountedSuccess>,
}

/// A success, as it is counted for its pool. It names no user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedSuccess {
    /// The keyed hash of the pool's id.
    pub pool: u32,
    /// Whether it is the account's first: the account had no history.
    pub is_first: bool,
    /// Whether it is the account's first on this day.
    pub is_first_of_day: bool,
    /// The decision on its attempt: the score in tenths, the first reasons, and whether something was missing.
    pub decision: AttemptDecision,
}

/// The changes that a success makes to a user record.
pub(super) struct ProfileUpdate<'a> {
    pub(super) keys: &'a UserKeys,
    pub(super) merged: MergedRecord,
    pub(super) sample: Option<Sample>,
    /// The field of the sample if it is from an outcome. It prevents learning from an outcome twice.
    pub(super) sample_field: Option<SmolStr>,
    /// The sample that waits for the judgement of its session.
    pub(super) awaiting: Option<Sample>,
    pub(super) decision: Option<(u32, LastDecision)>,
    pub(super) restriction: TokenRestriction,
    /// Fields to set beside those of the success.
    pub(super) set: Vec<(SmolStr, Vec<u8>)>,
    pub(super) remove: Vec<SmolStr>,
    /// When the success happened.
    pub(super) at: Timestamp,
    /// System time.
    pub(super) now: Timestamp,
}

impl HistoryRepository {
    /// Records the decision on an attempt, for the later triggers. One write.
    ///
    /// # Errors
    ///
    /// The store could not be reached. This sign-in is then not learned from.
    pub async fn record_decision(
        &self,
        mut pending_attempt: Box<PendingAttempt>,
        id: &str,
        decision: AttemptDecision,
        now: Timestamp,
    ) -> Result<(), FailureReason> {
        let merged = pending_attempt.merged.take();
        let pending_attempt = &*pending_attempt;
        let attempt = Attempt { decision: Some(decision), id: Ulid::from_string(id).ok(), ..pending_attempt.attempt };
        // A pending outcome and a profile last for days.
        let needs_long_lived = pending_attempt.trigger == Trigger::Http || self.retention.learn == Learn::Allow;
        let is_long_lived = needs_long_lived && self.may_create_long_lived(pending_attempt, now);
        if self.retention.learn == Learn::Allow && attempt.is_learnable() && is_long_lived {
            // The outcome may still be reported, but the sign-in must not be learned from twice.
            let sample = Attempt { decision: Some(AttemptDecision { admission: Admission::AllowWithoutLearning, ..decision }), ..attempt };
            let (learned, pending_stored, ()) = tokio::join!(
                self.learn_from_decision(pending_attempt, merged, attempt, now),
                self.store_pending_outcome(pending_attempt, id, sample, is_long_lived, now),
                async {
                    self.migrate_blocks(&pending_attempt.migrated_blocks, now).await;
                    self.record_key_use(pending_attempt.has_pool, now).await;
                },
            );
            return learned.map(|_| ()).and(pending_stored);
        }
        let mut change = Change {
            set: vec![(pending_attempt.field.clone(), attempt.to_field())],
            remove: pending_attempt.stale.clone(),
            ttl: self.retention.decided_attempt(pending_attempt.expires_at, now),
        };
        let opens_challenge = self.retention.learn == Learn::Allow && attempt.is_challenged();
        // A restriction has to be found by every process. Only the users of a pool are exempt from the write budget: strangers cannot invent them.
        let must_be_stored = opens_challenge && pending_attempt.is_pool_user;
        if opens_challenge {
            // No success is reported, so the restriction starts now.
            change.set.push(self.open_challenge(&pending_attempt.field, &attempt, Some(&pending_attempt.origin), true, now));
            // A challenged user has no block in the record, for which it would have to be stored longer.
            if is_long_lived {
                change.ttl = Ttl::Set(self.retention.record() + SLACK);
            } else if must_be_stored {
                change.ttl = Ttl::AtLeast(self.retention.challenge + SLACK);
            } else {
                self.report_short_restriction(now);
            }
        }
        let store_outcome = self.store_pending_outcome(pending_attempt, id, attempt, is_long_lived, now);
        let migrate = async {
            if let Some(migration) = pending_attempt.migration.as_ref().filter(|_| !pending_attempt.allowance.is_in_process()) {
                self.migrate_record(&pending_attempt.keys, pending_attempt.version, migration, now).await;
            }
            self.migrate_blocks(&pending_attempt.migrated_blocks, now).await;
            self.record_key_use(pending_attempt.has_pool, now).await;
        };
        let recorded = async {
            match must_be_stored {
                true => self.update_unless_forgotten(&pending_attempt.keys[0], change, pending_attempt.forgotten, now).await,
                false => self.update_attempt(pending_attempt, change, now).await,
            }
        };
        let (recorded, pending_stored, (), ()) = tokio::join!(recorded, store_outcome, self.write_template(pending_attempt.template.as_ref(), now), migrate);
        if recorded? == Recorded::Forgotten {
            self.remove_templates(&pending_attempt.keys[0]).await;
        }
        pending_stored
    }

    /// Records a post-authentication. Learns from the attempt that it completes, if that can be identified. One read and two writes.
    ///
    /// # Errors
    ///
    /// The store could not be reached. Nothing was learned.
    pub async fn record_success(&self, event: &PostAuthentication) -> Result<Success, FailureReason> {
        let now = event.received.wall;
        let keys = self.pseudonyms.user_keys(&event.pool, event.user.key());
        let hashes = self.hash_event(&event.pool, &event.client, event.nonce.as_deref(), None);
        let KeyHashes { client, nonce, .. } = hashes[0];
        let (user_record, ()) =
            tokio::join!(self.run_reported(StorePart::Record, self.read_and_migrate(&keys, &hashes, now)), self.refresh_lists_and_report(now));
        let user_record = user_record?;
        let device = match event.new_device_used {
            None => DeviceStatus::NotReported,
            Some(false) => DeviceStatus::Known,
            Some(true) => DeviceStatus::New,
        };
        let pending = find_pending(&user_record, client, nonce, now, self.retention.pending);
        let (learned, chosen) = choose_attempt(&pending);
        // Some of several pending attempts may be an attacker's. The tokens get the least risky decision among them.
        let decision = pending.iter().filter_map(|(_, attempt)| LastDecision::of(attempt)).min_by_key(|decision| {
            let newest = std::cmp::Reverse(decision.at);
            (decision.risk_level, decision.completeness, newest)
        });
        let restriction = common_restriction(pending.iter().map(|(_, attempt)| attempt));
        let challenged =
            chosen.as_ref().or_else(|| pending.iter().max_by_key(|(_, attempt)| attempt.at)).filter(|_| restriction == TokenRestriction::Challenge);
        let set: Vec<(SmolStr, Vec<u8>)> = challenged
            .map(|(field, attempt)| self.open_challenge(field, attempt, user_record.origin(attempt.origin), chosen.is_some(), now))
            .into_iter()
            .collect();
        let is_logged = !self.retention.activity.is_zero() && self.store.has_activity();
        let row = chosen.as_ref().or(pending.first()).filter(|_| is_logged);
        let row = row.map(|(_, attempt)| self.success_row(event, attempt, chosen.is_some(), &user_record, learned));
        let sample = match (&chosen, learned) {
            (Some((_, attempt)), Learned::ProfileUpdated) => {
                user_record.origin(attempt.origin).cloned().map(|origin| Sample { attempt: *attempt, origin, device, proven: false })
            }
            (_, Learned::ProfileUpdated | Learned::Ambiguous | Learned::NothingPending | Learned::NotLearnable) => None,
        };
        if pending.is_empty() && user_record.forgotten.is_some() {
            // The attempt was erased with the user's data. Nothing about the user is recorded.
            self.record_client_capability(client, ClientCapability::ReportsOutcomes, now).await;
            return Ok(Success { learned, id: None, session: None, counted: None });
        }
        let mut remove = chosen.as_ref().map(|(field, attempt)| resolved_fields(field, attempt, &pending, now)).unwrap_or_default();
        if restriction == TokenRestriction::Challenge {
            remove.extend(user_record.surplus_challenges(now));
        }
        let is_believed = chosen.as_ref().and_then(|(_, attempt)| user_record.origin(attempt.origin)).is_some_and(|origin| origin.claim.is_trusted);
        let awaits_session = self.retention.awaits_session && !is_believed && !pending.is_empty();
        let merged = self.merge_record(user_record, sample.as_ref(), now, now);
        let counted = chosen.as_ref().and_then(|(_, attempt)| self.counted_success(self.pool_hash(&event.pool), attempt, &merged));
        let (mut set, mut sample) = (set, sample);
        let (mut session, mut awaiting) = (None, None);
        if awaits_session {
            let risk_level = decision.map_or(RiskLevel::Medium, |decision| decision.risk_level);
            awaiting = sample.take();
            let unjudged = chosen.as_ref().zip(awaiting.as_ref()).map(|((field, _), sample)| (sessions::unjudged_field(field), sample.to_bytes()));
            session = Some(AwaitedSession { sample: unjudged.as_ref().map(|(field, _)| field.clone()), risk_level });
            set.extend(unjudged);
        }
        let decision = decision.map(|decision| (client, decision));
        let profile_update = ProfileUpdate { keys: &keys, merged, sample, sample_field: None, awaiting, decision, restriction, set, remove, at: now, now };
        let activity_written = async {
            match &row {
                Some(row) => self.store.put_activity(row, self.retention.activity, now).await,
                None => Ok(()),
            }
        };
        let written = async {
            let (recorded, activity_written) = tokio::join!(self.apply_profile_update(profile_update), activity_written);
            activity_written.and(recorded)
        };
        let (written, ()) =
            tokio::join!(self.run_reported(StorePart::Success, written), self.record_client_capability(client, ClientCapability::ReportsOutcomes, now));
        let id = chosen.and_then(|(_, attempt)| attempt.id).map(|id| id.to_smolstr());
        written.map(|recorded| match recorded {
            Recorded::Done => Success { learned, id, session, counted },
            Recorded::Forgotten => Success { learned: Learned::NothingPending, id: None, session: None, counted: None },
        })
    }

    /// `LEARN=allow`: learns from the decision without waiting for a success. A concurrent update of the record is a conflict.
    async fn learn_from_decision(
        &self,
        pending_attempt: &PendingAttempt,
        merged: Option<MergedRecord>,
        attempt: Attempt,
        now: Timestamp,
    ) -> Result<Recorded, FailureReason> {
        let sample = Sample { attempt, origin: pending_attempt.origin.clone(), device: DeviceStatus::NotReported, proven: false };
        let is_migrated = merged.is_none();
        let mut merged = match merged {
            Some(merged) => merged,
            None => self.merge_record(self.read_and_migrate(&pending_attempt.keys, &[], now).await?, Some(&sample), now, attempt.at),
        };
        if merged.forgotten > pending_attempt.forgotten {
            return Ok(Recorded::Forgotten);
        }
        if let Some(migration) = pending_attempt.migration.as_ref().filter(|_| !is_migrated)
            && self.migrate_record(&pending_attempt.keys, pending_attempt.version, migration, now).await
        {
            merged.version += 1;
        }
        let remove = pending_attempt.stale.iter().cloned().chain([pending_attempt.field.clone()]).collect();
        let decision = LastDecision::of(&attempt).map(|decision| (attempt.client, decision));
        let restriction = common_restriction([&attempt]);
        let profile_update = ProfileUpdate {
            keys: &pending_attempt.keys,
            merged,
            sample: Some(sample),
            sample_field: None,
            awaiting: None,
            decision,
            restriction,
            set: Vec::new(),
            remove,
            at: attempt.at,
            now,
        };
        self.apply_profile_update(profile_update).await
    }

    /// The keyed hash of a pool's id.
    pub(super) fn pool_hash(&self, pool: &str) -> u32 {
        self.pseudonyms.short_hash("pool", &[pool.as_bytes()])
    }

    /// What is counted about the success of an attempt, with the record as it was before.
    pub(super) fn counted_success(&self, pool: u32, attempt: &Attempt, before: &MergedRecord) -> Option<CountedSuccess> {
        let is_first_of_day = before.last_success.is_none_or(|last| day_of(last) != day_of(attempt.at));
        Some(CountedSuccess { pool, is_first: before.profile.is_new(), is_first_of_day, decision: attempt.decision? })
    }

    pub(super) fn merge_record(&self, user_record: UserRecord, sample: Option<&Sample>, now: Timestamp, at: Timestamp) -> MergedRecord {
        let no_origin = Origin::default();
        user_record.into_merged(sample.map_or(&no_origin, |sample| &sample.origin), now, at, self.retention.history)
    }

    /// Writes a success. On a conflict, it stores the sample in a separate field, and the next writer adds it to the profile. Concurrent
    /// successes lose no data and need no lock.
    pub(super) async fn apply_profile_update(&self, profile_update: ProfileUpdate<'_>) -> Result<Recorded, FailureReason> {
        let ProfileUpdate { keys, merged, sample, sample_field, awaiting, decision, restriction, mut set, mut remove, at, now } = profile_update;
        let MergedRecord { version, mut profile, merged_samples, applied, expired, forgotten, restriction: held_until, min_ttl, last_success: _ } = merged;
        set.reserve(4);
        // A success without the pass of its challenge does not reset the count of failures.
        if restriction != TokenRestriction::Challenge {
            set.push((LAST_SUCCESS.into(), seconds(at).to_be_bytes().to_vec()));
        }
        set.extend(decision.map(|(client, decision)| (hash_field_name('s', client), decision.to_bytes())));
        if restriction == TokenRestriction::Withhold {
            let until = now.checked_add(self.retention.restriction).unwrap_or(now).max(held_until.unwrap_or(now));
            set.push(("h".into(), seconds(until).to_be_bytes().to_vec()));
        }
        let ttl = Ttl::Set(min_ttl.max(self.retention.record() + SLACK));
        self.remove_in_process(&keys[0], &remove, now).await?;
        remove.extend(expired);
        let contribute = |profile: &Profile| {
            let Some(sample) = &awaiting else { return self.template_contribution(keys, profile, now) };
            // The profile has it in five minutes, or as its session is judged. As if written earlier, the template does not prevent that of the judgement.
            let mut profile = profile.clone();
            sample.add_to(&mut profile, days(self.retention.history));
            self.template_contribution(keys, &profile, now.checked_sub(Duration::from_secs(RENEW_AFTER.into())).unwrap_or(now))
        };
        if sample.is_none() && merged_samples.is_empty() {
            let template = if awaiting.is_some() { contribute(&profile) } else { None };
            let change = Change { set, remove, ttl };
            let (recorded, ()) = tokio::join!(self.update_unless_forgotten(&keys[0], change, forgotten, now), self.write_template(template.as_ref(), now));
            if template.is_some() && recorded == Ok(Recorded::Forgotten) {
                self.remove_templates(&keys[0]).await;
            }
            return recorded;
        }
        if let Some(sample) = &sample {
            sample.add_to(&mut profile, days(self.retention.history));
        }
        let (set_count, remove_count) = (set.len(), remove.len());
        set.push(("p".into(), profile.to_bytes()));
        let sample_mark = sample_field.as_ref().and_then(outcome::applied_field);
        set.extend(applied.into_iter().chain(sample_mark).map(|mark| (mark, seconds(now).to_be_bytes().to_vec())));
        remove.extend(merged_samples);
        let change = Change { set, remove, ttl };
        let template = contribute(&profile);
        let (changed, ()) = tokio::join!(self.store.update_if_version(&keys[0], version, change, now), self.write_template(template.as_ref(), now));
        match changed? {
            Changed::Done => Ok(Recorded::Done),
            Changed::Conflict(Change { mut set, mut remove, ttl }) => {
                set.truncate(set_count);
                remove.truncate(remove_count);
                set.extend(sample.map(|sample| (sample_field.unwrap_or_else(|| user_record::field('l', &rand::random())), sample.to_bytes())));
                let recorded = self.update_unless_forgotten(&keys[0], Change { set, remove, ttl }, forgotten, now).await?;
                if recorded == Recorded::Forgotten {
                    self.remove_templates(&keys[0]).await;
                }
                Ok(recorded)
            }
        }
    }

    /// Records a client capability if its entry is missing or old.
    pub(super) async fn record_client_capability(&self, client: u32, capability: ClientCapability, now: Timestamp) {
        if self.block_list.load(now).is_due(client, capability, now) {
            let (name, value) = (capability.entry_name(client), ClientCapability::entry_value(now));
            self.report_write(StorePart::ClientUse, self.store.put_list_entry(List::BlockList, &name, &value, now.checked_add(CAPABILITY_TTL).ok())).await;
        }
    }

    /// The row of a success. `is_chosen` means that it completes this attempt, and not another one that is pending too.
    fn success_row(&self, event: &PostAuthentication, attempt: &Attempt, is_chosen: bool, user_record: &UserRecord, learned: Learned) -> ActivityBatch {
        let origin: Option<&Origin> = user_record.origin(attempt.origin);
        let hash = |level: FeatureLevel| origin.and_then(|origin| origin.features.first()?.at(level)).map(|hash| format!("{hash:08x}"));
        let decision = attempt.decision;
        let (user, at) = (self.user_pseudonym(&event.pool, &event.user), event.received.wall);
        let id = attempt.id.filter(|_| is_chosen).map(|id| id.to_smolstr());
        // The members of an outcome line, then what the history knows of the attempt.
        let what = serde_json::json!({
            "time": at, "trigger": "post_authentication", "id": id, "outcome": "success", "user": user,
            "pool": event.pool, "client": event.client,
            "score": decision.map(|answer| f64::from(answer.score) / 10.0),
            "level": decision.map(|decision| decision.risk_level.as_label()),
            "reasons": decision.map(|decision| decision.reasons.into_iter().filter(|reason| *reason > 0).collect::<Vec<u8>>()),
            "network": hash(FeatureLevel::Network), "asn": hash(FeatureLevel::Asn), "device": hash(FeatureLevel::Device), "agent": hash(FeatureLevel::UserAgent),
            "new_device": event.new_device_used, "learned": learned.as_label(),
        });
        let number = attempt.at.as_second().to_string();
        let row = ActivityRow { user, at, id: number.into(), what: what.to_string(), order: RowOrder::ByTime };
        ActivityBatch { rows: vec![row], ..ActivityBatch::default() }
    }

    pub(super) fn user_pseudonym(&self, pool: &str, user: &User) -> SmolStr {
        self.pseudonyms.user(pool, user.key())
    }
}

/// The attempts that a success may complete: those of this client that were not denied and are recent. If any has the nonce of the success,
/// only those with that nonce.
fn find_pending(user_record: &UserRecord, client: u32, nonce: Option<u32>, now: Timestamp, window: Duration) -> Vec<(SmolStr, Attempt)> {
    let is_recent = |at: Timestamp| u64::try_from(now.as_second() - at.as_second()).is_ok_and(|age| age < window.as_secs());
    let all = || user_record.attempts.iter().filter(|(_, attempt)| attempt.client == client && !attempt.was_denied() && is_recent(attempt.at));
    let with_nonce: Vec<_> = all().filter(|(_, attempt)| nonce.is_some() && attempt.nonce == nonce).cloned().collect();
    if with_nonce.is_empty() { all().cloned().collect() } else { with_nonce }
}

/// Chooses the pending attempt that the success completes, and whether it is learned from.
fn choose_attempt(pending: &[(SmolStr, Attempt)]) -> (Learned, Option<(SmolStr, Attempt)>) {
    let Some((_, first)) = pending.first() else { return (Learned::NothingPending, None) };
    if pending.iter().any(|(_, attempt)| attempt.origin != first.origin) {
        return (Learned::Ambiguous, None);
    }
    let decided: Vec<&(SmolStr, Attempt)> = pending.iter().filter(|(_, attempt)| attempt.decision.is_some()).collect();
    // An attempt that was followed much later by another of the same origin had a wrong password. The success may belong to any of the rest.
    // The choice is random, so that concurrent successes rarely choose the same one.
    let newest = decided.iter().map(|(_, attempt)| attempt.at.as_second()).max().unwrap_or_default();
    let latest: Vec<&(SmolStr, Attempt)> = decided.iter().copied().filter(|(_, attempt)| newest - attempt.at.as_second() < RETRY_WINDOW).collect();
    let chosen = (!latest.is_empty()).then(|| latest[rand::random_range(0..latest.len())].clone());
    match &chosen {
        Some(_) if decided.iter().all(|(_, attempt)| attempt.is_learnable()) => (Learned::ProfileUpdated, chosen),
        Some(_) | None => (Learned::NotLearnable, chosen),
    }
}

/// The fields that a success resolves: its attempt, and earlier ones of the same origin, which had a wrong password.
fn resolved_fields(field: &SmolStr, chosen: &Attempt, pending: &[(SmolStr, Attempt)], now: Timestamp) -> Vec<SmolStr> {
    let failed = pending.iter().filter(|(_, attempt)| attempt.origin == chosen.origin && now.as_second() - attempt.at.as_second() >= RETRY_WINDOW);
    let mut fields: Vec<SmolStr> = failed.map(|(field, _)| field.clone()).chain([field.clone()]).collect();
    fields.dedup();
    fields
}

impl Learned {
    /// The label in metrics and the activity table.
    pub fn as_label(self) -> &'static str {
        match self {
            Learned::ProfileUpdated => "learned",
            Learned::Ambiguous => "ambiguous",
            Learned::NothingPending => "no_attempt",
            Learned::NotLearnable => "refused",
        }
    }
}
