//! Thresholds, lists and modes: what turns a score into a verdict.

use ipnet::IpNet;

use super::env::{PerClient, Reader, number_within, one_of};

/// How verdicts are made.
#[derive(Debug, Clone)]
pub struct DecisionConfig {
    /// Enforce or monitor. `MODE`.
    pub mode: PerClient<Mode>,
    /// Deny from this score. `DENY_AT`, 0 to 100, default 80.
    pub deny_at: PerClient<f64>,
    /// Flag from this score. `REVIEW_AT`, 0 to 100, default 50.
    pub review_at: PerClient<f64>,
    /// What stands in when no service answers. `FALLBACK`.
    pub fallback: PerClient<Fallback>,
    /// Under fallback `local`, deny from this score. `DEGRADED_DENY_AT`; midway between the thresholds when unset.
    pub degraded_deny_at: Option<f64>,
    /// A sign-in without a public address. `NO_IP`.
    pub no_ip: PerClient<NoIp>,
    /// What a denied person reads before the id. `DENY_MESSAGE`.
    pub deny_message: String,
    /// Networks that are let in. `ALLOW_CIDRS`.
    pub allow_cidrs: Vec<IpNet>,
    /// Networks that are denied. `DENY_CIDRS`.
    pub deny_cidrs: Vec<IpNet>,
    /// App clients that are denied. `DENY_CLIENTS`.
    pub deny_clients: Vec<String>,
}

/// Whether verdicts are acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// They are only recorded.
    Monitor,
}

/// What stands in when every service that was due failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fallback {
    /// The local score, denying already from `DEGRADED_DENY_AT`.
    #[default]
    Local,
    /// Let in, unless a list or the local score denies.
    Allow,
    /// Deny.
    Deny,
}

/// What a sign-in without a public address gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoIp {
    /// A score of what is known.
    #[default]
    Score,
    /// Let in.
    Allow,
    /// Denied.
    Deny,
}

impl DecisionConfig {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let score = number_within(0.0, 100.0);
        DecisionConfig {
            mode: r.per_client("MODE", Mode::Enforce, |v| one_of(v, &[("enforce", Mode::Enforce), ("monitor", Mode::Monitor)])),
            deny_at: r.per_client("DENY_AT", 80.0, &score),
            review_at: r.per_client("REVIEW_AT", 50.0, &score),
            fallback: r
                .per_client("FALLBACK", Fallback::Local, |v| one_of(v, &[("local", Fallback::Local), ("allow", Fallback::Allow), ("deny", Fallback::Deny)])),
            degraded_deny_at: r.parsed("DEGRADED_DENY_AT", &score),
            no_ip: r.per_client("NO_IP", NoIp::Score, |v| one_of(v, &[("score", NoIp::Score), ("allow", NoIp::Allow), ("deny", NoIp::Deny)])),
            deny_message: r
                .parsed("DENY_MESSAGE", sentence)
                .unwrap_or_else(|| "Sign-in was declined for security reasons. Contact support and quote".to_owned()),
            allow_cidrs: r.list("ALLOW_CIDRS", cidr),
            deny_cidrs: r.list("DENY_CIDRS", cidr),
            deny_clients: r.list("DENY_CLIENTS", |v| Ok(v.to_owned())),
        }
    }
}

impl DecisionConfig {
    /// The lowest score from which any client's sign-in can be denied, degraded ones included.
    pub fn lowest_denial(&self) -> f64 {
        let clients = self.deny_at.clients.keys().chain(self.review_at.clients.keys()).map(String::as_str);
        clients.chain([""]).map(|client| self.degraded_denial(client)).fold(100.0, f64::min)
    }

    /// The score from which a degraded sign-in is denied under fallback `local`: never laxer than the threshold.
    pub fn degraded_denial(&self, client: &str) -> f64 {
        let (deny_at, review_at) = (*self.deny_at.of(client), *self.review_at.of(client));
        self.degraded_deny_at.unwrap_or(f64::midpoint(deny_at, review_at)).min(deny_at)
    }
}

impl Mode {
    /// The label in metrics and answers.
    pub fn as_label(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Monitor => "monitor",
        }
    }
}

impl Fallback {
    /// The label in metrics and answers.
    pub fn as_label(self) -> &'static str {
        match self {
            Fallback::Local => "local",
            Fallback::Allow => "allow",
            Fallback::Deny => "deny",
        }
    }
}

/// Reads a network, or a single address as the network of itself. IPv4-mapped IPv6 is IPv4 (invariant 12).
pub fn cidr(value: &str) -> Result<IpNet, String> {
    let net = match value.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => IpNet::from(value.parse::<std::net::IpAddr>().map_err(|_| format!("{value:?} is not a network such as 198.51.100.0/24"))?),
    };
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::new(v4.into(), v6.prefix_len() - 96).map_err(|error| error.to_string()),
            None => Ok(net.trunc()),
        },
        IpNet::V4(_) | IpNet::V6(_) => Ok(net.trunc()),
    }
}

fn sentence(value: &str) -> Result<String, String> {
    if value.chars().any(char::is_control) || value.len() > 200 || value.ends_with('.') {
        return Err("must be one line of at most 200 bytes without a final dot (Cognito adds one)".to_owned());
    }
    Ok(value.to_owned())
}
