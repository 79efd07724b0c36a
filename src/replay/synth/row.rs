//! An invented row in the RBA data set's columns, and one more that names the attacker.

use std::io::{self, Write};

use jiff::Timestamp;

use super::{Kind, Row, Synth};

/// The header: the RBA data set's columns, then `Attack`.
pub const HEADER: &str = "index,Login Timestamp,User ID,Round-Trip Time [ms],IP Address,Country,Region,City,ASN,User Agent String,Browser Name and Version,\
OS Name and Version,Device Type,Login Successful,Is Attack IP,Is Account Takeover,Attack";

/// Writes a row, with its number in front.
///
/// # Errors
///
/// What the writer says.
pub fn write(synth: &Synth, index: u64, row: &Row, out: &mut impl Write) -> io::Result<()> {
    let at = Timestamp::from_second(row.at).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(jiff::tz::TimeZone::UTC);
    // Ids look like the published ones: 64 bits with a sign.
    let user = i64::from_ne_bytes((u64::from(row.user) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes());
    let [a, b, c, d] = row.address.segments();
    let country = synth.world.countries[usize::from(row.address.country)].country;
    let ((major, build), device) = (row.agent.version(), row.agent.device_type().as_label());
    let (success, takeover, attack) = match row.kind {
        Kind::Success => ("True", "False", ""),
        Kind::Failure => ("False", "False", ""),
        Kind::Attack(attacker) => ("True", if attacker == super::Attacker::Takeover { "True" } else { "False" }, attacker.as_label()),
    };
    writeln!(
        out,
        "{index},{},{user},,{a:x}:{b:x}:{c:x}:{d:x}::1,{},-,-,{},Mozilla/5.0 ({}) {}/{major}.0.{build},{} {major}.0.{build},{},{device},{success},False,{takeover},{attack}",
        at.strftime("%Y-%m-%d %H:%M:%S.000"),
        country.as_str(),
        row.address.asn(),
        row.agent.platform(),
        row.agent.browser(),
        row.agent.browser(),
        row.agent.os(),
    )
}
