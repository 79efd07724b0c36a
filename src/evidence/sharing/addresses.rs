//! App clients whose users all come from a few addresses: the caller sends its own address, or its load balancer's.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use smol_str::SmolStr;
use tokio::time::{Duration, Instant};

use crate::event::{ClientIp, client_ip::host_of};

/// App clients that are told apart; further ones count as one.
const MOST_CLIENTS: usize = 32;

/// The name under which further clients are reported.
const OTHER: &str = "other";

/// Sign-ins of a client that are looked at: the newest.
const RECENT: usize = 128;

/// How often a client with many sign-ins is looked at.
const CHECK_EVERY: usize = 16;

/// Users under which nothing is said of shared public addresses.
const ENOUGH_USERS: usize = 30;

/// Users under which nothing is said of private addresses.
const ENOUGH_PRIVATE_USERS: usize = 3;

/// A backend or load balancer may have several nodes.
const MOST_NODES: usize = 3;

/// How often a fault that lasts is logged.
const REMINDER: Duration = Duration::from_secs(3600);

/// What is wrong with the addresses of an app client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFault {
    /// Nine in ten users come from three addresses or fewer.
    SharedAddress,
    /// Nine in ten users come from private, loopback or reserved addresses.
    PrivateAddress,
}

/// The addresses from which the users of each app client came of late.
#[derive(Default)]
pub struct SharedAddresses {
    hasher: RandomState,
    clients: Mutex<Vec<Client>>,
    /// Clients with each fault, by `AddressFault`.
    faulty: [AtomicU64; AddressFault::ALL.len()],
}

struct Client {
    name: SmolStr,
    recent: Vec<Seen>,
    next: usize,
    fault: Option<AddressFault>,
    logged: Option<Instant>,
}

/// A sign-in: its user and address as keyed hashes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    user: u64,
    address: u64,
    is_private: bool,
}

// === impl AddressFault ===

impl AddressFault {
    /// Every one.
    pub const ALL: [AddressFault; 2] = [AddressFault::SharedAddress, AddressFault::PrivateAddress];

    /// The label in metrics, logs and `/readyz`.
    pub fn as_label(self) -> &'static str {
        match self {
            AddressFault::SharedAddress => "shared_address",
            AddressFault::PrivateAddress => "private_address",
        }
    }

    /// What the operator can do.
    pub fn help(self) -> &'static str {
        match self {
            AddressFault::SharedAddress => {
                "nine in ten users of an app client come from three addresses or fewer: its backend or load balancer seems to send its own address; send the user's, or set RISKGATE_TRUSTED_PROXIES (see RUNBOOK.md, one address for all users)"
            }
            AddressFault::PrivateAddress => {
                "nine in ten users of an app client come from private addresses: its backend or a proxy seems to send its own address; send the user's, or set RISKGATE_TRUSTED_PROXIES (see RUNBOOK.md, one address for all users)"
            }
        }
    }
}

// === impl SharedAddresses ===

impl SharedAddresses {
    /// Counts a sign-in of a client's user.
    pub(super) fn observe(&self, client: &str, user: &str, ip: ClientIp) {
        let Some(address) = ip.any() else { return };
        let seen = Seen { user: self.hasher.hash_one(user), address: self.hasher.hash_one(host_of(address)), is_private: ip.public().is_none() };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place(&mut clients, client);
        let Some(client) = clients.get_mut(place) else { return };
        if client.add(seen) {
            self.check(client);
        }
    }

    /// How many clients have a fault.
    pub fn faulty(&self, fault: AddressFault) -> u64 {
        self.faulty[fault as usize].load(Ordering::Relaxed)
    }

    /// How many clients have any fault.
    pub fn all_faulty(&self) -> u64 {
        AddressFault::ALL.into_iter().map(|fault| self.faulty(fault)).sum()
    }

    fn check(&self, client: &mut Client) {
        let fault = fault(&client.recent);
        if fault != client.fault {
            if let Some(past) = client.fault {
                self.faulty[past as usize].fetch_sub(1, Ordering::Relaxed);
            }
            if let Some(fault) = fault {
                self.faulty[fault as usize].fetch_add(1, Ordering::Relaxed);
            }
            client.fault = fault;
        }
        let Some(fault) = fault else { return };
        let now = Instant::now();
        if client.logged.is_none_or(|last| now.saturating_duration_since(last) >= REMINDER) {
            client.logged = Some(now);
            tracing::warn!(client = client.name.as_str(), cause = fault.as_label(), "{}", fault.help());
        }
    }
}

impl fmt::Debug for SharedAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedAddresses").field("faulty", &self.faulty).finish_non_exhaustive()
    }
}

