//! The facts for token generation: the user's last sign-in, the token restriction and blocks. One read.

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::repository::{HistoryRepository, sessions::UNJUDGED_TTL};
use crate::{
    attempt::{Completeness, RiskLevel, TokenRestriction},
    block_list::{ClientCapability, select_effective},
};
use riskgate_engine::evidence::{
    FailureReason,
    history::Block,
    store_parts::{StorePart, UnreadParts},
};
use riskgate_event::cognito::PreTokenGeneration;

/// The facts for token generation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenFacts {
    /// The last sign-in through this client; `None` if there is no record of it.
    pub sign_in: Option<SignInSummary>,
    /// Whether groups and scopes are withheld, and why.
    pub restriction: TokenRestriction,
    /// If a challenge restricts the tokens: when the challenged sign-in was assessed. A stronger proof has to be later.
    pub challenged_since: Option<Timestamp>,
    /// A suspension or exemption of the user, the client or the tenant.
    pub block: Option<Block>,
    /// The parts other than the user record that could not be read.
    pub unread: UnreadParts,
    /// The facts for the look-up of the session.
    pub session: TokenSessionFacts,
}

/// The facts for the look-up of a token's session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenSessionFacts {
    /// Whether successes of this app client are reported, so each is looked up then.
    pub reports_success: bool,
    /// The assessment of the user's newest attempt through this client, if it is recent.
    pub assessment: Option<SmolStr>,
    /// Whether a session has to be looked up again at a refresh.
    pub is_recheck_due: bool,
    /// Whether the user signed in during the last five minutes, so this may be the token of that sign-in.
    pub has_recent_success: bool,
}

/// The stored decision on a sign-in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignInSummary {
    /// When the user signed in.
    pub at: Timestamp,
    /// The risk level.
    pub level: RiskLevel,
    /// Whether all evidence was available.
    pub completeness: Completeness,
    /// The score, 0 to 100.
    pub score: f64,
}

impl HistoryRepository {
    /// The facts for a machine-to-machine token: blocks of the client and the tenant.
    ///
    /// # Errors
    ///
    /// No usable block list, because the store could not be reached.
    pub async fn read_machine_token_facts(&self, event: &PreTokenGeneration) -> Result<TokenFacts, FailureReason> {
        let now = event.received.wall;
        self.refresh_lists_and_report(now).await;
        if !self.has_blocks(now) {
            return Err(self.block_list.cause().unwrap_or(FailureReason::NoStore));
        }
        let tenant = event.tenant.as_ref().map(|tenant| tenant.expose().as_str());
        let block = select_effective(self.block_list.load(now).account_blocks(&event.client, tenant, &self.pseudonyms, now));
        Ok(TokenFacts { block, unread: self.unread_lists(), ..TokenFacts::default() })
    }

    /// The facts for a user's token: one read. It starts no restriction.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn read_token_facts(&self, event: &PreTokenGeneration) -> Result<TokenFacts, FailureReason> {
        let now = event.received.wall;
        let keys = self.pseudonyms.user_keys(&event.pool, event.user.key());
        let hashes = self.hash_event(&event.pool, &event.client, None, None);
        let client = hashes[0].client;
        let (user_record, ()) =
            tokio::join!(self.run_reported(StorePart::Record, self.read_and_migrate(&keys, &hashes, now)), self.refresh_lists_and_report(now));
        let user_record = user_record?;
        let block_list = self.block_list.load(now);
        let tenant = event.tenant.as_ref().map(|tenant| tenant.expose().as_str());
        self.migrate_blocks(&self.find_migrated_tenant(&block_list, tenant), now).await;
        let account_blocks = block_list.account_blocks(&event.client, tenant, &self.pseudonyms, now);
        let block = select_effective(account_blocks.into_iter().chain(user_record.block.as_ref().and_then(|entry| entry.at(now))));
        // A token refresh may look like a sign-in. Only a reported success counts here, because it recorded a level and a restriction.
        let challenged_since = user_record.challenged_since(now);
        let restriction = match user_record.restriction {
            _ if challenged_since.is_some() => TokenRestriction::Challenge,
            Some(until) if until > now => TokenRestriction::Withhold,
            Some(_) | None => TokenRestriction::None,
        };
        let decision = user_record.sign_in(client);
        let session = if self.retention.awaits_session {
            TokenSessionFacts {
                reports_success: block_list.has_capability(hashes.iter().map(|hashes| hashes.client), ClientCapability::ReportsOutcomes),
                assessment: user_record.newest_assessment(client, now, self.retention.pending),
                is_recheck_due: user_record.is_recheck_due(now, self.retention.recheck),
                has_recent_success: user_record.last_success.is_some_and(|at| now.as_second() - at.as_second() < UNJUDGED_TTL),
            }
        } else {
            TokenSessionFacts::default()
        };
        self.record_client_capability(client, ClientCapability::IssuesTokens, now).await;
        self.record_key_use(!event.pool.is_empty(), now).await;
        let sign_in = decision.map(|decision| SignInSummary {
            at: decision.at,
            level: decision.risk_level,
            completeness: decision.completeness,
            score: f64::from(decision.score) / 10.0,
        });
        Ok(TokenFacts { sign_in, restriction, challenged_since, block, unread: self.unread_lists(), session })
    }
}
