//! The list of behaviours with what each needs, and the running of one under a deadline.

use super::stop::{Checked, Stop};
use super::{
    confinement, door, files, lifetime, limits, links, live, monitoring, privileges, process, streams, tripwires,
};
use crucible_core::{
    Ability, Backend, Coverage, Enforcement, Isolation, Language, Layer, LimitKind, LiveFeature, NetworkKind, Policy,
    Readiness, TripwireKind, Watchable,
};
use std::fmt;
use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long one behaviour may take.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// What is put to the test.
#[derive(Clone)]
pub struct ConformanceSubject {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// Python 3, as the backend finds it.
    pub python: Arc<Language>,
    /// A POSIX shell, as the backend finds it.
    pub shell: Arc<Language>,
    /// A policy that the backend admits.
    pub policy: Policy,
    /// What is to stand ready in sandboxes for Python: with an interpreter, its programs come as files.
    pub readiness: Readiness,
}

/// A backend that can't be used on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Its name.
    pub backend: String,
    /// Why not.
    pub reason: String,
}

/// What a backend must be able to do for a behaviour to be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A wall between guest and host.
    Isolation,
    /// A limit that is enforced for the whole sandbox.
    SandboxLimit(LimitKind),
    /// A limit that is enforced in any way.
    AnyLimit(LimitKind),
    /// A layer.
    Layer(Layer),
    /// Any program of the guest's file system, not only the language's.
    ArbitraryCommands,
    /// File calls outside the work folder.
    AbsolutePaths,
    /// A kind of tripwire.
    Tripwire(TripwireKind),
    /// A part of a run that is watched.
    Watched(Watchable),
    /// Something that a sandbox can do while it stays open.
    Live(LiveFeature),
    /// Something that programs have inside.
    Ability(Ability),
    /// A kind of network.
    Network(NetworkKind),
}

impl Need {
    /// Why a backend isn't asked under this policy, if it isn't.
    fn lacking(self, backend: &dyn Backend, policy: &Policy) -> Option<String> {
        let can = backend.capabilities();
        let (met, lack) = match self {
            Self::Isolation => (can.isolation != Isolation::None, "isolates nothing".to_owned()),
            Self::SandboxLimit(limit) => {
                let met = can.enforcement(limit) == Enforcement::Sandbox;
                (met, format!("doesn't enforce the limit {limit} for the whole sandbox here"))
            }
            Self::AnyLimit(limit) => {
                (can.enforcement(limit) != Enforcement::None, format!("doesn't enforce the limit {limit} here"))
            }
            Self::Layer(layer) => {
                let met = can.layers_under(policy).get(&layer).is_some_and(crucible_core::LayerState::is_active);
                (met, format!("doesn't have the layer {layer} here"))
            }
            Self::ArbitraryCommands => (can.arbitrary_commands, "doesn't run any command".to_owned()),
            Self::Tripwire(kind) => {
                (can.tripwires.contains(&kind), format!("can't plant a tripwire of the kind '{kind}'"))
            }
            Self::Watched(part) => {
                let met = matches!(can.monitoring.get(&part), Some(Coverage::Events | Coverage::Sampled { .. }));
                (met, format!("doesn't watch {} here", part.as_str()))
            }
            Self::Live(feature) => {
                (can.live_under(policy).contains(&feature), format!("doesn't have the feature {feature}"))
            }
            Self::Ability(ability) => {
                (can.abilities.contains(&ability), format!("gives its programs no {}", ability.as_str()))
            }
            Self::Network(kind) => (can.networks.contains(&kind), format!("gives no network of the kind {kind:?}")),
            Self::AbsolutePaths => (can.absolute_paths, "doesn't reach files outside the work folder".to_owned()),
        };
        (!met).then(|| format!("backend '{}' {lack}", backend.name()))
    }
}

type Run = for<'a> fn(&'a ConformanceSubject) -> Pin<Box<dyn Future<Output = Checked> + Send + 'a>>;

