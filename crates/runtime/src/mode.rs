//! The runtime modes: Lambda, sidecar and command.

/// How riskgate runs. The mode determines how it logs and which work may continue after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeMode {
    /// The Lambda trigger. It handles one sign-in at a time and is frozen in between, so no work may be left for after the response.
    Lambda,
    /// The HTTP sidecar. A long-running process handles many sign-ins at once.
    Sidecar,
    /// A command. It handles one sign-in, then the process exits.
    Command,
}
