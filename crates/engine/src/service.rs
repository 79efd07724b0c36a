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

impl Service {
    /// Every service.
    pub const ALL: [Service; 6] = [Service::Minfraud, Service::Ipqs, Service::Abuseipdb, Service::Crowdsec, Service::CrowdsecCti, Service::Http];

    /// The name in variables, metrics, reasons and responses.
    pub fn as_label(self) -> &'static str {
        match self {
            Service::Minfraud => "minfraud",
            Service::Ipqs => "ipqs",
            Service::Abuseipdb => "abuseipdb",
            Service::Crowdsec => "crowdsec",
            Service::CrowdsecCti => "crowdsec_cti",
            Service::Http => "http",
        }
    }

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
