//! A store in one DynamoDB table, with the keys `pk` and `sk` and the TTL attribute `exp`. `docs/STORE.md` describes the layout.
//!
//! Calls are not retried, because Cognito does not wait for a second attempt. Only a throttled call is repeated, once.
//! DynamoDB deletes expired items late, so reads filter them out.

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

use crate::activity::{ActivityBatch, ActivityCounts, ActivityPage, ActivityRange, ActivityRow};
use crate::{Change, Changed, CounterBucket, Counters, EntriesByWindow, EntryTime, List, MissingWindow, Record, Reply, Store, Ttl, WindowEntry};
use riskgate_aws::environment::{AwsFault, Identity};
use riskgate_engine::evidence::FailureReason;
use riskgate_engine::velocity::{ACCOUNT_WINDOW_SECONDS, MAX_WINDOW_ENTRIES};

use crate::dynamodb::expression::{Item, Update, binary, number};

mod activity;

mod counters;

mod expression;

/// Entries of a window are stored in sets that each cover half an hour. A window consists of two sets.
const SLOT_SECONDS: i64 = ACCOUNT_WINDOW_SECONDS / 2;

/// Maximum time to connect. It is longer than a call may take, because the connection serves later sign-ins.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A store in DynamoDB.
pub struct DynamoDb {
    table: String,
    timeout: Duration,
    /// `None` if the caller provided the client.
    identity: Option<Identity>,
    client: OnceLock<Client>,
    /// Why calls cannot be signed.
    fault: Mutex<Option<AwsFault>>,
    /// The action that the role lacks, if that was why the last failed call was refused.
    refused: Mutex<Option<&'static str>>,
    is_connecting: Arc<AtomicBool>,
}

/// Connects in the background if its call ends without an answer. The next call then finds a connection, even one that takes longer to
/// establish than a call may take.
struct BackgroundConnect<'a> {
    store: &'a DynamoDb,
    client: &'a Client,
    is_answered: bool,
}

impl DynamoDb {
    /// A store in a table. The first call reads the AWS configuration from the environment (region, credentials, `AWS_ENDPOINT_URL_DYNAMODB`).
    pub fn open(table: &str, timeout: Duration) -> Self {
        Self::new(table, timeout, Some(Identity::from_environment()), OnceLock::new())
    }

    /// A store that uses the given client.
    pub fn with_client(client: Client, table: &str) -> Self {
        Self::new(table, Duration::from_secs(1), None, OnceLock::from(client))
    }

    fn new(table: &str, timeout: Duration, identity: Option<Identity>, client: OnceLock<Client>) -> Self {
        DynamoDb { table: table.to_owned(), timeout, identity, client, fault: Mutex::default(), refused: Mutex::default(), is_connecting: Arc::default() }
    }

    /// The client. Waits for the credentials that sign its calls.
    async fn client(&self) -> Result<&Client, FailureReason> {
        let config = match &self.identity {
            Some(identity) => Some((identity, identity.ready().await.map_err(|fault| self.record_fault(fault))?)),
            None => None,
        };
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let (identity, config) = config.ok_or(FailureReason::NoStore)?;
        if config.region().is_none() {
            return Err(self.record_fault(AwsFault::NoRegion));
        }
        let config = config
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(identity.clone()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(self.timeout))
            .build();
        Ok(self.client.get_or_init(|| Client::new(&config)))
    }

    fn record_fault(&self, fault: AwsFault) -> FailureReason {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        FailureReason::NoCredentials
    }

