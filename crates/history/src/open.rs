//! Creates the history repository for the store that `STORE` names. Does not connect.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::repository::HistoryRepository;
use riskgate_config::pseudonym::Pseudonyms;
use riskgate_config::{
    Config,
    env::ConfigError,
    history::{HistoryConfig, StoreConfig},
    variables::PREFIX,
};
use riskgate_runtime::{health::Health, mode::RuntimeMode};
use riskgate_store::{Store, memory::Memory};

/// The history repository for the configured store. `None` if the history would not outlive the sign-in: a Lambda function or a command does
/// not store history in memory. Also `None` for a shared store without a pseudonym key, because a random key would fill it with records that
/// no other process can read.
///
/// # Errors
///
/// The value of `STORE` can never work.
pub fn open(config: &Config, pseudonyms: Arc<Pseudonyms>, runtime_mode: RuntimeMode, health: &Arc<Health>) -> Result<Option<HistoryRepository>, ConfigError> {
    let is_shared = !matches!(config.history.store, StoreConfig::Memory);
    if is_shared && config.history.pseudonym_keys.is_empty() || !is_shared && runtime_mode != RuntimeMode::Sidecar {
        return Ok(None);
    }
    let store = store(&config.history, &config.services.authorities, config.budget.store)
        .map_err(|problem| ConfigError { variable: format!("{PREFIX}STORE"), problem })?;
    Ok(Some(HistoryRepository::new(store, pseudonyms, config, Arc::clone(health))))
}

fn store(config: &HistoryConfig, authorities: &[CertificateDer<'static>], timeout: std::time::Duration) -> Result<Arc<dyn Store>, String> {
    match &config.store {
        StoreConfig::Memory => Ok(Arc::new(Memory::default())),
        #[cfg(feature = "redis")]
        StoreConfig::Redis(url) => Ok(Arc::new(riskgate_store::redis::Redis::open(url, authorities, timeout)?)),
        #[cfg(feature = "dynamodb")]
        StoreConfig::DynamoDb(table) => Ok(Arc::new(riskgate_store::dynamodb::DynamoDb::open(table, timeout))),
        #[cfg(not(all(feature = "redis", feature = "dynamodb")))]
        _ => Err(format!("this build has no such store ({} authorities, {timeout:?})", authorities.len())),
    }
}
