//! The sidecar's own JSON: the caller is the customer's backend, so what it says of the connection is trusted.

use jiff::Timestamp;
use serde::Deserialize;
use smol_str::SmolStr;

use super::{
    ClientIp, JsonFault, Person, SignIn, Trigger, UserAgent,
    context::{self, Context, Country, Stated, Trust},
    now::Now,
    personal::{Personal, RawEvent},
    text::Text,
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
    #[serde(default)]
    time: Option<Timestamp>,
    #[serde(default, borrow)]
    country: Option<Text<'a>>,
    // To JSON Schema 2116.0 is an integer, and some languages know no other numbers.
    #[serde(default)]
    asn: Option<f64>,
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
    /// `ip` is no canonical address.
    #[error("ip is not an IPv4 or IPv6 address in canonical form")]
    Ip,
    /// `country` is not two letters.
    #[error("country must be an ISO 3166-1 alpha-2 code")]
    Country,
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
    let wire: Wire<'_> = serde_json::from_slice(body).map_err(|error| BadRequest::Json(error.into()))?;
    if !(1..=512).contains(&wire.user.chars().count()) {
        return Err(BadRequest::User);
    }
    let ip = match wire.ip.as_deref().map(ClientIp::parse) {
        Some(ClientIp::Invalid) => return Err(BadRequest::Ip),
        Some(ip) => ip,
        None => forwarded,
    };
    let country = match wire.country.as_deref().map(Country::parse) {
        Some(None) => return Err(BadRequest::Country),
        Some(found) => found,
        None => None,
    };
    let asn = match wire.asn {
        Some(number) if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) => Some(number as u32),
        Some(_) => return Err(BadRequest::Asn),
        None => None,
    };
    let text = |value: Option<Text<'_>>| value.as_deref().and_then(context::claim);
    let context = Context {
        trust: Trust::Trusted,
        ip,
        user_agent: wire.user_agent.as_deref().and_then(UserAgent::parse),
        device_id: text(wire.device_id),
        accept_language: text(wire.accept_language),
        timezone: text(wire.timezone),
        stated: Stated { country, asn, ..Stated::default() },
        nonce: None,
    };
    Ok(SignIn {
        raw: RawEvent::default(),
        trigger: Trigger::Http,
        received: wire.time.map_or(received, |wall| Now { wall, mono: received.mono }),
        pool: SmolStr::from(wire.pool.as_deref().unwrap_or_default()),
        client: SmolStr::from(wire.client.as_deref().unwrap_or_default()),
        tenant: wire.tenant.map(|tenant| Personal::new(tenant.0.into())),
        person: Person { name: Personal::new(wire.user.0.into()), ..Person::default() },
        context,
    })
}
