//! Guards a session from its beginning to its end: watches what its policy ends it on, its clocks and its loss, and destroys
//! it. The only one who does.

use super::record::Sight;
use super::{Clearing, EndReason, Session};
use crate::egress::Egress;
use crate::patience::{TEAR_DOWN, within};
use crate::posture;
use crate::tripwire::Armed;
use crucible_core::{BehaviorKind, Event, Observation, Observer, Sandbox, ValidityReason};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// How often it is looked whether a sandbox is lost, and what it was refused.
const LOOK: Duration = Duration::from_millis(500);

/// Somebody wants to know what was seen so far.
pub(super) struct Ask(pub(super) oneshot::Sender<Sight>);

/// What of a session is watched, and what ends with it.
pub(super) struct Watched {
    pub(super) observer: Box<dyn Observer>,
    pub(super) armed: Armed,
    /// The way out that its policy has.
    pub(super) egress: Option<Egress>,
}

/// Guards a session and destroys it.
pub(super) async fn guard(session: Arc<Session>, watched: Watched, asked: mpsc::Receiver<Ask>) {
    let Watched { mut observer, mut armed, egress } = watched;
    watch(&session, observer.as_mut(), &mut armed, asked).await;
    session.closing.cancel();
    // With every connection; what it has told stays.
    drop(egress);
    // Whoever uses it has been told, and lets go of it soon.
    let sandbox = session.sandbox.write().await.take();
    if let Some(sandbox) = &sandbox {
        let last = last_look(&session, sandbox.as_ref(), observer.as_mut(), &mut armed).await;
        let _ = session.last_sight.set(last);
    }
    let destroyed = match sandbox {
        Some(sandbox) => within(TEAR_DOWN, "destroy the sandbox", sandbox.destroy()).await,
        None => Ok(()),
    };
    let clearing = match destroyed {
        Ok(()) => {
            session.tell(Event::SandboxDestroyed { sandbox: session.id }).await;
            Clearing::Done
        }
        Err(error) => Clearing::Failed(error.to_string()),
    };
    session.clearing.send_replace(clearing);
}

/// Ends what runs in it, and looks for the last time.
async fn last_look(session: &Session, sandbox: &dyn Sandbox, observer: &mut dyn Observer, armed: &mut Armed) -> Sight {
    let ended = within(TEAR_DOWN, "end the sandbox's processes", sandbox.end_processes()).await;
    armed.disarm();
    let mut sight = session.sight(sandbox, observer, armed).await;
    if sandbox.loss().is_none() {
        match posture::after(sandbox).await {
            Ok(summary) => {
                if !summary.differing.is_empty() {
                    sight.because(ValidityReason::PostureDiffered);
                }
                sight.after = Some(summary);
            }
            Err(_) => sight.because(ValidityReason::PostureUnreadable),
        }
        if ended.is_err() {
            sight.because(ValidityReason::PostureUnreadable);
        }
    }
    sight
}

/// Until it is to end.
async fn watch(session: &Session, observer: &mut dyn Observer, armed: &mut Armed, mut asked: mpsc::Receiver<Ask>) {
    let end_on = &session.spec.policy.during.end_on;
    let end = session.created + session.spec.lifetime.get();
    let mut look = Instant::now() + LOOK;
    loop {
        let idle = idle_end(session);
        tokio::select! {
            biased;
            () = session.closing.cancelled() => return,
            () = sleep_until(end) => return session.close(EndReason::Lifetime),
            () = async { match idle {
                Some(idle) => sleep_until(idle).await,
                None => std::future::pending().await,
            } } => {
                // Somebody may have begun something in the same moment.
                if idle_end(session).is_some_and(|idle| idle <= Instant::now()) {
                    return session.close(EndReason::Idle);
                }
            }
            () = session.activity_changed.notified() => {}
            () = sleep_until(look) => {
                look = Instant::now() + LOOK;
                if let Some(reason) = look_at(session).await {
                    return session.close(reason);
                }
            }
            Some(Ask(answer)) = asked.recv() => {
                let guard = session.sandbox.read().await;
                if let Some(sandbox) = guard.as_deref() {
                    armed.note();
                    // Whoever asked may have gone.
                    let _ = answer.send(session.sight(sandbox, observer, armed).await);
                }
            }
            name = session.tripwires.until_touched(armed), if end_on.contains(&BehaviorKind::TripwireTouched) => {
                let kind = BehaviorKind::TripwireTouched;
                return session.close(EndReason::Forbidden { kind, name: name.to_owned() });
            }
            seen = observer.next() => {
                let Observation { kind, name, source, .. } = seen;
                session.tell(Event::BehaviorSeen { kind, name: name.clone(), source }).await;
                if end_on.contains(&kind) {
                    return session.close(EndReason::Forbidden { kind, name });
                }
            }
        }
    }
}

/// When it will have lain idle for too long, if nothing goes on in it.
fn idle_end(session: &Session) -> Option<Instant> {
    let activity = session.activity();
    (activity.going_on == 0).then(|| activity.idle_since + session.spec.idle_timeout.get())
}

/// Why it can't go on, if so.
async fn look_at(session: &Session) -> Option<EndReason> {
    let guard = session.sandbox.try_read().ok()?;
    let sandbox: &dyn Sandbox = guard.as_deref()?;
    if let Some(loss) = sandbox.loss() {
        return Some(EndReason::Lost(loss));
    }
    if session.spec.policy.during.end_on.contains(&BehaviorKind::LimitReached) {
        let refused = within(LOOK, "read the counters", sandbox.counters()).await.ok()?.refused;
        let name = refused.first()?.as_str().to_owned();
        return Some(EndReason::Forbidden { kind: BehaviorKind::LimitReached, name });
    }
    None
}
