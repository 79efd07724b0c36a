//! The constants of the model, read from `data/weights.csv`, which documents the source of each value.

use crate::score::table::{Table, TableError};

macro_rules! weights {
    ($($name:ident $low:literal $high:literal $meaning:literal;)*) => {
        /// The constants of the model, in units of S: natural logarithms of likelihood ratios.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Weights {
            $(#[doc = $meaning] pub $name: f64,)*
        }

        impl Weights {
            /// Parses the table, which has every constant exactly once.
            pub(super) fn parse(text: &str) -> Result<Self, TableError> {
                let table = Table::read("weights.csv", text, &["name", "value", "why"])?;
                $(let mut $name: Option<f64> = None;)*
                for row in table.rows() {
                    let (slot, low, high) = match row.text(0) {
                        $(stringify!($name) => (&mut $name, $low, $high),)*
                        other => return Err(row.error(format!("{other:?} is not a constant of the model"))),
                    };
                    if slot.replace(row.number(1, low, high)?).is_some() {
                        return Err(row.error("duplicate row"));
                    }
                }
                Ok(Weights { $($name: $name.ok_or_else(|| table.error(concat!(stringify!($name), " is missing")))?,)* })
            }

            /// The name and value of every constant.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

weights! {
    slope 0.01 2.0 "Factor from S to log-odds.";
    offset -5.0 5.0 "Added to the prior's log-odds.";
    clip 0.0 20.0 "Bound of the absolute value of every term.";
    reserve 0.0 20.0 "Part of the familiar values that offsets new values only, without making S negative.";
    mixture_naive 0.0 1.0 "Share of naive attackers, profile balanced.";
    mixture_vpn 0.0 1.0 "Share of attackers in the user's country, profile balanced.";
    mixture_targeted 0.0 1.0 "Share of attackers who imitate provider and browser, profile balanced.";
    mixture_rare 0.0 1.0 "Share of attackers from rare networks, profile balanced.";
    targeted_naive 0.0 1.0 "As `mixture_naive`, profile targeted.";
    targeted_vpn 0.0 1.0 "As `mixture_vpn`, profile targeted.";
    targeted_targeted 0.0 1.0 "As `mixture_targeted`, profile targeted.";
    targeted_rare 0.0 1.0 "As `mixture_rare`, profile targeted.";
    rarity_low -10.0 0.0 "Lower bound of the rarity of country and provider.";
    rarity_high 0.0 10.0 "Upper bound of the rarity of country and provider.";
    hour_clip 0.0 10.0 "Bound of the hour's term.";
    hour_prior 0.1 1000.0 "Pseudo-count of the common hour curve, in sign-ins.";
    hour_kappa 0.0 50.0 "Concentration of the kernel over hours.";
    share_asn 0.000001 1.0 "Share of the same provider within a country, without a table.";
    share_device_type 0.000001 1.0 "Share of the same device type, without a table.";
    share_os 0.000001 1.0 "Share of the same operating system, without a table.";
    share_browser 0.000001 1.0 "Share of the same browser, without a table.";
    share_user_agent 0.000001 1.0 "Share of the same user agent within its browser.";
    share_network 0.000001 1.0 "Share of the same network within its provider.";
    share_ip 0.000001 1.0 "Share of the same address within its network.";
    share_device 0.000001 1.0 "Share of the same device id.";
    established_device -10.0 0.0 "Lower bound of the term of a known device id.";
    travel_speed 1.0 10000.0 "Speed in km/h above which travel counts.";
    travel_gain 0.0 20.0 "Weight of twice that speed.";
    travel_high 0.0 20.0 "Upper bound of the travel term.";
    velocity_high 0.0 20.0 "Upper bound of each velocity term.";
    usual_account_failures 0.0 1000000.0 "Failures of an account in 15 minutes that are usual.";
    usual_accounts_per_ip 0.0 1000000.0 "Accounts from an address in an hour that are usual.";
    usual_accounts_per_network 0.0 1000000.0 "Accounts from a /24 or /48 in an hour that are usual.";
    dormant_days 1.0 36500.0 "Days after which an account is dormant.";
    dormant_account -10.0 10.0 "Weight of a dormant account.";
    automation -10.0 10.0 "Weight of an automated user agent, or one that no browser sends.";
    missing_user_agent -10.0 10.0 "Weight of a context without a user agent.";
    timezone_mismatch -10.0 10.0 "Weight of a device time zone that does not match the address's country.";
    attack_wave 0.0 10.0 "Upper bound of the weight of values that an attack on the pool has.";
    replayed_context -10.0 10.0 "Weight of a signed context that was used elsewhere.";
    anonymizer -10.0 10.0 "Weight of an anonymiser of unknown kind.";
    vpn -10.0 10.0 "Weight of a VPN.";
    hosting -10.0 10.0 "Weight of a hosting provider.";
    public_proxy -10.0 10.0 "Weight of an open proxy.";
    residential_proxy -10.0 10.0 "Weight of a residential proxy.";
    tor -10.0 10.0 "Weight of a Tor exit.";
}
