//! The users that a sandbox's own tables have, and how a process becomes one.
//!
//! Invariant: the tables are the guest's. Whatever they say, what comes of it are ids of the sandbox's own user namespace,
//! since the kernel knows no others there, and reading them neither blocks nor takes much memory. It is done by processes that
//! have no more privileges than the guest's root.

use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";
/// What is read of a table; the rest isn't there.
const MOST_BYTES: usize = 1 << 20;
/// How many groups somebody is in besides their own.
const MOST_GROUPS: usize = 64;
/// What the kernel takes for no id.
const NO_ID: u32 = u32::MAX;

/// The step that fails where a command is to be somebody's whom the sandbox's tables don't have.
pub const FIND_USER: &str = "find the user";
/// The step that fails where the tables give a user ids that the sandbox doesn't have.
pub const BECOME_USER: &str = "become the user";

/// Somebody inside.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    id: u32,
    group: u32,
    groups: Vec<u32>,
    home: String,
}

/// Finds somebody by name, or by number where a table names that.
///
/// # Errors
/// `ENOENT` where no table has them, else why the table can't be read: [`FIND_USER`].
pub fn find(name: &str) -> Result<User, Errno> {
    let mut user = in_table(&read(USERS)?, name).ok_or(Errno::NOENT)?;
    // Whose groups nobody lists is in none.
    user.groups = read(GROUPS).map(|groups| groups_of(&groups, &user.name)).unwrap_or_default();
    Ok(user)
}

/// Reads a table, which may be anything.
fn read(path: &str) -> Result<Vec<u8>, Errno> {
    // Opening a pipe would wait for whoever writes.
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::NOENT);
    }
    let mut bytes = Vec::with_capacity(16 << 10);
    while bytes.len() < MOST_BYTES {
        bytes.reserve(16 << 10);
        if rustix::io::read(&file, spare_capacity(&mut bytes))? == 0 {
            break;
        }
    }
    Ok(bytes)
}

fn lines(table: &[u8]) -> impl Iterator<Item = Vec<&str>> {
    let lines = table.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.map(|line| line.split(':').collect())
}

fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != NO_ID)
}

/// The first line of a table of users that is somebody's; a name goes before a number.
fn in_table(table: &[u8], name: &str) -> Option<User> {
    let user = |fields: Vec<&str>| match fields.as_slice() {
        [name, _, user, group, _, home, ..] if !name.is_empty() => {
            let home = if home.starts_with('/') && !home.contains('\0') { *home } else { "/" };
            let (name, home) = ((*name).to_owned(), home.to_owned());
            Some(User { name, id: id(user)?, group: id(group)?, groups: Vec::new(), home })
        }
        _ => None,
    };
    let number = id(name);
    let all = || lines(table).filter_map(user);
    all().find(|user| user.name == name).or_else(|| all().find(|user| Some(user.id) == number))
}

/// The groups that a table lists somebody in.
fn groups_of(table: &[u8], name: &str) -> Vec<u32> {
    let group = |fields: Vec<&str>| match fields.as_slice() {
        [_, _, group, members, ..] if members.split(',').any(|member| member == name) => id(group),
        _ => None,
    };
    lines(table).filter_map(group).take(MOST_GROUPS).collect()
}

impl User {
    /// Makes this process theirs. With the ids all capabilities go, unless they are root.
    ///
    /// # Errors
    /// The kernel's, for ids that the sandbox doesn't have: [`BECOME_USER`].
    pub fn become_it(&self) -> Result<(), Errno> {
        let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let (user, group) = (Uid::from_raw(self.id), Gid::from_raw(self.group));
        rustix::thread::set_thread_groups(&groups)?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)
    }

    /// Gives them a stream.
    ///
    /// # Errors
    /// The kernel's, where it is none of the sandbox's own.
    pub fn give(&self, stream: &OwnedFd) -> Result<(), Errno> {
        rustix::fs::fchown(stream, Some(Uid::from_raw(self.id)), Some(Gid::from_raw(self.group)))
    }

    /// The variables that tell programs whose they are, but for those that are there already.
    #[must_use]
    pub fn variables(&self, env: &[String]) -> Vec<String> {
        let has = |name: &str| env.iter().any(|given| given.split_once('=').is_some_and(|(given, _)| given == name));
        let all = [("HOME", &self.home), ("USER", &self.name), ("LOGNAME", &self.name)].into_iter();
        all.filter(|(name, _)| !has(name)).map(|(name, value)| format!("{name}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\nbroken:x:7\n\xff:x:8:8::/:\nann:x:1001:1002:Ann:/home/ann:/bin/sh\n\
        ann:x:0:0::/root:\n1001:x:5:5::relative:\nnone:x:4294967295:0::/:\nbig:x:99999999999:0::/:\n";

    fn found(name: &str) -> Option<(u32, u32, String)> {
        in_table(TABLE, name).map(|user| (user.id, user.group, user.home))
    }

    #[test]
    fn the_first_line_with_a_name_counts_and_names_go_before_numbers() {
        assert_eq!(found("ann"), Some((1001, 1002, "/home/ann".to_owned())));
        assert_eq!(found("1001"), Some((5, 5, "/".to_owned())));
        assert_eq!(found("0"), Some((0, 0, "/root".to_owned())));
    }

    #[test]
    fn nobody_is_found_in_lines_that_say_no_ids() {
        for name in ["broken", "none", "big", "nobody", "", "8", "4294967295", "root:x", "ann\nroot"] {
            assert_eq!(found(name), None, "{name}");
        }
    }

    #[test]
    fn somebody_is_in_the_groups_that_list_them_and_in_so_many() {
        let table = b"a:x:1:ann\nb:x:2:bob,ann\nc:x:3:annabel\nd:x:x:ann\ne:x:5\n";
        assert_eq!(groups_of(table, "ann"), [1, 2]);
        let many: String = (0..200).map(|number| format!("g{number}:x:{number}:ann\n")).collect();
        assert_eq!(groups_of(many.as_bytes(), "ann").len(), MOST_GROUPS);
    }

    #[test]
    fn variables_that_were_asked_for_stay() {
        let user = in_table(TABLE, "ann").unwrap();
        let env = ["HOME=/work".to_owned(), "USERS=3".to_owned()];
        assert_eq!(user.variables(&env), ["USER=ann", "LOGNAME=ann"]);
    }

    proptest! {
        #[test]
        fn no_table_makes_the_reader_panic(table in proptest::collection::vec(any::<u8>(), 0..400), name in ".{0,12}") {
            let _user = in_table(&table, &name);
            let _groups = groups_of(&table, &name);
        }
    }
}
