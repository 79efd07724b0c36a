//! Parsing of the three triggers of a custom challenge: `DefineAuthChallenge`, `CreateAuthChallenge` and `VerifyAuthChallengeResponse`.
//!
//! Only these events are parsed a second time, for the fields that no other trigger has. The path of the other triggers is not longer for it.

use std::sync::Arc;

use serde::{
    Deserialize,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::{BadEvent, Identity, attribute, is_true, object};
use crate::{
    json_objects::{Members, Object},
    json_strings::{read_borrowed, text},
};
use riskgate_config::trust::TrustConfig;
use riskgate_engine::{
    personal::{Personal, RawEvent},
    sign_in::{SignIn, Trigger},
    time::ClockReading,
};

/// The name of riskgate's entry in `privateChallengeParameters`.
pub const PRIVATE_PARAMETER: &str = "riskgate";

/// The most entries of a `session` that are read. A longer one is not accepted.
pub const MAX_ENTRIES: usize = 32;

/// The longest name, metadata, parameter or answer that is read, in bytes. A longer text counts as missing.
const MAX_TEXT: usize = 256;

/// A call of one of the three triggers.
#[derive(Debug)]
pub struct AuthChallenge {
    /// The sign-in, with the context of the latest answer's `clientMetadata`.
    pub sign_in: Arc<SignIn>,
    /// Which trigger was called, with the members that only it has.
    pub step: ChallengeStep,
    /// The answered challenges of this sign-in, oldest first; `None` if the list cannot be read or is too long.
    pub session: Option<Vec<ChallengeEntry>>,
    /// Where a code can be sent.
    pub recipient: Recipient,
    /// Whether the user has a temporary password (`FORCE_CHANGE_PASSWORD`).
    pub has_temporary_password: bool,
    /// `clientMetadata` in a fixed order; empty when there is none. The triggers of one answer have equal metadata.
    pub metadata: Personal<String>,
}

/// Which trigger was called.
#[derive(Debug)]
pub enum ChallengeStep {
    /// What comes next: a challenge, tokens or a failure.
    Define,
    /// Make the named challenge.
    Create {
        /// `challengeName`.
        challenge: SmolStr,
    },
    /// Check an answer.
    Verify {
        /// `challengeAnswer`.
        answer: Option<Personal<SmolStr>>,
        /// The entry of `privateChallengeParameters` that riskgate made; `None` if another program made the challenge.
        parameter: Option<SmolStr>,
    },
}

/// An entry of `session`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeEntry {
    /// `challengeName`; empty if it is missing, too long or not a text. AWS adds names.
    pub name: SmolStr,
    /// Whether `challengeResult` is true.
    pub is_passed: bool,
    /// `challengeMetadata`, which the program that made the challenge chose.
    pub metadata: Option<SmolStr>,
}

/// Where a code can be sent. Only verified addresses are here.
#[derive(Debug, Clone, Default)]
pub struct Recipient {
    /// The `email` attribute, if `email_verified` is true.
    pub email: Option<Personal<SmolStr>>,
    /// The `phone_number` attribute, if `phone_number_verified` is true.
    pub phone_number: Option<Personal<SmolStr>>,
    /// The `locale` attribute.
    pub locale: Option<Personal<SmolStr>>,
}

/// The trigger that an event's source names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Define,
    Create,
    Verify,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Wire<'a> {
    #[serde(default)]
    request: Object<WireRequest<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
struct WireRequest<'a> {
    session: Option<&'a RawValue>,
    challenge_answer: Option<&'a RawValue>,
    private_challenge_parameters: Object<Members<'a>>,
    challenge_name: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
struct WireEntry<'a> {
    challenge_name: Option<&'a RawValue>,
    challenge_result: Option<&'a RawValue>,
    challenge_metadata: Option<&'a RawValue>,
}

/// The entries of a `session`, at most one more than are accepted.
struct Entries(Vec<ChallengeEntry>);

impl Source {
    /// The trigger of a source; `None` for other triggers. One of AWS's tables prints the last one without `Response`.
    pub(super) fn of(source: &str) -> Option<Self> {
        let (trigger, _) = source.split_once('_')?;
        match trigger {
            "DefineAuthChallenge" => Some(Source::Define),
            "CreateAuthChallenge" => Some(Source::Create),
            "VerifyAuthChallengeResponse" | "VerifyAuthChallenge" => Some(Source::Verify),
            _ => None,
        }
    }
}

