//! Why sessions of a user pool cannot be looked up, as the session function last found. It is stored in the shared list, so the sidecar, the
//! trigger's function and commands can show it.

use std::{sync::PoisonError, time::Duration};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    block_list::{BlockList, FINDING, SessionFinding, SessionFindings},
    repository::{BLOCK_LIST_MAX_AGE, HistoryRepository},
};
use riskgate_engine::evidence::FailureReason;
use riskgate_store::List;

/// How long a finding is stored after it was last made.
const FINDING_TTL: Duration = Duration::from_secs(86_400);

impl HistoryRepository {
    /// Records why the sessions of a pool cannot be looked up. A process repeats it after ten seconds.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn record_session_finding(&self, pool: &str, problem: &str, now: Timestamp) -> Result<(), FailureReason> {
        let finding = SessionFinding { problem: problem.into(), at: now };
        self.write_session_finding(pool, &finding, now.checked_add(FINDING_TTL).ok(), now).await
    }

    /// Removes the finding of a pool.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn clear_session_finding(&self, pool: &str, now: Timestamp) -> Result<(), FailureReason> {
        let finding = SessionFinding { problem: SmolStr::default(), at: now };
        // The role of a Lambda function may not delete. An expired entry is deleted when the list is read.
        self.write_session_finding(pool, &finding, Some(Timestamp::UNIX_EPOCH), now).await
    }

    /// The findings, as the shared list was last read.
    pub fn session_findings(&self, now: Timestamp) -> SessionFindings {
        self.block_list.load(now).findings.clone()
    }

    /// Reads the shared list if it is due, in a process that sees no sign-ins.
    pub async fn refresh_session_findings(&self, now: Timestamp) {
        self.refresh_lists_and_report(now).await;
    }

    /// Reads the findings from the store.
    ///
    /// # Errors
    ///
    /// The store could not be reached.
    pub async fn read_session_findings(&self, now: Timestamp) -> Result<SessionFindings, FailureReason> {
        Ok(BlockList::parse(self.store.list_entries(List::BlockList, now).await?).findings)
    }

    async fn write_session_finding(&self, pool: &str, finding: &SessionFinding, until: Option<Timestamp>, now: Timestamp) -> Result<(), FailureReason> {
        let written = Some((now.as_second() / BLOCK_LIST_MAX_AGE, SmolStr::from(pool), finding.problem.clone()));
        let previous = std::mem::replace(&mut *self.finding_written.lock().unwrap_or_else(PoisonError::into_inner), written.clone());
        if previous == written {
            return Ok(());
        }
        let bytes = serde_json::to_vec(finding).map_err(|_| FailureReason::BadAnswer)?;
        self.store.put_list_entry(List::BlockList, &format!("{FINDING}{pool}"), &bytes, until).await
    }
}
