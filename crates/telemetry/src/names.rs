//! Names and help texts of the metrics, for both Prometheus and EMF.

macro_rules! names {
    ($($constant:ident $name:literal $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// The name and help text of every metric.
        pub const ALL: &[(&str, &str)] = &[$(($name, $help),)*];
    };
}

names! {
    ASSESSMENT_DURATION "riskgate_assessment_duration_seconds" "Time from the whole request read to the verdict, by verdict.";
    STAGE_DURATION "riskgate_stage_duration_seconds" "Time that a part of the way took: networks, history, evidence (both and the services, at once), judge (signals, score and decision).";
    PROVIDER_DURATION "riskgate_provider_duration_seconds" "Time until an outside service's part was known, by service and outcome.";
    DECISIONS "riskgate_decisions_total" "Sign-ins decided, by what was judged, by mode and by the score's level.";
    DEGRADED "riskgate_degraded_total" "Sign-ins decided with something missing, each counted once, by the first cause and by the fallback that decided.";
    CACHE_REQUESTS "riskgate_cache_requests_total" "Look-ups of an outside service's answer in a cache, by tier and result.";
    BREAKER_STATE "riskgate_breaker_state" "Whether a service is asked: 0 closed (asked), 1 half open (one probe), 2 open (not asked).";
    SIGNALS "riskgate_signals_total" "Sign-ins that carried a reason, by reason.";
    SCORE "riskgate_score" "Scores, 0 to 100: 50 is one legitimate sign-in in a hundred, 75 one in a thousand.";
    CONTEXT "riskgate_context_total" "Sign-ins by how far their context is believed.";
    BAD_CONTEXT "riskgate_bad_context_total" "Signed contexts that did not hold, by why.";
    INPUTS_IGNORED "riskgate_inputs_ignored_total" "Parts of sign-ins that were left out because they are malformed or mean `not known`, by input and cause.";
    OUTCOMES "riskgate_outcomes_total" "What was heard of sign-ins after their decision, by outcome.";
    IN_FLIGHT "riskgate_in_flight" "Sign-ins being decided at this moment.";
    COLD_STARTS "riskgate_cold_starts_total" "Starts of the process.";
    CONFIG_FAULTS "riskgate_config_faults" "Faults in the configuration in force; above zero the gate runs in monitor mode.";
    SECRETS_MISSING "riskgate_secrets_missing" "Secrets kept elsewhere whose newest value could not be had; what needs them does without, or goes on with the old ones.";
    NETWORKS_BUILT "riskgate_networks_built_timestamp_seconds" "When a network database was built, seconds since 1970; 0 where there is none.";
    PROVIDER_CALLS "riskgate_provider_calls_total" "Requests sent to an outside service, retries included.";
    PROVIDER_FIELDS_IGNORED "riskgate_provider_fields_ignored_total" "Fields and decisions of an outside service's answers that could not be read.";
    NETWORKS_REFUSED "riskgate_networks_refused_total" "Changed network databases that could not be read; the old one stayed.";
    NETWORKS_UNDECODABLE "riskgate_networks_undecodable_total" "Damaged records met in network databases of the operator's own.";
    STORE_FAILURES "riskgate_store_failures_total" "Reads and writes of the store that failed, by what could not be read or written.";
    BLOCK_LIST_READ "riskgate_block_list_read_timestamp_seconds" "When the list of blocked ranges, devices, clients and tenants was last read from the store, seconds since 1970; 0 before the first time.";
    ADDRESS_FAULTS "riskgate_client_address_faults" "App clients nearly all of whose users seem to come from the same few addresses, or from private ones, by cause.";
    SHARED_DEVICE_IDS "riskgate_shared_device_ids" "Device ids that were found to be shared by too many users to tell a device.";
    PANICS "riskgate_panics_total" "Panics inside a stage that became an answer.";
    HANDED_BACK "riskgate_handed_back_total" "Events handed back undecided, by why.";
    TOKENS_REFUSED "riskgate_tokens_refused_total" "Tokens that were not made because an operator keeps the person, the client or the tenant out.";
    REFUSED "riskgate_requests_refused_total" "HTTP requests refused, by why.";
    LINES_LOST "riskgate_lines_lost_total" "Audit lines that could not be written because their reader was too slow or the disk full.";
    LOG_LINES_LOST "riskgate_log_lines_lost_total" "Log lines that could not be written because the reader of standard error was too slow.";
    BUDGET "riskgate_budget_seconds" "Longest time to an answer that is configured.";
    BUILD_INFO "riskgate_build_info" "Always 1; the labels tell the version and the date of the model.";
}