/// Where a client is. Names that no Cognito client has are not logged: a caller may have put anything there.
fn place(clients: &mut Vec<Client>, name: &str) -> usize {
    let is_plain = name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'.'));
    let find = |clients: &[Client], name: &str| clients.iter().position(|client| client.name == name);
    let name = if is_plain { name } else { OTHER };
    if let Some(place) = find(clients, name) {
        return place;
    }
    let name = if clients.len() < MOST_CLIENTS { name } else { OTHER };
    find(clients, name).unwrap_or_else(|| {
        clients.push(Client { name: name.into(), recent: Vec::new(), next: 0, fault: None, logged: None });
        clients.len() - 1
    })
}

// === impl Client ===

impl Client {
    /// Adds a sign-in; whether it is time to look at the client.
    fn add(&mut self, seen: Seen) -> bool {
        if self.recent.len() < RECENT {
            self.recent.push(seen);
            return self.recent.len() < CHECK_EVERY || self.recent.len().is_multiple_of(CHECK_EVERY);
        }
        self.recent[self.next] = seen;
        self.next = (self.next + 1) % RECENT;
        self.next.is_multiple_of(CHECK_EVERY)
    }
}

/// What is wrong with the addresses of recent sign-ins. Each user counts once for each of their addresses.
fn fault(recent: &[Seen]) -> Option<AddressFault> {
    let mut pairs = recent.to_vec();
    pairs.sort_unstable();
    pairs.dedup();
    let by_user = || pairs.chunk_by(|a, b| a.user == b.user);
    let (users, private) = (by_user().count(), by_user().filter(|of_one| of_one.iter().any(|seen| seen.is_private)).count());
    let is_most = |part: usize| part * 10 >= users * 9;
    if users >= ENOUGH_PRIVATE_USERS && is_most(private) {
        return Some(AddressFault::PrivateAddress);
    }
    if users < ENOUGH_USERS {
        return None;
    }
    pairs.sort_unstable_by_key(|seen| seen.address);
    let mut counts: Vec<usize> = pairs.chunk_by(|a, b| a.address == b.address).map(<[Seen]>::len).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    is_most(counts.iter().take(MOST_NODES).sum()).then_some(AddressFault::SharedAddress)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ClientIp {
        ClientIp::parse(text)
    }

    fn faults(shared: &SharedAddresses) -> [u64; 2] {
        AddressFault::ALL.map(|fault| shared.faulty(fault))
    }

    #[test]
    fn a_backend_that_sends_its_own_address_is_found_by_its_client_and_forgotten_when_it_stops() {
        let shared = SharedAddresses::default();
        for user in 0..200 {
            // Two nodes; the other client is as it should be.
            shared.observe("backend", &format!("user-{user}"), address(["8.8.8.8", "8.8.4.4"][user % 2]));
            shared.observe("app", &format!("user-{user}"), address(&format!("81.2.{user}.1")));
            assert!(user >= 29 || faults(&shared) == [0, 0], "{user}");
        }
        assert_eq!(faults(&shared), [1, 0]);
        for user in 0..RECENT {
            shared.observe("backend", &format!("user-{user}"), address(&format!("81.2.{user}.1")));
        }
        assert_eq!(faults(&shared), [0, 0]);
    }

    #[test]
    fn private_addresses_are_found_at_the_third_user() {
        let shared = SharedAddresses::default();
        for (user, ip) in ["10.0.0.1", "10.0.3.7", "127.0.0.1"].iter().enumerate() {
            assert_eq!(faults(&shared), [0, 0]);
            shared.observe("backend", &format!("user-{user}"), address(ip));
        }
        assert_eq!(faults(&shared), [0, 1]);
    }

    #[test]
    fn one_user_at_one_address_and_an_office_among_others_are_no_fault() {
        let shared = SharedAddresses::default();
        for time in 0..1000 {
            shared.observe("tester", "ada", address("8.8.8.8"));
            let user = format!("user-{time}");
            // Half of the users are in one office.
            shared.observe("office", &user, address(&if time % 2 == 0 { "8.8.8.8".to_owned() } else { format!("81.{}.{}.1", time / 250, time % 250) }));
            shared.observe("absent", &user, ClientIp::Missing);
        }
        assert_eq!(faults(&shared), [0, 0]);
    }

    #[test]
    fn memory_is_bounded_by_clients_and_sign_ins() {
        let shared = SharedAddresses::default();
        for number in 0..10_000 {
            shared.observe(&format!("client-{}", number % 1000), &format!("user-{number}"), address("8.8.8.8"));
            shared.observe("not a client\n", "ada", address("8.8.8.8"));
        }
        let clients = shared.clients.lock().expect("a list");
        assert!(clients.len() <= MOST_CLIENTS + 1 && clients.iter().all(|client| client.recent.len() <= RECENT && !client.name.contains('\n')));
    }
}
