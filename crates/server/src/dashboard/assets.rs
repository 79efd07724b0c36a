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
    asset!("/assets/stream.js", JS, "stream.js"),
    asset!("/assets/charts.js", JS, "charts.js"),
    asset!("/assets/panels.js", JS, "panels.js"),
    asset!("/assets/decisions.js", JS, "decisions.js"),
    asset!("/assets/uplot.js", JS, "vendor/uPlot.iife.min.js"),
    asset!("/assets/uplot.css", CSS, "vendor/uPlot.min.css"),
    asset!("/assets/uplot.LICENSE", "text/plain; charset=utf-8", "vendor/LICENSE"),
    asset!("/assets/icon.svg", "image/svg+xml", "icon.svg"),
];

/// Returns the response that serves a file.
pub fn serve(asset: &'static Asset) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    (headers, asset.text).into_response()
}
