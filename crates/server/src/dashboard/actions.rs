//! What operators do: suspend, exempt, lift, label, and undo. Each action has an operator, a note, an audit line, and a command that does the same.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use smol_str::SmolStr;
use tokio::time::Instant;
use ulid::Ulid;

use crate::dashboard::{
    Dashboard,
    action_command::ActionCommand,
    action_request::{ActionKind, ActionRequest, ActionSubject},
    session_revocation::{self, Revocation},
};
use riskgate_activity::{decision::Outcome, row::Row};
use riskgate_config::pseudonym::UserKeys;
use riskgate_engine::{evidence::FailureReason, time::EventTime};
use riskgate_history::{
    block_list::{BlockEntry, BlockEntryKind, BlockSubject},
    repository::{HistoryRepository, admin::LiftedRestriction, outcome::ReportedOutcome},
};
use riskgate_pipeline::{instance::Instance, learn, sessions::source::SourceError};
use riskgate_runtime::{clock, deadline::Deadline};
use riskgate_telemetry::{operator_action::OperatorAction, outcome::SignInOutcome};

/// Actions that are listed and can be undone here. Older ones are in the audit log.
const MAX_ACTIONS: usize = 200;

/// How long an action may take in the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the audit line of an action may take.
const LINE_TIMEOUT: Duration = Duration::from_millis(300);

/// The actions of this process, newest last.
#[derive(Debug, Default)]
pub struct Actions(Mutex<VecDeque<TakenAction>>);

/// An action that was done.
#[derive(Debug)]
struct TakenAction {
    id: String,
    at: Timestamp,
    operator: Arc<str>,
    kind: ActionKind,
    subject: ActionSubject,
    label: Option<Outcome>,
    until: Option<Timestamp>,
    note: String,
    command: ActionCommand,
    /// What was before, to be restored.
    previous: Arc<Previous>,
    undone: Option<Undone>,
}

/// Who undid an action, when, and why.
#[derive(Debug)]
struct Undone {
    by: Arc<str>,
    at: Timestamp,
    note: String,
}

/// What was before an action.
#[derive(Debug)]
enum Previous {
    Block(Option<BlockEntry>),
    Restriction(LiftedRestriction),
    Outcome(Option<Outcome>),
    /// Ended sessions do not come back.
    Sessions(Revocation),
}

/// Why an action was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionError {
    /// The dashboard shows a log, without a store to change.
    ReadOnly,
    /// The user is not among the stored decisions, or the action is not listed.
    Unknown,
    /// More known users are affected than the operator has confirmed.
    Affects(usize),
    /// It was undone already.
    Undone,
    /// It cannot be undone.
    Final,
    /// Sessions are not looked up here, so none can be revoked.
    NoSessions,
    /// The user pool did not end the sessions.
    Pool(SourceError),
    /// The store did not answer.
    Store(FailureReason),
}

impl From<FailureReason> for ActionError {
    fn from(reason: FailureReason) -> Self {
        ActionError::Store(reason)
    }
}

impl Dashboard {
    /// Whether actions are possible here.
    pub fn can_act(&self) -> bool {
        self.instance.as_ref().is_some_and(|instance| instance.engine.enricher().repository().is_some())
    }

    /// Whether sessions of the user pool can be revoked here.
    pub fn can_revoke(&self) -> bool {
        self.can_act() && self.instance.as_deref().is_some_and(|instance| session_revocation::revocable(instance).is_some())
    }

    /// Known users whom an action on a network, a range, an AS or a client affects: those who got in from it, in the stored decisions.
    pub fn affected_users(&self, subject: &ActionSubject) -> usize {
        match subject {
            ActionSubject::User(_) | ActionSubject::Decision(_) => 1,
            ActionSubject::Client(client) => {
                let activity = self.activity();
                activity.affected_users(|row| activity.origin(row).0 == Some(client.as_str()))
            }
            ActionSubject::Asn(asn) => self.activity().affected_users(|row| row.asn == Some(*asn)),
            ActionSubject::Network(name) => self.activity().affected_users(|row| row.net.as_ref() == Some(name)),
            ActionSubject::Range(_) => {
                let Some(instance) = &self.instance else { return 0 };
                let networks: HashSet<SmolStr> = subject.networks(&instance.engine.enricher().pseudonyms()).into_iter().collect();
                let is_inside = |row: &Row| row.net.as_ref().is_some_and(|net| networks.contains(net));
                self.activity().affected_users(is_inside)
            }
        }
    }

