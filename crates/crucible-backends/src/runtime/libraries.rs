//! The host's shared libraries: the folders that every program needs, and what one executable needs beyond them.
//!
//! Folders are taken whole, because programs load libraries by name while they run. What lies elsewhere (a RUNPATH, a
//! place that only the loader's cache knows) is taken file by file.

use super::elf;
use super::view::on;
use std::collections::{BTreeSet, VecDeque};
use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

/// The most files read to find out what an executable needs.
const MAX_FILES: usize = 256;
const LOADER_CACHE: &str = "/etc/ld.so.cache";

/// The library folders of this kind of host, whether or not each of them exists.
pub(super) fn folders(root: &Path) -> Vec<PathBuf> {
    let multiarch = match ARCH {
        "arm" => "arm-linux-gnueabihf".to_owned(),
        "powerpc64" => "powerpc64le-linux-gnu".to_owned(),
        arch => format!("{arch}-linux-gnu"),
    };
    // Debian's multiarch folders; Fedora's, openSUSE's and Gentoo's lib64; Arch's lib64 is a link to lib.
    let mut folders: Vec<PathBuf> =
        [format!("/lib/{multiarch}"), format!("/usr/lib/{multiarch}"), "/lib64".to_owned(), "/usr/lib64".to_owned()]
            .into_iter()
            .map(PathBuf::from)
            .collect();
    // Alpine, and hosts without multiarch whose processor never had a lib64.
    if !folders.iter().any(|folder| on(root, folder).join("libc.so.6").exists()) {
        folders.extend(["/lib", "/usr/lib"].map(PathBuf::from));
    }
    folders
}

/// What tells the loader where libraries are.
pub(super) fn loader_files() -> Vec<PathBuf> {
    // musl's is named after the processor.
    vec![PathBuf::from(LOADER_CACHE), PathBuf::from(format!("/etc/ld-musl-{ARCH}.path"))]
}

/// The loader of an executable, and the libraries it needs that don't lie in the library folders.
pub(super) fn beyond(executable: &Path, folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut own_search: Vec<PathBuf> = Vec::new();
    let mut ahead = VecDeque::from([executable.to_owned()]);
    let mut files = 0;
    while let Some(file) = ahead.pop_front() {
        files += 1;
        if files > MAX_FILES {
            break;
        }
        let Some(dynamic) = elf::read(&file) else { continue };
        found.extend(dynamic.loader.map(PathBuf::from));
        let origin = file.parent().unwrap_or(Path::new("/")).to_string_lossy();
        let expand = |folder: &String| PathBuf::from(folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin));
        let mut search: Vec<PathBuf> =
            dynamic.search.iter().map(expand).filter(|folder| folder.is_absolute()).collect();
        if files == 1 {
            own_search.clone_from(&search);
        }
        search.extend(own_search.iter().cloned());
        for name in dynamic.needed {
            if !seen.insert(name.clone()) {
                continue;
            }
            if let Some(library) = locate(&name, &search, folders) {
                ahead.push_back(library.clone());
                found.push(library);
            }
        }
    }
    found
}

/// Where the loader will find a library, unless that is one of the library folders.
fn locate(name: &str, search: &[PathBuf], folders: &[PathBuf]) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_absolute() && path.exists());
    }
    if let Some(path) = search.iter().map(|folder| folder.join(name)).find(|path| path.exists()) {
        return Some(path);
    }
    if folders.iter().any(|folder| folder.join(name).exists()) {
        return None;
    }
    // The cache is a table of numbers followed by its strings; the strings are all that's needed here.
    let cache = fs::read(LOADER_CACHE).ok()?;
    cache
        .split(|byte| *byte == 0)
        .filter_map(|text| std::str::from_utf8(text).ok())
        .filter(|text| text.starts_with('/') && text.rsplit('/').next() == Some(name))
        .map(PathBuf::from)
        .find(|path| path.exists())
}
