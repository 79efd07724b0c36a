//! Templates of the `http` service: text with the placeholders `{ip}`, `{userAgent}`, `{deviceId}` and `{hour}`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{ProviderRequest, RequestFields};

/// The characters that are percent-encoded: all except RFC 3986's unreserved ones.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A parsed template.
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
    /// Splits a text at its placeholders. Other braces are text.
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

    /// The fields of a sign-in that it contains.
    pub(super) fn request_fields(&self) -> RequestFields {
        let contains = |wanted| self.0.iter().any(|part| matches!(part, Part::Value(placeholder) if *placeholder == wanted));
        RequestFields {
            user_agent: contains(Placeholder::UserAgent),
            device_id: contains(Placeholder::DeviceId),
            hour: contains(Placeholder::Hour),
            ..RequestFields::default()
        }
    }

    /// Fills in the placeholders as JSON values. A missing value is `null`.
    pub(super) fn to_json(&self, request: &ProviderRequest) -> String {
        self.fill(|placeholder| {
            let value = value(placeholder, request);
            match placeholder {
                Placeholder::Hour => value.unwrap_or_else(|| "null".to_owned()),
                Placeholder::Ip | Placeholder::UserAgent | Placeholder::DeviceId => serde_json::Value::from(value).to_string(),
            }
        })
    }

    /// Fills in the placeholders percent-encoded. A missing value is empty.
    pub(super) fn to_url(&self, request: &ProviderRequest) -> String {
        self.fill(|placeholder| utf8_percent_encode(&value(placeholder, request).unwrap_or_default(), RESERVED).to_string())
    }

    fn fill(&self, mut encode: impl FnMut(Placeholder) -> String) -> String {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Value(placeholder) => filled.push_str(&encode(*placeholder)),
            }
        }
        filled
    }
}

fn value(placeholder: Placeholder, request: &ProviderRequest) -> Option<String> {
    match placeholder {
        Placeholder::Ip => Some(request.ip.expose().to_string()),
        Placeholder::UserAgent => request.user_agent.as_ref().map(|text| text.expose().to_string()),
        Placeholder::DeviceId => request.device_id.as_ref().map(|text| text.expose().to_string()),
        Placeholder::Hour => request.hour.map(|hour| hour.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riskgate_engine::personal::Personal;
    use riskgate_runtime::clock;

    fn request(user_agent: Option<&str>) -> ProviderRequest {
        ProviderRequest {
            ip: Personal::new("2001:db8::1".parse().expect("a valid address")),
            user_agent: user_agent.map(|text| Personal::new(text.into())),
            device_id: None,
            accept_language: None,
            user: None,
            hour: Some(7),
            received: clock::read(),
            address_trust: crate::AddressTrust::Trusted,
            pool: Default::default(),
            account: Personal::default(),
        }
    }

    #[test]
    fn values_are_encoded_for_their_position() {
        let body = Template::parse(r#"{"a":{"ip":{ip}},"ua":{userAgent},"d":{deviceId},"h":{hour},"x":"{other}"}"#);
        let filled = body.to_json(&request(Some("a\"},{\"score\":0}\n")));
        let parsed: serde_json::Value = serde_json::from_str(&filled).expect("JSON");
        assert_eq!(parsed, serde_json::json!({"a":{"ip":"2001:db8::1"},"ua":"a\"},{\"score\":0}\n","d":null,"h":7,"x":"{other}"}));
        let url = Template::parse("https://h/x/{ip}?ua={userAgent}&d={deviceId}&h={hour}");
        assert_eq!(url.to_url(&request(Some("a&b=c d/é"))), "https://h/x/2001%3Adb8%3A%3A1?ua=a%26b%3Dc%20d%2F%C3%A9&d=&h=7");
    }

    #[test]
    fn a_template_lists_the_fields_that_it_contains() {
        assert_eq!(Template::parse("{ip} {hour}").request_fields(), RequestFields { hour: true, ..RequestFields::default() });
        assert_eq!(Template::parse("{userAgent}{deviceId}").request_fields(), RequestFields { user_agent: true, device_id: true, ..RequestFields::default() });
    }
}
