//! The databases that network facts come from.

/// A network database: the bundled one, or a custom one of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Compiled into the program.
    Bundled,
    /// `CITY_DB`: country and location.
    City,
    /// `ASN_DB`: autonomous systems.
    Asn,
    /// `ANONYMOUS_DB`: kinds of network.
    Anonymous,
}

impl Source {
    /// Every source.
    pub const ALL: [Source; 4] = [Source::Bundled, Source::City, Source::Asn, Source::Anonymous];

    /// The label of `riskgate_networks_built_timestamp_seconds{source}`.
    pub fn as_label(self) -> &'static str {
        match self {
            Source::Bundled => "bundled",
            Source::City => "city",
            Source::Asn => "asn",
            Source::Anonymous => "anonymous",
        }
    }
}
