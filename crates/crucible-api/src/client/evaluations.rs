//! What a client asks about evaluations, keys and the service itself.

use super::{Client, escape, json, nothing};
use crate::v1::{
    Accepted, BackendList, BatchAccepted, ComponentList, CreateKey, CreatedKey, DecideEvaluation, Evaluation,
    EvaluationList, KeyList, Project, ProjectList, ProjectQuotas, QueueReport, StoreChecked, StoreForget,
    StoreForgotten, SubmitBatch, SubmitEvaluation,
};
use crucible_core::{Result, TimeSpan};
use hyper::Method;
use std::fmt::Write as _;

/// Which evaluations are to be listed; what is `None` is no condition.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// How far.
    pub state: Option<String>,
    /// How they ended.
    pub status: Option<String>,
    /// What ran them.
    pub backend: Option<String>,
    /// Whether their outcome says something.
    pub validity: Option<String>,
    /// A label with its value: `name=value`.
    pub label: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// How many.
    pub limit: Option<usize>,
}

impl ListQuery {
    fn path(&self) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        let parts = [
            ("state", &self.state),
            ("status", &self.status),
            ("backend", &self.backend),
            ("validity", &self.validity),
            ("label", &self.label),
            ("cursor", &self.cursor),
            ("limit", &limit),
        ];
        let (mut path, mut before) = ("/v1/evaluations".to_owned(), '?');
        for (name, value) in parts {
            if let Some(value) = value {
                // Writing to a text never fails.
                let _ = write!(path, "{before}{name}={}", escape(value));
                before = '&';
            }
        }
        path
    }
}

fn evaluation_path(id: &str) -> String {
    format!("/v1/evaluations/{}", escape(id))
}

fn waiting(wait: Option<TimeSpan>) -> String {
    wait.map_or_else(String::new, |wait| format!("?wait={}ms", wait.get().as_millis()))
}

impl Client {
    /// Submits an evaluation.
    ///
    /// # Errors
    /// What the service answers; `Unavailable` where none does.
    pub async fn submit(&self, request: &SubmitEvaluation) -> Result<Accepted> {
        self.ask(Method::POST, "/v1/evaluations", json(request)?).await
    }

    /// Submits many evaluations at once, and says of each what became of it.
    ///
    /// # Errors
    /// As [`Client::submit`], and then none is accepted.
    pub async fn submit_batch(&self, evaluations: Vec<SubmitEvaluation>) -> Result<BatchAccepted> {
        self.ask(Method::POST, "/v1/evaluations:batch", json(&SubmitBatch { evaluations })?).await
    }

    /// One evaluation, once it has its result or the time is over.
    ///
    /// # Errors
    /// As [`Client::submit`]; `NotFound` where there is none of that id.
    pub async fn evaluation(&self, id: &str, wait: Option<TimeSpan>) -> Result<Evaluation> {
        self.ask(Method::GET, &format!("{}{}", evaluation_path(id), waiting(wait)), nothing()).await
    }

    /// One page of evaluations, the newest first.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn evaluations(&self, query: &ListQuery) -> Result<EvaluationList> {
        self.ask(Method::GET, &query.path(), nothing()).await
    }

    /// Cancels an evaluation.
    ///
    /// # Errors
    /// As [`Client::evaluation`].
    pub async fn cancel(&self, id: &str) -> Result<Accepted> {
        self.ask(Method::DELETE, &evaluation_path(id), nothing()).await
    }

    /// Decides about an evaluation that is held.
    ///
    /// # Errors
    /// As [`Client::evaluation`]; `Conflict` where it isn't held.
    pub async fn decide(&self, id: &str, decision: &DecideEvaluation) -> Result<Accepted> {
        self.ask(Method::POST, &format!("{}/review", evaluation_path(id)), json(decision)?).await
    }

    /// How the service's parts are.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn components(&self) -> Result<ComponentList> {
        self.ask(Method::GET, "/v1/components", nothing()).await
    }

    /// What is in the service's queue.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn queue(&self) -> Result<QueueReport> {
        self.ask(Method::GET, "/v1/queue", nothing()).await
    }

    /// The service's backends.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn backends(&self) -> Result<BackendList> {
        self.ask(Method::GET, "/v1/backends", nothing()).await
    }

    /// Makes a key.
    ///
    /// # Errors
    /// As [`Client::submit`]; `Refused` for whoever isn't an administrator.
    pub async fn create_key(&self, key: &CreateKey) -> Result<CreatedKey> {
        self.ask(Method::POST, "/v1/keys", json(key)?).await
    }

    /// All keys.
    ///
    /// # Errors
    /// As [`Client::create_key`].
    pub async fn keys(&self) -> Result<KeyList> {
        self.ask(Method::GET, "/v1/keys", nothing()).await
    }

    /// Takes a key out of use.
    ///
    /// # Errors
    /// As [`Client::create_key`]; `NotFound` where there is none of that id.
    pub async fn revoke_key(&self, id: &str) -> Result<()> {
        self.request(Method::DELETE, &format!("/v1/keys/{}", escape(id)), nothing(), None).await.map(drop)
    }

    /// Projects that have quotas of their own.
    ///
    /// # Errors
    /// As [`Client::create_key`].
    pub async fn projects(&self) -> Result<ProjectList> {
        self.ask(Method::GET, "/v1/projects", nothing()).await
    }

    /// Sets what a project may have.
    ///
    /// # Errors
    /// As [`Client::create_key`]; `InvalidInput` for a name that can't be a project's.
    pub async fn set_quotas(&self, project: &str, quotas: &ProjectQuotas) -> Result<Project> {
        self.ask(Method::PUT, &format!("/v1/projects/{}", escape(project)), json(quotas)?).await
    }

    /// Has the service look through all that it keeps.
    ///
    /// # Errors
    /// As [`Client::create_key`].
    pub async fn check_store(&self) -> Result<StoreChecked> {
        self.ask(Method::POST, "/v1/store/check", nothing()).await
    }

    /// Has the service copy all that it keeps into a new folder of that name among its backups.
    ///
    /// # Errors
    /// As [`Client::create_key`]; `InvalidInput` where there is one already.
    pub async fn back_up_store(&self, name: &str) -> Result<()> {
        let body = json(&serde_json::json!({"name": name}))?;
        self.request(Method::POST, "/v1/store/backup", body, None).await.map(drop)
    }

    /// Has the service forget what is old, or more than there is room for.
    ///
    /// # Errors
    /// As [`Client::create_key`].
    pub async fn forget_in_store(&self, what: &StoreForget) -> Result<StoreForgotten> {
        self.ask(Method::POST, "/v1/store/gc", json(what)?).await
    }
}
