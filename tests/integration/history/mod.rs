//! What is stored of people, and what it changes.

pub mod blocks;
pub mod calibration;
pub mod challenges;
pub mod end_to_end;
pub mod flood;
pub mod forgetting;
pub mod interrupted;
pub mod learning;
pub mod outcome_reports;
pub mod outcomes;
pub mod pool_attacks;
pub mod profiles;
pub mod rotation;
#[cfg(feature = "secrets")]
pub mod sessions;
pub mod store_failures;
pub mod velocity;
