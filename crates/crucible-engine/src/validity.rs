//! Says whether a result says something about the task: from what was seen, in this one place. Pure.
//!
//! A status says how a run ended; the validity says whether to believe what came of it. A limit that ended the guest, or a
//! guest that failed, is valid. It isn't when somebody interfered, or when a part of Crucible was lost.

use crucible_core::{Counters, Loss, Validity, ValidityReason};
use std::collections::BTreeSet;

/// What one reason means. Every reason is decided here.
const fn weight(reason: ValidityReason) -> Validity {
    match reason {
        ValidityReason::TripwireTouched
        | ValidityReason::PostureDiffered
        | ValidityReason::RunnerEnded
        | ValidityReason::RunnerBrokeItsWord => Validity::SabotageSuspected,
        ValidityReason::PostureUnreadable | ValidityReason::MachineryLost => Validity::InfrastructureFailure,
    }
}

/// The validity of a result about which this was seen. A suspicion goes before a failure, which would be a way to hide it.
pub(crate) fn decide(reasons: &BTreeSet<ValidityReason>) -> Validity {
    let severity = |validity: &Validity| match validity {
        Validity::Valid => 0,
        Validity::InfrastructureFailure => 1,
        Validity::SabotageSuspected => 2,
    };
    reasons.iter().map(|reason| weight(*reason)).max_by_key(severity).unwrap_or(Validity::Valid)
}

/// What the loss of a sandbox gives reason to think.
///
/// The kernel kills what takes most memory, and a runner that it killed is no sabotage: the guest only used up what it had.
/// But no lack of memory makes a runner lie.
pub(crate) fn of_loss(loss: Loss, counters: &Counters) -> Option<ValidityReason> {
    match loss {
        Loss::RunnerBrokeItsWord => Some(ValidityReason::RunnerBrokeItsWord),
        Loss::RunnerEnded if counters.out_of_memory_kills > 0 => None,
        Loss::RunnerEnded => Some(ValidityReason::RunnerEnded),
        Loss::MachineryLost => Some(ValidityReason::MachineryLost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Validity::{InfrastructureFailure, SabotageSuspected, Valid};
    use ValidityReason::{
        MachineryLost, PostureDiffered, PostureUnreadable, RunnerBrokeItsWord, RunnerEnded, TripwireTouched,
    };

    #[test]
    fn every_reason_alone_and_together_gives_its_validity() {
        let cases: [(&[ValidityReason], Validity); 10] = [
            (&[], Valid),
            (&[TripwireTouched], SabotageSuspected),
            (&[PostureDiffered], SabotageSuspected),
            (&[RunnerEnded], SabotageSuspected),
            (&[RunnerBrokeItsWord], SabotageSuspected),
            (&[PostureUnreadable], InfrastructureFailure),
            (&[MachineryLost], InfrastructureFailure),
            (&[PostureUnreadable, MachineryLost], InfrastructureFailure),
            (&[PostureUnreadable, RunnerEnded], SabotageSuspected),
            (&[MachineryLost, PostureDiffered], SabotageSuspected),
        ];
        for (reasons, expected) in cases {
            assert_eq!(decide(&reasons.iter().copied().collect()), expected, "{reasons:?}");
        }
    }

    #[test]
    fn memory_explains_the_end_of_a_runner_but_not_its_lies() {
        let used_up = Counters { out_of_memory_kills: 1, ..Counters::default() };
        let cases = [
            (Loss::RunnerEnded, Some(RunnerEnded), None),
            (Loss::RunnerBrokeItsWord, Some(RunnerBrokeItsWord), Some(RunnerBrokeItsWord)),
            (Loss::MachineryLost, Some(MachineryLost), Some(MachineryLost)),
        ];
        for (loss, otherwise, out_of_memory) in cases {
            assert_eq!(of_loss(loss, &Counters::default()), otherwise, "{loss:?}");
            assert_eq!(of_loss(loss, &used_up), out_of_memory, "{loss:?}");
        }
    }
}
