//! The body of an action, checked: what, to whom, for how long, and why.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use riskgate_activity::decision::Outcome;
use riskgate_config::pseudonym::Pseudonyms;
use riskgate_engine::{client_ip::parse_network, personal::Personal};

/// The shortest note, in characters: an action says why.
const MIN_NOTE: usize = 3;

/// The longest note, in bytes.
const MAX_NOTE_BYTES: usize = 500;

/// The longest name of a user in a user pool, in characters.
const MAX_NAME: usize = 128;

/// The longest time until an action expires.
const MAX_EXPIRY: Duration = Duration::from_secs(90 * 86_400);

/// The length of a pseudonym in audit lines, in characters.
const PSEUDONYM_LENGTH: usize = 16;

/// The most /24 or /48 networks of a range. A wider one takes the command line.
const MAX_NETWORKS: u32 = 4096;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// Denies sign-ins.
    Suspend,
    /// Lets sign-ins in, whatever their score.
    Exempt,
    /// Ends the restriction of a user's tokens.
    Lift,
    /// Says whether a sign-in was fraud.
    Label,
    /// Ends all sessions of a user in the user pool.
    Revoke,
}

/// To whom it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionSubject {
    /// A user, by pseudonym.
    User(SmolStr),
    /// An app client.
    Client(SmolStr),
    /// An address range.
    Range(IpNet),
    /// A network (/24 or /48), by pseudonym.
    Network(SmolStr),
    /// An autonomous system.
    Asn(u32),
    /// A decision, by id.
    Decision(SmolStr),
}

/// A checked action.
#[derive(Debug)]
pub struct ActionRequest {
    /// What is done.
    pub kind: ActionKind,
    /// To whom.
    pub subject: ActionSubject,
    /// Whether a sign-in was fraud.
    pub label: Option<Outcome>,
    /// When it expires.
    pub expiry: Option<Duration>,
    /// Why.
    pub note: String,
    /// How many known users the operator was shown to be affected.
    pub confirmed_users: Option<usize>,
    /// The user's name in the user pool, to end sessions. It is neither stored nor logged.
    pub name: Option<Personal<String>>,
}

/// The body of `POST /v1/actions`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    action: ActionKind,
    subject: String,
    value: String,
    #[serde(default)]
    label: Option<Outcome>,
    #[serde(default)]
    seconds: Option<u64>,
    note: String,
    #[serde(default)]
    confirmed_users: Option<usize>,
    #[serde(default)]
    name: Option<String>,
}

impl ActionKind {
    /// The text in JSON and in audit lines.
    pub fn as_label(self) -> &'static str {
        match self {
            ActionKind::Suspend => "suspend",
            ActionKind::Exempt => "exempt",
            ActionKind::Lift => "lift",
            ActionKind::Label => "label",
            ActionKind::Revoke => "revoke",
        }
    }
}

impl ActionRequest {
    /// Parses a body.
    ///
    /// # Errors
    ///
    /// A sentence that says what is missing. It quotes nothing of the body.
    pub fn parse(body: &[u8]) -> Result<Self, &'static str> {
        let wire: Wire = serde_json::from_slice(body).map_err(
            |_| "send {\"action\", \"subject\", \"value\", \"note\"} and, where they apply, \"label\", \"seconds\", \"confirmed_users\" and \"name\"",
        )?;
        let note = checked_note(&wire.note)?;
        let subject = ActionSubject::parse(&wire.subject, &wire.value)?;
        let expiry = wire.seconds.map(Duration::from_secs);
        if expiry.is_some_and(|expiry| expiry.is_zero() || expiry > MAX_EXPIRY) {
            return Err("seconds must be 1 to 7,776,000 (90 days)");
        }
        let is_block = matches!(wire.action, ActionKind::Suspend | ActionKind::Exempt);
        match (&subject, wire.action) {
            (ActionSubject::User(_), ActionKind::Suspend | ActionKind::Exempt | ActionKind::Lift | ActionKind::Revoke) => {}
            (ActionSubject::Client(_) | ActionSubject::Range(_) | ActionSubject::Network(_), ActionKind::Suspend | ActionKind::Exempt) => {}
            // An exempt AS would let in everybody who rents an address there.
            (ActionSubject::Asn(_), ActionKind::Suspend) => {}
            (ActionSubject::Decision(_), ActionKind::Label) => {}
            _ => {
                return Err(
                    "users can be suspended, exempted or lifted, and their sessions revoked; clients, networks and ranges suspended or exempted; an AS suspended; decisions labelled",
                );
            }
        }
        let is_user = matches!(subject, ActionSubject::User(_));
        if is_block && expiry.is_none() && !(is_user && wire.action == ActionKind::Suspend) {
            return Err("seconds is needed: an exemption, and an action on a client, a network, an AS or a range, must expire");
        }
        if wire.action == ActionKind::Label && !matches!(wire.label, Some(Outcome::Fraud | Outcome::NotFraud)) {
            return Err("label must be fraud or not_fraud");
        }
        let name = match (wire.action, wire.name) {
            (ActionKind::Revoke, Some(name)) => Some(checked_name(name)?),
            (ActionKind::Revoke, None) => return Err("name is needed: the user's name in the user pool"),
            (_, Some(_)) => return Err("name is for revoke only"),
            (_, None) => None,
        };
        Ok(ActionRequest { kind: wire.action, subject, label: wire.label, expiry, note, confirmed_users: wire.confirmed_users, name })
    }
}

