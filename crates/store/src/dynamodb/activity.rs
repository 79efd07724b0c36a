//! The activity table in DynamoDB. The rows of a day are in 16 partitions by user, each ordered by time; the counts of a day are in one.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use jiff::Timestamp;

use crate::{
    activity::{ActivityBatch, ActivityCounts, ActivityPage, ActivityRange, ActivityRow, DAY_SECONDS, HOUR_SECONDS, RowOrder, day_name, day_start},
    dynamodb::{
        DynamoDb,
        expression::{Item, Update},
        has_expired, string,
    },
};
use riskgate_engine::evidence::FailureReason;

/// Partitions of the rows of a day, and items of the counts of an hour.
const SHARDS: u32 = 16;

/// Rows that are written at the same time.
const MAX_CONCURRENT: usize = 16;

/// The fewest rows that are read from a partition at once.
const MIN_PAGE: usize = 64;

impl DynamoDb {
    /// Writes rows and adds counts, all at the same time.
    pub(super) async fn write_activity(&self, batch: &ActivityBatch, ttl: std::time::Duration, now: Timestamp) -> Result<(), FailureReason> {
        let rows: Vec<_> = batch.rows.iter().map(|row| self.put_row(row, ttl)).collect();
        let rows = stream::iter(rows).buffer_unordered(MAX_CONCURRENT).try_collect::<Vec<()>>();
        let expires_at = now.as_second().saturating_add_unsigned(ttl.as_secs());
        let hours = batch.hours.iter().map(|(hour, counts)| async {
            let counts = ActivityCounts::NAMES.into_iter().zip(counts.values()).filter(|(_, count)| *count > 0);
            let update = Update::add_numbers(counts).expire_at(expires_at);
            let number = hour.rem_euclid(DAY_SECONDS) / HOUR_SECONDS;
            // A random item, because one item accepts about a thousand updates a second.
            let sk = format!("{number:02}#{:02}", fastrand::u32(0..SHARDS));
            self.update_item(&counts_key(*hour), &sk, &update).await.map(|_| ())
        });
        futures_util::try_join!(rows, try_join_all(hours)).map(|_| ())
    }

    async fn put_row(&self, row: &ActivityRow, ttl: std::time::Duration) -> Result<(), FailureReason> {
        self.put_item(&partition_key(row), &sort_key(row), string(&row.what), row.at.checked_add(ttl).ok()).await
    }

    /// Reads the newest rows of a range: day by day, the partitions of a day at the same time.
    pub(super) async fn read_rows(&self, range: ActivityRange, most: usize, now: Timestamp) -> Result<ActivityPage, FailureReason> {
        let mut page = ActivityPage { rows: Vec::new(), is_complete: true };
        for day in range.days() {
            let left = most.saturating_sub(page.rows.len());
            // Users are spread evenly, so twice an even share is rarely too little.
            let share = left / (SHARDS as usize / 2) + MIN_PAGE;
            let shards = (0..SHARDS).map(|shard| self.read_shard(day, shard, range, share, now));
            let (mut rows, mut complete_from) = (Vec::new(), None);
            for (found, is_complete) in try_join_all(shards).await? {
                if !is_complete {
                    complete_from = complete_from.max(found.last().map(|row| row.at));
                }
                rows.extend(found);
            }
            rows.sort_by_key(|row| std::cmp::Reverse(row.at));
            rows.retain(|row| complete_from.is_none_or(|from| row.at >= from));
            page.is_complete &= complete_from.is_none() && rows.len() <= left;
            rows.truncate(left);
            page.rows.extend(rows);
            if !page.is_complete {
                break;
            }
        }
        page.rows.reverse();
        Ok(page)
    }

    /// The newest rows of one partition in a range, newest first, and whether these are all.
    async fn read_shard(&self, day: i64, shard: u32, range: ActivityRange, most: usize, now: Timestamp) -> Result<(Vec<ActivityRow>, bool), FailureReason> {
        let client = self.client().await?;
        let pk = shard_key(day, shard);
        let from = if day_start(range.from) == day { time_of_day(range.from) } else { "00".to_owned() };
        // `$` follows `#`, which ends the time in a key.
        let to = if day_start(range.to) == day { format!("{}$", time_of_day(range.to)) } else { "24".to_owned() };
        let (mut rows, mut start) = (Vec::new(), None);
        loop {
            let limit = i32::try_from(most).ok();
            let call = || {
                let query = client.query().table_name(&self.table).set_exclusive_start_key(start.clone());
                let query = query.key_condition_expression("pk = :pk and sk between :from and :to").scan_index_forward(false).set_limit(limit);
                let query = query.expression_attribute_values(":pk", string(&pk)).expression_attribute_values(":from", string(&from));
                query.expression_attribute_values(":to", string(&to)).send()
            };
            let found = self.send(client, call).await.map_err(|error| self.classify_error("Query", &error))?;
            rows.extend(found.items.unwrap_or_default().iter().filter(|item| !has_expired(item, now)).filter_map(|item| parse_row(item, RowOrder::ByTime)));
            start = found.last_evaluated_key;
            if start.is_none() {
                return Ok((rows, true));
            }
            if rows.len() >= most {
                return Ok((rows, false));
            }
        }
    }

