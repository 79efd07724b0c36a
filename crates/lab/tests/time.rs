//! The forms of times in logs.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use riskgate_lab::rows::{BadRow, time::TimeParser};

#[track_caller]
fn check(text: &str, expected: Option<&str>) {
    let read = TimeParser::default().try_parse(text).map(|at| at.to_string());
    assert_eq!(read.as_deref(), expected, "{text}");
}

#[test]
fn supported_formats_are_parsed() {
    check("2020-02-03 12:43:30.772", Some("2020-02-03T12:43:30.772Z"));
    check("2020-02-03 12:43:30", Some("2020-02-03T12:43:30Z"));
    check("2020-02-03T12:43:30Z", Some("2020-02-03T12:43:30Z"));
    check("2020-02-03T12:43:30.5Z", Some("2020-02-03T12:43:30.5Z"));
    check("2020-02-03T12:43:30.123456Z", Some("2020-02-03T12:43:30.123Z"));
    check("2020-02-03T13:43:30+01:00", Some("2020-02-03T12:43:30Z"));
    check("1580733810", Some("2020-02-03T12:43:30Z"));
    check("1580733810.772", Some("2020-02-03T12:43:30.772Z"));
    check("1580733810772", Some("2020-02-03T12:43:30.772Z"));
    let same = "2020-02-03T12:43:30Z";
    for text in [
        "2020-02-03 12:43:30 UTC",
        "2020-02-03 12:43:30Z",
        "2020-02-03 12:43:30+00",
        "2020-02-03 12:43:30 +00",
        "2020-02-03 12:43:30+00:00",
        "2020-02-03 12:43:30 +0000",
        "2020-02-03T12:43:30+0000",
        "2020-02-03t12:43:30z",
        "2020-02-03 12:43:30 GMT",
        "2020-02-03 13:43:30 +01",
        "2020-02-03 13:43:30.000 Europe/Oslo",
        "2020-02-03T13:43:30+01:00[Europe/Oslo]",
        "2020-02-03 07:13:30 -0530",
        "2020/02/03 12:43:30",
        "2020-02-03 12:43:30,000",
        "2020-02-03 12:43:30 PM",
        "20200203T124330Z",
        "1580733810",
        "1.58073381E9",
        "1580733810000",
        "1580733810000000",
        "1580733810000000000",
        "1.58073381E12",
        "Mon, 03 Feb 2020 12:43:30 GMT",
        "Mon, 3 Feb 2020 13:43:30 +0100",
        "Mon Feb 03 12:43:30 UTC 2020",
        "Mon Feb  3 12:43:30 2020",
        "03/Feb/2020:12:43:30 +0000",
        "[03/Feb/2020:13:43:30 +0100]",
        "03-Feb-2020 12:43:30",
        "3 Feb 2020 12:43:30",
        "Feb 3, 2020 12:43:30",
    ] {
        check(text, Some(same));
    }
    check("2020-02-03 12:43:30.123456 UTC", Some("2020-02-03T12:43:30.123456Z"));
    check("2020-02-03T12:43:30.123000+00:00", Some("2020-02-03T12:43:30.123Z"));
    check("2020-02-03 12:43:30.123456789+00", Some("2020-02-03T12:43:30.123456789Z"));
    check("2020-02-03 00:30:00", Some("2020-02-03T00:30:00Z"));
    check("2020-02-03 12:30:00 AM", Some("2020-02-03T00:30:00Z"));
    // An unknown zone, a local time that a zone has twice, and invalid offsets.
    for text in [
        "2020-02-03 12:43:30 Nowhere/Else",
        "2025-10-26 02:30:00 Europe/Oslo",
        "2020-02-03 12:43:30 +1",
        "2020-02-03 12:43:30 UTC UTC",
        "2020-02-03 13:43:30 PM",
    ] {
        check(text, None);
    }
    for text in ["", "yesterday", "2020-13-03 12:43:30", "2020-02-30 12:43:30", "61:00.0", "12", "-5"] {
        check(text, None);
    }
}

#[test]
fn ambiguous_dates_are_rejected() {
    for text in ["1/2/2026 8:00", "01/02/2026", "2.1.2026 08:00:00", "02-01-26 08:00", "13/2/2026 08:00:00 UTC"] {
        assert!(matches!(TimeParser::default().parse(text), Err(BadRow::AmbiguousDate(_))), "{text}");
    }
    assert!(matches!(TimeParser::default().parse("soon"), Err(BadRow::InvalidTime(_))));
}

#[test]
fn dateless_times_continue_in_the_next_hour() {
    let mut parser = TimeParser::default();
    let times: Vec<String> = ["43:30.8", "43:31.0", "00:02.5", "00:02.5"].iter().map(|text| parser.try_parse(text).expect("a time").to_string()).collect();
    assert_eq!(times, ["2020-02-03T00:43:30.8Z", "2020-02-03T00:43:31Z", "2020-02-03T01:00:02.5Z", "2020-02-03T01:00:02.5Z"]);
    assert_eq!(parser.dateless, 4);
}
