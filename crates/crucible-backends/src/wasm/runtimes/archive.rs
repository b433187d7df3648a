//! Takes one file out of a package's archive.
//!
//! Invariant: an archive is opened only after its hash was compared, and even so nothing is read out of bounds, nothing is
//! larger than it may be, and nothing but the one file leaves it: no path in an archive is ever used as one.

use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// The length of a tar archive's block.
const BLOCK: usize = 512;

/// Why a file can't be taken out.
pub(super) type Problem = &'static str;

/// A file of a gzipped tar archive.
pub(super) fn member_of_tgz(archive: &[u8], member: &str, most: usize) -> Result<Vec<u8>, Problem> {
    // Headers and padding come on top.
    let tar = gunzip(archive, most.saturating_add(1 << 20))?;
    let mut rest = tar.as_slice();
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        let name = header.get(..100).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
        if name.is_empty() {
            break;
        }
        let size = header.get(124..136).and_then(octal).ok_or("a header of its tar archive can't be read")?;
        let (content, padded) = after.split_at_checked(size).ok_or("its tar archive is cut off")?;
        let kind = header.get(156).copied().unwrap_or_default();
        if name == member.as_bytes() && matches!(kind, b'0' | 0) {
            return if size <= most { Ok(content.to_vec()) } else { Err("its module is too large") };
        }
        rest = padded.get(size.next_multiple_of(BLOCK) - size..).unwrap_or_default();
    }
    Err("its module isn't in it")
}

fn octal(digits: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(digits).ok()?;
    usize::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

/// A file of a zip archive, such as a wheel.
pub(super) fn member_of_zip(archive: &[u8], member: &str, most: usize) -> Result<Vec<u8>, Problem> {
    const END: &[u8] = b"PK\x05\x06";
    const ENTRY: &[u8] = b"PK\x01\x02";
    const FILE: &[u8] = b"PK\x03\x04";
    let not_zip = "it isn't a zip archive";
    // Its end has a comment of at most 65,535 bytes behind it.
    let end = archive.len().saturating_sub(22 + 0xFFFF);
    let tail = archive.get(end..).unwrap_or_default();
    let end = end + tail.windows(END.len()).rposition(|window| window == END).ok_or(not_zip)?;
    let mut at = number(archive, end + 16, 4).ok_or(not_zip)?;
    while archive.get(at..).is_some_and(|rest| rest.starts_with(ENTRY)) {
        let field = |offset, length| number(archive, at + offset, length).ok_or(not_zip);
        let (method, packed, size) = (field(10, 2)?, field(20, 4)?, field(24, 4)?);
        let (name_length, more) = (field(28, 2)?, field(30, 2)? + field(32, 2)?);
        let name = archive.get(at + 46..at + 46 + name_length).ok_or(not_zip)?;
        if name == member.as_bytes() {
            let file = field(42, 4)?;
            if !archive.get(file..).is_some_and(|rest| rest.starts_with(FILE)) {
                return Err(not_zip);
            }
            let field = |offset| number(archive, file + offset, 2).ok_or(not_zip);
            let begin = file + 30 + field(26)? + field(28)?;
            let content = archive.get(begin..begin + packed).ok_or("its zip archive is cut off")?;
            return match method {
                _ if size > most => Err("its module is too large"),
                0 => Ok(content.to_vec()),
                8 => decompress_to_vec_with_limit(content, most).map_err(|_| "its module can't be unpacked"),
                _ => Err("its module is packed in a way that isn't known"),
            };
        }
        at = at + 46 + name_length + more;
    }
    Err("its module isn't in it")
}

/// A number of a few bytes, the lowest first.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
}

