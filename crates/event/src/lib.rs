//! Wire formats: parses Cognito trigger events, HTTP request bodies and signed contexts, and writes responses.
//!
//! All input is untrusted. Wire structs are private to this crate, and the parsed values are the engine's types.

pub mod authorizer;

pub mod cognito;

pub mod http;

pub mod json_error;

pub mod json_objects;

pub mod json_splice;

pub mod json_strings;

pub mod queue;

pub mod response;

pub mod signed_context;
