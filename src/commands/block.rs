//! `riskgate block`: suspends or exempts users, ranges, networks, AS, devices, clients and tenants at run time.

use std::{io::Write, path::PathBuf, time::Duration};

use clap::{Subcommand, ValueEnum};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Deserialize;

use crate::commands::{
    Failure,
    history::{PoolRule, check_deployment, store_failure, with_repository},
};
use riskgate_config::{env::duration, pseudonym::UserKeys};
use riskgate_engine::client_ip::parse_network;
use riskgate_history::{
    block_list::{BlockEntry, BlockEntryKind, BlockSubject},
    repository::HistoryRepository,
};
use riskgate_runtime::clock;

/// The maximum number of concurrent writes to the store.
const MAX_CONCURRENT_WRITES: usize = 16;

/// Suspends or exempts users, ranges, networks, AS, devices, clients and tenants at run time. Changes of users apply immediately, all others within ten seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate block add sub 8b1a4c1e-... --pool eu-west-1_AbCdEf --note 'chargeback 4711'
  riskgate block add range 198.51.100.0/24 --for 6h
  riskgate block add account w7h6YFJlgrVbtfQB --for 6h
  riskgate block add network fFzacOTJHoYlUG_e --for 6h
  riskgate block add asn 64500 --for 1h
  riskgate block add tenant acme --message 'Your subscription has expired. Please renew.'
  riskgate block add client 1h57kf5cpq17m0eml12EXAMPLE --exempt
  riskgate block add --from blocks.csv
  riskgate block list

A message is shown at token generation, after the password was right. Shown earlier, it would reveal that the account exists. A suspension with a message therefore acts at token generation if that trigger ran for the client within the last hour. Otherwise, and always for ranges and devices, it acts in pre-authentication and shows no message.

The file of --from has the columns subject,value and optionally pool,kind,until,note,message.")]
pub struct Args {
    #[command(subcommand)]
    action: BlockAction,
}

#[derive(Debug, Subcommand)]
enum BlockAction {
    /// Adds a suspension or an exemption.
    #[command(after_help = "Examples:
  riskgate block add sub 8b1a4c1e-... --pool eu-west-1_AbCdEf --note 'chargeback 4711'
  riskgate block add range 198.51.100.0/24 --for 6h
  riskgate block add --from blocks.csv")]
    Add(AddArgs),
    /// Removes a suspension or an exemption.
    #[command(after_help = "Examples:
  riskgate block remove range 198.51.100.0/24
  riskgate block remove sub 8b1a4c1e-... --pool eu-west-1_AbCdEf")]
    Remove(RemoveArgs),
    /// Lists all suspensions and exemptions in effect.
    #[command(after_help = "Examples:
  riskgate block list")]
    List,
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// The kind of subject.
    #[arg(required_unless_present = "from")]
    subject: Option<SubjectKind>,
    /// The subject. A pseudonym may begin with a hyphen.
    #[arg(required_unless_present = "from", allow_hyphen_values = true)]
    value: Option<String>,
    /// The user pool's id, for users.
    #[arg(long, default_value = "", hide_default_value = true)]
    pool: String,
    /// Exempts from the score instead of suspending.
    #[arg(long)]
    exempt: bool,
    /// Expires after this time, such as 6h or 30d.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, conflicts_with = "until")]
    duration: Option<Duration>,
    /// Expires at this time, such as 2026-12-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// A note for operators.
    #[arg(long)]
    note: Option<String>,
    /// The message that the user sees after the password was right.
    #[arg(long)]
    message: Option<String>,
    /// Reads the subjects from a CSV file.
    #[arg(long, value_name = "FILE", conflicts_with = "subject")]
    from: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, clap::Args)]
struct Target {
    /// The kind of subject.
    subject: SubjectKind,
    /// The subject. A pseudonym may begin with a hyphen.
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// The user pool's id, for users.
    #[arg(long, default_value = "", hide_default_value = true)]
    pool: String,
}

/// The kind of subject that is suspended or exempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SubjectKind {
    /// An account, by its `sub`.
    Sub,
    /// A user name as it is typed, if there is no `sub`.
    Name,
    /// An account by its pseudonym in audit lines and on the dashboard, if the store has a decision of it.
    Account,
    /// An address or a network, such as 198.51.100.0/24.
    Range,
    /// A network (/24 or /48) by its pseudonym in audit lines and on the dashboard.
    Network,
    /// An autonomous system, by its number.
    Asn,
    /// A device id as the app sends it.
    Device,
    /// An app client id.
    Client,
    /// A value of the attribute that `TENANT_ATTRIBUTE` names.
    Tenant,
}

/// A row of the CSV file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockFileRow {
    subject: SubjectKind,
    value: String,
    #[serde(default)]
    pool: String,
    #[serde(default)]
    kind: Option<BlockEntryKind>,
    #[serde(default)]
    until: Option<Timestamp>,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// The subject of a change, as the store identifies it.
