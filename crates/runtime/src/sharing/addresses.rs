//! Detection of app clients whose users all come from a few addresses: the caller sends its own address, or its load balancer's.

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

use riskgate_engine::client_ip::{ClientIp, host_of};

/// The maximum number of app clients that are tracked. All others are counted as one.
const MAX_CLIENTS: usize = 32;

/// The name under which all other clients are reported.
const OTHER: &str = "other";

/// The number of recent sign-ins that are stored for a client.
const MAX_RECENT: usize = 128;

/// The number of sign-ins between two checks of a client.
const CHECK_EVERY: usize = 16;

/// The number of sign-ins between two checks once the most recent ones are known: half of them are new then. A check sorts all of them.
const RECHECK_EVERY: usize = MAX_RECENT / 2;

/// The minimum number of users for a report of shared public addresses.
const MIN_USERS: usize = 30;

/// The minimum number of users for a report of private addresses.
const MIN_PRIVATE_USERS: usize = 3;

/// The maximum number of addresses of one backend or load balancer.
const MAX_NODES: usize = 3;

/// The time between two log messages about a persistent problem.
const LOG_INTERVAL: Duration = Duration::from_secs(3600);

/// A problem with the addresses that an app client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressProblem {
    /// At least 90 % of the users come from at most three addresses.
    SharedAddress,
    /// At least 90 % of the users come from private, loopback or reserved addresses.
    PrivateAddress,
}

/// Tracks the addresses of recent users of each app client.
#[derive(Default)]
pub struct SharedAddresses {
    hasher: RandomState,
    clients: Mutex<Vec<Client>>,
    /// The number of clients with each problem, by `AddressProblem`.
    affected: [AtomicU64; AddressProblem::ALL.len()],
}

struct Client {
    name: SmolStr,
    /// A ring buffer of the latest sign-ins.
    recent: Vec<RecentSignIn>,
    next: usize,
    problem: Option<AddressProblem>,
    last_logged: Option<Instant>,
}

/// A recent sign-in: its user and address as keyed hashes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RecentSignIn {
    user: u64,
    address: u64,
    is_private: bool,
}

impl AddressProblem {
    /// Every problem.
    pub const ALL: [AddressProblem; 2] = [AddressProblem::SharedAddress, AddressProblem::PrivateAddress];

    /// The label in metrics, logs and `/readyz`.
    pub fn as_label(self) -> &'static str {
        match self {
            AddressProblem::SharedAddress => "shared_address",
            AddressProblem::PrivateAddress => "private_address",
        }
    }

    /// An explanation with what the operator can do.
    pub fn help(self) -> &'static str {
        match self {
            AddressProblem::SharedAddress => {
                "nine in ten users of an app client come from three addresses or fewer: its backend or load balancer seems to send its own address; send the user's, or set RISKGATE_TRUSTED_PROXIES (see RUNBOOK.md, one address for all users)"
            }
            AddressProblem::PrivateAddress => {
                "nine in ten users of an app client come from private addresses: its backend or a proxy seems to send its own address; send the user's, or set RISKGATE_TRUSTED_PROXIES (see RUNBOOK.md, one address for all users)"
            }
        }
    }
}

impl SharedAddresses {
    /// Counts a sign-in of an app client's user.
    pub(super) fn observe(&self, client: &str, user: &str, ip: ClientIp) {
        let Some(address) = ip.any() else { return };
        let sign_in = RecentSignIn { user: self.hasher.hash_one(user), address: self.hasher.hash_one(host_of(address)), is_private: ip.public().is_none() };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let index = find_or_add(&mut clients, client);
        let Some(client) = clients.get_mut(index) else { return };
        if client.add(sign_in) {
            self.check(client);
        }
    }

    /// The number of app clients that have a problem.
    pub fn affected_clients(&self, problem: AddressProblem) -> u64 {
        self.affected[problem as usize].load(Ordering::Relaxed)
    }

    /// The number of app clients that have any problem.
    pub fn all_affected_clients(&self) -> u64 {
        AddressProblem::ALL.into_iter().map(|problem| self.affected_clients(problem)).sum()
    }

    fn check(&self, client: &mut Client) {
        let problem = find_problem(&client.recent);
        if problem != client.problem {
            if let Some(previous) = client.problem {
                self.affected[previous as usize].fetch_sub(1, Ordering::Relaxed);
            }
            if let Some(problem) = problem {
                self.affected[problem as usize].fetch_add(1, Ordering::Relaxed);
            }
            client.problem = problem;
        }
        let Some(problem) = problem else { return };
        let now = Instant::now();
        if client.last_logged.is_none_or(|last| now.saturating_duration_since(last) >= LOG_INTERVAL) {
            client.last_logged = Some(now);
            tracing::warn!(client = client.name.as_str(), cause = problem.as_label(), "{}", problem.help());
        }
    }
}

impl fmt::Debug for SharedAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedAddresses").field("affected", &self.affected).finish_non_exhaustive()
    }
}