impl ActionSubject {
    /// Parses a kind and a value.
    ///
    /// # Errors
    ///
    /// A sentence that says what the value must be.
    pub fn parse(kind: &str, value: &str) -> Result<Self, &'static str> {
        if value.is_empty() || value.len() > 256 || value.chars().any(char::is_control) {
            return Err("value must have 1 to 256 bytes, without control characters");
        }
        match kind {
            "user" => Ok(ActionSubject::User(value.into())),
            "client" => Ok(ActionSubject::Client(value.into())),
            "decision" => Ok(ActionSubject::Decision(value.into())),
            "range" => {
                let net = parse_network(value).map_err(|_| "value must be a network such as 198.51.100.0/24")?;
                let is_wide = network_count(net) > MAX_NETWORKS;
                if is_wide { Err("the range is too wide for the dashboard; riskgate block add takes it") } else { Ok(ActionSubject::Range(net)) }
            }
            "network" => {
                let is_pseudonym = value.len() == PSEUDONYM_LENGTH && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
                if is_pseudonym { Ok(ActionSubject::Network(value.into())) } else { Err("value must be the pseudonym of a network, 16 characters") }
            }
            "asn" => value.parse().map(ActionSubject::Asn).map_err(|_| "value must be the number of an AS"),
            _ => Err("subject must be user, client, network, asn, range or decision"),
        }
    }

    /// The kind in JSON and in audit lines.
    pub fn kind(&self) -> &'static str {
        match self {
            ActionSubject::User(_) => "user",
            ActionSubject::Client(_) => "client",
            ActionSubject::Range(_) => "range",
            ActionSubject::Network(_) => "network",
            ActionSubject::Asn(_) => "asn",
            ActionSubject::Decision(_) => "decision",
        }
    }

    /// The value in JSON and in audit lines.
    pub fn value(&self) -> String {
        match self {
            ActionSubject::User(value) | ActionSubject::Client(value) | ActionSubject::Network(value) | ActionSubject::Decision(value) => value.to_string(),
            ActionSubject::Range(net) => net.to_string(),
            ActionSubject::Asn(asn) => asn.to_string(),
        }
    }

    /// Whether the subject has many users.
    pub fn is_shared(&self) -> bool {
        match self {
            ActionSubject::Client(_) | ActionSubject::Range(_) | ActionSubject::Network(_) | ActionSubject::Asn(_) => true,
            ActionSubject::User(_) | ActionSubject::Decision(_) => false,
        }
    }

    /// The pseudonyms of the /24 or /48 networks of a range or a network, as audit lines have them.
    pub fn networks(&self, pseudonyms: &Pseudonyms) -> Vec<SmolStr> {
        match self {
            ActionSubject::Range(net) => (0..network_count(*net)).map(|index| pseudonyms.network(nth_network(*net, index))).collect(),
            ActionSubject::Network(name) => vec![name.clone()],
            ActionSubject::User(_) | ActionSubject::Client(_) | ActionSubject::Asn(_) | ActionSubject::Decision(_) => Vec::new(),
        }
    }
}

/// The note without surrounding blanks.
///
/// # Errors
///
/// It is missing, too long, or has control characters.
pub fn checked_note(note: &str) -> Result<String, &'static str> {
    let note = note.trim();
    if note.chars().count() < MIN_NOTE {
        return Err("note is needed: say why, in at least three characters");
    }
    if note.len() > MAX_NOTE_BYTES || note.chars().any(char::is_control) {
        return Err("note has at most 500 bytes, on one line");
    }
    Ok(note.to_owned())
}

