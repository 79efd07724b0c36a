//! Sessions of the user pool: successes that wait for their session's judgement, and what it teaches.
//!
//! A success is stored beside the profile until its session was judged or five minutes have passed. A confirmed session replaces the claimed
//! address by the one that the user pool saw; a denied one removes the success.

use std::time::Duration;

use jiff::Timestamp;
use smol_str::{SmolStr, ToSmolStr};
use ulid::Ulid;

use crate::{
    attempt::{Attempt, AttemptDecision, AttemptKind, ClaimFlags, Origin, RiskLevel, TokenRestriction},
    repository::{
        HistoryRepository,
        forgetting::Recorded,
        learning::ProfileUpdate,
        retention::SLACK,
        user_record::{Sample, UserRecord},
        windows::format_ip,
    },
};
use riskgate_config::pseudonym::UserKeys;
use riskgate_engine::{
    client_ip::host_of,
    encoding::hash_field_name,
    evidence::{Evidence, FailureReason, store_parts::StorePart},
    features::{FeatureLevel, Features},
    network_facts::NetworkKind,
    profile::{DeviceStatus, SignInLocation, seconds},
};
use riskgate_store::{Change, EntryTime, MissingWindow, Ttl, WindowEntry};

/// Prefix of the field of a success whose session is not judged yet.
pub(super) const UNJUDGED: &str = "v";

/// Prefix of the field with the place where a session was first seen.
pub(super) const SIGHTING: &str = "y";

/// The field with the time of the last look-up at a refresh.
pub(super) const RECHECKED: &str = "g";

/// Seconds after which a success is learned from without a judgement.
pub(super) const UNJUDGED_TTL: i64 = 300;

/// Maximum number of sessions of a user whose first place is stored.
const MAX_SIGHTINGS: usize = 8;

/// Users of one app client from one address in an hour from which the address is shared.
const SHARED_FROM: usize = 10;

/// How long an address, or a hosting provider, stays known as shared by a client's users.
const SHARED_TTL: Duration = Duration::from_secs(7 * 86_400);

/// Judged sessions of an app client before any of its sessions is revoked: until then, a backend's address may not be known as shared.
const NEW_CLIENT_SESSIONS: u64 = 20;

/// How long the count of a client's judged sessions lasts.
const NEW_CLIENT_TTL: Duration = Duration::from_secs(90 * 86_400);

/// How long a judged message is remembered: longer than the queue may deliver it.
const JUDGED_TTL: Duration = Duration::from_secs(3600);

/// The value of a judged message.
const JUDGED: &[u8] = b"-";

/// A success whose session is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedSession {
    /// The record field of the success; `None` if it is not learned from.
    pub sample: Option<SmolStr>,
    /// The risk level of the decision.
    pub risk_level: RiskLevel,
}

/// A sign-in, as the message about its session names it.
#[derive(Debug, Clone, Copy)]
pub struct SessionSignIn<'a> {
    /// The user pool's id.
    pub pool: &'a str,
    /// The keys of the user's record, newest first.
    pub keys: &'a UserKeys,
    /// The app client.
    pub client: &'a str,
    /// The assessment.
    pub id: &'a str,
    /// The record field of the success.
    pub sample: Option<&'a str>,
    /// When the trigger received the event.
    pub at: Timestamp,
}

/// What the client claimed about its address, by keyed hashes.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedOrigin(Origin);

/// What is stored about a sign-in whose session is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// The claimed origin, if the success waits for its judgement.
    pub claimed: Option<ClaimedOrigin>,
    /// Where this session was first seen.
    pub first_seen: Option<SignInLocation>,
    /// Whether the user was forgotten after the sign-in.
    pub is_forgotten: bool,
}

/// What the judgement of a session changes in the history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SessionVerdict {
    /// The success is learned with the session's address.
    Learn,
    /// Nothing is learned, and tokens are restricted until a stronger proof.
    Challenge(AttemptDecision),
    /// Nothing is learned.
    Deny,
}

/// Whether this process may judge a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JudgementClaim {
    /// It may.
    Granted,
    /// Another process is judging it.
    Busy,
    /// It was judged before.
    Judged,
}

/// The field of a success that waits, by the field of its attempt.
pub(super) fn unjudged_field(attempt: &str) -> SmolStr {
    [UNJUDGED, attempt.get(1..).unwrap_or_default()].concat().into()
}

