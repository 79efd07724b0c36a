//! The integration tests: one binary, one file a topic.

mod context;

mod minting;

mod networks;

mod decision;
mod lambda;
mod runtime_api;
mod score;
mod tidy;