    /// Whether a stored decision has the network or the AS. Only those are acted on, so that a mistyped pseudonym is refused.
    fn is_known(&self, subject: &ActionSubject) -> bool {
        match subject {
            ActionSubject::Network(name) => self.activity().any(|row| row.net.as_ref() == Some(name)),
            ActionSubject::Asn(asn) => self.activity().any(|row| row.asn == Some(*asn)),
            ActionSubject::User(_) | ActionSubject::Client(_) | ActionSubject::Range(_) | ActionSubject::Decision(_) => true,
        }
    }

    /// Does an action and writes its audit line.
    ///
    /// # Errors
    ///
    /// See `ActionError`. Nothing has changed, unless the store failed midway.
    pub async fn act(&self, request: ActionRequest, operator: &Arc<str>) -> Result<Value, ActionError> {
        let (instance, repository) = self.backend()?;
        if !self.is_known(&request.subject) {
            return Err(ActionError::Unknown);
        }
        if request.subject.is_shared() {
            let affected = self.affected_users(&request.subject);
            if request.confirmed_users.is_none_or(|confirmed| confirmed < affected) {
                return Err(ActionError::Affects(affected));
            }
        }
        let now = clock::read().wall;
        let until = request.expiry.and_then(|expiry| now.checked_add(expiry).ok());
        let previous = match request.kind {
            ActionKind::Revoke => self.revoke(&instance, &request).await?,
            ActionKind::Suspend | ActionKind::Exempt | ActionKind::Lift | ActionKind::Label => {
                within(self.apply(&instance, &repository, &request, until, now)).await?
            }
        };
        let command = self.command_of(&request);
        let taken = TakenAction {
            id: Ulid::generate().to_string(),
            at: now,
            operator: Arc::clone(operator),
            kind: request.kind,
            subject: request.subject,
            label: request.label,
            until,
            note: request.note,
            command,
            previous: Arc::new(previous),
            undone: None,
        };
        self.record_action(&instance, &taken.line(operator, &taken.note, None, now)).await;
        let listed = taken.to_json();
        let mut actions = self.actions.lock();
        if actions.len() >= MAX_ACTIONS {
            actions.pop_front();
        }
        actions.push_back(taken);
        self.query_cache.clear();
        Ok(listed)
    }

    /// The commands of an action.
    pub fn command_of(&self, request: &ActionRequest) -> ActionCommand {
        ActionCommand::new(request, self.pool_of(&request.subject))
    }

    /// Writes an action to the audit log, and lists it among the changes.
    async fn record_action(&self, instance: &Instance, action: &OperatorAction<'_>) {
        instance.telemetry.record_action(action, line_deadline()).await;
        if let Ok(line) = str::from_utf8(&action.to_line()) {
            self.activity().record(line);
        }
    }

    /// Ends the sessions of a user. The pool is that of the user's newest decision.
    async fn revoke(&self, instance: &Instance, request: &ActionRequest) -> Result<Previous, ActionError> {
        let sessions = session_revocation::revocable(instance).ok_or(ActionError::NoSessions)?;
        let (Some(name), Some(pool)) = (&request.name, self.pool_of(&request.subject)) else { return Err(ActionError::Unknown) };
        Ok(Previous::Sessions(session_revocation::revoke_all(sessions, &pool, name.expose()).await.map_err(ActionError::Pool)?))
    }

