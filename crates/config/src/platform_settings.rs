//! Platform settings that riskgate ignores, or that affect its output. They are reported at start.

use std::fmt;

use crate::{
    Config,
    env::EnvSource,
    telemetry::{Audit, Metrics},
};

/// The usual proxy variables.
const PROXY_VARIABLES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Application log levels at which Lambda drops lines without a level.
const DROPPING_LEVELS: [&str; 3] = ["WARN", "ERROR", "FATAL"];

/// A platform setting that the operator should know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A proxy variable is set, but riskgate does not use proxies.
    UnusedProxy(&'static str),
    /// Lambda drops audit lines and metrics. They have no log level and count as INFO, and only this level and above pass.
    DroppedLines(&'static str),
}

impl Notice {
    /// All notices to report at start.
    pub fn all(source: &dyn EnvSource, config: &Config) -> Vec<Self> {
        let value = |name: &str| source.value(name).unwrap_or_default();
        let proxy = PROXY_VARIABLES.into_iter().find(|name| !value(name).trim().is_empty()).map(Notice::UnusedProxy);
        let is_json = value("AWS_LAMBDA_LOG_FORMAT").eq_ignore_ascii_case("json");
        let writes_lines = matches!(config.telemetry.audit, Audit::Stdout) || config.telemetry.metrics == Metrics::On;
        let level = value("AWS_LAMBDA_LOG_LEVEL");
        let dropping = DROPPING_LEVELS.into_iter().find(|dropping| level.eq_ignore_ascii_case(dropping));
        proxy.into_iter().chain(dropping.filter(|_| is_json && writes_lines).map(Notice::DroppedLines)).collect()
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::UnusedProxy(name) => write!(f, "{name} is set, but proxies are not used: services, stores and AWS are called directly"),
            Notice::DroppedLines(level) => {
                write!(f, "audit lines and metrics are dropped: the function's log format is JSON and its application log level {level}; set the level to INFO")
            }
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
    fn an_unused_proxy_gives_a_notice() {
        assert_eq!(notices(&[("https_proxy", "http://proxy:3128")]), [Notice::UnusedProxy("https_proxy")]);
        assert_eq!(notices(&[("HTTPS_PROXY", " "), ("NO_PROXY", "*")]), []);
    }
}