enum BlockTarget {
    /// A user, by pool and name.
    User { pool: String, name: String },
    /// A user, by the keys of the records.
    Account(UserKeys),
    /// The subject under every pseudonym key, newest first.
    Shared(Vec<BlockSubject>),
}

/// Runs the command.
///
/// # Errors
///
/// The subject is invalid, or the store cannot be reached.
pub fn run(args: &Args) -> Result<(), Failure> {
    with_repository(async |repository| match &args.action {
        BlockAction::Add(add) => add_entries(repository, add).await,
        BlockAction::Remove(remove) => {
            let target = remove.target.resolve(repository).await.map_err(Failure::Usage)?;
            check_deployment(repository, remove.target.user(), clock::read().wall).await?;
            match &target {
                BlockTarget::User { pool, name } => repository.unblock_user(pool, name, clock::read().wall).await,
                BlockTarget::Account(keys) => repository.put_user_block(keys, None, clock::read().wall).await,
                BlockTarget::Shared(subjects) => {
                    futures_util::future::try_join_all(subjects.iter().map(|subject| repository.unblock(subject))).await.map(|_| ())
                }
            }
            .map_err(store_failure)?;
            print_line(&format!("removed: {}", target.key(repository)));
            Ok(())
        }
        BlockAction::List => list_entries(repository).await,
    })
}

async fn add_entries(repository: &HistoryRepository, add: &AddArgs) -> Result<(), Failure> {
    let now = clock::read().wall;
    let changes = match (add.subject, &add.value, &add.from) {
        (Some(subject), Some(value), _) => {
            let target = Target { subject, value: value.clone(), pool: add.pool.clone() };
            let until = match add.duration {
                Some(duration) => Some(now.checked_add(duration).map_err(|_| Failure::Usage("--for is too long".to_owned()))?),
                None => add.until,
            };
            let kind = if add.exempt { BlockEntryKind::Exempt } else { BlockEntryKind::Suspend };
            let entry = BlockEntry { kind, until, note: add.note.clone(), message: add.message.as_deref().map(Into::into) };
            let block_target = target.resolve(repository).await.map_err(Failure::Usage)?;
            check_deployment(repository, target.user(), now).await?;
            vec![(block_target, entry)]
        }
        (_, _, Some(file)) => read_file(repository, file, now).await?,
        (_, _, None) => return Err(Failure::Usage("name a subject and its value, or a file with --from".to_owned())),
    };
    let keys = &check_deployment(repository, None, now).await?;
    let count = changes.len();
    futures_util::stream::iter(changes)
        .map(Ok)
        .try_for_each_concurrent(MAX_CONCURRENT_WRITES, async |(target, entry)| {
            for key in keys {
                match &target {
                    BlockTarget::User { pool, name } => repository.block_user_under(*key, pool, name, &entry, now).await,
                    BlockTarget::Account(records) => repository.put_user_block(records, Some(&entry), now).await,
                    BlockTarget::Shared(subjects) => repository.block_under(*key, subjects.get(*key).unwrap_or(&subjects[0]), &entry).await,
                }
                .map_err(store_failure)?;
            }
            if count == 1 {
                print_line(&format!("{}: {}", kind_label(entry.kind), target.key(repository)));
            }
            Ok(())
        })
        .await?;
    if count != 1 {
        print_line(&format!("{count} entries written"));
    }
    Ok(())
}

/// Reads the complete file. Nothing is written if one of its rows is faulty.
async fn read_file(repository: &HistoryRepository, file: &PathBuf, now: Timestamp) -> Result<Vec<(BlockTarget, BlockEntry)>, Failure> {
    let name = file.display();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file).map_err(|error| Failure::Run(format!("{name}: {error}")))?;
    let mut changes = Vec::new();
    for (number, row) in reader.deserialize::<BlockFileRow>().enumerate() {
        let fault = |problem: String| Failure::Run(format!("{name}: row {}: {problem}", number + 2));
        let row = row.map_err(|error| fault(error.to_string()))?;
        let target = Target { subject: row.subject, value: row.value, pool: row.pool };
        let non_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
        let entry = BlockEntry {
            kind: row.kind.unwrap_or(BlockEntryKind::Suspend),
            until: row.until,
            note: non_empty(row.note),
            message: non_empty(row.message).map(Into::into),
        };
        let block_target = target.resolve(repository).await.map_err(fault)?;
        if let Some(user) = target.user().filter(|(pool, _)| pool.is_empty()) {
            check_deployment(repository, Some(user), now).await.map_err(|failure| match failure {
                Failure::Usage(problem) => fault(problem),
                other @ Failure::Run(_) => other,
            })?;
        }
        changes.push((block_target, entry));
    }
    Ok(changes)
}

