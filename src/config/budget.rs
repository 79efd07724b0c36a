//! Deadlines: how long anything may take.

use std::time::Duration;

use super::env::{Reader, duration};

/// The longest time to an answer that may be configured: Cognito gives up at 5 s and retries.
const CEILING: Duration = Duration::from_millis(2999);

/// Kept free for judging and writing the answer after the last wait.
const RESERVE: Duration = Duration::from_millis(50);

/// The deadlines of one sign-in, each inside the one before.
#[derive(Debug, Clone, Copy)]
pub struct BudgetConfig {
    /// From the whole request read to the answer written. `BUDGET`, default 2500 ms, under 3 s.
    pub total: Duration,
    /// One service. `PROVIDER_TIMEOUT`, default 1200 ms or less where `BUDGET` is shorter.
    pub provider: Duration,
    /// DNS, TCP and TLS. `CONNECT_TIMEOUT`, default 400 ms or less.
    pub connect: Duration,
    /// The store. `STORE_TIMEOUT`, default 300 ms or less.
    pub store: Duration,
}

impl BudgetConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let total = r.parsed("BUDGET", |v| match duration(v)? {
            d if d <= CEILING => Ok(d),
            _ => Err("must be under 3s: Cognito itself gives up at 5s and tries again".to_owned()),
        });
        let provider = r.parsed("PROVIDER_TIMEOUT", duration);
        let connect = r.parsed("CONNECT_TIMEOUT", duration);
        let store = r.parsed("STORE_TIMEOUT", duration);
        // Two values that are both set are held against each other; an unset one shrinks to fit.
        within(r, "PROVIDER_TIMEOUT", provider, "BUDGET", total.or(Some(CEILING)));
        within(r, "STORE_TIMEOUT", store, "BUDGET", total.or(Some(CEILING)));
        within(r, "CONNECT_TIMEOUT", connect, "PROVIDER_TIMEOUT", provider);
        within(r, "CONNECT_TIMEOUT", connect, "BUDGET", total);
        let needed = provider.into_iter().chain(store).max().map(|longest| longest + RESERVE);
        let total = total.unwrap_or_else(|| Duration::from_millis(2500).max(needed.unwrap_or_default()).min(CEILING));
        let room = total.saturating_sub(RESERVE).max(total / 2);
        let provider = provider.unwrap_or_else(|| Duration::from_millis(1200).max(connect.unwrap_or_default()).min(room)).min(total);
        BudgetConfig {
            total,
            provider,
            connect: connect.unwrap_or(Duration::from_millis(400)).min(provider),
            store: store.unwrap_or(Duration::from_millis(300)).min(room),
        }
    }
}

fn within(r: &mut Reader<'_>, name: &str, value: Option<Duration>, outer_name: &str, outer: Option<Duration>) {
    if let (Some(value), Some(outer)) = (value, outer)
        && value > outer
    {
        r.fault(name, format!("is longer than {outer_name} allows ({})", humantime::format_duration(outer)));
    }
}