/// Parses the event of one of the three triggers.
///
/// # Errors
///
/// Its `privateChallengeParameters` is neither null nor an object.
pub(super) fn parse(
    source: Source,
    identity: Identity,
    (attributes, metadata): (&Members<'_>, &Members<'_>),
    raw: RawEvent,
    received: ClockReading,
    config: &TrustConfig,
) -> Result<AuthChallenge, BadEvent> {
    let mut replaced = None;
    let wire: Wire<'_> = read_borrowed(raw.text(), &mut replaced).map_err(BadEvent::Json)?;
    let request = object(wire.request, "request")?;
    let step = match source {
        Source::Define => ChallengeStep::Define,
        Source::Create => ChallengeStep::Create { challenge: short_text(request.challenge_name).unwrap_or_default() },
        Source::Verify => {
            let parameters = object(request.private_challenge_parameters, "privateChallengeParameters")?;
            ChallengeStep::Verify { answer: short_text(request.challenge_answer).map(Personal::new), parameter: short_text(parameters.get(PRIVATE_PARAMETER)) }
        }
    };
    let context = identity.read_context(metadata, received, config);
    let challenge = AuthChallenge {
        step,
        session: entries(request.session),
        recipient: Recipient {
            email: verified(attributes, "email"),
            phone_number: verified(attributes, "phone_number"),
            locale: attribute(attributes, "locale").filter(|locale| locale.expose().len() <= MAX_TEXT),
        },
        has_temporary_password: attributes.get("cognito:user_status").and_then(text).as_deref() == Some("FORCE_CHANGE_PASSWORD"),
        metadata: Personal::new(in_fixed_order(metadata)),
        sign_in: Arc::new(identity.sign_in(Trigger::DefineAuthChallenge, context, received, raw)),
    };
    Ok(challenge)
}

/// The value of an attribute that Cognito has verified.
fn verified(attributes: &Members<'_>, name: &str) -> Option<Personal<SmolStr>> {
    let is_verified = attributes.get(&format!("{name}_verified")).is_some_and(is_true);
    attribute(attributes, name).filter(|_| is_verified)
}

/// The entries of a `session`: none if it is missing or null. `None` if it is not a list or has too many entries.
fn entries(session: Option<&RawValue>) -> Option<Vec<ChallengeEntry>> {
    match session {
        None => Some(Vec::new()),
        Some(raw) => serde_json::from_str::<Option<Entries>>(raw.get()).ok().map(|entries| entries.map_or_else(Vec::new, |entries| entries.0)),
    }
    .filter(|entries| entries.len() <= MAX_ENTRIES)
}

fn in_fixed_order(metadata: &Members<'_>) -> String {
    let mut members: Vec<(&str, &str)> = metadata.iter().map(|(name, value)| (name, value.get())).collect();
    members.sort_unstable();
    members.iter().fold(String::new(), |mut ordered, (name, value)| {
        // A length before each part keeps different members from reading alike.
        for part in [name, value] {
            ordered.push_str(&part.len().to_string());
            ordered.push(':');
            ordered.push_str(part);
        }
        ordered
    })
}

/// The text of a JSON string of at most `MAX_TEXT` bytes.
fn short_text(raw: Option<&RawValue>) -> Option<SmolStr> {
    // The size is checked before the string is unescaped. An escape has up to six times the bytes of its character.
    raw.filter(|raw| raw.get().len() <= MAX_TEXT * 6 + 2).and_then(text).filter(|text| text.len() <= MAX_TEXT).map(SmolStr::from)
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of challenges")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = values.next_element::<Object<WireEntry<'de>>>()? {
                    if entries.len() <= MAX_ENTRIES {
                        entries.push(ChallengeEntry::read(entry));
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_seq(EntriesVisitor)
    }
}

