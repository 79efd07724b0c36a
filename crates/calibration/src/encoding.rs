//! The stored form of a calibrator. A checksum finds damage.
//!
//! Version 2: `02`; day i64; time of the last count i64; successes u64; the number of groups u16 and for each basis u8, country (two
//! letters or zeros), number of cells u8, each with its number u8 and its count f32; the number of groups with a curve u16 and for each
//! basis and country, then the curve; the number of bases with a curve u8 and for each basis u8, then the curve; the first day i64; the realised counts in the form of the counts; the
//! number of days u8 and for each day i64, then the curve of all sign-ins; checksum u32 (FNV-1a of
//! everything before it). A curve is its first cell that is not observed u8, then 41 scores in hundredths u16. Numbers are big-endian.

use std::collections::BTreeMap;

use riskgate_engine::{encoding::Reader, score::scale::CalibrationSource};

use crate::{
    calibrator::Calibrator,
    counts::{CELLS, CellCounts, Counts},
    curve::Curve,
    group::{Basis, Group},
    success_cell::{country_bytes, country_of},
};

const VERSION: u8 = 2;

/// The version without realised counts and days.
const OLDEST_VERSION: u8 = 1;

/// A count is at most this, so a damaged number cannot make the others meaningless.
const MAX_COUNT: f64 = 1e12;

impl Calibrator {
    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.day.unwrap_or(i64::MIN).to_be_bytes());
        out.extend_from_slice(&self.counted_at.unwrap_or(i64::MIN).to_be_bytes());
        out.extend_from_slice(&self.sign_ins.to_be_bytes());
        push_counts(&mut out, &self.counts);
        push_length(&mut out, self.curves.len());
        for (group, curve) in &self.curves {
            push_group(&mut out, *group);
            push_curve(&mut out, curve);
        }
        out.push(u8::try_from(self.by_basis.len()).unwrap_or_default());
        for (basis, curve) in &self.by_basis {
            out.push(*basis as u8);
            push_curve(&mut out, curve);
        }
        out.extend_from_slice(&self.first_day.unwrap_or(i64::MIN).to_be_bytes());
        push_counts(&mut out, &self.realised);
        out.push(u8::try_from(self.overall.len()).unwrap_or_default());
        for (day, curve) in &self.overall {
            out.extend_from_slice(&day.to_be_bytes());
            push_curve(&mut out, curve);
        }
        let sum = checksum(&out);
        out.extend_from_slice(&sum.to_be_bytes());
        out
    }

    /// Reads the stored form. Returns `None` if it is damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (content, sum) = bytes.split_last_chunk::<4>()?;
        if checksum(content) != u32::from_be_bytes(*sum) {
            return None;
        }
        let mut reader = Reader(content);
        let version = reader.u8()?;
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return None;
        }
        let day = Some(i64::from_be_bytes(reader.array()?)).filter(|day| *day != i64::MIN);
        let counted_at = Some(i64::from_be_bytes(reader.array()?)).filter(|at| *at != i64::MIN);
        let sign_ins = u64::from_be_bytes(reader.array()?);
        let counts = read_counts(&mut reader)?;
        let mut curves = BTreeMap::new();
        for _ in 0..reader.u16()? {
            curves.insert(read_group(&mut reader)?, read_curve(&mut reader)?);
        }
        let mut by_basis = BTreeMap::new();
        for _ in 0..reader.u8()? {
            by_basis.insert(Basis::from_number(reader.u8()?)?, read_curve(&mut reader)?);
        }
        let (mut first_day, mut realised, mut overall) = (None, Counts::default(), Vec::new());
        if version > OLDEST_VERSION {
            first_day = Some(i64::from_be_bytes(reader.array()?)).filter(|day| *day != i64::MIN);
            realised = read_counts(&mut reader)?;
            for _ in 0..reader.u8()? {
                overall.push((i64::from_be_bytes(reader.array()?), read_curve(&mut reader)?));
            }
        }
        reader.0.is_empty().then_some(Calibrator {
            counts,
            curves,
            by_basis,
            realised,
            overall,
            first_day,
            day,
            counted_at,
            sign_ins,
            stopped_from: None,
            stop_scale: CalibrationSource::default(),
        })
    }
}

fn push_counts(out: &mut Vec<u8>, counts: &Counts) {
    push_length(out, counts.groups().count());
    for (group, counts) in counts.groups() {
        push_group(out, group);
        let counted = || (0_u8..).zip(counts).filter(|(_, count)| **count > 0.0);
        out.push(u8::try_from(counted().count()).unwrap_or_default());
        for (cell, count) in counted() {
            out.push(cell);
            #[expect(clippy::cast_possible_truncation, reason = "counts need no more than seven digits")]
            out.extend_from_slice(&(*count as f32).to_be_bytes());
        }
    }
}

fn read_counts(reader: &mut Reader<'_>) -> Option<Counts> {
    let mut counts = Counts::default();
    for _ in 0..reader.u16()? {
        let group = read_group(reader)?;
        let mut cells: CellCounts = [0.0; CELLS];
        for _ in 0..reader.u8()? {
            let cell = usize::from(reader.u8()?);
            let count = f64::from(f32::from_be_bytes(reader.array()?));
            if !(0.0..MAX_COUNT).contains(&count) {
                return None;
            }
            *cells.get_mut(cell)? = count;
        }
        counts.set(group, cells);
    }
    Some(counts)
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
}

fn push_group(out: &mut Vec<u8>, group: Group) {
    out.push(group.basis as u8);
    out.extend_from_slice(&country_bytes(group.country));
}

fn read_group(reader: &mut Reader<'_>) -> Option<Group> {
    Some(Group { basis: Basis::from_number(reader.u8()?)?, country: country_of(reader.array()?)? })
}

fn push_curve(out: &mut Vec<u8>, curve: &Curve) {
    let (scores, observed) = curve.to_hundredths();
    out.push(observed);
    scores.iter().for_each(|score| out.extend_from_slice(&score.to_be_bytes()));
}

fn read_curve(reader: &mut Reader<'_>) -> Option<Curve> {
    let observed = reader.u8()?;
    let mut scores = [0; CELLS + 1];
    for score in &mut scores {
        *score = reader.u16()?;
    }
    Curve::from_hundredths(scores, observed)
}

fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
