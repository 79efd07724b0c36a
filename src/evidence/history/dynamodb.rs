//! The store in one DynamoDB table, with the keys `pk` and `sk` and the TTL attribute `exp`: the layout is in `docs/STORE.md`.
//!
//! One attempt a call: Cognito does not wait for a second. Only a throttled call is made again, once.
//! TTL is lazy, so what has expired is not read either.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    primitives::Blob,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use jiff::Timestamp;
use smol_str::SmolStr;

use super::{
    store::{Change, Changed, Keep, List, Mark, MarkTime, Marked, Marks, Record, Reply, Row, Store},
    velocity::{MARK_WINDOW, MOST_MARKS},
};
use crate::evidence::{
    Cause,
    aws::{AwsFault, Identity},
};

mod expression;

use self::expression::{Item, Update, binary, number};

/// Marks of a network are kept in sets of half an hour; two of them make the window.
const SLOT: i64 = MARK_WINDOW / 2;

/// Activity rows of a day are spread over so many partitions.
const SHARDS: u32 = 16;

/// Longest time to connect: a connection serves the sign-ins after it.
const CONNECT: Duration = Duration::from_secs(5);

/// A store in DynamoDB.
pub struct DynamoDb {
    table: String,
    timeout: Duration,
    /// None over a client of the caller's.
    identity: Option<Identity>,
    client: OnceLock<Client>,
    /// What keeps calls from being signed.
    fault: Mutex<Option<AwsFault>>,
    /// The action that the role lacks, if the last call that failed was refused for that.
    refused: Mutex<Option<&'static str>>,
    is_connecting: Arc<AtomicBool>,
}

/// Connects in the background if its call ends without an answer: a connection that takes longer than one call may wait is there for the next.
struct Connecting<'a> {
    store: &'a DynamoDb,
    client: &'a Client,
    is_answered: bool,
}

impl DynamoDb {
    /// A store in a table of the surrounding AWS configuration (region, credentials, `AWS_ENDPOINT_URL_DYNAMODB`); read by the first call.
    pub fn open(table: &str, timeout: Duration) -> Self {
        Self::new(table, timeout, Some(Identity::surrounding()), OnceLock::new())
    }

    /// A store over a client of the caller's.
    pub fn over(client: Client, table: &str) -> Self {
        Self::new(table, Duration::from_secs(1), None, OnceLock::from(client))
    }

    fn new(table: &str, timeout: Duration, identity: Option<Identity>, client: OnceLock<Client>) -> Self {
        DynamoDb { table: table.to_owned(), timeout, identity, client, fault: Mutex::default(), refused: Mutex::default(), is_connecting: Arc::default() }
    }

    /// The client, once there are credentials to sign its calls.
    async fn client(&self) -> Result<&Client, Cause> {
        let config = match &self.identity {
            Some(identity) => Some((identity, identity.ready().await.map_err(|fault| self.note(fault))?)),
            None => None,
        };
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let (identity, config) = config.ok_or(Cause::NoStore)?;
        if config.region().is_none() {
            return Err(self.note(AwsFault::NoRegion));
        }
        let config = config
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(identity.clone()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(self.timeout))
            .build();
        Ok(self.client.get_or_init(|| Client::new(&config)))
    }

    fn note(&self, fault: AwsFault) -> Cause {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        Cause::NoCredentials
    }

    /// Why a call of an action failed; what the operator has to correct is remembered.
    fn cause<E: ProvideErrorMetadata>(&self, action: &'static str, error: &SdkError<E>) -> Cause {
        let refused = error.code() == Some("AccessDeniedException");
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused.then_some(action);
        if error.code() == Some("ExpiredTokenException") {
            return self.note(AwsFault::Expired);
        }
        if error.as_service_error().is_some() {
            // The call was signed.
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        cause(error)
    }

    /// Sends a call; a throttled one a second time.
    async fn send<T, E, F>(&self, client: &Client, call: impl Fn() -> F) -> Result<T, SdkError<E>>
    where
        E: ProvideErrorMetadata,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let mut connecting = Connecting { store: self, client, is_answered: false };
        let answer = match call().await {
            Err(error) if is_throttled(&error) => {
                tokio::time::sleep(Duration::from_millis(rand::random_range(5..25))).await;
                call().await
            }
            answer => answer,
        };
        connecting.is_answered = !matches!(&answer, Err(SdkError::TimeoutError(_) | SdkError::DispatchFailure(_)));
        answer
    }