async fn list_entries(repository: &HistoryRepository) -> Result<(), Failure> {
    for block in repository.blocks(clock::read().wall).await.map_err(store_failure)? {
        let until = block.entry.until.map(|until| format!("  until {until}")).unwrap_or_default();
        let note = block.entry.note.as_deref().map(|note| format!("  ({note})")).unwrap_or_default();
        let message = block.entry.message.as_deref().map(|message| format!("  {message:?}")).unwrap_or_default();
        print_line(&format!("{:8} {}{until}{note}{message}", kind_label(block.entry.kind), block.subject));
    }
    Ok(())
}

fn kind_label(kind: BlockEntryKind) -> &'static str {
    match kind {
        BlockEntryKind::Suspend => "suspend",
        BlockEntryKind::Exempt => "exempt",
    }
}

fn print_line(line: &str) {
    // A closed pipe is not an error.
    let _ = writeln!(std::io::stdout(), "{line}");
}

impl Target {
    /// The pool of a user and whether it is needed. `None` for other subjects.
    fn user(&self) -> Option<(&str, PoolRule)> {
        match self.subject {
            SubjectKind::Sub => Some((&self.pool, PoolRule::Required)),
            SubjectKind::Name => Some((&self.pool, PoolRule::IfDeployed)),
            SubjectKind::Account
            | SubjectKind::Range
            | SubjectKind::Network
            | SubjectKind::Asn
            | SubjectKind::Device
            | SubjectKind::Client
            | SubjectKind::Tenant => None,
        }
    }

    /// Resolves the subject to its keys in the store.
    async fn resolve(&self, repository: &HistoryRepository) -> Result<BlockTarget, String> {
        if self.value.is_empty() {
            return Err("the value is empty".to_owned());
        }
        Ok(match self.subject {
            SubjectKind::Sub | SubjectKind::Name => BlockTarget::User { pool: self.pool.clone(), name: self.value.clone() },
            SubjectKind::Account => {
                let found = repository
                    .keys_of_account(&self.value, clock::read().wall)
                    .await
                    .map_err(|cause| format!("the store did not answer ({})", cause.as_label()))?;
                BlockTarget::Account(found.ok_or("the store has no decision of this account (ACTIVITY_TTL); name its sub instead")?)
            }
            SubjectKind::Range => BlockTarget::Shared(vec![BlockSubject::Range(parse_network(&self.value)?)]),
            SubjectKind::Network if is_pseudonym(&self.value) => BlockTarget::Shared(vec![BlockSubject::Network(self.value.as_str().into())]),
            SubjectKind::Network => return Err("a network is the 16 characters of its pseudonym; for addresses use range".to_owned()),
            SubjectKind::Asn => {
                let number = self.value.strip_prefix("AS").unwrap_or(&self.value).parse().map_err(|_| "an AS is a number such as 64500".to_owned())?;
                BlockTarget::Shared(vec![BlockSubject::Asn(number)])
            }
            SubjectKind::Device => BlockTarget::Shared(repository.subject_keys("device", &self.value).into_iter().map(BlockSubject::Device).collect()),
            SubjectKind::Client => BlockTarget::Shared(vec![BlockSubject::Client(self.value.as_str().into())]),
            SubjectKind::Tenant => BlockTarget::Shared(repository.subject_keys("tenant", &self.value).into_iter().map(BlockSubject::Tenant).collect()),
        })
    }
}

/// Whether a text has the form of a pseudonym in audit lines: 16 characters of base64url.
fn is_pseudonym(text: &str) -> bool {
    text.len() == 16 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

impl BlockTarget {
    /// The key of the changed record.
    fn key(&self, repository: &HistoryRepository) -> String {
        match self {
            BlockTarget::User { pool, name } => format!("u#{}", repository.record_keys(pool, name)[0]),
            BlockTarget::Account(keys) => format!("u#{}", keys.first().map(|key| key.as_str()).unwrap_or_default()),
            BlockTarget::Shared(subjects) => format!("b#shared {}", subjects[0].entry_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        action: BlockAction,
    }

    #[test]
    fn a_pseudonym_may_begin_with_a_hyphen() {
        let line = Line::try_parse_from(["block", "add", "account", "-tbfBEQbSKhBkufZ", "--for", "6h"]).ok();
        assert!(
            matches!(line.map(|line| line.action), Some(BlockAction::Add(AddArgs { value: Some(value), duration: Some(_), .. })) if value.starts_with('-'))
        );
        let line = Line::try_parse_from(["block", "remove", "network", "-tbfBEQbSKhBkufZ"]).ok();
        assert!(matches!(line.map(|line| line.action), Some(BlockAction::Remove(_))));
        assert!(Line::try_parse_from(["block", "add", "--from", "blocks.csv"]).is_ok());
        assert_eq!((is_pseudonym("-tbfBEQbSKhBkufZ"), is_pseudonym("198.51.100.0/24")), (true, false));
    }
}