    async fn apply(
        &self,
        instance: &Instance,
        repository: &HistoryRepository,
        request: &ActionRequest,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Previous, ActionError> {
        let kind = if request.kind == ActionKind::Exempt { BlockEntryKind::Exempt } else { BlockEntryKind::Suspend };
        let entry = BlockEntry { kind, until, note: Some(request.note.clone()), message: None };
        match &request.subject {
            ActionSubject::User(user) => {
                let keys = self.subjects().find(user).cloned().ok_or(ActionError::Unknown)?;
                if request.kind == ActionKind::Lift {
                    return Ok(Previous::Restriction(repository.lift_restriction_of(&keys, now).await?));
                }
                let previous = repository.read_user_block(&keys, now).await?;
                repository.put_user_block(&keys, Some(&entry), now).await?;
                Ok(Previous::Block(previous))
            }
            ActionSubject::Client(_) | ActionSubject::Range(_) | ActionSubject::Network(_) | ActionSubject::Asn(_) => {
                let subject = block_subject(&request.subject).ok_or(ActionError::Unknown)?;
                let previous = repository.read_block(&subject, now).await?;
                repository.block(&subject, &entry).await?;
                Ok(Previous::Block(previous))
            }
            ActionSubject::Decision(id) => {
                let previous = self.activity().find(id).map(|row| row.outcome);
                let outcome = request.label.unwrap_or(Outcome::Fraud);
                let is_stored = previous.is_some() || self.stored_decision(id).await?.is_some();
                // A decision that is no longer stored here may still be known to the store.
                let known = report(instance, id, outcome, None, now).await?;
                if !is_stored && !known {
                    return Err(ActionError::Unknown);
                }
                self.activity().label(id, outcome);
                Ok(Previous::Outcome(previous.flatten()))
            }
        }
    }

    /// Undoes an action and writes an audit line.
    ///
    /// # Errors
    ///
    /// See `ActionError`.
    pub async fn undo(&self, id: &str, operator: &Arc<str>, note: &str) -> Result<Value, ActionError> {
        let (instance, repository) = self.backend()?;
        let now = clock::read().wall;
        let (subject, label, previous) = {
            let mut actions = self.actions.lock();
            let taken = actions.iter_mut().find(|taken| taken.id == id).ok_or(ActionError::Unknown)?;
            if matches!(*taken.previous, Previous::Sessions(_)) {
                return Err(ActionError::Final);
            }
            if taken.undone.is_some() {
                return Err(ActionError::Undone);
            }
            // Marked before the store answers, so that it is not undone twice.
            taken.undone = Some(Undone { by: Arc::clone(operator), at: now, note: note.to_owned() });
            (taken.subject.clone(), taken.label, Arc::clone(&taken.previous))
        };
        let restored = within(self.restore(&instance, &repository, (&subject, label), &previous, now)).await;
        let (listed, kind, until) = {
            let mut actions = self.actions.lock();
            let taken = actions.iter_mut().find(|taken| taken.id == id).ok_or(ActionError::Unknown)?;
            if let Err(error) = restored {
                taken.undone = None;
                return Err(error);
            }
            (taken.to_json(), taken.kind, taken.until)
        };
        let (undo_id, value) = (Ulid::generate().to_string(), subject.value());
        let line = OperatorAction {
            time: now,
            id: &undo_id,
            operator,
            action: kind.as_label(),
            subject: subject.kind(),
            value: &value,
            label: label.map(Outcome::as_label),
            until,
            note,
            undoes: Some(id),
        };
        self.record_action(&instance, &line).await;
        self.query_cache.clear();
        Ok(listed)
    }

    async fn restore(
        &self,
        instance: &Instance,
        repository: &HistoryRepository,
        (subject, label): (&ActionSubject, Option<Outcome>),
        previous: &Previous,
        now: Timestamp,
    ) -> Result<(), ActionError> {
        match (subject, previous) {
            (ActionSubject::User(user), Previous::Block(entry)) => {
                let keys = self.subjects().find(user).cloned().ok_or(ActionError::Unknown)?;
                repository.put_user_block(&keys, entry.as_ref(), now).await?;
            }
            (_, Previous::Restriction(lifted)) => repository.restore_restriction(lifted, now).await?,
            (ActionSubject::Decision(id), Previous::Outcome(outcome)) => {
                let opposite = if label == Some(Outcome::NotFraud) { Outcome::Fraud } else { Outcome::NotFraud };
                report(instance, id, opposite, Some(*outcome), now).await?;
                self.activity().restore_outcome(id, *outcome);
            }
            (subject, Previous::Block(entry)) => {
                let subject = block_subject(subject).ok_or(ActionError::Unknown)?;
                match entry {
                    Some(entry) => repository.block(&subject, entry).await?,
                    None => repository.unblock(&subject).await?,
                }
            }
            (_, Previous::Outcome(_) | Previous::Sessions(_)) => {}
        }
        Ok(())
    }

    /// The actions of this process, newest first.
    pub fn list_actions(&self) -> Value {
        json!({ "actions": self.actions.lock().iter().rev().map(TakenAction::to_json).collect::<Vec<_>>() })
    }

    /// What the store knows about a user; `None` when there is no store, it did not answer, or the user is not known here.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub async fn user_records(&self, user: &str) -> Result<Option<Value>, FailureReason> {
        let Some(keys) = self.subjects().find(user).cloned() else { return Ok(None) };
        self.records_of(&keys).await
    }

