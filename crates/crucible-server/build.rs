//! Embeds the page where somebody has built it: every file of `web/dist`, with a copy that is packed ahead.
//!
//! It builds no page: without one, the binary says how to get it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Files that are packed already.
const PACKED: [&str; 6] = ["png", "jpg", "ico", "woff2", "webp", "gz"];
/// Packing smaller ones gains nothing.
const PACKED_FROM: usize = 1024;

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../..");
    let out = PathBuf::from(env::var("OUT_DIR").unwrap_or_default());
    let dist = root.join("web/dist");
    // What isn't there counts as changed each time; so the nearest folder that is there is looked at.
    let watched = [dist.clone(), root.join("web"), root.join("Cargo.toml")];
    if let Some(watched) = watched.iter().find(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    let mut files = Vec::new();
    if dist.join("index.html").exists() {
        collect(&dist, &dist, &mut files)?;
    }
    files.sort();
    let packed = out.join("page");
    fs::create_dir_all(&packed)?;
    let mut text = String::from("pub(super) static FILES: &[Embedded] = &[\n");
    for (number, name) in files.iter().enumerate() {
        let path = dist.join(name);
        let brotli = dist.join(format!("{name}.br"));
        let gzip = packed.join(format!("{number}.gz"));
        let include = |path: &Path| format!("include_bytes!({:?})", path.display().to_string());
        let optional =
            |path: &Path, is_there: bool| if is_there { format!("Some({})", include(path)) } else { "None".to_owned() };
        let has_gzip = pack(&path, &gzip)?;
        let _ = writeln!(
            text,
            "    Embedded {{ name: {name:?}, plain: {}, gzip: {}, brotli: {} }},",
            include(&path),
            optional(&gzip, has_gzip),
            optional(&brotli, brotli.exists())
        );
    }
    text.push_str("];\n");
    fs::write(out.join("page.rs"), text)
}

/// The names of all files below a folder, with `/` between their parts. Those that are packed copies have no name of their own.
fn collect(root: &Path, folder: &Path, names: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, names)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            let name = name.to_string_lossy().into_owned();
            if !name.ends_with(".br") && !name.ends_with(".gz") {
                names.push(name);
            }
        }
    }
    Ok(())
}

/// Packs a file, unless that gains nothing.
fn pack(path: &Path, into: &Path) -> io::Result<bool> {
    let is_packed = path.extension().is_some_and(|ending| PACKED.iter().any(|packed| ending == *packed));
    let plain = fs::read(path)?;
    if is_packed || plain.len() < PACKED_FROM {
        return Ok(false);
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&plain)?;
    let packed = encoder.finish()?;
    fs::write(into, &packed)?;
    Ok(packed.len() < plain.len())
}
