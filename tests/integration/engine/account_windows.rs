//! Counts of accounts at an address and in a network, and of failures.

use jiff::Timestamp;
use riskgate_engine::velocity::{ACCOUNT_WINDOW_SECONDS, AccountWindow, MAX_WINDOW_ENTRIES, WindowEntry, accounts, failures};

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a timestamp")
}

fn account(account: u32) -> WindowEntry {
    WindowEntry { account, host: 0 }
}

#[test]
fn the_count_is_exact_up_to_the_maximum() {
    let mut window = AccountWindow::default();
    let (mut seen, mut moment): (Vec<(u32, i64)>, i64) = (Vec::new(), 0);
    for at in 0..20_000_i64 {
        // Bursts and quiet hours, with repeated and new accounts.
        let number = u32::try_from((at * 7919) % (3 + at / 7)).expect("small");
        moment += if at % 4_000 < 2_000 { 1 } else { 400 };
        window.add(account(number), second(moment));
        seen.retain(|(known, then)| *known != number && moment - then < ACCOUNT_WINDOW_SECONDS);
        seen.push((number, moment));
        assert_eq!(window.entries(second(moment)).len(), seen.len().min(MAX_WINDOW_ENTRIES), "{at}");
        assert!(window.entries(second(moment)).contains(&account(number)), "{at}");
    }
}

#[test]
fn an_earlier_time_removes_no_later_entry() {
    let mut window = AccountWindow::default();
    (0..32).for_each(|number| window.add(account(number), second(number.into())));
    window.add(account(99), second(-86_400));
    window.add(account(3), second(-86_400));
    assert_eq!(window.entries(second(40)).len(), 32);
    assert!(window.entries(second(-86_400)).is_empty() && window.is_live(second(3_600)) && !window.is_live(second(3_700)));
    assert_eq!(accounts(account(99), &window.entries(second(-86_400)), &[]).accounts_per_network, 1, "the sign-in's own account is counted");
}

#[test]
fn entries_of_earlier_versions_count_for_address_and_network() {
    let earlier: Vec<WindowEntry> = (0..6).map(|account| WindowEntry { account, host: 7 + account / 3 }).collect();
    let counted = accounts(WindowEntry { account: 0, host: 7 }, &earlier, &[account(0), account(9)]);
    assert_eq!((counted.accounts_per_ip, counted.accounts_per_network), (4, 6));
}

#[test]
fn failures_are_counted_for_15_minutes_since_the_last_success() {
    let attempts = |count: i64| (0..count).map(|number| second(number * 60));
    assert_eq!(failures(attempts(10), None, second(900)), 9);
    assert_eq!(failures(attempts(10), Some(second(300)), second(900)), 4);
    assert_eq!(failures(std::iter::repeat_n(second(0), 100), None, second(0)), 24);
    assert_eq!(failures(attempts(1), None, second(-1)), 0);
}