    /// The records of these keys, from the store; `None` when there is no store.
    pub(super) async fn records_of(&self, keys: &UserKeys) -> Result<Option<Value>, FailureReason> {
        let Ok((_, repository)) = self.backend() else { return Ok(None) };
        match within(async { Ok(repository.export_records(keys, clock::read().wall).await?) }).await {
            Ok(records) => Ok(Some(Value::from(records))),
            Err(error) => {
                tracing::warn!(?error, "could not read a user's records for the dashboard");
                Err(if let ActionError::Store(cause) = error { cause } else { FailureReason::Timeout })
            }
        }
    }

    fn backend(&self) -> Result<(Arc<Instance>, Arc<HistoryRepository>), ActionError> {
        let instance = self.instance.as_ref().ok_or(ActionError::ReadOnly)?;
        let repository = instance.engine.enricher().repository().ok_or(ActionError::ReadOnly)?;
        Ok((Arc::clone(instance), repository))
    }

    /// The user pool of a subject, as its newest decision has it.
    fn pool_of(&self, subject: &ActionSubject) -> Option<String> {
        let ActionSubject::User(user) = subject else { return None };
        let activity = self.activity();
        let row = activity.newest_of(user)?;
        activity.origin(row).1.map(str::to_owned)
    }
}

impl Actions {
    fn lock(&self) -> MutexGuard<'_, VecDeque<TakenAction>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TakenAction {
    fn to_json(&self) -> Value {
        let revocation = match &*self.previous {
            Previous::Sessions(revocation) => Some(revocation),
            Previous::Block(_) | Previous::Restriction(_) | Previous::Outcome(_) => None,
        };
        json!({
            "id": self.id, "at": self.at.as_millisecond(), "operator": self.operator, "action": self.kind, "subject": self.subject.kind(), "value": self.subject.value(),
            "label": self.label, "until": self.until.map(Timestamp::as_millisecond), "note": self.note, "command": self.command.text, "undo_command": self.command.undo,
            "undone_by": self.undone.as_ref().map(|undone| &undone.by), "undone_at": self.undone.as_ref().map(|undone| undone.at.as_millisecond()),
            "undo_note": self.undone.as_ref().map(|undone| &undone.note), "can_undo": revocation.is_none(), "sessions": revocation.map(|found| json!({ "revoked": found.revoked, "failed": found.failed })),
        })
    }

    fn line<'a>(&'a self, operator: &'a str, note: &'a str, undoes: Option<&'a str>, time: Timestamp) -> OperatorAction<'a> {
        // The value of a range is text only here.
        let value = self.command.value.as_str();
        let label = self.label.map(Outcome::as_label);
        OperatorAction {
            time,
            id: &self.id,
            operator,
            action: self.kind.as_label(),
            subject: self.subject.kind(),
            value,
            label,
            until: self.until,
            note,
            undoes,
        }
    }
}

/// Reports a label to the store and the audit log, with the outcome before it if it is undone. Whether the store knew the decision.
async fn report(instance: &Instance, id: &str, outcome: Outcome, restored: Option<Option<Outcome>>, now: Timestamp) -> Result<bool, ActionError> {
    let restored = restored.map(|outcome| outcome.map(Outcome::as_label));
    let report = if outcome == Outcome::NotFraud { ReportedOutcome::NotFraud } else { ReportedOutcome::Fraud };
    let received = clock::read();
    let learned = learn::record_outcome(instance.engine.enricher(), id, report, EventTime::new(now), received).await?;
    let shown = learned.filter(|_| report == ReportedOutcome::NotFraud);
    instance.record_report(&SignInOutcome { time: now, id: Some(id), report, learned: shown, event: None, restored }, now, line_deadline()).await;
    Ok(learned.is_some())
}

fn block_subject(subject: &ActionSubject) -> Option<BlockSubject> {
    match subject {
        ActionSubject::Client(client) => Some(BlockSubject::Client(client.clone())),
        ActionSubject::Range(net) => Some(BlockSubject::Range(*net)),
        ActionSubject::Network(name) => Some(BlockSubject::Network(name.clone())),
        ActionSubject::Asn(asn) => Some(BlockSubject::Asn(*asn)),
        ActionSubject::User(_) | ActionSubject::Decision(_) => None,
    }
}

/// Runs calls of the store for at most the timeout.
async fn within<T>(calls: impl Future<Output = Result<T, ActionError>>) -> Result<T, ActionError> {
    tokio::time::timeout(STORE_TIMEOUT, calls).await.unwrap_or(Err(ActionError::Store(FailureReason::Timeout)))
}

fn line_deadline() -> Deadline {
    Deadline::after(Instant::now(), LINE_TIMEOUT)
}
