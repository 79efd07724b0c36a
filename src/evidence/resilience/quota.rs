//! What may be spent on one service: calls a day, and on whose behalf.
//!
//! Anybody can invent addresses without a password, so the last fifth of a day's calls is kept for
//! addresses that are believed, and a name is worth few unbelieved addresses an hour. Counted in the
//! store where processes share one, otherwise in this process. Only where `DAILY_LIMIT` is set.

use std::{
    collections::HashMap,
    hash::Hasher as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use siphasher::{
    sip::SipHasher24,
    sip128::{Hasher128 as _, SipHasher24 as SipHasher24x128},
};

use super::{cache::moment, shared::Shared};
use crate::{
    config::services::Service,
    event::{Now, client_ip::host_of},
    evidence::provider::{Believed, Question},
};

/// Different unbelieved addresses that are asked about for one name in an hour.
const MOST_ADDRESSES: usize = 5;

/// Names whose addresses are remembered in this process.
const MOST_NAMES: usize = 10_000;

/// A process that cannot reach the common counter may spend this part of the day's calls by itself.
const ALONE: u64 = 100;

/// Counts what is spent on one service.
pub(super) struct Quota {
    service: Service,
    limit: Option<u64>,
    secret: [u8; 16],
    shared: Option<Shared>,
    spent: Mutex<Spent>,
    asked: Mutex<HashMap<u128, (i64, Vec<u64>)>>,
}

/// Calls of this process on one day.
#[derive(Default)]
struct Spent {
    day: i64,
    calls: u64,
}

impl Quota {
    pub(super) fn new(service: Service, limit: Option<u64>, secret: [u8; 16], shared: Option<Shared>) -> Self {
        Quota { service, limit, secret, shared, spent: Mutex::default(), asked: Mutex::default() }
    }

    /// Whether an address may be asked about on a person's behalf.
    pub(super) async fn covers(&self, question: &Question) -> bool {
        if self.limit.is_none() || question.believed == Believed::Yes {
            return true;
        }
        let now = moment(question.received);
        let (person, address) = (self.person(question), self.address(question));
        if !self.covers_here(person, address, now) {
            return false;
        }
        match &self.shared {
            Some(shared) => shared.note(person, address, now).await.is_none_or(|asked| asked <= MOST_ADDRESSES),
            None => true,
        }
    }

    /// Spends one call; whether there was one left.
    pub(super) async fn spend(&self, question: &Question) -> bool {
        let Some(limit) = self.limit else { return true };
        let now = moment(question.received);
        let kept = match question.believed {
            Believed::Yes => limit,
            Believed::No => limit - limit.div_ceil(5),
        };
        let day = now.wall.as_second().div_euclid(86_400);
        let Some(shared) = &self.shared else { return self.spend_here(day, kept) };
        let key = format!("calls:{}:{day}", self.service.as_label());
        match shared.count(&key, kept, Duration::from_secs(2 * 86_400), now).await {
            Some(counted) => counted,
            None => self.spend_here(day, kept.min((limit / ALONE).max(1))),
        }
    }

    fn spend_here(&self, day: i64, limit: u64) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.day != day {
            *spent = Spent { day, calls: 0 };
        }
        let left = spent.calls < limit;
        spent.calls += u64::from(left);
        left
    }

    fn covers_here(&self, person: u128, address: u64, now: Now) -> bool {
        let hour = now.wall.as_second().div_euclid(3600);
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= MOST_NAMES && !asked.contains_key(&person) {
            asked.retain(|_, (of, _)| *of == hour);
            if asked.len() >= MOST_NAMES {
                asked.clear();
            }
        }
        let (of, addresses) = asked.entry(person).or_default();
        if *of != hour {
            (*of, *addresses) = (hour, Vec::new());
        }
        if addresses.contains(&address) {
            return true;
        }
        if addresses.len() >= MOST_ADDRESSES {
            return false;
        }
        addresses.push(address);
        true
    }

    fn person(&self, question: &Question) -> u128 {
        let mut hasher = SipHasher24x128::new_with_key(&self.secret);
        hasher.write(question.account.expose().as_bytes());
        hasher.finish128().as_u128()
    }

    fn address(&self, question: &Question) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        match host_of(*question.ip.expose()) {
            std::net::IpAddr::V4(v4) => hasher.write(&v4.octets()),
            std::net::IpAddr::V6(v6) => hasher.write(&v6.octets()),
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Personal;

    fn question(ip: &str, account: &str, believed: Believed) -> Question {
        Question {
            ip: Personal::new(ip.parse().unwrap()),
            user_agent: None,
            device_id: None,
            accept_language: None,
            user: None,
            hour: None,
            received: Now::read(),
            believed,
            account: Personal::new(account.into()),
        }
    }

    fn quota(limit: Option<u64>) -> Quota {
        Quota::new(Service::Ipqs, limit, [1; 16], None)
    }

    #[tokio::test]
    async fn the_last_fifth_is_for_believed_addresses() {
        let quota = quota(Some(11));
        let (stranger, believed) = (question("8.8.8.8", "a", Believed::No), question("8.8.8.8", "a", Believed::Yes));
        let mut spent = 0;
        while quota.spend(&stranger).await {
            spent += 1;
        }
        assert_eq!(spent, 8);
        while quota.spend(&believed).await {
            spent += 1;
        }
        assert_eq!(spent, 11);
        let tomorrow = Question { received: Now::at(believed.received.wall + jiff::SignedDuration::from_hours(24)), ..stranger };
        assert!(quota.spend(&tomorrow).await);
    }

    #[tokio::test]
    async fn a_name_is_worth_five_unbelieved_addresses_an_hour() {
        let quota = quota(Some(1000));
        for n in 0..5 {
            assert!(quota.covers(&question(&format!("8.8.8.{n}"), "ada", Believed::No)).await);
        }
        assert!(!quota.covers(&question("8.8.8.5", "ada", Believed::No)).await);
        assert!(quota.covers(&question("8.8.8.1", "ada", Believed::No)).await, "not a new one");
        assert!(quota.covers(&question("8.8.8.5", "ada", Believed::Yes)).await);
        assert!(quota.covers(&question("8.8.8.5", "bob", Believed::No)).await);
        let later = question("8.8.8.5", "ada", Believed::No);
        assert!(quota.covers(&Question { received: Now::at(later.received.wall + jiff::SignedDuration::from_hours(1)), ..later }).await);
    }

    #[tokio::test]
    async fn without_a_limit_nothing_is_counted() {
        let quota = quota(None);
        for n in 0..50 {
            let question = question(&format!("8.8.8.{n}"), "ada", Believed::No);
            assert!(quota.covers(&question).await && quota.spend(&question).await);
        }
    }
}
