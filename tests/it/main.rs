//! The integration tests: one binary, one file a topic.

mod context;

mod networks;

mod tidy;
