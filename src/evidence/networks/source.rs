//! Which database a network's facts come from.

/// A database: the bundled one, or one of the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Linked into the program.
    Bundled,
    /// `CITY_DB`: country and place.
    City,
    /// `ASN_DB`: autonomous systems.
    Asn,
    /// `ANONYMOUS_DB`: kinds.
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
