//! Faults of the operator's account, such as a refused key: shown in `/readyz` and logged until a call succeeds.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;
use tower::{Layer, ServiceExt as _};

use crate::{
    cache::CacheEntry,
    log_limit::LogLimit,
    middleware::{AnswerFuture, AnswerService, ProviderCall, StackContext},
};
use riskgate_http_client::failure::Failure;
use riskgate_runtime::health::AccountFault;

/// Adds the report of account faults.
pub struct AccountStatusLayer {
    context: Arc<StackContext>,
}

/// Reports the faults that only the operator can fix.
#[derive(Clone)]
pub struct AccountStatusService<S> {
    status: Arc<AccountStatus>,
    inner: S,
}

struct AccountStatus {
    context: Arc<StackContext>,
    log_limit: LogLimit,
}

impl AccountStatusLayer {
    /// A layer that reports the faults of one service.
    pub fn new(context: Arc<StackContext>) -> Self {
        AccountStatusLayer { context }
    }
}

impl<S> Layer<S> for AccountStatusLayer {
    type Service = AccountStatusService<S>;

    fn layer(&self, inner: S) -> AccountStatusService<S> {
        AccountStatusService { status: Arc::new(AccountStatus { context: Arc::clone(&self.context), log_limit: LogLimit::default() }), inner }
    }
}

impl<S: AnswerService> tower::Service<ProviderCall> for AccountStatusService<S> {
    type Response = CacheEntry;
    type Error = Failure;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ProviderCall) -> AnswerFuture {
        let (status, inner) = (Arc::clone(&self.status), self.inner.clone());
        Box::pin(async move {
            let result = inner.oneshot(call).await;
            status.report(result.as_ref().err(), Instant::now());
            result
        })
    }
}

impl AccountStatus {
    /// Sets a fault, or clears it after an answer. Other failures do not change it.
    fn report(&self, failure: Option<&Failure>, now: Instant) {
        let fault = failure.and_then(|failure| AccountFault::of(failure.cause));
        if fault.is_some() || failure.is_none() {
            self.context.service_health().set_fault(fault);
        }
        if let Some(fault) = fault.filter(|_| self.log_limit.is_due(now)) {
            tracing::error!(service = self.context.service.as_label(), cause = fault.as_label(), "{}", fault.help());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Mutex, PoisonError},
        time::Duration,
    };

    use tower::service_fn;

    use super::*;
    use crate::middleware::tests as fixtures;
    use riskgate_engine::evidence::FailureReason;
    use riskgate_runtime::mode::RuntimeMode;

    #[tokio::test(start_paused = true)]
    async fn an_account_fault_is_logged_once_a_minute() {
        let log = Arc::<Mutex<Vec<u8>>>::default();
        let written = Arc::clone(&log);
        let subscriber = tracing_subscriber::fmt().with_writer(move || LogWriter(Arc::clone(&written))).finish();
        let _subscriber = tracing::subscriber::set_default(subscriber);
        let service = AccountStatusLayer::new(fixtures::context(RuntimeMode::Lambda))
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
        let service = AccountStatusLayer::new(Arc::clone(&context)).layer(service_fn(move |_: ProviderCall| {
            std::future::ready(next.lock().unwrap_or_else(PoisonError::into_inner).pop().expect("a prepared result"))
        }));
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
}
