//! The jail's system call table as a profile that daemons take.
//!
//! Invariant: it allows what the jail's own filter allows, with an allow-list as without, and beyond that only what the agent
//! does to restrict itself: the jail's init does that before its filter is loaded, and an agent after. Where the arguments of a call decide, another errno
//! than the jail's may say that it is refused.

use crucible_core::{Error, ErrorKind, Result};
use crucible_jail::seccomp::{Connections, MASKED_DEFAULT, MaskedRule, masked_rules};
use serde_json::{Value, json};
use syscalls::Sysno;

/// The profile, in the form of the daemon's `seccomp=` option.
pub(super) fn profile(connections: Connections) -> Result<String> {
    let mut rules = masked_rules(connections).iter().map(rule).collect::<Result<Vec<Value>>>()?;
    rules.push(hiding());
    rules.push(no_netlink());
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": MASKED_DEFAULT,
        "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": [] }],
        "syscalls": rules,
    });
    Ok(profile.to_string())
}

/// `prctl(PR_SET_DUMPABLE, 0)`, by which a process hides its memory from others of its user.
fn hiding() -> Value {
    const OPTION: u32 = 4;
    let is = |index: u32, value: u32| json!({ "index": index, "value": u32::MAX, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" });
    json!({ "names": ["prctl"], "action": "SCMP_ACT_ALLOW", "args": [is(0, OPTION), is(1, 0)] })
}

/// `socket(AF_NETLINK, ...)` is refused with the jail's own errno. Programs that make users take that for a kernel which keeps no
/// audit of it, and any other for a failure.
fn no_netlink() -> Value {
    const FAMILY: u32 = 16;
    let test = json!({ "index": 0, "value": u32::MAX, "valueTwo": FAMILY, "op": "SCMP_CMP_MASKED_EQ" });
    let errno = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    json!({ "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": [test] })
}

fn rule(rule: &MaskedRule) -> Result<Value> {
    let names: Option<Vec<&str>> =
        rule.calls.iter().map(|call| Some(Sysno::new(usize::try_from(*call).ok()?)?.name())).collect();
    let names = names.ok_or_else(|| {
        // A profile without a name would refuse the call, and nobody would know why.
        let message = format!("the system calls {:?} have no names", rule.calls);
        Error::new(ErrorKind::Infrastructure, "write the system call profile", message)
    })?;
    let tests: Vec<Value> = rule
        .tests
        .iter()
        .map(|test| {
            json!({ "index": test.index, "value": test.mask, "valueTwo": test.value, "op": "SCMP_CMP_MASKED_EQ" })
        })
        .collect();
    Ok(match rule.errno {
        None => json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": tests }),
        Some(errno) => json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": tests }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_table_is_in_the_profile_by_its_name() {
        let profile: Value = serde_json::from_str(&profile(Connections::Refused).unwrap()).unwrap();
        let rules = profile["syscalls"].as_array().unwrap();
        let names: std::collections::BTreeSet<&str> =
            rules.iter().flat_map(|rule| rule["names"].as_array().unwrap()).filter_map(Value::as_str).collect();
        let known: usize = crucible_jail::seccomp::TABLE.iter().map(|entry| entry.calls.len()).sum();
        assert_eq!(names.len(), known);
        for name in ["read", "openat2", "clone", "execve", "mseal"] {
            assert!(names.contains(name), "{name}");
        }
        assert!(!names.contains("ptrace") && profile["defaultAction"] == "SCMP_ACT_ERRNO");
    }

    #[test]
    fn only_an_allow_list_lets_internet_addresses_be_called_and_nothing_lets_them_be_named() {
        let rules_of = |connections, name: &str| -> Vec<Value> {
            let profile: Value = serde_json::from_str(&profile(connections).unwrap()).unwrap();
            let rules = profile["syscalls"].as_array().unwrap().clone();
            rules.into_iter().filter(|rule| rule["names"].as_array().unwrap().contains(&name.into())).collect()
        };
        let refuses = |rule: &Value| rule["action"] == "SCMP_ACT_ERRNO";
        assert!(rules_of(Connections::Refused, "connect").iter().any(refuses));
        assert!(!rules_of(Connections::Made, "connect").iter().any(refuses));
        for connections in [Connections::Refused, Connections::Made] {
            assert!(rules_of(connections, "bind").iter().any(refuses));
            assert!(rules_of(connections, "sendto").iter().any(refuses));
        }
    }
}
