//! Writes synthetic rows in the columns of the RBA data set, plus a column with the kind of attacker.

use std::io::{self, Write};

use jiff::Timestamp;

use crate::{Attacker, RowKind, Synth, SynthConfig, SynthRecord};

/// The header: the RBA data set's columns, then `Attack`.
pub const HEADER: &str = "index,Login Timestamp,User ID,Round-Trip Time [ms],IP Address,Country,Region,City,ASN,User Agent String,Browser Name and Version,\
OS Name and Version,Device Type,Login Successful,Is Attack IP,Is Account Takeover,Attack";

/// The columns that a log with campaigns or surges has after those of [`HEADER`]: the kind of the surge, and whether the name has no account.
pub const SCHEDULE_COLUMNS: &str = ",Surge,Unknown User";

/// Writes the log of a configuration, with the header.
///
/// # Errors
///
/// If the writer fails.
pub fn write_log(config: SynthConfig, out: &mut impl Write) -> io::Result<()> {
    write_rows(Synth::new(config), out)
}

/// Writes the rows of a generator, with the header.
///
/// # Errors
///
/// If the writer fails.
pub fn write_rows(mut synth: Synth, out: &mut impl Write) -> io::Result<()> {
    let columns = if synth.has_schedule() { SCHEDULE_COLUMNS } else { "" };
    writeln!(out, "{HEADER}{columns}")?;
    let mut index = 0;
    while let Some(row) = synth.next() {
        write_row(&synth, index, &row, out)?;
        index += 1;
    }
    Ok(())
}

/// Writes a row. Its first column is `index`.
fn write_row(synth: &Synth, index: u64, row: &SynthRecord, out: &mut impl Write) -> io::Result<()> {
    let at = Timestamp::from_second(row.at).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(jiff::tz::TimeZone::UTC);
    // Like the published ids: signed 64-bit numbers.
    let user = i64::from_ne_bytes((u64::from(row.user) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes());
    let [a, b, c, d] = row.address.segments();
    let country = synth.world.countries[usize::from(row.address.country)].country;
    let ((major, build), device) = (row.agent.version(), row.agent.device_type().as_label());
    let (success, takeover, attack) = match row.kind {
        RowKind::Success | RowKind::Surge { passed: true, .. } => ("True", "False", ""),
        RowKind::Failure | RowKind::Surge { passed: false, .. } => ("False", "False", ""),
        RowKind::Attack(attacker) => ("True", if attacker == Attacker::Takeover { "True" } else { "False" }, attacker.as_label()),
        RowKind::Campaign { kind, passed: true } => ("True", "True", kind.as_label()),
        RowKind::Campaign { kind, passed: false } => ("False", "False", kind.as_label()),
    };
    write!(
        out,
        "{index},{},{user},,{a:x}:{b:x}:{c:x}:{d:x}::1,{},-,-,{},Mozilla/5.0 ({}) {}/{major}.0.{build},{} {major}.0.{build},{},{device},{success},False,{takeover},{attack}",
        at.strftime("%Y-%m-%d %H:%M:%S.000"),
        country.as_str(),
        row.address.asn(),
        row.agent.platform(),
        row.agent.browser(),
        row.agent.browser(),
        row.agent.os(),
    )?;
    if synth.has_schedule() {
        let surge = if let RowKind::Surge { kind, .. } = row.kind { kind.as_label() } else { "" };
        write!(out, ",{surge},{}", if row.user < synth.config.users { "False" } else { "True" })?;
    }
    writeln!(out)
}
