//! The risk services that riskgate can call.

/// A risk service that riskgate can call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// MaxMind minFraud Score or Insights.
    Minfraud,
    /// IPQualityScore proxy detection.
    Ipqs,
    /// AbuseIPDB v2 check.
    Abuseipdb,
    /// A CrowdSec Local API.
    Crowdsec,
    /// CrowdSec CTI.
    CrowdsecCti,
    /// A custom HTTP service that the operator runs.
    Http,
}

labels!(Service, "The name in variables, metrics, reasons and responses.", {
    Minfraud "minfraud"
    Ipqs "ipqs"
    Abuseipdb "abuseipdb"
    Crowdsec "crowdsec"
    CrowdsecCti "crowdsec_cti"
    Http "http"
});

impl Service {
    /// The variable that holds the service's credentials, without the `RISKGATE_` prefix.
    pub fn secret_variable(self) -> &'static str {
        match self {
            Service::Minfraud => "MINFRAUD_LICENSE_KEY",
            Service::Ipqs => "IPQS_KEY",
            Service::Abuseipdb => "ABUSEIPDB_KEY",
            Service::Crowdsec => "CROWDSEC_KEY",
            Service::CrowdsecCti => "CROWDSEC_CTI_KEY",
            Service::Http => "HTTP_HEADERS",
        }
    }
}
