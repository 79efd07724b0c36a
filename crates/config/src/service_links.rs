//! Variables that a platform sets under riskgate's prefix: Kubernetes service links and Docker links.
//!
//! Kubernetes sets them in every pod of a namespace with a Service whose name starts with `riskgate`.
//! Name and value together distinguish them from misspelled variables:
//! `RISKGATE_PORT=tcp://10.0.0.1:8710` is a link, `RISKGATE_PORT=8710` is not.

use std::net::IpAddr;

use crate::variables::PREFIX;

/// Whether a platform sets this variable for a Service or a linked container.
pub fn is_service_link(name: &str, value: &str) -> bool {
    // The name of the Service is `riskgate`, or starts with it.
    let Some(rest) = PREFIX.strip_suffix('_').and_then(|service| name.strip_prefix(service)).filter(|rest| rest.starts_with('_')) else { return false };
    let is_plain = rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    is_container_variable(rest, value) || (is_plain && (is_host(rest, value) || is_port(rest, value) || is_link(rest, value)))
}

/// Whether it is `_SERVICE_HOST`.
fn is_host(rest: &str, value: &str) -> bool {
    rest.ends_with("_SERVICE_HOST") && is_address(value)
}

/// Whether it is `_SERVICE_PORT`, or `_SERVICE_PORT_HTTP` for a named port.
fn is_port(rest: &str, value: &str) -> bool {
    let is_named = rest.match_indices("_SERVICE_PORT_").any(|(at, found)| at + found.len() < rest.len());
    (rest.ends_with("_SERVICE_PORT") || is_named) && is_number(value)
}

/// Whether it is `_PORT`, or `_PORT_8710_TCP` with or without a suffix.
fn is_link(rest: &str, value: &str) -> bool {
    if rest.ends_with("_PORT") && is_url(value) {
        return true;
    }
    rest.match_indices("_PORT_").any(|(at, found)| {
        let Some((number, protocol)) = rest[at + found.len()..].split_once('_') else { return false };
        let Some(suffix) = ["TCP", "UDP", "SCTP"].iter().find_map(|known| protocol.strip_prefix(known)) else { return false };
        is_number(number)
            && match suffix {
                "" | "_START" | "_END" => is_url(value),
                "_PROTO" => is_protocol(value),
                "_PORT" | "_PORT_START" | "_PORT_END" => is_number(value),
                "_ADDR" => is_address(value),
                _ => false,
            }
    })
}

/// Whether it is Docker's `_NAME=/app/riskgate`, or `_ENV_` with a variable of the linked container.
fn is_container_variable(rest: &str, value: &str) -> bool {
    let is_path = value.strip_prefix('/').and_then(|path| path.split_once('/')).is_some_and(|(from, alias)| !from.is_empty() && !alias.is_empty());
    (rest.ends_with("_NAME") && is_path) || rest.match_indices("_ENV_").any(|(at, found)| at + found.len() < rest.len())
}

/// Whether it has the form `tcp://10.96.14.7:8710`. An IPv6 address is in brackets.
fn is_url(value: &str) -> bool {
    let Some((protocol, origin)) = value.split_once("://") else { return false };
    let Some((host, port)) = origin.rsplit_once(':') else { return false };
    is_protocol(protocol) && is_number(port) && is_address(host.trim_start_matches('[').trim_end_matches(']'))
}

fn is_protocol(value: &str) -> bool {
    ["tcp", "udp", "sctp"].iter().any(|protocol| value.eq_ignore_ascii_case(protocol))
}

fn is_number(value: &str) -> bool {
    value.parse::<u16>().is_ok() && value.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_address(value: &str) -> bool {
    value.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variables::{PER_SERVICE, SERVICES, VARIABLES};

    #[test]
    fn kubernetes_and_docker_links_are_recognized() {
        for (name, value) in [
            ("RISKGATE_SERVICE_HOST", "10.96.14.7"),
            ("RISKGATE_SERVICE_HOST", "fd00::7"),
            ("RISKGATE_SERVICE_PORT", "8710"),
            ("RISKGATE_SERVICE_PORT_HTTP", "8710"),
            ("RISKGATE_SERVICE_PORT_HTTP_METRICS", "9710"),
            ("RISKGATE_SERVICE_PORT_FILE", "9710"),
            ("RISKGATE_PORT", "tcp://10.96.14.7:8710"),
            ("RISKGATE_PORT", "udp://[fd00::7]:53"),
            ("RISKGATE_PORT_8710_TCP", "tcp://10.96.14.7:8710"),
            ("RISKGATE_PORT_8710_TCP_PROTO", "tcp"),
            ("RISKGATE_PORT_8710_TCP_PORT", "8710"),
            ("RISKGATE_PORT_8710_TCP_ADDR", "10.96.14.7"),
            ("RISKGATE_PORT_53_UDP", "udp://10.96.14.7:53"),
            ("RISKGATE_PORT_38412_SCTP_PROTO", "sctp"),
            ("RISKGATE_XYZ_SERVICE_HOST", "10.96.14.7"),
            ("RISKGATE_XYZ_PORT_8710_TCP_ADDR", "10.96.14.7"),
            ("RISKGATE_LISTEN_PORT", "tcp://10.96.14.7:80"),
            ("RISKGATE_MODE__WEB_SERVICE_PORT_HTTP", "80"),
            ("RISKGATE_1_PORT_8710_TCP_PORT_START", "8710"),
            ("RISKGATE_NAME", "/app/riskgate"),
            ("RISKGATE_ENV_PATH", "/usr/bin"),
            ("RISKGATE_1_ENV_RISKGATE_LISTEN", "0.0.0.0:8710"),
        ] {
            assert!(is_service_link(name, value), "{name}={value}");
        }
    }

    #[test]
    fn misspelled_variables_are_not_links() {
        for (name, value) in [
            ("RISKGATE_PORT", "8710"),
            ("RISKGATE_PORT", "tcp://riskgate:8710"),
            ("RISKGATE_DENYAT", "5"),
            ("RISKGATE_HOST", "10.0.0.1"),
            ("RISKGATE_SERVICE_HOST", "riskgate.example.com"),
            ("RISKGATE_SERVICE_PORT", "http"),
            ("RISKGATE_SERVICE_PORT_", "80"),
            ("RISKGATE_SERVICEPORT", "80"),
            ("RISKGATE_PORT_8710", "tcp://10.0.0.1:8710"),
            ("RISKGATE_PORT_HTTP_TCP", "tcp://10.0.0.1:8710"),
            ("RISKGATE_NAME", "riskgate"),
            ("RISKGATE_NAME", "/riskgate"),
            ("RISKGATE_ENV", "production"),
            ("RISKGATE_ENV_", "production"),
            ("RISKGATEX_SERVICE_HOST", "10.0.0.1"),
        ] {
            assert!(!is_service_link(name, value), "{name}={value}");
        }
    }

    #[test]
    fn riskgate_variables_are_not_links() {
        let general = VARIABLES.iter().map(|variable| variable.name.to_owned());
        let per_service = SERVICES.iter().flat_map(|service| PER_SERVICE.iter().map(move |(suffix, ..)| format!("{service}_{suffix}")));
        for name in general.chain(per_service) {
            for name in [format!("{PREFIX}{name}"), format!("{PREFIX}{name}_FILE"), format!("{PREFIX}{name}__web")] {
                for value in ["8710", "10.0.0.1", "tcp://10.0.0.1:80", "tcp", "/app/riskgate"] {
                    assert!(!is_service_link(&name, value), "{name}={value}");
                }
            }
        }
    }
}
