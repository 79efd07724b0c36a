//! What is reported about an attack, once for all processes: its onset, a change of its sources, its end.

use smol_str::SmolStr;

use crate::summary::AttackSummary;

/// Minutes between two notices of changes.
const CHANGE_INTERVAL: i64 = 10;

/// What happened to an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttackEvent {
    /// It was detected.
    Onset,
    /// It has over-represented values that were not reported before.
    Change,
    /// It is over.
    End,
}

/// Something to report about an attack.
#[derive(Debug, Clone, PartialEq)]
pub struct AttackNotice {
    /// The id of the pool; empty if the sign-ins name none.
    pub pool: SmolStr,
    /// What happened.
    pub event: AttackEvent,
    /// The attack.
    pub attack: AttackSummary,
}

/// What was reported about the attack in progress.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reported {
    /// The minute of the last notice.
    minute: i64,
    cells: Vec<SmolStr>,
}

impl AttackEvent {
    /// The label in audit lines and logs.
    pub fn as_label(self) -> &'static str {
        match self {
            AttackEvent::Onset => "onset",
            AttackEvent::Change => "change",
            AttackEvent::End => "end",
        }
    }
}

impl Reported {
    /// What has to be reported after minutes were taken up, and what was reported then. `minute` is the first one that was not taken up.
    pub fn update(
        before: Option<Self>,
        ended: &[AttackSummary],
        attack: Option<AttackSummary>,
        minute: i64,
        pool: &SmolStr,
    ) -> (Option<Self>, Vec<AttackNotice>) {
        let mut notices = Vec::new();
        let mut reported = before;
        let mut report = |event, attack: &AttackSummary| notices.push(AttackNotice { pool: pool.clone(), event, attack: attack.clone() });
        for attack in ended {
            if reported.take().is_none() {
                report(AttackEvent::Onset, attack);
            }
            report(AttackEvent::End, attack);
        }
        // An attack whose end was lost with a damaged state has nothing more to report.
        let Some(attack) = attack else { return (None, notices) };
        let event = match &reported {
            None => Some(AttackEvent::Onset),
            Some(Reported { minute: last, cells }) if minute - last >= CHANGE_INTERVAL && attack.cells.iter().any(|cell| !cells.contains(cell)) => {
                Some(AttackEvent::Change)
            }
            Some(_) => None,
        };
        if let Some(event) = event {
            report(event, &attack);
            reported = Some(Reported { minute, cells: attack.cells });
        }
        (reported, notices)
    }

    /// The stored form: the minute, then the values, each on a line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let lines: Vec<&str> = self.cells.iter().map(SmolStr::as_str).collect();
        format!("{}\n{}", self.minute, lines.join("\n")).into_bytes()
    }

    /// Reads the stored form; `None` if it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        let minute = lines.next()?.parse().ok()?;
        Some(Reported { minute, cells: lines.filter(|line| !line.is_empty()).map(SmolStr::from).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attack(cells: &[&str]) -> AttackSummary {
        AttackSummary {
            since: 60,
            detected: 120,
            last_high: 180,
            attempts: 10,
            expected: 1.0,
            accounts: 9,
            networks: 3,
            unknown: 1,
            let_in: 0,
            cells: cells.iter().map(|cell| SmolStr::from(*cell)).collect(),
        }
    }

    fn events(notices: &[AttackNotice]) -> Vec<&'static str> {
        notices.iter().map(|notice| notice.event.as_label()).collect()
    }

    #[test]
    fn an_attack_is_reported_at_its_onset_its_changes_and_its_end() {
        let update = |before, ended: &[AttackSummary], attack, minute| Reported::update(before, ended, attack, minute, &"pool".into());
        let (reported, notices) = update(None, &[], Some(attack(&["AS1"])), 100);
        assert_eq!(events(&notices), ["onset"]);
        let reported = reported.and_then(|reported| Reported::from_bytes(&reported.to_bytes()));
        assert_eq!(reported, Some(Reported { minute: 100, cells: vec!["AS1".into()] }));
        let (reported, notices) = update(reported, &[], Some(attack(&["AS1", "AS2"])), 105);
        assert_eq!(events(&notices), [""; 0], "changes are reported every ten minutes");
        let (reported, notices) = update(reported, &[], Some(attack(&["AS2"])), 110);
        assert_eq!(events(&notices), ["change"]);
        let (reported, notices) = update(reported, &[], Some(attack(&["AS2"])), 130);
        assert_eq!(events(&notices), [""; 0]);
        let (reported, notices) = update(reported, &[attack(&["AS2"])], None, 250);
        assert_eq!((reported, events(&notices)), (None, vec!["end"]));
    }

    #[test]
    fn an_attack_that_began_and_ended_while_no_process_ran_is_reported_with_both() {
        let (reported, notices) = Reported::update(None, &[attack(&[])], Some(attack(&["AS3"])), 100, &"pool".into());
        assert_eq!((reported.map(|reported| reported.cells), events(&notices)), (Some(vec!["AS3".into()]), vec!["onset", "end", "onset"]));
    }

    #[test]
    fn a_damaged_report_is_none() {
        assert_eq!(Reported::from_bytes(b""), None);
        assert_eq!(Reported::from_bytes(b"x\nAS1"), None);
        assert_eq!(Reported::from_bytes(&[0xff]), None);
    }
}
