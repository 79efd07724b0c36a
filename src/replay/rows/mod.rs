//! Rows of a log: what each kind of file says of a sign-in, borrowed from the line that it stands in.

use csv::ByteRecord;
use jiff::Timestamp;

mod cognito;

mod columns;

mod json;

mod source;

mod time;

pub use self::columns::{Columns, FIELDS, Mapping};
pub use self::source::{Batch, Format, Records, Source, SourceError};
pub use self::time::Clock;

/// One sign-in of a log. Empty text is a missing value.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// When.
    pub at: Timestamp,
    /// Whose account.
    pub user: &'a str,
    /// The user pool.
    pub pool: &'a str,
    /// The app client.
    pub client: &'a str,
    /// The address, as text.
    pub ip: &'a str,
    /// ISO country, when the log names it.
    pub country: &'a str,
    /// AS number, when the log names it.
    pub asn: &'a str,
    /// A pseudonym of the network, when that is all there is.
    pub net: &'a str,
    /// The user agent.
    pub user_agent: &'a str,
    /// Browser, with or without a version.
    pub browser: &'a str,
    /// Operating system, with or without a version.
    pub os: &'a str,
    /// Device type.
    pub device_type: &'a str,
    /// The app's device id, or a pseudonym of it.
    pub device: &'a str,
    /// IANA time zone.
    pub timezone: &'a str,
    /// Whether the password was right.
    pub passed: bool,
    /// What somebody found out about it; never an input.
    pub label: &'a str,
    /// The score of an outside service, 0 to 100, when the log has one.
    pub outside: Option<f64>,
}

/// Why a row was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// Another number of fields than the header: cut, or a stray quote.
    #[error("it has another number of fields than the header")]
    Fields,
    /// Not UTF-8, or with NULs in it.
    #[error("it holds bytes that are no text")]
    Text,
    /// No JSON object.
    #[error("it is not a JSON object")]
    Json,
    /// No time that can be read.
    #[error("its time cannot be read")]
    Time,
    /// Nobody's.
    #[error("it names no user")]
    User,
}

/// How to read a record of a file.
#[derive(Debug)]
pub enum Reading {
    /// By columns.
    Csv(Box<Columns>),
    /// One JSON object, in the record's only field.
    Json,
}

impl Reading {
    /// Reads one record and hands the row to `then`; `clock` carries on where times have lost their date.
    pub fn row<T>(&self, record: &ByteRecord, clock: &mut Clock, then: impl FnOnce(Row<'_>) -> T) -> Result<T, BadRow> {
        match self {
            Reading::Csv(columns) => columns.row(record, clock).map(then),
            Reading::Json => {
                let line = std::str::from_utf8(record.get(0).unwrap_or_default()).map_err(|_| BadRow::Text)?;
                json::row(line, clock, then)
            }
        }
    }
}
