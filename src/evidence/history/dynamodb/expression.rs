//! DynamoDB's update expressions: names and values by placeholder, so that no field's name can be a reserved word.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{operation::update_item::builders::UpdateItemFluentBuilder, primitives::Blob, types::AttributeValue};
use jiff::Timestamp;

use crate::evidence::history::store::{Change, Keep};

/// An item's attributes.
pub(super) type Item = HashMap<String, AttributeValue>;

/// An update expression in the making.
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
    /// A record's change.
    pub(super) fn of(change: &Change, now: Timestamp) -> Self {
        let mut update = Update::default();
        for (name, value) in &change.set {
            update.set(name, binary(value));
        }
        update = update.removing(change.remove.iter().filter(|name| change.set.iter().all(|(set, _)| set != *name)).map(ToString::to_string));
        let end = now.as_second().saturating_add_unsigned(change.keep.duration().as_secs());
        match change.keep {
            Keep::Renew(_) => update.until(end),
            Keep::Least(_) => {
                let (name, value) = (update.name("exp"), update.value(number(end)));
                update.set.push(format!("{name} = if_not_exists({name}, {value})"));
                update
            }
        }
    }

    /// A mark in a set of at most so many.
    pub(super) fn marking(set: &str, mark: &[u8], most: usize) -> Self {
        let mut update = Update::default();
        let name = update.name(set);
        let own = update.value(AttributeValue::Bs(vec![Blob::new(mark)]));
        let (one, most) = (update.value(binary(mark)), update.value(number(i64::try_from(most).unwrap_or(i64::MAX))));
        update.add.push(format!("{name} {own}"));
        update.condition = Some(format!("attribute_not_exists({name}) or size({name}) < {most} or contains({name}, {one})"));
        update
    }

    /// A value that stays with who set it first.
    pub(super) fn claiming(value: &[u8], keep: Duration, now: Timestamp) -> Self {
        let mut update = Update::default();
        for (name, value) in [("val", binary(value)), ("exp", number(now.as_second().saturating_add_unsigned(keep.as_secs())))] {
            let (name, value) = (update.name(name), update.value(value));
            update.set.push(format!("{name} = if_not_exists({name}, {value})"));
        }
        update
    }

    /// One more, while fewer than `limit` were counted.
    pub(super) fn counting(limit: u64, keep: Duration, now: Timestamp) -> Self {
        let mut update = Update::default();
        let name = update.name("counted");
        let (one, limit) = (update.value(number(1)), update.value(AttributeValue::N(limit.to_string())));
        update.add.push(format!("{name} {one}"));
        update.condition = Some(format!("attribute_not_exists({name}) or {name} < {limit}"));
        update.until(now.as_second().saturating_add_unsigned(keep.as_secs()))
    }

    /// Only if the record has this version; counts it up.
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

    pub(super) fn removing(mut self, names: impl IntoIterator<Item = String>) -> Self {
        for name in names {
            let name = self.name(&name);
            self.remove.push(name);
        }
        self
    }

    pub(super) fn until(mut self, second: i64) -> Self {
        self.set("exp", number(second));
        self
    }

    /// Puts the expression into a call.
    pub(super) fn fill(&self, mut call: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
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
