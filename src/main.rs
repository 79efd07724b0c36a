//! The binary: Lambda when Lambda starts it, else a command.

fn main() {}
