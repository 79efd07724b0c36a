//! What a text names: a decision, an account, a network, a device, an AS, a country or an app client of the stored rows.

use crate::{activity::Activity, row::Row};

/// What a text names, as the name of its filter, with its spelling in the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundValue {
    /// `decision`, or the name of the filter that selects it.
    pub kind: &'static str,
    /// Its spelling in the rows.
    pub value: String,
    /// The time of its newest sign-in, in milliseconds since 1970.
    pub last: i64,
}

impl Activity {
    /// What a text names. Where it names several things, the first of the order above.
    pub fn find_value(&self, text: &str) -> Option<FoundValue> {
        let newest = |matches: &dyn Fn(&Row) -> bool| self.rows.iter().rev().find(|row| matches(row)).map(|row| row.at);
        if let Some(row) = self.find(text) {
            return Some(FoundValue { kind: "decision", value: text.to_owned(), last: row.at });
        }
        let found = |kind, value: &str, last: Option<i64>| Some(FoundValue { kind, value: value.to_owned(), last: last? });
        let asn = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text).parse::<u32>().ok();
        let upper = text.to_ascii_uppercase();
        let (country, client) = (self.codes.find(&upper), self.codes.find(text));
        found("user", text, newest(&|row| row.user.as_deref() == Some(text)))
            .or_else(|| found("net", text, newest(&|row| row.net.as_deref() == Some(text))))
            .or_else(|| found("device", text, newest(&|row| row.device.as_deref() == Some(text))))
            .or_else(|| asn.and_then(|asn| found("asn", &asn.to_string(), newest(&|row| row.asn == Some(asn)))))
            .or_else(|| country.and_then(|code| found("country", &upper, newest(&|row| row.country == Some(code)))))
            .or_else(|| client.and_then(|code| found("client", text, newest(&|row| row.client == Some(code)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Counting;

    #[test]
    fn a_text_is_found_as_what_the_rows_have_and_nothing_else_is() {
        let mut activity = Activity::new(Counting::Rows);
        activity.record(
            r#"{"time":"2026-11-22T00:00:00Z","id":"01A","decision":"allow","score":5,"user":"u_1","net":"n-1","device":"d1","asn":64500,"country":"DE","client":"web"}"#,
        );
        let kind = |text: &str| activity.find_value(text).map(|found| (found.kind, found.value));
        for (text, expected, value) in [
            ("01A", "decision", "01A"),
            ("u_1", "user", "u_1"),
            ("n-1", "net", "n-1"),
            ("d1", "device", "d1"),
            ("AS64500", "asn", "64500"),
            ("64500", "asn", "64500"),
            ("de", "country", "DE"),
            ("web", "client", "web"),
        ] {
            assert_eq!(kind(text), Some((expected, value.to_owned())), "{text}");
        }
        for text in ["anna", "AS64501", "FR", "allow", "", "AS", "u-1"] {
            assert_eq!(kind(text), None, "{text}");
        }
    }
}
