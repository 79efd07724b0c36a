//! What a token's maker has to know: how the person last signed in, and what an operator has decided. One read.

use jiff::Timestamp;

use super::{
    Ledger, SLACK,
    dossier::{Verdict, holds},
};
use crate::{
    event::cognito::PreTokenGeneration,
    evidence::{
        Cause,
        history::{
            Block,
            attempt::{Attempt, Completeness, Hold, Standing},
            blocks::{Deed, strongest},
            profile::seconds,
            store::{Change, Keep},
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

/// What a token is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    /// A sign-in: the password was right just now.
    SignIn,
    /// Anything later.
    Renewal,
}

// === impl TokenSource ===

impl TokenSource {
    /// Reads the part of `triggerSource` after `TokenGeneration_`.
    pub fn of(source: &str) -> Self {
        match source {
            "Authentication" | "HostedAuth" | "NewPasswordChallenge" | "AuthenticateDevice" => TokenSource::SignIn,
            _ => TokenSource::Renewal,
        }
    }
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
        self.refresh(now).await;
        if !self.has_read_blocks() {
            return Err(Cause::NoStore);
        }
        let tenant = event.tenant.as_ref().map(|tenant| tenant.expose().as_str());
        let block = strongest(self.shared.list.load().of_account(&event.client, tenant, &self.pseudonyms, now));
        Ok(TokenFacts { block, ..TokenFacts::default() })
    }

    /// What is known of a token's person: one read; one write when a hold begins here because no post-authentication came.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn token(&self, event: &PreTokenGeneration) -> Result<TokenFacts, Cause> {
        let now = event.received.wall;
        let keys = self.pseudonyms.person(&event.pool, event.person.key());
        let marks = self.marks_of(&event.pool, &event.client, None, None);
        let client = marks[0].client;
        let (dossier, ()) = tokio::join!(self.moved_dossier(&keys, &marks, now), self.refresh(now));
        let dossier = dossier?;
        let shared = self.shared.list.load_full();
        let tenant = event.tenant.as_ref().map(|tenant| tenant.expose().as_str());
        self.carry_over_blocks(&self.moved_tenant(&shared, tenant), now).await;
        let of_account = shared.of_account(&event.client, tenant, &self.pseudonyms, now);
        let block = strongest(of_account.into_iter().chain(dossier.block.as_ref().and_then(|entry| entry.at(now))));
        let mut hold = if dossier.hold.is_some_and(|until| until > now) { Hold::Withhold } else { Hold::None };
        let mut verdict = dossier.sign_in(client);
        if TokenSource::of(&event.source) == TokenSource::SignIn && !shared.has_seen(marks.iter().map(|marks| marks.client), Deed::Reports) {
            // Managed login may send no post-authentication: that a token is made at all says that a pending attempt succeeded.
            let window = i64::try_from(self.terms.pending.as_secs()).unwrap_or(i64::MAX);
            let recent = |attempt: &&Attempt| (0..window).contains(&(now.as_second() - attempt.at.as_second()));
            let pending: Vec<&Attempt> = dossier
                .attempts
                .iter()
                .map(|(_, attempt)| attempt)
                .filter(|attempt| attempt.client == client && !attempt.was_denied())
                .filter(recent)
                .collect();
            let worst = pending.iter().filter_map(|attempt| Verdict::of(attempt)).max_by_key(|verdict| (verdict.standing, verdict.completeness, verdict.at));
            verdict = worst.filter(|worst| verdict.is_none_or(|kept| kept.at < worst.at)).or(verdict);
            if hold == Hold::None && holds(pending) == Hold::Withhold {
                hold = Hold::Withhold;
                let until = now.checked_add(self.terms.hold).unwrap_or(now);
                let change = Change {
                    set: vec![("h".into(), seconds(until).to_be_bytes().to_vec())],
                    remove: Vec::new(),
                    keep: Keep::Renew(dossier.kept(now, self.terms.history.max(self.terms.hold) + SLACK)),
                };
                self.store.change(&keys[0], change, now).await?;
            }
        }
        self.witness(client, Deed::Mints, now).await;
        self.record_key_use(!event.pool.is_empty(), now).await;
        let sign_in = verdict.map(|verdict| SignedIn {
            at: verdict.at,
            level: verdict.standing,
            completeness: verdict.completeness,
            score: f64::from(verdict.score) / 10.0,
        });
        Ok(TokenFacts { sign_in, hold, block })
    }
}
