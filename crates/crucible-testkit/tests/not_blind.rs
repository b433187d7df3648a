//! The conformance suite can fail: each behaviour is put to a backend that gets exactly that wrong, and must say so.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crucible_core::{Policy, Readiness};
use crucible_testkit::conformance::{BEHAVIOURS, ConformanceSubject, Unavailable, Verdict, behaviour, check, run_test};
use crucible_testkit::languages;
use crucible_testkit::leaky::{Leak, LeakyBackend};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Long enough for a probe, and short enough for those that can only notice that nothing comes.
const PATIENCE: Duration = Duration::from_secs(8);

const LEAKS: [(&str, Leak); 75] = [
    ("the_exit_code_passes", Leak::ExitCodesChanged),
    ("death_by_signal_is_reported", Leak::SignalsHidden),
    ("arguments_pass_exactly", Leak::ArgumentsJoined),
    ("the_environment_holds_what_was_given_and_nothing_of_the_supervisors", Leak::EnvironmentInherited),
    ("commands_start_in_the_folder_that_was_asked_for", Leak::FolderIgnored),
    ("a_missing_program_is_not_found_and_the_sandbox_lives", Leak::MissingProgramsAccepted),
    ("any_command_of_the_guests_file_system_can_be_run", Leak::ExecutableBitLost),
    ("several_commands_share_the_files", Leak::FilesForgotten),
    ("two_commands_run_at_the_same_time", Leak::OneAtATime),
    ("waiting_can_be_given_up_and_taken_up_again", Leak::WaitsLost),
    ("the_programs_exit_does_not_wait_for_its_children", Leak::ChildrenWaitedFor),
    ("the_shell_makes_pipelines", Leak::ExitCodesChanged),
    ("no_descriptor_but_the_standard_streams_is_open", Leak::DescriptorInherited),
    ("the_streams_are_separate_and_exact_to_the_byte", Leak::StreamsMerged),
    ("the_streams_can_be_opened_again_by_name", Leak::StreamsMerged),
    ("a_mebibyte_passes_from_input_to_output", Leak::InputCut),
    ("standard_input_ends_when_it_is_dropped", Leak::InputNeverEnds),
    ("input_that_nobody_reads_breaks_without_a_hang", Leak::InputHangs),
    ("output_comes_while_the_command_runs", Leak::OutputHeldBack),
    ("files_are_read_back_exactly", Leak::BytesChanged),
    ("a_file_is_replaced_whole", Leak::FilesNotCut),
    ("the_executable_bit_is_honoured", Leak::ExecutableBitLost),
    ("folders_are_listed_sorted_with_kinds_and_sizes", Leak::ListsUnsorted),
    ("what_is_not_there_is_not_found", Leak::MissingFilesEmpty),
    ("a_second_sandbox_sees_nothing_of_the_first", Leak::FolderShared),
    ("links_are_not_followed_out", Leak::LinksFollowed),
    ("pipes_sockets_and_folders_are_refused_without_a_hang", Leak::LinksFollowed),
    ("a_file_with_two_names_is_refused", Leak::LinksFollowed),
    ("a_device_is_refused", Leak::LinksFollowed),
    ("nothing_is_written_through_a_planted_link", Leak::LinksFollowed),
    ("ending_processes_kills_a_daemon", Leak::DaemonsSurvive),
    ("a_sandbox_works_on_after_its_processes_were_ended", Leak::EndIsFinal),
    ("destroying_leaves_no_process", Leak::DaemonsSurvive),
    ("dropping_leaves_no_process", Leak::DaemonsSurvive),
    ("the_end_of_a_sandbox_ends_its_command", Leak::EverythingSurvives),
    ("many_sandboxes_leave_no_descriptor", Leak::DescriptorsLost),
    ("what_a_backend_cannot_do_is_refused", Leak::RefusalsForgotten),
    ("a_terminal_is_one_with_its_size_and_its_keys", Leak::LivePretended),
    ("a_signal_reaches_a_running_command", Leak::LivePretended),
    ("ending_one_command_ends_what_came_of_it_and_nothing_else", Leak::LivePretended),
    ("single_files_are_looked_at_and_removed", Leak::LivePretended),
    ("a_fork_has_the_same_files_and_no_process", Leak::LivePretended),
    ("only_its_own_processes_are_visible", Leak::NothingElse),
    ("no_process_outside_can_be_signalled", Leak::NothingElse),
    ("a_file_of_the_host_cannot_be_read", Leak::NothingElse),
    ("nothing_outside_the_writable_folders_can_be_written", Leak::NothingElse),
    ("the_temporary_folders_are_its_own", Leak::NothingElse),
    ("a_listener_of_the_host_is_never_reached", Leak::NothingElse),
    ("an_abstract_socket_of_the_host_is_never_reached", Leak::NothingElse),
    ("connections_come_in_by_the_door_and_each_direction_ends_by_itself", Leak::NothingElse),
    ("many_connections_are_kept_apart_and_one_that_takes_nothing_holds_up_no_other", Leak::NothingElse),
    ("nothing_but_the_door_can_be_called", Leak::NothingElse),
    ("what_is_seen_from_outside_is_as_planned", Leak::NothingElse),
    ("a_watched_file_that_is_opened_is_told_and_others_are_not", Leak::NothingElse),
    ("a_planted_listener_that_is_called_is_told_and_others_are_not", Leak::NothingElse),
    ("a_quiet_program_shows_nothing", Leak::SightingsMadeUp),
    ("refused_system_calls_are_seen_by_name", Leak::NothingElse),
    ("addresses_are_seen_as_the_guest_claims_them_and_refused", Leak::NothingElse),
    ("addresses_that_cannot_be_read_are_refused_all_the_same", Leak::NothingElse),
    ("a_unix_address_as_long_as_an_internet_one_is_told_and_no_other", Leak::NothingElse),
    ("started_programs_are_seen_with_their_command_lines", Leak::NothingElse),
    ("files_are_seen_that_neither_its_language_nor_itself_has", Leak::NothingElse),
    ("a_flood_is_counted_and_does_not_hold_up_a_peer", Leak::NothingElse),
    ("the_memory_limit_kills_the_guest_and_is_told", Leak::NothingElse),
    ("a_crash_is_not_told_as_out_of_memory", Leak::CrashesAreOutOfMemory),
    ("the_peak_of_memory_is_told", Leak::PeakMadeUp),
    ("the_limit_on_processes_stops_forks_and_is_told", Leak::NothingElse),
    ("threads_count_as_processes", Leak::NothingElse),
    ("the_disk_limit_holds_over_all_writable_folders", Leak::NothingElse),
    ("the_inode_limit_refuses_more_files", Leak::NothingElse),
    ("the_file_size_limit_refuses_more_bytes", Leak::NothingElse),
    ("the_file_size_limit_sends_its_signal", Leak::NothingElse),
    ("the_limit_on_open_files_refuses_more", Leak::NothingElse),
    ("processor_time_is_counted", Leak::NothingElse),
    ("processor_time_is_counted_for_children_too", Leak::NothingElse),
];

