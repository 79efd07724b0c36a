//! Names and help texts of the metrics, for both Prometheus and EMF.

macro_rules! names {
    ($($constant:ident $name:literal $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// The name and help text of every metric.
        pub const ALL: &[(&str, &str)] = &[$(($name, $help),)*];
    };
}

names! {
    ASSESSMENT_DURATION "riskgate_assessment_duration_seconds" "Time from the complete request to the verdict, by verdict.";
    STAGE_DURATION "riskgate_stage_duration_seconds" "Time of a stage: networks, history, evidence (both and the services, in parallel), judge (signals, score and decision).";
    PROVIDER_DURATION "riskgate_provider_duration_seconds" "Time of a look-up at a risk service, by service and outcome.";
    DECISIONS "riskgate_decisions_total" "Decided sign-ins, by verdict, mode and level of the score.";
    DEGRADED "riskgate_degraded_total" "Sign-ins decided with missing evidence, each counted once, by the first cause and by the fallback that decided.";
    CACHE_REQUESTS "riskgate_cache_requests_total" "Look-ups of a risk service's answer in a cache, by tier and result.";
    BREAKER_STATE "riskgate_breaker_state" "State of a service's circuit breaker: 0 closed (calls are sent), 1 half open (one probe), 2 open (no calls).";
    SIGNALS "riskgate_signals_total" "Sign-ins with a reason, by reason.";
    SCORE "riskgate_score" "Scores, 0 to 100: 50 is one legitimate sign-in in a hundred, 75 one in a thousand.";
    CONTEXT "riskgate_context_total" "Sign-ins by the trust in their context.";
    BAD_CONTEXT "riskgate_bad_context_total" "Signed contexts that were rejected, by cause.";
    INPUTS_IGNORED "riskgate_inputs_ignored_total" "Inputs of sign-ins that were ignored because they are malformed or mean `not known`, by input and cause.";
    OUTCOMES "riskgate_outcomes_total" "Outcomes of sign-ins that were received after the decision, by outcome.";
    IN_FLIGHT "riskgate_in_flight" "Sign-ins in progress.";
    COLD_STARTS "riskgate_cold_starts_total" "Starts of the process.";
    CONFIG_FAULTS "riskgate_config_faults" "Faults in the configuration; above zero, riskgate runs in monitor mode.";
    SECRETS_MISSING "riskgate_secrets_missing" "Secrets whose newest value could not be fetched. Their users have no secret, or continue with the previous value.";
    NETWORKS_BUILT "riskgate_networks_built_timestamp_seconds" "When a network database was built, in seconds since 1970; 0 if there is none.";
    BUNDLED_DATA "riskgate_bundled_data_timestamp_seconds" "Date of each part of the bundled network data, seconds since 1970. A part that is older than 60 days is reported by /readyz.";
    PROVIDER_CALLS "riskgate_provider_calls_total" "Requests sent to a risk service, retries included.";
    PROVIDER_FIELDS_IGNORED "riskgate_provider_fields_ignored_total" "Fields and decisions in a risk service's answers that could not be read.";
    NETWORKS_REFUSED "riskgate_networks_refused_total" "Changed network databases that could not be read; the previous one stays in use.";
    NETWORKS_UNDECODABLE "riskgate_networks_undecodable_total" "Damaged records found in the operator's network databases.";
    CHALLENGE_CODES "riskgate_challenge_codes_total" "Codes of custom challenges, by result: sent, limited, no_recipient, undeliverable, waived, and their answers: right, wrong, expired.";
    CHALLENGE_FAILURES "riskgate_challenge_failures_total" "Codes of custom challenges that were needed and not sent.";
    SESSIONS "riskgate_sessions_total" "Sign-ins whose session is looked up, by result: queued, confirmed, challenged, denied, revoked, unmatched and so on.";
    SESSION_FAILURES "riskgate_session_failures_total" "Look-ups of sessions that failed: not queued, not allowed, not revoked or given back to the queue.";
    SESSION_LAG "riskgate_session_lag_seconds" "Longest recent time from a sign-in to the judgement of its session.";
    STORE_FAILURES "riskgate_store_failures_total" "Failed reads and writes of the store, by part.";
    BLOCK_LIST_READ "riskgate_block_list_read_timestamp_seconds" "When the list of blocked ranges, devices, clients and tenants was last read from the store, in seconds since 1970; 0 before the first time.";
    ATTACK_STATE "riskgate_attack_state" "Whether a user pool is under attack: 0 calm, 1 elevated (more unfamiliar attempts than usual), 2 under attack. Of several pools the most severe.";
    ATTACK_STATE_READ "riskgate_attack_state_read_timestamp_seconds" "When the state of the attack detector was last read from the store, in seconds since 1970; 0 before the first time.";
    FALSE_POSITIVE_RATE "riskgate_false_positive_rate" "Share of legitimate sign-ins at or above a threshold: promised, realised, and the ends low and high of its 95 % interval. By group (all, or what the score had to go on); NaN if not observed. Of several user pools the one with the most counted sign-ins.";
    FALSE_POSITIVE_EXCESS "riskgate_false_positive_excess" "Lower end of the realised share of legitimate sign-ins divided by the promised share, for the threshold where this is highest; 0 if not observed. Above 2 a threshold stops or flags over twice as many as promised.";
    CALIBRATION_DRIFT "riskgate_calibration_drift_points" "Largest difference of the pool's own scale at the thresholds, in points: from the shipped scale, or from a week before (NaN in the first week).";
    ADDRESS_FAULTS "riskgate_client_address_faults" "App clients whose users nearly all have the same few addresses, or private ones, by cause.";
    SHARED_DEVICE_IDS "riskgate_shared_device_ids" "Device ids that too many users share to identify a device.";
    PANICS "riskgate_panics_total" "Panics in a stage. Each sign-in was still answered.";
    HANDED_BACK "riskgate_handed_back_total" "Events returned without a decision, by cause.";
    TOKENS_REFUSED "riskgate_tokens_refused_total" "Tokens that were refused because an operator blocks the user, the client or the tenant.";
    STEP_UPS "riskgate_step_ups_total" "Tokens checked for step-up by POST /v1/step-up and the authorizer, by result: passed, not_required or why it was refused.";
    SIGNING_KEY_FAILURES "riskgate_signing_key_failures_total" "Fetches of a user pool's signing keys that failed.";
    REFUSED "riskgate_requests_refused_total" "Refused HTTP requests, by cause.";
    LINES_LOST "riskgate_lines_lost_total" "Audit lines that could not be written because their reader was too slow or the disk was full.";
    LOG_LINES_LOST "riskgate_log_lines_lost_total" "Log lines that could not be written because the reader of standard error was too slow.";
    BUDGET "riskgate_budget_seconds" "The configured time budget of an answer.";
    BUILD_INFO "riskgate_build_info" "Always 1; the labels are the version and the date of the model.";
}
