//! Columns of CSV logs, found by the names of the RBA data set, common other names, and `--map`.

use csv::ByteRecord;

use crate::rows::{BadRow, LogRecord, scalar::parse_flag, time::TimeParser};

/// The fields that a column can be mapped to.
pub const FIELDS: [&str; 21] = [
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
    "surge",
    "unknownUser",
];

/// The name of a column and of the field that it contains.
pub type Mapping = (String, String);

/// Known column names, in lower case and without punctuation, and the indexes of their fields in [`FIELDS`].
const NAMES: [(&str, usize); 38] = [
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
    ("surge", 19),
    ("unknownuser", 20),
];

/// The columns of a file.
#[derive(Debug, Clone)]
pub struct Columns {
    /// The column of each field.
    positions: [Option<usize>; FIELDS.len()],
    width: usize,
}

impl Columns {
    /// Finds the fields in a header. Mappings have precedence over known names.
    ///
    /// # Errors
    ///
    /// If a mapping has an unknown field or column, or if no column has the time or the user.
    pub fn from_header(header: &ByteRecord, mappings: &[Mapping]) -> Result<Self, String> {
        let names: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        let mut positions = [None; FIELDS.len()];
        for (column, field) in mappings {
            let field = FIELDS.iter().position(|name| name == field).ok_or_else(|| format!("--map: {field} is not one of {}", FIELDS.join(", ")))?;
            let found = names.iter().position(|name| name == column);
            positions[field] = Some(found.ok_or_else(|| format!("--map: the file has no column {column}, only {}", names.join(", ")))?);
        }
        for (column, name) in names.iter().enumerate() {
            let plain: String = name.split('[').next().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
            if let Some((_, field)) = NAMES.iter().find(|(known, _)| *known == plain) {
                positions[*field].get_or_insert(column);
            }
        }
        match (positions[0], positions[1]) {
            (None, None) if names.len() == 1 => {
                Err("it is neither JSON nor CSV with a column for the time and one for the user; unwrap its lines first, for example with jq -r .message"
                    .to_owned())
            }
            (Some(_), Some(_)) => Ok(Columns { positions, width: names.len() }),
            (None, _) => Err("no column holds the time; name it with --map COLUMN=time".to_owned()),
            (_, None) => Err("no column holds the user; name it with --map COLUMN=user".to_owned()),
        }
    }

    /// Returns the column that contains log lines, in CSV exports of log services.
    pub(super) fn message_column(header: &ByteRecord) -> Option<usize> {
        header.iter().position(Self::is_message_column)
    }

    /// Whether a column of this name contains log lines.
    pub(super) fn is_message_column(name: &[u8]) -> bool {
        let name = String::from_utf8_lossy(name).trim().trim_matches('"').trim_start_matches('@').to_ascii_lowercase();
        matches!(name.as_str(), "message" | "log" | "line" | "_raw" | "textpayload" | "body" | "msg")
    }

    /// Reads a record.
    pub(super) fn read_record<'a>(&self, record: &'a ByteRecord, time_parser: &mut TimeParser) -> Result<LogRecord<'a>, BadRow> {
        if record.len() != self.width {
            return Err(BadRow::FieldCount(record.len(), self.width));
        }
        let all = std::str::from_utf8(record.as_slice()).map_err(|_| BadRow::NotUtf8)?;
        if all.as_bytes().contains(&0) {
            return Err(BadRow::NotUtf8);
        }
        let field = |field: usize| -> &'a str {
            let Some(range) = self.positions[field].and_then(|column| record.range(column)) else { return "" };
            all.get(range).unwrap_or_default().trim()
        };
        let user = field(1);
        if user.is_empty() {
            return Err(BadRow::MissingUser);
        }
        let label = match field(17) {
            "" if parse_cell_flag(field(16))? => "account_takeover",
            "" if parse_cell_flag(field(15))? => "attack_ip",
            label => label,
        };
        Ok(LogRecord {
            at: time_parser.parse(field(0))?,
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
            passed: self.positions[14].is_none() || parse_cell_flag(field(14))?,
            label,
            provider_score: field(18).parse().ok().filter(|score| (0.0..=100.0).contains(score)),
            surge: field(19),
            is_unknown_user: parse_cell_flag(field(20))?,
            decision: None,
        })
    }
}

/// Parses a flag. An empty cell is `false`.
fn parse_cell_flag(cell: &str) -> Result<bool, BadRow> {
    parse_flag(cell).map(|value| value == Some(true))
}