    async fn update(&self, pk: &str, sk: &str, update: &Update) -> Result<Result<Item, Option<Item>>, Cause> {
        let client = self.client().await?;
        let call = || {
            let call: UpdateItemFluentBuilder = client.update_item().table_name(&self.table).key("pk", string(pk)).key("sk", string(sk));
            update.fill(call).return_values(ReturnValue::AllNew).return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).send()
        };
        match self.send(client, call).await {
            Ok(output) => Ok(Ok(output.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Ok(Err(failed.item().cloned())),
                Some(_) | None => Err(self.cause("UpdateItem", &error)),
            },
        }
    }

    async fn put(&self, pk: &str, sk: &str, value: AttributeValue, until: Option<Timestamp>) -> Result<(), Cause> {
        let client = self.client().await?;
        let call = || {
            let put = client.put_item().table_name(&self.table).item("pk", string(pk)).item("sk", string(sk)).item("val", value.clone());
            match until {
                Some(until) => put.item("exp", number(until.as_second())),
                None => put,
            }
            .send()
        };
        self.send(client, call).await.map(|_| ()).map_err(|error| self.cause("PutItem", &error))
    }

    async fn get(&self, pk: &str, sk: &str, now: Timestamp) -> Result<Option<Item>, Cause> {
        let client = self.client().await?;
        // A post-authentication comes 150 ms after the attempt that it completes: it has to see it.
        let call = || client.get_item().table_name(&self.table).key("pk", string(pk)).key("sk", string(sk)).consistent_read(true).send();
        let output = self.send(client, call).await.map_err(|error| self.cause("GetItem", &error))?;
        Ok(output.item.filter(|item| !has_expired(item, now)))
    }

    async fn delete(&self, pk: &str, sk: &str) -> Result<(), Cause> {
        let client = self.client().await?;
        let call = || client.delete_item().table_name(&self.table).key("pk", string(pk)).key("sk", string(sk)).send();
        self.send(client, call).await.map(|_| ()).map_err(|error| self.cause("DeleteItem", &error))
    }

    async fn mark_one(&self, window: &str, mark: Mark, MarkTime { at, now }: MarkTime) -> Result<Marks, Cause> {
        let slot = at.as_second() / SLOT;
        let update = Update::marking(&slot_name(slot), &mark.to_bytes(), MOST_MARKS)
            // Sets that lie before the window go; an item that nobody touches goes by its TTL.
            .removing((2..8).map(|age| slot_name(slot - age)))
            .until(now.as_second() + 2 * MARK_WINDOW);
        let item = match self.update(window, "n", &update).await? {
            Ok(item) => Some(item),
            Err(full) => full,
        };
        let sets = [slot, slot - 1].map(|slot| item.as_ref().and_then(|item| item.get(&slot_name(slot))?.as_bs().ok()).cloned().unwrap_or_default());
        let mut marks: Marks = sets.concat().iter().filter_map(|blob| Mark::from_bytes(blob.as_ref())).collect();
        marks.sort_unstable();
        marks.dedup();
        Ok(marks)
    }

    async fn query(&self, pk: &str, starts_with: Option<&str>) -> Result<Vec<Item>, Cause> {
        let client = self.client().await?;
        let mut items = Vec::new();
        let mut from = None;
        loop {
            let call = || {
                let query = client.query().table_name(&self.table).set_exclusive_start_key(from.clone()).expression_attribute_values(":pk", string(pk));
                match starts_with {
                    Some(start) => query.key_condition_expression("pk = :pk and begins_with(sk, :start)").expression_attribute_values(":start", string(start)),
                    None => query.key_condition_expression("pk = :pk"),
                }
                .send()
            };
            let page = self.send(client, call).await.map_err(|error| self.cause("Query", &error))?;
            items.extend(page.items.unwrap_or_default());
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(items);
            }
        }
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_answered || self.store.is_connecting.swap(true, Ordering::Relaxed) {
            return;
        }
        let is_connecting = Arc::clone(&self.store.is_connecting);
        // A key that no record has.
        let call = self.client.get_item().table_name(&self.store.table).key("pk", string("connect")).key("sk", string("connect"));
        let call = call.customize().config_override(aws_sdk_dynamodb::config::Builder::new().timeout_config(timeouts(CONNECT)));
        runtime.spawn(async move {
            // Whatever it answers, the connection is there.
            let _ = call.send().await;
            is_connecting.store(false, Ordering::Relaxed);
        });
    }
}

