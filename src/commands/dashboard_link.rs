//! The link to a dashboard of this process, with a token that lasts as long as the process.

use std::net::SocketAddr;

use secrecy::SecretString;

use riskgate_config::dashboard::{DashboardConfig, Operator};

/// Adds a view token, unless a token is configured. Returns the link.
pub fn add_viewer(config: &mut DashboardConfig, address: SocketAddr) -> String {
    if config.view_token.is_some() || !config.operators.is_empty() {
        return format!("http://{address}/");
    }
    let token = new_token();
    config.view_token = Some(SecretString::from(token.clone()));
    link(address, &token)
}

/// Adds an operator of this name, unless a token is configured. Returns the link.
pub fn add_operator(config: &mut DashboardConfig, name: &str, address: SocketAddr) -> String {
    if config.view_token.is_some() || !config.operators.is_empty() {
        return format!("http://{address}/");
    }
    let token = new_token();
    config.operators.push(Operator { name: name.to_owned(), token: SecretString::from(token.clone()) });
    link(address, &token)
}

/// A link with a token. A browser does not send the part after `#`; the page reads and removes it.
fn link(address: SocketAddr, token: &str) -> String {
    format!("http://{address}/#token={token}")
}

fn new_token() -> String {
    format!("{:032x}", rand::random::<u128>())
}
