//! The same sign-in while what is kept grows.

use std::{cell::Cell, net::Ipv4Addr, ops::Range};

use serde::Serialize;

use super::{
    steps::{Bench, cidrs, event},
    timing::nanos,
};

/// People who are let in before their texts are dropped.
const BATCH: usize = 10_000;

/// One thing that grows.
#[derive(Debug, Serialize)]
pub struct Growth {
    /// What grows.
    name: &'static str,
    /// How large it was.
    sizes: Vec<u64>,
    /// The median of a whole sign-in at each size.
    nanos: Vec<f64>,
}

/// Measures all of it.
pub fn measure(quick: bool) -> Vec<Growth> {
    let largest = if quick { 10_000 } else { 1_000_000 };
    vec![
        grow("people and cached answers", &[10, largest], |size| {
            let bench = Bench::new(&[("RISKGATE_CACHE_CAPACITY", "2000000".to_owned())]);
            // Everybody has been here once, each from an address of their own.
            for from in (0..size).step_by(BATCH) {
                bench.answer(people(size, from..size.min(from + BATCH as u64)))();
            }
            let met = Cell::new(0);
            nanos(|count| {
                let from = met.replace(met.get() + count as u64);
                bench.answer(people(size, from..from + count as u64))
            })
        }),
        grow("addresses and devices of one person", &[1, 1_000], |size| {
            let bench = Bench::new(&[]);
            bench.answer((0..size).map(|n| event("ada", &address(n).to_string())).collect())();
            nanos(|count| bench.answer(vec![event("ada", &address(0).to_string()); count]))
        }),
        grow("networks on the deny list", &[1, 100_000], |size| {
            let bench = Bench::new(&[("RISKGATE_DENY_CIDRS", cidrs(u32::try_from(size).expect("a size of ours")))]);
            nanos(|count| bench.prepare("whole", count))
        }),
    ]
}

fn grow(name: &'static str, sizes: &[u64], measure: impl Fn(u64) -> f64) -> Growth {
    let nanos: Vec<f64> = sizes.iter().map(|size| measure(*size)).collect();
    eprintln!("{name}: {sizes:?} {nanos:.0?} ns");
    Growth { name, sizes: sizes.to_vec(), nanos }
}

/// Sign-ins of people who are strewn over all of them.
fn people(size: u64, which: Range<u64>) -> Vec<String> {
    which.map(|n| n.wrapping_mul(2_654_435_761) % size).map(|person| event(&format!("user-{person}"), &address(person).to_string())).collect()
}

/// Addresses of 80.0.0.0/5, one for each number.
fn address(n: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x5000_0000 | (u32::try_from(n & 0x07ff_ffff).expect("27 bits")))
}
