//! The argument that says which user a command is about.

/// The `sub` or the name of a user: exactly one of them.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub struct UserName {
    /// The account's `sub`.
    #[arg(long)]
    pub sub: Option<String>,
    /// The user's name, as it is typed at sign-in.
    #[arg(long)]
    pub name: Option<String>,
}

impl UserName {
    /// The one that was given.
    pub fn text(&self) -> &str {
        self.sub.as_deref().or(self.name.as_deref()).unwrap_or_default()
    }
}
