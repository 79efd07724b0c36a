//! Times of logs: the RBA data set's, RFC 3339, seconds or milliseconds since 1970, and what spreadsheets leave of them.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// Reads times, and carries on the hours where a spreadsheet has kept only minutes and seconds.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    last: Timestamp,
    /// Times that had lost their date and hour.
    pub dateless: u64,
}

impl Default for Clock {
    fn default() -> Self {
        // The RBA data set begins on 2020-02-03.
        Clock { last: Timestamp::from_second(1_580_688_000).expect("a second of 2020"), dateless: 0 }
    }
}

impl Clock {
    /// Reads a time; `None` when it is none.
    pub fn read(&mut self, text: &str) -> Option<Timestamp> {
        let text = text.trim();
        let at = fixed(text.as_bytes()).or_else(|| since_1970(text)).or_else(|| free(text)).or_else(|| self.dateless(text))?;
        self.last = at;
        Some(at)
    }

    /// `43:30.8`: minutes and seconds, in the hour of the row before or, since rows run in order of time, in the next.
    fn dateless(&mut self, text: &str) -> Option<Timestamp> {
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

/// `2020-02-03 12:43:30.772`, UTC, without going through a general parser: the common case by millions.
fn fixed(text: &[u8]) -> Option<Timestamp> {
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

/// Seconds or, from the year 33658 in seconds on, milliseconds; Cognito's exports have `1.6e9` with a fraction.
fn since_1970(text: &str) -> Option<Timestamp> {
    if !text.bytes().next()?.is_ascii_digit() {
        return None;
    }
    let number = text.parse::<f64>().ok().filter(|number| *number >= 1e8)?;
    let millis = if number >= 1e12 { number } else { number * 1_000.0 };
    #[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and the library refuses what is out of range")]
    Timestamp::from_millisecond(millis.round() as i64).ok()
}

fn free(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let read = Clock::default().read(text).map(|at| at.to_string());
        assert_eq!(read.as_deref(), expected, "{text}");
    }

    #[test]
    fn every_spelling_of_a_time_is_read() {
        check("2020-02-03 12:43:30.772", Some("2020-02-03T12:43:30.772Z"));
        check("2020-02-03 12:43:30", Some("2020-02-03T12:43:30Z"));
        check("2020-02-03T12:43:30Z", Some("2020-02-03T12:43:30Z"));
        check("2020-02-03T12:43:30.5Z", Some("2020-02-03T12:43:30.5Z"));
        check("2020-02-03T12:43:30.123456Z", Some("2020-02-03T12:43:30.123Z"));
        check("2020-02-03T13:43:30+01:00", Some("2020-02-03T12:43:30Z"));
        check("1580733810", Some("2020-02-03T12:43:30Z"));
        check("1580733810.772", Some("2020-02-03T12:43:30.772Z"));
        check("1580733810772", Some("2020-02-03T12:43:30.772Z"));
        for text in ["", "yesterday", "2020-13-03 12:43:30", "2020-02-30 12:43:30", "61:00.0", "12", "-5"] {
            check(text, None);
        }
    }

    #[test]
    fn minutes_without_a_date_go_on_in_the_next_hour() {
        let mut clock = Clock::default();
        let times: Vec<String> = ["43:30.8", "43:31.0", "00:02.5", "00:02.5"].iter().map(|text| clock.read(text).expect("a time").to_string()).collect();
        assert_eq!(times, ["2020-02-03T00:43:30.8Z", "2020-02-03T00:43:31Z", "2020-02-03T01:00:02.5Z", "2020-02-03T01:00:02.5Z"]);
        assert_eq!(clock.dateless, 4);
    }
}
