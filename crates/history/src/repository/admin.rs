//! Operations for operators: keys, export, and blocks of a user.

use jiff::{Timestamp, ToSpan as _};
use serde::Deserialize;
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::repository::{HistoryRepository, retention::SLACK, user_record::UserRecord};
use crate::{
    attempt::Origin,
    block_list::{BlockEntry, BlockSubject},
};
use riskgate_config::pseudonym::UserKeys;
use riskgate_engine::{evidence::FailureReason, features::FeatureLevel};
use riskgate_store::{
    Change, List, Ttl,
    activity::{ActivityRange, ActivityRow},
};

/// One blocked subject, as `riskgate block list` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedBlock {
    /// The subject as text: `range 198.51.100.0/24`, `person u#..`.
    pub subject: String,
    /// The block.
    pub entry: BlockEntry,
}

/// The fields that [`HistoryRepository::lift_restriction_of`] removed, by the key of the record.
#[derive(Debug, Default)]
pub struct LiftedRestriction(Vec<(SmolStr, RecordFields)>);

/// Fields of a record, with their names.
type RecordFields = Vec<(SmolStr, Vec<u8>)>;

/// The member of a stored decision that names the user's records.
#[derive(Deserialize)]
struct RowKeys {
    #[serde(default)]
    keys: Vec<SmolStr>,
}

impl HistoryRepository {
    /// The keys of a user's records, that of the newest pseudonym key first.
    pub fn record_keys(&self, pool: &str, user: &str) -> UserKeys {
        self.pseudonyms.user_keys(pool, user)
    }

    /// The pseudonyms of a device or tenant in the block list, that of the newest key first.
    pub fn subject_keys(&self, purpose: &str, value: &str) -> UserKeys {
        self.pseudonyms.records(purpose, &[value.as_bytes()])
    }

