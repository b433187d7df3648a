//! Who is in a sandbox, what its folders hold for them, and what their commands are told: the same in every backend.
//!
//! Invariant: users come from tables that are made for the sandbox, never from the host's, and nobody has a password.

use crucible_core::{
    Backend, Check, Error, ErrorKind, LayerState, Limits, Policy, Readiness, Result, SandboxId, SandboxRequest, Users,
};
use crucible_jail::plan::{BECOME_USER, FIND_USER};
use std::os::unix::fs::PermissionsExt;

/// Folders that root inside has, beside those of every sandbox.
const ROOTS_FOLDERS: [&str; 8] =
    ["/home", "/root", "/run", "/var/cache", "/var/lib", "/var/log", "/var/mail", "/var/spool"];
/// Who there is with root inside, besides the guest, and the groups.
const OF_ROOT: (&str, &str) = (
    "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
     nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "root:x:0:\ndaemon:x:1:\ntty:x:5:\nshadow:x:42:\nusers:x:100:\nnogroup:x:65534:\n",
);
/// What programs that make and change users ask before they do: whether it is root.
const AUTHENTICATION: &[u8] =
    b"auth sufficient pam_rootok.so\nauth required pam_deny.so\naccount required pam_permit.so\n\
    password required pam_unix.so\nsession required pam_permit.so\n";
/// What this machine's programs that make users read about that. Nothing in them is secret: everybody may read them.
const SETTINGS_OF_USERS: [&str; 4] =
    ["/etc/login.defs", "/etc/adduser.conf", "/etc/deluser.conf", "/etc/default/useradd"];
/// What is in the homes of new users.
const SKELETON: &str = "/etc/skel";
/// The longest of these files; a longer one is left out.
const LONGEST_SETTINGS: u64 = 64 << 10;

/// Folders of a root beyond those of every sandbox.
pub(crate) const fn folders(users: Users) -> &'static [&'static str] {
    match users {
        Users::Guest => &[],
        Users::Root => &ROOTS_FOLDERS,
    }
}

/// Files of a root about who is inside and what the sandbox is called, by their paths.
pub(crate) fn files(users: Users, guest: u32, host_name: &str) -> Vec<(String, Vec<u8>)> {
    let (passwd, group) = (format!("guest:x:{guest}:{guest}:guest:/work:/bin/sh\n"), format!("guest:x:{guest}:\n"));
    let (mut files, (passwd, group)) = match users {
        Users::Guest => (Vec::new(), (passwd, group)),
        Users::Root => (made_for_users(), (format!("{}{passwd}", OF_ROOT.0), format!("{}{group}", OF_ROOT.1))),
    };
    let hosts = format!("127.0.0.1 localhost {host_name}\n::1 localhost\n");
    let tables = [("/etc/passwd", passwd), ("/etc/group", group), ("/etc/hosts", hosts)];
    files.extend(tables.map(|(path, text)| (path.to_owned(), text.into_bytes())));
    files
}

/// Files about users: a table of passwords, of which nobody has one, and this machine's settings, as far as it has any.
fn made_for_users() -> Vec<(String, Vec<u8>)> {
    let nobodys = |name: &str| format!("{name}:*:19000:0:99999:7:::\n");
    let shadow: String = OF_ROOT.0.lines().filter_map(|line| line.split(':').next()).map(nobodys).collect();
    let mut files =
        vec![("/etc/shadow".to_owned(), shadow.into_bytes()), ("/etc/pam.d/other".to_owned(), AUTHENTICATION.to_vec())];
    let skeleton = std::fs::read_dir(SKELETON).into_iter().flatten().flatten();
    let skeleton = skeleton.filter_map(|entry| entry.path().to_str().map(str::to_owned));
    for path in SETTINGS_OF_USERS.map(str::to_owned).into_iter().chain(skeleton) {
        let is_small = |seen: &std::fs::Metadata| {
            seen.is_file() && seen.len() <= LONGEST_SETTINGS && seen.permissions().mode() & 0o004 != 0
        };
        if std::fs::symlink_metadata(&path).is_ok_and(|seen| is_small(&seen))
            && let Ok(content) = std::fs::read(&path)
        {
            files.push((path, content));
        }
    }
    files
}

/// The few variables that every command gets.
pub(crate) fn environment(interpreter: Option<&str>, users: Users) -> Vec<(String, String)> {
    let (folders, home, user) = match users {
        Users::Guest => ("/usr/local/bin:/usr/bin:/bin", "/work", "guest"),
        Users::Root => ("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "/root", "root"),
    };
    let mut path = folders.to_owned();
    // So that a program finds the interpreter that runs it, where it has a folder of its own.
    if let Some((folder, _)) = interpreter.and_then(|interpreter| interpreter.rsplit_once('/'))
        && !path.split(':').any(|known| known == folder)
    {
        path = format!("{folder}:{path}");
    }
    [("PATH", path.as_str()), ("HOME", home), ("USER", user), ("TMPDIR", "/tmp"), ("LANG", "C.UTF-8")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// The whole environment of a command, as `NAME=value`: what every command gets unless it says otherwise, and what it says. Whose
/// home is where the sandbox's own tables say.
pub(crate) fn variables<'a>(
    base: &'a [(String, String)],
    given: impl Iterator<Item = (&'a String, &'a String)> + Clone,
    user: Option<&str>,
) -> Vec<String> {
    let is_theirs = |name: &str| user.is_some() && matches!(name, "HOME" | "USER");
    let is_given = |name: &String| given.clone().any(|(given, _)| given == name);
    let base = base.iter().filter(|(name, _)| !is_given(name) && !is_theirs(name));
    let all = base.map(|(name, value)| (name, value)).chain(given.clone());
    all.map(|(name, value)| format!("{name}={value}")).collect()
}

/// The error of a command that couldn't become a user's, where the step that failed is about that.
pub(crate) fn not_theirs(operation: &'static str, step: &str, user: &str) -> Option<Error> {
    match step {
        FIND_USER => {
            Some(Error::new(ErrorKind::NotFound, operation, format!("there is no user {user:?} in the sandbox")))
        }
        BECOME_USER => {
            let message = format!("the sandbox's tables give the user {user:?} ids that it doesn't have");
            Some(Error::new(ErrorKind::InvalidInput, operation, message))
        }
        _ => None,
    }
}

const ROOT_INSIDE: &str = "root inside is confined as planned";

/// A backend's self-test of sandboxes with root inside: skipped, with the mend, where it can have none.
///
/// # Errors
/// Those of making one.
pub(crate) async fn check_root_inside(backend: &dyn Backend) -> Result<Check> {
    if let LayerState::Absent { reason, mend } = &backend.capabilities().root_inside {
        return Ok(Check::skipped(ROOT_INSIDE, reason.clone()).with_mend(format!("for the policy inspect, {mend}")));
    }
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: None,
        limits: Limits::default(),
        policy: Policy::inspect(),
        readiness: Readiness::Bare,
        project: None,
    };
    let sandbox = backend.create(request).await?;
    let posture = sandbox.posture().await;
    sandbox.destroy().await?;
    let posture = posture?;
    let differing: Vec<_> = posture.differences().map(|fact| format!("{}: {}", fact.name, fact.seen)).collect();
    let seen = if differing.is_empty() { format!("{} facts", posture.facts.len()) } else { differing.join(", ") };
    Ok(Check::new(ROOT_INSIDE, posture.is_as_planned().into(), seen))
}
