//! The constants of the model, read from `data/weights.csv`, where the reason for each stands beside it.

use super::table::{Table, TableError};

macro_rules! weights {
    ($($name:ident $low:literal $high:literal $meaning:literal;)*) => {
        /// The constants of the model, in units of S: natural logarithms of likelihood ratios.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Weights {
            $(#[doc = $meaning] pub $name: f64,)*
        }

        impl Weights {
            /// Reads the table: every constant once, no other.
            pub(super) fn parse(text: &str) -> Result<Self, TableError> {
                let table = Table::read("weights.csv", text, &["name", "value", "why"])?;
                $(let mut $name: Option<f64> = None;)*
                for row in table.rows() {
                    let (slot, low, high) = match row.text(0) {
                        $(stringify!($name) => (&mut $name, $low, $high),)*
                        other => return Err(row.fault(format!("{other:?} is no constant of the model"))),
                    };
                    if slot.replace(row.number(1, low, high)?).is_some() {
                        return Err(row.fault("stands there twice"));
                    }
                }
                Ok(Weights { $($name: $name.ok_or_else(|| table.fault(concat!(stringify!($name), " is missing")))?,)* })
            }

            /// Name and value of each.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

weights! {
    slope 0.01 2.0 "What S is multiplied with to be log-odds.";
    offset -5.0 5.0 "Added to the prior's log-odds.";
    clip 0.0 20.0 "Bound of every term.";
    reserve 0.0 20.0 "Credit of familiar values that only cancels what is new.";
    mixture_naive 0.0 1.0 "Share of naive attackers, profile balanced.";
    mixture_vpn 0.0 1.0 "Share of attackers in the person's country, profile balanced.";
    mixture_targeted 0.0 1.0 "Share of attackers who copy provider and browser, profile balanced.";
    mixture_rare 0.0 1.0 "Share of attackers from rare networks, profile balanced.";
    targeted_naive 0.0 1.0 "As `mixture_naive`, profile targeted.";
    targeted_vpn 0.0 1.0 "As `mixture_vpn`, profile targeted.";
    targeted_targeted 0.0 1.0 "As `mixture_targeted`, profile targeted.";
    targeted_rare 0.0 1.0 "As `mixture_rare`, profile targeted.";
    rarity_low -10.0 0.0 "Lower bound of the rarity of country and provider.";
    rarity_high 0.0 10.0 "Upper bound of it.";
    hour_clip 0.0 10.0 "Bound of the hour's term.";
    hour_prior 0.1 1000.0 "Sign-ins that the common curve is worth.";
    hour_kappa 0.0 50.0 "Concentration of the kernel over hours.";
    share_asn 0.000001 1.0 "Share of the same provider within a country, where no table says.";
    share_device_type 0.000001 1.0 "Share of the same kind of device, where no table says.";
    share_os 0.000001 1.0 "Share of the same system, where no table says.";
    share_browser 0.000001 1.0 "Share of the same browser, where no table says.";
    share_user_agent 0.000001 1.0 "Share of the same user agent within its browser.";
    share_network 0.000001 1.0 "Share of the same network within its provider.";
    share_ip 0.000001 1.0 "Share of the same address within its network.";
    share_device 0.000001 1.0 "Share of the same device id.";
    established_device -10.0 0.0 "The most that a known device id takes away.";
    travel_speed 1.0 10000.0 "km/h from which travel counts.";
    travel_gain 0.0 20.0 "What twice that speed weighs.";
    travel_high 0.0 20.0 "Bound of travel.";
    velocity_high 0.0 20.0 "Bound of each velocity term.";
    usual_account_failures 0.0 1000000.0 "Failures of an account in 15 minutes that are still usual.";
    usual_accounts_per_ip 0.0 1000000.0 "Accounts from an address in an hour that are still usual.";
    usual_accounts_per_network 0.0 1000000.0 "Accounts from a /24 or /48 in an hour that are still usual.";
    dormant_days 1.0 36500.0 "Days after which an account is dormant.";
    dormant_account -10.0 10.0 "Weight of a dormant account.";
    automation -10.0 10.0 "Weight of a program's user agent, or one that no browser writes.";
    missing_user_agent -10.0 10.0 "Weight of a context without a user agent.";
    timezone_mismatch -10.0 10.0 "Weight of a device clock of another part of the world.";
    replayed_context -10.0 10.0 "Weight of a signed context that was used elsewhere.";
    anonymizer -10.0 10.0 "Weight of an anonymiser of no known kind.";
    vpn -10.0 10.0 "Weight of a VPN.";
    hosting -10.0 10.0 "Weight of a hosting provider.";
    public_proxy -10.0 10.0 "Weight of an open proxy.";
    residential_proxy -10.0 10.0 "Weight of a residential proxy.";
    tor -10.0 10.0 "Weight of a Tor exit.";
}
