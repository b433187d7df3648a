//! The results as one page for a browser: nothing is loaded, nothing runs, and it reads well without colour, on paper and on a
//! small screen.
//!
//! Invariant: every text of a result is written by the template's own escaping and stands between tags or inside quotes. The
//! one thing that isn't escaped is our own style sheet, and the page's policy allows nothing but exactly that.

mod view;

#[cfg(test)]
mod tests;

use askama::Template;
use crucible_core::{Error, ErrorKind, ReportContext, Result, SuiteResult};
use view::Page;

/// The style sheet of the page.
const CSS: &str = include_str!("../../../templates/attack.css");

/// What the page may do: be styled by the style sheet with this SHA-256, and nothing else. A test holds the two together.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'sha256-tiWfj2MGNUW1PZorBW3D4bV/cx7YPZZsd6JSXw2o1g8='; base-uri 'none'; form-action 'none'";

/// Everything that was found, as one self-contained page.
///
/// # Errors
/// `Infrastructure` where the page can't be written.
pub fn html(suites: &[SuiteResult], context: &ReportContext) -> Result<String> {
    Page::new(suites, context).render().map_err(|error| {
        Error::new(ErrorKind::Infrastructure, "write the HTML report", "the result can't be written as a page")
            .with_source(error)
    })
}
