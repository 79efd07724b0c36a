//! Counters: an item for each key and bucket, with a number for each counter.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::{
    CounterBucket, Counters, MAX_BUCKETS,
    dynamodb::{
        DynamoDb,
        expression::{Item, Update},
        has_expired, string,
    },
};
use riskgate_engine::evidence::FailureReason;

/// Counters in one update expression, which is limited to 4 KB and 300 operators. A sign-in has at most ten.
const MAX_IN_UPDATE: usize = 64;

impl DynamoDb {
    pub(super) async fn add_counters(
        &self,
        bucket: CounterBucket<'_>,
        increments: &[(SmolStr, u32)],
        ttl: Duration,
        now: Timestamp,
    ) -> Result<u64, FailureReason> {
        let (pk, sk) = (partition_key(bucket.key), sort_key(bucket.number));
        let mut first = None;
        for part in increments.chunks(MAX_IN_UPDATE) {
            let item = self.update_item(&pk, &sk, &Update::add_to_counters(part, ttl, now)).await?.map_err(|_| FailureReason::BadAnswer)?;
            first = first.or_else(|| part.first().and_then(|(name, _)| item.get(name.as_str())?.as_n().ok()?.parse().ok()));
        }
        Ok(first.unwrap_or_default())
    }

    pub(super) async fn query_counters(&self, key: &str, from: i64, to: i64, now: Timestamp) -> Result<BTreeMap<i64, Counters>, FailureReason> {
        let range = (sort_key(from.max(to - MAX_BUCKETS + 1)), sort_key(to));
        let items = self.query_range(&partition_key(key), &range).await?;
        Ok(items.iter().filter(|item| !has_expired(item, now)).filter_map(counters).collect())
    }

    async fn query_range(&self, pk: &str, (from, to): &(String, String)) -> Result<Vec<Item>, FailureReason> {
        let client = self.client().await?;
        let (mut items, mut next) = (Vec::new(), None);
        loop {
            let call = || {
                client
                    .query()
                    .table_name(&self.table)
                    .set_exclusive_start_key(next.clone())
                    .consistent_read(true)
                    .key_condition_expression("pk = :pk and sk between :from and :to")
                    .expression_attribute_values(":pk", string(pk))
                    .expression_attribute_values(":from", string(from))
                    .expression_attribute_values(":to", string(to))
                    .send()
            };
            let page = self.send(client, call).await.map_err(|error| self.classify_error("Query", &error))?;
            items.extend(page.items.unwrap_or_default());
            next = page.last_evaluated_key;
            if next.is_none() {
                return Ok(items);
            }
        }
    }
}

fn partition_key(key: &str) -> String {
    format!("w#{key}")
}

/// The number with leading zeros, so that items are in the order of their numbers.
fn sort_key(number: i64) -> String {
    format!("{number:012}")
}

fn counters(item: &Item) -> Option<(i64, Counters)> {
    let number = item.get("sk")?.as_s().ok()?.parse().ok()?;
    let counters = item.iter().filter(|(name, _)| *name != "exp").filter_map(|(name, value)| Some((name.into(), value.as_n().ok()?.parse().ok()?)));
    Some((number, counters.collect()))
}