/// The index of a client, which is added if it is new. Names that are not valid for Cognito clients are not stored, because a caller
/// may send any text.
fn find_or_add(clients: &mut Vec<Client>, name: &str) -> usize {
    let is_valid = name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'.'));
    let find = |clients: &[Client], name: &str| clients.iter().position(|client| client.name == name);
    let name = if is_valid { name } else { OTHER };
    if let Some(index) = find(clients, name) {
        return index;
    }
    let name = if clients.len() < MAX_CLIENTS { name } else { OTHER };
    find(clients, name).unwrap_or_else(|| {
        clients.push(Client { name: name.into(), recent: Vec::new(), next: 0, problem: None, last_logged: None });
        clients.len() - 1
    })
}

impl Client {
    /// Adds a sign-in. Returns whether the client is due for a check.
    fn add(&mut self, sign_in: RecentSignIn) -> bool {
        if self.recent.len() < MAX_RECENT {
            self.recent.push(sign_in);
            return self.recent.len() < CHECK_EVERY || self.recent.len().is_multiple_of(CHECK_EVERY);
        }
        self.recent[self.next] = sign_in;
        self.next = (self.next + 1) % MAX_RECENT;
        self.next.is_multiple_of(RECHECK_EVERY)
    }
}

/// The problem with the addresses of recent sign-ins, if any. Each user counts once for each address.
fn find_problem(recent: &[RecentSignIn]) -> Option<AddressProblem> {
    let mut pairs = recent.to_vec();
    pairs.sort_unstable();
    pairs.dedup();
    let by_user = || pairs.chunk_by(|a, b| a.user == b.user);
    let (users, private) = (by_user().count(), by_user().filter(|sign_ins| sign_ins.iter().any(|sign_in| sign_in.is_private)).count());
    let is_most = |part: usize| part * 10 >= users * 9;
    if users >= MIN_PRIVATE_USERS && is_most(private) {
        return Some(AddressProblem::PrivateAddress);
    }
    if users < MIN_USERS {
        return None;
    }
    pairs.sort_unstable_by_key(|sign_in| sign_in.address);
    let mut counts: Vec<usize> = pairs.chunk_by(|a, b| a.address == b.address).map(<[RecentSignIn]>::len).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    is_most(counts.iter().take(MAX_NODES).sum()).then_some(AddressProblem::SharedAddress)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ClientIp {
        ClientIp::parse(text)
    }

    fn affected(shared: &SharedAddresses) -> [u64; 2] {
        AddressProblem::ALL.map(|problem| shared.affected_clients(problem))
    }

    #[test]
    fn a_backend_that_sends_its_own_address_is_reported_until_it_stops() {
        let shared = SharedAddresses::default();
        for user in 0..200 {
            // The backend has two nodes. The other client sends the users' addresses.
            shared.observe("backend", &format!("user-{user}"), address(["8.8.8.8", "8.8.4.4"][user % 2]));
            shared.observe("app", &format!("user-{user}"), address(&format!("81.2.{user}.1")));
            assert!(user >= 29 || affected(&shared) == [0, 0], "{user}");
        }
        assert_eq!(affected(&shared), [1, 0]);
        for user in 0..MAX_RECENT {
            shared.observe("backend", &format!("user-{user}"), address(&format!("81.2.{user}.1")));
        }
        assert_eq!(affected(&shared), [0, 0]);
    }

    #[test]
    fn private_addresses_are_reported_from_the_third_user() {
        let shared = SharedAddresses::default();
        for (user, ip) in ["10.0.0.1", "10.0.3.7", "127.0.0.1"].iter().enumerate() {
            assert_eq!(affected(&shared), [0, 0]);
            shared.observe("backend", &format!("user-{user}"), address(ip));
        }
        assert_eq!(affected(&shared), [0, 1]);
    }

    #[test]
    fn a_single_user_and_a_large_office_are_not_reported() {
        let shared = SharedAddresses::default();
        for time in 0..1000 {
            shared.observe("tester", "ada", address("8.8.8.8"));
            let user = format!("user-{time}");
            // Half of the users share an office's address.
            shared.observe("office", &user, address(&if time % 2 == 0 { "8.8.8.8".to_owned() } else { format!("81.{}.{}.1", time / 250, time % 250) }));
            shared.observe("absent", &user, ClientIp::Missing);
        }
        assert_eq!(affected(&shared), [0, 0]);
    }

    #[test]
    fn memory_is_bounded() {
        let shared = SharedAddresses::default();
        for number in 0..10_000 {
            shared.observe(&format!("client-{}", number % 1000), &format!("user-{number}"), address("8.8.8.8"));
            shared.observe("not a client\n", "ada", address("8.8.8.8"));
        }
        let clients = shared.clients.lock().expect("a list");
        assert!(clients.len() <= MAX_CLIENTS + 1 && clients.iter().all(|client| client.recent.len() <= MAX_RECENT && !client.name.contains('\n')));
    }
}