    /// Exports everything that is stored about a user.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn export(&self, pool: &str, user: &str, now: Timestamp) -> Result<Value, FailureReason> {
        let records = self.export_records(&self.record_keys(pool, user), now).await?;
        let pseudonym = self.pseudonyms.user(pool, user);
        let activity: Vec<Value> =
            self.read_activity(pool, user, now).await?.iter().map(|row| json!({ "at": row.at, "what": parse_json(&row.what) })).collect();
        Ok(json!({ "user": pseudonym, "records": records, "activity": activity }))
    }

    /// Lifts the restrictions of a user's tokens, those of challenges included.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn lift_restriction(&self, pool: &str, user: &str, now: Timestamp) -> Result<(), FailureReason> {
        self.lift_restriction_of(&self.record_keys(pool, user), now).await.map(|_| ())
    }

    /// Lifts the restrictions of the tokens of a user, given by the keys of the records. Returns what was removed, for
    /// [`Self::restore_restriction`].
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn lift_restriction_of(&self, keys: &UserKeys, now: Timestamp) -> Result<LiftedRestriction, FailureReason> {
        let mut lifted = LiftedRestriction::default();
        for key in keys {
            let record = self.store.get_record(key, now).await?;
            let remove: Vec<SmolStr> = UserRecord::parse(&record).challenge_fields(|_| true).into_iter().chain(["h".into()]).collect();
            let removed = record.fields.iter().filter(|(name, _)| remove.contains(name)).map(|(name, bytes)| (name.clone(), bytes.to_vec())).collect();
            self.store.update(key, Change { remove, ttl: Ttl::AtLeast(SLACK), ..Change::default() }, now).await?;
            lifted.0.push((key.clone(), removed));
        }
        Ok(lifted)
    }

    /// Restores a restriction that was lifted by mistake.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn restore_restriction(&self, lifted: &LiftedRestriction, now: Timestamp) -> Result<(), FailureReason> {
        for (key, fields) in lifted.0.iter().filter(|(_, fields)| !fields.is_empty()) {
            self.store.update(key, Change { set: fields.clone(), remove: Vec::new(), ttl: Ttl::AtLeast(SLACK) }, now).await?;
        }
        Ok(())
    }

    /// The block of a user, given by the keys of the records. An expired one counts as none.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn read_user_block(&self, keys: &UserKeys, now: Timestamp) -> Result<Option<BlockEntry>, FailureReason> {
        for key in keys {
            let block = UserRecord::parse(&*self.store.get_record(key, now).await?).block;
            if let Some(block) = block.filter(|block| block.at(now).is_some()) {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// Blocks or exempts a user, or removes the block, under each of the keys of the records.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn put_user_block(&self, keys: &UserKeys, entry: Option<&BlockEntry>, now: Timestamp) -> Result<(), FailureReason> {
        for (index, key) in keys.iter().enumerate() {
            match entry {
                Some(entry) => self.put_record_block(index, key, entry, now).await?,
                None => self.remove_record_block(key, now).await?,
            }
        }
        Ok(())
    }

    /// The block of a range, a device, a client or a tenant. An expired one counts as none.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn read_block(&self, subject: &BlockSubject, now: Timestamp) -> Result<Option<BlockEntry>, FailureReason> {
        let entries = self.store.list_entries(List::BlockList, now).await?;
        let entry = entries.get(&subject.entry_name()).and_then(|bytes| BlockEntry::from_bytes(bytes));
        Ok(entry.filter(|entry| entry.at(now).is_some()))
    }

    /// What is stored about a user, given by the keys of the records: the profile, open challenges, restriction and block.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn export_records(&self, keys: &UserKeys, now: Timestamp) -> Result<Vec<Value>, FailureReason> {
        let mut records = Vec::new();
        for key in keys {
            let mut user_record = UserRecord::parse(&*self.store.get_record(key, now).await?);
            user_record.release_unjudged(now);
            records.push(self.export_record(key, user_record, now));
        }
        Ok(records)
    }

    /// Blocks or exempts a user.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn block_user(&self, pool: &str, user: &str, entry: &BlockEntry, now: Timestamp) -> Result<(), FailureReason> {
        self.block_user_under(0, pool, user, entry, now).await
    }

    /// Blocks or exempts a user under the configured key of this index. The newest key has index 0.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn block_user_under(&self, key_index: usize, pool: &str, user: &str, entry: &BlockEntry, now: Timestamp) -> Result<(), FailureReason> {
        let keys = self.record_keys(pool, user);
        let key = keys.get(key_index).unwrap_or(&keys[0]);
        self.put_record_block(key_index, key, entry, now).await
    }

    async fn put_record_block(&self, key_index: usize, key: &str, entry: &BlockEntry, now: Timestamp) -> Result<(), FailureReason> {
        let ttl = Ttl::Set(entry.remaining(now).max(self.retention.history) + SLACK);
        self.store.update(key, Change { set: vec![("b".into(), entry.to_bytes())], remove: Vec::new(), ttl }, now).await?;
        self.store.put_list_entry(List::BlockedUsers, key, &self.list_entry_bytes(entry, key_index), entry.until).await
    }

    /// Removes the block of a user.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn unblock_user(&self, pool: &str, user: &str, now: Timestamp) -> Result<(), FailureReason> {
        self.put_user_block(&self.record_keys(pool, user), None, now).await
    }

    async fn remove_record_block(&self, key: &str, now: Timestamp) -> Result<(), FailureReason> {
        self.store.update(key, Change { remove: vec!["b".into()], ttl: Ttl::AtLeast(SLACK), ..Change::default() }, now).await?;
        self.store.delete_list_entry(List::BlockedUsers, key).await
    }

    /// Blocks or exempts a range, a network, an AS, a device, a client or a tenant.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn block(&self, subject: &BlockSubject, entry: &BlockEntry) -> Result<(), FailureReason> {
        self.block_under(0, subject, entry).await
    }

    /// Blocks or exempts a subject under the configured key of this index. The newest key has index 0.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn block_under(&self, key_index: usize, subject: &BlockSubject, entry: &BlockEntry) -> Result<(), FailureReason> {
        let bytes = match subject {
            BlockSubject::Network(_) | BlockSubject::Device(_) | BlockSubject::Tenant(_) => self.list_entry_bytes(entry, key_index),
            // Named in clear text, without a key.
            BlockSubject::Range(_) | BlockSubject::Asn(_) | BlockSubject::Client(_) => entry.to_bytes(),
        };
        self.store.put_list_entry(List::BlockList, &subject.entry_name(), &bytes, entry.until).await
    }

    /// Removes a block.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn unblock(&self, subject: &BlockSubject) -> Result<(), FailureReason> {
        self.store.delete_list_entry(List::BlockList, &subject.entry_name()).await
    }

    /// Lists the blocks that have not expired.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn blocks(&self, now: Timestamp) -> Result<Vec<ListedBlock>, FailureReason> {
        let (block_list, users) = tokio::try_join!(self.store.list_entries(List::BlockList, now), self.store.list_entries(List::BlockedUsers, now))?;
        let listed = block_list.iter().filter_map(|(name, bytes)| Some((name.strip_prefix("block#")?.replacen('#', " ", 1), BlockEntry::from_bytes(bytes)?)));
        let users = users.iter().filter_map(|(key, bytes)| Some((format!("person u#{key}"), BlockEntry::from_bytes(bytes)?)));
        Ok(listed.chain(users).filter(|(_, entry)| entry.at(now).is_some()).map(|(subject, entry)| ListedBlock { subject, entry }).collect())
    }

    /// The activity rows of a user, under every pseudonym, oldest first. Rows of earlier versions were stored as long as the history.
    pub(super) async fn read_activity(&self, pool: &str, user: &str, now: Timestamp) -> Result<Vec<ActivityRow>, FailureReason> {
        let mut rows = Vec::new();
        if !self.store.has_activity() {
            return Ok(rows);
        }
        for pseudonym in self.pseudonyms.users(pool, user) {
            rows.extend(self.store.read_activity_of(&pseudonym, self.activity_range(now), now).await?);
        }
        rows.sort_by_key(|row| row.at);
        Ok(rows)
    }

    /// All times of which rows may be stored.
    fn activity_range(&self, now: Timestamp) -> ActivityRange {
        let days = i64::from(crate::repository::user_record::days(self.retention.history.max(self.retention.activity)));
        let from = now.checked_sub(days.saturating_mul(24).hours()).unwrap_or(Timestamp::UNIX_EPOCH);
        // A row that is stored while this runs is included.
        ActivityRange { from, to: now.checked_add(1.hour()).unwrap_or(now) }
    }

    /// The keys of a user's records by the pseudonym in audit lines, from the newest stored decision. `None` if the store has no decision of the
    /// user.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn keys_of_account(&self, pseudonym: &str, now: Timestamp) -> Result<Option<UserKeys>, FailureReason> {
        if !self.store.has_activity() {
            return Ok(None);
        }
        let mut rows = self.store.read_activity_of(pseudonym, self.activity_range(now), now).await?;
        rows.sort_by_key(|row| std::cmp::Reverse(row.at));
        let keys = |row: &ActivityRow| serde_json::from_str::<RowKeys>(&row.what).ok().filter(|row| !row.keys.is_empty());
        Ok(rows.iter().find_map(keys).map(|row| row.keys.into_iter().collect()))
    }

    fn export_record(&self, key: &str, user_record: UserRecord, now: Timestamp) -> Value {
        let day = |day: u16| Timestamp::from_second(i64::from(day) * 86_400).map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
        let attempts: Vec<Value> = user_record
            .attempts
            .iter()
            .map(|(_, attempt)| json!({ "at": attempt.at, "level": attempt.decision.map(|decision| decision.risk_level.as_label()), "origin": format!("{:08x}", attempt.origin) }))
            .collect();
        let challenges: Vec<Value> = user_record.challenges.values().map(|open| json!({ "since": open.since, "until": open.until })).collect();
        let (last_success, restriction, block, forgotten) =
            (user_record.last_success, user_record.restriction, user_record.block.clone(), user_record.forgotten);
        let profile = user_record.into_profile(&Origin::default(), now, self.retention.history);
        let entries: Vec<Value> = profile
            .entries
            .iter()
            .map(|entry| json!({ "level": level_name(entry.level), "hash": format!("{:08x}", entry.hash), "count": entry.count, "first_day": day(entry.first_day), "last_day": day(entry.last_day), "verified": entry.verified }))
            .collect();
        let last = profile.last.map(
            |last| json!({ "at": last.at, "latitude": last.location.map(|place| place.latitude), "longitude": last.location.map(|place| place.longitude) }),
        );
        json!({
            "key": format!("u#{key}"), "successes": profile.successes, "hours": profile.hours, "last": last, "values": entries, "attempts": attempts,
            "last_success": last_success, "tokens_held_until": restriction, "challenges": challenges, "block": block, "forgotten_at": forgotten,
        })
    }
}

fn parse_json(what: &str) -> Value {
    serde_json::from_str(what).unwrap_or(Value::Null)
}

fn level_name(level: FeatureLevel) -> &'static str {
    match level {
        FeatureLevel::Country => "country",
        FeatureLevel::Asn => "asn",
        FeatureLevel::Network => "network",
        FeatureLevel::Ip => "ip",
        FeatureLevel::DeviceType => "device_type",
        FeatureLevel::Os => "os",
        FeatureLevel::Browser => "browser",
        FeatureLevel::UserAgent => "user_agent",
        FeatureLevel::Device => "device",
    }
}
