//! Parsing of Cognito trigger events: pre-authentication, post-authentication and pre-token-generation. All others are returned
//! unchanged.
//!
//! The event format is AWS's. riskgate has its own types for it, because real events contain nulls, unknown fields and values of other
//! types, and none of these may prevent a sign-in.

use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use crate::{
    json_error::JsonError,
    signed_context::Audience,
    text::{Text, read_json, replace_lone_surrogates},
};
use riskgate_config::trust::{TrustConfig, UntrustedContext};
use riskgate_engine::{
    context::{BadContext, Context, RawClaims, Trust},
    ignored::IgnoredInput,
    personal::{Personal, RawEvent},
    sign_in::{Existence, Person, SignIn, Trigger},
    time::{ClockReading, EventTime},
};

/// A Cognito event, by its trigger.
#[derive(Debug)]
pub enum Event {
    /// A sign-in to assess.
    PreAuthentication(Arc<SignIn>),
    /// A sign-in with the correct password, which may be learned from.
    PostAuthentication(Box<PostAuthentication>),
    /// A token that Cognito is about to issue. Claims may be added.
    PreTokenGeneration(Box<PreTokenGeneration>),
    /// A trigger or pool that riskgate does not handle. The event is returned unchanged.
    NotHandled(RawEvent),
    /// `{"riskgate":"check"}`: a request to check the configuration and its services.
    Check,
}

/// `PostAuthentication_Authentication`.
#[derive(Debug)]
pub struct PostAuthentication {
    /// The event as received.
    pub raw: RawEvent,
    /// When the complete event had been read.
    pub received: ClockReading,
    /// The user pool's id.
    pub pool: SmolStr,
    /// The app client's id.
    pub client: SmolStr,
    /// The user who signed in.
    pub person: Person,
    /// `newDeviceUsed`; `None` if the pool does not remember devices.
    pub new_device_used: Option<bool>,
    /// The nonce of the attempt that this event completes, if its metadata has a context.
    pub nonce: Option<SmolStr>,
    /// The value of the tenant attribute.
    pub tenant: Option<Personal<SmolStr>>,
}

/// `TokenGeneration_*`, any version.
#[derive(Debug)]
pub struct PreTokenGeneration {
    /// The event as received.
    pub raw: RawEvent,
    /// When the complete event had been read.
    pub received: ClockReading,
    /// The user pool's id.
    pub pool: SmolStr,
    /// The app client's id.
    pub client: SmolStr,
    /// The user who gets the token.
    pub person: Person,
    /// `version`: "1" for claims of the ID token, "2" and "3" for claims and scopes.
    pub version: SmolStr,
    /// `triggerSource` after `TokenGeneration_`, such as `Authentication`, `HostedAuth` or `RefreshTokens`.
    pub source: SmolStr,
    /// The value of the tenant attribute.
    pub tenant: Option<Personal<SmolStr>>,
}

