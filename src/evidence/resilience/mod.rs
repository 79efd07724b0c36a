//! What stands between the path and a service: deadline, cache, breaker, rescue.

pub mod deadline;
