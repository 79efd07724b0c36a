//! The table of all variables. `riskgate config`, `docs/CONFIGURATION.md` and the deployed template list it.

/// The prefix of every variable name.
pub const PREFIX: &str = "RISKGATE_";

/// One variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// The group under which it is listed.
    pub group: &'static str,
    /// The name without the prefix.
    pub name: &'static str,
    /// The default as a user would write it. Empty when there is no default.
    pub default: &'static str,
    /// What the variable does, in one line.
    pub meaning: &'static str,
    /// Whether `NAME__<client id>` sets it for one app client.
    pub scope: Scope,
    /// Whether its value may be shown.
    pub disclosure: Disclosure,
}

/// What the value of a variable applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The process.
    Process,
    /// The process, or one app client.
    PerClient,
}

/// Whether a variable's value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disclosure {
    /// The value is shown.
    Open,
    /// The value is a secret. Only whether it is set is shown.
    Secret,
}

const fn open(group: &'static str, name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { group, name, default, meaning, scope: Scope::Process, disclosure: Disclosure::Open }
}

const fn client(group: &'static str, name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { group, name, default, meaning, scope: Scope::PerClient, disclosure: Disclosure::Open }
}

const fn secret(group: &'static str, name: &'static str, meaning: &'static str) -> Variable {
    Variable { group, name, default: "", meaning, scope: Scope::Process, disclosure: Disclosure::Secret }
}

