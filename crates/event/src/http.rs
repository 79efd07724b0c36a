//! Parsing of the body of `POST /v1/assess`. The caller is the operator's backend, so its claims are trusted.

use jiff::Timestamp;
use serde::Deserialize;
use smol_str::SmolStr;

use crate::{
    json_error::JsonError,
    json_strings::{Text, replace_lone_surrogates},
};
use riskgate_engine::{
    client_ip::ClientIp,
    context::{AssertedFacts, Context, Country, RawClaims, Trust},
    ignored::IgnoredInput,
    personal::{Personal, RawEvent},
    placeholder,
    sign_in::{SignIn, Trigger, User},
    time::{ClockReading, EventTime},
};

/// The body of `POST /v1/assess`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, bound(deserialize = "'de: 'a"))]
struct Wire<'a> {
    user: Text<'a>,
    client: Option<Text<'a>>,
    pool: Option<Text<'a>>,
    tenant: Option<Text<'a>>,
    ip: Option<Text<'a>>,
    user_agent: Option<Text<'a>>,
    device_id: Option<Text<'a>>,
    accept_language: Option<Text<'a>>,
    timezone: Option<Text<'a>>,
    time: Option<Text<'a>>,
    country: Option<Text<'a>>,
    asn: Option<Asn<'a>>,
}

/// The fields of the body.
pub const FIELDS: [&str; 12] = ["user", "client", "pool", "tenant", "ip", "userAgent", "deviceId", "acceptLanguage", "timezone", "time", "country", "asn"];

/// An AS number as a JSON number, or as text, as CDNs send it in headers.
#[derive(Deserialize)]
#[serde(untagged, bound(deserialize = "'de: 'a"))]
enum Asn<'a> {
    // In JSON Schema 2116.0 is an integer, and some languages only have floating-point numbers.
    Number(f64),
    Text(Text<'a>),
}

/// Why a body was rejected. The caller receives the message.
#[derive(Debug, thiserror::Error)]
pub enum BadRequest {
    /// It is not JSON, or does not have the documented shape.
    #[error("the body is not an assess request: {0}")]
    Json(JsonError),
    /// It is JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// `user` is empty or longer than 512 characters.
    #[error("user must be 1 to 512 characters long")]
    User,
    /// `ip` is not an address.
    #[error("ip is not an IPv4 or IPv6 address")]
    Ip,
    /// `country` is not two letters.
    #[error("country must be an ISO 3166-1 alpha-2 code")]
    Country,
    /// `time` is not a time with an offset.
    #[error("time must be RFC 3339 with an offset, such as 2026-01-02T08:00:00Z")]
    Time,
    /// `asn` is not a 32-bit number.
    #[error("asn must be a whole number from 0 to 4294967295")]
    Asn,
}

/// Parses the body of `POST /v1/assess`. `forwarded` is the address that the trusted proxies report; it is used if the body has no
/// `ip`.
///
/// # Errors
///
/// The body deviates from the documented shape. Unknown fields are rejected, because a misspelled field would look like a missing
/// claim.
pub fn parse(body: &[u8], forwarded: ClientIp, received: ClockReading) -> Result<SignIn, BadRequest> {
    // serde accepts an array as the fields of a struct, so the type is checked first.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(BadRequest::NotAnObject);
    }
    let replaced;
    // This checks the body for UTF-8 once. `from_slice` would check every string.
    let text = std::str::from_utf8(body).ok();
    let wire: Wire<'_> = match text.map_or_else(|| serde_json::from_slice(body), serde_json::from_str) {
        Ok(wire) => wire,
        Err(error) => {
            replaced = text.and_then(replace_lone_surrogates).ok_or_else(|| BadRequest::Json(error.into()))?;
            serde_json::from_str(&replaced).map_err(|error| BadRequest::Json(error.into()))?
        }
    };
    if !(1..=512).contains(&wire.user.chars().count()) {
        return Err(BadRequest::User);
    }
    let claims = RawClaims {
        ip: wire.ip.as_deref(),
        user_agent: wire.user_agent.as_deref(),
        device_id: wire.device_id.as_deref(),
        accept_language: wire.accept_language.as_deref(),
        timezone: wire.timezone.as_deref(),
    };
    let mut context = Context::read(Trust::Trusted, &claims);
    match context.ip {
        ClientIp::Invalid => return Err(BadRequest::Ip),
        ClientIp::Missing => context.ip = forwarded,
        ClientIp::Public(_) | ClientIp::NonPublic(_) => {}
    }
    context.asserted = asserted_facts(&wire, &mut context)?;
    let at = match wire.time.as_deref().map(str::trim).filter(|time| !time.is_empty()) {
        Some(time) => time.parse::<Timestamp>().map_err(|_| BadRequest::Time)?,
        None => received.wall,
    };
    Ok(SignIn {
        raw: RawEvent::default(),
        trigger: Trigger::Http,
        received,
        at: EventTime::new(at),
        pool: SmolStr::from(wire.pool.as_deref().unwrap_or_default()),
        client: SmolStr::from(wire.client.as_deref().unwrap_or_default()),
        tenant: wire.tenant.filter(|tenant| !tenant.is_empty()).map(|tenant| Personal::new(tenant.0.into())),
        user: User { name: Personal::new(wire.user.0.into()), ..User::default() },
        context,
    })
}

/// The facts that the caller asserts about the network. A placeholder for "not known" is dropped and recorded as ignored.
fn asserted_facts(wire: &Wire<'_>, context: &mut Context) -> Result<AssertedFacts, BadRequest> {
    let mut asserted = AssertedFacts::default();
    let country = wire.country.as_deref().map(str::trim);
    match country.map(|country| (country, Country::parse(country))) {
        Some((_, Some(country))) => asserted.country = Some(country),
        // Cloudflare's country code for Tor.
        Some((code, None)) if code.eq_ignore_ascii_case("T1") => asserted.tor = true,
        Some((code, None)) if Country::is_unknown(code) => {
            context.ignored.filter_unknown(IgnoredInput::UnknownCountry, Some(code), Country::is_unknown);
        }
        Some((_, None)) => return Err(BadRequest::Country),
        None => {}
    }
    asserted.asn = match &wire.asn {
        Some(Asn::Number(number)) if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number) => Some(*number as u32),
        Some(Asn::Text(text)) if placeholder::is_unknown(text) => {
            context.ignored.filter_unknown(IgnoredInput::UnknownAsn, Some(text), placeholder::is_unknown);
            None
        }
        Some(Asn::Text(text)) => Some(parse_asn(text).ok_or(BadRequest::Asn)?),
        Some(Asn::Number(_)) => return Err(BadRequest::Asn),
        None => None,
    };
    // Reserved numbers: AS 0 means no network (RFC 7607), AS 23456 replaces 32-bit numbers (RFC 6793).
    if matches!(asserted.asn, Some(0 | 23_456)) {
        context.ignored.insert(IgnoredInput::UnknownAsn);
        asserted.asn = None;
    }
    Ok(asserted)
}

/// Parses an AS number with or without the prefix `AS`.
pub fn parse_asn(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("AS")).map_or(text, |_| &text[2..]);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}
