//! The quota of one service: calls a day, and untrusted addresses an hour for one account.
//!
//! A client can assert any number of addresses without a password. So the last fifth of a day's calls is reserved for trusted
//! addresses, and few untrusted addresses an hour are queried for one account. The counters are in the shared store, or in this
//! process without one. The quota applies only if `DAILY_LIMIT` is set.

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

use crate::{AddressTrust, ProviderRequest, shared_cache::SharedCache};
use riskgate_engine::{client_ip::host_of, service::Service, time::ClockReading};
use riskgate_runtime::clock;

/// Different untrusted addresses that are queried for one account in an hour.
const MAX_ADDRESSES: usize = 5;

/// Accounts whose addresses this process remembers.
const MAX_ACCOUNTS: usize = 10_000;

/// While the common counter cannot be reached, a process may make the day's calls divided by this.
const UNSHARED_DIVISOR: u64 = 100;

/// The counters of one service.
pub struct Quota {
    service: Service,
    limit: Option<u64>,
    secret: [u8; 16],
    shared: Option<SharedCache>,
    calls: Mutex<DayCalls>,
    /// The hour and the queried addresses of each account.
    addresses: Mutex<HashMap<u128, (i64, Vec<u64>)>>,
}

/// The calls of this process on one day.
#[derive(Default)]
struct DayCalls {
    day: i64,
    calls: u64,
}

impl Quota {
    /// A quota of `limit` calls a day; `None` is unlimited.
    pub fn new(service: Service, limit: Option<u64>, secret: [u8; 16], shared: Option<SharedCache>) -> Self {
        Quota { service, limit, secret, shared, calls: Mutex::default(), addresses: Mutex::default() }
    }

    /// Whether the address of a request may be queried for its account.
    pub async fn allows_address(&self, request: &ProviderRequest) -> bool {
        if self.limit.is_none() || request.address_trust == AddressTrust::Trusted {
            return true;
        }
        let now = clock::read_since(request.received);
        let (account, address) = (self.account_hash(request), self.address_hash(request));
        if !self.allows_address_locally(account, address, now) {
            return false;
        }
        match &self.shared {
            Some(shared) => shared.add_queried_address(account, address, now).await.is_none_or(|addresses| addresses <= MAX_ADDRESSES),
            None => true,
        }
    }

    /// Spends one call of the day. Returns whether one was left.
    pub async fn spend(&self, request: &ProviderRequest) -> bool {
        let Some(limit) = self.limit else { return true };
        let now = clock::read_since(request.received);
        let available = match request.address_trust {
            AddressTrust::Trusted => limit,
            AddressTrust::Untrusted => limit - limit.div_ceil(5),
        };
        let day = now.wall.as_second().div_euclid(86_400);
        let Some(shared) = &self.shared else { return self.spend_locally(day, available) };
        let key = format!("calls:{}:{day}", self.service.as_label());
        match shared.increment_up_to(&key, available, Duration::from_secs(2 * 86_400), now).await {
            Some(is_spent) => is_spent,
            None => self.spend_locally(day, available.min((limit / UNSHARED_DIVISOR).max(1))),
        }
    }

    fn spend_locally(&self, day: i64, limit: u64) -> bool {
        let mut counted = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.day != day {
            *counted = DayCalls { day, calls: 0 };
        }
        let is_left = counted.calls < limit;
        counted.calls += u64::from(is_left);
        is_left
    }

    fn allows_address_locally(&self, account: u128, address: u64, now: ClockReading) -> bool {
        let hour = now.wall.as_second().div_euclid(3600);
        let mut accounts = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= MAX_ACCOUNTS && !accounts.contains_key(&account) {
            accounts.retain(|_, (counted_hour, _)| *counted_hour == hour);
            if accounts.len() >= MAX_ACCOUNTS {
                accounts.clear();
            }
        }
        let (counted_hour, addresses) = accounts.entry(account).or_default();
        if *counted_hour != hour {
            (*counted_hour, *addresses) = (hour, Vec::new());
        }
        if addresses.contains(&address) {
            return true;
        }
        if addresses.len() >= MAX_ADDRESSES {
            return false;
        }
        addresses.push(address);
        true
    }

    fn account_hash(&self, request: &ProviderRequest) -> u128 {
        let mut hasher = SipHasher24x128::new_with_key(&self.secret);
        for part in [request.pool.as_str(), "/", request.account.expose()] {
            hasher.write(part.as_bytes());
        }
        hasher.finish128().as_u128()
    }

    fn address_hash(&self, request: &ProviderRequest) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        match host_of(*request.ip.expose()) {
            std::net::IpAddr::V4(v4) => hasher.write(&v4.octets()),
            std::net::IpAddr::V6(v6) => hasher.write(&v6.octets()),
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riskgate_engine::personal::Personal;

    fn request(ip: &str, account: &str, address_trust: AddressTrust) -> ProviderRequest {
        ProviderRequest { ip: Personal::new(ip.parse().unwrap()), address_trust, account: Personal::new(account.into()), ..crate::middleware::tests::request() }
    }

    fn quota(limit: Option<u64>) -> Quota {
        Quota::new(Service::Ipqs, limit, [1; 16], None)
    }

    #[tokio::test]
    async fn the_last_fifth_of_the_calls_is_reserved_for_trusted_addresses() {
        let quota = quota(Some(11));
        let (untrusted, trusted) = (request("8.8.8.8", "a", AddressTrust::Untrusted), request("8.8.8.8", "a", AddressTrust::Trusted));
        let mut spent = 0;
        while quota.spend(&untrusted).await {
            spent += 1;
        }
        assert_eq!(spent, 8);
        while quota.spend(&trusted).await {
            spent += 1;
        }
        assert_eq!(spent, 11);
        let tomorrow = ProviderRequest { received: clock::at(trusted.received.wall + jiff::SignedDuration::from_hours(24)), ..untrusted };
        assert!(quota.spend(&tomorrow).await);
    }

    #[tokio::test]
    async fn five_untrusted_addresses_an_hour_are_queried_for_an_account() {
        let quota = quota(Some(1000));
        for n in 0..5 {
            assert!(quota.allows_address(&request(&format!("8.8.8.{n}"), "ada", AddressTrust::Untrusted)).await);
        }
        assert!(!quota.allows_address(&request("8.8.8.5", "ada", AddressTrust::Untrusted)).await);
        assert!(quota.allows_address(&request("8.8.8.1", "ada", AddressTrust::Untrusted)).await, "it was queried before");
        assert!(quota.allows_address(&request("8.8.8.5", "ada", AddressTrust::Trusted)).await);
        assert!(quota.allows_address(&request("8.8.8.5", "bob", AddressTrust::Untrusted)).await);
        let later = request("8.8.8.5", "ada", AddressTrust::Untrusted);
        assert!(quota.allows_address(&ProviderRequest { received: clock::at(later.received.wall + jiff::SignedDuration::from_hours(1)), ..later }).await);
    }

    #[tokio::test]
    async fn without_a_limit_every_call_is_allowed() {
        let quota = quota(None);
        for n in 0..50 {
            let request = request(&format!("8.8.8.{n}"), "ada", AddressTrust::Untrusted);
            assert!(quota.allows_address(&request).await && quota.spend(&request).await);
        }
    }
}
