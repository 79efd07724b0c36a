//! The cost of a sign-in as a function of the size of the stored state.

use serde::Serialize;

use super::{
    steps::{Bench, address, body_from, cidrs},
    timing::{PEOPLE, nanos},
};

/// The cost at several sizes of one kind of state.
#[derive(Debug, Serialize)]
pub struct Scaling {
    /// The kind of state.
    name: &'static str,
    /// The sizes.
    sizes: Vec<u64>,
    /// The median CPU time of a sign-in at each size, in nanoseconds.
    nanos: Vec<f64>,
}

/// Measures all kinds of state.
pub fn measure(quick: bool) -> Vec<Scaling> {
    let largest = if quick { 10_000 } else { 1_000_000 };
    let large_cache = [("RISKGATE_CACHE_CAPACITY", "10000000".to_owned())];
    let sign_ins = |bench: &Bench| {
        bench.warm_up("whole http");
        nanos(|count| bench.prepare("whole http", count))
    };
    vec![
        // Each person has another address, so the cached answers grow with the people.
        measure_scaling("people and cached answers", &[10, largest], |size| sign_ins(&Bench::new(size, &large_cache))),
        measure_scaling("cached answers, lookup only", &[10, largest * 10], |size| nanos(Bench::new(1, &large_cache).look_up_in_cache_of(size))),
        measure_scaling("addresses of one person", &[1, 1_000], |size| {
            let bench = Bench::new(1, &[]);
            bench.answer_http((0..size).map(|n| body_from(0, address(n))).collect())();
            sign_ins(&bench)
        }),
        measure_scaling("networks on the deny list", &[1, 100_000], |size| {
            let list = cidrs(u32::try_from(size).expect("the size fits"));
            sign_ins(&Bench::new(PEOPLE, &[("RISKGATE_DENY_CIDRS", list)]))
        }),
    ]
}

fn measure_scaling(name: &'static str, sizes: &[u64], measure: impl Fn(u64) -> f64) -> Scaling {
    let nanos: Vec<f64> = sizes.iter().map(|size| measure(*size)).collect();
    eprintln!("{name}: {sizes:?} {nanos:.0?} ns");
    Scaling { name, sizes: sizes.to_vec(), nanos }
}
