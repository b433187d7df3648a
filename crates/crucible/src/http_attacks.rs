//! Makes runs of the attack suite that are asked for over HTTP, as `crucible attack` does.

use crate::attack;
use crate::compose::{self, Unsafe};
use crate::config::Configuration;
use async_trait::async_trait;
use crucible_api::v1::{AttackReport, StartAttack};
use crucible_attacks::{AttackSuite, Depth, Progress, scenario};
use crucible_core::Result;
use crucible_server::{AttackProgress, AttackRunner};

/// Runs the built-in scenarios.
pub(crate) struct ConfiguredAttacks {
    configuration: Configuration,
    unsafe_backends: Unsafe,
}

impl ConfiguredAttacks {
    /// By this configuration.
    #[must_use]
    pub(crate) const fn new(configuration: Configuration, unsafe_backends: Unsafe) -> Self {
        Self { configuration, unsafe_backends }
    }

    fn suite(request: &StartAttack) -> Result<AttackSuite> {
        AttackSuite::new(scenario::built_in()?).only(&request.only, &[])
    }
}

#[async_trait]
impl AttackRunner for ConfiguredAttacks {
    fn check(&self, request: &StartAttack) -> Result<()> {
        compose::choose(&request.backend, self.unsafe_backends)?;
        Self::suite(request).map(drop)
    }

    async fn run(&self, request: &StartAttack, progress: &AttackProgress<'_>) -> Result<AttackReport> {
        let backend = compose::choose(&request.backend, self.unsafe_backends)?;
        let suite = Self::suite(request)?;
        let policy = compose::policy(&self.configuration, backend)?;
        let many = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let tell = |Progress { done, total, current }: &Progress| progress(many(*done), many(*total), current);
        let (result, under_attack) =
            attack::attack(&suite, backend, &policy, Depth::Verdicts, &self.configuration, &tell).await?;
        let mut context = attack::report_context(&self.configuration)?;
        // Only the whole suite says anything about a run.
        if request.only.is_empty() {
            match compose::attest(&self.configuration, under_attack.as_ref(), &policy, &result).await {
                Ok(stored) => {
                    context.attestations.insert(backend.to_owned(), stored.statement.id.to_string());
                }
                Err(error) => tracing::warn!(%error, "nothing was attested"),
            }
        }
        Ok(AttackReport::new(&[result], &context))
    }
}