impl ChallengeEntry {
    /// Reads an entry. One that is not an object has no name and is not passed.
    fn read(entry: Object<WireEntry<'_>>) -> Self {
        let entry = if let Object::Found(entry) = entry { entry } else { WireEntry::default() };
        ChallengeEntry {
            name: short_text(entry.challenge_name).unwrap_or_default(),
            is_passed: entry.challenge_result.is_some_and(|raw| raw.get() == "true"),
            metadata: short_text(entry.challenge_metadata),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cognito::Event;
    use riskgate_config::Config;
    use riskgate_engine::sign_in::Existence;
    use riskgate_runtime::clock;

    fn read(event: &str) -> AuthChallenge {
        let raw = RawEvent::new(RawValue::from_string(event.to_owned()).expect("valid JSON"));
        match crate::cognito::parse(raw, clock::read(), &Config::defaults().trust) {
            Ok(Event::AuthChallenge(challenge)) => *challenge,
            other => panic!("{event}: {other:?}"),
        }
    }

    fn session(list: &str) -> Option<Vec<ChallengeEntry>> {
        read(&format!(r#"{{"triggerSource":"DefineAuthChallenge_Authentication","request":{{"session":{list}}}}}"#)).session
    }

    #[test]
    fn both_spellings_of_the_verify_trigger_are_accepted() {
        for source in ["VerifyAuthChallengeResponse_Authentication", "VerifyAuthChallenge_Authentication"] {
            let event = format!(
                r#"{{"triggerSource":"{source}","request":{{"challengeAnswer":"12345678","privateChallengeParameters":{{"riskgate":"x","other":"y"}}}}}}"#
            );
            let ChallengeStep::Verify { answer, parameter } = read(&event).step else { panic!("{source}") };
            assert_eq!((answer.as_ref().map(|answer| answer.expose().as_str()), parameter.as_deref()), (Some("12345678"), Some("x")));
        }
    }

    #[test]
    fn missing_and_null_members_are_no_entries() {
        for request in ["null", "{}", r#"{"session":null,"clientMetadata":null,"userAttributes":null}"#, r#"{"session":[]}"#] {
            let event = read(&format!(r#"{{"triggerSource":"DefineAuthChallenge_Authentication","request":{request},"response":null}}"#));
            assert_eq!(event.session, Some(Vec::new()), "{request}");
            assert!(event.metadata.expose().is_empty() && event.recipient.email.is_none());
        }
    }

    #[test]
    fn only_true_is_a_passed_challenge() {
        let entry = |name: &str, is_passed, metadata: Option<&str>| ChallengeEntry { name: name.into(), is_passed, metadata: metadata.map(SmolStr::from) };
        let list = r#"[{"challengeName":"SRP_A","challengeResult":true,"challengeMetadata":null},{"challengeName":"NEW_NAME","challengeResult":"true"},
            {"challengeName":7,"challengeResult":1,"challengeMetadata":"m"},null,[],"text",{}]"#;
        let expected = [entry("SRP_A", true, None), entry("NEW_NAME", false, None), entry("", false, Some("m"))];
        let found = session(list).expect("a list");
        assert_eq!(found[..3], expected);
        assert!(found.len() == 7 && found[3..].iter().all(|other| *other == entry("", false, None)), "{found:?}");
    }

    #[test]
    fn a_session_that_is_no_list_or_is_too_long_is_not_accepted() {
        for list in ["{}", "7", "\"[]\"", "true", &format!("[{}]", vec!["{}"; MAX_ENTRIES + 1].join(","))] {
            assert_eq!(session(list), None, "{list}");
        }
        assert_eq!(session(&format!("[{}]", vec!["{}"; MAX_ENTRIES].join(","))).map(|entries| entries.len()), Some(MAX_ENTRIES));
    }

    #[test]
    fn only_a_verified_address_is_a_recipient() {
        for (flag, is_verified) in [("\"true\"", true), ("true", true), ("\"false\"", false), ("null", false), ("\"TRUE\"", false), ("1", false)] {
            let event = read(&format!(
                r#"{{"triggerSource":"CreateAuthChallenge_Authentication","request":{{"challengeName":"CUSTOM_CHALLENGE","userAttributes":{{"email":"a@example.com","email_verified":{flag}}}}}}}"#
            ));
            assert_eq!(event.recipient.email.is_some(), is_verified, "{flag}");
        }
    }

    #[test]
    fn metadata_does_not_depend_on_the_order_and_is_unambiguous() {
        let metadata =
            |members: &str| read(&format!(r#"{{"triggerSource":"DefineAuthChallenge_Authentication","request":{{"clientMetadata":{members}}}}}"#)).metadata;
        assert_eq!(metadata(r#"{"a":"1","b":"2"}"#), metadata(r#"{"b":"2","a":"1"}"#));
        assert_ne!(metadata(r#"{"a":"1","b":"2"}"#), metadata(r#"{"a":"1","b":"3"}"#));
        assert_ne!(metadata(r#"{"ab":"1"}"#), metadata(r#"{"a":"b1"}"#));
    }

    #[test]
    fn hostile_members_are_read_or_refused() {
        let long = "9".repeat(100_000);
        for request in [
            format!(r#"{{"challengeAnswer":"{long}"}}"#),
            r#"{"challengeAnswer":{"a":[]},"privateChallengeParameters":{"riskgate":7}}"#.to_owned(),
            r#"{"challengeAnswer":"\ud800","\udfff":1,"userNotFound":true}"#.to_owned(),
        ] {
            let event = read(&format!(r#"{{"triggerSource":"VerifyAuthChallengeResponse_Authentication","request":{request}}}"#));
            let ChallengeStep::Verify { parameter, .. } = event.step else { panic!("{request}") };
            assert_eq!(parameter, None, "{request}");
        }
        for member in ["userAttributes", "clientMetadata", "privateChallengeParameters"] {
            let event = format!(r#"{{"triggerSource":"VerifyAuthChallenge_Authentication","request":{{"{member}":[]}}}}"#);
            let raw = RawEvent::new(RawValue::from_string(event).expect("valid JSON"));
            assert!(crate::cognito::parse(raw, clock::read(), &Config::defaults().trust).is_err(), "{member}");
        }
        let unknown = read(r#"{"triggerSource":"DefineAuthChallenge_Authentication","userName":"ada","request":{"userNotFound":true}}"#);
        assert_eq!(unknown.sign_in.user.existence, Existence::NotFound);
    }
}
