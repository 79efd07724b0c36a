//! The sign-ins. Every program gets the same people and addresses.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// The number of different sign-ins. Each is of another number and from another address.
pub const PEOPLE: usize = 8192;

const AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

/// A pre-authentication event as Cognito sends it, about 1 kB.
pub fn event(number: usize) -> String {
    json!({
        "version": "1", "triggerSource": "PreAuthentication_Authentication", "region": "eu-west-1", "userPoolId": "eu-west-1_bench",
        "userName": format!("user-{number}"), "callerContext": {"awsSdkVersion": "aws-sdk-js-3.600.0", "clientId": "web"},
        "request": {
            "userAttributes": {
                "sub": format!("7f9c24e5-1111-4a4a-9f9f-{number:012}"), "email": format!("user-{number}@example.com"), "email_verified": "true",
                "cognito:user_status": "CONFIRMED", "given_name": "Ada", "family_name": "Byron", "locale": "en-GB", "zoneinfo": "Europe/London",
                "phone_number": format!("+44{number:010}"), "phone_number_verified": "false",
            },
            "validationData": {
                "ip": address(number).to_string(), "userAgent": AGENT, "deviceId": format!("device-{number}"),
                "acceptLanguage": "en-GB,en;q=0.9", "timezone": "Europe/London",
            },
            "userNotFound": false,
        },
        "response": {},
    })
    .to_string()
}

/// The same sign-in as a request to the HTTP services.
pub fn body(number: usize) -> String {
    body_from(number, address(number))
}

/// A sign-in from a given address.
pub fn body_from(number: usize, ip: Ipv4Addr) -> String {
    let body: Value = json!({
        "user": format!("user-{number}"), "ip": ip.to_string(), "userAgent": AGENT, "deviceId": format!("device-{number}"),
        "acceptLanguage": "en-GB,en;q=0.9", "timezone": "Europe/London",
    });
    body.to_string()
}

/// Returns a public IPv4 address for each number. The addresses are spread out, so lookups read different parts of the database.
pub fn address(n: usize) -> Ipv4Addr {
    // Knuth's multiplicative hash. The first octet is not in any special range.
    let hash = (n as u32).wrapping_mul(2_654_435_761);
    let [a, b, c, d] = hash.to_be_bytes();
    Ipv4Addr::new([2, 5, 24, 31, 46, 51, 62, 77, 78, 80, 81, 82, 84, 86, 90, 109][usize::from(a & 15)], b, c, d.max(1))
}
