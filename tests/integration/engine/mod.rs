//! Scores and decisions.

pub mod account_windows;
pub mod comparison;
pub mod decision;
pub mod enumeration;
pub mod familiarity;
pub mod inputs;
pub mod model_tables;
pub mod scale;
pub mod score;
pub mod signals;
