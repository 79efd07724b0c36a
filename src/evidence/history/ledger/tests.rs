//! The ledger over the memory store.