fn checked_name(name: String) -> Result<Personal<String>, &'static str> {
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err("name must have 1 to 128 characters, without control characters");
    }
    Ok(Personal::new(name))
}

/// The length of the prefix that counts as one network: /24 or /48.
fn unit(net: IpNet) -> u8 {
    match net {
        IpNet::V4(_) => 24,
        IpNet::V6(_) => 48,
    }
}

fn network_count(net: IpNet) -> u32 {
    1_u32.checked_shl(u32::from(unit(net).saturating_sub(net.prefix_len()))).unwrap_or(u32::MAX)
}

fn nth_network(net: IpNet, index: u32) -> IpAddr {
    match net.network() {
        IpAddr::V4(ip) => std::net::Ipv4Addr::from_bits(ip.to_bits().wrapping_add(index << 8)).into(),
        IpAddr::V6(ip) => std::net::Ipv6Addr::from_bits(ip.to_bits().wrapping_add(u128::from(index) << 80)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_needs_a_note_and_a_wide_one_an_expiry() {
        for (body, fault) in [
            (r#"{"action":"suspend","subject":"user","value":"u","note":" "}"#, "note is needed"),
            (r#"{"action":"suspend","subject":"client","value":"web","note":"chargeback"}"#, "seconds is needed"),
            (r#"{"action":"exempt","subject":"user","value":"u","note":"travels"}"#, "seconds is needed"),
            (r#"{"action":"suspend","subject":"range","value":"10.0.0.0/8","note":"a wave","seconds":60}"#, "too wide"),
            (r#"{"action":"suspend","subject":"range","value":"ten","note":"a wave","seconds":60}"#, "a network such as"),
            (r#"{"action":"lift","subject":"client","value":"web","note":"a wave"}"#, "users can be"),
            (r#"{"action":"label","subject":"decision","value":"x","label":"success","note":"reported"}"#, "label must be"),
            (r#"{"action":"suspend","subject":"user","value":"u","note":"why","seconds":99999999}"#, "90 days"),
            (r#"{"action":"suspend","subject":"user","value":"u","note":"a\nb"}"#, "on one line"),
            (r#"{"action":"revoke","subject":"user","value":"u","note":"taken over"}"#, "name is needed"),
            (r#"{"action":"revoke","subject":"client","value":"web","note":"taken over","name":"ada"}"#, "users can be"),
            (r#"{"action":"suspend","subject":"user","value":"u","note":"why","name":"ada"}"#, "name is for revoke"),
            (r#"{"action":"suspend","subject":"network","value":"198.51.100.0/24","note":"a wave","seconds":60}"#, "pseudonym of a network"),
            (r#"{"action":"suspend","subject":"network","value":"fFzacOTJHoYlUG_e","note":"a wave"}"#, "seconds is needed"),
            (r#"{"action":"exempt","subject":"asn","value":"64500","note":"our exit","seconds":60}"#, "an AS suspended"),
            (r#"{"action":"suspend","subject":"asn","value":"AS","note":"a wave","seconds":60}"#, "number of an AS"),
            (r#"{"action":"shout","subject":"user","value":"u","note":"why"}"#, "send {"),
            (r#"{"action":"suspend","subject":"user","value":"u","note":"why","extra":1}"#, "send {"),
        ] {
            let found = ActionRequest::parse(body.as_bytes()).expect_err(body);
            assert!(found.contains(fault), "{body}: {found}");
        }
        assert!(ActionRequest::parse(br#"{"action":"suspend","subject":"user","value":"u","note":"chargeback 4711"}"#).is_ok());
    }

    #[test]
    fn the_networks_of_a_range_are_those_of_its_addresses() {
        let pseudonyms = Pseudonyms::random();
        let range = ActionSubject::parse("range", "198.51.96.0/21").expect("a range");
        let networks = range.networks(&pseudonyms);
        assert_eq!((networks.len(), networks.contains(&pseudonyms.network("198.51.100.7".parse().expect("an address")))), (8, true));
        let host = ActionSubject::parse("range", "2001:db8::1").expect("a range");
        assert_eq!(host.networks(&pseudonyms), [pseudonyms.network("2001:db8:0:5::9".parse().expect("an address"))]);
    }
}