/// What a gzip file with one part holds.
fn gunzip(archive: &[u8], most: usize) -> Result<Vec<u8>, Problem> {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let not_gzip = "it isn't a gzip archive";
    let Some(&[0x1f, 0x8b, 8, flags, ..]) = archive.first_chunk::<10>() else { return Err(not_gzip) };
    let mut rest = archive.get(10..).ok_or(not_gzip)?;
    if flags & EXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>().ok_or(not_gzip)?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..).ok_or(not_gzip)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0).ok_or(not_gzip)?;
            rest = rest.get(end + 1..).ok_or(not_gzip)?;
        }
    }
    decompress_to_vec_with_limit(rest, most).map_err(|_| "its gzip archive is broken, or larger than it may be")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gzipped tar archive.
    fn archive(files: &[(&str, u8, &[u8])]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, kind, content) in files {
            let mut header = vec![0; BLOCK];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
            header[156] = *kind;
            tar.extend(header);
            tar.extend(*content);
            tar.resize(tar.len().next_multiple_of(BLOCK), 0);
        }
        tar.extend(vec![0; 2 * BLOCK]);
        let mut all = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
        all.extend(b"name\0");
        all.extend(miniz_oxide::deflate::compress_to_vec(&tar, 6));
        all.extend([0; 8]);
        all
    }

    #[test]
    fn the_one_file_comes_out_and_no_other() {
        let archive = archive(&[
            ("package/a", b'0', b"first"),
            ("package/python.wasm", b'2', b""),
            ("package/python.wasm", b'0', b"module"),
        ]);
        assert_eq!(member_of_tgz(&archive, "package/python.wasm", 100).unwrap(), b"module");
        assert_eq!(member_of_tgz(&archive, "package/a", 100).unwrap(), b"first");
        assert!(member_of_tgz(&archive, "package/none", 100).is_err());
        assert_eq!(member_of_tgz(&archive, "package/a", 4), Err("its module is too large"));
    }

    /// A zip archive with one file.
    fn wheel(name: &str, content: &[u8]) -> Vec<u8> {
        let packed = miniz_oxide::deflate::compress_to_vec(content, 6);
        let two = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
        let four = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
        let mut all = b"PK\x03\x04".to_vec();
        all.extend([0; 22]);
        all.extend(two(name.len()));
        all.extend([0; 2]);
        all.extend(name.as_bytes());
        all.extend(&packed);
        let directory = all.len();
        all.extend(b"PK\x01\x02");
        all.extend([0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        all.extend(four(packed.len()));
        all.extend(four(content.len()));
        all.extend(two(name.len()));
        all.extend([0; 16]);
        all.extend(name.as_bytes());
        all.extend(b"PK\x05\x06");
        all.extend([0; 12]);
        all.extend(four(directory));
        all.extend([0; 2]);
        all
    }

    #[test]
    fn a_wheels_file_comes_out_and_a_broken_wheel_is_refused() {
        let good = wheel("bin/quickjs.wasm", b"module");
        assert_eq!(member_of_zip(&good, "bin/quickjs.wasm", 100).unwrap(), b"module");
        assert!(member_of_zip(&good, "bin/other.wasm", 100).is_err());
        assert_eq!(member_of_zip(&good, "bin/quickjs.wasm", 3), Err("its module is too large"));
        for length in 0..good.len() {
            // Cut off, and cut off at the front.
            let _refused = member_of_zip(good.get(..length).unwrap(), "bin/quickjs.wasm", 100).is_err();
            let _refused = member_of_zip(good.get(length..).unwrap(), "bin/quickjs.wasm", 100).is_err();
        }
        assert!(member_of_zip(b"rubbish", "x", 100).is_err());
    }

    #[test]
    fn what_is_broken_or_unfolds_too_far_is_refused() {
        let good = archive(&[("package/a", b'0', &[7; 100_000])]);
        for length in 0..good.len() - 8 {
            assert!(member_of_tgz(good.get(..length).unwrap(), "package/a", 1 << 20).is_err(), "{length}");
        }
        let bomb = archive(&[("package/a", b'0', &vec![0; 8 << 20])]);
        assert!(member_of_tgz(&bomb, "package/a", 1 << 20).is_err());
        assert_eq!(member_of_tgz(b"<!doctype html>", "package/a", 1 << 20), Err("it isn't a gzip archive"));
    }
}
