//! Learning after the fact: post-authentication and outcomes.
