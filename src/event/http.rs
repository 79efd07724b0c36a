//! The sidecar's own JSON: the caller is the customer's backend, so what it says of the connection is trusted.

use jiff::Timestamp;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{
    ClientIp, IgnoredInput, JsonFault, Now, Person, SignIn, Trigger,
    context::{Claimed, Context, Country, Stated, Trust},
    now::EventTime,
    personal::{Personal, RawEvent},
    placeholder,
    text::{Text, replace_lone_surrogates},
};

/// The body of `POST /v1/assess`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    user: Text<'a>,
    #[serde(default, borrow)]
    client: Option<Text<'a>>,
    #[serde(default, borrow)]
    pool: Option<Text<'a>>,
    #[serde(default, borrow)]
    tenant: Option<Text<'a>>,
    #[serde(default, borrow)]
    ip: Option<Text<'a>>,
    #[serde(default, borrow)]
    user_agent: Option<Text<'a>>,
    #[serde(default, borrow)]
    device_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    accept_language: Option<Text<'a>>,
    #[serde(default, borrow)]
    timezone: Option<Text<'a>>,
    #[serde(default, borrow)]
    time: Option<Text<'a>>,
    #[serde(default, borrow)]
    country: Option<Text<'a>>,
    #[serde(default, borrow)]
    asn: Option<Asn<'a>>,
}

/// An AS number as a number or, as header values come, as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Asn<'a> {
    // To JSON Schema 2116.0 is an integer, and some languages know no other numbers.
    Number(f64),
    #[serde(borrow)]
    Text(Text<'a>),
}

/// Why a body was refused; told to the caller, who is a program of the customer's.
#[derive(Debug, thiserror::Error)]
pub enum BadRequest {
    /// Not JSON, or not of the documented shape.
    #[error("the body is not an assess request: {0}")]
    Json(JsonFault),
    /// JSON, but no object.
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
    /// `time` is not a time with its offset.
    #[error("time must be RFC 3339 with an offset, such as 2026-01-02T08:00:00Z")]
    Time,
    /// `asn` is no 32-bit number.
    #[error("asn must be a whole number from 0 to 4294967295")]
    Asn,
}

/// Reads the body of `POST /v1/assess`. `forwarded` is the address that the trusted proxies report; the body's `ip` beats it.
///
/// # Errors
///
/// Any departure from the documented shape: the caller is a program, and a typing mistake in it must not pass for a missing claim.
pub fn parse(body: &[u8], forwarded: ClientIp, received: Now) -> Result<SignIn, BadRequest> {
    // serde reads an array as a struct's fields in order, so the shape is asked first.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(BadRequest::NotAnObject);
    }
    let replaced;
    // The body is checked as UTF-8 once; read as bytes, each of its strings would be.
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
    let claimed = Claimed {
        ip: wire.ip.as_deref(),
        user_agent: wire.user_agent.as_deref(),
        device_id: wire.device_id.as_deref(),
        accept_language: wire.accept_language.as_deref(),
        timezone: wire.timezone.as_deref(),
    };
    let mut context = Context::read(Trust::Trusted, &claimed);
    match context.ip {
        ClientIp::Invalid => return Err(BadRequest::Ip),
        ClientIp::Missing => context.ip = forwarded,
        ClientIp::Public(_) | ClientIp::NonPublic(_) => {}
    }
    context.stated = stated(&wire, &mut context)?;
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
        person: Person { name: Personal::new(wire.user.0.into()), ..Person::default() },
        context,
    })
}

/// What the caller states of the network. A code or word for "not known" is left out and noted.
fn stated(wire: &Wire<'_>, context: &mut Context) -> Result<Stated, BadRequest> {
    let mut stated = Stated::default();
    let country = wire.country.as_deref().map(str::trim);
    match country.map(|country| (country, Country::parse(country))) {
        Some((_, Some(country))) => stated.country = Some(country),
        // Cloudflare's code for Tor.
        Some((code, None)) if code.eq_ignore_ascii_case("T1") => stated.tor = true,
        Some((code, None)) if Country::is_withheld(code) => {
            context.ignored.unless(IgnoredInput::UnknownCountry, Some(code), Country::is_withheld);
        }
        Some((_, None)) => return Err(BadRequest::Country),
        None => {}
    }
    stated.asn = match &wire.asn {
        Some(Asn::Number(number)) if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number) => Some(*number as u32),
        Some(Asn::Text(text)) if placeholder::is_not_known(text) => {
            context.ignored.unless(IgnoredInput::UnknownAsn, Some(text), placeholder::is_not_known);
            None
        }
        Some(Asn::Text(text)) => Some(asn(text).ok_or(BadRequest::Asn)?),
        Some(Asn::Number(_)) => return Err(BadRequest::Asn),
        None => None,
    };
    // Reserved: AS 0 for no network, AS 23456 for a number that did not fit.
    if matches!(stated.asn, Some(0 | 23_456)) {
        context.ignored.insert(IgnoredInput::UnknownAsn);
        stated.asn = None;
    }
    Ok(stated)
}

/// Reads an AS number that is written as text, with or without `AS` before it.
pub fn asn(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("AS")).map_or(text, |_| &text[2..]);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}
