//! Parses Go durations, the format of the Local API.

use std::time::Duration;

/// Go's units and their seconds.
const UNITS: [(&str, f64); 8] = [("ns", 1e-9), ("us", 1e-6), ("\u{b5}s", 1e-6), ("\u{3bc}s", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// The maximum in seconds: a century, longer than any decision.
const MAX_SECONDS: f64 = 100.0 * 365.0 * 86_400.0;

/// Parses a Go duration such as `3h51m57.36s`. A negative one is zero: the decision has ended. `None` if the text is not a duration.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Some(if is_negative { Duration::ZERO } else { Duration::from_secs_f64(seconds.min(MAX_SECONDS)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_parsed() {
        for (text, expected) in [
            ("3h51m57.5s", Some(13_917.5)),
            ("4h", Some(14_400.0)),
            ("167h59m59s", Some(604_799.0)),
            ("1.5h", Some(5_400.0)),
            ("100ms", Some(0.1)),
            ("1m0.25s", Some(60.25)),
            ("0s", Some(0.0)),
            ("0", Some(0.0)),
            ("+2s", Some(2.0)),
            ("-1s", Some(0.0)),
            ("-3h2m", Some(0.0)),
            ("99999999999h", Some(MAX_SECONDS)),
            ("", None),
            ("-", None),
            ("4", None),
            ("4d", None),
            ("h", None),
            (".s", None),
            ("1.2.3s", None),
            ("soon", None),
            ("4h soon", None),
        ] {
            assert_eq!(parse(text), expected.map(Duration::from_secs_f64), "{text:?}");
        }
        assert_eq!(parse("250\u{b5}s"), Some(Duration::from_micros(250)));
    }
}