/// One thing that every backend does, or says that it doesn't.
#[derive(Clone, Copy)]
pub struct Behaviour {
    /// Its name, a sentence.
    pub name: &'static str,
    /// What a backend must be able to do for it to be asked.
    pub needs: &'static [Need],
    run: Run,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour").field("name", &self.name).field("needs", &self.needs).finish()
    }
}

/// How a behaviour came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Not asked, and why.
    Skipped(String),
    /// Otherwise, or not at all within the deadline.
    Failed(String),
}

/// Puts one behaviour to the test. A hang is a failure.
pub async fn check(behaviour: &Behaviour, subject: &ConformanceSubject, deadline: Duration) -> Verdict {
    if let Some(lack) = behaviour.needs.iter().find_map(|need| need.lacking(subject.backend.as_ref(), &subject.policy))
    {
        return Verdict::Skipped(lack);
    }
    match tokio::time::timeout(deadline, (behaviour.run)(subject)).await {
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(Stop::CannotTell(why))) => Verdict::Skipped(why),
        Ok(Err(Stop::Failed(why))) => Verdict::Failed(why),
        Err(_) => Verdict::Failed(format!("nothing came of it within {deadline:?}")),
    }
}

/// The behaviour of that name.
#[must_use]
pub fn behaviour(name: &str) -> Option<&'static Behaviour> {
    BEHAVIOURS.iter().find(|behaviour| behaviour.name == name)
}

