//! Velocity: how many accounts an address and its network try in an hour, and how often an account fails in a quarter of one.
//!
//! The ledger and replay count by these rules. Time is an argument throughout.

use std::time::Duration;

use jiff::Timestamp;
use smallvec::SmallVec;

use super::{
    Velocity,
    profile::Sighting,
    store::{Mark, Marks},
};

/// How long an account counts at its address and in its network, in seconds.
pub const MARK_WINDOW: i64 = 3600;

/// At most so many marks are stored for an address, and for a network.
pub const MOST_MARKS: usize = 32;

/// How long a failure counts, in seconds.
pub const FAILURE_WINDOW: i64 = 900;

/// Failures of an account are counted no further.
pub const MOST_FAILURES: usize = 24;

/// The latest marks of one address or one network. When they are at their bound the least recent gives way: what is left are marks of the
/// same hour, so the count is right up to the bound however many arrive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarkWindow(SmallVec<[(Mark, i64); 1]>);

// === impl MarkWindow ===

impl MarkWindow {
    /// Adds a mark, or renews it, and drops those whose hour is over.
    pub fn add(&mut self, mark: Mark, at: Timestamp) {
        let at = at.as_second();
        self.0.retain(|(_, seen)| at - *seen < MARK_WINDOW);
        if let Some((_, seen)) = self.0.iter_mut().find(|(known, _)| *known == mark) {
            *seen = at.max(*seen);
            return;
        }
        if self.0.len() < MOST_MARKS {
            self.0.push((mark, at));
        } else if let Some(oldest) = self.0.iter_mut().min_by_key(|(_, seen)| *seen).filter(|(_, seen)| *seen <= at) {
            *oldest = (mark, at);
        }
    }

    /// The marks within an hour of a moment. Clocks of a fleet differ, so a mark may be a little ahead of it.
    pub fn marks(&self, at: Timestamp) -> Marks {
        self.0.iter().filter(|(_, seen)| is_within(*seen, at.as_second())).map(|(mark, _)| *mark).collect()
    }

    /// Whether a mark is in force.
    pub fn is_live(&self, at: Timestamp) -> bool {
        self.0.iter().any(|(_, seen)| is_within(*seen, at.as_second()))
    }
}

fn is_within(seen: i64, at: i64) -> bool {
    (at - seen).abs() < MARK_WINDOW
}

/// Distinct accounts of an address and of its network, the sign-in's own included whether or not it is among the marks.
///
/// Earlier versions marked the network alone, with the account and the address: those marks count for both.
pub fn accounts(own: Mark, network: &[Mark], address: &[Mark]) -> Velocity {
    let distinct = |marks: &mut dyn Iterator<Item = &Mark>| {
        let mut accounts: SmallVec<[u32; MOST_MARKS]> = marks.map(|mark| mark.account).collect();
        accounts.push(own.account);
        accounts.sort_unstable();
        accounts.dedup();
        u32::try_from(accounts.len().min(MOST_MARKS)).unwrap_or(u32::MAX)
    };
    Velocity {
        account_failures: 0,
        accounts_per_ip: distinct(&mut network.iter().filter(|mark| mark.host != 0 && mark.host == own.host).chain(address)),
        accounts_per_network: distinct(&mut network.iter()),
    }
}

/// Failures of an account: the attempts of a quarter of an hour that came after its last success, up to the bound.
pub fn failures(attempts: impl Iterator<Item = Timestamp>, last_success: Option<Timestamp>, now: Timestamp) -> u32 {
    let is_recent = |at: Timestamp| (0..FAILURE_WINDOW).contains(&(now.as_second() - at.as_second()));
    let counted = attempts.filter(|at| is_recent(*at) && last_success.is_none_or(|success| *at > success)).take(MOST_FAILURES).count();
    u32::try_from(counted).unwrap_or(u32::MAX)
}

/// Places from which an account is signing in at the same time: those of its attempts and its last success within a window.
pub fn concurrent(sightings: impl Iterator<Item = Sighting>, now: Timestamp, window: Duration) -> Vec<Sighting> {
    let is_recent = |at: Timestamp| u64::try_from(now.as_second() - at.as_second()).is_ok_and(|age| age < window.as_secs());
    sightings.filter(|sighting| is_recent(sighting.at) && sighting.place.is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a moment")
    }

    fn account(account: u32) -> Mark {
        Mark { account, host: 0 }
    }

    #[test]
    fn the_count_is_right_up_to_its_bound_however_many_arrive() {
        let mut window = MarkWindow::default();
        let (mut seen, mut moment): (Vec<(u32, i64)>, i64) = (Vec::new(), 0);
        for at in 0..20_000_i64 {
            // Bursts and quiet hours, repeated accounts and new ones.
            let number = u32::try_from((at * 7919) % (3 + at / 7)).expect("small");
            moment += if at % 4_000 < 2_000 { 1 } else { 400 };
            window.add(account(number), second(moment));
            seen.retain(|(known, then)| *known != number && moment - then < MARK_WINDOW);
            seen.push((number, moment));
            assert_eq!(window.marks(second(moment)).len(), seen.len().min(MOST_MARKS), "{at}");
            assert!(window.0.len() <= MOST_MARKS && window.marks(second(moment)).contains(&account(number)), "{at}");
        }
    }

    #[test]
    fn an_earlier_moment_takes_nothing_from_the_latest_hour() {
        let mut window = MarkWindow::default();
        (0..32).for_each(|number| window.add(account(number), second(number.into())));
        window.add(account(99), second(-86_400));
        window.add(account(3), second(-86_400));
        assert_eq!(window.marks(second(40)).len(), 32);
        assert!(window.marks(second(-86_400)).is_empty() && window.is_live(second(3_600)) && !window.is_live(second(3_700)));
        assert_eq!(accounts(account(99), &window.marks(second(-86_400)), &[]).accounts_per_network, 1, "its own is counted");
    }

    #[test]
    fn marks_of_an_earlier_version_count_for_the_address_and_the_network() {
        let earlier: Vec<Mark> = (0..6).map(|account| Mark { account, host: 7 + account / 3 }).collect();
        let counted = accounts(Mark { account: 0, host: 7 }, &earlier, &[account(0), account(9)]);
        assert_eq!((counted.accounts_per_ip, counted.accounts_per_network), (4, 6));
    }

    #[test]
    fn failures_are_those_of_a_quarter_of_an_hour_since_the_last_success() {
        let attempts = |count: i64| (0..count).map(|number| second(number * 60));
        assert_eq!(failures(attempts(10), None, second(900)), 9);
        assert_eq!(failures(attempts(10), Some(second(300)), second(900)), 4);
        assert_eq!(failures(std::iter::repeat_n(second(0), 100), None, second(0)), 24);
        assert_eq!(failures(attempts(1), None, second(-1)), 0);
    }
}
