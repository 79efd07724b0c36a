//! Network databases.

pub mod networks;
