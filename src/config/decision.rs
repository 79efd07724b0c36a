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
    /// Countries that are denied, two upper-case letters each. `DENY_COUNTRIES`.
    pub deny_countries: PerClient<Vec<String>>,
    /// Autonomous systems that are denied. `DENY_ASNS`.
    pub deny_asns: PerClient<Vec<u32>>,
    /// Autonomous systems whose believed addresses are let in. `ALLOW_ASNS`.
    pub allow_asns: PerClient<Vec<u32>>,
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
            deny_countries: r.per_client("DENY_COUNTRIES", Vec::new(), list_of(country)),
            deny_asns: r.per_client("DENY_ASNS", Vec::new(), list_of(asn)),
            allow_asns: r.per_client("ALLOW_ASNS", Vec::new(), list_of(asn)),
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

/// Reads a comma-separated list; `none` is an empty one, for an app client that takes no part in the list of all.
fn list_of<T>(parse: impl Fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<Vec<T>, String> {
    move |value| match value {
        "none" => Ok(Vec::new()),
        value => value.split([',', '\n', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).map(&parse).collect(),
    }
}

/// Reads an ISO 3166-1 alpha-2 code. `UK`, which the standard reserves, is `GB`.
fn country(value: &str) -> Result<String, String> {
    let code = value.to_ascii_uppercase();
    match code.as_bytes() {
        b"UK" => Ok("GB".to_owned()),
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && !is_no_country([*a, *b]) => Ok(code),
        _ => Err(format!("{value:?} is not a country's ISO 3166-1 alpha-2 code such as DE")),
    }
}

/// Whether two upper-case letters are a code without a country: ISO 3166-1's user-assigned codes, Kosovo's XK apart, and the
/// regions of network registries.
pub fn is_no_country([a, b]: [u8; 2]) -> bool {
    match (a, b) {
        (b'X', b'K') => false,
        (b'X', _) | (b'A', b'A' | b'P') | (b'Z', b'Z') | (b'E', b'U') | (b'Q', b'M'..=b'Z') => true,
        _ => false,
    }
}

/// Reads an AS number, with or without `AS` before it.
fn asn(value: &str) -> Result<u32, String> {
    let upper = value.to_ascii_uppercase();
    let digits = upper.strip_prefix("AS").unwrap_or(&upper);
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    number.filter(|number| *number != 0).ok_or_else(|| format!("{value:?} is not an AS number such as 64500 or AS64500"))
}

fn sentence(value: &str) -> Result<String, String> {
    if value.chars().any(char::is_control) || value.len() > 200 || value.ends_with('.') {
        return Err("must be one line of at most 200 bytes without a final dot (Cognito adds one)".to_owned());
    }
    Ok(value.to_owned())
}
