//! Velocity signals: recent attempts on the account and from the address.

use crate::evidence::history::Velocity;

/// Counts in time windows, including the current attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VelocitySignals {
    /// Failed attempts on the account in 15 minutes, such as 4.
    pub account_failures: u32,
    /// Distinct accounts from the address in an hour, such as 1.
    pub accounts_per_ip: u32,
    /// Distinct accounts from its /24 or /48 in an hour, such as 3.
    pub accounts_per_network: u32,
}

impl VelocitySignals {
    /// Derives the signals.
    pub fn read(velocity: Velocity) -> Self {
        let Velocity { account_failures, accounts_per_ip, accounts_per_network } = velocity;
        VelocitySignals { account_failures, accounts_per_ip, accounts_per_network }
    }
}