impl ClaimedOrigin {
    /// Whether the claim names another country, or another network, than the verified features. Addresses are never compared.
    ///
    /// The claim is not compared if it was trusted, or if either address hides the user's. Another AS is no contradiction if the
    /// addresses are of different families, because the providers of both may differ.
    pub fn contradicts(&self, verified: &Origin) -> (bool, bool) {
        let (claim, seen) = (self.0.claim, verified.claim);
        if claim.is_trusted || claim.is_anonymous || seen.is_anonymous {
            return (false, false);
        }
        let differs = |level: FeatureLevel| {
            let hashes = |origin: &Origin| -> Vec<u32> { origin.features.iter().filter_map(|features| features.at(level)).collect() };
            let (claimed, seen) = (hashes(&self.0), hashes(verified));
            !claimed.is_empty() && !seen.is_empty() && !claimed.iter().any(|hash| seen.contains(hash))
        };
        let country = differs(FeatureLevel::Country);
        (country, !country && claim.is_ipv6 == seen.is_ipv6 && differs(FeatureLevel::Asn))
    }

    /// The verified origin with the claimed device.
    fn with_network_of(&self, verified: &Origin) -> Origin {
        let device = [FeatureLevel::DeviceType, FeatureLevel::Os, FeatureLevel::Browser, FeatureLevel::UserAgent, FeatureLevel::Device];
        let mut combined = verified.clone();
        // The claim may be from before a new key, which is the first.
        for (features, claimed) in combined.features.iter_mut().rev().zip(self.0.features.iter().rev()) {
            device.into_iter().for_each(|level| features.set(level, claimed.at(level)));
        }
        combined
    }
}

impl UserRecord {
    /// The assessment of the newest attempt through a client, if it was not denied and is recent.
    pub(super) fn newest_assessment(&self, client: u32, now: Timestamp, window: Duration) -> Option<SmolStr> {
        let is_recent = |at: Timestamp| u64::try_from(now.as_second() - at.as_second()).is_ok_and(|age| age < window.as_secs());
        let recent =
            self.attempts.iter().map(|(_, attempt)| attempt).filter(|attempt| attempt.client == client && !attempt.was_denied() && is_recent(attempt.at));
        recent.max_by_key(|attempt| attempt.at)?.id.map(|id| id.to_smolstr())
    }

    /// Whether a session of the user is known and was not looked up for `interval`.
    pub(super) fn is_recheck_due(&self, now: Timestamp, interval: Duration) -> bool {
        let last = self.sightings.values().map(|seen| seen.at).max().map(|seen| self.rechecked.map_or(seen, |at| at.max(seen)));
        last.is_some_and(|last| u64::try_from(now.as_second() - last.as_second()).is_ok_and(|age| age >= interval.as_secs()))
    }
}

impl HistoryRepository {
    /// The origin of a verified sign-in, under every key.
    pub fn verified_origin(&self, evidence: &Evidence, at: Timestamp) -> Origin {
        let features = self.pseudonyms.feature_keys().map(|key| Features::of(&evidence.sign_in, &evidence.networks, key)).collect();
        let claim = ClaimFlags {
            is_ipv6: evidence.sign_in.context.ip.public().is_some_and(|ip| ip.is_ipv6()),
            is_trusted: true,
            is_anonymous: evidence.networks.kind != NetworkKind::default(),
            is_verified: true,
        };
        Origin { features, sighting: Some(SignInLocation::rounded(at, &evidence.networks)), claim }
    }

