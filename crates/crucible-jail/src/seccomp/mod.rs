//! The system call filter: a table of rules ([`TABLE`]) and its compilation to a classic BPF program.
//!
//! Invariant: a program of another architecture (32-bit calls, the x32 ABI) never reaches the rules. The table is compiled
//! to a balanced tree, because the kernel runs the program once for every call number when it is loaded.

mod masked;
mod table;

pub use masked::{MASKED_DEFAULT, MaskedRule, MaskedTest, masked_rules};
pub use table::{Entry, TABLE};

use libc::c_long;
use serde::{Deserialize, Serialize};

/// What happens to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is made.
    Allow,
    /// It is answered with this errno (0: as if it had succeeded), and nobody is told: programs do it by the way.
    Refuse(i32),
    /// It is answered with this errno, and the supervisor is told.
    Report(i32),
}

/// What happens to a system call, by its arguments where they matter.
pub enum Rule {
    /// Always the same.
    Always(Answer),
    /// It is made if one of the alternatives holds, else answered otherwise.
    AllowWhen(&'static [Alternative], Answer),
    /// The answer of the first case of which an alternative holds, else the last one.
    Cases(&'static [(&'static [Alternative], Answer)], Answer),
}

/// Tests that must all hold.
pub type Alternative = &'static [Test];

/// An argument of a system call, by position.
#[derive(Clone, Copy)]
pub enum Argument {
    /// The first.
    First,
    /// The second.
    Second,
    /// The third.
    Third,
    /// The fourth.
    Fourth,
    /// The fifth.
    Fifth,
    /// The sixth.
    Sixth,
}

/// A test of 32 bits of an argument: the lower ones, unless the kernel itself looks at the upper ones, too.
pub struct Test {
    argument: Argument,
    half: Half,
    mask: u32,
    value: u32,
    wanted: Wanted,
}

#[derive(Clone, Copy)]
enum Half {
    Lower,
    Upper,
}

#[derive(Clone, Copy)]
enum Wanted {
    Same,
    Other,
    AtLeast,
}

impl Test {
    const fn equals(argument: Argument, value: u32) -> Self {
        Self::masked(argument, u32::MAX, value)
    }

    const fn masked(argument: Argument, mask: u32, value: u32) -> Self {
        Self { argument, half: Half::Lower, mask, value, wanted: Wanted::Same }
    }

    const fn differs(argument: Argument, value: u32) -> Self {
        Self { argument, half: Half::Lower, mask: u32::MAX, value, wanted: Wanted::Other }
    }

    const fn at_least(argument: Argument, value: u32) -> Self {
        Self { argument, half: Half::Lower, mask: u32::MAX, value, wanted: Wanted::AtLeast }
    }

    /// With [`Test::equals`] 0, that the argument is a null pointer.
    const fn upper_is_zero(argument: Argument) -> Self {
        Self { argument, half: Half::Upper, mask: u32::MAX, value: 0, wanted: Wanted::Same }
    }
}

/// One instruction of classic BPF, laid out as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    constant: u32,
}

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const RETURN_ALLOW: u32 = 0x7fff_0000;
const RETURN_ERRNO: u32 = 0x0005_0000;
/// The kernel asks the listener, and doesn't look at the lower 16 bits, which hold the errno all the same: see [`silence`].
const RETURN_USER_NOTIF: u32 = 0x7fc0_0000;
const ACTION: u32 = 0xffff_0000;
const RETURN_KILL_PROCESS: u32 = 0x8000_0000;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E; // AUDIT_ARCH_X86_64
#[cfg(not(target_arch = "x86_64"))]
compile_error!("the system call table has been written and tested for x86_64 only");

/// Calls from here on are of the x32 ABI, which has other argument sizes.
const X32_START: u32 = 0x4000_0000;

impl Instruction {
    const fn new(code: u16, jump_true: u8, jump_false: u8, constant: u32) -> Self {
        Self { code, jump_true, jump_false, constant }
    }

