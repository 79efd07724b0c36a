//! Outside risk services: one trait, one file each.

use std::{future::Future, net::IpAddr, pin::Pin};

use smol_str::SmolStr;

use super::{Answer, Cause};
use crate::{config::services::Service, event::Personal};

/// One outside risk service.
pub trait Provider: Send + Sync {
    /// Which service it is.
    fn service(&self) -> Service;

    /// Asks about one address. `Ok(None)` means "nothing known", which may be kept for a while; an error may not.
    fn ask<'a>(&'a self, question: &'a Question) -> Pin<Box<dyn Future<Output = Result<Option<Answer>, Cause>> + Send + 'a>>;
}

/// What a service may be told; each adapter takes what its `SEND` allows.
#[derive(Debug, Clone)]
pub struct Question {
    /// The public address.
    pub ip: Personal<IpAddr>,
    /// The user agent.
    pub user_agent: Option<Personal<SmolStr>>,
    /// The device id.
    pub device_id: Option<Personal<SmolStr>>,
    /// The `Accept-Language` header.
    pub accept_language: Option<Personal<SmolStr>>,
    /// The person's name, for formats that define a hash of it.
    pub user: Option<Personal<SmolStr>>,
    /// The hour of the day in UTC.
    pub hour: u8,
}
