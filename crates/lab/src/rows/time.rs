//! Parses the times of logs.
//!
//! Supported are the format of the RBA data set, RFC 3339 and 2822, the formats of data warehouses, databases and web servers, seconds
//! to nanoseconds since 1970, and times that a spreadsheet has damaged. An ambiguous time is an error.

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use crate::rows::{BadRow, Quoted};

/// The longest text that is parsed as a time, in bytes.
const MAX_LENGTH: usize = 64;

/// Parses times. If a spreadsheet has left only minutes and seconds, it continues the hours.
#[derive(Debug, Clone, Copy)]
pub struct TimeParser {
    last: Timestamp,
    /// The number of times that had neither date nor hour.
    pub dateless: u64,
}

impl Default for TimeParser {
    fn default() -> Self {
        // The RBA data set begins on 2020-02-03.
        TimeParser { last: Timestamp::from_second(1_580_688_000).expect("a second of 2020"), dateless: 0 }
    }
}

impl TimeParser {
    /// Parses a time. Returns `None` if the text is not a time.
    pub fn try_parse(&mut self, text: &str) -> Option<Timestamp> {
        let text = text.trim();
        let at = parse_fixed(text.as_bytes()).or_else(|| parse_epoch(text)).or_else(|| parse_other(text)).or_else(|| self.parse_dateless(text))?;
        self.last = at;
        Some(at)
    }

    /// Parses a time.
    ///
    /// # Errors
    ///
    /// If the text is not a time, or if its date is ambiguous.
    pub fn parse(&mut self, text: &str) -> Result<Timestamp, BadRow> {
        self.try_parse(text).ok_or_else(|| {
            let quoted = Quoted::new(text);
            if is_ambiguous_date(text) { BadRow::AmbiguousDate(quoted) } else { BadRow::InvalidTime(quoted) }
        })
    }

    /// Parses minutes and seconds such as `43:30.8`. They are in the hour of the previous row, or in the next one if they would be earlier.
    fn parse_dateless(&mut self, text: &str) -> Option<Timestamp> {
        let (minutes, seconds) = text.split_once(':')?;
        let minutes = minutes.parse::<i64>().ok().filter(|minutes| (0..60).contains(minutes))?;
        let seconds = seconds.parse::<f64>().ok().filter(|seconds| (0.0..60.0).contains(seconds))?;
        let hour = self.last.as_second().div_euclid(3_600) * 3_600;
        #[expect(clippy::cast_possible_truncation, reason = "under an hour of milliseconds")]
        let within = minutes * 60_000 + (seconds * 1_000.0).round() as i64;
        let at = Timestamp::from_millisecond(hour * 1_000 + within).ok()?;
        self.dateless += 1;
        if at >= self.last { Some(at) } else { Timestamp::from_second(hour + 3_600).ok()?.checked_add(jiff::SignedDuration::from_millis(within)).ok() }
    }
}

/// Whether a date is numeric and has its year last, so that day and month are ambiguous.
fn is_ambiguous_date(text: &str) -> bool {
    let date = text.trim().split([' ', 'T', ',']).next().unwrap_or_default();
    let parts: Vec<&str> = date.split(['/', '.', '-']).collect();
    parts.len() == 3 && parts[0].len() <= 2 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Parses `2020-02-03 12:43:30.772` in UTC. This fast path handles almost all rows.
fn parse_fixed(text: &[u8]) -> Option<Timestamp> {
    let digits =
        |from: usize, to: usize| text.get(from..to)?.iter().try_fold(0_i64, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')));
    let is = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|byte| wanted.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b" T") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    let millis = match text.get(19..) {
        None | Some([] | b"Z") => 0,
        Some([b'.', rest @ ..]) => {
            let rest = rest.strip_suffix(b"Z").unwrap_or(rest);
            let places = rest.len().min(3);
            let value = digits(20, 20 + places)?;
            if rest.is_empty() || !rest.iter().all(u8::is_ascii_digit) {
                return None;
            }
            value * [1000, 100, 10, 1][places]
        }
        Some(_) => return None,
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let date = jiff::civil::Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let days = date.since(jiff::civil::date(1970, 1, 1)).ok()?.get_days();
    Timestamp::from_millisecond(((i64::from(days) * 86_400) + hour * 3_600 + minute * 60 + second) * 1_000 + millis).ok()
}

/// Parses seconds, milliseconds, microseconds or nanoseconds since 1970. The unit is the one that gives a year from 2001 on.
/// Cognito's exports have seconds as a fraction with an exponent.
fn parse_epoch(text: &str) -> Option<Timestamp> {
    if !text.bytes().next()?.is_ascii_digit() {
        return None;
    }
    let number = text.parse::<f64>().ok().filter(|number| *number >= 1e8)?;
    let millis = match number {
        1e18.. => number / 1e6,
        1e15.. => number / 1e3,
        1e12.. => number,
        _ => number * 1e3,
    };
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and out-of-range values are an error")]
    Timestamp::from_millisecond(millis.round() as i64).ok()
}

/// Parses the less frequent formats: dates with a zone or an offset, and dates with the name of the day or the month.
fn parse_other(text: &str) -> Option<Timestamp> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    parse_year_first(text).or_else(|| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())).or_else(|| parse_named_month(text))
}