    /// Its code, how many instructions it passes over if its test holds and if not, and its constant.
    #[must_use]
    pub const fn parts(self) -> (u16, u8, u8, u32) {
        (self.code, self.jump_true, self.jump_false, self.constant)
    }

    const fn plain(code: u16, constant: u32) -> Self {
        Self::new(code, 0, 0, constant)
    }
}

/// What happens to connections to internet addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// They are refused, and reported.
    Refused,
    /// They are made, as far as the network namespace leads. They can't be reported then: what is reported is never made,
    /// and where a call wants to go stands in memory that can change before the call is made.
    Made,
}

/// Compiles the table into a program for `seccomp(2)` that needs a listener for what is reported.
#[must_use]
pub fn compile(connections: Connections) -> Vec<Instruction> {
    let mut program = vec![
        Instruction::plain(LOAD_WORD, OFFSET_ARCHITECTURE),
        Instruction::new(JUMP_EQUAL, 1, 0, ARCHITECTURE),
        Instruction::plain(RETURN, RETURN_KILL_PROCESS),
        Instruction::plain(LOAD_WORD, OFFSET_NUMBER),
    ];
    program.extend(tree(&intervals(connections)));
    program
}

/// Makes a program report nothing: what would be reported is refused with the same errno.
pub fn silence(program: &mut [Instruction]) {
    for instruction in program {
        if instruction.code == RETURN && instruction.constant & ACTION == RETURN_USER_NOTIF {
            instruction.constant = RETURN_ERRNO | (instruction.constant & !ACTION);
        }
    }
}

/// The errno with which a reported call is answered, by its number.
#[must_use]
pub fn answer_to_reported(call: c_long) -> i32 {
    let entry = TABLE.iter().find(|entry| entry.calls.contains(&call));
    let reported = |answer: &Answer| match answer {
        Answer::Report(errno) => Some(*errno),
        Answer::Allow | Answer::Refuse(_) => None,
    };
    let found = entry.and_then(|entry| match &entry.rule {
        Rule::Always(answer) | Rule::AllowWhen(_, answer) => reported(answer),
        Rule::Cases(cases, otherwise) => {
            cases.iter().find_map(|(_, answer)| reported(answer)).or_else(|| reported(otherwise))
        }
    });
    found.unwrap_or(table::REFUSED)
}

/// Whether these are calls that are made because connections are.
fn makes(connections: Connections, entry: &Entry) -> bool {
    connections == Connections::Made && entry.calls.contains(&libc::SYS_connect)
}

/// What happens to all call numbers from `start` up to the next interval.
struct Interval {
    start: u32,
    code: Vec<Instruction>,
}

fn intervals(connections: Connections) -> Vec<Interval> {
    let answer = |answer: Answer| vec![Instruction::plain(RETURN, returned(answer))];
    let mut calls: Vec<(c_long, Vec<Instruction>)> = Vec::new();
    for entry in TABLE {
        let code = match &entry.rule {
            _ if makes(connections, entry) => answer(Answer::Allow),
            Rule::Always(always) => answer(*always),
            Rule::AllowWhen(alternatives, otherwise) => conditions(&[(alternatives, Answer::Allow)], *otherwise),
            Rule::Cases(cases, otherwise) => conditions(cases, *otherwise),
        };
        calls.extend(entry.calls.iter().map(|call| (*call, code.clone())));
    }
    calls.sort_by_key(|(call, _)| *call);
    let mut intervals: Vec<Interval> = vec![Interval { start: 0, code: answer(Answer::Report(table::REFUSED)) }];
    let mut push = |start: c_long, code: Vec<Instruction>| {
        let start = u32::try_from(start).unwrap_or(X32_START);
        match intervals.last_mut() {
            Some(last) if last.start == start => last.code = code,
            Some(last) if last.code == code => {}
            _ => intervals.push(Interval { start, code }),
        }
    };
    let mut next = 0;
    for (call, code) in calls {
        if call > next {
            push(next, answer(Answer::Report(table::REFUSED)));
        }
        push(call, code);
        next = call + 1;
    }
    push(next, answer(Answer::Report(table::REFUSED)));
    push((table::NEWEST_KNOWN + 1).max(next), answer(Answer::Refuse(table::UNKNOWN)));
    push(c_long::from(X32_START), answer(Answer::Refuse(table::UNKNOWN)));
    intervals
}

