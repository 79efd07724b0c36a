//! The cases that riskgate has to handle, and what shows each: rows and stories of this run, and separate tests.

/// One case.
pub struct Case {
    pub id: &'static str,
    /// What happens.
    pub what: &'static str,
    /// What is right.
    pub right: &'static str,
    /// Rows and stories of this run; `C1-C5` are all rows from C1 to C5.
    pub shown: &'static str,
    /// Tests beside it, `file::function`, and recipes of the justfile, `just name`.
    pub tests: &'static str,
}

const fn case(id: &'static str, what: &'static str, right: &'static str, shown: &'static str, tests: &'static str) -> Case {
    Case { id, what, right, shown, tests }
}

/// Every case.
pub const CASES: &[Case] = &[
    case(
        "F01",
        "input that is not an event",
        "the fixed denial sentence, never allowed, and the next event is answered",
        "E1-E4 E14",
        "triggers::an_invalid_event_is_denied_without_parser_messages",
    ),
    case("F03", "a trigger that riskgate does not handle", "returned unchanged", "E5", "hostile::other_triggers_are_returned_unchanged"),
    case("F04", "another version, unknown fields", "accepted, and returned unchanged", "E7", "triggers::allow_returns_the_event_exactly"),
    case("F05", "parts are missing or null", "decided on the other parts", "E6 E8 E9 E15-E19", "hostile::what_is_missing_or_null_is_no_context"),
    case("F06", "an unknown user", "the same path, texts and time", "E10", "enumeration::known_and_unknown_names_get_the_same_answers"),
    case(
        "F08",
        "names with control characters, or very long ones",
        "a key like any other, one log line",
        "E11-E13",
        "hostile::names_of_any_kind_are_distinct privacy::nothing_personal_is_written",
    ),
    case(
        "F09",
        "an address that the client chose",
        "may raise the score, never lowers it, never matches the allow list",
        "X1 X2",
        "score::unsigned_claims_never_lower_the_score",
    ),
    case(
        "F10",
        "addresses that two parsers read differently",
        "not an address; no service is called",
        "I1 I3-I6",
        "client_ip::only_canonical_addresses_are_accepted",
    ),
    case(
        "F11",
        "an address with a port, brackets, quotes or a zone, as proxies write it",
        "the address",
        "I2 I17-I19",
        "client_ip::every_form_that_proxies_write_is_parsed client_ip::other_texts_are_not_addresses",
    ),
    case("F12", "addresses without a location", "no service is called", "I7-I14", "adapters::no_service_is_called_about_a_non_public_address"),
    case("F14", "X-Forwarded-For from an untrusted client", "not read", "I15", "sidecar::forwarded_addresses_count_from_the_right"),
    case(
        "F15",
        "X-Forwarded-For behind two proxies, in two lines",
        "counted from the right (only the sidecar has such headers)",
        "I15",
        "client_ip::entries_are_counted_from_the_right",
    ),
    case("F17", "unusual user agents", "cut to 512 bytes, never logged raw", "A1-A3 E7", "hostile::user_agents_are_truncated_and_distinguished"),
    case("F16", "words and codes that mean \"not known\"", "count as missing; counted and logged", "I20", "inputs::what_means_not_known_counts_as_left_out"),
    case("F18", "impossible times in a signed context", "not trusted", "X3", "context::age_is_counted_from_the_sign_in"),
    case("F19", "the wall clock jumps", "an answer expires by the clock that moved further", "X5", "cache::either_clock_can_expire_an_entry"),
    case(
        "F20",
        "an invalid time zone, a user without history",
        "the hour does not change the score",
        "I16",
        "signals::familiar_values_lower_the_score_after_two_days",
    ),
    case(
        "F21",
        "impossible travel by claim alone",
        "raises the score, never denies by itself",
        "",
        "score::attackers_cannot_get_a_user_denied signals::impossible_travel_fires",
    ),
    case("F22", "a valid signed context", "trusted", "X3", "context::each_algorithm_is_accepted"),
    case(
        "F23",
        "forged contexts",
        "not trusted, treated as unsigned, counted",
        "X3",
        "context::forgeries_have_different_causes context::every_flipped_bit_of_a_signature_is_seen",
    ),
    case(
        "F24",
        "a context used again, or for another user",
        "the owner's retry is trusted; another user's is not",
        "X4",
        "context::a_replayed_context_is_not_trusted",
    ),
    case("F26", "duplicate keys in a context", "not trusted", "X3", "context::claims_are_strict"),
    case("F27", "requests that could have the same spelling", "have different keys", "X6", "lib::different_requests_have_different_cache_keys"),
    case("F28", "two users in one warm process", "neither gets an answer about the other", "X6", "resilience::an_answer_is_never_used_for_another_user"),
    case(
        "F30",
        "a million synthetic users and addresses",
        "memory stays bounded",
        "",
        "cache::the_number_of_entries_is_bounded memory::the_store_is_bounded_and_evicts_attempts_before_profiles soak::sign_ins_succeed_while_a_service_flaps",
    ),
    case("F31", "many callers miss at once", "one call", "", "resilience::two_hundred_who_miss_make_one_call"),
    case(
        "F32",
        "the caller who started the call leaves",
        "the others get its answer",
        "",
        "resilience::a_leader_who_leaves_costs_the_others_nothing resilience::a_leader_whose_connection_breaks_costs_the_others_one_more_call",
    ),
    case(
        "F33",
        "the service fails, an old answer is cached",
        "served until it is too old, then the fallback",
        "K2",
        "resilience::a_stale_answer_replaces_a_failed_call",
    ),
    case(
        "F34",
        "failures, and \"nothing known\"",
        "a failure is never cached, \"nothing known\" for its configured time",
        "X7 X8",
        "cache::nothing_known_has_its_own_ttl_and_never_becomes_stale",
    ),
    case(
        "F36",
        "a service's answer changes",
        "used after `CACHE_TTL` at the latest; a block acts at once",
        "X9",
        "blocks::each_subject_is_blocked_and_unblocked",
    ),
    case(
        "F37",
        "refused, reset, closed, cut off",
        "the fallback; one more attempt only if no request was sent yet",
        "C1 C4 C5 H4 H5 B2 B3",
        "resilience::a_refused_connection_is_tried_twice_and_never_more",
    ),
    case(
        "F38",
        "unreachable hosts, and names that do not resolve",
        "the fallback within `CONNECT_TIMEOUT`",
        "C2 C3 T4",
        "tests::a_hanging_name_server_is_limited_by_the_connect_timeout tests::a_name_with_only_refused_addresses_is_reported just e2e",
    ),
    case("F39", "a head in time, too late, never", "used, or the fallback", "H1-H3", ""),
    case("F40", "one byte at a time", "the total time counts, not each read", "B1 D6", ""),
    case("F41", "endless, huge and compressed answers", "64 KiB at most, nothing is decompressed", "H6 B4-B7 B10", ""),
    case("F42", "200 with other content", "never read as a score of 0", "H7 B8 B9 V1-V9", "adapters::a_custom_service_must_answer_in_range"),
    case("F43", "redirects", "not followed", "R1-R3", ""),
    case(
        "F44",
        "a URL of an internal address",
        "an error of the variable",
        "X10",
        "tests::urls_to_internal_addresses_are_rejected tests::link_local_addresses_are_refused tests::a_name_with_only_refused_addresses_is_reported",
    ),
    case("F46", "invalid TLS", "the fallback, never less security", "T1-T8", "tls::only_a_valid_certificate_of_a_trusted_authority_for_the_name_is_accepted"),
    case(
        "F48",
        "a refused key",
        "not called again for this sign-in, reported to the operator",
        "S1 S3 X12",
        "adapters::a_refused_key_is_reported_until_it_is_fixed",
    ),
    case("F49", "500 for a while", "the breaker opens, one probe closes it", "S6 S7 X24 X25", "resilience::a_recovered_service_is_called_again_by_one_probe"),
    case("F50", "one answer in 20 is slow", "riskgate waits: paid calls are never doubled", "X13", ""),
    case(
        "F51",
        "a connection broke while the process was frozen",
        "replaced within the same request",
        "X14",
        "lambda_freeze::a_frozen_environment_answers_after_it_resumes resilience::a_connection_that_died_idle_is_replaced_within_the_same_call",
    ),
    case("F52", "a dead connection and a service that hangs", "two attempts at most, in time", "X15", ""),
    case(
        "F53",
        "an attacker causes requests to services to time out",
        "lists and the local score still deny under `FALLBACK=allow`",
        "X16",
        "decision::forced_failures_never_help_an_attacker",
    ),
    case("F54", "an attacker's bad input", "does not open the breaker", "", "resilience::bad_input_does_not_turn_a_service_off_for_others"),
    case(
        "F55",
        "`FALLBACK=deny` and a service that is down",
        "all users are denied, marked and counted; exempt users are allowed",
        "X22",
        "metrics::each_alert_is_tested_firing_and_not_firing blocks::an_exemption_allows_any_score_but_not_for_a_claimed_address",
    ),
    case(
        "F57",
        "an attacker fails at another user's account on purpose",
        "the owner is allowed",
        "",
        "enumeration::an_attack_does_not_lock_the_owner_out profiles::an_attackers_failures_do_not_deny_the_owner",
    ),
    case("F58", "300 ms are left", "answered within them", "X17", ""),
    case(
        "F59",
        "Lambda's deadline is over, missing, or absurd",
        "the budget holds (the sidecar receives no deadline)",
        "",
        "triggers::deadlines_of_every_kind_are_answered triggers::implausible_deadlines_are_ignored",
    ),
    case(
        "F60",
        "frozen during a request to a service",
        "no outdated answer is cached, the next sign-in is unaffected",
        "X18",
        "tests::an_answer_that_was_delayed_by_a_freeze_is_as_old_as_its_request",
    ),
    case(
        "F61",
        "the same event again, as often as Cognito repeats it",
        "the same decision, counted once while unanswered",
        "X19",
        "profiles::an_equal_event_is_a_retry_only_while_the_first_is_unanswered",
    ),
    case(
        "F62",
        "a panic in a stage",
        "an answer, counted, and the next event is answered",
        "",
        "risk_engine::a_panic_in_the_evaluator_uses_the_fallback_and_is_not_learned tests::a_panic_in_an_adapter_is_an_outcome_for_every_waiting_caller tests::a_poisoned_lock_still_works",
    ),
    case("F63", "SIGTERM", "the current sign-in is answered, exit 0", "X20", "triggers::sigterm_ends_it_in_order"),
    case(
        "F64",
        "damaged files and faulty variables at start",
        "monitor mode and an alarm in Lambda, exit 2 elsewhere",
        "X10 X11",
        "triggers::a_faulty_configuration_denies_no_sign_in networks::a_file_that_cannot_be_used_is_a_fault_of_its_variable",
    ),
    case(
        "F65",
        "a database replaced while it is read",
        "the old one or the new one, complete",
        "",
        "networks::a_replaced_file_is_read_completely_and_a_damaged_one_is_not networks::readers_meet_the_old_file_or_the_new_one_and_nothing_between",
    ),
    case(
        "F66",
        "slow, silent and huge clients",
        "bounded, others are unaffected (in Lambda its API is the only client)",
        "",
        "request_filter::slow_senders_hold_no_slot request_filter::a_head_that_never_ends_is_cut_off request_filter::silent_connections_are_evicted_for_requests request_filter::bodies_are_bounded request_filter::heads_are_bounded",
    ),
    case("F67", "requests that can be read in two ways", "rejected, the connection is closed", "", "request_filter::no_request_can_be_read_in_two_ways"),
    case("F68", "more requests at once than the limit", "503 at once", "", "request_filter::too_many_at_once_are_refused_at_once"),
    case(
        "F70",
        "no token, a wrong one, one in the URL",
        "401",
        "",
        "request_filter::the_token_is_required_and_only_in_its_header sidecar::a_token_guards_all_but_the_probes",
    ),
    case("F71", "unusual paths and methods", "404, 405; numbers on loopback only", "", "request_filter::odd_paths_and_methods_lead_nowhere"),
    case("F72", "hostile label values", "as many series as before", "", "metrics::the_series_are_as_many_after_any_number_of_sign_ins"),
    case(
        "F73",
        "embedded metrics that CloudWatch would drop",
        "every line is compared with the format",
        "",
        "metrics::an_invocation_writes_one_line_with_its_metrics",
    ),
    case(
        "F74",
        "personal values and keys in logs",
        "none",
        "",
        "privacy::nothing_personal_is_written log_redaction::failing_services_reveal_no_key_and_no_name",
    ),
    case("F75", "what a denied user sees", "one sentence, the same for every reason", "E1-E4", "triggers::a_denial_is_one_fixed_sentence_and_an_id"),
    case(
        "F76",
        "a key replaced while the process is warm, a line break after it",
        "reported until the restart that reads it; the line break is removed",
        "X12",
        "adapters::a_refused_key_is_reported_until_it_is_fixed tests::values_are_read_from_files",
    ),
    case("F77", "a dependency with a known vulnerability", "CI fails", "", "just deny"),
    case(
        "F78",
        "any bytes in every parser",
        "no panic, no bypass",
        "",
        "just fuzz hostile::any_bytes_are_read_without_a_panic hostile::no_fault_quotes_a_value",
    ),
    case(
        "F79",
        "more risk",
        "never a lower score",
        "",
        "score::more_risk_is_never_a_lower_score score::reasons_and_base_add_up cache::jitter_shortens_times_by_a_tenth_at_most",
    ),
    case("F80", "random faults", "the expected decision, in time", "K1-K3", ""),
    case(
        "L1",
        "the disk for logs is full, a reader hangs",
        "sign-ins are answered, lost lines are counted",
        "X21",
        "metrics::a_disk_that_is_full_is_counted metrics::a_stuck_standard_output_costs_a_sign_in_no_more_than_its_deadline",
    ),
    case(
        "L2",
        "the store is unavailable, hangs, sends invalid replies, is killed under load",
        "decided without history, later triggers return the event unchanged",
        "D1-D10",
        "profiles::a_store_that_is_away_is_no_history_and_no_error fleet::redis_killed_under_load_delays_no_sign_in_and_counts_again_afterwards table::a_table_that_misbehaves_is_named_and_waited_for_no_longer_than_it_may_take",
    ),
    case(
        "L3",
        "a store that refuses some calls and answers the rest",
        "the last block list is in force for a day, then the fallback decides; a context whose nonce cannot be claimed is not trusted; all failures are reported",
        "",
        "store_failures::after_a_day_without_the_block_list_the_fallback_decides store_failures::a_context_whose_nonce_cannot_be_claimed_is_not_trusted store_failures::velocity_that_cannot_be_counted_is_reported store_failures::lists_that_later_triggers_cannot_read_are_reported store_failures::writes_that_a_sign_in_can_do_without_are_reported",
    ),
    case(
        "L4",
        "Redis fails over, is full, refuses a command, has a certificate of a private authority, holds another program's value",
        "riskgate recovers automatically, works, or names the error at start; an error in one user's record affects only that user",
        "",
        "redis_replies::a_replica_is_left_for_a_new_connection redis_replies::a_persons_unreadable_record_is_that_persons_alone redis_replies::each_refusal_has_its_cause_and_is_recovered_from redis_replies::a_full_server_and_a_replica_without_its_primary_are_named_by_the_server_itself redis_replies::the_store_trusts_the_authorities_of_services_ca store_start::a_command_that_the_acl_refuses_is_named_at_start_and_by_the_check store_start::what_the_server_refuses_is_in_readyz_until_it_is_allowed",
    ),
    case(
        "L5",
        "the store fails or freezes at any call of a reported outcome",
        "503, and the report can be sent again: it is applied once",
        "",
        "outcome_reports::an_outcome_survives_a_store_that_fails_at_any_call outcome_reports::an_outcome_survives_a_store_that_freezes_at_any_call outcome_reports::a_lost_fraud_report_restricts_tokens_when_it_is_sent_again",
    ),
    case(
        "Q01",
        "a code of a custom challenge cannot be delivered",
        "the sign-in fails, or the password suffices as CHALLENGE_FALLBACK says; in time, counted and logged",
        "Q1-Q9",
        "challenge::only_a_transport_that_fails_takes_the_fallback",
    ),
    case(
        "Q02",
        "the store fails during a custom challenge",
        "no code is sent, because its limits are not known; the sign-in fails",
        "Q10",
        "challenge::an_abandoned_challenge_is_no_pass",
    ),
    case(
        "Q03",
        "a session or response of a custom challenge that Cognito would not send",
        "the sign-in fails",
        "Q11 Q12",
        "challenge::who_skips_the_password_gets_nothing challenge::events_as_aws_sends_them_are_answered_and_otherwise_unchanged",
    ),
    case(
        "P1",
        "the server of a user pool's signing keys is down, hangs, answers nonsense, a huge body or a redirect",
        "without cached keys the token is refused in time, and API Gateway caches no answer; with cached keys it is checked for a day more, reported as degraded",
        "J1-J6",
        "signing_keys::a_server_that_hangs_denies_within_the_budget signing_keys::bad_answers_of_the_server_deny signing_keys::cached_keys_serve_for_a_day_while_the_server_fails step_up::without_the_signing_keys_a_step_up_is_refused_within_the_budget authorizer::without_the_signing_keys_every_request_is_refused_within_the_budget",
    ),
    case(
        "P2",
        "keys of a pool are rotated, repeated, or of another type",
        "a new key is fetched when a token names it; a repeated id or another type is refused with its own cause",
        "",
        "signing_keys::a_rotated_key_is_fetched_when_a_token_names_it key_set::a_repeated_id_is_ambiguous_and_a_missing_one_is_skipped key_set::only_rsa_keys_for_signatures_are_used",
    ),
];

impl Case {
    /// The rows and stories that show it, ranges written out.
    pub fn rows(&self) -> Vec<String> {
        self.shown.split_whitespace().flat_map(range).collect()
    }
}

/// `C1-C3` as `C1`, `C2`, `C3`.
fn range(text: &str) -> Vec<String> {
    let Some((from, to)) = text.split_once('-') else { return vec![text.to_owned()] };
    let at = from.find(|c: char| c.is_ascii_digit()).expect("a number");
    let number = |id: &str| id[at..].parse::<u32>().expect("a number");
    (number(from)..=number(to)).map(|n| format!("{}{n}", &from[..at])).collect()
}