/// The body of a test that [`conformance_suite!`](crate::conformance_suite) makes.
///
/// A backend that can't be used is skipped with its reason, unless `CRUCIBLE_REQUIRE` (names with commas between) names it.
///
/// # Errors
/// What was otherwise than it should be.
pub fn run_test<Made>(name: &str, subject: impl FnOnce() -> Made) -> Result<(), Stop>
where
    Made: Future<Output = Result<ConformanceSubject, Unavailable>>,
{
    let behaviour = behaviour(name).ok_or_else(|| Stop::Failed(format!("there is no behaviour {name}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let verdict = runtime.block_on(async {
        match subject().await {
            Ok(subject) => check(behaviour, &subject, DEADLINE).await,
            Err(Unavailable { backend, reason }) if is_required(&backend) => {
                Verdict::Failed(format!("CRUCIBLE_REQUIRE names {backend}, and it can't be used here: {reason}"))
            }
            Err(Unavailable { backend, reason }) => {
                Verdict::Skipped(format!("backend '{backend}' can't be used here: {reason}"))
            }
        }
    });
    // A guest's pipe that nobody will ever close must not hold the test up at its end.
    runtime.shutdown_background();
    match verdict {
        Verdict::Passed => Ok(()),
        Verdict::Skipped(why) => {
            // Past the test harness, which would hide it: a skip always says why.
            let _ = writeln!(std::io::stderr(), "skipped {name}: {why}");
            Ok(())
        }
        Verdict::Failed(why) => Err(Stop::Failed(why)),
    }
}

fn is_required(backend: &str) -> bool {
    std::env::var("CRUCIBLE_REQUIRE").is_ok_and(|names| names_it(&names, backend))
}

fn names_it(names: &str, backend: &str) -> bool {
    names.split(',').any(|name| name.trim() == backend)
}

/// Declares the behaviours once: for the list, and for the tests that the macro makes.
macro_rules! declare_behaviours {
    ($dollar:tt $($module:ident { $($name:ident [$($need:expr),*];)* })*) => {
        /// Every behaviour there is.
        pub const BEHAVIOURS: &[Behaviour] = &[$($(
            Behaviour { name: stringify!($name), needs: &[$($need),*], run: |subject| Box::pin($module::$name(subject)) },
        )*)*];

        /// Makes a test of every behaviour. Takes the name of an async function without arguments that gives a
        /// [`ConformanceSubject`](crate::conformance::ConformanceSubject), or says with
        /// [`Unavailable`](crate::conformance::Unavailable) why there is none.
        #[macro_export]
        macro_rules! conformance_suite {
            ($dollar subject:path) => {
                $($(
                    #[test]
                    fn $name() -> ::std::result::Result<(), $dollar crate::conformance::Stop> {
                        $dollar crate::conformance::run_test(stringify!($name), $dollar subject)
                    }
                )*)*
            };
        }
    };
}

declare_behaviours! { $
    process {
        the_exit_code_passes [];
        death_by_signal_is_reported [Need::Ability(Ability::Processes)];
        arguments_pass_exactly [];
        the_environment_holds_what_was_given_and_nothing_of_the_supervisors [];
        commands_start_in_the_folder_that_was_asked_for [];
        a_missing_program_is_not_found_and_the_sandbox_lives [Need::ArbitraryCommands];
        any_command_of_the_guests_file_system_can_be_run [Need::ArbitraryCommands];
        several_commands_share_the_files [];
        two_commands_run_at_the_same_time [];
        waiting_can_be_given_up_and_taken_up_again [];
        the_programs_exit_does_not_wait_for_its_children [Need::Ability(Ability::Processes)];
        the_shell_makes_pipelines [Need::Ability(Ability::Processes)];
        no_descriptor_but_the_standard_streams_is_open [Need::Layer(Layer::CleanStart), Need::Ability(Ability::KernelCalls)];
    }
    streams {
        the_streams_are_separate_and_exact_to_the_byte [];
        the_streams_can_be_opened_again_by_name [Need::Ability(Ability::KernelCalls)];
        a_mebibyte_passes_from_input_to_output [];
        standard_input_ends_when_it_is_dropped [];
        input_that_nobody_reads_breaks_without_a_hang [];
        output_comes_while_the_command_runs [];
    }
    files {
        files_are_read_back_exactly [];
        a_file_is_replaced_whole [];
        the_executable_bit_is_honoured [Need::Ability(Ability::KernelCalls)];
        folders_are_listed_sorted_with_kinds_and_sizes [];
        what_is_not_there_is_not_found [];
        a_second_sandbox_sees_nothing_of_the_first [];
    }
    links {
        links_are_not_followed_out [];
        pipes_sockets_and_folders_are_refused_without_a_hang [Need::Ability(Ability::KernelCalls)];
        a_file_with_two_names_is_refused [];
        a_device_is_refused [Need::AbsolutePaths];
        nothing_is_written_through_a_planted_link [];
    }
    lifetime {
        ending_processes_kills_a_daemon [Need::Ability(Ability::Processes)];
        a_sandbox_works_on_after_its_processes_were_ended [];
        destroying_leaves_no_process [Need::Ability(Ability::Processes)];
        dropping_leaves_no_process [Need::Ability(Ability::Processes)];
        the_end_of_a_sandbox_ends_its_command [];
        many_sandboxes_leave_no_descriptor [];
    }
    live {
        what_a_backend_cannot_do_is_refused [];
        a_terminal_is_one_with_its_size_and_its_keys [Need::Live(LiveFeature::Terminals)];
        a_signal_reaches_a_running_command [Need::Live(LiveFeature::Signals), Need::Ability(Ability::Processes)];
        ending_one_command_ends_what_came_of_it_and_nothing_else [Need::Live(LiveFeature::CommandTrees), Need::Ability(Ability::Processes)];
        single_files_are_looked_at_and_removed [Need::Live(LiveFeature::Files)];
        a_fork_has_the_same_files_and_no_process [Need::Live(LiveFeature::Forks)];
    }
    confinement {
        only_its_own_processes_are_visible [Need::Isolation];
        no_process_outside_can_be_signalled [Need::Isolation, Need::Ability(Ability::Processes)];
        a_file_of_the_host_cannot_be_read [Need::Isolation];
        nothing_outside_the_writable_folders_can_be_written [Need::Isolation];
        the_temporary_folders_are_its_own [Need::Isolation];
        a_listener_of_the_host_is_never_reached [Need::Isolation];
        an_abstract_socket_of_the_host_is_never_reached [Need::Isolation];
    }
    door {
        connections_come_in_by_the_door_and_each_direction_ends_by_itself [Need::Network(NetworkKind::AllowList), Need::Ability(Ability::Sockets)];
        many_connections_are_kept_apart_and_one_that_takes_nothing_holds_up_no_other [Need::Network(NetworkKind::AllowList), Need::Ability(Ability::Sockets)];
        nothing_but_the_door_can_be_called [Need::Network(NetworkKind::AllowList), Need::Ability(Ability::Sockets)];
    }
    privileges {
        it_has_no_capabilities [Need::Isolation, Need::Layer(Layer::Capabilities)];
        it_can_gain_no_privileges [Need::Isolation, Need::Layer(Layer::NoNewPrivs)];
        its_system_calls_are_filtered [Need::Isolation, Need::Layer(Layer::Seccomp)];
        it_can_make_no_user_namespace [Need::Isolation, Need::Layer(Layer::Seccomp), Need::Ability(Ability::NativeModules)];
        no_core_file_is_written [Need::Layer(Layer::Rlimits), Need::Ability(Ability::KernelCalls)];
        what_is_seen_from_outside_is_as_planned [Need::Isolation];
    }
    tripwires {
        a_watched_file_that_is_opened_is_told_and_others_are_not [Need::Tripwire(TripwireKind::File)];
        a_planted_listener_that_is_called_is_told_and_others_are_not [Need::Tripwire(TripwireKind::Listener)];
    }
    monitoring {
        a_quiet_program_shows_nothing [];
        refused_system_calls_are_seen_by_name [Need::Watched(Watchable::SystemCalls), Need::Ability(Ability::NativeModules)];
        addresses_are_seen_as_the_guest_claims_them_and_refused [Need::Watched(Watchable::Network), Need::Ability(Ability::Sockets)];
        addresses_that_cannot_be_read_are_refused_all_the_same [Need::Watched(Watchable::Network), Need::Ability(Ability::Sockets)];
        a_unix_address_as_long_as_an_internet_one_is_told_and_no_other [Need::Watched(Watchable::Network), Need::Ability(Ability::Sockets)];
        started_programs_are_seen_with_their_command_lines [Need::Watched(Watchable::Processes), Need::Ability(Ability::Processes)];
        files_are_seen_that_neither_its_language_nor_itself_has [Need::Watched(Watchable::Files), Need::Ability(Ability::KernelCalls)];
        a_flood_is_counted_and_does_not_hold_up_a_peer [Need::Watched(Watchable::Network), Need::Ability(Ability::Sockets)];
    }
    limits {
        the_memory_limit_kills_the_guest_and_is_told [Need::SandboxLimit(LimitKind::Memory)];
        a_crash_is_not_told_as_out_of_memory [];
        the_peak_of_memory_is_told [Need::SandboxLimit(LimitKind::Memory)];
        the_limit_on_processes_stops_forks_and_is_told [Need::AnyLimit(LimitKind::Pids), Need::Ability(Ability::Processes)];
        threads_count_as_processes [Need::AnyLimit(LimitKind::Pids), Need::Ability(Ability::Threads)];
        the_disk_limit_holds_over_all_writable_folders [Need::SandboxLimit(LimitKind::Disk)];
        the_inode_limit_refuses_more_files [Need::SandboxLimit(LimitKind::Inodes)];
        the_file_size_limit_refuses_more_bytes [Need::AnyLimit(LimitKind::FileSize)];
        the_file_size_limit_sends_its_signal [Need::AnyLimit(LimitKind::FileSize), Need::Ability(Ability::Processes)];
        the_limit_on_open_files_refuses_more [Need::AnyLimit(LimitKind::OpenFiles)];
        the_stack_limit_is_in_force_and_cannot_be_raised [Need::AnyLimit(LimitKind::Stack), Need::Ability(Ability::KernelCalls)];
        processor_time_is_counted [Need::AnyLimit(LimitKind::CpuTime)];
        processor_time_is_counted_for_children_too [Need::AnyLimit(LimitKind::CpuTime), Need::Ability(Ability::Processes)];
    }
}

#[cfg(test)]
mod tests {
    use super::names_it;

    #[test]
    fn a_required_backend_is_named_between_commas() {
        assert!(names_it("jail,docker", "jail") && names_it(" docker , jail ", "jail"));
        assert!(!names_it("", "jail") && !names_it("jailer,sub jail", "jail"));
    }
}
