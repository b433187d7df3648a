//! Behaviours of ordinary files.

use super::guest::{Guest, path, unique};
use super::stop::{Checked, Stop, ensure};
use super::suite::ConformanceSubject;
use crucible_core::{Ability, ErrorKind, FileKind};

pub(super) async fn files_are_read_back_exactly(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let bytes: Vec<u8> = (0_u32..50_000).flat_map(u32::to_be_bytes).collect();
    for name in ["flat", "a/b/c/nested", "name with  spaces", "ünï→😀", ".hidden"] {
        guest.write(name, &bytes).await?;
        ensure!(guest.read(name).await? == bytes, "{name:?} was read back otherwise");
    }
    guest.write("empty", b"").await?;
    ensure!(guest.read("empty").await?.is_empty(), "an empty file came back with something in it");
    let script = "
import os, sys
data = open('a/b/c/nested', 'rb').read()
open('copy', 'wb').write(data[::-1])
open('a/b/c/own', 'wb').write(b'\\xff\\x00')
print(len(data))";
    let seen = guest.run(script, &[]).await?.told()?;
    ensure!(seen == format!("{}\n", bytes.len()), "the guest saw {seen:?} bytes of {}", bytes.len());
    ensure!(guest.read("copy").await?.iter().eq(bytes.iter().rev()), "the guest's copy was read back otherwise");
    ensure!(guest.read("a/b/c/own").await? == b"\xff\x00", "a file beside the nested one was read back otherwise");
    guest.finish().await
}

pub(super) async fn a_file_is_replaced_whole(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    guest.write("f", b"a long first content").await?;
    guest.write("f", b"short").await?;
    let read = guest.read("f").await?;
    ensure!(read == b"short", "after replacing, the file holds {:?}", String::from_utf8_lossy(&read));
    guest.finish().await
}

pub(super) async fn the_executable_bit_is_honoured(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    guest.write("plain", b"x").await?;
    guest.sandbox.write_file(&path("program")?, &mut &b"x"[..], true).await?;
    let script = "import os; print(*(bool(os.stat(f).st_mode & 0o111) for f in ['plain', 'program']))";
    let seen = guest.run(script, &[]).await?.told()?;
    ensure!(seen == "False True\n", "executable (plain, program): {seen:?}");
    guest.finish().await
}

pub(super) async fn folders_are_listed_sorted_with_kinds_and_sizes(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    for name in ["l/b", "l/a", "l/Z", "l/é", "l/c/inner", "l/10", "l/9"] {
        guest.write(name, name.as_bytes()).await?;
    }
    let script = "
import os
os.symlink('a', 'l/link')
try: open(b'l/\\xff', 'w').close()
except OSError: print('no such names here')
else: print('made')";
    let any_bytes = guest.run(script, &[]).await?.told()? == "made\n";
    let has_kernel_calls = subject.backend.capabilities().abilities.contains(&Ability::KernelCalls);
    ensure!(any_bytes || !has_kernel_calls, "a name that isn't UTF-8 can't be made");
    let entries = guest.sandbox.list_files(&path("l")?).await?;
    let names: Vec<&[u8]> = entries.iter().map(|entry| entry.name.as_slice()).collect();
    let expected: [&[u8]; 9] = [b"10", b"9", b"Z", b"a", b"b", b"c", b"link", "é".as_bytes(), b"\xff"];
    let expected = expected.get(..if any_bytes { 9 } else { 8 }).unwrap_or_default();
    ensure!(names == expected, "listed as {entries:?}");
    for entry in &entries {
        let kind = match entry.name.as_slice() {
            b"c" => FileKind::Directory,
            b"link" => FileKind::Other,
            _ => FileKind::File,
        };
        ensure!(entry.kind == kind, "{entry:?} should be a {kind:?}");
    }
    ensure!(entries.first().is_some_and(|entry| entry.size == 4), "the size of l/10 is told as {:?}", entries.first());
    guest.finish().await
}

pub(super) async fn what_is_not_there_is_not_found(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    guest.write("file", b"").await?;
    for missing in ["missing", "missing/below"] {
        let read = guest.sandbox.read_file(&path(missing)?).await.err().map(|error| error.kind());
        ensure!(read == Some(ErrorKind::NotFound), "reading {missing} gave {read:?}");
        let listed = guest.sandbox.list_files(&path(missing)?).await.err().map(|error| error.kind());
        ensure!(listed == Some(ErrorKind::NotFound), "listing {missing} gave {listed:?}");
    }
    let listed = guest.sandbox.list_files(&path("file")?).await.err().map(|error| error.kind());
    ensure!(listed == Some(ErrorKind::Refused), "listing a file gave {listed:?}");
    guest.finish().await
}

pub(super) async fn a_second_sandbox_sees_nothing_of_the_first(subject: &ConformanceSubject) -> Checked {
    let first = Guest::python(subject).await?;
    let name = unique("canary");
    first.write(&name, b"secret").await?;
    let see = async || -> Result<String, Stop> {
        let second = Guest::python(subject).await?;
        let seen = second.run("import os; print('seen:', *os.listdir('.'))", &[]).await?.told()?;
        let listed = second.sandbox.list_files(&crucible_core::GuestPath::work()).await?;
        ensure!(listed.is_empty(), "a fresh work folder lists {listed:?}");
        second.finish().await?;
        Ok(seen)
    };
    let beside = see().await?;
    first.finish().await?;
    let after = see().await?;
    for seen in [beside, after] {
        ensure!(seen == "seen:\n", "a fresh work folder is not empty: {seen:?}");
    }
    Ok(())
}
