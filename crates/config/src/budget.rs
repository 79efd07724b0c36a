//! Deadlines of a sign-in and its parts.

use std::time::Duration;

use crate::env::{Reader, duration};

/// The longest `BUDGET` that can be configured. Cognito gives up after 5 s and retries.
const MAX_BUDGET: Duration = Duration::from_millis(2999);

/// Time that remains for scoring and for writing the answer after the last wait.
const RESERVE: Duration = Duration::from_millis(50);

/// The time limits of one sign-in. Each fits into the one before it.
#[derive(Debug, Clone, Copy)]
pub struct BudgetConfig {
    /// From the complete request to the written answer. `BUDGET`, default 2500 ms, under 3 s.
    pub total: Duration,
    /// One call of a service. `PROVIDER_TIMEOUT`, default 1200 ms or less where `BUDGET` is shorter.
    pub provider: Duration,
    /// DNS, TCP and TLS together. `CONNECT_TIMEOUT`, default 400 ms or less.
    pub connect: Duration,
    /// One operation of the store. `STORE_TIMEOUT`, default 300 ms or less.
    pub store: Duration,
}

impl BudgetConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let total = r.parsed("BUDGET", |v| match duration(v)? {
            d if d <= MAX_BUDGET => Ok(d),
            _ => Err("must be under 3s, because Cognito gives up after 5s and retries".to_owned()),
        });
        let provider = r.parsed("PROVIDER_TIMEOUT", duration);
        let connect = r.parsed("CONNECT_TIMEOUT", duration);
        let store = r.parsed("STORE_TIMEOUT", duration);
        // Two values that are both set must fit each other. An unset value shrinks to fit.
        check_within(r, "PROVIDER_TIMEOUT", provider, "BUDGET", total.or(Some(MAX_BUDGET)));
        check_within(r, "STORE_TIMEOUT", store, "BUDGET", total.or(Some(MAX_BUDGET)));
        check_within(r, "CONNECT_TIMEOUT", connect, "PROVIDER_TIMEOUT", provider);
        check_within(r, "CONNECT_TIMEOUT", connect, "BUDGET", total);
        let needed = provider.into_iter().chain(store).max().map(|longest| longest + RESERVE);
        let total = total.unwrap_or_else(|| Duration::from_millis(2500).max(needed.unwrap_or_default()).min(MAX_BUDGET));
        let available = total.saturating_sub(RESERVE).max(total / 2);
        let provider = provider.unwrap_or_else(|| Duration::from_millis(1200).max(connect.unwrap_or_default()).min(available)).min(total);
        BudgetConfig {
            total,
            provider,
            connect: connect.unwrap_or(Duration::from_millis(400)).min(provider),
            store: store.unwrap_or(Duration::from_millis(300)).min(available),
        }
    }
}

/// Adds a fault when `value` is longer than `outer`.
fn check_within(r: &mut Reader<'_>, name: &str, value: Option<Duration>, outer_name: &str, outer: Option<Duration>) {
    if let (Some(value), Some(outer)) = (value, outer)
        && value > outer
    {
        r.add_fault(name, format!("is longer than {outer_name} allows ({})", humantime::format_duration(outer)));
    }
}
