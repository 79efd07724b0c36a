//! The page's files, linked into the program.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};

/// One file.
#[derive(Debug)]
pub struct Asset {
    /// Its path.
    pub path: &'static str,
    kind: &'static str,
    text: &'static str,
}

/// The page may load what this program serves and nothing else; no script or style stands in the page itself.
const POLICY: &str =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

macro_rules! asset {
    ($path:literal, $kind:expr, $file:literal) => {
        Asset { path: $path, kind: $kind, text: include_str!(concat!("assets/", $file)) }
    };
}

/// Every file.
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

/// Answers with a file.
pub fn serve(asset: &'static Asset) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    (headers, asset.text).into_response()
}