    /// The keys of a message and, if the user's record moved to a newer pseudonym key in the meantime, that key.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn current_keys(&self, keys: &UserKeys, now: Timestamp) -> Result<UserKeys, FailureReason> {
        if self.pseudonyms.has_older() { self.add_migrated_keys(keys.clone(), now).await } else { Ok(keys.clone()) }
    }

    /// Reads what is stored about a sign-in whose session was found.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn read_session(&self, sign_in: &SessionSignIn<'_>, session: &str, now: Timestamp) -> Result<SessionRecord, FailureReason> {
        let user_record = self.run_reported(StorePart::Record, self.read_and_migrate(sign_in.keys, &[], now)).await?;
        Ok(SessionRecord {
            claimed: sign_in.sample.and_then(|field| user_record.unjudged.get(field)).map(|sample| ClaimedOrigin(sample.origin.clone())),
            first_seen: user_record.sightings.get(&self.sighting_field(session)).copied(),
            is_forgotten: user_record.forgotten.is_some_and(|at| at >= sign_in.at),
        })
    }

    /// Applies a judgement to the user's record. Returns `false`, without a change, if the user was forgotten after the sign-in.
    ///
    /// # Errors
    ///
    /// The store could not be reached. The call may be repeated.
    pub async fn apply_judgement(
        &self,
        sign_in: &SessionSignIn<'_>,
        session: &str,
        verified: &Origin,
        hour: Option<u8>,
        verdict: SessionVerdict,
        now: Timestamp,
    ) -> Result<bool, FailureReason> {
        let user_record = self.run_reported(StorePart::Record, self.read_and_migrate(sign_in.keys, &[], now)).await?;
        if user_record.forgotten.is_some_and(|at| at >= sign_in.at) {
            return Ok(false);
        }
        let unjudged = sign_in.sample.and_then(|field| user_record.unjudged.get_key_value(field)).map(|(field, sample)| (field.clone(), sample.clone()));
        let remove: Vec<SmolStr> = unjudged.iter().map(|(field, _)| field.clone()).collect();
        let sample = match unjudged {
            Some((_, sample)) => Some(sample),
            // The success was learned in the meantime, or never was to be.
            None if sign_in.sample.is_some() && verdict == SessionVerdict::Learn => None,
            None => Some(self.session_sample(sign_in, verified, hour)),
        };
        let recorded = match verdict {
            SessionVerdict::Deny => {
                let change = Change { set: Vec::new(), remove, ttl: Ttl::AtLeast(self.retention.attempt()) };
                self.run_reported(StorePart::Success, self.update_unless_forgotten(&sign_in.keys[0], change, user_record.forgotten, now)).await?
            }
            SessionVerdict::Challenge(decision) => {
                let attempt = sample.as_ref().map(|sample| Attempt { decision: Some(decision), id: Ulid::from_string(sign_in.id).ok(), ..sample.attempt });
                let field = unjudged_field(sign_in.sample.unwrap_or(sign_in.id));
                let set = attempt.map(|attempt| self.open_challenge(&field, &attempt, Some(verified), true, now)).into_iter().collect();
                let remove = remove.into_iter().chain(user_record.surplus_challenges(now)).collect();
                let change = Change { set, remove, ttl: Ttl::Set(user_record.min_ttl(now, self.retention.record() + SLACK)) };
                self.run_reported(StorePart::Success, self.update_unless_forgotten(&sign_in.keys[0], change, user_record.forgotten, now)).await?
            }
            SessionVerdict::Learn => {
                let sample = sample.map(|sample| Sample { origin: ClaimedOrigin(sample.origin.clone()).with_network_of(verified), ..sample });
                let at = user_record.last_success.map_or(sign_in.at, |last| last.max(sign_in.at));
                let mut set = Vec::new();
                let mut remove = remove;
                if !session.is_empty() {
                    set.extend(self.sighting(session, verified, sign_in.at));
                    remove.extend(surplus_sightings(&user_record));
                }
                let merged = self.merge_record(user_record, sample.as_ref(), now, now);
                let update = ProfileUpdate {
                    keys: sign_in.keys,
                    merged,
                    sample,
                    sample_field: None,
                    awaiting: None,
                    decision: None,
                    restriction: TokenRestriction::None,
                    set,
                    remove,
                    at,
                    now,
                };
                self.run_reported(StorePart::Success, self.apply_profile_update(update)).await?
            }
        };
        Ok(recorded == Recorded::Done)
    }

    /// Records that a session was looked up at a refresh.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn record_recheck(&self, keys: &UserKeys, now: Timestamp) -> Result<(), FailureReason> {
        let set = vec![(RECHECKED.into(), seconds(now).to_be_bytes().to_vec())];
        let change = Change { set, remove: Vec::new(), ttl: Ttl::AtLeast(self.retention.attempt()) };
        // Only a record with a known session: a record that was forgotten stays empty.
        self.run_reported(StorePart::Success, self.store.update_if_field(&keys[0], "p", change, now)).await.map(|_| ())
    }

    /// Counts the users of an app client who were seen at an address. Returns whether so many share it that it is not a user's own: now, in the
    /// last days, or, at a hosting provider, anywhere at that provider.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn is_shared_egress(&self, sign_in: &SessionSignIn<'_>, evidence: &Evidence, now: Timestamp) -> Result<bool, FailureReason> {
        let Some(ip) = evidence.sign_in.context.ip.public() else { return Ok(false) };
        let host = format_ip(host_of(ip));
        let key_of = |purpose: &str, value: &[u8]| -> SmolStr {
            let key = self.pseudonyms.records(purpose, &[sign_in.pool.as_bytes(), sign_in.client.as_bytes(), value]);
            ["e#", &key[0]].concat().into()
        };
        let address = key_of("egress", host.as_bytes());
        let provider = evidence.networks.asn.filter(|_| evidence.networks.kind.hosting).map(|asn| key_of("egress provider", &asn.to_be_bytes()));
        let window = [SmolStr::from(["n#", &address[2..]].concat())];
        let account = self.pseudonyms.short_hash("account", &[sign_in.pool.as_bytes(), sign_in.keys[0].as_bytes()]);
        let (known, known_provider, entries) = tokio::try_join!(
            self.store.get(&address, now),
            async {
                match &provider {
                    Some(provider) => self.store.get(provider, now).await,
                    None => Ok(None),
                }
            },
            self.store.add_to_window(&window, WindowEntry { account, host: 0 }, MissingWindow::Create, EntryTime { at: now, now }),
        )?;
        if known.is_some() || known_provider.is_some() {
            return Ok(true);
        }
        if entries.windows.first().map_or(0, |entries| entries.len()) < SHARED_FROM {
            return Ok(false);
        }
        for key in [Some(address), provider].into_iter().flatten() {
            self.store.put(&key, JUDGED, SHARED_TTL, now).await?;
        }
        Ok(true)
    }

    /// Counts a judged session of an app client. Returns whether so few were judged that none may be revoked yet.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn is_new_client(&self, sign_in: &SessionSignIn<'_>, now: Timestamp) -> Result<bool, FailureReason> {
        let key = self.pseudonyms.records("session client", &[sign_in.pool.as_bytes(), sign_in.client.as_bytes()]);
        self.store.increment_up_to(&["q#", &key[0]].concat(), NEW_CLIENT_SESSIONS, NEW_CLIENT_TTL, now).await
    }

    /// Takes one of a pool's look-ups of this second, of at most `limit`. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn take_session_call(&self, pool: &str, limit: u64, now: Timestamp) -> Result<bool, FailureReason> {
        let key = self.pseudonyms.records("session calls", &[pool.as_bytes(), &now.as_second().to_be_bytes()]);
        self.store.increment_up_to(&["q#", &key[0]].concat(), limit, Duration::from_secs(10), now).await
    }

    /// Claims a message for `lease`, after which another process may judge it.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn claim_judgement(&self, message: &str, lease: Duration, now: Timestamp) -> Result<JudgementClaim, FailureReason> {
        if self.is_judged(message, now).await? {
            return Ok(JudgementClaim::Judged);
        }
        let own = rand::random::<u128>().to_be_bytes();
        let stored = self.store.put_if_absent(&format!("j#claim#{message}"), &own, lease, now).await?;
        Ok(if stored == own { JudgementClaim::Granted } else { JudgementClaim::Busy })
    }

    /// Records that a message was judged.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn record_judgement(&self, message: &str, now: Timestamp) -> Result<(), FailureReason> {
        self.store.put(&self.judgement_key(message), JUDGED, JUDGED_TTL, now).await
    }

    /// Whether a message was judged before.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn is_judged(&self, message: &str, now: Timestamp) -> Result<bool, FailureReason> {
        Ok(self.store.get(&self.judgement_key(message), now).await?.as_deref() == Some(JUDGED))
    }

    fn judgement_key(&self, message: &str) -> String {
        // Not the key of the claim, which is a value of another kind.
        format!("j#{message}")
    }

    fn sighting_field(&self, session: &str) -> SmolStr {
        hash_field_name('y', self.pseudonyms.short_hash("session", &[session.as_bytes()]))
    }

    fn sighting(&self, session: &str, verified: &Origin, at: Timestamp) -> Option<(SmolStr, Vec<u8>)> {
        let mut bytes = Vec::new();
        SignInLocation { at, ..verified.sighting? }.write(&mut bytes);
        Some((self.sighting_field(session), bytes))
    }

    /// A sample of a success that was not recorded, as with managed login.
    fn session_sample(&self, sign_in: &SessionSignIn<'_>, verified: &Origin, hour: Option<u8>) -> Sample {
        let client = self.pseudonyms.short_hash("client", &[sign_in.pool.as_bytes(), sign_in.client.as_bytes()]);
        let origin = self.pseudonyms.short_hash("origin", &[&verified.to_bytes()]);
        let at = Timestamp::from_second(sign_in.at.as_second()).unwrap_or(sign_in.at);
        let attempt =
            Attempt { at, event: 0, nonce: None, origin, client, hour, kind: AttemptKind::Original, decision: None, id: Ulid::from_string(sign_in.id).ok() };
        Sample { attempt, origin: verified.clone(), device: DeviceStatus::NotReported, proven: false }
    }
}

/// The fields of the oldest sessions when another one is added.
fn surplus_sightings(user_record: &UserRecord) -> Vec<SmolStr> {
    let mut newest_first: Vec<_> = user_record.sightings.iter().collect();
    newest_first.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.at));
    newest_first.into_iter().skip(MAX_SIGHTINGS - 1).map(|(field, _)| field.clone()).collect()
}
