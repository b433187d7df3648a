//! Brings a package by its registry's ordinary client, as this machine is set up for it, and takes the module out.
//!
//! Invariant: nothing of a package is executed, and nothing is opened whose hash isn't the known one. What a client needs for
//! its work lies in a folder that goes when this is done.

use super::{KnownRuntime, LARGEST_MODULE, Source, archive, hex};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crucible_core::{Error, ErrorKind, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use sha2::{Digest, Sha256, Sha512};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const OPERATION: &str = "install the runtime";
/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// The most that a package may be.
const LARGEST_PACKAGE: u64 = 256 << 20;
/// The most of a client's words that is kept.
const LONGEST_WORDS: u64 = 64 << 10;

fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, OPERATION, message)
}

/// The module of a runtime, fetched and checked.
pub(super) fn fetch(known: &KnownRuntime) -> Result<Vec<u8>> {
    let folder = tempfile::Builder::new().prefix("crucible-runtime-").tempdir().map_err(|error| {
        unavailable("no folder can be made for temporary files")
            .with_source(error)
            .with_hint("set TMPDIR to a folder that can be written")
    })?;
    let packed = match &known.source {
        Source::Npm { package, .. } => by_npm(folder.path(), "npm", &format!("{package}@{}", known.version))?,
        Source::Pypi { package, sha256 } => {
            let requirement = format!("{package}=={} --hash=sha256:{sha256}", known.version);
            by_pip(folder.path(), "python3", package, &requirement)?
        }
    };
    module_of(known, &packed)
}

/// Takes the module out of a package that was fetched.
pub(super) fn module_of(known: &KnownRuntime, packed: &[u8]) -> Result<Vec<u8>> {
    let refused = |message: String| {
        Error::new(ErrorKind::Refused, OPERATION, message)
            .with_hint("nothing was installed; the registry, or a mirror that the client uses, gives another package")
    };
    let is_known = match &known.source {
        Source::Npm { integrity, .. } => {
            let wanted = integrity.strip_prefix("sha512-").and_then(|digest| STANDARD.decode(digest).ok());
            wanted.as_deref() == Some(Sha512::digest(packed).as_slice())
        }
        Source::Pypi { sha256, .. } => hex(&Sha256::digest(packed)) == *sha256,
    };
    if !is_known {
        return Err(refused(format!("what came as {} isn't the known package: its hash differs", known.package())));
    }
    let most = usize::try_from(LARGEST_MODULE).unwrap_or(usize::MAX);
    let module = match known.source {
        Source::Npm { .. } => archive::member_of_tgz(packed, &known.member, most),
        Source::Pypi { .. } => archive::member_of_zip(packed, &known.member, most),
    };
    let module = module.map_err(|problem| refused(format!("{} can't be unpacked: {problem}", known.package())))?;
    if hex(&Sha256::digest(&module)) != known.sha256 {
        return Err(refused(format!("the module in {} isn't the known one: its hash differs", known.package())));
    }
    Ok(module)
}

/// Has npm fetch a package, and reads it.
pub(super) fn by_npm(folder: &Path, client: &str, package: &str) -> Result<Vec<u8>> {
    let mut command = Command::new(client);
    command.args(["pack", package, "--ignore-scripts", "--silent", "--pack-destination"]).arg(folder);
    let mend = "install it, for example with: apt install npm (or: dnf install npm, apk add npm)";
    by(folder, command, &Client { name: client, package, mend, ending: "tgz" })
}

/// Has pip fetch a wheel, and reads it.
pub(super) fn by_pip(folder: &Path, python: &str, package: &str, requirement: &str) -> Result<Vec<u8>> {
    let listed = folder.join("requirements.txt");
    std::fs::write(&listed, requirement)
        .map_err(|error| unavailable("the folder for temporary files can't be written").with_source(error))?;
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet", "--no-deps"]);
    command.args(["--only-binary", ":all:", "--require-hashes", "--dest"]).arg(folder).arg("--requirement").arg(listed);
    let mend = "install Python 3 with pip, for example with: apt install python3-pip";
    by(folder, command, &Client { name: python, package, mend, ending: "whl" })
}

/// A registry's client.
struct Client<'a> {
    name: &'a str,
    package: &'a str,
    mend: &'a str,
    /// What the names of its archives end with.
    ending: &'a str,
}

fn by(folder: &Path, mut command: Command, client: &Client<'_>) -> Result<Vec<u8>> {
    let Client { name, package, mend, ending } = client;
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            unavailable(format!("{name} isn't on this machine, and it fetches the runtime")).with_hint(*mend)
        }
        _ => unavailable(format!("{name} can't be run")).with_source(error),
    })?;
    let words = wait(child, Instant::now() + PATIENCE)
        .map_err(|error| unavailable(format!("{name} can't be waited for")).with_source(error))?;
    if let Err(said) = words {
        return Err(unavailable(format!("{name} did not fetch {package}: {said}"))
            .with_hint(format!("it uses the registry of your own configuration; {mend}")));
    }
    only_archive(folder, ending)
        .and_then(|file| {
            let mut packed = Vec::new();
            file.take(LARGEST_PACKAGE).read_to_end(&mut packed)?;
            Ok(packed)
        })
        .map_err(|error| unavailable(format!("{name} fetched no package that can be read")).with_source(error))
}

fn only_archive(folder: &Path, ending: &str) -> io::Result<File> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.path().extension().is_some_and(|found| found == ending) {
            return File::open(entry.path());
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Waits for a client; what it said instead, if it failed.
fn wait(mut child: Child, deadline: Instant) -> io::Result<Result<(), String>> {
    let stderr = child.stderr.take();
    let listener = std::thread::spawn(move || {
        let mut words = Vec::new();
        if let Some(stderr) = stderr {
            let mut stderr = stderr.take(LONGEST_WORDS);
            let _read = stderr.read_to_end(&mut words).is_ok();
            let _drained = io::copy(&mut stderr.into_inner(), &mut io::sink()).is_ok();
        }
        words
    });
    loop {
        if let Some(status) = child.try_wait()? {
            if status.success() {
                return Ok(Ok(()));
            }
            let words = listener.join().unwrap_or_default();
            let text = String::from_utf8_lossy(&words);
            let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            // Warnings may come first.
            let tells = |line: &&&str| line.to_ascii_lowercase().contains("error");
            let line = lines.iter().find(tells).or(lines.first()).copied().unwrap_or("it said nothing");
            let shown: String = line.chars().filter(|char| !char.is_control()).take(300).collect();
            return Ok(Err(format!("it ended with {status}: {shown}")));
        }
        if Instant::now() > deadline {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _killed = kill_process_group(group, Signal::KILL).is_ok();
            }
            let _reaped = child.wait().is_ok();
            return Ok(Err(format!("it didn't end within {} seconds", PATIENCE.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
