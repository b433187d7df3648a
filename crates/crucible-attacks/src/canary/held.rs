//! What a probe that holds still has got hold of, as `/proc` shows it from outside.

use super::Sight;
use crate::process::HeldProcess;
use crate::scenario::Held;

pub(super) fn look(what: Held, inode: Option<&str>, held: Option<&HeldProcess>) -> Sight {
    let Some(process) = held else {
        return Sight::Unknown("its process wasn't found".to_owned());
    };
    let seen = match what {
        Held::Descriptors => descriptors(process, inode),
        Held::Socket => descriptors(process, Some("socket:")),
        Held::UserNamespace => namespace(process, "user"),
        Held::MountNamespace => namespace(process, "mnt"),
        Held::NetworkNamespace => namespace(process, "net"),
        Held::UtsNamespace => namespace(process, "uts"),
        Held::PidNamespace => namespace(process, "pid_for_children"),
        Held::Capabilities => status(process, &["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"], |value| {
            value.bytes().any(|digit| digit != b'0')
        }),
        Held::NoNewPrivs => status(process, &["NoNewPrivs"], |value| value != "1"),
        Held::Seccomp => status(process, &["Seccomp"], |value| value != "2"),
        Held::UidZero => status(process, &["Uid", "Gid"], |value| value.split_ascii_whitespace().any(|id| id == "0")),
        Held::Groups => status(process, &["Groups"], |value| !value.is_empty()),
        Held::Traced => status(process, &["TracerPid"], |value| value != "0"),
        Held::Priority => priority(process),
    };
    seen.unwrap_or_else(|why| Sight::Unknown(why.to_owned()))
}

type Looked = Result<Sight, &'static str>;

fn descriptors(process: &HeldProcess, kind: Option<&str>) -> Looked {
    let open = process.descriptors().ok_or("its descriptors can't be seen")?;
    let is_found = |(number, target): &&(u32, String)| match kind {
        Some(kind) => target.starts_with(kind),
        None => *number > 2,
    };
    // A target may be a path that the guest chose, so that only its kind is told.
    match open.iter().find(is_found) {
        Some((number, _)) => Ok(Sight::Reached(format!("descriptor {number} is {}", kind.unwrap_or("open")))),
        None => Ok(Sight::Nothing(format!("{} descriptors are open, and none such", open.len()))),
    }
}

fn namespace(process: &HeldProcess, name: &str) -> Looked {
    let own = process.namespace(name).ok_or("its namespaces can't be seen")?;
    // What is for children is compared with what the parent is in.
    let parents = process.namespace_of_parent(name).ok_or("the namespaces of the sandbox can't be seen")?;
    if own == parents {
        Ok(Sight::Nothing(format!("it is in the sandbox's {name} namespace")))
    } else {
        Ok(Sight::Reached(format!("it is in another {name} namespace than the sandbox")))
    }
}

/// Looks at every thread.
fn status(process: &HeldProcess, keys: &[&str], is_bad: impl Fn(&str) -> bool) -> Looked {
    let threads = process.statuses();
    if threads.is_empty() {
        return Err("its status can't be read");
    }
    for thread in &threads {
        for key in keys {
            let value = thread.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
            let value = value.ok_or("its status lacks a line")?;
            if is_bad(value) {
                return Ok(Sight::Reached(format!("{key} is {:?}", value.chars().take(40).collect::<String>())));
            }
        }
    }
    Ok(Sight::Stopped(format!("{} of {} threads is as it should be", keys.join(", "), threads.len())))
}

/// Of the fields after the name: nice value, real-time priority and policy.
fn priority(process: &HeldProcess) -> Looked {
    let stat = process.stat().ok_or("its priority can't be read")?;
    let fields: Vec<i64> = stat.split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let (Some(nice), Some(real_time), Some(policy)) = (fields.get(15), fields.get(36), fields.get(37)) else {
        return Err("its priority can't be read");
    };
    if *nice < 0 || *real_time > 0 || matches!(policy, 1 | 2 | 6) {
        Ok(Sight::Reached(format!("nice {nice}, real-time priority {real_time}, policy {policy}")))
    } else {
        Ok(Sight::Nothing(format!("nice {nice}, policy {policy}")))
    }
}
