//! What a token's maker has to know: how the person last signed in, and what an operator has decided. One read.

use jiff::Timestamp;

use super::Ledger;
use crate::{
    event::cognito::PreTokenGeneration,
    evidence::{
        Cause,
        history::{
            Block,
            attempt::{Completeness, Hold, Standing},
            blocks::{Deed, strongest},
            unread::{Part, Unread},
        },
    },
};

/// What is known when a token is made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenFacts {
    /// The sign-in's assessment; none when it left no trace.
    pub sign_in: Option<SignedIn>,
    /// Whether groups and scopes are withheld.
    pub hold: Hold,
    /// A suspension or exemption of the person, the client or the tenant.
    pub block: Option<Block>,
    /// What could not be read beside the person's record.
    pub unread: Unread,
}

/// A sign-in's assessment, as it was kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignedIn {
    /// When.
    pub at: Timestamp,
    /// Its level.
    pub level: Standing,
    /// Whether something that was due had not answered.
    pub completeness: Completeness,
    /// Its score, 0 to 100.
    pub score: f64,
}

// === impl Ledger ===

impl Ledger {
    /// What an operator has decided about the client of a machine's token.
    ///
    /// # Errors
    ///
    /// The list of blocks was never read, because the store could not be reached.
    pub async fn machine_token(&self, event: &PreTokenGeneration) -> Result<TokenFacts, Cause> {
        let now = event.received.wall;
        self.refresh_and_report(now).await;
        if !self.has_blocks(now) {
            return Err(self.shared.cause().unwrap_or(Cause::NoStore));
        }
        let tenant = event.tenant.as_ref().map(|tenant| tenant.expose().as_str());
        let block = strongest(self.shared.load(now).of_account(&event.client, tenant, &self.pseudonyms, now));
        Ok(TokenFacts { block, unread: self.unread_lists(), ..TokenFacts::default() })
    }

    /// What is known of a token's person: one read. It starts no restriction.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn token(&self, event: &PreTokenGeneration) -> Result<TokenFacts, Cause> {
        let now = event.received.wall;
        let keys = self.pseudonyms.person(&event.pool, event.person.key());
        let marks = self.marks_of(&event.pool, &event.client, None, None);
        let client = marks[0].client;
        let (dossier, ()) = tokio::join!(self.reported(Part::Record, self.moved_dossier(&keys, &marks, now)), self.refresh_and_report(now));
        let dossier = dossier?;
        let shared = self.shared.load(now);
        let tenant = event.tenant.as_ref().map(|tenant| tenant.expose().as_str());
        self.carry_over_blocks(&self.moved_tenant(&shared, tenant), now).await;
        let of_account = shared.of_account(&event.client, tenant, &self.pseudonyms, now);
        let block = strongest(of_account.into_iter().chain(dossier.block.as_ref().and_then(|entry| entry.at(now))));
        // A refresh may arrive as a sign-in: only a success that was reported, which recorded its level and its restriction, counts here.
        let hold = if dossier.hold.is_some_and(|until| until > now) { Hold::Withhold } else { Hold::None };
        let verdict = dossier.sign_in(client);
        self.witness(client, Deed::Mints, now).await;
        self.record_key_use(!event.pool.is_empty(), now).await;
        let sign_in = verdict.map(|verdict| SignedIn {
            at: verdict.at,
            level: verdict.standing,
            completeness: verdict.completeness,
            score: f64::from(verdict.score) / 10.0,
        });
        Ok(TokenFacts { sign_in, hold, block, unread: self.unread_lists() })
    }
}
