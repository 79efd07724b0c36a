//! Offline evaluation: replay of sign-in logs, learning of the model's tables, and reports.
//!
//! A replay evaluates the sign-ins of a log again, in order of time, and reports what each threshold would have stopped.

pub mod attacks;

pub mod comparison;

pub mod counters;

pub mod enrich;

pub mod history;

pub mod html;

pub mod pass;

pub mod pending;

pub mod promises;

pub mod report;

pub mod roc;

pub mod rows;

pub mod run;

pub mod selection;

pub mod tables;

pub mod text;

pub mod threshold_pair;