    /// The failure reason of a call of an action. Stores what the operator has to correct.
    fn classify_error<E: ProvideErrorMetadata>(&self, action: &'static str, error: &SdkError<E>) -> FailureReason {
        let refused = error.code() == Some("AccessDeniedException");
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused.then_some(action);
        if error.code() == Some("ExpiredTokenException") {
            return self.record_fault(AwsFault::Expired);
        }
        if error.as_service_error().is_some() {
            // The service answered, so the call was signed.
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        failure_reason(error)
    }

    /// Sends a call, and repeats it once if it was throttled.
    async fn send<T, E, F>(&self, client: &Client, call: impl Fn() -> F) -> Result<T, SdkError<E>>
    where
        E: ProvideErrorMetadata,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let mut connect = BackgroundConnect { store: self, client, is_answered: false };
        let answer = match call().await {
            Err(error) if is_throttled(&error) => {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(5..25))).await;
                call().await
            }
            answer => answer,
        };
        connect.is_answered = !matches!(&answer, Err(SdkError::TimeoutError(_) | SdkError::DispatchFailure(_)));
        answer
    }

    async fn update_item(&self, pk: &str, sk: &str, update: &Update) -> Result<Result<Item, Option<Item>>, FailureReason> {
        let client = self.client().await?;
        let call = || {
            let call: UpdateItemFluentBuilder = client.update_item().table_name(&self.table).key("pk", string(pk)).key("sk", string(sk));
            update
                .apply_to(call)
                .return_values(ReturnValue::AllNew)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .send()
        };
        match self.send(client, call).await {
            Ok(output) => Ok(Ok(output.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Ok(Err(failed.item().cloned())),
                Some(_) | None => Err(self.classify_error("UpdateItem", &error)),
            },
        }
    }

    async fn put_item(&self, pk: &str, sk: &str, value: AttributeValue, until: Option<Timestamp>) -> Result<(), FailureReason> {
        let client = self.client().await?;
        let call = || {
            let put = client.put_item().table_name(&self.table).item("pk", string(pk)).item("sk", string(sk)).item("val", value.clone());
            match until {
                Some(until) => put.item("exp", number(until.as_second())),
                None => put,
            }
            .send()
        };
        self.send(client, call).await.map(|_| ()).map_err(|error| self.classify_error("PutItem", &error))
    }

    async fn get_item(&self, pk: &str, sk: &str, now: Timestamp) -> Result<Option<Item>, FailureReason> {
        let client = self.client().await?;
        // Consistent, because a post-authentication follows its attempt by about 150 ms and has to find it.
        let call = || client.get_item().table_name(&self.table).key("pk", string(pk)).key("sk", string(sk)).consistent_read(true).send();
        let output = self.send(client, call).await.map_err(|error| self.classify_error("GetItem", &error))?;
        Ok(output.item.filter(|item| !has_expired(item, now)))
    }

    async fn delete_item(&self, pk: &str, sk: &str) -> Result<(), FailureReason> {
        let client = self.client().await?;
        let call = || client.delete_item().table_name(&self.table).key("pk", string(pk)).key("sk", string(sk)).send();
        self.send(client, call).await.map(|_| ()).map_err(|error| self.classify_error("DeleteItem", &error))
    }

    async fn add_to_one_window(
        &self,
        window: &str,
        entry: WindowEntry,
        missing: MissingWindow,
        EntryTime { at, now }: EntryTime,
    ) -> Result<Vec<Blob>, FailureReason> {
        let slot = at.as_second() / SLOT_SECONDS;
        let mut update = Update::add_to_set(&slot_name(slot), &entry.to_bytes(), MAX_WINDOW_ENTRIES)
            // Removes sets from before the window. An item without new entries expires by its TTL.
            .remove_fields((2..8).map(|age| slot_name(slot - age)))
            .expire_at(now.as_second() + 2 * ACCOUNT_WINDOW_SECONDS);
        if missing == MissingWindow::Skip {
            update = update.if_field("pk");
        }
        let item = match self.update_item(window, "n", &update).await? {
            Ok(item) => Some(item),
            Err(full) => full,
        };
        let sets = [slot, slot - 1].map(|slot| item.as_ref().and_then(|item| item.get(&slot_name(slot))?.as_bs().ok()).cloned().unwrap_or_default());
        Ok(sets.concat())
    }

    async fn query_items(&self, pk: &str, starts_with: Option<&str>) -> Result<Vec<Item>, FailureReason> {
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
            let page = self.send(client, call).await.map_err(|error| self.classify_error("Query", &error))?;
            items.extend(page.items.unwrap_or_default());
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(items);
            }
        }
    }
}

