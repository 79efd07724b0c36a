//! Settings of the surrounding platform that riskgate does not use, or that take effect on what it writes.

use std::fmt;

use super::{
    Config,
    env::Strings,
    telemetry::{Audit, Metrics},
};

/// The usual names of proxies.
const PROXIES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Levels at which Lambda drops lines without a level.
const DROPPING: [&str; 3] = ["WARN", "ERROR", "FATAL"];

/// A setting that the operator should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A proxy is named, and not used.
    UnusedProxy(&'static str),
    /// Lambda drops audit lines and metrics: they have no log level, which counts as INFO, and only this one and above pass.
    DroppedLines(&'static str),
}

impl Notice {
    /// What is to be reported at start.
    pub fn all(source: &dyn Strings, config: &Config) -> Vec<Self> {
        let value = |name: &str| source.value(name).unwrap_or_default();
        let proxy = PROXIES.into_iter().find(|name| !value(name).trim().is_empty()).map(Notice::UnusedProxy);
        let is_json = value("AWS_LAMBDA_LOG_FORMAT").eq_ignore_ascii_case("json");
        let writes_lines = matches!(config.telemetry.audit, Audit::Stdout) || config.telemetry.metrics == Metrics::On;
        let level = value("AWS_LAMBDA_LOG_LEVEL");
        let dropping = DROPPING.into_iter().find(|dropping| level.eq_ignore_ascii_case(dropping));
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
    fn a_log_level_that_drops_lines_is_noticed() {
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
    fn a_proxy_that_is_not_used_is_noticed() {
        assert_eq!(notices(&[("https_proxy", "http://proxy:3128")]), [Notice::UnusedProxy("https_proxy")]);
        assert_eq!(notices(&[("HTTPS_PROXY", " "), ("NO_PROXY", "*")]), []);
    }
}