impl Store for DynamoDb {
    fn name(&self) -> &'static str {
        "dynamodb"
    }

    fn problem(&self) -> Option<String> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).map(|fault| fault.to_string());
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        fault.or_else(|| Some(format!("AWS refuses dynamodb:{}: allow the role this action on the table that STORE names", refused?)))
    }

    fn only_lengthens(&self) -> bool {
        false
    }

    fn change<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        Box::pin(async move {
            let pk = format!("u#{key}");
            let item = self.update(&pk, "u", &Update::of(&change, now)).await?.map_err(|_| Cause::BadAnswer)?;
            if !has_expired(&item, now) {
                return Ok(Arc::new(record(item)));
            }
            // It should have been gone: what was just set is all there is.
            let remove = record(item).fields.into_keys().filter(|name| change.set.iter().all(|(set, _)| set != name)).collect();
            let own = Change { keep: Keep::Renew(change.keep.duration()), remove, ..change };
            let item = self.update(&pk, "u", &Update::of(&own, now)).await?.map_err(|_| Cause::BadAnswer)?;
            Ok(Arc::new(record(item)))
        })
    }

    fn change_if<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed> {
        Box::pin(async move {
            let update = Update::of(&change, now).if_version(version);
            Ok(self.update(&format!("u#{key}"), "u", &update).await?.map_or(Changed::Conflict(change), |_| Changed::Done))
        })
    }

    fn read<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>> {
        Box::pin(async move { Ok(self.get(&format!("u#{key}"), "u", now).await?.map(record).unwrap_or_default().into()) })
    }

    fn replace<'a>(&'a self, key: &'a str, record: Record, keep: Duration, now: Timestamp) -> Reply<'a, ()> {
        Box::pin(async move {
            let client = self.client().await?;
            let call = || {
                let put = client.put_item().table_name(&self.table).item("pk", string(&format!("u#{key}"))).item("sk", string("u"));
                let put = put.item("v", AttributeValue::N(record.version.to_string()));
                let put = put.item("exp", number(now.as_second().saturating_add_unsigned(keep.as_secs())));
                record.fields.iter().fold(put, |put, (name, value)| put.item(name.as_str(), binary(value))).send()
            };
            self.send(client, call).await.map(|_| ()).map_err(|error| self.cause("PutItem", &error))
        })
    }

    fn mark<'a>(&'a self, windows: &'a [SmolStr], mark: Mark, time: MarkTime) -> Reply<'a, Marked> {
        Box::pin(async move {
            let marked = windows.iter().map(|window| self.mark_one(window, mark, time));
            futures_util::future::try_join_all(marked).await.map(Marked::from_vec)
        })
    }

    fn claim<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, Vec<u8>> {
        Box::pin(async move {
            let item = self.update(key, "x", &Update::claiming(value, keep, now)).await?.map_err(|_| Cause::BadAnswer)?;
            value_of(&item).ok_or(Cause::BadAnswer)
        })
    }

    fn keep<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, ()> {
        Box::pin(async move { self.put(key, "x", binary(value), now.checked_add(keep).ok()).await })
    }

    fn count<'a>(&'a self, key: &'a str, limit: u64, keep: Duration, now: Timestamp) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.update(key, "x", &Update::counting(limit, keep, now)).await?.is_ok()) })
    }

    fn fetch<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        Box::pin(async move { Ok(self.get(key, "x", now).await?.as_ref().and_then(value_of)) })
    }

    fn list<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        Box::pin(async move {
            let items = self.query(list.key(), None).await?;
            let in_force = items.iter().filter(|item| !has_expired(item, now));
            Ok(in_force.filter_map(|item| Some((item.get("sk")?.as_s().ok()?.clone(), value_of(item).unwrap_or_default()))).collect())
        })
    }

    fn enlist<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        Box::pin(async move { self.put(list.key(), name, binary(value), until).await })
    }

    fn delist<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { self.delete(list.key(), name).await })
    }

    fn note<'a>(&'a self, row: &'a Row, keep: Duration) -> Reply<'a, ()> {
        Box::pin(async move { self.put(&partition(row), &sort_key(row), AttributeValue::S(row.what.clone()), row.at.checked_add(keep).ok()).await })
    }

    fn activity<'a>(&'a self, day: &'a str, user: Option<&'a str>) -> Reply<'a, Vec<Row>> {
        Box::pin(async move {
            let mut rows = Vec::new();
            let shards = match user {
                Some(user) => shard(user)..shard(user) + 1,
                None => 0..SHARDS,
            };
            let start = user.map(|user| format!("{user}#"));
            for shard in shards {
                let items = self.query(&format!("a#{day}#{shard:02}"), start.as_deref()).await?;
                rows.extend(items.iter().filter_map(read_row));
            }
            Ok(rows)
        })
    }

    fn erase_row<'a>(&'a self, row: &'a Row) -> Reply<'a, ()> {
        Box::pin(async move { self.delete(&partition(row), &sort_key(row)).await })
    }
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DynamoDb({})", self.table)
    }
}

