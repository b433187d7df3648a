//! The jail's table of system calls, as the agent puts it on what it starts: for kernels that no filter of this machine's reaches.

use crucible_agent::host::Instruction;
use crucible_core::NetworkKind;
use crucible_jail::seccomp;

pub(crate) fn filter(network: NetworkKind) -> Vec<Instruction> {
    let mut filter = seccomp::compile(match network {
        NetworkKind::None => seccomp::Connections::Refused,
        NetworkKind::AllowList => seccomp::Connections::Made,
    });
    // Nobody outside could be asked.
    seccomp::silence(&mut filter);
    let instruction = |instruction: seccomp::Instruction| {
        let (code, jump_true, jump_false, constant) = instruction.parts();
        Instruction { code, jump_true, jump_false, constant }
    };
    filter.into_iter().map(instruction).collect()
}
