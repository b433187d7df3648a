//! Builds the probe as a static binary in a target folder of its own, for `lib.rs` to embed.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for input in ["src", "Cargo.toml", "build.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    // Building the probe itself comes through here, too.
    if env::var_os("CARGO_FEATURE_HOST").is_none() {
        return Ok(());
    }
    let target_folder = PathBuf::from(env::var("OUT_DIR")?).join("probe");
    let target = env::var("TARGET")?;
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .args(["build", "--profile", "launcher", "--package", "crucible-probe", "--bin", "crucible-probe"])
        .args(["--no-default-features", "--features", "probe", "--target", &target])
        .arg("--manifest-path")
        .arg(PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_folder);
    // Coverage, lints and the caller's flags are for the suite. The probe is linked statically, so that it runs in a
    // sandbox that has no library at all.
    for name in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "LLVM_PROFILE_FILE",
    ] {
        cargo.env_remove(name);
    }
    // Cargo doesn't clear these for the build script that it starts in turn, which would then take itself for this one.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_FEATURE_")) {
        cargo.env_remove(name);
    }
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static");
    if !cargo.status()?.success() {
        return Err("building the probe failed; see the messages above".into());
    }
    let binary = target_folder.join(&target).join("launcher").join("crucible-probe");
    println!("cargo::rustc-env=CRUCIBLE_PROBE={}", binary.display());
    Ok(())
}
