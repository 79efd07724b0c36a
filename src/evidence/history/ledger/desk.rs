//! The operator's desk: whose record is whose, what is in it, and how it is erased or blocked.

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use super::{Dossier, Ledger, SLACK};
use crate::evidence::{
    Cause,
    features::Level,
    history::{
        attempt::Origin,
        blocks::{Entry, Subject},
        pseudonym::PersonKeys,
        store::{Change, Keep, List, Row},
    },
};

/// One blocked subject, as `riskgate block list` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// `range 198.51.100.0/24`, `person u#..`.
    pub subject: String,
    /// What was decided.
    pub entry: Entry,
}

impl Ledger {
    /// The keys of a person's record, under the newest pseudonym key first.
    pub fn keys(&self, pool: &str, person: &str) -> PersonKeys {
        self.pseudonyms.person(pool, person)
    }

    /// The pseudonyms of a device or tenant in the shared list, under the newest key first.
    pub fn subject_keys(&self, purpose: &str, value: &str) -> PersonKeys {
        self.pseudonyms.records(purpose, &[value.as_bytes()])
    }

    /// Everything that is kept of a person.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn export(&self, pool: &str, person: &str, now: Timestamp) -> Result<Value, Cause> {
        let keys = self.keys(pool, person);
        let mut records = Vec::new();
        for key in &keys {
            let record = self.store.read(key, now).await?;
            let dossier = Dossier::read(&record);
            records.push(self.exported(key, dossier, now));
        }
        let user = self.pseudonyms.user(pool, person);
        let activity: Vec<Value> = self.activity(pool, person, now).await?.iter().map(|row| json!({ "at": row.at, "what": parsed(&row.what) })).collect();
        Ok(json!({ "user": user, "records": records, "activity": activity }))
    }

    /// Ends a hold on a person's tokens.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn release(&self, pool: &str, person: &str, now: Timestamp) -> Result<(), Cause> {
        for key in &self.keys(pool, person) {
            self.store.change(key, Change { remove: vec!["h".into()], keep: Keep::Least(SLACK), ..Change::default() }, now).await?;
        }
        Ok(())
    }

    /// Blocks or exempts a person.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn block_person(&self, pool: &str, person: &str, entry: &Entry, now: Timestamp) -> Result<(), Cause> {
        self.block_person_under(0, pool, person, entry, now).await
    }

    /// Blocks or exempts a person under the configured key of this number, the newest being 0.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn block_person_under(&self, number: usize, pool: &str, person: &str, entry: &Entry, now: Timestamp) -> Result<(), Cause> {
        let keys = self.keys(pool, person);
        let key = keys.get(number).unwrap_or(&keys[0]);
        let keep = Keep::Renew(entry.lasts(now).max(self.terms.history) + SLACK);
        self.store.change(key, Change { set: vec![("b".into(), entry.to_bytes())], remove: Vec::new(), keep }, now).await?;
        self.store.enlist(List::Persons, key, &self.listed(entry, number), entry.until).await
    }

    /// Ends a person's block.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn unblock_person(&self, pool: &str, person: &str, now: Timestamp) -> Result<(), Cause> {
        for key in &self.keys(pool, person) {
            self.store.change(key, Change { remove: vec!["b".into()], keep: Keep::Least(SLACK), ..Change::default() }, now).await?;
            self.store.delist(List::Persons, key).await?;
        }
        Ok(())
    }

    /// Blocks or exempts a range, a device, a client or a tenant.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn block(&self, subject: &Subject, entry: &Entry) -> Result<(), Cause> {
        self.block_under(0, subject, entry).await
    }

    /// Blocks or exempts a subject that is named under the configured key of this number, the newest being 0.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn block_under(&self, number: usize, subject: &Subject, entry: &Entry) -> Result<(), Cause> {
        let bytes = match subject {
            Subject::Device(_) | Subject::Tenant(_) => self.listed(entry, number),
            // In clear, under no key.
            Subject::Range(_) | Subject::Client(_) => entry.to_bytes(),
        };
        self.store.enlist(List::Shared, &subject.entry_name(), &bytes, entry.until).await
    }

    /// Ends a block.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn unblock(&self, subject: &Subject) -> Result<(), Cause> {
        self.store.delist(List::Shared, &subject.entry_name()).await
    }

    /// Every block in force.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn blocks(&self, now: Timestamp) -> Result<Vec<Listed>, Cause> {
        let (shared, persons) = tokio::try_join!(self.store.list(List::Shared, now), self.store.list(List::Persons, now))?;
        let shared = shared.iter().filter_map(|(name, bytes)| Some((name.strip_prefix("block#")?.replacen('#', " ", 1), Entry::from_bytes(bytes)?)));
        let persons = persons.iter().filter_map(|(key, bytes)| Some((format!("person u#{key}"), Entry::from_bytes(bytes)?)));
        Ok(shared.chain(persons).filter(|(_, entry)| entry.at(now).is_some()).map(|(subject, entry)| Listed { subject, entry }).collect())
    }

    pub(super) async fn activity(&self, pool: &str, person: &str, now: Timestamp) -> Result<Vec<Row>, Cause> {
        let mut rows = Vec::new();
        if self.store.name() != "dynamodb" {
            return Ok(rows);
        }
        for age in 0..=super::dossier::days(self.terms.history) {
            let Ok(at) = now.checked_sub(i64::from(age).saturating_mul(24).hours()) else { break };
            for user in self.pseudonyms.users(pool, person) {
                rows.extend(self.store.activity(&at.strftime("%Y-%m-%d").to_string(), Some(&user)).await?);
            }
        }
        Ok(rows)
    }

    fn exported(&self, key: &str, dossier: Dossier, now: Timestamp) -> Value {
        let day = |day: u16| Timestamp::from_second(i64::from(day) * 86_400).map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
        let attempts: Vec<Value> = dossier
            .attempts
            .iter()
            .map(|(_, attempt)| json!({ "at": attempt.at, "level": attempt.answer.map(|answer| answer.standing.as_label()), "origin": format!("{:08x}", attempt.origin) }))
            .collect();
        let (last_success, hold, block, forgotten) = (dossier.last_success, dossier.hold, dossier.block.clone(), dossier.forgotten);
        let profile = dossier.into_profile(&Origin::default(), now, self.terms.history);
        let entries: Vec<Value> = profile
            .entries
            .iter()
            .map(|entry| json!({ "level": level_name(entry.level), "hash": format!("{:08x}", entry.hash), "count": entry.count, "first_day": day(entry.first_day), "last_day": day(entry.last_day) }))
            .collect();
        let last = profile
            .last
            .map(|last| json!({ "at": last.at, "latitude": last.place.map(|place| place.latitude), "longitude": last.place.map(|place| place.longitude) }));
        json!({
            "key": format!("u#{key}"), "successes": profile.successes, "hours": profile.hours, "last": last, "values": entries, "attempts": attempts,
            "last_success": last_success, "tokens_held_until": hold, "block": block, "forgotten_at": forgotten,
        })
    }
}

fn parsed(what: &str) -> Value {
    serde_json::from_str(what).unwrap_or(Value::Null)
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Country => "country",
        Level::Asn => "asn",
        Level::Network => "network",
        Level::Ip => "ip",
        Level::DeviceType => "device_type",
        Level::Os => "os",
        Level::Browser => "browser",
        Level::UserAgent => "user_agent",
        Level::Device => "device",
    }
}
