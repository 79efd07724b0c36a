//! The attack line: the onset, a change or the end of an attack on a pool. It names no account and no address.

use jiff::Timestamp;

use crate::audit::SCHEMA;
use riskgate_event::response::object::Object;
use riskgate_pool::AttackSummary;

/// Something to report about an attack.
#[derive(Debug)]
pub struct AttackLine<'a> {
    /// When it is reported.
    pub time: Timestamp,
    /// The id of the pool; empty if its sign-ins name none.
    pub pool: &'a str,
    /// What happened: `onset`, `change` or `end`.
    pub event: &'static str,
    /// The attack.
    pub attack: &'a AttackSummary,
}

impl AttackLine<'_> {
    /// Renders the object and a line break.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        let attack = self.attack;
        let time = |second: i64| Timestamp::from_second(second).unwrap_or_default();
        let mut line = Vec::new();
        Object::write(&mut line, |object| {
            object.member("schema", &SCHEMA);
            object.timestamp("time", self.time);
            object.plain("trigger", "attack");
            object.member("pool", self.pool);
            object.plain("event", self.event);
            object.timestamp("since", time(attack.since));
            object.timestamp("detected", time(attack.detected));
            object.timestamp("last_high", time(attack.last_high));
            object.member("attempts", &attack.attempts);
            object.member("expected", &round_to_tenth(attack.expected));
            object.member("accounts", &attack.accounts);
            object.member("networks", &attack.networks);
            object.member("unknown_names", &attack.unknown);
            object.member("let_in", &attack.let_in);
            object.member("sources", &attack.cells);
        });
        line.push(b'\n');
        line
    }
}

fn round_to_tenth(value: f64) -> f64 {
    if value.is_finite() { (value * 10.0).round() / 10.0 } else { 0.0 }
}
