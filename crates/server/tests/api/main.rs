//! The API over real sockets, with a real database and a real SMTP conversation. Time is handed in, so nothing sleeps.
//!
//! Every scenario is a function over a fresh server. Each runs as a test of its own and once more in
//! `every_problem_of_the_table_is_answered_somewhere`, which compares what was answered with the table.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test fails by panicking")]

mod bench;
mod doubles;
mod scenarios {
    pub(crate) mod accounts;
    pub(crate) mod admission;
    pub(crate) mod bounds;
    pub(crate) mod login;
    pub(crate) mod networks;
    pub(crate) mod page;
    pub(crate) mod proofs;
    pub(crate) mod sessions;
    pub(crate) mod system;
    pub(crate) mod wallets;
}

use std::collections::BTreeSet;

use pinseal_protocol::refusal::Refusal;
use pinseal_server::{HTTP_ERRORS, errors_markdown, openapi_document, refusal_entry};

/// Declares each scenario as a test and lists them all.
macro_rules! scenarios {
    ($($module:ident: $($name:ident),+;)+) => {
        $($(
            #[tokio::test]
            async fn $name() {
                Box::pin(scenarios::$module::$name()).await;
            }
        )+)+

        async fn every_scenario() {
            $($(Box::pin(scenarios::$module::$name()).await;)+)+
        }
    };
}

scenarios! {
    login: a_user_signs_up_verifies_and_logs_in, known_and_unknown_addresses_get_the_same_answers,
        a_code_dies_after_three_wrong_answers, a_code_dies_after_five_minutes, codes_are_mailed_at_most_once_a_minute_and_ten_a_day,
        a_second_sign_up_cannot_plant_a_password, a_dead_code_lets_nobody_plant_a_password, a_reset_sets_the_password_and_closes_every_session, a_login_that_a_reset_overtook_opens_no_session,
        addresses_and_passwords_have_a_form, mail_is_sent_off_the_request_path, a_code_that_found_no_place_is_mailed_when_it_is_asked_for_again,
        whoever_hangs_up_keeps_no_owner_from_being_told, an_address_that_takes_no_mail_delays_nobody_elses, accounts_are_throttled_known_or_not,
        strangers_do_not_keep_an_owner_out, one_network_leaves_tries_to_all_others, strangers_do_not_keep_the_device_of_a_reset_out;
    sessions: refresh_tokens_rotate, a_lost_refresh_reply_is_fetched_again, a_reused_refresh_token_closes_the_session,
        a_session_is_refreshed_six_times_a_minute, a_session_is_refreshed_a_bounded_number_of_times_a_day,
        refresh_tokens_are_bound_and_expire, sessions_are_listed_and_logged_out_remotely, logout_ends_the_session_at_once;
    proofs: a_proof_is_for_one_request_one_token_and_one_key, a_proof_is_used_once_with_a_fresh_nonce,
        only_a_sessions_own_device_takes_its_share_of_remembered_proofs, access_tokens_are_checked;
    admission: keys_work_for_their_app_and_origin_only, preflights_allow_registered_origins_exactly;
    bounds: bodies_are_bounded, requests_are_bounded_in_time, addresses_are_rate_limited, proxies_are_believed_as_far_as_they_are_trusted,
        work_in_flight_is_bounded, a_slow_body_holds_nobody_elses_place, a_client_that_does_not_read_is_hung_up_on,
        one_address_gets_its_share_of_the_connections,
        passwords_wait_in_a_bounded_queue, evidence_is_asked_for_four_at_a_time,
        a_flood_for_evidence_leaves_requests_in_flight_to_others, a_panic_is_an_answer;
    accounts: statements_are_verified_before_they_are_kept;
    networks: a_repeated_request_is_done_once, a_reading_call_goes_through_and_no_other, gateway_faults_are_problems, balances_are_for_users_and_each_token_counts, the_gateway_is_reached_for_own_accounts_only,
        requests_that_wait_for_nodes_leave_places_for_others, calls_that_take_long_leave_places_to_money,
        transactions_are_listed_while_every_place_at_nodes_is_taken, answers_nobody_takes_keep_their_places, answers_nobody_takes_make_room_for_others,
        work_whose_client_hung_up_keeps_its_place,
        a_client_that_hangs_up_leaves_no_key_claimed, parameters_have_a_bounded_number_of_values, keyed_requests_are_counted_for_a_day;
    wallets: a_wallet_is_made_and_another_app_registers, a_wallet_is_noted_for_the_app_it_was_made_through, refusals_keep_their_wire_code, a_sealed_request_goes_with_its_own_session_only,
        a_signature_leaves_a_storage_token_for_the_next, storage_tokens_after_signatures_are_counted_like_begins, operations_that_write_are_counted_for_a_day,
        the_log_shows_everybody_their_own_wallet_and_the_deployments_events,
        an_interrupted_request_is_not_called_harmless, a_missing_enclave_is_a_service_problem;
    page: the_wallet_page_has_an_origin_of_its_own, a_page_that_moves_leaves_no_origin_behind, an_app_opens_the_page_from_its_own_origins_only,
        an_app_looks_as_its_operator_says_on_the_page_for_it_alone,
        the_wallet_page_is_hashed_packed_and_kept_as_it_is_built;
    system: health_readiness_metrics_and_docs, what_has_expired_is_swept, the_issuer_key_file_is_private;
}

