//! Opening the store that `STORE` names. Nothing is connected to yet.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::{Ledger, Pseudonyms, Store, memory::Memory};
use crate::{
    config::{
        Config,
        env::Fault,
        history::{HistoryConfig, StoreConfig},
        variables::PREFIX,
    },
    evidence::{Face, health::Health},
};

/// The ledger over the configured store. None where history could not outlive the sign-in: in a Lambda function, or for a
/// command, memory is no store; and none without a key, because a drawn key would fill a shared store with what nobody can read.
///
/// # Errors
///
/// A store that can never be reached as it is named.
pub fn open(config: &Config, pseudonyms: Arc<Pseudonyms>, face: Face, health: &Arc<Health>) -> Result<Option<Ledger>, Fault> {
    let is_shared = !matches!(config.history.store, StoreConfig::Memory);
    if is_shared && config.history.pseudonym_keys.is_empty() || !is_shared && face != Face::Sidecar {
        return Ok(None);
    }
    let store =
        store(&config.history, &config.services.authorities, config.budget.store).map_err(|problem| Fault { variable: format!("{PREFIX}STORE"), problem })?;
    Ok(Some(Ledger::new(store, pseudonyms, config, Arc::clone(health))))
}

fn store(config: &HistoryConfig, authorities: &[CertificateDer<'static>], timeout: std::time::Duration) -> Result<Arc<dyn Store>, String> {
    match &config.store {
        StoreConfig::Memory => Ok(Arc::new(Memory::default())),
        #[cfg(feature = "redis")]
        StoreConfig::Redis(url) => Ok(Arc::new(super::redis::Redis::open(url, authorities, timeout)?)),
        #[cfg(feature = "dynamodb")]
        StoreConfig::DynamoDb(table) => Ok(Arc::new(super::dynamodb::DynamoDb::open(table, timeout))),
        #[cfg(not(all(feature = "redis", feature = "dynamodb")))]
        _ => Err(format!("this build has no such store ({} authorities, {timeout:?})", authorities.len())),
    }
}