    /// The rows of a user in a range, those of earlier versions included. Reads one partition of each day.
    pub(super) async fn read_rows_of(&self, user: &str, range: ActivityRange, now: Timestamp) -> Result<Vec<ActivityRow>, FailureReason> {
        let shard = shard_of(user);
        let days = stream::iter(range.days().map(|day| async move {
            let prefix = format!("{user}#");
            let pk = shard_key(day, shard);
            let (by_time, by_user) = futures_util::try_join!(self.read_shard(day, shard, range, usize::MAX, now), self.query_items(&pk, Some(&prefix)))?;
            let mut rows = by_time.0;
            rows.retain(|row| row.user == user);
            rows.extend(by_user.iter().filter_map(|item| parse_row(item, RowOrder::ByUser)));
            Ok(rows)
        }));
        let mut rows = days.buffer_unordered(MAX_CONCURRENT).try_concat().await?;
        rows.sort_by_key(|row| row.at);
        Ok(rows)
    }

    /// The counts of a day, by the start of their hour.
    pub(super) async fn read_counts(&self, day: i64, now: Timestamp) -> Result<BTreeMap<i64, ActivityCounts>, FailureReason> {
        let mut hours = BTreeMap::<i64, ActivityCounts>::new();
        for item in self.query_items(&counts_key(day), None).await?.iter().filter(|item| !has_expired(item, now)) {
            let Some(number) = item.get("sk").and_then(|sk| sk.as_s().ok()?.get(..2)?.parse::<i64>().ok()) else { continue };
            let counts = ActivityCounts::from_values(|name| item.get(name).and_then(|count| count.as_n().ok()?.parse().ok()).unwrap_or_default());
            let hour = hours.entry(day + number * HOUR_SECONDS).or_default();
            *hour = hour.plus(counts);
        }
        Ok(hours)
    }

    /// Deletes a row.
    pub(super) async fn delete_row(&self, row: &ActivityRow) -> Result<(), FailureReason> {
        self.delete_item(&partition_key(row), &sort_key(row)).await
    }
}

fn partition_key(row: &ActivityRow) -> String {
    // A row without a user belongs to no one, and is spread by its id.
    let spread_by = if row.user.is_empty() { &row.id } else { &row.user };
    shard_key(row.at.as_second(), shard_of(spread_by))
}

fn shard_key(day: i64, shard: u32) -> String {
    format!("a#{}#{shard:02}", day_name(day))
}

fn counts_key(day: i64) -> String {
    format!("a#{}#hours", day_name(day))
}

fn sort_key(row: &ActivityRow) -> String {
    match row.order {
        RowOrder::ByTime => format!("{}#{}#{}", time_of_day(row.at), row.user, row.id),
        RowOrder::ByUser => format!("{}#{}#{}", row.user, time_of_day(row.at), row.id),
    }
}

fn time_of_day(at: Timestamp) -> String {
    at.strftime("%H:%M:%S%.3f").to_string()
}

/// FNV-1a (Fowler, Noll, Vo), because other programs that read the table can compute it easily.
fn shard_of(user: &str) -> u32 {
    user.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) % SHARDS
}

/// Reads a row; `None` if its key has another order.
fn parse_row(item: &Item, order: RowOrder) -> Option<ActivityRow> {
    let text = |name: &str| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok());
    let (pk, sk) = (text("pk")?, text("sk")?);
    let day = pk.strip_prefix("a#")?.get(..10)?;
    let mut parts = sk.split('#');
    let (first, second, id) = (parts.next()?, parts.next()?, parts.next()?);
    let (time, user) = if order == RowOrder::ByTime { (first, second) } else { (second, first) };
    Some(ActivityRow { user: user.into(), at: format!("{day}T{time}Z").parse().ok()?, id: id.into(), what: text("val")?.clone(), order })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_from_the_key_that_it_is_written_under() {
        let at = "2026-11-29T03:04:05.006Z".parse().expect("a time");
        for (order, key) in [(RowOrder::ByTime, "03:04:05.006#ada#01X"), (RowOrder::ByUser, "ada#03:04:05.006#01X")] {
            let row = ActivityRow { user: "ada".into(), at, id: "01X".into(), what: "{}".to_owned(), order };
            assert_eq!(sort_key(&row), key);
            let item = Item::from(
                [("pk", partition_key(&row)), ("sk", sort_key(&row)), ("val", row.what.clone())].map(|(name, text)| (name.to_owned(), string(&text))),
            );
            assert_eq!(parse_row(&item, order), Some(row));
        }
    }
}