impl Drop for BackgroundConnect<'_> {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_answered || self.store.is_connecting.swap(true, Ordering::Relaxed) {
            return;
        }
        let is_connecting = Arc::clone(&self.store.is_connecting);
        // No record has this key.
        let call = self.client.get_item().table_name(&self.store.table).key("pk", string("connect")).key("sk", string("connect"));
        let call = call.customize().config_override(aws_sdk_dynamodb::config::Builder::new().timeout_config(timeouts(CONNECT_TIMEOUT)));
        runtime.spawn(async move {
            // Any answer means that the connection exists.
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

    fn never_shortens_ttl(&self) -> bool {
        false
    }

    fn update<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        Box::pin(async move {
            let pk = format!("u#{key}");
            let mut change = change;
            let mut updated = self.update_item(&pk, "u", &Update::from_change(&change, now)).await?;
            if updated.is_err() && matches!(change.ttl, Ttl::Extend { .. }) {
                // Another write has changed the TTL in the meantime.
                change.ttl = Ttl::AtLeast(change.ttl.duration());
                updated = self.update_item(&pk, "u", &Update::from_change(&change, now)).await?;
            }
            let item = updated.map_err(|_| FailureReason::BadAnswer)?;
            if !has_expired(&item, now) {
                return Ok(Arc::new(parse_record(item)));
            }
            // The item had expired but was not deleted yet. Its old fields are removed, and only the fields just set remain.
            let remove = parse_record(item).fields.into_keys().filter(|name| change.set.iter().all(|(set, _)| set != name)).collect();
            let reset = Change { ttl: Ttl::Set(change.ttl.duration()), remove, ..change };
            let item = self.update_item(&pk, "u", &Update::from_change(&reset, now)).await?.map_err(|_| FailureReason::BadAnswer)?;
            Ok(Arc::new(parse_record(item)))
        })
    }

    fn update_if_field<'a>(&'a self, key: &'a str, field: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        Box::pin(async move {
            // An expired item that was not deleted yet does not exist.
            let update = Update::from_change(&change, now).if_field(field).if_unexpired(now);
            let item = match self.update_item(&format!("u#{key}"), "u", &update).await? {
                Ok(item) => Some(item),
                Err(unchanged) => unchanged.filter(|item| !has_expired(item, now)),
            };
            Ok(item.map(parse_record).unwrap_or_default().into())
        })
    }

    fn update_if_version<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed> {
        Box::pin(async move {
            let update = Update::from_change(&change, now).if_version(version);
            Ok(self.update_item(&format!("u#{key}"), "u", &update).await?.map_or(Changed::Conflict(change), |_| Changed::Done))
        })
    }

    fn get_record<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>> {
        Box::pin(async move { Ok(self.get_item(&format!("u#{key}"), "u", now).await?.map(parse_record).unwrap_or_default().into()) })
    }

    fn replace<'a>(&'a self, key: &'a str, record: Record, ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        Box::pin(async move {
            let client = self.client().await?;
            let call = || {
                let put = client.put_item().table_name(&self.table).item("pk", string(&format!("u#{key}"))).item("sk", string("u"));
                let put = put.item("v", AttributeValue::N(record.version.to_string()));
                let put = put.item("exp", number(now.as_second().saturating_add_unsigned(ttl.as_secs())));
                record.fields.iter().fold(put, |put, (name, value)| put.item(name.as_str(), binary(value))).send()
            };
            self.send(client, call).await.map(|_| ()).map_err(|error| self.classify_error("PutItem", &error))
        })
    }

    fn add_to_window<'a>(&'a self, windows: &'a [SmolStr], entry: WindowEntry, missing: MissingWindow, time: EntryTime) -> Reply<'a, EntriesByWindow> {
        Box::pin(async move {
            let entries = windows.iter().map(|window| self.add_to_one_window(window, entry, missing, time));
            let mut found = EntriesByWindow::default();
            futures_util::future::try_join_all(entries).await?.iter().for_each(|entries| found.push_stored(entries.iter().map(AsRef::as_ref)));
            Ok(found)
        })
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, Vec<u8>> {
        Box::pin(async move {
            let item = self.update_item(key, "x", &Update::put_if_absent(value, ttl, now)).await?.map_err(|_| FailureReason::BadAnswer)?;
            value_of(&item).ok_or(FailureReason::BadAnswer)
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        Box::pin(async move { self.put_item(key, "x", binary(value), now.checked_add(ttl).ok()).await })
    }

    fn increment_up_to<'a>(&'a self, key: &'a str, limit: u64, ttl: Duration, now: Timestamp) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.update_item(key, "x", &Update::increment_up_to(limit, ttl, now)).await?.is_ok()) })
    }

    fn add_to_counters<'a>(&'a self, bucket: CounterBucket<'a>, increments: &'a [(SmolStr, u32)], ttl: Duration, now: Timestamp) -> Reply<'a, u64> {
        Box::pin(self.add_counters(bucket, increments, ttl, now))
    }

    fn read_counters<'a>(&'a self, key: &'a str, from: i64, to: i64, now: Timestamp) -> Reply<'a, BTreeMap<i64, Counters>> {
        Box::pin(self.query_counters(key, from, to, now))
    }

    fn get<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        Box::pin(async move { Ok(self.get_item(key, "x", now).await?.as_ref().and_then(value_of)) })
    }

    fn list_entries<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        Box::pin(async move {
            let items = self.query_items(list.key(), None).await?;
            let in_force = items.iter().filter(|item| !has_expired(item, now));
            Ok(in_force.filter_map(|item| Some((item.get("sk")?.as_s().ok()?.clone(), value_of(item).unwrap_or_default()))).collect())
        })
    }

    fn put_list_entry<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        Box::pin(async move { self.put_item(list.key(), name, binary(value), until).await })
    }

    fn delete_list_entry<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { self.delete_item(list.key(), name).await })
    }

    fn has_activity(&self) -> bool {
        true
    }

    fn put_activity<'a>(&'a self, batch: &'a ActivityBatch, ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        Box::pin(self.write_activity(batch, ttl, now))
    }

    fn read_activity<'a>(&'a self, range: ActivityRange, most: usize, now: Timestamp) -> Reply<'a, ActivityPage> {
        Box::pin(self.read_rows(range, most, now))
    }

    fn read_activity_of<'a>(&'a self, user: &'a str, range: ActivityRange, now: Timestamp) -> Reply<'a, Vec<ActivityRow>> {
        Box::pin(self.read_rows_of(user, range, now))
    }

    fn read_activity_counts(&self, day: i64, now: Timestamp) -> Reply<'_, BTreeMap<i64, ActivityCounts>> {
        Box::pin(self.read_counts(day, now))
    }

    fn delete_activity<'a>(&'a self, row: &'a ActivityRow) -> Reply<'a, ()> {
        Box::pin(self.delete_row(row))
    }
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DynamoDb({})", self.table)
    }
}

