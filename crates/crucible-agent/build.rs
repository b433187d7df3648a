//! Builds the agent as a static binary, so that it runs in an image that has no library at all, for `host/image.rs` to embed, and
//! tells its digest.

use crucible_embed::{Linkage, build, digest, is_embedded};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for input in ["src", "Cargo.toml", "build.rs", "../crucible-inside/src"] {
        println!("cargo::rerun-if-changed={input}");
    }
    if is_embedded() {
        return Ok(());
    }
    let agent = build(&["build", "--bin", "crucible-agent"], "guest", Linkage::Static, "crucible-agent")?;
    println!("cargo::rustc-env=CRUCIBLE_AGENT={}", agent.display());
    println!("cargo::rustc-env=CRUCIBLE_AGENT_SHA256={}", digest(&[&agent])?);
    Ok(())
}
