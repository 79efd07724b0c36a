//! The stored form of a pool's state. A state of another version, or a damaged one, is read as none: the pool is learned again.

use std::collections::{BTreeMap, BTreeSet};

use riskgate_engine::encoding::Reader;

use crate::{
    cell::Cell,
    chart::{Chart, WINDOWS},
    episode::Episode,
    sketch::Sketch,
    state::{Attack, Charts, PoolState},
    usual::{Sums, Usual, WEEK_HOURS},
};

/// The version of the form.
const VERSION: u8 = 1;

/// The most bytes of a state, and of its form.
pub const MAX_STATE_BYTES: usize = 48 * 1024;

impl PoolState {
    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 * 1024);
        out.push(VERSION);
        put_minute(&mut out, self.next.unwrap_or(-1));
        put(&mut out, self.usual.minutes);
        for (sums, minutes) in self.usual.hours.iter().chain([&self.usual.all]) {
            put_sums(&mut out, sums);
            put(&mut out, *minutes);
        }
        put_cells(&mut out, self.usual.cells.iter(), |out, count| put(out, *count));
        for chart in &self.charts.0 {
            put(&mut out, chart.sum);
            put_minute(&mut out, chart.since.unwrap_or(-1));
            put_sums(&mut out, &chart.counted);
            put_sums(&mut out, &chart.expected);
            put(&mut out, chart.dispersion);
        }
        self.episodes.iter().for_each(|episode| put_episode(&mut out, episode));
        if let Some(attack) = &self.attack {
            put_minute(&mut out, attack.detected);
            put_minute(&mut out, attack.last_high);
            put_episode(&mut out, &attack.episode);
        }
        out
    }

    /// Reads the stored form; `None` if it is damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let reader = &mut reader;
        if bytes.len() > MAX_STATE_BYTES || reader.u8()? != VERSION {
            return None;
        }
        let next = minute(reader)?;
        let minutes = number(reader)?;
        let mut hours = Vec::with_capacity(WEEK_HOURS);
        for _ in 0..WEEK_HOURS {
            hours.push((sums(reader)?, number(reader)?));
        }
        let all = (sums(reader)?, number(reader)?);
        let usual = Usual { minutes, hours, all, cells: cells(reader, number)? };
        let mut charts = Charts::default();
        for window in 0..WINDOWS.len() {
            charts.0[window] = Chart {
                window,
                sum: number(reader)?,
                since: minute(reader)?,
                counted: sums(reader)?,
                expected: sums(reader)?,
                dispersion: number(reader)?.max(1.0),
            };
        }
        let episodes = [episode(reader)?, episode(reader)?, episode(reader)?];
        let attack = if reader.0.is_empty() {
            None
        } else {
            Some(Attack { detected: minute(reader)?.unwrap_or_default(), last_high: minute(reader)?.unwrap_or_default(), episode: episode(reader)? })
        };
        Some(PoolState { next, usual, charts, episodes, attack })
    }
}

/// Numbers are rounded to 32 bits, which is exact enough for rates and sums.
fn put(out: &mut Vec<u8>, value: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
    out.extend_from_slice(&(value as f32).to_be_bytes());
}

fn number(reader: &mut Reader<'_>) -> Option<f64> {
    let value = f64::from(f32::from_be_bytes(reader.array()?));
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// Minutes since 1970 fit in 32 bits until the year 10136. The largest number is no minute.
fn put_minute(out: &mut Vec<u8>, minute: i64) {
    out.extend_from_slice(&u32::try_from(minute).unwrap_or(u32::MAX).to_be_bytes());
}

#[expect(clippy::option_option, reason = "the outer one is an unreadable state")]
fn minute(reader: &mut Reader<'_>) -> Option<Option<i64>> {
    let minute = reader.u32()?;
    Some((minute != u32::MAX).then_some(i64::from(minute)))
}

fn put_sums(out: &mut Vec<u8>, sums: &Sums) {
    [sums.familiar, sums.unfamiliar, sums.unknown].into_iter().for_each(|value| put(out, value));
}

fn sums(reader: &mut Reader<'_>) -> Option<Sums> {
    Some(Sums { familiar: number(reader)?, unfamiliar: number(reader)?, unknown: number(reader)? })
}

fn put_cells<'a, T: 'a>(out: &mut Vec<u8>, cells: impl ExactSizeIterator<Item = (&'a Cell, &'a T)>, put_value: impl Fn(&mut Vec<u8>, &T)) {
    out.extend_from_slice(&u16::try_from(cells.len()).unwrap_or(u16::MAX).to_be_bytes());
    for (cell, value) in cells.take(usize::from(u16::MAX)) {
        let name = cell.to_field();
        out.push(u8::try_from(name.len()).unwrap_or_default());
        out.extend_from_slice(name.as_bytes());
        put_value(out, value);
    }
}

fn cells<T>(reader: &mut Reader<'_>, value: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<BTreeMap<Cell, T>> {
    let mut cells = BTreeMap::new();
    for _ in 0..reader.u16()? {
        let length = usize::from(reader.u8()?);
        let (name, rest) = reader.0.split_at_checked(length)?;
        reader.0 = rest;
        let value = value(reader)?;
        if let Some(cell) = std::str::from_utf8(name).ok().and_then(Cell::from_field) {
            cells.insert(cell, value);
        }
    }
    Some(cells)
}

fn put_sketch(out: &mut Vec<u8>, sketch: &Sketch) {
    out.extend_from_slice(&sketch.limit.to_be_bytes());
    out.extend_from_slice(&u16::try_from(sketch.hashes.len()).unwrap_or(u16::MAX).to_be_bytes());
    sketch.hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_be_bytes()));
}

fn sketch(reader: &mut Reader<'_>) -> Option<Sketch> {
    let limit = reader.u32()?;
    let mut hashes = BTreeSet::new();
    for _ in 0..reader.u16()? {
        hashes.insert(reader.u32()?);
    }
    Some(Sketch { hashes, limit })
}

fn put_episode(out: &mut Vec<u8>, episode: &Episode) {
    let mut episode = episode.clone();
    episode.prune();
    put_minute(out, episode.since);
    [episode.attempts, episode.unknown, episode.let_in].into_iter().for_each(|count| out.extend_from_slice(&count.to_be_bytes()));
    put(out, episode.expected);
    put_sketch(out, &episode.users);
    put_sketch(out, &episode.networks);
    put_cells(out, episode.cells.iter(), |out, count| out.extend_from_slice(&count.to_be_bytes()));
}

fn episode(reader: &mut Reader<'_>) -> Option<Episode> {
    let since = minute(reader)?.unwrap_or_default();
    let (attempts, unknown, let_in) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let expected = number(reader)?;
    let (users, networks) = (sketch(reader)?, sketch(reader)?);
    Some(Episode { since, attempts, expected, unknown, let_in, users, networks, cells: cells(reader, |reader| reader.u32())? })
}
