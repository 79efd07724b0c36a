//! The activity table in Redis: one sorted set of at most [`MAX_ROWS`] rows by time, and a hash of counts for each day.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use futures_util::future::try_join_all;
use jiff::Timestamp;
use redis::Script;

use crate::{
    activity::{ActivityBatch, ActivityCounts, ActivityPage, ActivityRange, ActivityRow, DAY_SECONDS, HOUR_SECONDS, RowOrder, day_name},
    redis::{PREFIX, Redis, Retry, seconds},
};
use riskgate_engine::evidence::FailureReason;

/// The most rows that are stored: less than 100 MB. The oldest are dropped first.
const MAX_ROWS: usize = 100_000;

/// The key of the rows, without the prefix.
const ROWS: &str = "a#rows";

/// Rows that one command reads.
const PAGE: usize = 1000;

/// Adds rows, and deletes those that are too old or too many. Uses only commands that the sorted sets of addresses need too.
static PUT_ROWS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local key, most, oldest, ttl = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]
for at = 4, #ARGV, 2 do
    redis.call('ZADD', key, ARGV[at], ARGV[at + 1])
end
redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. oldest)
local excess = redis.call('ZCARD', key) - most
if excess > 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', redis.call('ZRANGE', key, excess - 1, excess - 1, 'WITHSCORES')[2])
end
redis.call('EXPIRE', key, ttl)
return redis.status_reply('OK')
",
    )
});

/// Adds numbers to fields of a hash.
static ADD_COUNTS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
for at = 2, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[at], (redis.call('HGET', KEYS[1], ARGV[at]) or 0) + ARGV[at + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.status_reply('OK')
",
    )
});

impl Redis {
    /// Writes rows and adds counts. Rows are sent again after a broken connection, counts are not: they would be added twice.
    pub(super) async fn write_activity(&self, batch: &ActivityBatch, ttl: Duration, now: Timestamp) -> Result<(), FailureReason> {
        let ttl_text = seconds(ttl);
        let rows = async {
            if batch.rows.is_empty() {
                return Ok(());
            }
            let oldest = now.checked_sub(ttl).unwrap_or(Timestamp::MIN).as_millisecond().to_string();
            let rows: Vec<(String, String)> = batch.rows.iter().map(|row| (row.at.as_millisecond().to_string(), member(row))).collect();
            let most = MAX_ROWS.to_string();
            let mut args: Vec<&[u8]> = vec![most.as_bytes(), oldest.as_bytes(), ttl_text.as_bytes()];
            args.extend(rows.iter().flat_map(|(score, member)| [score.as_bytes(), member.as_bytes()]));
            self.run_script::<()>(&PUT_ROWS, &[key(ROWS)], &args, Retry::OnDisconnect).await
        };
        let hours = batch.hours.iter().map(|(hour, counts)| async {
            let number = hour.rem_euclid(DAY_SECONDS) / HOUR_SECONDS;
            let fields: Vec<(String, String)> = ActivityCounts::NAMES
                .into_iter()
                .zip(counts.values())
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| (format!("{number:02}#{name}"), count.to_string()))
                .collect();
            let mut args: Vec<&[u8]> = vec![ttl_text.as_bytes()];
            args.extend(fields.iter().flat_map(|(field, count)| [field.as_bytes(), count.as_bytes()]));
            self.run_script::<()>(&ADD_COUNTS, &[counts_key(*hour)], &args, Retry::Never).await
        });
        futures_util::try_join!(rows, try_join_all(hours)).map(|_| ())
    }

    /// Reads the newest rows of a range, page by page from the newest.
    pub(super) async fn read_rows(&self, range: ActivityRange, most: usize) -> Result<ActivityPage, FailureReason> {
        let mut page = ActivityPage { rows: Vec::new(), is_complete: true };
        let mut seen = 0_usize;
        'pages: loop {
            let (first, last) = (seen + PAGE, seen + 1);
            let mut command = redis::cmd("ZRANGE");
            command.arg(key(ROWS)).arg(format!("-{first}")).arg(format!("-{last}")).arg("WITHSCORES");
            let found: Vec<(Vec<u8>, f64)> = self.run_command(&command, Retry::OnDisconnect).await?;
            seen += found.len();
            for row in found.iter().rev().filter_map(|(member, score)| parse_row(member, *score)) {
                if row.at < range.from {
                    break 'pages;
                }
                if !range.contains(row.at) {
                    continue;
                }
                if page.rows.len() >= most {
                    page.is_complete = false;
                    break 'pages;
                }
                page.rows.push(row);
            }
            if found.len() < PAGE {
                break;
            }
        }
        page.rows.reverse();
        Ok(page)
    }

    /// The counts of a day, by the start of their hour.
    pub(super) async fn read_counts(&self, day: i64) -> Result<BTreeMap<i64, ActivityCounts>, FailureReason> {
        let fields: BTreeMap<String, u64> = self.run_command(redis::cmd("HGETALL").arg(counts_key(day)), Retry::OnDisconnect).await?;
        let mut hours = BTreeMap::<i64, ActivityCounts>::new();
        for number in 0..24_i64 {
            let counts = ActivityCounts::from_values(|name| fields.get(&format!("{number:02}#{name}")).copied().unwrap_or_default());
            if counts != ActivityCounts::default() {
                hours.insert(day + number * HOUR_SECONDS, counts);
            }
        }
        Ok(hours)
    }

    /// Deletes a row.
    pub(super) async fn delete_row(&self, row: &ActivityRow) -> Result<(), FailureReason> {
        self.run_command::<i64>(redis::cmd("ZREM").arg(key(ROWS)).arg(member(row)), Retry::OnDisconnect).await.map(|_| ())
    }
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn counts_key(second: i64) -> String {
    format!("{PREFIX}a#{}", day_name(second))
}

/// The member of a row. Its score is the time in milliseconds.
fn member(row: &ActivityRow) -> String {
    format!("{}#{}#{}", row.user, row.id, row.what)
}

#[expect(clippy::cast_possible_truncation, reason = "a time in milliseconds is far below 2^53")]
fn parse_row(member: &[u8], score: f64) -> Option<ActivityRow> {
    let mut parts = std::str::from_utf8(member).ok()?.splitn(3, '#');
    let (user, id, what) = (parts.next()?, parts.next()?, parts.next()?);
    let at = Timestamp::from_millisecond(score as i64).ok()?;
    Some(ActivityRow { user: user.into(), at, id: id.into(), what: what.to_owned(), order: RowOrder::ByTime })
}
