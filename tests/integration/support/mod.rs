//! What the tests share: servers, clients and fixtures.

pub mod fixtures;
pub mod harness;
pub mod issuer;
pub mod process;
pub mod runtime_api;
pub mod tls;
pub mod wire;
