//! A history of sign-ins, judged again: what each threshold would have done.

pub mod census;

pub mod comparison;

pub mod html;

pub mod learn;

pub mod meter;

pub mod pass;

pub mod past;

pub mod report;

pub mod rows;

pub mod run;

pub mod synth;

pub mod text;

pub mod waiting;

pub mod witness;
