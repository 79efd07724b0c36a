//! What of a sign-in's history could not be read, or written, and why (invariant 13: nothing fails open in silence).

use crate::evidence::Cause;

/// One part of what the store is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The calls that are tried at start.
    Store,
    /// The person's record.
    Record,
    /// The list of blocked ranges, devices, clients and tenants.
    BlockList,
    /// The nonce of a signed context.
    Nonce,
    /// The counters of the address and its network.
    Velocity,
    /// The templates of unknown users' histories.
    Templates,
    /// The decision, recorded for the triggers that follow.
    Decision,
    /// What a right password, or a reported outcome, changes in the person's record.
    Success,
    /// That a client reports successes or makes tokens.
    ClientUse,
    /// That this process writes under its pseudonym key.
    KeyUse,
    /// What is moved from an older pseudonym key to the newest.
    KeyRotation,
    /// Answers of services and counts of calls that all processes share.
    SharedCache,
    /// A history that becomes a template of unknown users' histories.
    TemplateWrite,
}

/// The parts beside the person's record that could not be read for one sign-in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unread([Option<Cause>; Part::ALL.len()]);

// === impl Part ===

impl Part {
    /// Every part.
    pub const ALL: [Part; 13] = [
        Part::Store,
        Part::Record,
        Part::BlockList,
        Part::Nonce,
        Part::Velocity,
        Part::Templates,
        Part::Decision,
        Part::Success,
        Part::ClientUse,
        Part::KeyUse,
        Part::KeyRotation,
        Part::SharedCache,
        Part::TemplateWrite,
    ];

    /// The label in `degraded`, metrics, log lines and `/readyz`.
    pub fn as_label(self) -> &'static str {
        match self {
            Part::Store => "store",
            Part::Record => "history",
            Part::BlockList => "block_list",
            Part::Nonce => "nonce",
            Part::Velocity => "velocity",
            Part::Templates => "templates",
            Part::Decision => "decision",
            Part::Success => "success",
            Part::ClientUse => "client_use",
            Part::KeyUse => "key_use",
            Part::KeyRotation => "key_rotation",
            Part::SharedCache => "shared_cache",
            Part::TemplateWrite => "template_write",
        }
    }
}

// === impl Unread ===

impl Unread {
    /// Notes why a part could not be read, if it could not.
    pub fn set(&mut self, part: Part, cause: Option<Cause>) {
        self.0[part as usize] = cause;
    }

    /// Why a part could not be read.
    pub fn cause(&self, part: Part) -> Option<Cause> {
        self.0[part as usize]
    }

    /// Each part that could not be read.
    pub fn iter(&self) -> impl Iterator<Item = (Part, Cause)> + '_ {
        Part::ALL.into_iter().filter_map(|part| Some((part, self.cause(part)?)))
    }
}