/// Parses dates with the year first, with dashes or slashes, and with an optional zone.
fn parse_year_first(text: &str) -> Option<Timestamp> {
    let head = text.as_bytes().get(..10)?;
    if !(head[..4].iter().all(u8::is_ascii_digit) && matches!((head[4], head[7]), (b'-', b'-') | (b'/', b'/'))) {
        return text.parse::<DateTime>().ok().and_then(to_utc);
    }
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.trim_start_matches(['T', 't', ' ']);
    let end = rest.find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, ':' | '.' | ','))).unwrap_or(rest.len());
    let (mut clock, mut zone) = (rest[..end].replace(',', "."), rest[end..].trim());
    // A zone may follow AM and PM.
    let half = ["am", "pm"].into_iter().find(|half| zone.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(half)));
    if let Some(half) = half {
        let (hour, minutes) = clock.split_once(':')?;
        let hour = hour.parse::<u8>().ok().filter(|hour| (1..=12).contains(hour))? % 12 + if half == "pm" { 12 } else { 0 };
        clock = format!("{hour:02}:{minutes}");
        zone = zone[2..].trim();
    }
    let at = format!("{} {clock}", date.replace('/', "-")).parse::<DateTime>().ok()?;
    match zone {
        "" => to_utc(at),
        _ if ["utc", "gmt", "z"].iter().any(|name| zone.eq_ignore_ascii_case(name)) => to_utc(at),
        _ => match parse_offset(zone.trim_start_matches("UTC").trim_start_matches("GMT")) {
            Some(seconds) => Offset::from_seconds(seconds).ok()?.to_timestamp(at).ok(),
            // Local times that a zone has twice or not at all are ambiguous.
            None => TimeZone::get(zone.trim_matches(['[', ']'])).ok()?.to_ambiguous_zoned(at).unambiguous().ok().map(|zoned| zoned.timestamp()),
        },
    }
}

/// Parses an offset such as `+00`, `+0000` or `+00:00` into seconds.
fn parse_offset(zone: &str) -> Option<i32> {
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = zone[1..].replace(':', "");
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| digits.get(range).map_or(Some(0), |text| text.parse::<i32>().ok());
    let (hours, minutes) = (number(0..2)?, number(2..4)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Parses dates with the name of the month, as Java, `date`, C and web servers write them.
fn parse_named_month(text: &str) -> Option<Timestamp> {
    const FORMATS: [&str; 4] = ["%a %b %e %H:%M:%S %Y", "%d-%b-%Y %H:%M:%S", "%d %b %Y %H:%M:%S", "%b %e, %Y %H:%M:%S"];
    if let Ok(at) = Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", text.trim_matches(['[', ']'])) {
        return Some(at);
    }
    let plain = [" UTC", " GMT", " Z", " +0000", " +00:00"].iter().fold(text.to_owned(), |text, zone| text.replacen(zone, "", 1));
    FORMATS.iter().find_map(|format| DateTime::strptime(format, &plain).ok()).and_then(to_utc)
}

fn to_utc(at: DateTime) -> Option<Timestamp> {
    Offset::UTC.to_timestamp(at).ok()
}
