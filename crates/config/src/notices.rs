//! Notices at start: settings that have no effect, or another one than expected, and are not errors.

use std::fmt;

use crate::{
    Config,
    env::EnvSource,
    history::StoreConfig,
    telemetry::{Audit, Metrics},
};

/// The usual proxy variables.
const PROXY_VARIABLES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Application log levels at which Lambda drops lines without a level.
const DROPPING_LEVELS: [&str; 3] = ["WARN", "ERROR", "FATAL"];

/// A setting that the operator should know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A proxy variable is set, but riskgate does not use proxies.
    UnusedProxy(&'static str),
    /// Lambda drops audit lines and metrics. They have no log level and count as INFO, and only this level and above pass.
    DroppedLines(&'static str),
    /// Codes of challenges are to be sent, but the store is not shared. In Lambda each process would have its own limits, so no code is sent.
    CodesWithoutStore,
}

impl Notice {
    /// All notices. [`Notice::CodesWithoutStore`] does not concern a sidecar, which is a single process.
    pub fn all(source: &dyn EnvSource, config: &Config) -> Vec<Self> {
        let value = |name: &str| source.value(name).unwrap_or_default();
        let proxy = PROXY_VARIABLES.into_iter().find(|name| !value(name).trim().is_empty()).map(Notice::UnusedProxy);
        let is_json = value("AWS_LAMBDA_LOG_FORMAT").eq_ignore_ascii_case("json");
        let writes_lines = matches!(config.telemetry.audit, Audit::Stdout) || config.telemetry.metrics == Metrics::On;
        let level = value("AWS_LAMBDA_LOG_LEVEL");
        let dropping = DROPPING_LEVELS.into_iter().find(|dropping| level.eq_ignore_ascii_case(dropping));
        let dropped = dropping.filter(|_| is_json && writes_lines).map(Notice::DroppedLines);
        let sends_codes = config.challenge.delivery.is_some() && matches!(config.history.store, StoreConfig::Memory);
        proxy.into_iter().chain(dropped).chain(sends_codes.then_some(Notice::CodesWithoutStore)).collect()
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::UnusedProxy(name) => write!(f, "{name} is set, but proxies are not used: services, stores and AWS are called directly"),
            Notice::DroppedLines(level) => {
                write!(f, "audit lines and metrics are dropped: the function's log format is JSON and its application log level {level}; set the level to INFO")
            }
            Notice::CodesWithoutStore => f.write_str(
                "in Lambda no code of a challenge is sent, and challenged sign-ins fail: RISKGATE_CHALLENGE_FROM or RISKGATE_CHALLENGE_WEBHOOK is set, \
                 but with RISKGATE_STORE=memory processes share neither codes nor limits; set RISKGATE_STORE to dynamodb:// or redis://",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn notices(variables: &[(&str, &str)]) -> Vec<Notice> {
        let source: BTreeMap<String, String> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Notice::all(&source, &Config::read(&source).0)
    }

    #[test]
    fn a_log_level_that_drops_lines_gives_a_notice() {
        let lambda = |format, level| notices(&[("AWS_LAMBDA_LOG_FORMAT", format), ("AWS_LAMBDA_LOG_LEVEL", level)]);
        for (level, is_dropping) in [("TRACE", false), ("DEBUG", false), ("INFO", false), ("", false), ("WARN", true), ("error", true), ("FATAL", true)] {
            assert_eq!(lambda("JSON", level).len(), usize::from(is_dropping), "{level}");
            assert_eq!(lambda("Text", level), []);
        }
        let quiet = [("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", "WARN"), ("RISKGATE_AUDIT", "off")];
        assert_eq!(notices(&quiet), [Notice::DroppedLines("WARN")], "metrics are lines too");
        assert_eq!(notices(&[&quiet[..], &[("RISKGATE_METRICS", "off")]].concat()), []);
    }

    #[test]
    fn codes_without_a_shared_store_give_a_notice() {
        let codes = [
            ("RISKGATE_PSEUDONYM_KEY", "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            ("RISKGATE_CHALLENGE_WEBHOOK", "https://codes.example/"),
            ("RISKGATE_CHALLENGE_WEBHOOK_SECRET", "0123456789abcdef0123456789abcdef"),
        ];
        assert_eq!(notices(&codes), [Notice::CodesWithoutStore]);
        assert_eq!(notices(&[("RISKGATE_CHALLENGE_AT", "60")]), []);
        if cfg!(feature = "redis") {
            assert_eq!(notices(&[&codes[..], &[("RISKGATE_STORE", "redis://127.0.0.1/0")]].concat()), []);
        }
    }

    #[test]
    fn an_unused_proxy_gives_a_notice() {
        assert_eq!(notices(&[("https_proxy", "http://proxy:3128")]), [Notice::UnusedProxy("https_proxy")]);
        assert_eq!(notices(&[("HTTPS_PROXY", " "), ("NO_PROXY", "*")]), []);
    }
}