fn timeouts(operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(operation).build()
}

fn string(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn slot_name(slot: i64) -> String {
    format!("s{slot}")
}

fn has_expired(item: &Item, now: Timestamp) -> bool {
    let exp = item.get("exp").and_then(|exp| exp.as_n().ok()?.parse::<i64>().ok());
    exp.is_some_and(|exp| exp <= now.as_second())
}

fn value_of(item: &Item) -> Option<Vec<u8>> {
    item.get("val")?.as_b().ok().map(|blob: &Blob| blob.as_ref().to_vec())
}

fn record(item: HashMap<String, AttributeValue>) -> Record {
    let version = item.get("v").and_then(|version| version.as_n().ok()?.parse().ok()).unwrap_or_default();
    let fields = item.into_iter().filter_map(|(name, value)| Some((name.into(), value.as_b().ok()?.as_ref().to_vec())));
    Record { fields: fields.collect(), version }
}

/// Rows of a day lie in 16 partitions by person: one person's day is one query, everybody's sixteen.
fn partition(row: &Row) -> String {
    format!("a#{}#{:02}", row.at.strftime("%Y-%m-%d"), shard(&row.user))
}

fn sort_key(row: &Row) -> String {
    format!("{}#{}#{}", row.user, row.at.strftime("%H:%M:%S%.3f"), row.id)
}

/// FNV-1a (Fowler, Noll, Vo): others who read the table can compute it.
fn shard(user: &str) -> u32 {
    user.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) % SHARDS
}

fn read_row(item: &Item) -> Option<Row> {
    let (pk, sk) = (item.get("pk")?.as_s().ok()?, item.get("sk")?.as_s().ok()?);
    let day = pk.strip_prefix("a#")?.get(..10)?;
    let mut parts = sk.split('#');
    let (user, time, id) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Row { user: user.into(), at: format!("{day}T{time}Z").parse().ok()?, id: id.into(), what: item.get("val")?.as_s().ok()?.clone() })
}

fn is_throttled<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(error.code(), Some("ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded"))
}

fn cause<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Cause {
    if is_throttled(error) {
        return Cause::RateLimited;
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows: whatever else it says, the store is not to be had")]
    match error {
        SdkError::TimeoutError(_) => Cause::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Cause::Timeout,
        SdkError::DispatchFailure(_) => Cause::Connect,
        SdkError::ResponseError(_) => Cause::BadAnswer,
        SdkError::ServiceError(context) => match context.err().code() {
            Some("AccessDeniedException" | "UnrecognizedClientException" | "ExpiredTokenException") => Cause::KeyRefused,
            Some("ResourceNotFoundException") => Cause::NoStore,
            // One item that has grown to DynamoDB's limit; the others can be written.
            Some("ValidationException") if error.message().is_some_and(|message| message.contains("tem size")) => Cause::TooLarge,
            _ if context.raw().status().is_server_error() => Cause::Http5xx,
            // A success that is not one: something else answers there.
            _ if context.raw().status().is_success() => Cause::BadAnswer,
            _ => Cause::Http4xx,
        },
        _ => Cause::NoStore,
    }
}
