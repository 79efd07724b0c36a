//! The reasons for a score: a closed list of codes.

use smol_str::SmolStr;

use crate::service::Service;

/// A reason with its weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// The code.
    pub code: ReasonCode,
    /// What it adds to the log-odds (natural logarithm). Negative weights count in the user's favour. Zero for annotations.
    pub weight: f64,
    /// A short explanation with numbers. It never contains a personal value.
    pub detail: Option<SmolStr>,
}

macro_rules! reason_codes {
    ($($variant:ident $label:literal $meaning:literal;)*) => {
        /// The codes of reasons. The list is closed, which bounds the number of metric labels.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ReasonCode {
            $(#[doc = $meaning] $variant,)*
            /// Evidence from a risk service.
            Service(Service),
        }

        impl ReasonCode {
            /// Every code except those of services.
            pub const BUILT_IN: &'static [ReasonCode] = &[$(ReasonCode::$variant,)*];

            /// The label in metrics and responses.
            pub fn as_label(self) -> &'static str {
                match self {
                    $(ReasonCode::$variant => $label,)*
                    ReasonCode::Service(Service::Minfraud) => "service_minfraud",
                    ReasonCode::Service(Service::Ipqs) => "service_ipqs",
                    ReasonCode::Service(Service::Abuseipdb) => "service_abuseipdb",
                    ReasonCode::Service(Service::Crowdsec) => "service_crowdsec",
                    ReasonCode::Service(Service::CrowdsecCti) => "service_crowdsec_cti",
                    ReasonCode::Service(Service::Http) => "service_http",
                }
            }

            /// The meaning in one sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(ReasonCode::$variant => $meaning,)*
                    ReasonCode::Service(_) => "What a risk service reports about the address.",
                }
            }
        }
    };
}

reason_codes! {
    KnownCountry "known_country" "The user has signed in from this country.";
    NewCountry "new_country" "The user has never signed in from this country.";
    KnownAsn "known_asn" "The user has signed in through this provider.";
    NewAsn "new_asn" "The user has never signed in through this provider.";
    KnownNetwork "known_network" "The user has signed in from this /24 or /48.";
    NewNetwork "new_network" "The user has never signed in from this /24 or /48.";
    KnownIp "known_ip" "The user has signed in from this address.";
    NewIp "new_ip" "The user has never signed in from this address.";
    NewIpSoon "new_ip_soon" "A new address within an hour of the last success, when addresses rarely change.";
    RareNetwork "rare_network" "Few legitimate sign-ins come from this country and provider, attacks do.";
    KnownDevice "known_device" "The app's device id, or the complete user agent, is one of the user's.";
    NewDevice "new_device" "The app's device id is new to the user.";
    NewDeviceType "new_device_type" "The user has never signed in on this kind of device.";
    NewOs "new_os" "The user has never signed in with this operating system.";
    NewBrowser "new_browser" "The user has never signed in with this browser.";
    NewUserAgent "new_user_agent" "The user has never signed in with this user agent, nor with a lower version of the same browser.";
    MissingUserAgent "missing_user_agent" "There is a context, but no user agent in it.";
    Automation "automation" "The user agent is a program's, or one that no browser sends.";
    UsualHour "usual_hour" "The user signs in at this hour.";
    UnusualHour "unusual_hour" "The user, or users in general, rarely sign in at this hour.";
    TimezoneMismatch "timezone_mismatch" "The device's time zone is not one of the address's country or its neighbours.";
    ImpossibleTravel "impossible_travel" "The location is too far from that of the last success for the time between them.";
    IpVelocity "ip_velocity" "Many accounts are tried from the address or its network.";
    AccountFailures "account_failures" "Many recent attempts of the account failed.";
    DormantAccount "dormant_account" "The account has not signed in for long.";
    Anonymizer "anonymizer" "The address belongs to an anonymiser.";
    Tor "tor" "The address is a Tor exit.";
    Vpn "vpn" "The address is a VPN's.";
    PublicProxy "public_proxy" "The address is an open proxy.";
    ResidentialProxy "residential_proxy" "The address is sold as a residential proxy.";
    Hosting "hosting" "The address belongs to a hosting provider: servers use it, users rarely.";
    AllowList "allow_list" "A trusted address in ALLOW_CIDRS or ALLOW_ASNS.";
    DenyList "deny_list" "An address in DENY_CIDRS, DENY_ASNS or DENY_COUNTRIES, a client in DENY_CLIENTS, or a ban by a service.";
    Blocked "blocked" "Suspended by an operator.";
    Exempt "exempt" "Exempted by an operator.";
    NoContext "no_context" "The sign-in has no context.";
    NoIp "no_ip" "There is no public address.";
    UnsignedContext "unsigned_context" "The client's unsigned claims. They may raise the score, never lower it.";
    BadContext "bad_context" "A signed context that was rejected.";
    ReplayedContext "replayed_context" "A signed context that was used before in another attempt.";
    ColdStart "cold_start" "The user has no history.";
    Degraded "degraded" "Evidence was missing.";
    Other "other" "The sum of reasons too small to list.";
    ContextContradicted "context_contradicted" "The user pool saw the session in another country or network than the client claimed.";
    SessionMoved "session_moved" "The session is too far from where it was first seen for the time between.";
    AttackWave "attack_wave" "It has values that are new to the user and over-represented in an attack on the pool.";
}
