//! What an executable or library says about the libraries it needs: the dynamic section of an ELF file, 64-bit and
//! little-endian.
//!
//! A file is hostile until read: every offset and length is checked, and anything odd gives `None`, never a panic.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAX_PROGRAM_HEADERS: u16 = 256;
const MAX_SECTION_BYTES: u64 = 1 << 20;
const MAX_NAME_BYTES: usize = 4096;

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;

const TAG_NEEDED: u64 = 1;
const TAG_STRINGS: u64 = 5;
const TAG_RPATH: u64 = 15;
const TAG_RUNPATH: u64 = 29;

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dynamic {
    /// The program that loads it, for an executable.
    pub(super) loader: Option<String>,
    /// The names of the libraries it needs.
    pub(super) needed: Vec<String>,
    /// The folders to look in first, as written: `$ORIGIN` is the file's own folder.
    pub(super) search: Vec<String>,
}

/// Whether it is an ELF file of any kind.
pub(super) fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|file| file.read_exact_at(&mut magic, 0)).is_ok() && magic == *b"\x7fELF"
}

/// Reads the dynamic section; `None` for anything but a well-formed 64-bit little-endian file.
pub(super) fn read(path: &Path) -> Option<Dynamic> {
    let file = File::open(path).ok()?;
    let header: [u8; 64] = bytes(&file, 0)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = long(&header, 32)?;
    let (size, count) = (u64::from(short(&header, 54)?), short(&header, 56)?.min(MAX_PROGRAM_HEADERS));
    let mut found = Dynamic::default();
    let mut loads = Vec::new();
    let mut section = None;
    for index in 0..u64::from(count) {
        let entry: [u8; 56] = bytes(&file, table.checked_add(index.checked_mul(size)?)?)?;
        let (offset, address, length) = (long(&entry, 8)?, long(&entry, 16)?, long(&entry, 32)?);
        match word(&entry, 0)? {
            LOAD => loads.push((address, offset, length)),
            DYNAMIC => section = Some((offset, length.min(MAX_SECTION_BYTES))),
            INTERPRETER => found.loader = name(&file, offset),
            _ => {}
        }
    }
    let Some((offset, length)) = section else {
        return Some(found);
    };
    let mut content = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut content, offset).ok()?;
    let tags = || {
        content
            .chunks_exact(16)
            .filter_map(|pair| Some((long(pair, 0)?, long(pair, 8)?)))
            .take_while(|(tag, _)| *tag != 0)
    };
    let address = tags().find(|(tag, _)| *tag == TAG_STRINGS)?.1;
    let strings = loads.iter().find_map(|(start, offset, length)| {
        let within = address.checked_sub(*start)?;
        if within < *length { offset.checked_add(within) } else { None }
    })?;
    for (tag, value) in tags() {
        let text = || name(&file, strings.checked_add(value)?);
        match tag {
            TAG_NEEDED => found.needed.extend(text()),
            TAG_RPATH | TAG_RUNPATH => {
                let folders = text().unwrap_or_default();
                found.search.extend(folders.split(':').filter(|folder| !folder.is_empty()).map(str::to_owned));
            }
            _ => {}
        }
    }
    Some(found)
}

fn bytes<const N: usize>(file: &File, offset: u64) -> Option<[u8; N]> {
    let mut buffer = [0; N];
    file.read_exact_at(&mut buffer, offset).ok()?;
    Some(buffer)
}

/// A string that ends in a NUL byte.
fn name(file: &File, offset: u64) -> Option<String> {
    let mut buffer = [0; MAX_NAME_BYTES];
    let length = file.read_at(&mut buffer, offset).ok()?;
    let text = buffer.get(..length)?.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
