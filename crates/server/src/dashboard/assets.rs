//! The static files of the dashboard, compiled into the program.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};

/// One static file.
#[derive(Debug)]
pub struct Asset {
    /// The URL path that serves it.
    pub path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

/// The page may load only what this program serves. Inline scripts and styles are not allowed.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

macro_rules! asset {
    ($path:literal, $content_type:expr, $file:literal) => {
        Asset { path: $path, content_type: $content_type, text: include_str!(concat!("assets/", $file)) }
    };
}

/// Every static file of the dashboard.
pub const ALL: &[Asset] = &[
    asset!("/", "text/html; charset=utf-8", "index.html"),
    asset!("/assets/page.css", CSS, "page.css"),
    asset!("/assets/page.js", JS, "page.js"),
    asset!("/assets/location.js", JS, "location.js"),
    asset!("/assets/api.js", JS, "api.js"),
    asset!("/assets/elements.js", JS, "elements.js"),
    asset!("/assets/overview.js", JS, "overview.js"),
    asset!("/assets/sentence.js", JS, "sentence.js"),
    asset!("/assets/changes.js", JS, "changes.js"),
    asset!("/assets/timeline.js", JS, "timeline.js"),
    asset!("/assets/decision.js", JS, "decision.js"),
    asset!("/assets/user.js", JS, "user.js"),
    asset!("/assets/findings.js", JS, "findings.js"),
    asset!("/assets/lists.js", JS, "lists.js"),
    asset!("/assets/actions.js", JS, "actions.js"),
    asset!("/assets/performance.js", JS, "performance.js"),
    asset!("/assets/stream.js", JS, "stream.js"),
    asset!("/assets/charts.js", JS, "charts.js"),
    asset!("/assets/panels.js", JS, "panels.js"),
    asset!("/assets/calibration.js", JS, "calibration.js"),
    asset!("/assets/decisions.js", JS, "decisions.js"),
    asset!("/assets/uplot.js", JS, "vendor/uPlot.iife.min.js"),
    asset!("/assets/uplot.css", CSS, "vendor/uPlot.min.css"),
    asset!("/assets/uplot.LICENSE", "text/plain; charset=utf-8", "vendor/LICENSE"),
    asset!("/assets/icon.svg", "image/svg+xml", "icon.svg"),
];

/// The page of one decision. It is one folder deeper, so the paths of its files are too.
static DECISION_PAGE: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| include_str!("assets/index.html").replace("\"assets/", "\"../assets/"));

/// Returns the page of one decision.
pub fn serve_decision_page() -> Response {
    respond("text/html; charset=utf-8", DECISION_PAGE.as_str())
}

/// Returns the response that serves a file.
pub fn serve(asset: &'static Asset) -> Response {
    respond(asset.content_type, asset.text)
}

fn respond(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    (headers, text).into_response()
}
