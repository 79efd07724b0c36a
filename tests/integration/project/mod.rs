//! The documents, the fault matrix and the structure of the code.

pub mod architecture;
pub mod faults;
pub mod soak;
pub mod template;
pub mod threats;
