//! Tests of the report of account faults.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tower::{Layer as _, service_fn};

use super::*;
use crate::middleware::{layer, tests as fixtures};
use riskgate_engine::evidence::FailureReason;
use riskgate_runtime::mode::RuntimeMode;

#[tokio::test(start_paused = true)]
async fn an_account_fault_is_logged_once_a_minute() {
    let log = Arc::<Mutex<Vec<u8>>>::default();
    let written = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt().with_writer(move || LogWriter(Arc::clone(&written))).finish();
    let _subscriber = tracing::subscriber::set_default(subscriber);
    let service = layer(AccountStatus::new(fixtures::context(RuntimeMode::Lambda)))
        .layer(service_fn(|_: ProviderCall| std::future::ready(Err::<CacheEntry, Failure>(FailureReason::KeyRefused.into()))));
    for second in 0..180 {
        assert!(service.clone().oneshot(fixtures::call()).await.is_err());
        assert_eq!(String::from_utf8_lossy(&log.lock().unwrap()).lines().count(), 1 + second / 60);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn an_answer_clears_the_fault_and_other_failures_do_not() {
    let (context, results) = (fixtures::context(RuntimeMode::Lambda), Arc::<Mutex<Vec<Result<CacheEntry, Failure>>>>::default());
    let next = Arc::clone(&results);
    let service = layer(AccountStatus::new(Arc::clone(&context)))
        .layer(service_fn(move |_: ProviderCall| std::future::ready(next.lock().unwrap_or_else(PoisonError::into_inner).pop().expect("a prepared result"))));
    for (result, expected) in [
        (Err(FailureReason::NoCredit.into()), Some(AccountFault::NoCredit)),
        (Err(FailureReason::Timeout.into()), Some(AccountFault::NoCredit)),
        (Ok(fixtures::entry(20.0)), None),
    ] {
        results.lock().unwrap().push(result);
        let _ = service.clone().oneshot(fixtures::call()).await;
        assert_eq!(context.service_health().fault(), expected);
    }
}

struct LogWriter(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
