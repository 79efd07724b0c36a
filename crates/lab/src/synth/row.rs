//! Writes synthetic rows in the columns of the RBA data set, plus a column with the kind of attacker.

use std::io::{self, Write};

use jiff::Timestamp;

use crate::synth::{RowKind, Synth, SynthRecord};

/// The header: the RBA data set's columns, then `Attack`.
pub const HEADER: &str = "index,Login Timestamp,User ID,Round-Trip Time [ms],IP Address,Country,Region,City,ASN,User Agent String,Browser Name and Version,\
OS Name and Version,Device Type,Login Successful,Is Attack IP,Is Account Takeover,Attack";

/// Writes a row. Its first column is `index`.
///
/// # Errors
///
/// If the writer fails.
pub fn write(synth: &Synth, index: u64, row: &SynthRecord, out: &mut impl Write) -> io::Result<()> {
    let at = Timestamp::from_second(row.at).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(jiff::tz::TimeZone::UTC);
    // Like the published ids: signed 64-bit numbers.
    let user = i64::from_ne_bytes((u64::from(row.user) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes());
    let [a, b, c, d] = row.address.segments();
    let country = synth.world.countries[usize::from(row.address.country)].country;
    let ((major, build), device) = (row.agent.version(), row.agent.device_type().as_label());
    let (success, takeover, attack) = match row.kind {
        RowKind::Success => ("True", "False", ""),
        RowKind::Failure => ("False", "False", ""),
        RowKind::Attack(attacker) => ("True", if attacker == crate::synth::Attacker::Takeover { "True" } else { "False" }, attacker.as_label()),
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
