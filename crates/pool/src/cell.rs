//! The values that many attempts of a campaign share: a network's provider, a country, a kind of user agent.

use std::fmt;

use riskgate_engine::{context::Country, evidence::Evidence, features::FeatureLevel};
use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

/// The longest name of a family of user agents, in bytes.
const MAX_FAMILY_BYTES: usize = 48;

/// The most cells of an attempt.
pub const MAX_CELLS: usize = 4;

/// The cells of an attempt.
pub type Cells = SmallVec<[Cell; MAX_CELLS]>;

/// A value that attempts have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// The country of a believed address.
    Country(Country),
    /// The autonomous system of a believed address.
    Asn(u32),
    /// A family of user agents, such as `Chrome on Windows 10`. Claims count too: a campaign that is made by one program has few of them.
    AgentFamily(SmolStr),
    /// The keyed hash of a complete user agent.
    UserAgent(u32),
}

impl Cell {
    /// The cells of a sign-in. Only a believed address has a country and an AS here: otherwise anyone could frame a network by claims.
    pub fn of(evidence: &Evidence) -> Cells {
        let mut cells = Cells::new();
        let context = &evidence.sign_in.context;
        if evidence.is_trusted() && context.ip.public().is_some() {
            cells.extend(evidence.networks.country.map(Cell::Country));
            cells.extend(evidence.networks.asn.map(Cell::Asn));
        }
        let (asserted, agent) = (&context.asserted, context.user_agent.as_ref());
        let os = asserted.os.as_ref().or(agent.map(|agent| &agent.os));
        let browser = asserted.browser.as_ref().or(agent.map(|agent| &agent.browser));
        if let (Some(os), Some(browser)) = (os, browser) {
            cells.push(Cell::family(browser, os));
        }
        cells.extend(evidence.features.at(FeatureLevel::UserAgent).map(Cell::UserAgent));
        cells
    }

    fn family(browser: &str, os: &str) -> Self {
        let name = format_smolstr!("{browser} on {os}");
        // Control characters could break a line of a log or a key of the store.
        let is_plain = name.len() <= MAX_FAMILY_BYTES && name.chars().all(|c| !c.is_control());
        Cell::AgentFamily(if is_plain { name } else { SmolStr::new_static("other") })
    }

    /// The level of the history at which a user may have this value already.
    pub fn level(&self) -> FeatureLevel {
        match self {
            Cell::Country(_) => FeatureLevel::Country,
            Cell::Asn(_) => FeatureLevel::Asn,
            Cell::AgentFamily(_) => FeatureLevel::Browser,
            Cell::UserAgent(_) => FeatureLevel::UserAgent,
        }
    }

    /// Whether this is a value of the network; otherwise it is one of the user agent.
    pub fn is_network(&self) -> bool {
        matches!(self, Cell::Country(_) | Cell::Asn(_))
    }

    /// The name of the counter in the store.
    pub fn to_field(&self) -> SmolStr {
        match self {
            Cell::Country(country) => format_smolstr!("c{}", country.as_str()),
            Cell::Asn(asn) => format_smolstr!("s{asn}"),
            Cell::AgentFamily(family) => format_smolstr!("f{family}"),
            Cell::UserAgent(hash) => format_smolstr!("g{hash:08x}"),
        }
    }

    /// The cell of a counter; `None` if the name is not one of a cell.
    pub fn from_field(field: &str) -> Option<Self> {
        let (kind, value) = field.split_at_checked(1)?;
        match kind {
            "c" => Country::parse(value).map(Cell::Country),
            "s" => value.parse().ok().map(Cell::Asn),
            "f" if value.len() <= MAX_FAMILY_BYTES => Some(Cell::AgentFamily(value.into())),
            "g" => u32::from_str_radix(value, 16).ok().map(Cell::UserAgent),
            _ => None,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Country(country) => f.write_str(country.as_str()),
            Cell::Asn(asn) => write!(f, "AS{asn}"),
            Cell::AgentFamily(family) => f.write_str(family),
            Cell::UserAgent(hash) => write!(f, "user agent {hash:08x}"),
        }
    }
}
