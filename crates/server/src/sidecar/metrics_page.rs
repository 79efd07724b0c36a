//! `GET /metrics`: the metrics in Prometheus' text format, rendered a bounded number of times a second.
//!
//! Rendering costs far more than any other request: a client that asks in a loop would slow sign-ins. So one page is rendered at a
//! time, outside the threads that answer sign-ins.

use std::sync::Arc;

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use tokio::{sync::Mutex, time::Instant};

use crate::problem::problem;
use riskgate_pipeline::instance::Instance;

/// How many pages may be rendered at once after a pause. Several scrapers that start together stay below it.
const BURST: f64 = 10.0;

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
    pub(super) async fn answer(&self, instance: Arc<Instance>) -> Response {
        let page = self.page(Instant::now(), move || instance.telemetry.render().map(Bytes::from));
        match page.await {
            Some(text) => ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))], text).into_response(),
            None => problem(StatusCode::NOT_FOUND, "metrics are off", "RISKGATE_METRICS is off".to_owned()),
        }
    }

    async fn page(&self, now: Instant, render: impl FnOnce() -> Option<Bytes> + Send + 'static) -> Option<Bytes> {
        let mut rendered = self.0.lock().await;
        let elapsed = now.saturating_duration_since(rendered.updated).as_secs_f64();
        rendered.permits = (rendered.permits + elapsed * PER_SECOND).min(BURST);
        rendered.updated = now;
        if rendered.permits >= 1.0 || rendered.page.is_none() {
            rendered.permits = (rendered.permits - 1.0).max(0.0);
            // A panic while rendering leaves the last page in place.
            if let Ok(page) = tokio::task::spawn_blocking(render).await {
                rendered.page = page;
            }
        }
        rendered.page.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering::Relaxed},
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn a_client_that_asks_in_a_loop_gets_the_last_page_and_a_scraper_a_new_one() {
        let start = Instant::now();
        let metrics = MetricsPage::new(start);
        let renderings = Arc::new(AtomicU32::new(0));
        let ask = async |now| {
            let renderings = Arc::clone(&renderings);
            let render = move || Some(Bytes::from((renderings.fetch_add(1, Relaxed) + 1).to_string()));
            metrics.page(now, render).await.expect("metrics are on")
        };
        // A thousand requests within ten seconds.
        let mut last = Bytes::new();
        for tick in 0..1_000 {
            last = ask(start + Duration::from_millis(tick * 10)).await;
        }
        let rendered = renderings.load(Relaxed);
        assert!((45..=51).contains(&rendered), "{rendered} renderings: 10 at once and 4 a second");
        assert_eq!(last, Bytes::from(rendered.to_string()), "the last page is served again");
        // Scrapes a second apart are all new.
        for second in 11..30 {
            ask(start + Duration::from_secs(second)).await;
        }
        assert_eq!(renderings.load(Relaxed), rendered + 19);
    }

    #[tokio::test]
    async fn a_panic_leaves_the_last_page_in_place() {
        let start = Instant::now();
        let metrics = MetricsPage::new(start);
        let first = metrics.page(start, || Some(Bytes::from_static(b"1"))).await;
        assert_eq!(metrics.page(start, || panic!("no page")).await, first);
    }

    #[tokio::test]
    async fn no_page_is_served_when_metrics_are_off() {
        let metrics = MetricsPage::new(Instant::now());
        assert_eq!(metrics.page(Instant::now(), || None).await, None);
    }
}
