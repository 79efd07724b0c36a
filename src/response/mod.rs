//! Stage 6 of 6: Decision -> bytes.