#[tokio::test]
async fn every_problem_of_the_table_is_answered_somewhere() {
    every_scenario().await;
    let answered = bench::answered_codes();
    let table: BTreeSet<&str> = HTTP_ERRORS.iter().map(|entry| entry.code).collect();
    let missing: Vec<_> = table.iter().filter(|code| !answered.contains(**code)).collect();
    assert!(missing.is_empty(), "never answered: {missing:?}");
    let refusals: BTreeSet<&str> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
    let unknown: Vec<_> =
        answered.iter().filter(|code| !table.contains(code.as_str()) && !refusals.contains(code.as_str())).collect();
    assert!(unknown.is_empty(), "answered but in no table: {unknown:?}");
}

#[test]
fn the_openapi_document_is_the_committed_one() {
    compare(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json"), None, &openapi_document());
}

#[test]
fn every_operation_has_a_name_of_its_own_and_described_answers() {
    let document: serde_json::Value = serde_json::from_str(&openapi_document()).unwrap();
    let mut names = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{operation}");
            for answer in operation["responses"].as_object().unwrap().values() {
                assert!(answer["description"].as_str().is_some_and(|text| !text.is_empty()), "{operation}");
            }
        }
    }
    assert!(names.len() > 25);
}

#[test]
fn the_error_tables_are_the_committed_ones() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
    compare(path, Some("http"), &errors_markdown(HTTP_ERRORS.iter().copied()));
    compare(path, Some("enclave"), &errors_markdown(Refusal::ALL.iter().map(|refusal| refusal_entry(*refusal))));
}

#[test]
fn codes_are_unique_and_shared_ones_agree() {
    let codes: BTreeSet<&str> = HTTP_ERRORS.iter().map(|entry| entry.code).collect();
    assert_eq!(codes.len(), HTTP_ERRORS.len());
    for refusal in Refusal::ALL.iter().map(|refusal| refusal_entry(*refusal)) {
        for entry in HTTP_ERRORS.iter().filter(|entry| entry.code == refusal.code) {
            assert_eq!(entry.status, refusal.status, "{}", entry.code);
        }
    }
}

/// Compares a committed file, or the part of it between two markers, with what the code says. `UPDATE=1` rewrites it.
fn compare(path: &str, section: Option<&str>, expected: &str) {
    let whole = std::fs::read_to_string(path).unwrap_or_default();
    let (before, committed, after) = match section {
        None => ("", whole.as_str(), ""),
        Some(name) => {
            let (start, end) = (format!("<!-- generated: {name} -->\n"), format!("<!-- end: {name} -->"));
            let from = whole.find(&start).unwrap_or_else(|| panic!("{path} lacks {start}")) + start.len();
            let to = whole.find(&end).unwrap_or_else(|| panic!("{path} lacks {end}"));
            (&whole[..from], &whole[from..to], &whole[to..])
        }
    };
    if committed != expected && std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, format!("{before}{expected}{after}")).unwrap();
        return;
    }
    assert!(
        committed == expected,
        "{path} is not what the code says; run the test with UPDATE=1 and look at the difference"
    );
}
