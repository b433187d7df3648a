//! What a report about findings needs beside them: places in a text, fingerprints that outlive a change elsewhere in the
//! file, and SARIF.
//!
//! Pure, as all of this crate: it reads no file and prints nothing.

mod fingerprint;
mod lines;
mod sarif;
mod uri;

pub use fingerprint::fingerprints;
pub use lines::Lines;
pub use sarif::{Notice, NoticeLevel, Reported, Sarif};
pub use uri::uri_reference;
