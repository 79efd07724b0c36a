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

labels!(Source, "The label of `riskgate_networks_built_timestamp_seconds{source}`.", {
    Bundled "bundled"
    City "city"
    Asn "asn"
    Anonymous "anonymous"
});