/// Why an event is not a Cognito event. The user never sees it.
#[derive(Debug, thiserror::Error)]
pub enum BadEvent {
    /// It is not a JSON object of this shape.
    #[error("the event is not a JSON object: {0}")]
    Json(JsonError),
    /// The named field, which identifies the sign-in, is not an object.
    #[error("{0} is not an object")]
    NotAnObject(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    riskgate: Option<&'a RawValue>,
    #[serde(borrow)]
    version: Option<&'a RawValue>,
    #[serde(borrow)]
    trigger_source: Option<&'a RawValue>,
    #[serde(borrow)]
    user_pool_id: Option<&'a RawValue>,
    #[serde(borrow)]
    user_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    caller_context: Object<WireCaller<'a>>,
    #[serde(borrow, default)]
    request: Object<WireRequest<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireRequest<'a> {
    #[serde(borrow)]
    user_attributes: Object<Members<'a>>,
    #[serde(borrow)]
    validation_data: Object<Members<'a>>,
    #[serde(borrow)]
    client_metadata: Object<Members<'a>>,
    #[serde(borrow)]
    user_not_found: Option<&'a RawValue>,
    #[serde(borrow)]
    new_device_used: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireCaller<'a> {
    #[serde(borrow)]
    client_id: Option<&'a RawValue>,
}

/// A value that should be an object. It is parsed with the rest of the event; its type is checked only if the event is handled.
#[derive(Default)]
enum Object<T> {
    /// Missing or null.
    #[default]
    Absent,
    Found(T),
    /// A value of another type.
    Wrong,
}

/// The members of an object with arbitrary names. There are at most a few dozen, for which a scan is faster than hashing.
#[derive(Default)]
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<T: Default> Object<T> {
    /// The object; empty if it is missing.
    fn or_empty(self, name: &'static str) -> Result<T, BadEvent> {
        match self {
            Object::Absent => Ok(T::default()),
            Object::Found(found) => Ok(found),
            Object::Wrong => Err(BadEvent::NotAnObject(name)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Shape<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object::Found)
            }

            fn visit_unit<E>(self) -> Result<Object<T>, E> {
                Ok(Object::Absent)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Object<T>, A::Error> {
                while values.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Object::Wrong)
            }

            fn visit_str<E>(self, _: &str) -> Result<Object<T>, E> {
                Ok(Object::Wrong)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Object<T>, E> {
                Ok(Object::Wrong)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Object<T>, E> {
                Ok(Object::Wrong)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Object<T>, E> {
                Ok(Object::Wrong)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Object<T>, E> {
                Ok(Object::Wrong)
            }
        }
        deserializer.deserialize_any(Shape(PhantomData))
    }
}

impl<'a> Members<'a> {
    /// The value of a member; the last one if the name occurs twice.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(known, _)| known.0 == name).map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// The app client id of an event that [`parse`] rejects.
pub fn read_client_id(text: &str) -> Option<SmolStr> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        caller_context: Caller,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Caller {
        client_id: SmolStr,
    }
    read_json::<Event>(text).map(|event| event.caller_context.client_id)
}

/// Parses a Cognito event.
///
/// # Errors
///
/// The text is not a JSON object, or its `request`, `callerContext`, `userAttributes` or metadata is neither null nor an object.
pub fn parse(raw: RawEvent, received: ClockReading, config: &TrustConfig) -> Result<Event, BadEvent> {
    // serde accepts an array as the fields of a struct, so the type is checked first.
    if !raw.text().trim_start().starts_with('{') {
        return Err(BadEvent::NotAnObject("the event"));
    }
    let replaced;
    let wire: Wire<'_> = match serde_json::from_str(raw.text()) {
        Ok(wire) => wire,
        Err(error) => {
            replaced = replace_lone_surrogates(raw.text()).ok_or_else(|| BadEvent::Json(error.into()))?;
            serde_json::from_str(&replaced).map_err(|error| BadEvent::Json(error.into()))?
        }
    };
    if wire.riskgate.and_then(text).as_deref() == Some("check") {
        return Ok(Event::Check);
    }
    let source = wire.trigger_source.and_then(text);
    let source = source.as_deref().unwrap_or("PreAuthentication_Authentication");
    let pool = SmolStr::from(wire.user_pool_id.and_then(text).unwrap_or_default());
    let is_handled = source.starts_with("PreAuthentication_") || source.starts_with("PostAuthentication_") || source.starts_with("TokenGeneration_");
    if !is_handled || !config.serves(&pool) {
        return Ok(Event::NotHandled(raw));
    }
    let request = wire.request.or_empty("request")?;
    let caller = wire.caller_context.or_empty("callerContext")?;
    let client = SmolStr::from(caller.client_id.and_then(text).unwrap_or_default());
    let attributes = request.user_attributes.or_empty("userAttributes")?;
    let person = person(wire.user_name, request.user_not_found, &attributes);
    let tenant = config.tenant_attribute.as_deref().and_then(|name| attribute(&attributes, name));
    let metadata = match request.validation_data.or_empty("validationData")? {
        empty if empty.0.is_empty() => request.client_metadata.or_empty("clientMetadata")?,
        found => found,
    };
    if let Some(source) = source.strip_prefix("TokenGeneration_") {
        let (version, source) = (wire.version.and_then(text).unwrap_or_default().into(), source.into());
        return Ok(Event::PreTokenGeneration(Box::new(PreTokenGeneration { received, pool, client, person, version, source, tenant, raw })));
    }
    let context = context(&metadata, &person, &pool, &client, received, config);
    if source.starts_with("PostAuthentication_") {
        let new_device_used = request.new_device_used.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let nonce = context.nonce;
        return Ok(Event::PostAuthentication(Box::new(PostAuthentication { received, pool, client, person, new_device_used, nonce, tenant, raw })));
    }
    Ok(Event::PreAuthentication(Arc::new(SignIn {
        trigger: Trigger::PreAuthentication,
        received,
        at: EventTime::new(received.wall),
        pool,
        client,
        tenant,
        person,
        context,
        raw,
    })))
}

fn person(name: Option<&RawValue>, not_found: Option<&RawValue>, attributes: &Members<'_>) -> Person {
    let not_found = not_found.is_some_and(|raw| matches!(raw.get(), "true" | "\"true\""));
    Person {
        name: Personal::new(name.and_then(text).unwrap_or_default().into()),
        sub: attribute(attributes, "sub"),
        existence: if not_found { Existence::NotFound } else { Existence::Known },
        aliases: ["email", "phone_number", "preferred_username"].iter().filter_map(|name| attribute(attributes, name)).collect(),
    }
}

/// The claims in the caller's metadata, with the trust of the app client or of a signature.
fn context(metadata: &Members<'_>, person: &Person, pool: &str, client: &str, received: ClockReading, config: &TrustConfig) -> Context {
    if let Some(raw) = metadata.get("riskgate").filter(|raw| raw.get() != "null") {
        // The size is checked before the string is unescaped.
        let token =
            if raw.get().len() > crate::signed_context::MAX_TOKEN_BYTES + 2 { Err(BadContext::TooLarge) } else { text(raw).ok_or(BadContext::Malformed) };
        match token.and_then(|token| crate::signed_context::verify(&token, person, Audience { pool, client }, received, config)) {
            Ok(context) => return context,
            Err(bad) => return Context { trust: Trust::Bad(bad), ..unsigned(metadata, client, config) },
        }
    }
    let mut context = unsigned(metadata, client, config);
    context.trust = match (context.is_empty(), config.trusts(client)) {
        (true, _) => Trust::None,
        (false, true) => Trust::Trusted,
        (false, false) => Trust::Unsigned,
    };
    context
}

fn unsigned(metadata: &Members<'_>, client: &str, config: &TrustConfig) -> Context {
    if !config.trusts(client) && *config.untrusted_context.of(client) == UntrustedContext::Ignore {
        return Context::default();
    }
    let mut malformed = false;
    let mut claim = |name: &str| {
        let raw = metadata.get(name).filter(|raw| raw.get() != "null")?;
        let found = text(raw);
        malformed |= found.is_none();
        found
    };
    let ip = match claim("ip") {
        // Many callers send an empty text for a missing field.
        Some(ip) if !ip.is_empty() => Some(ip),
        Some(_) | None => claim("IpAddress"),
    };
    let [user_agent, device_id, accept_language, timezone] = ["userAgent", "deviceId", "acceptLanguage", "timezone"].map(claim);
    let claims = RawClaims {
        ip: ip.as_deref(),
        user_agent: user_agent.as_deref(),
        device_id: device_id.as_deref(),
        accept_language: accept_language.as_deref(),
        timezone: timezone.as_deref(),
    };
    let mut context = Context::read(Trust::None, &claims);
    if malformed {
        context.ignored.insert(IgnoredInput::MalformedMetadata);
    }
    context
}

fn attribute(attributes: &Members<'_>, name: &str) -> Option<Personal<SmolStr>> {
    attributes.get(name).and_then(text).filter(|value| !value.is_empty()).map(|value| Personal::new(value.into()))
}

/// The text of a JSON string; `None` for any other value.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let quoted = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    // The value is valid JSON, so without escapes the text is what is between the quotes.
    if !quoted.as_bytes().contains(&b'\\') {
        return Some(Cow::Borrowed(quoted));
    }
    match serde_json::from_str::<Text<'_>>(raw.get()) {
        Ok(text) => Some(text.0),
        Err(_) => serde_json::from_str(&replace_lone_surrogates(raw.get())?).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riskgate_config::Config;
    use riskgate_runtime::clock;

    #[track_caller]
    fn check_unreadable(event: &str) {
        let raw = RawEvent::new(RawValue::from_string(event.to_owned()).expect("valid JSON"));
        assert!(matches!(parse(raw, clock::read(), &Config::defaults().trust), Err(BadEvent::NotAnObject(_))), "{event}");
    }

    #[test]
    fn lone_surrogates_are_accepted() {
        for source in ["PreAuthentication_Authentication", "PostAuthentication_Authentication", "TokenGeneration_Authentication"] {
            for event in [
                r#"{"triggerSource":"T","\ud800":1,"userName":"ada"}"#,
                r#"{"triggerSource":"T","userName":"\udfff"}"#,
                r#"{"triggerSource":"T","request":{"clientMetadata":{"\ud800":"\udc00\ud800","userAgent":"\ud83d"}}}"#,
                r#"{"triggerSource":"T","request":{"\ud800":{},"userAttributes":{"\udfff":"x","sub":"\ud800"}}}"#,
                r#"{"triggerSource":"T","callerContext":{"\ud800":{},"clientId":"\ud83d"}}"#,
            ] {
                let event = event.replace("\"T\"", &format!("\"{source}\""));
                let raw = RawEvent::new(RawValue::from_string(event.clone()).expect("valid JSON"));
                assert!(!matches!(parse(raw, clock::read(), &Config::defaults().trust), Err(_) | Ok(Event::NotHandled(_))), "{event}");
            }
        }
    }

    #[test]
    fn an_array_is_not_an_object() {
        check_unreadable("[]");
        check_unreadable("[null,null,null,null,null,null,null]");
        check_unreadable(r#"{"request":[]}"#);
        for wrong in ["\"text\"", "true", "-1", "1", "1.5"] {
            check_unreadable(&format!(r#"{{"callerContext":{wrong}}}"#));
            check_unreadable(&format!(r#"{{"request":{{"userAttributes":{wrong}}}}}"#));
        }
    }
}
