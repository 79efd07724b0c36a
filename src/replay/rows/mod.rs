//! Rows of a log: what each kind of file says of a sign-in, borrowed from the line that it stands in.

use csv::ByteRecord;
use jiff::Timestamp;

use crate::evidence::history::ledger::Report;

mod cognito;

mod columns;

mod documents;

mod json;

mod limit;

mod scalar;

mod source;

mod time;

mod wrapped;

pub use self::columns::{Columns, FIELDS, Mapping};
pub use self::source::{Batch, Events, Format, Records, Source, SourceError};
pub use self::time::Clock;

/// One line of a log.
#[derive(Debug, Clone, Copy)]
pub enum Line<'a> {
    /// A sign-in.
    SignIn(Row<'a>),
    /// What became of one, heard later.
    Outcome(Told<'a>),
    /// An audit line of a sign-in that named no person.
    Nobody,
    /// Lambda's own line, or the program's.
    Foreign,
}

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
    /// What an audit line says of its decision; how it ended stands in a later line, if anywhere.
    pub decided: Option<Decided<'a>>,
}

/// What was decided of a sign-in when it came.
#[derive(Debug, Clone, Copy)]
pub struct Decided<'a> {
    /// The id by which a later line names it; empty where it has none.
    pub id: &'a str,
    /// Whether it was kept out, so that its password was never asked for.
    pub is_denied: bool,
    /// Whether it was judged a denial, in monitor mode too.
    pub is_judged_denial: bool,
    /// Whether something was missing: the gate learned nothing from it.
    pub is_degraded: bool,
}

/// What became of a sign-in.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// When it was heard.
    pub at: Timestamp,
    /// The sign-in's id; empty where no single one can be meant.
    pub id: &'a str,
    /// How it ended.
    pub report: Report,
    /// What the gate learned; empty where nothing was to be learned, or the store could not be reached.
    pub learned: &'a str,
    /// The user pool.
    pub pool: &'a str,
    /// The app client.
    pub client: &'a str,
    /// Whose account; empty where only the id tells.
    pub user: &'a str,
}

/// Why a row was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// Too long for a sign-in.
    #[error("it is longer than 1 MiB; is a quotation mark not closed?")]
    Length,
    /// Another number of fields than the header: cut, or a stray quote.
    #[error("it has another number of fields than the header")]
    Fields,
    /// Not UTF-8, or with NULs in it.
    #[error("it holds bytes that are not text in UTF-8; convert the file, as with iconv -f WINDOWS-1252 -t UTF-8")]
    Text,
    /// No JSON object.
    #[error("it is not a JSON object")]
    Json,
    /// A field whose value is an object or a list.
    #[error("one of its fields holds an object or a list where a text, a number or a flag is expected")]
    Field,
    /// No time that can be read.
    #[error("its time cannot be read; write 2026-01-02T08:00:00Z, 2026-01-02 08:00:00 (UTC, or with an offset), or seconds since 1970")]
    Time,
    /// Numbers of which either may be the month.
    #[error("its time has day and month in an order that cannot be told; write 2026-01-02 08:00:00")]
    DayOrMonthFirst,
    /// Nobody's.
    #[error("it names no user; a sign-in inside another member has to be unwrapped first, as with jq -c .MEMBER")]
    User,
    /// A word that is neither yes nor no.
    #[error("its success, or one of its labels, is neither true nor false")]
    YesOrNo,
    /// An outcome that is none.
    #[error("its outcome is none of success, failure, fraud, not_fraud")]
    Outcome,
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
    /// Reads one record and hands the line to `then`; `clock` carries on where times have lost their date.
    ///
    /// # Errors
    ///
    /// Why the record cannot be read.
    pub fn line<T>(&self, record: &ByteRecord, clock: &mut Clock, then: impl FnOnce(Line<'_>) -> T) -> Result<T, BadRow> {
        if record.is_empty() {
            return Err(BadRow::Length);
        }
        match self {
            Reading::Csv(columns) => columns.row(record, clock).map(|row| then(Line::SignIn(row))),
            Reading::Json => {
                let line = std::str::from_utf8(record.get(0).unwrap_or_default()).map_err(|_| BadRow::Text)?;
                json::line(line, clock, then)
            }
        }
    }
}
