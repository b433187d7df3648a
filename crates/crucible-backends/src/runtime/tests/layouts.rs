//! Made-up hosts: merged and unmerged `/usr`, Fedora, Arch, Alpine, version managers' links, loops.

use super::super::elf;
use super::super::libraries;
use super::super::view::View;
use super::*;
use std::os::unix::fs::symlink;

/// A host from lines: `path` is a file, `path/` a folder, `path -> text` a link.
fn host(lines: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for line in lines {
        let (path, points_to) = line.split_once(" -> ").map_or((*line, None), |(path, to)| (path, Some(to)));
        let place = root.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        match points_to {
            Some(to) => symlink(to, place).unwrap(),
            None if path.ends_with('/') => fs::create_dir_all(place).unwrap(),
            None => fs::write(place, "").unwrap(),
        }
    }
    root
}

/// The entries of these paths, as lines like those of [`host`], and what was absent.
fn seen(root: &tempfile::TempDir, paths: &[&str]) -> (Vec<String>, Vec<PathBuf>) {
    let mut view = View::of(root.path());
    for path in paths {
        view.add(Path::new(path)).unwrap();
    }
    let (entries, absent) = view.finish().unwrap();
    check_shape(&entries);
    let line = |entry: RuntimeEntry| match entry {
        RuntimeEntry::Bind { source, target } => {
            assert_eq!(source, root.path().join(target.trim_start_matches('/')));
            target
        }
        RuntimeEntry::Symlink { target, points_to } => format!("{target} -> {points_to}"),
    };
    (entries.into_iter().map(line).collect(), absent)
}

#[test]
fn links_on_the_way_are_kept_as_they_are() {
    let root = host(&[
        "/bin -> usr/bin",
        "/usr/bin/python3 -> python3.11",
        "/usr/bin/python3.11",
        "/usr/bin/awk -> /etc/alternatives/awk",
        "/etc/alternatives/awk -> /usr/bin/mawk",
        "/usr/bin/mawk",
    ]);
    let (lines, absent) =
        seen(&root, &["/bin/python3", "/usr/bin/awk", "/bin/absent", "/bin/mawk/below", "/bin/python3"]);
    let expected = [
        "/bin -> usr/bin",
        "/etc/alternatives/awk -> /usr/bin/mawk",
        "/usr/bin/awk -> /etc/alternatives/awk",
        "/usr/bin/mawk",
        "/usr/bin/python3 -> python3.11",
        "/usr/bin/python3.11",
    ];
    assert_eq!(lines, expected);
    assert_eq!(absent, [Path::new("/bin/absent"), Path::new("/bin/mawk/below")]);
}

