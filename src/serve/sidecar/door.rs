//! What every request of a listener meets: the shell, its route, and who counts it when it is refused.
//!
//! Sign-ins go to their route past the router: what that boxes and clones for a request, layer by layer, costs as much as deciding.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tower::Service as _;

use super::{problem::problem, routes, seats::Seat, shell::Shell};
use crate::{
    evidence::resilience::rescue::rescue,
    serve::Instance,
    telemetry::{events::RequestRefused, labels::Refusal},
};

/// The door of one listener.
#[derive(Debug)]
pub struct Door {
    shell: Shell,
    routes: Router,
    sign_ins: Option<Arc<Instance>>,
    counting: Option<Arc<Instance>>,
}

impl Door {
    /// A door that leads to some routes.
    pub fn new(shell: Shell, routes: Router) -> Self {
        Door { shell, routes, sign_ins: None, counting: None }
    }

    /// The same door, which has sign-ins decided.
    pub fn deciding(self, instance: &Arc<Instance>) -> Self {
        Door { sign_ins: Some(Arc::clone(instance)), ..self }
    }

    /// The same door, which counts what it refuses.
    pub fn counting(self, instance: &Arc<Instance>) -> Self {
        Door { counting: Some(Arc::clone(instance)), ..self }
    }

    /// Answers a request of the connection that has this seat.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>, seat: Arc<Seat>) -> Result<Response, Infallible> {
        let response = self.shell.guard(request, &seat, |request| self.lead(request)).await;
        if let (Some(instance), Some(refusal)) = (&self.counting, refusal(response.status())) {
            instance.telemetry.emit(RequestRefused(refusal));
        }
        Ok(response)
    }

    async fn lead(&self, request: Request<Bytes>) -> Response {
        match &self.sign_ins {
            Some(instance) if request.uri().path() == routes::ASSESS && request.method() == Method::POST => {
                rescue(instance.gate.health(), routes::assess(instance, request.headers(), request.body())).await.unwrap_or_else(|_| panicked())
            }
            Some(_) | None => {
                let mut routes = self.routes.clone();
                let answered = routes.call(request.map(Body::from));
                let answered = match &self.counting {
                    Some(instance) => rescue(instance.gate.health(), answered).await,
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

/// The answer when a request's code panics.
fn panicked() -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be handled", "a fault of the program: its log names the place".to_owned())
}

/// Whether an answer is a refusal before any verdict, and of which kind.
fn refusal(status: StatusCode) -> Option<Refusal> {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Some(Refusal::BadRequest),
        StatusCode::UNAUTHORIZED => Some(Refusal::Unauthorized),
        StatusCode::MISDIRECTED_REQUEST | StatusCode::FORBIDDEN | StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(Refusal::WrongDoor),
        StatusCode::PAYLOAD_TOO_LARGE => Some(Refusal::TooLarge),
        StatusCode::REQUEST_TIMEOUT => Some(Refusal::TooSlow),
        StatusCode::SERVICE_UNAVAILABLE => Some(Refusal::Overloaded),
        _ => None,
    }
}
