//! `GET /metrics`: the metrics in Prometheus' text format, rendered a bounded number of times a second.
//!
//! Rendering costs far more than any other request: a client that asks in a loop would slow sign-ins.

use std::sync::{Mutex, PoisonError};

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use tokio::time::Instant;

use crate::problem::problem;
use riskgate_pipeline::instance::Instance;

/// How many pages may be rendered at once after a pause. Scrapers and tests stay far below it.
const BURST: f64 = 50.0;

/// How many pages a second are rendered when asked for without a pause.
const PER_SECOND: f64 = 4.0;

/// The last page, and how many more may be rendered now.
#[derive(Debug)]
pub(super) struct MetricsPage(Mutex<Rendered>);

#[derive(Debug)]
struct Rendered {
    page: Option<Bytes>,
    permits: f64,
    updated: Instant,
}

impl MetricsPage {
    pub(super) fn new(now: Instant) -> Self {
        MetricsPage(Mutex::new(Rendered { page: None, permits: BURST, updated: now }))
    }

    /// Answers with a new page, or with the last one when too many were asked for.
    pub(super) async fn answer(&self, instance: &Instance) -> Response {
        let page = self.page(Instant::now(), || instance.telemetry.render().map(Bytes::from));
        match page {
            Some(text) => ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))], text).into_response(),
            None => problem(StatusCode::NOT_FOUND, "metrics are off", "RISKGATE_METRICS is off".to_owned()),
        }
    }

    fn page(&self, now: Instant, render: impl FnOnce() -> Option<Bytes>) -> Option<Bytes> {
        // A panic while rendering leaves the last page in place.
        let mut rendered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(rendered.updated).as_secs_f64();
        rendered.permits = (rendered.permits + elapsed * PER_SECOND).min(BURST);
        rendered.updated = now;
        if rendered.permits >= 1.0 || rendered.page.is_none() {
            rendered.permits = (rendered.permits - 1.0).max(0.0);
            rendered.page = render();
        }
        rendered.page.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;

    #[test]
    fn a_client_that_asks_in_a_loop_gets_the_last_page_and_a_scraper_a_new_one() {
        let start = Instant::now();
        let metrics = MetricsPage::new(start);
        let renderings = Cell::new(0_u32);
        let ask = |now| {
            let render = || {
                renderings.set(renderings.get() + 1);
                Some(Bytes::from(renderings.get().to_string()))
            };
            metrics.page(now, render).expect("metrics are on")
        };
        // A thousand requests within ten seconds.
        let last = (0..1_000).fold(None, |_, tick| Some(ask(start + Duration::from_millis(tick * 10))));
        assert!((80..=91).contains(&renderings.get()), "{} renderings: 50 at once and 4 a second", renderings.get());
        assert_eq!(last, Some(Bytes::from(renderings.get().to_string())), "the last page is served again");
        // Scrapes a second apart are all new.
        let before = renderings.get();
        for second in 11..30 {
            ask(start + Duration::from_secs(second));
        }
        assert_eq!(renderings.get(), before + 19);
    }

    #[test]
    fn no_page_is_served_when_metrics_are_off() {
        let metrics = MetricsPage::new(Instant::now());
        assert_eq!(metrics.page(Instant::now(), || None), None);
    }
}
