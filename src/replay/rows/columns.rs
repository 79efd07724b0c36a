//! Columns of CSV logs: the RBA data set's names, ours, and those that `--map` gives.

use csv::ByteRecord;

use super::{BadRow, Clock, Row, scalar::flag};

/// The fields that a column can be mapped to.
pub const FIELDS: [&str; 19] = [
    "time",
    "user",
    "pool",
    "client",
    "ip",
    "country",
    "asn",
    "net",
    "userAgent",
    "browser",
    "os",
    "deviceType",
    "deviceId",
    "timezone",
    "success",
    "attackIp",
    "takeover",
    "label",
    "service",
];

/// A column's name and the field that it is.
pub type Mapping = (String, String);

/// Names under which logs have the fields, lower case and without punctuation.
const NAMES: [(&str, usize); 36] = [
    ("logintimestamp", 0),
    ("timestamp", 0),
    ("time", 0),
    ("date", 0),
    ("userid", 1),
    ("user", 1),
    ("username", 1),
    ("sub", 1),
    ("pool", 2),
    ("client", 3),
    ("clientid", 3),
    ("ipaddress", 4),
    ("ip", 4),
    ("country", 5),
    ("countrycode", 5),
    ("asn", 6),
    ("net", 7),
    ("useragentstring", 8),
    ("useragent", 8),
    ("browsernameandversion", 9),
    ("browser", 9),
    ("osnameandversion", 10),
    ("os", 10),
    ("devicetype", 11),
    ("deviceid", 12),
    ("device", 12),
    ("timezone", 13),
    ("loginsuccessful", 14),
    ("success", 14),
    ("successful", 14),
    ("isattackip", 15),
    ("isaccounttakeover", 16),
    ("attack", 17),
    ("label", 17),
    ("attacker", 17),
    ("servicescore", 18),
];

/// Which column holds which field.
#[derive(Debug, Clone)]
pub struct Columns {
    at: [Option<usize>; FIELDS.len()],
    width: usize,
}

impl Columns {
    /// Finds the fields in a header; `--map` beats known names.
    ///
    /// # Errors
    ///
    /// A mapping to no field or of no column, or a header without a time or a user.
    pub fn find(header: &ByteRecord, mappings: &[Mapping]) -> Result<Self, String> {
        let names: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        let mut at = [None; FIELDS.len()];
        for (column, field) in mappings {
            let field = FIELDS.iter().position(|name| name == field).ok_or_else(|| format!("--map: {field} is none of {}", FIELDS.join(", ")))?;
            let found = names.iter().position(|name| name == column);
            at[field] = Some(found.ok_or_else(|| format!("--map: the file has no column {column}, only {}", names.join(", ")))?);
        }
        for (column, name) in names.iter().enumerate() {
            let plain: String = name.split('[').next().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
            if let Some((_, field)) = NAMES.iter().find(|(known, _)| *known == plain) {
                at[*field].get_or_insert(column);
            }
        }
        match (at[0], at[1]) {
            (None, None) if names.len() == 1 => {
                Err("it is neither JSON nor CSV with a column for the time and one for the user; unwrap its lines first, as with jq -r .message".to_owned())
            }
            (Some(_), Some(_)) => Ok(Columns { at, width: names.len() }),
            (None, _) => Err("no column holds the time; name it with --map COLUMN=time".to_owned()),
            (_, None) => Err("no column holds the user; name it with --map COLUMN=user".to_owned()),
        }
    }

    /// The column that holds lines of a log, where services export them as CSV.
    pub(super) fn message(header: &ByteRecord) -> Option<usize> {
        header.iter().position(Self::is_message)
    }

    /// Whether a column of this name holds lines of a log.
    pub(super) fn is_message(name: &[u8]) -> bool {
        let name = String::from_utf8_lossy(name).trim().trim_matches('"').trim_start_matches('@').to_ascii_lowercase();
        matches!(name.as_str(), "message" | "log" | "line" | "_raw" | "textpayload" | "body" | "msg")
    }

    /// The row of a record.
    pub(super) fn row<'a>(&self, record: &'a ByteRecord, clock: &mut Clock) -> Result<Row<'a>, BadRow> {
        if record.len() != self.width {
            return Err(BadRow::Fields);
        }
        let all = std::str::from_utf8(record.as_slice()).map_err(|_| BadRow::Text)?;
        if all.as_bytes().contains(&0) {
            return Err(BadRow::Text);
        }
        let field = |field: usize| -> &'a str {
            let Some(range) = self.at[field].and_then(|column| record.range(column)) else { return "" };
            all.get(range).unwrap_or_default().trim()
        };
        let user = field(1);
        if user.is_empty() {
            return Err(BadRow::User);
        }
        let label = match field(17) {
            "" if is_yes(field(16))? => "account_takeover",
            "" if is_yes(field(15))? => "attack_ip",
            label => label,
        };
        Ok(Row {
            at: clock.time(field(0))?,
            user,
            pool: field(2),
            client: field(3),
            ip: field(4),
            country: field(5),
            asn: field(6),
            net: field(7),
            user_agent: field(8),
            browser: field(9),
            os: field(10),
            device_type: field(11),
            device: field(12),
            timezone: field(13),
            passed: self.at[14].is_none() || is_yes(field(14))?,
            label,
            outside: field(18).parse().ok().filter(|score| (0.0..=100.0).contains(score)),
            decided: None,
        })
    }
}

/// Whether a cell says yes; an empty one does not.
fn is_yes(cell: &str) -> Result<bool, BadRow> {
    flag(cell).map(|said| said == Some(true))
}
