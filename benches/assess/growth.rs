//! The same sign-in while what is kept grows.

use serde::Serialize;

use super::{
    steps::{Bench, address, body_from, cidrs},
    timing::{PEOPLE, nanos},
};

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
    let roomy = [("RISKGATE_CACHE_CAPACITY", "10000000".to_owned())];
    let sign_ins = |bench: &Bench| {
        bench.meet("whole http");
        nanos(|count| bench.prepare("whole http", count))
    };
    vec![
        // Each from an address of their own: the cached answers grow with the people.
        grow("people and cached answers", &[10, largest], |size| sign_ins(&Bench::new(size, &roomy))),
        grow("cached answers, a look-up alone", &[10, largest * 10], |size| nanos(Bench::new(1, &roomy).look_ups_among(size))),
        grow("addresses of one person", &[1, 1_000], |size| {
            let bench = Bench::new(1, &[]);
            bench.answer_http((0..size).map(|n| body_from(0, address(n))).collect())();
            sign_ins(&bench)
        }),
        grow("networks on the deny list", &[1, 100_000], |size| {
            let list = cidrs(u32::try_from(size).expect("a size of ours"));
            sign_ins(&Bench::new(PEOPLE, &[("RISKGATE_DENY_CIDRS", list)]))
        }),
    ]
}

fn grow(name: &'static str, sizes: &[u64], measure: impl Fn(u64) -> f64) -> Growth {
    let nanos: Vec<f64> = sizes.iter().map(|size| measure(*size)).collect();
    eprintln!("{name}: {sizes:?} {nanos:.0?} ns");
    Growth { name, sizes: sizes.to_vec(), nanos }
}