/// Every variable, in the order in which they are listed.
pub const VARIABLES: &[Variable] = &[
    client("decision", "MODE", "enforce", "enforce, or monitor: decide and record, without denying or challenging"),
    client("decision", "DENY_AT", "80", "deny from this score, 0 to 100 (80: about 6 legitimate sign-ins in 10,000)"),
    client("decision", "REVIEW_AT", "50", "flag from this score, 0 to 100 (50: one legitimate sign-in in 100)"),
    client("decision", "CHALLENGE_AT", "", "challenge from this score, REVIEW_AT to DENY_AT; unset or off: no challenges"),
    open(
        "decision",
        "CHALLENGE_ACR_VALUES",
        "urn:cognito:loa:4,urn:cognito:loa:3",
        "authentication levels that answer a challenge, highest first, by the user pool's own names; a user with no factor of these levels stays restricted",
    ),
    client(
        "decision",
        "FALLBACK",
        "local",
        "when no risk service answers, or the block list is over a day old: local (own score, stricter), allow (lists and own score still deny and challenge) or deny",
    ),
    open("decision", "DEGRADED_DENY_AT", "", "under fallback local, deny from this score; midway between DENY_AT and the threshold below it when unset"),
    client("decision", "NO_IP", "score", "a sign-in without a public address: score it on what is known, allow it or deny it"),
    open(
        "decision",
        "DENY_MESSAGE",
        "Sign-in was declined for security reasons. Contact support and quote",
        "the sentence that a denied user sees; the id follows it, so it has no final full stop",
    ),
    open("decision", "ALLOW_CIDRS", "", "networks whose trusted addresses are always allowed"),
    open("decision", "DENY_CIDRS", "", "networks that are always denied, trusted address or not"),
    open("decision", "DENY_CLIENTS", "", "app client ids that are always denied, tokens for machines included"),
    client("decision", "DENY_COUNTRIES", "", "countries that are denied, ISO 3166-1 alpha-2, trusted address or not; none for no country"),
    client("decision", "DENY_ASNS", "", "AS numbers that are denied, trusted address or not; none for no network"),
    client("decision", "ALLOW_ASNS", "", "AS numbers whose trusted addresses are always allowed, unless a DENY list other than DENY_COUNTRIES contains them"),
    open("decision", "POOLS", "", "user pool ids that are served, all when empty; events of other pools are returned unchanged"),
    open("decision", "TENANT_ATTRIBUTE", "", "user attribute that names the tenant, such as custom:tenant"),
    open("budget", "BUDGET", "2500ms", "longest time to an answer, under 3 s"),
    open("budget", "PROVIDER_TIMEOUT", "1200ms", "longest wait for one risk service"),
    open("budget", "CONNECT_TIMEOUT", "400ms", "longest wait for DNS, TCP and TLS together"),
    open("budget", "STORE_TIMEOUT", "300ms", "longest wait for the history store"),
    open("services", "PROVIDERS", "", "risk services to query: minfraud, ipqs, abuseipdb, crowdsec, crowdsec_cti, http; none when unset"),
    open("services", "MINFRAUD_URL", "https://minfraud.maxmind.com", "minFraud's origin"),
    open("services", "MINFRAUD_ACCOUNT_ID", "", "MaxMind account id"),
    secret("services", "MINFRAUD_LICENSE_KEY", "MaxMind licence key"),
    open("services", "MINFRAUD_SERVICE", "score", "score or insights"),
    open("services", "IPQS_URL", "https://www.ipqualityscore.com", "IPQualityScore's origin"),
    secret("services", "IPQS_KEY", "IPQualityScore key"),
    open("services", "ABUSEIPDB_URL", "https://api.abuseipdb.com", "AbuseIPDB's origin"),
    secret("services", "ABUSEIPDB_KEY", "AbuseIPDB key"),
    open("services", "CROWDSEC_URL", "http://127.0.0.1:8080", "the CrowdSec Local API's origin"),
    secret("services", "CROWDSEC_KEY", "CrowdSec bouncer key"),
    open("services", "CROWDSEC_CTI_URL", "https://cti.api.crowdsec.net", "CrowdSec CTI's origin"),
    secret("services", "CROWDSEC_CTI_KEY", "CrowdSec CTI key"),
    open("services", "HTTP_URL", "", "complete URL of your own service; placeholders {ip} {userAgent} {deviceId} {hour} are percent-encoded"),
    open("services", "HTTP_METHOD", "POST", "POST or GET"),
    secret("services", "HTTP_HEADERS", "headers for it, one `Name: value` per line"),
    open("services", "HTTP_BODY", r#"{"ip":{ip},"userAgent":{userAgent},"deviceId":{deviceId},"hour":{hour}}"#, "body template; placeholders are JSON-encoded"),
    open("services", "HTTP_SCORE_POINTER", "/score", "JSON pointer to the score in its answer"),
    open("services", "HTTP_SCORE_SCALE", "100", "the score that means certain fraud; a score above it or below 0 is bad_answer"),
    open("services", "HTTP_REASONS_POINTER", "", "JSON pointer to an array of reason strings, shown in the audit line"),
    open("services", "ALLOW_PLAIN_HTTP", "", "origins that may be queried over plain http; loopback always may"),
    open("services", "SERVICES_CA", "", "PEM certificates of authorities that are trusted in addition to Mozilla's, for services with a private one"),
    open("cache", "CACHE_CAPACITY", "20000", "answers cached in memory for each service"),
    open("cache", "CACHE_TTL", "1h", "how long an answer is fresh"),
    open("cache", "CACHE_STALE_FOR", "24h", "how much longer it is served when the service fails"),
    open("cache", "CACHE_NEGATIVE_TTL", "10m", "how long `nothing known` is cached"),
    open("history", "STORE", "memory", "memory, redis://HOST:PORT/DB, rediss://.., redis+unix:///PATH?db=DB or dynamodb://TABLE"),
    open("history", "HISTORY_TTL", "180d", "how long a value stays in a user's history"),
    open("history", "ACTIVITY_TTL", "30d", "how long decisions stay in a shared store for riskgate dashboard --store; off: none are stored"),
    open("history", "PENDING_TTL", "15m", "how long an attempt waits for its post-authentication"),
    open("history", "LEARN", "post_auth", "post_auth, or allow: learn from every allowed sign-in, for pools without the second trigger"),
    secret("history", "PSEUDONYM_KEY", "kid:base64url key for pseudonyms, newest first; required unless the store is memory"),
    open("history", "MODEL", "", "directory written by `riskgate replay --learn`; the bundled tables when unset"),
    open(
        "history",
        "CALIBRATION",
        "propose",
        "scale of the scores: propose (only shows what the pool's own successes would give), auto (follows them by a bounded step a day; experimental) or shipped",
    ),
    open("history", "MIXTURE", "balanced", "attackers to expect: balanced or targeted"),
    open("history", "PRIOR", "0.005", "share of sign-ins that are attacks, 0.000001 to 0.5"),
    open("token", "CLAIM_PREFIX", "riskgate:", "what the claims' names start with"),
    open("token", "WITHHOLD_GROUPS", "", "groups withheld from tokens while a sign-in is under review, was challenged without a pass or was allowed degraded"),
    open("token", "WITHHOLD_SCOPES", "", "scopes withheld in the same cases"),
    open("token", "REVIEW_HOLD", "24h", "how long they are withheld"),
    open("token", "CHALLENGE_HOLD", "30d", "how long they are withheld after a challenged sign-in without a pass; at least the lifetime of a refresh token"),
    open(
        "challenge",
        "CHALLENGE_FROM",
        "",
        "sender of codes, by e-mail through SES, such as Example <security@example.com>; a user without a verified address gets none and is denied",
    ),
    open("challenge", "CHALLENGE_SES_REGION", "", "region of the SES identity; that of the process when unset"),
    open("challenge", "CHALLENGE_WEBHOOK", "", "URL of your own service that delivers codes in place of SES"),
    secret("challenge", "CHALLENGE_WEBHOOK_SECRET", "key of the HMAC signature of its requests, at least 32 characters"),
    open("challenge", "CHALLENGE_TEMPLATES", "", "directory with texts of your own, LOCALE.txt and LOCALE.html; they replace the built-in ones"),
    open("challenge", "CHALLENGE_CODE_TTL", "3m", "how long a code is valid, 1m to 15m; set AuthSessionValidity of the app client to no less"),
    open("challenge", "CHALLENGE_CODES", "5", "codes an hour for a user from networks that are new to that user, and again as many from known networks"),
    open("challenge", "CHALLENGE_NETWORK_CODES", "20", "codes an hour for a network, over all users to whom it is new"),
    open("challenge", "CHALLENGE_FALLBACK", "deny", "when a code cannot be delivered: deny, or allow: the password suffices, the tokens stay restricted"),
    open("sessions", "SESSION_QUEUE", "", "URL of the SQS queue with sign-ins whose session is looked up (experimental); no look-up when unset"),
    open(
        "sessions",
        "SESSION_SOURCE",
        "sessions",
        "where the address is looked up: sessions (Essentials or Plus, with session tracking) or auth_events (Plus)",
    ),
    open("sessions", "SESSION_ON_DENY", "report", "a session whose verified score is at least DENY_AT: report, or revoke it as well"),
    open("sessions", "SESSION_RECHECK", "24h", "how often a session is looked up again when its tokens are refreshed"),
    open("sessions", "SESSION_CALLS", "5", "look-ups in a second for a pool, over all processes; low-risk sign-ins beyond four fifths of it are skipped"),
    open("sessions", "SESSION_DELAY", "10s", "time from a sign-in to its first look-up, at most 15m"),
    open("step-up", "STEP_UP_POOLS", "", "user pools whose tokens POST /v1/step-up and the authorizer accept: pool ids or issuer URLs; off when unset"),
    open("step-up", "STEP_UP_CLIENTS", "", "app client ids whose tokens they accept; needed with STEP_UP_POOLS"),
    open("step-up", "AUTHORIZER_RESPONSE", "simple", "response for HTTP APIs with payload 2.0: simple, or iam; it must match EnableSimpleResponses"),
    secret("trust", "CONTEXT_KEYS", "kid:alg:base64url keys of signed contexts, several; alg HS256, ES256 or EdDSA"),
    open("trust", "CONTEXT_MAX_AGE", "5m", "oldest signed context that is accepted"),
    open("trust", "TRUSTED_CLIENTS", "", "app client ids whose context is trusted without a signature (confidential clients only)"),
    client("trust", "UNTRUSTED_CONTEXT", "score", "unsigned claims: score them upwards only, or ignore them"),
    open("networks", "CITY_DB", "", "your own City mmdb"),
    open("networks", "ASN_DB", "", "your own ASN mmdb"),
    open("networks", "ANONYMOUS_DB", "", "your own Anonymous-IP mmdb"),
    open("sidecar", "LISTEN", "127.0.0.1:8710", "address of the sidecar"),
    open("sidecar", "ADMIN_LISTEN", "127.0.0.1:9710", "address of the dashboard and /metrics when LISTEN is not loopback"),
    secret("sidecar", "TOKEN", "bearer token that callers must send; required on a public address"),
    open("sidecar", "TRUSTED_PROXIES", "0", "proxies in front of the sidecar, counted from the right of X-Forwarded-For, or of Forwarded if only that is sent"),
    open("sidecar", "MAX_IN_FLIGHT", "512", "concurrent requests; more are refused with 503"),
    secret("dashboard", "DASHBOARD_VIEW_TOKEN", "token that shows users and decisions in the dashboard; without it and the others, aggregates only"),
    secret("dashboard", "DASHBOARD_OPERATORS", "operators who may act in the dashboard: name=token, several; tokens of at least 16 characters"),
    open("dashboard", "DASHBOARD_PROXY_CIDRS", "", "networks of a proxy that signs operators in and names them in X-Forwarded-User"),
    secret("dashboard", "DASHBOARD_PROXY_SECRET", "secret that the proxy sends in X-Riskgate-Proxy-Secret; required with DASHBOARD_PROXY_CIDRS"),
    open("telemetry", "METRICS", "", "off turns metrics off; else Prometheus in the sidecar, EMF in Lambda"),
    open("telemetry", "LOG", "info", "off, error, warn, info, debug or trace, for riskgate's own lines"),
    open("telemetry", "LOG_FORMAT", "json", "json or text"),
    open("telemetry", "AUDIT", "stdout", "stdout, off, or a file that audit lines are appended to"),
    open("Lambda", "ON_BAD_CONFIG", "monitor", "a faulty variable in Lambda: monitor (its default is used, no sign-in is denied) or refuse"),
];

/// The settings that every service has: suffix, default, meaning.
pub const PER_SERVICE: &[(&str, &str, &str)] = &[
    ("WEIGHT", "1", "multiplies the evidence, 0 to 4"),
    ("TIMEOUT", "", "longest wait for it; PROVIDER_TIMEOUT when unset"),
    ("SEND", "ip", "what is sent to it: ip, ip_device or all"),
    ("DAILY_LIMIT", "", "calls a day; unlimited when unset"),
];

/// The names of the services in variables.
pub const SERVICES: &[&str] = &["MINFRAUD", "IPQS", "ABUSEIPDB", "CROWDSEC", "CROWDSEC_CTI", "HTTP"];

/// Whether a full name is a known variable, its `_FILE` form or its per-client form.
pub fn is_known(full_name: &str) -> bool {
    let Some(name) = full_name.strip_prefix(PREFIX) else { return true };
    let name = name.strip_suffix("_FILE").unwrap_or(name);
    let (name, scope) = match name.split_once("__") {
        Some((name, _)) => (name, Scope::PerClient),
        None => (name, Scope::Process),
    };
    match scope {
        Scope::PerClient => VARIABLES.iter().any(|v| v.name == name && v.scope == Scope::PerClient),
        Scope::Process => VARIABLES.iter().any(|v| v.name == name) || is_per_service(name),
    }
}

/// The known variable that is most similar to a full name, or `None` when no name is similar.
pub fn nearest(full_name: &str) -> Option<&'static str> {
    let name = full_name.strip_prefix(PREFIX).unwrap_or(full_name);
    most_similar(name, VARIABLES.iter().map(|v| v.name))
}

/// The candidate that is most similar to a misspelt name, or `None` when none is similar.
pub fn most_similar<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let each = candidates.into_iter().map(|candidate| (candidate, strsim::damerau_levenshtein(name, candidate)));
    let (best, distance) = each.min_by_key(|(_, distance)| *distance)?;
    // At most a third of the letters may differ.
    (distance * 3 <= name.len().max(best.len())).then_some(best)
}

fn is_per_service(name: &str) -> bool {
    SERVICES.iter().filter_map(|service| name.strip_prefix(service)?.strip_prefix('_')).any(|suffix| PER_SERVICE.iter().any(|(known, ..)| *known == suffix))
}
