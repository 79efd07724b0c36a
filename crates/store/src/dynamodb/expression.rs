//! DynamoDB update expressions. They use placeholders for names and values, because a field name may be a reserved word.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{operation::update_item::builders::UpdateItemFluentBuilder, primitives::Blob, types::AttributeValue};
use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{Change, Ttl};

/// An item's attributes.
pub(super) type Item = HashMap<String, AttributeValue>;

/// A builder of an update expression.
#[derive(Debug, Clone, Default)]
pub(super) struct Update {
    set: Vec<String>,
    remove: Vec<String>,
    add: Vec<String>,
    condition: Option<String>,
    names: Vec<String>,
    values: Vec<AttributeValue>,
}

pub(super) fn binary(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

pub(super) fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

impl Update {
    /// The update for a change of a record.
    pub(super) fn from_change(change: &Change, now: Timestamp) -> Self {
        let mut update = Update::default();
        for (name, value) in &change.set {
            update.set(name, binary(value));
        }
        update = update.remove_fields(change.remove.iter().filter(|name| change.set.iter().all(|(set, _)| set != *name)).map(ToString::to_string));
        let expires_at = now.as_second().saturating_add_unsigned(change.ttl.duration().as_secs());
        match change.ttl {
            Ttl::Set(_) => update.expire_at(expires_at),
            Ttl::Extend { from, .. } => {
                let (name, from) = (update.name("exp"), update.value(number(from)));
                update.condition = Some(format!("{name} = {from}"));
                update.expire_at(expires_at)
            }
            Ttl::AtLeast(_) => {
                let (name, value) = (update.name("exp"), update.value(number(expires_at)));
                update.set.push(format!("{name} = if_not_exists({name}, {value})"));
                update
            }
        }
    }

    /// Adds an entry to a set of at most `limit` entries.
    pub(super) fn add_to_set(set: &str, entry: &[u8], limit: usize) -> Self {
        let mut update = Update::default();
        let name = update.name(set);
        let set_of_one = update.value(AttributeValue::Bs(vec![Blob::new(entry)]));
        let (one, limit) = (update.value(binary(entry)), update.value(number(i64::try_from(limit).unwrap_or(i64::MAX))));
        update.add.push(format!("{name} {set_of_one}"));
        update.condition = Some(format!("attribute_not_exists({name}) or size({name}) < {limit} or contains({name}, {one})"));
        update
    }

    /// Sets a value if the item has none.
    pub(super) fn put_if_absent(value: &[u8], ttl: Duration, now: Timestamp) -> Self {
        let mut update = Update::default();
        for (name, value) in [("val", binary(value)), ("exp", number(now.as_second().saturating_add_unsigned(ttl.as_secs())))] {
            let (name, value) = (update.name(name), update.value(value));
            update.set.push(format!("{name} = if_not_exists({name}, {value})"));
        }
        update
    }

    /// Increments a counter that is lower than `limit`.
    pub(super) fn increment_up_to(limit: u64, ttl: Duration, now: Timestamp) -> Self {
        let mut update = Update::default();
        let name = update.name("counted");
        let (one, limit) = (update.value(number(1)), update.value(AttributeValue::N(limit.to_string())));
        update.add.push(format!("{name} {one}"));
        update.condition = Some(format!("attribute_not_exists({name}) or {name} < {limit}"));
        update.expire_at(now.as_second().saturating_add_unsigned(ttl.as_secs()))
    }

    /// Adds to counters.
    pub(super) fn add_to_counters(increments: &[(SmolStr, u32)], ttl: Duration, now: Timestamp) -> Self {
        let increments = increments.iter().map(|(name, value)| (name.as_str(), u64::from(*value)));
        Update::add_numbers(increments).expire_at(now.as_second().saturating_add_unsigned(ttl.as_secs()))
    }

    /// Adds numbers to attributes. A missing attribute counts as zero.
    pub(super) fn add_numbers<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let mut update = Update::default();
        for (name, count) in counts {
            let (name, count) = (update.name(name), update.value(AttributeValue::N(count.to_string())));
            update.add.push(format!("{name} {count}"));
        }
        update
    }

    /// Makes the update conditional on the record's version, and increments the version.
    pub(super) fn if_version(mut self, version: u64) -> Self {
        let name = self.name("v");
        let expected = match version {
            0 => format!("attribute_not_exists({name})"),
            _ => format!("{name} = {}", self.value(AttributeValue::N(version.to_string()))),
        };
        let next = self.value(AttributeValue::N((version + 1).to_string()));
        self.set.push(format!("{name} = {next}"));
        self.condition = Some(expected);
        self
    }

    /// Makes the update conditional also on a field of the item. `pk` exists in every item.
    pub(super) fn if_field(mut self, field: &str) -> Self {
        let name = self.name(field);
        self.and(format!("attribute_exists({name})"))
    }

    /// Makes the update conditional also on the item's TTL.
    pub(super) fn if_unexpired(mut self, now: Timestamp) -> Self {
        let (name, now) = (self.name("exp"), self.value(number(now.as_second())));
        self.and(format!("{name} > {now}"))
    }

    fn and(mut self, condition: String) -> Self {
        self.condition = Some(match self.condition.take() {
            Some(other) => format!("{condition} and ({other})"),
            None => condition,
        });
        self
    }

    pub(super) fn remove_fields(mut self, names: impl IntoIterator<Item = String>) -> Self {
        for name in names {
            let name = self.name(&name);
            self.remove.push(name);
        }
        self
    }

    pub(super) fn expire_at(mut self, second: i64) -> Self {
        self.set("exp", number(second));
        self
    }

    /// Adds the expression to a call.
    pub(super) fn apply_to(&self, mut call: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let clause = |word: &str, parts: &[String]| if parts.is_empty() { String::new() } else { format!("{word} {} ", parts.join(", ")) };
        let expression = [clause("SET", &self.set), clause("REMOVE", &self.remove), clause("ADD", &self.add)].concat();
        for (at, name) in self.names.iter().enumerate() {
            call = call.expression_attribute_names(format!("#n{at}"), name);
        }
        for (at, value) in self.values.iter().enumerate() {
            call = call.expression_attribute_values(format!(":v{at}"), value.clone());
        }
        call.update_expression(expression.trim_end()).set_condition_expression(self.condition.clone())
    }

    fn set(&mut self, name: &str, value: AttributeValue) {
        let (name, value) = (self.name(name), self.value(value));
        self.set.push(format!("{name} = {value}"));
    }

    fn name(&mut self, name: &str) -> String {
        self.names.push(name.to_owned());
        format!("#n{}", self.names.len() - 1)
    }

    fn value(&mut self, value: AttributeValue) -> String {
        self.values.push(value);
        format!(":v{}", self.values.len() - 1)
    }
}
