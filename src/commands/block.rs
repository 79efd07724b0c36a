//! `riskgate block`: persons, ranges, devices, clients and tenants kept out, or let in, while riskgate runs.

use std::{io::Write, path::PathBuf, time::Duration};

use clap::{Subcommand, ValueEnum};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Failure,
    history::{Pool, away, check, with_ledger},
};
use crate::{
    config::{decision::cidr, env::duration},
    event::Now,
    evidence::history::{
        Ledger,
        blocks::{Entry, EntryKind, Subject},
    },
};

/// Changes that are on their way to the store at once.
const AT_ONCE: usize = 16;

/// Keeps out, or lets in, at run time. All instances follow within ten seconds, persons at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate block add sub 8b1a4c1e-... --pool eu-west-1_AbCdEf --note 'chargeback 4711'
  riskgate block add range 198.51.100.0/24 --for 6h
  riskgate block add tenant acme --message 'Your subscription has expired. Please renew.'
  riskgate block add client 1h57kf5cpq17m0eml12EXAMPLE --exempt
  riskgate block add --from blocks.csv
  riskgate block list

A message is shown when a token is made, after the password was right: earlier it would reveal that the account
exists. For that the suspension waits for token generation, if that trigger ran for the client within the last
hour; otherwise, and for ranges and devices always, it acts in pre-authentication, without the message. The file has the columns subject,value and, where wanted, pool,kind,until,note,message.")]
pub struct Args {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Suspends or exempts somebody or something.
    Add(Addition),
    /// Ends a suspension or an exemption.
    Remove(Removal),
    /// Every suspension and exemption in force.
    List,
}

#[derive(Debug, clap::Args)]
struct Addition {
    /// What is blocked.
    #[arg(required_unless_present = "from")]
    subject: Option<Kind>,
    /// Which one.
    #[arg(required_unless_present = "from")]
    value: Option<String>,
    /// The user pool's id, for persons.
    #[arg(long, default_value = "", hide_default_value = true)]
    pool: String,
    /// Lets in whatever the score, instead of keeping out.
    #[arg(long)]
    exempt: bool,
    /// Ends by itself after this time, such as 6h or 30d.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, conflicts_with = "until")]
    lasts: Option<Duration>,
    /// Ends by itself at this moment, such as 2026-12-31T00:00:00Z.
    #[arg(long, value_name = "MOMENT")]
    until: Option<Timestamp>,
    /// For operators.
    #[arg(long)]
    note: Option<String>,
    /// What the person is told once the password was right.
    #[arg(long)]
    message: Option<String>,
    /// A CSV file of many.
    #[arg(long, value_name = "FILE", conflicts_with = "subject")]
    from: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Removal {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, clap::Args)]
struct Target {
    /// What is blocked.
    subject: Kind,
    /// Which one.
    value: String,
    /// The user pool's id, for persons.
    #[arg(long, default_value = "", hide_default_value = true)]
    pool: String,
}

/// What can be blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// An account, by its sub.
    Sub,
    /// A name as it is typed, where there is no sub.
    Name,
    /// An address or a network, such as 198.51.100.0/24.
    Range,
    /// A device id, as the app sends it.
    Device,
    /// An app client's id.
    Client,
    /// A value of the attribute that `TENANT_ATTRIBUTE` names.
    Tenant,
}

/// A row of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    subject: Kind,
    value: String,
    #[serde(default)]
    pool: String,
    #[serde(default)]
    kind: Option<EntryKind>,
    #[serde(default)]
    until: Option<Timestamp>,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// Whom a change concerns, as the store names them.
enum Whom {
    Person {
        pool: String,
        name: String,
    },
    /// The subject under every pseudonym key, newest first: written under the first, removed under all.
    Shared(Vec<Subject>),
}

/// Runs the command.
///
/// # Errors
///
/// A subject that cannot be read, or a store that cannot be reached.
pub fn run(args: &Args) -> Result<(), Failure> {
    with_ledger(async |ledger| match &args.deed {
        Deed::Add(addition) => add(ledger, addition).await,
        Deed::Remove(removal) => {
            let whom = removal.target.whom(ledger).map_err(Failure::Usage)?;
            check(ledger, removal.target.person(), Now::read().wall).await?;
            match &whom {
                Whom::Person { pool, name } => ledger.unblock_person(pool, name, Now::read().wall).await,
                Whom::Shared(subjects) => futures_util::future::try_join_all(subjects.iter().map(|subject| ledger.unblock(subject))).await.map(|_| ()),
            }
            .map_err(away)?;
            say(&format!("removed: {}", whom.key(ledger)));
            Ok(())
        }
        Deed::List => list(ledger).await,
    })
}

