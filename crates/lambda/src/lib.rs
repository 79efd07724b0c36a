//! The Lambda function for three Cognito triggers, which `triggerSource` distinguishes.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use tokio::{sync::Semaphore, time::Instant};
use tower::util::MapFutureLayer;

use riskgate_event::response::cognito::{Denial, ERROR_TYPE};
use riskgate_pipeline::{
    instance::Instance,
    triggers::{Assessed, Payload, record, respond},
};
use riskgate_runtime::{clock, deadline::Deadline};
use riskgate_telemetry::subscriber;

pub mod start;

/// The allocator of the static binaries, in place of musl's slow one.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long log lines may take to be written before the next event is requested from Lambda.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_millis(50);

/// Opens connections, then serves the Lambda runtime API until `stop`. An invocation in progress is answered first.
///
/// # Errors
///
/// An error of the runtime API.
pub async fn run(instance: Arc<Instance>, stop: impl Future<Output = ()>) -> Result<(), lambda_runtime::Error> {
    // No sign-in is waiting yet, and Lambda gives the init phase a full core.
    instance.engine.enricher().warm(clock::read()).await;
    instance.report_ready();
    let unrecorded = UnrecordedAssessment::default();
    let (layer, idle) = record_after_response(Arc::clone(&instance), Arc::clone(&unrecorded));
    let runtime = Runtime::new(service_fn(move |event: LambdaEvent<Payload>| {
        let (instance, unrecorded) = (Arc::clone(&instance), Arc::clone(&unrecorded));
        async move {
            let (response, assessed) = respond(&instance, event.payload, event.context.deadline).await;
            *unrecorded.lock().unwrap_or_else(PoisonError::into_inner) = assessed;
            response.map_err(diagnostic)
        }
    }));
    // In a separate task: each wake-up of the future that `block_on` polls would cost a system call.
    let mut served = tokio::spawn(runtime.layer(MapFutureLayer::new(layer)).run());
    tokio::select! {
        ended = &mut served => return ended?,
        () = stop => {}
    }
    tokio::select! {
        ended = &mut served => ended?,
        _ = idle.acquire() => {
            served.abort();
            Ok(())
        }
    }
}

/// An invocation in progress, including its response.
type Invocation<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The assessment of the invocation in progress, which is not recorded yet. `lambda_runtime` accepts nothing from a handler but its
/// response, which it sends before a layer continues, so the handler leaves the assessment here for `record_after_response`.
type UnrecordedAssessment = Arc<Mutex<Option<Assessed>>>;

/// Returns a layer that records the assessment after each response, and a semaphore with one permit that is free between two invocations.
///
/// The audit line and the counts of the pool are written after the response, when the caller no longer waits. Lambda does not freeze the
/// process before it requests its next event.
fn record_after_response<F>(instance: Arc<Instance>, unrecorded: UnrecordedAssessment) -> (impl Fn(F) -> Invocation<F::Output> + Clone, Arc<Semaphore>)
where
    F: Future<Output: Send> + Send + 'static,
{
    let idle = Arc::new(Semaphore::new(1));
    let busy = Arc::clone(&idle);
    let layer = move |invocation: F| -> Invocation<F::Output> {
        let (busy, instance, unrecorded) = (Arc::clone(&busy), Arc::clone(&instance), Arc::clone(&unrecorded));
        Box::pin(async move {
            let _permit = busy.acquire().await;
            let response = invocation.await;
            let assessed = unrecorded.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(assessed) = assessed {
                record(&instance, assessed).await;
            }
            instance.update_pools(clock::read()).await;
            subscriber::flush(Deadline::after(Instant::now(), LOG_FLUSH_TIMEOUT)).await;
            response
        })
    };
    (layer, idle)
}

fn diagnostic(denial: Denial) -> Diagnostic {
    Diagnostic { error_type: ERROR_TYPE.to_owned(), error_message: denial.message }
}
