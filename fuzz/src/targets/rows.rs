//! A log of sign-ins: CSV, JSON lines or Cognito's own events, plain or packed. Every record is a row or a named fault.

use std::io::Cursor;

use riskgate_lab::rows::{
    LogLine,
    source::{Batch, Source},
    time::TimeParser,
};

/// Runs one input.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(source) = Source::from_reader(Cursor::new(bytes.to_vec()), "fuzzed".to_owned(), &[]) else { return };
    let Ok((reading, mut records)) = source.into_records() else { return };
    let (mut batch, mut clock) = (Batch::default(), TimeParser::default());
    while let Ok(more) = records.fill_batch(&mut batch) {
        for (_, record) in &batch.records[..batch.len] {
            let _ = reading.read_line(record, &mut clock, |line| {
                let LogLine::SignIn(row) = line else { return };
                assert!(!row.user.is_empty(), "a row has a user");
                assert!(row.provider_score.is_none_or(|score| (0.0..=100.0).contains(&score)));
            });
        }
        if !more {
            break;
        }
    }
}
