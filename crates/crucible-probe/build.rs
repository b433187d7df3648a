//! Builds the probe as a static binary, so that it runs in a sandbox that has no library at all, for `lib.rs` to embed.

use crucible_embed::{Linkage, build, is_embedded};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for input in ["src", "Cargo.toml", "build.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    if is_embedded() {
        return Ok(());
    }
    let probe = build(&["build", "--bin", "crucible-probe"], "probe", Linkage::Static, "crucible-probe")?;
    println!("cargo::rustc-env=CRUCIBLE_PROBE={}", probe.display());
    Ok(())
}
