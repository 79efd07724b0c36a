//! Forgetting a person: the record is replaced by the moment of forgetting, which bars what was under way from bringing it back.
//!
//! A sign-in, an assessment that awaits its outcome and a success each know which moment they found. What finds a later one when it writes
//! takes its write back. The moment says nothing of the person, and expires once nothing older can be under way.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use smol_str::SmolStr;

use super::{Dossier, Ledger};
use crate::evidence::{
    Cause,
    history::{
        decoy,
        store::{Change, Keep, List, Record},
    },
};

/// The field of a record: when the person was forgotten, in milliseconds.
pub(super) const FORGOTTEN: &str = "f";

/// That field is stored as long as an assessment may wait for its outcome, and a day.
pub(super) const FORGOTTEN_TTL: Duration = Duration::from_secs(8 * 86_400);

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// It happened.
    Done,
    /// The person was forgotten since: there is nothing of it.
    Forgotten,
}

/// When the person of a record was forgotten.
pub(super) fn forgotten_at(record: &Record) -> Option<Timestamp> {
    let bytes = record.fields.get(FORGOTTEN)?.first_chunk()?;
    Timestamp::from_millisecond(i64::from_be_bytes(*bytes)).ok()
}

impl Ledger {
    /// Erases everything that is kept of a person, a block and what their history lent to decoys included; returns how many activity rows went with it.
    ///
    /// # Errors
    ///
    /// The store could not be reached; then it has to be done again.
    pub async fn forget(&self, pool: &str, person: &str, now: Timestamp) -> Result<usize, Cause> {
        // A version that nothing has read: whatever is under way conflicts.
        let version = u64::try_from(now.as_second()).unwrap_or_default();
        let moment = now.as_millisecond().to_be_bytes().to_vec();
        let forgotten = Record { version, fields: BTreeMap::from([(FORGOTTEN.into(), moment)]) };
        // The oldest key first: what is being moved to a newer one is replaced there.
        for key in self.keys(pool, person).iter().rev() {
            // A record that cannot be read is replaced all the same.
            let record = self.store.read(key, now).await.unwrap_or_default();
            for id in Dossier::read(&record).attempts.iter().filter_map(|(_, attempt)| attempt.id) {
                self.use_up(&id.to_string(), now).await?;
            }
            self.store.replace(key, forgotten.clone(), FORGOTTEN_TTL, now).await?;
            self.store.delist(List::Persons, key).await?;
            for place in self.template_places(key) {
                self.store.delist(List::Shapes, &place).await?;
            }
        }
        let rows = self.activity(pool, person, now).await?;
        for row in &rows {
            self.store.erase_row(row).await?;
        }
        Ok(rows.len())
    }

    /// Changes a person's record, and takes the change back if the person was forgotten after the moment that the caller has found.
    pub(super) async fn change_unless_forgotten(&self, key: &str, change: Change, found: Option<Timestamp>, now: Timestamp) -> Result<Recorded, Cause> {
        let fields: Vec<SmolStr> = change.set.iter().map(|(name, _)| name.clone()).collect();
        let is_forgotten = forgotten_at(&*self.store.change(key, change, now).await?) > found;
        if !is_forgotten {
            return Ok(Recorded::Done);
        }
        self.store.change(key, Change { set: Vec::new(), remove: fields, keep: Keep::Least(FORGOTTEN_TTL) }, now).await?;
        Ok(Recorded::Forgotten)
    }

    /// Ends what a person's history has lent to decoys while they were being forgotten.
    pub(super) async fn withdraw_templates(&self, key: &str) {
        for place in self.template_places(key) {
            self.end_listed(List::Shapes, &place).await;
        }
    }

    /// Where what a person's history lent to decoys may be: which instance wrote it, and so under which key its place was drawn, is not known.
    fn template_places(&self, key: &str) -> Vec<String> {
        self.pseudonyms.marks("shape", &[key.as_bytes()]).into_iter().flat_map(decoy::places).map(|place| place.to_string()).collect()
    }
}
