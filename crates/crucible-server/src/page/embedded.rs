//! The files that the build script found, each with its packed copies.

/// A file that is a part of this program.
pub(super) struct Embedded {
    /// Its name below the page's folder.
    pub(super) name: &'static str,
    /// Its bytes.
    pub(super) plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

impl Embedded {
    /// The smallest of its copies that is taken, with the name of its encoding.
    pub(super) fn best(&self, takes: impl Fn(&str) -> bool) -> (&'static [u8], Option<&'static str>) {
        match (self.brotli, self.gzip) {
            (Some(bytes), _) if takes("br") => (bytes, Some("br")),
            (_, Some(bytes)) if takes("gzip") => (bytes, Some("gzip")),
            _ => (self.plain, None),
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/page.rs"));
