//! The targets: one module for each parser.

mod answer;

mod assess;

mod context;

mod environment;

mod event;

mod networks;

mod rows;

/// A parser to fuzz.
pub(crate) struct Target {
    /// Its name in `RISKGATE_FUZZ_TARGET`, and that of its folders of seeds and inputs.
    pub(crate) name: &'static str,
    /// Runs one input.
    pub(crate) run: fn(&[u8]),
    /// The input of the first run.
    pub(crate) warm_up: &'static [u8],
}

/// Every target.
pub(crate) const ALL: &[Target] = &[
    Target { name: "answer", run: answer::run, warm_up: include_bytes!("../../seeds/answer/http") },
    Target { name: "assess", run: assess::run, warm_up: include_bytes!("../../seeds/assess/full.json") },
    Target { name: "context", run: context::run, warm_up: include_bytes!("../../seeds/context/token") },
    Target { name: "environment", run: environment::run, warm_up: include_bytes!("../../seeds/environment/all") },
    Target { name: "event", run: event::run, warm_up: include_bytes!("../../seeds/event/pre.json") },
    Target { name: "networks", run: networks::run, warm_up: include_bytes!("../../seeds/networks/GeoIP2-City-Test.mmdb") },
    Target { name: "rows", run: rows::run, warm_up: include_bytes!("../../seeds/rows/rba.csv") },
];
