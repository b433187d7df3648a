//! Looks at a sandbox from outside before anything is let in, and again when the guest has ended.
//!
//! Invariant: where anything differs from the plan, or nothing at all was looked at, the program isn't started.

use crate::patience::{SET_UP, within};
use crucible_core::{Error, ErrorKind, Policy, Posture, PostureSummary, Result, Sandbox, UnseenPosture};

/// What a look before the start says.
#[derive(Debug)]
pub(crate) enum Looked {
    /// Nothing that was seen differs.
    AsPlanned(PostureSummary),
    /// The program must not be started.
    Otherwise(PostureSummary),
}

/// Looks before the start.
///
/// # Errors
/// `Refused` where the policy wants everything seen and this user can't; `Infrastructure` where the sandbox is lost.
pub(crate) async fn before(sandbox: &dyn Sandbox, policy: &Policy) -> Result<Looked> {
    let posture = within(SET_UP, "look at the sandbox from outside", sandbox.posture()).await?;
    let summary = PostureSummary::from(&posture);
    if posture.facts.is_empty() || posture.differences().next().is_some() {
        return Ok(Looked::Otherwise(summary));
    }
    match policy.unseen_posture {
        UnseenPosture::Refuse => refuse_unseen(&posture, policy)?,
        UnseenPosture::Record => {}
    }
    Ok(Looked::AsPlanned(summary))
}

fn refuse_unseen(posture: &Posture, policy: &Policy) -> Result<()> {
    let unseen: Vec<_> = posture.not_visible().map(|fact| fact.name.as_ref()).collect();
    if unseen.is_empty() {
        return Ok(());
    }
    let message = format!(
        "policy '{}' requires that all of a sandbox is seen from outside; not seen: {}",
        policy.name,
        unseen.join(", ")
    );
    Err(Error::new(ErrorKind::Refused, "look at the sandbox from outside", message).with_hint(
        "an ordinary user can't see all of a sandbox: run as root, or choose a policy with unseen_posture = \"record\"",
    ))
}

/// Looks again when every process of the guest is dead.
///
/// # Errors
/// `Infrastructure` where the sandbox is lost.
pub(crate) async fn after(sandbox: &dyn Sandbox) -> Result<PostureSummary> {
    let posture = within(SET_UP, "look at the sandbox from outside", sandbox.posture_again()).await?;
    Ok(PostureSummary::from(&posture))
}