#[test]
fn a_linked_folder_of_a_version_manager_is_followed() {
    let root = host(&[
        "/home/u/.pyenv/versions/3.11 -> 3.11.7",
        "/home/u/.pyenv/versions/3.11.7 -> ../../builds/x/",
        "/home/u/builds/x/bin/python3",
        "/home/u/builds/x/lib/",
    ]);
    let (lines, _) =
        seen(&root, &["/home/u/.pyenv/versions/3.11/bin/python3", "/home/u/.pyenv/versions/3.11/bin/../lib"]);
    let expected = [
        "/home/u/.pyenv/versions/3.11 -> 3.11.7",
        "/home/u/.pyenv/versions/3.11.7 -> ../../builds/x/",
        "/home/u/builds/x/bin/python3",
        "/home/u/builds/x/lib",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_lies_below_a_whole_folder_is_not_repeated() {
    let root = host(&["/lib -> usr/lib", "/usr/lib/a/b", "/usr/lib/c -> a", "/usr/library", "/usr/lib.so"]);
    let (lines, _) = seen(&root, &["/usr/lib/a/b", "/usr/lib/c", "/usr/library", "/usr/lib.so", "/lib"]);
    assert_eq!(lines, ["/lib -> usr/lib", "/usr/lib", "/usr/lib.so", "/usr/library"]);
}

#[test]
fn loops_are_left_out() {
    let root = host(&["/a -> b", "/b -> a", "/self -> self/x", "/up -> ../../../usr", "/usr/"]);
    let (lines, absent) = seen(&root, &["/a", "/self", "/up"]);
    assert_eq!(lines, ["/up -> ../../../usr", "/usr"]);
    assert_eq!(absent, [Path::new("/a"), Path::new("/self")]);
}

#[test]
fn links_out_of_bounds_are_refused() {
    let root = host(&["/all -> /", "/kernel -> proc/self", "/proc/self/", "/dev/"]);
    for path in ["/all", "/kernel", "/dev", "/all/proc"] {
        assert!(View::of(root.path()).add(Path::new(path)).is_err(), "{path}");
    }
}

#[test]
fn a_package_store_comes_whole() {
    let root = host(&[
        "/nix/store/abc-python/bin/python3",
        "/nix/store/def-glibc/lib/libc.so.6",
        "/run/sw/python3 -> /nix/store/abc-python/bin/python3",
    ]);
    let (lines, _) = seen(&root, &["/run/sw/python3"]);
    assert_eq!(lines, ["/nix/store", "/run/sw/python3 -> /nix/store/abc-python/bin/python3"]);
}

#[test]
fn the_library_folders_of_each_kind_of_host_are_found() {
    let arch = std::env::consts::ARCH;
    let multiarch = format!("/usr/lib/{arch}-linux-gnu/");
    let debian_libc = format!("{multiarch}libc.so.6");
    let unmerged_libc = format!("/lib/{arch}-linux-gnu/libc.so.6");
    let (debian, unmerged) = (multiarch.trim_end_matches('/'), unmerged_libc.trim_end_matches("/libc.so.6"));
    let cases: [(&[&str], &[&str]); 5] = [
        // Debian since 12: what else lies in /usr/lib isn't shown.
        (
            &["/lib -> usr/lib", "/lib64 -> usr/lib64", "/usr/lib64/ld.so", &debian_libc, "/usr/lib/git-core/"],
            &["/lib -> usr/lib", "/lib64 -> usr/lib64", debian, "/usr/lib64"],
        ),
        // Debian before.
        (&[&unmerged_libc, "/lib64/ld.so", &multiarch], &[unmerged, "/lib64", debian]),
        // Fedora.
        (
            &["/lib -> usr/lib", "/lib64 -> usr/lib64", "/usr/lib64/libc.so.6", "/usr/lib/systemd/"],
            &["/lib64 -> usr/lib64", "/usr/lib64"],
        ),
        // Arch.
        (
            &["/lib -> usr/lib", "/lib64 -> usr/lib", "/usr/lib64 -> lib", "/usr/lib/libc.so.6"],
            &["/lib64 -> usr/lib", "/usr/lib", "/usr/lib64 -> lib"],
        ),
        // Alpine.
        (&["/lib/ld-musl.so.1", "/usr/lib/libz.so.1"], &["/lib", "/usr/lib"]),
    ];
    for (lines, expected) in cases {
        let root = host(lines);
        let folders = libraries::folders(root.path());
        let paths: Vec<&str> = folders.iter().map(|folder| folder.to_str().unwrap()).collect();
        assert_eq!(seen(&root, &paths).0, expected, "{lines:?}");
    }
}

#[test]
fn an_executable_tells_its_loader_and_libraries() {
    let shell = fs::canonicalize(which("bash").or_else(|| which("sh")).unwrap()).unwrap();
    let dynamic = elf::read(&shell).unwrap();
    assert!(dynamic.loader.unwrap().contains("ld-"));
    assert!(dynamic.needed.iter().any(|name| name.starts_with("libc.")), "{:?}", dynamic.needed);
    // With no library folders at all, each library is named by itself.
    let beyond = libraries::beyond(&shell, &[]);
    assert!(beyond.len() >= 2 && beyond.iter().all(|path| path.exists()), "{beyond:?}");
}

#[test]
fn a_broken_executable_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(fs::canonicalize(which("sh").unwrap()).unwrap()).unwrap();
    let path = folder.path().join("broken");
    for length in [0, 3, 4, 40, 63, 64, 100, 500, 2000] {
        fs::write(&path, whole.get(..length).unwrap()).unwrap();
        assert!(elf::read(&path).is_none_or(|dynamic| dynamic.needed.is_empty()), "{length}");
    }
    // Every byte of the headers, one at a time, made absurd: no panic and no hang.
    for position in 0..1024 {
        let mut bytes = whole.clone();
        if let Some(byte) = bytes.get_mut(position) {
            *byte = 0xff;
        }
        fs::write(&path, bytes.get(..4096).unwrap()).unwrap();
        let _ = elf::read(&path);
    }
}