/// What a machine may itself do to a plain process, so that nothing is there to be noticed: containers filter system
/// calls and drop privileges, too.
const LEAKS_WHERE_THE_MACHINE_LETS_THEM: [&str; 6] = [
    "it_has_no_capabilities",
    "it_can_gain_no_privileges",
    "its_system_calls_are_filtered",
    "it_can_make_no_user_namespace",
    "no_core_file_is_written",
    "the_stack_limit_is_in_force_and_cannot_be_raised",
];

fn leaky(leak: Leak) -> ConformanceSubject {
    ConformanceSubject {
        backend: Arc::new(LeakyBackend::new(leak)),
        python: Arc::new(languages::python()),
        shell: Arc::new(languages::shell()),
        policy: Policy::built_in("default").unwrap(),
        readiness: Readiness::Bare,
    }
}

async fn noticed(name: &str, leak: Leak) -> Verdict {
    check(behaviour(name).unwrap(), &leaky(leak), PATIENCE).await
}

#[test]
fn every_behaviour_has_a_leak_that_it_must_notice() {
    let asked: BTreeSet<_> = LEAKS.iter().map(|(name, _)| *name).chain(LEAKS_WHERE_THE_MACHINE_LETS_THEM).collect();
    let there: BTreeSet<_> = BEHAVIOURS.iter().map(|behaviour| behaviour.name).collect();
    assert_eq!(asked, there);
    assert_eq!(asked.len(), LEAKS.len() + LEAKS_WHERE_THE_MACHINE_LETS_THEM.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_leak_is_noticed() {
    // Descriptors are counted for the whole process: what others close would hide what is lost, so that this one is alone.
    let (alone, together): (Vec<_>, Vec<_>) = LEAKS.into_iter().partition(|(_, leak)| *leak == Leak::DescriptorsLost);
    let mut verdicts = Vec::new();
    for (name, leak) in alone {
        verdicts.push((name, leak, noticed(name, leak).await));
    }
    // Most of the others only wait for what never comes, so they may wait together.
    let places = Arc::new(Semaphore::new(8));
    let mut tasks = JoinSet::new();
    for (name, leak) in together {
        let places = Arc::clone(&places);
        tasks.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            (name, leak, noticed(name, leak).await)
        });
    }
    verdicts.extend(tasks.join_all().await);
    for (name, leak, verdict) in &verdicts {
        println!("{name} with {leak:?}: {verdict:?}");
    }
    let unnoticed: Vec<_> =
        verdicts.into_iter().filter(|(_, _, verdict)| !matches!(verdict, Verdict::Failed(_))).collect();
    assert!(unnoticed.is_empty(), "the suite is blind here: {unnoticed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn privileges_of_a_plain_process_are_noticed_where_the_machine_leaves_it_any() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let says = |line: &str| status.lines().any(|seen| seen.split_whitespace().eq(line.split_whitespace()));
    let cores = rustix::process::getrlimit(rustix::process::Resource::Core).maximum;
    let stack = rustix::process::getrlimit(rustix::process::Resource::Stack);
    let cases = [
        ("it_has_no_capabilities", says("CapBnd: 0000000000000000")),
        ("it_can_gain_no_privileges", says("NoNewPrivs: 1")),
        ("its_system_calls_are_filtered", says("Seccomp: 2")),
        ("it_can_make_no_user_namespace", says("Seccomp: 2") || !can_make_user_namespaces()),
        ("no_core_file_is_written", cores == Some(0)),
        ("the_stack_limit_is_in_force_and_cannot_be_raised", stack.maximum == Some(1 << 20)),
    ];
    for (name, kept_by_the_machine) in cases {
        let verdict = noticed(name, Leak::NothingElse).await;
        println!("{name}: {verdict:?}");
        let missed = !matches!(verdict, Verdict::Failed(_)) && !kept_by_the_machine;
        assert!(!missed, "the suite is blind for {name}: {verdict:?}");
    }
}

fn can_make_user_namespaces() -> bool {
    let unshare = std::process::Command::new("unshare").args(["--user", "true"]).status();
    unshare.is_ok_and(|status| status.success())
}

#[test]
fn a_backend_that_cannot_be_used_is_skipped_with_its_reason() {
    let missing = async || Err(Unavailable { backend: "nonesuch".to_owned(), reason: "it doesn't exist".to_owned() });
    assert_eq!(run_test("the_exit_code_passes", missing), Ok(()));
}

#[test]
fn a_behaviour_that_hangs_has_failed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let behaviour = behaviour("standard_input_ends_when_it_is_dropped").unwrap();
    let verdict = runtime.block_on(check(behaviour, &leaky(Leak::InputNeverEnds), Duration::from_millis(500)));
    assert_eq!(verdict, Verdict::Failed("nothing came of it within 500ms".to_owned()));
}
