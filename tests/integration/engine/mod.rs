//! Scores and decisions.

pub mod comparison;
pub mod decision;
pub mod enumeration;
pub mod familiarity;
pub mod inputs;
pub mod model_tables;
pub mod score;
pub mod signals;