fn timeouts(operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(operation).build()
}

fn string(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn slot_name(slot: i64) -> String {
    format!("s{slot}")
}

fn has_expired(item: &Item, now: Timestamp) -> bool {
    expires_at(item).is_some_and(|expires_at| expires_at <= now.as_second())
}

fn expires_at(item: &Item) -> Option<i64> {
    item.get("exp").and_then(|exp| exp.as_n().ok()?.parse().ok())
}

fn value_of(item: &Item) -> Option<Vec<u8>> {
    item.get("val")?.as_b().ok().map(|blob: &Blob| blob.as_ref().to_vec())
}

fn parse_record(item: HashMap<String, AttributeValue>) -> Record {
    let version = item.get("v").and_then(|version| version.as_n().ok()?.parse().ok()).unwrap_or_default();
    let expires_at = expires_at(&item);
    let fields = item.into_iter().filter_map(|(name, value)| Some((name.into(), value.as_b().ok()?.as_ref().to_vec())));
    Record { fields: fields.collect(), version, expires_at }
}

fn is_throttled<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(error.code(), Some("ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded"))
}

fn failure_reason<E: ProvideErrorMetadata>(error: &SdkError<E>) -> FailureReason {
    if is_throttled(error) {
        return FailureReason::RateLimited;
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows; any other error means that the store is unavailable")]
    match error {
        SdkError::TimeoutError(_) => FailureReason::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => FailureReason::Timeout,
        SdkError::DispatchFailure(_) => FailureReason::Connect,
        SdkError::ResponseError(_) => FailureReason::BadAnswer,
        SdkError::ServiceError(context) => match context.err().code() {
            Some("AccessDeniedException" | "UnrecognizedClientException" | "ExpiredTokenException") => FailureReason::KeyRefused,
            Some("ResourceNotFoundException") => FailureReason::NoStore,
            // This item has reached DynamoDB's size limit. Other items can be written.
            Some("ValidationException") if error.message().is_some_and(|message| message.contains("tem size")) => FailureReason::TooLarge,
            _ if context.raw().status().is_server_error() => FailureReason::Http5xx,
            // A success status with an unreadable body: another program answers at this address.
            _ if context.raw().status().is_success() => FailureReason::BadAnswer,
            _ => FailureReason::Http4xx,
        },
        _ => FailureReason::NoStore,
    }
}
