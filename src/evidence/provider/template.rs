//! Templates of the `http` service: text with `{ip}`, `{userAgent}`, `{deviceId}` and `{hour}` in it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Question, Sends};

/// RFC 3986's unreserved characters stay as they are.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text with placeholders.
#[derive(Debug)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Value(Placeholder),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    Ip,
    UserAgent,
    DeviceId,
    Hour,
}

const PLACEHOLDERS: [(&str, Placeholder); 4] =
    [("{ip}", Placeholder::Ip), ("{userAgent}", Placeholder::UserAgent), ("{deviceId}", Placeholder::DeviceId), ("{hour}", Placeholder::Hour)];

impl Template {
    /// Splits a text at its placeholders; other braces are text.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((at, word, placeholder)) =
            PLACEHOLDERS.iter().filter_map(|(word, placeholder)| Some((rest.find(word)?, *word, *placeholder))).min_by_key(|(at, ..)| *at)
        {
            parts.push(Part::Text(rest[..at].to_owned()));
            parts.push(Part::Value(placeholder));
            rest = &rest[at + word.len()..];
        }
        parts.push(Part::Text(rest.to_owned()));
        Template(parts)
    }

    /// What it takes from a sign-in.
    pub(super) fn sends(&self) -> Sends {
        let holds = |wanted| self.0.iter().any(|part| matches!(part, Part::Value(placeholder) if *placeholder == wanted));
        Sends { user_agent: holds(Placeholder::UserAgent), device_id: holds(Placeholder::DeviceId), hour: holds(Placeholder::Hour), ..Sends::default() }
    }

    /// Fills it in as JSON; what is not known is `null`.
    pub(super) fn json(&self, question: &Question) -> String {
        self.fill(|placeholder| {
            let value = value(placeholder, question);
            match placeholder {
                Placeholder::Hour => value.unwrap_or_else(|| "null".to_owned()),
                Placeholder::Ip | Placeholder::UserAgent | Placeholder::DeviceId => serde_json::Value::from(value).to_string(),
            }
        })
    }

    /// Fills it in as part of a URL; what is not known is empty.
    pub(super) fn url(&self, question: &Question) -> String {
        self.fill(|placeholder| utf8_percent_encode(&value(placeholder, question).unwrap_or_default(), RESERVED).to_string())
    }

    fn fill(&self, mut encoded: impl FnMut(Placeholder) -> String) -> String {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Value(placeholder) => filled.push_str(&encoded(*placeholder)),
            }
        }
        filled
    }
}

fn value(placeholder: Placeholder, question: &Question) -> Option<String> {
    match placeholder {
        Placeholder::Ip => Some(question.ip.expose().to_string()),
        Placeholder::UserAgent => question.user_agent.as_ref().map(|text| text.expose().to_string()),
        Placeholder::DeviceId => question.device_id.as_ref().map(|text| text.expose().to_string()),
        Placeholder::Hour => question.hour.map(|hour| hour.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Now, Personal};

    fn question(user_agent: Option<&str>) -> Question {
        Question {
            ip: Personal::new("2001:db8::1".parse().expect("an address")),
            user_agent: user_agent.map(|text| Personal::new(text.into())),
            device_id: None,
            accept_language: None,
            user: None,
            hour: Some(7),
            received: Now::read(),
            believed: crate::evidence::provider::Believed::Yes,
            account: Personal::default(),
        }
    }

    #[test]
    fn values_are_encoded_for_where_they_stand() {
        let body = Template::parse(r#"{"a":{"ip":{ip}},"ua":{userAgent},"d":{deviceId},"h":{hour},"x":"{other}"}"#);
        let filled = body.json(&question(Some("a\"},{\"score\":0}\n")));
        let read: serde_json::Value = serde_json::from_str(&filled).expect("JSON");
        assert_eq!(read, serde_json::json!({"a":{"ip":"2001:db8::1"},"ua":"a\"},{\"score\":0}\n","d":null,"h":7,"x":"{other}"}));
        let url = Template::parse("https://h/x/{ip}?ua={userAgent}&d={deviceId}&h={hour}");
        assert_eq!(url.url(&question(Some("a&b=c d/é"))), "https://h/x/2001%3Adb8%3A%3A1?ua=a%26b%3Dc%20d%2F%C3%A9&d=&h=7");
    }

    #[test]
    fn it_tells_what_it_takes() {
        assert_eq!(Template::parse("{ip} {hour}").sends(), Sends { hour: true, ..Sends::default() });
        assert_eq!(Template::parse("{userAgent}{deviceId}").sends(), Sends { user_agent: true, device_id: true, ..Sends::default() });
    }
}