async fn add(ledger: &Ledger, addition: &Addition) -> Result<(), Failure> {
    let now = Now::read().wall;
    let changes = match (addition.subject, &addition.value, &addition.from) {
        (Some(subject), Some(value), _) => {
            let target = Target { subject, value: value.clone(), pool: addition.pool.clone() };
            let until = match addition.lasts {
                Some(lasts) => Some(now.checked_add(lasts).map_err(|_| Failure::Usage("--for is too long".to_owned()))?),
                None => addition.until,
            };
            let kind = if addition.exempt { EntryKind::Exempt } else { EntryKind::Suspend };
            let entry = Entry { kind, until, note: addition.note.clone(), message: addition.message.as_deref().map(Into::into) };
            let whom = target.whom(ledger).map_err(Failure::Usage)?;
            check(ledger, target.person(), now).await?;
            vec![(whom, entry)]
        }
        (_, _, Some(file)) => read(ledger, file, now).await?,
        (_, _, None) => return Err(Failure::Usage("name a subject and its value, or a file with --from".to_owned())),
    };
    let keys = &check(ledger, None, now).await?;
    let count = changes.len();
    futures_util::stream::iter(changes)
        .map(Ok)
        .try_for_each_concurrent(AT_ONCE, async |(whom, entry)| {
            for key in keys {
                match &whom {
                    Whom::Person { pool, name } => ledger.block_person_under(*key, pool, name, &entry, now).await,
                    Whom::Shared(subjects) => ledger.block_under(*key, subjects.get(*key).unwrap_or(&subjects[0]), &entry).await,
                }
                .map_err(away)?;
            }
            if count == 1 {
                say(&format!("{}: {}", word(entry.kind), whom.key(ledger)));
            }
            Ok(())
        })
        .await?;
    if count != 1 {
        say(&format!("{count} entries written"));
    }
    Ok(())
}

/// Reads a whole file before anything is written.
async fn read(ledger: &Ledger, file: &PathBuf, now: Timestamp) -> Result<Vec<(Whom, Entry)>, Failure> {
    let name = file.display();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file).map_err(|error| Failure::Run(format!("{name}: {error}")))?;
    let mut changes = Vec::new();
    for (number, row) in reader.deserialize::<Row>().enumerate() {
        let fault = |problem: String| Failure::Run(format!("{name}: row {}: {problem}", number + 2));
        let row = row.map_err(|error| fault(error.to_string()))?;
        let target = Target { subject: row.subject, value: row.value, pool: row.pool };
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let entry = Entry { kind: row.kind.unwrap_or(EntryKind::Suspend), until: row.until, note: some(row.note), message: some(row.message).map(Into::into) };
        let whom = target.whom(ledger).map_err(fault)?;
        if let Some(person) = target.person().filter(|(pool, _)| pool.is_empty()) {
            check(ledger, Some(person), now).await.map_err(|failure| match failure {
                Failure::Usage(problem) => fault(problem),
                other @ Failure::Run(_) => other,
            })?;
        }
        changes.push((whom, entry));
    }
    Ok(changes)
}

async fn list(ledger: &Ledger) -> Result<(), Failure> {
    for block in ledger.blocks(Now::read().wall).await.map_err(away)? {
        let until = block.entry.until.map(|until| format!("  until {until}")).unwrap_or_default();
        let note = block.entry.note.as_deref().map(|note| format!("  ({note})")).unwrap_or_default();
        let message = block.entry.message.as_deref().map(|message| format!("  {message:?}")).unwrap_or_default();
        say(&format!("{:8} {}{until}{note}{message}", word(block.entry.kind), block.subject));
    }
    Ok(())
}

fn word(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Suspend => "suspend",
        EntryKind::Exempt => "exempt",
    }
}

fn say(line: &str) {
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{line}");
}

// === impl Target ===

impl Target {
    /// The pool of a person, and whether it is needed.
    fn person(&self) -> Option<(&str, Pool)> {
        match self.subject {
            Kind::Sub => Some((&self.pool, Pool::Needed)),
            Kind::Name => Some((&self.pool, Pool::AsDeployed)),
            Kind::Range | Kind::Device | Kind::Client | Kind::Tenant => None,
        }
    }

    fn whom(&self, ledger: &Ledger) -> Result<Whom, String> {
        if self.value.is_empty() {
            return Err("the value is empty".to_owned());
        }
        Ok(match self.subject {
            Kind::Sub | Kind::Name => Whom::Person { pool: self.pool.clone(), name: self.value.clone() },
            Kind::Range => Whom::Shared(vec![Subject::Range(cidr(&self.value)?)]),
            Kind::Device => Whom::Shared(ledger.subject_keys("device", &self.value).into_iter().map(Subject::Device).collect()),
            Kind::Client => Whom::Shared(vec![Subject::Client(self.value.as_str().into())]),
            Kind::Tenant => Whom::Shared(ledger.subject_keys("tenant", &self.value).into_iter().map(Subject::Tenant).collect()),
        })
    }
}

// === impl Whom ===

impl Whom {
    /// The key that was touched.
    fn key(&self, ledger: &Ledger) -> String {
        match self {
            Whom::Person { pool, name } => format!("u#{}", ledger.keys(pool, name)[0]),
            Whom::Shared(subjects) => format!("b#shared {}", subjects[0].entry_name()),
        }
    }
}