/// A balanced search over the intervals. Jumps over long distances use the unconditional instruction, whose offset has 32 bits.
fn tree(intervals: &[Interval]) -> Vec<Instruction> {
    match intervals {
        [] => Vec::new(),
        [only] => only.code.clone(),
        _ => {
            let (low, high) = intervals.split_at(intervals.len() / 2);
            let (low_code, high_code) = (tree(low), tree(high));
            let pivot = high.first().map_or(0, |interval| interval.start);
            let distance = u32::try_from(low_code.len()).unwrap_or(u32::MAX);
            let mut code = vec![Instruction::new(JUMP_AT_LEAST, 0, 1, pivot), Instruction::plain(JUMP, distance)];
            code.extend(low_code);
            code.extend(high_code);
            code
        }
    }
}

/// What the program returns for an answer.
const fn returned(answer: Answer) -> u32 {
    match answer {
        Answer::Allow => RETURN_ALLOW,
        Answer::Refuse(errno) => RETURN_ERRNO | (errno.unsigned_abs() & !ACTION),
        Answer::Report(errno) => RETURN_USER_NOTIF | (errno.unsigned_abs() & !ACTION),
    }
}

/// One block per alternative; a test that fails jumps to the next block.
fn conditions(cases: &[(&[Alternative], Answer)], otherwise: Answer) -> Vec<Instruction> {
    let mut code = Vec::new();
    for (alternative, answer) in cases.iter().flat_map(|(all, answer)| all.iter().map(move |one| (*one, *answer))) {
        // Each test is three instructions, and the block ends with a return.
        let length = alternative.len() * 3 + 1;
        for (index, test) in alternative.iter().enumerate() {
            // The native architecture is little-endian.
            let offset = OFFSET_ARGUMENTS + 8 * test.argument as u32 + 4 * test.half as u32;
            let to_next = u8::try_from(length - index * 3 - 3).unwrap_or(u8::MAX);
            code.push(Instruction::plain(LOAD_WORD, offset));
            code.push(Instruction::plain(AND, test.mask));
            code.push(match test.wanted {
                Wanted::Same => Instruction::new(JUMP_EQUAL, 0, to_next, test.value),
                Wanted::Other => Instruction::new(JUMP_EQUAL, to_next, 0, test.value),
                Wanted::AtLeast => Instruction::new(JUMP_AT_LEAST, 0, to_next, test.value),
            });
        }
        code.push(Instruction::plain(RETURN, returned(answer)));
    }
    code.push(Instruction::plain(RETURN, returned(otherwise)));
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A classic BPF machine, enough for the programs made here.
    fn run(program: &[Instruction], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_le_bytes());
        data.extend(architecture.to_le_bytes());
        data.extend(0_u64.to_le_bytes());
        arguments.iter().for_each(|argument| data.extend(argument.to_le_bytes()));
        let (mut accumulator, mut at) = (0_u32, 0_usize);
        loop {
            let instruction = program[at];
            at += 1;
            match instruction.code {
                LOAD_WORD => {
                    let offset = instruction.constant as usize;
                    accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
                }
                AND => accumulator &= instruction.constant,
                JUMP => at += instruction.constant as usize,
                JUMP_EQUAL | JUMP_AT_LEAST => {
                    let holds = if instruction.code == JUMP_EQUAL {
                        accumulator == instruction.constant
                    } else {
                        accumulator >= instruction.constant
                    };
                    at += usize::from(if holds { instruction.jump_true } else { instruction.jump_false });
                }
                RETURN => return instruction.constant,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    fn answer(number: c_long, arguments: [u64; 6]) -> u32 {
        run(&compile(Connections::Refused), ARCHITECTURE, u32::try_from(number).unwrap(), arguments)
    }

    const NO_ARGUMENTS: [u64; 6] = [0; 6];

    fn errno(number: i32) -> u32 {
        RETURN_ERRNO | number.unsigned_abs()
    }

    fn told(number: i32) -> u32 {
        RETURN_USER_NOTIF | number.unsigned_abs()
    }

    #[test]
    fn no_call_stands_in_the_table_twice_and_each_has_a_reason() {
        let mut seen = std::collections::BTreeSet::new();
        for entry in TABLE {
            assert!(entry.reason.len() > 10);
            for call in entry.calls {
                assert!(seen.insert(*call), "call {call} is in the table twice");
            }
        }
    }

    #[test]
    fn the_sandboxs_init_cannot_be_starved_and_its_limits_cannot_be_touched() {
        let refused = told(libc::EPERM);
        for call in [libc::SYS_sched_setaffinity, libc::SYS_sched_setscheduler, libc::SYS_prlimit64] {
            assert_eq!(answer(call, [1, 0, 0, 0, 0, 0]), refused, "call {call}");
        }
        assert_eq!(answer(libc::SYS_sched_setaffinity, [7, 0, 0, 0, 0, 0]), RETURN_ALLOW);
        assert_eq!(answer(libc::SYS_sched_setscheduler, [0, 3, 0, 0, 0, 0]), RETURN_ALLOW);
        assert_eq!(answer(libc::SYS_sched_setscheduler, [0, 1, 0, 0, 0, 0]), refused);
        // A process; neither a group nor a user, and not the init.
        assert_eq!(answer(libc::SYS_setpriority, [0, 0, 5, 0, 0, 0]), RETURN_ALLOW);
        for arguments in [[0, 1], [1, 1], [2, 0], [2, 1000]] {
            assert_eq!(answer(libc::SYS_setpriority, [arguments[0], arguments[1], 19, 0, 0, 0]), refused);
        }
    }

    #[test]
    fn the_core_limit_can_be_read_and_not_set() {
        let core = 4;
        assert_eq!(answer(libc::SYS_prlimit64, [0, core, 0, 0x1000, 0, 0]), RETURN_ALLOW);
        // Pointers whose lower or upper half is zero are pointers all the same.
        for pointer in [0x1000, 0x1_0000_0000] {
            assert_eq!(answer(libc::SYS_prlimit64, [0, core, pointer, 0, 0, 0]), told(libc::EPERM));
            assert_eq!(answer(libc::SYS_prlimit64, [0, 7, pointer, 0, 0, 0]), RETURN_ALLOW);
        }
        assert_eq!(answer(libc::SYS_setrlimit, [core, 0, 0, 0, 0, 0]), told(libc::EPERM));
        assert_eq!(answer(libc::SYS_setrlimit, [3, 0, 0, 0, 0, 0]), RETURN_ALLOW);
    }

    #[test]
    fn what_the_host_shares_is_neither_watched_nor_used_up() {
        assert_eq!(answer(libc::SYS_inotify_init1, NO_ARGUMENTS), errno(libc::ENOSYS));
        for command in [1024, 1026] {
            assert_eq!(answer(libc::SYS_fcntl, [0, command, 0, 0, 0, 0]), told(libc::EPERM));
        }
        assert_eq!(answer(libc::SYS_fcntl, [0, 3, 0, 0, 0, 0]), RETURN_ALLOW);
        let private = 0x22;
        assert_eq!(answer(libc::SYS_mmap, [0, 4096, 3, private, 0, 0]), RETURN_ALLOW);
        assert_eq!(answer(libc::SYS_mmap, [0, 4096, 3, private | 0x4_0000, 0, 0]), errno(libc::EINVAL));
        assert_eq!(answer(libc::SYS_memfd_create, [0, 1, 0, 0, 0, 0]), RETURN_ALLOW);
        assert_eq!(answer(libc::SYS_memfd_create, [0, 5, 0, 0, 0, 0]), errno(libc::EINVAL));
    }

    #[test]
    fn every_entry_is_answered_as_the_table_says() {
        for entry in TABLE {
            for call in entry.calls {
                let seen = answer(*call, [0xdead_beef; 6]);
                let possible: Vec<u32> = match &entry.rule {
                    Rule::Always(always) => vec![returned(*always)],
                    // What the arguments decide has tests of its own.
                    Rule::AllowWhen(_, otherwise) => vec![RETURN_ALLOW, returned(*otherwise)],
                    Rule::Cases(cases, otherwise) => {
                        cases.iter().map(|(_, answer)| *answer).chain([*otherwise]).map(returned).collect()
                    }
                };
                assert!(possible.contains(&seen), "call {call}: {seen:#x}");
            }
        }
    }

    #[test]
    fn addresses_that_only_the_internet_has_are_reported_and_no_others() {
        for (call, at) in [(libc::SYS_connect, 2), (libc::SYS_bind, 2), (libc::SYS_sendto, 5)] {
            for (length, is_told) in [
                (16, true),
                (28, true),
                (128, true),
                (111, true),
                (0, false),
                (2, false),
                (15, false),
                (17, false),
                (110, false),
            ] {
                let mut arguments = NO_ARGUMENTS;
                arguments[at] = length;
                let seen = answer(call, arguments);
                let expected = if is_told { told(answer_to_reported(call)) } else { RETURN_ALLOW };
                assert_eq!(seen, expected, "call {call} with an address of {length} bytes");
            }
        }
    }

    #[test]
    fn what_is_reported_is_refused_all_the_same_where_nobody_listens() {
        let loud = compile(Connections::Refused);
        let mut silent = loud.clone();
        silence(&mut silent);
        for number in 0..700 {
            let arguments = [2, 3, 16, 0, 0, 16];
            let (loud, silent) =
                (run(&loud, ARCHITECTURE, number, arguments), run(&silent, ARCHITECTURE, number, arguments));
            if loud & ACTION == RETURN_USER_NOTIF {
                assert_eq!(silent, RETURN_ERRNO | (loud & !ACTION), "call {number}");
                assert_eq!(
                    i32::try_from(silent & !ACTION).unwrap(),
                    answer_to_reported(number.into()),
                    "call {number}"
                );
            } else {
                assert_eq!(loud, silent, "call {number}");
            }
        }
    }

    #[test]
    fn what_is_dangerous_is_refused() {
        for call in [
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_perf_event_open,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_userfaultfd,
            libc::SYS_reboot,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_getfd,
            libc::SYS_open_by_handle_at,
            libc::SYS_name_to_handle_at,
            libc::SYS_kcmp,
            libc::SYS_adjtimex,
            libc::SYS_clock_adjtime,
            libc::SYS_clock_settime,
            libc::SYS_settimeofday,
            libc::SYS_sethostname,
            libc::SYS_open_tree,
            libc::SYS_move_mount,
            libc::SYS_fsopen,
            libc::SYS_fsmount,
            libc::SYS_mount_setattr,
            libc::SYS_swapon,
            libc::SYS_quotactl,
            libc::SYS_iopl,
            libc::SYS_ioperm,
            libc::SYS_modify_ldt,
            libc::SYS_shmget,
            libc::SYS_msgget,
            libc::SYS_mq_open,
            libc::SYS_fanotify_init,
            libc::SYS_sched_setattr,
            libc::SYS_memfd_secret,
            libc::SYS_io_setup,
            libc::SYS_acct,
        ] {
            assert_eq!(answer(call, NO_ARGUMENTS), told(libc::EPERM), "call {call}");
        }
        assert_eq!(answer(libc::SYS_io_uring_setup, NO_ARGUMENTS), told(libc::ENOSYS));
        assert_eq!(answer(libc::SYS_clone3, NO_ARGUMENTS), errno(libc::ENOSYS));
        for call in
            [libc::SYS_bpf, libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_kexec_load, libc::SYS_syslog]
        {
            assert_eq!(answer(call, NO_ARGUMENTS), told(libc::ENOSYS), "call {call}");
        }
        assert_eq!(answer(9999, NO_ARGUMENTS), errno(libc::ENOSYS));
    }

    #[test]
    fn another_architecture_is_killed_and_x32_is_refused() {
        let program = compile(Connections::Refused);
        assert_eq!(run(&program, 0x4000_0003, 1, NO_ARGUMENTS), RETURN_KILL_PROCESS);
        assert_eq!(run(&program, ARCHITECTURE, X32_START + 1, NO_ARGUMENTS), errno(libc::ENOSYS));
    }

    #[test]
    fn namespaces_sockets_and_terminals_are_told_apart_by_their_arguments() {
        let thread = 0x003d_0f00;
        assert_eq!(answer(libc::SYS_clone, [thread, 0, 0, 0, 0, 0]), RETURN_ALLOW);
        for flag in [0x1000_0000_u64, 0x0002_0000, 0x2000_0000, 0x4000_0000, 0x0800_0000, 0x0400_0000, 0x0200_0000] {
            assert_eq!(answer(libc::SYS_clone, [thread | flag, 0, 0, 0, 0, 0]), told(libc::EPERM));
        }
        let socket = |family, kind| answer(libc::SYS_socket, [family, kind, 0, 0, 0, 0]);
        assert_eq!(socket(1, 1 | 0o2_000_000), RETURN_ALLOW);
        assert_eq!(socket(2, 2), RETURN_ALLOW);
        // Multipath TCP and UDP-Lite: more code behind the same types.
        assert_eq!(answer(libc::SYS_socket, [2, 1, 262, 0, 0, 0]), told(libc::EAFNOSUPPORT));
        assert_eq!(answer(libc::SYS_socket, [10, 2, 136, 0, 0, 0]), told(libc::EAFNOSUPPORT));
        assert_eq!(answer(libc::SYS_socket, [2, 1, 6, 0, 0, 0]), RETURN_ALLOW);
        for (family, kind) in [(2, 3), (17, 3), (16, 3), (40, 1), (38, 5), (10, 3), (1, 3)] {
            assert_eq!(socket(family, kind), told(libc::EAFNOSUPPORT), "family {family} type {kind}");
        }
        let ioctl = |request| answer(libc::SYS_ioctl, [0, request, 0, 0, 0, 0]);
        assert_eq!(ioctl(0x5401), RETURN_ALLOW);
        // TIOCSTI, also with garbage above the 32 bits that the kernel looks at, and TIOCLINUX.
        for request in [0x5412, 0x1_0000_5412, 0x541C] {
            assert_eq!(ioctl(request), told(libc::ENOTTY));
        }
        // What a program asks of any descriptor, to see what it is.
        assert_eq!(ioctl(0x8912), errno(libc::ENOTTY));
    }

    /// What the masked rules say, with every rule that holds.
    fn masked_answers(rules: &[MaskedRule], call: u32, arguments: [u64; 6]) -> Vec<Option<i32>> {
        let holds = |test: &MaskedTest| arguments[test.index as usize] & test.mask == test.value;
        let is_about = |rule: &&MaskedRule| rule.calls.contains(&c_long::from(call)) && rule.tests.iter().all(holds);
        rules.iter().filter(is_about).map(|rule| rule.errno).collect()
    }

    fn assert_masked_rules_agree(rules: &[MaskedRule], program: &[Instruction], call: u32, arguments: [u64; 6]) {
        let seen = run(program, ARCHITECTURE, call, arguments);
        let answers = masked_answers(rules, call, arguments);
        let where_to = format!("call {call} with {arguments:x?}: {seen:#x}, and by masks {answers:?}");
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{where_to}");
        match answers.first() {
            Some(None) => assert_eq!(seen, RETURN_ALLOW, "{where_to}"),
            Some(Some(refused)) => assert_eq!(seen & !ACTION, refused.unsigned_abs(), "{where_to}"),
            // A number that means nothing to the call may be refused that the filter leaves to the kernel.
            None => assert!(seen & ACTION != RETURN_ALLOW || is_meaningless(call, arguments), "{where_to}"),
        }
    }

    fn is_meaningless(call: u32, arguments: [u64; 6]) -> bool {
        let lower = |index: usize| u32::try_from(arguments[index] & u64::from(u32::MAX)).unwrap();
        match c_long::from(call) {
            libc::SYS_prlimit64 => lower(1) > 15,
            libc::SYS_setrlimit => lower(0) > 15,
            libc::SYS_fcntl => lower(1) > 2047,
            libc::SYS_connect | libc::SYS_bind => lower(2) > 255,
            libc::SYS_sendto => lower(5) > 255,
            libc::SYS_setpriority => lower(1) > 0,
            libc::SYS_sched_setscheduler => lower(0) > 0,
            libc::SYS_sched_setaffinity => lower(0) >= 1 << 22,
            _ => false,
        }
    }

    /// Numbers at which rules change their minds.
    fn turning_points() -> Vec<u64> {
        let tests = TABLE.iter().flat_map(|entry| match &entry.rule {
            Rule::Always(_) => Vec::new(),
            Rule::AllowWhen(alternatives, _) => alternatives.iter().flat_map(|one| one.iter()).collect(),
            Rule::Cases(cases, _) => {
                cases.iter().flat_map(|(all, _)| all.iter()).flat_map(|one| one.iter()).collect::<Vec<_>>()
            }
        });
        let near = |value: u32| [value.wrapping_sub(1), value, value.wrapping_add(1)];
        let mut points: Vec<u64> = tests.flat_map(|test| near(test.value)).map(u64::from).collect();
        points.extend([0, 1 << 32, u64::from(u32::MAX), u64::MAX, 0x1_0000_0010, 0xFFFF_FFFF_0000_0004]);
        points.sort_unstable();
        points.dedup();
        points
    }

    #[test]
    fn masked_rules_allow_what_the_filter_allows_and_no_more() {
        for connections in [Connections::Refused, Connections::Made] {
            masked_rules_agree_at_turning_points(connections);
        }
    }

    #[test]
    fn connections_that_are_made_change_no_other_rule() {
        let [refused, made] = [Connections::Refused, Connections::Made].map(masked_rules);
        let others = |rules: &[MaskedRule]| -> Vec<MaskedRule> {
            rules.iter().filter(|rule| !rule.calls.contains(&libc::SYS_connect)).cloned().collect()
        };
        assert_eq!(others(&refused), others(&made));
        assert_ne!(refused, made);
    }

    fn masked_rules_agree_at_turning_points(connections: Connections) {
        let (rules, program, points) = (masked_rules(connections), compile(connections), turning_points());
        for entry in TABLE {
            let call = u32::try_from(entry.calls[0]).unwrap();
            if let Rule::Always(_) = entry.rule {
                assert_masked_rules_agree(&rules, &program, call, NO_ARGUMENTS);
                continue;
            }
            for (index, point) in points.iter().flat_map(|point| (0..6).map(move |index| (index, *point))) {
                let mut arguments = NO_ARGUMENTS;
                arguments[index] = point;
                assert_masked_rules_agree(&rules, &program, call, arguments);
                assert_masked_rules_agree(&rules, &program, call, [2, 2, point, 0, 0, 17]);
                assert_masked_rules_agree(&rules, &program, call, [0, point, 0, point, 0, 0]);
            }
        }
        // Small enough for a runtime to compile for each container.
        assert!(rules.len() < 250, "{} rules", rules.len());
    }

    proptest! {
        #[test]
        fn masked_rules_agree_with_the_filter_on_any_arguments(
            number in 0_u32..500,
            arguments in prop::array::uniform6(prop_oneof![any::<u64>(), 0_u64..300, prop::sample::select(turning_points())]),
        ) {
            for connections in [Connections::Refused, Connections::Made] {
                assert_masked_rules_agree(&masked_rules(connections), &compile(connections), number, arguments);
            }
        }

        #[test]
        fn every_input_ends_in_a_known_answer(number in 0_u32..1200, arguments in any::<[u64; 6]>()) {
            let seen = run(&compile(Connections::Refused), ARCHITECTURE, number, arguments);
            prop_assert!(seen == RETURN_ALLOW || [RETURN_ERRNO, RETURN_USER_NOTIF].contains(&(seen & ACTION)));
        }
    }
}
