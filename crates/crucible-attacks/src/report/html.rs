//! wip
use crucible_core::{ReportContext, Result, SuiteResult};
/// wip
pub fn html(_: &[SuiteResult], _: &ReportContext) -> Result<String> {
    Ok(String::new())
}
