//! The service of one listener: request filter, routing, panic handling and counting of refused requests.
//!
//! Sign-ins bypass the router. Its boxed and cloned layers would cost as much as the assessment.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tower::Service as _;

use crate::{
    problem::problem,
    sidecar::{connection_limit::ConnectionSlot, request_filter::RequestFilter, routes},
};
use riskgate_pipeline::instance::Instance;
use riskgate_runtime::catch_panic::catch_panic;
use riskgate_telemetry::{events::RequestRefused, labels::Refusal};

/// The HTTP service of one listener.
#[derive(Debug)]
pub struct SidecarService {
    request_filter: RequestFilter,
    router: Router,
    /// Assesses the sign-ins; `None` where the listener has no such route.
    engine: Option<Arc<Instance>>,
    /// Counts panics and refused requests; `None` where there is no telemetry.
    telemetry: Option<Arc<Instance>>,
}

impl SidecarService {
    /// A service that routes requests, without assessment and without counting.
    pub fn new(request_filter: RequestFilter, router: Router) -> Self {
        SidecarService { request_filter, router, engine: None, telemetry: None }
    }

    /// The same service, which also assesses sign-ins.
    pub fn with_assessment(self, instance: &Arc<Instance>) -> Self {
        SidecarService { engine: Some(Arc::clone(instance)), ..self }
    }

    /// The same service, which also counts refused requests and panics.
    pub fn with_telemetry(self, instance: &Arc<Instance>) -> Self {
        SidecarService { telemetry: Some(Arc::clone(instance)), ..self }
    }

    /// Answers a request of the connection from `peer` in `slot`.
    pub async fn answer(self: Arc<Self>, peer: IpAddr, request: Request<Incoming>, slot: Arc<ConnectionSlot>) -> Result<Response, Infallible> {
        let response = self.request_filter.filter(peer, request, &slot, |request| self.route(request)).await;
        if let (Some(instance), Some(refusal)) = (&self.telemetry, refusal(response.status())) {
            instance.telemetry.emit(RequestRefused(refusal));
        }
        Ok(response)
    }

    async fn route(&self, request: Request<Bytes>) -> Response {
        match &self.engine {
            Some(instance) if request.uri().path() == routes::ASSESS_PATH && request.method() == Method::POST => {
                catch_panic(instance.engine.health(), routes::assess(instance, request.headers(), request.body())).await.unwrap_or_else(|_| panicked())
            }
            Some(_) | None => {
                let mut router = self.router.clone();
                let answered = router.call(request.map(Body::from));
                let answered = match &self.telemetry {
                    Some(instance) => catch_panic(instance.engine.health(), answered).await,
                    None => Ok(answered.await),
                };
                match answered {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => never.into_response(),
                    Err(_) => panicked(),
                }
            }
        }
    }
}

/// The response when the code of a request panics.
fn panicked() -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be handled", "a bug in riskgate: its log names the place".to_owned())
}

/// The kind of refusal that a status means; `None` when the request was not refused.
fn refusal(status: StatusCode) -> Option<Refusal> {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Some(Refusal::BadRequest),
        StatusCode::UNAUTHORIZED => Some(Refusal::Unauthorized),
        StatusCode::MISDIRECTED_REQUEST | StatusCode::FORBIDDEN | StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(Refusal::WrongHostOrMediaType),
        StatusCode::PAYLOAD_TOO_LARGE => Some(Refusal::TooLarge),
        StatusCode::REQUEST_TIMEOUT => Some(Refusal::TooSlow),
        StatusCode::SERVICE_UNAVAILABLE => Some(Refusal::Overloaded),
        _ => None,
    }
}
