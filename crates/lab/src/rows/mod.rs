//! Readers for the supported log formats. Their records borrow from the line that is read.

use std::fmt;

use csv::ByteRecord;
use jiff::Timestamp;
use smol_str::{SmolStr, format_smolstr};

use riskgate_history::repository::outcome::ReportedOutcome;

mod cognito;

pub mod columns;

mod documents;

mod json;

mod limit;

mod scalar;

pub mod source;

pub mod time;

mod wrapped;

pub use crate::rows::columns::{Columns, FIELDS, Mapping};
pub use crate::rows::source::{Batch, Events, Format, Records, Source, SourceError};
pub use crate::rows::time::TimeParser;

/// One line of a log.
#[derive(Debug, Clone, Copy)]
pub enum LogLine<'a> {
    /// A sign-in.
    SignIn(LogRecord<'a>),
    /// The outcome of an earlier sign-in.
    Outcome(RecordedOutcome<'a>),
    /// An audit line of a sign-in without a user.
    WithoutUser,
    /// A line of Lambda or of a program's log.
    Other,
}

/// One sign-in of a log. An empty text is a missing value.
#[derive(Debug, Clone, Copy)]
pub struct LogRecord<'a> {
    /// The time of the sign-in.
    pub at: Timestamp,
    /// The user name or id.
    pub user: &'a str,
    /// The user pool.
    pub pool: &'a str,
    /// The app client.
    pub client: &'a str,
    /// The IP address, as text.
    pub ip: &'a str,
    /// The ISO country code.
    pub country: &'a str,
    /// The AS number.
    pub asn: &'a str,
    /// A pseudonym of the network. Audit lines have it instead of the address.
    pub net: &'a str,
    /// The user agent.
    pub user_agent: &'a str,
    /// The browser, with or without a version.
    pub browser: &'a str,
    /// The operating system, with or without a version.
    pub os: &'a str,
    /// The device type.
    pub device_type: &'a str,
    /// The app's device id, or its pseudonym.
    pub device: &'a str,
    /// The IANA time zone.
    pub timezone: &'a str,
    /// Whether the password was right.
    pub passed: bool,
    /// The kind of attack, if it is known to be one. Never an input of the score.
    pub label: &'a str,
    /// The score of an external service, 0 to 100.
    pub provider_score: Option<f64>,
    /// The kind of legitimate surge that it is part of. Never an input of the score.
    pub surge: &'a str,
    /// Whether the pool has no such account.
    pub is_unknown_user: bool,
    /// The live decision, in audit lines. Their outcome may follow in a later line.
    pub decision: Option<RecordedDecision<'a>>,
}

/// The live decision on a sign-in, from an audit line.
#[derive(Debug, Clone, Copy)]
pub struct RecordedDecision<'a> {
    /// The id that a later outcome refers to. Empty if there is none.
    pub id: &'a str,
    /// Whether it was denied, so its password was not checked.
    pub is_denied: bool,
    /// Whether it was challenged.
    pub is_challenged: bool,
    /// Whether its verdict was `deny`. In monitor mode it was not enforced.
    pub is_deny_verdict: bool,
    /// Whether evidence was missing. Degraded sign-ins are not learned from.
    pub is_degraded: bool,
}

/// A reported outcome of a sign-in.
#[derive(Debug, Clone, Copy)]
pub struct RecordedOutcome<'a> {
    /// When it was received.
    pub at: Timestamp,
    /// The id of the sign-in. Empty if the outcome identifies the user only.
    pub id: &'a str,
    /// The outcome.
    pub report: ReportedOutcome,
    /// What was learned live. Empty if nothing had to be learned, or if the store was not available.
    pub learned: &'a str,
    /// The user pool.
    pub pool: &'a str,
    /// The app client.
    pub client: &'a str,
    /// The user name. Empty if the outcome identifies the sign-in by id only.
    pub user: &'a str,
}

impl<'a> LogRecord<'a> {
    /// A successful sign-in of which nothing else is known.
    fn new(at: Timestamp, user: &'a str) -> Self {
        LogRecord {
            at,
            user,
            pool: "",
            client: "",
            ip: "",
            country: "",
            asn: "",
            net: "",
            user_agent: "",
            browser: "",
            os: "",
            device_type: "",
            device: "",
            timezone: "",
            passed: true,
            label: "",
            provider_score: None,
            surge: "",
            is_unknown_user: false,
            decision: None,
        }
    }
}

/// Why a row cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    /// It is longer than a record may be.
    #[error("it is longer than 1 MiB; is a quotation mark not closed?")]
    TooLong,
    /// Its number of fields differs from the header. It is truncated, or a quotation mark is misplaced.
    #[error("it has {0} fields, and the header {1}")]
    FieldCount(usize, usize),
    /// It is not UTF-8, or contains NUL characters.
    #[error("it is not text in UTF-8; convert the file, for example with iconv -f WINDOWS-1252 -t UTF-8")]
    NotUtf8,
    /// It is not a JSON object.
    #[error("it is not a JSON object")]
    NotJson,
    /// The value of a field is an object or a list.
    #[error("one of its fields is an object or a list, but must be a text, a number or a flag")]
    NestedValue,
    /// Its time has an unknown format.
    #[error("its time {0} cannot be read; write 2026-01-02T08:00:00Z, 2026-01-02 08:00:00 (UTC, or with an offset), or seconds since 1970")]
    InvalidTime(Quoted),
    /// Its date may have the day or the month first.
    #[error("its time {0} has the day and the month in an unknown order; write 2026-01-02 08:00:00")]
    AmbiguousDate(Quoted),
    /// It has no user.
    #[error("it has no user; a sign-in inside another member must be unwrapped first, for example with jq -c .MEMBER")]
    MissingUser,
    /// A flag is neither yes nor no.
    #[error("its success, or one of its labels, is {0}; write true, false, yes, no, 1, 0, success or failure")]
    InvalidFlag(Quoted),
    /// The outcome is not known.
    #[error("its outcome is {0}; write success, failure, fraud or not_fraud")]
    InvalidOutcome(Quoted),
}

/// The most characters of a value that an error quotes.
const MAX_QUOTED: usize = 40;

/// A value of a row in quotation marks, shortened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted(SmolStr);

impl Quoted {
    /// Quotes a value.
    pub fn new(value: &str) -> Self {
        let mut characters = value.chars();
        let start: String = characters.by_ref().take(MAX_QUOTED).collect();
        let more = if characters.next().is_some() { ".." } else { "" };
        Quoted(format_smolstr!("{start:?}{more}"))
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the records of one file.
#[derive(Debug)]
pub enum RecordReader {
    /// CSV columns.
    Csv(Box<Columns>),
    /// One JSON object. It is the only field of the record.
    Json,
}

impl RecordReader {
    /// Reads one record and passes it to `then`. `time_parser` continues times that have lost their date.
    ///
    /// # Errors
    ///
    /// If the record cannot be read.
    pub fn read_line<T>(&self, record: &ByteRecord, time_parser: &mut TimeParser, then: impl FnOnce(LogLine<'_>) -> T) -> Result<T, BadRow> {
        if record.is_empty() {
            return Err(BadRow::TooLong);
        }
        match self {
            RecordReader::Csv(columns) => columns.read_record(record, time_parser).map(|record| then(LogLine::SignIn(record))),
            RecordReader::Json => {
                let line = std::str::from_utf8(record.get(0).unwrap_or_default()).map_err(|_| BadRow::NotUtf8)?;
                json::read_line(line, time_parser, then)
            }
        }
    }
}
