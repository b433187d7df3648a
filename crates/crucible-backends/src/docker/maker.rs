//! Makes containers that are sandboxes.

use super::container::{LEAST_PROCESSES, Need, Plan, Share, hidden_paths, shares};
use super::contents::{self, Contents};
use super::daemon::{Kernel, Profiles, UserNamespaces};
use super::evidence::{Evidence, Plans};
use super::images::Image;
use super::made::{Made, remove_left};
use super::sandbox::{DockerSandbox, Parts, Recipe};
use super::{Daemon, DockerConfig, Hardening, layers, program, seccomp};
use crate::agent::{self, AgentSide, WRITABLE, door_address, greeting_error};
use crate::native::{built_in_language, system_language, watching_with_a_door};
use crucible_agent::host::{AGENT, AgentClient, Beginning, ProcessLimit, digest};
use crucible_core::{
    Capabilities, Error, ErrorKind, Language, Limits, LiveFeature, NetworkKind, Readiness, Result, SandboxId,
    SandboxRequest, Users,
};
use crucible_jail::host::random_below;
use crucible_jail::seccomp::Connections;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long the agent may take to answer once its container runs. Nothing of a guest runs yet.
const GREETING: Duration = Duration::from_secs(30);
/// Host ids for guests where the daemon maps none: those that the jail takes, too.
const HOST_IDS: (u32, u32) = (1_879_048_192, 268_435_455);
/// Ids for guests within what a daemon maps: those of programs and people of an image lie below and above.
const MAPPED_IDS: (u32, u32) = (10_000, 50_000);

/// Of how many images it is kept what they have in the folders of root inside.
const MOST_CONTENTS: usize = 8;

/// What containers are made with.
pub(super) struct Maker {
    pub(super) daemon: Arc<Daemon>,
    pub(super) capabilities: Capabilities,
    profile: String,
    profile_with_door: String,
    agent: PathBuf,
    hidden: Vec<String>,
    ordinary_image: Option<String>,
    pub(super) hardening: Hardening,
    supervisor: String,
    images: Mutex<BTreeMap<String, Arc<Image>>>,
    /// Where interpreters are in images that don't say it, by image and language.
    interpreters: Mutex<BTreeMap<(String, String), String>>,
    /// What images have in the folders of root inside, by their ids.
    contents: Mutex<BTreeMap<String, Arc<Contents>>>,
}

/// The filter of system calls, as the daemon wants to be given it.
fn profile(daemon: &Daemon, connections: Connections) -> Result<String> {
    let text = seccomp::profile(connections)?;
    match daemon.facts.profiles {
        Profiles::Inline => Ok(text),
        Profiles::ByPath => {
            let name = format!("filter-{}.json", blake3::hash(text.as_bytes()).to_hex());
            Ok(program::in_place(&name, text.as_bytes())?.display().to_string())
        }
    }
}

impl Maker {
    /// Connects to the daemon and finds out what it can do.
    ///
    /// # Errors
    /// As [`Daemon::connect`]; `Unavailable` where the agent can't be put in place.
    pub(super) async fn start(config: &DockerConfig) -> Result<Self> {
        let daemon = Arc::new(Daemon::connect(config).await?);
        let agent = program::in_place(&format!("agent-{}", digest()), AGENT)?;
        remove_left(&daemon, is_alive).await;
        Ok(Self {
            capabilities: layers::capabilities(&daemon.facts, config.hardening),
            profile: profile(&daemon, Connections::Refused)?,
            profile_with_door: profile(&daemon, Connections::Made)?,
            agent,
            hidden: hidden_paths(),
            ordinary_image: config.image.clone(),
            hardening: config.hardening,
            supervisor: supervisor(std::process::id()),
            images: Mutex::default(),
            interpreters: Mutex::default(),
            contents: Mutex::default(),
            daemon,
        })
    }

    /// The image of a language. Its name is looked up once, so that all of a backend's sandboxes are made of the same one.
    async fn image(&self, language: &Language) -> Result<Arc<Image>> {
        if language.image.is_empty() {
            let message = format!("no image is named for {}", language.title);
            return Err(Error::new(ErrorKind::Configuration, "find the language's image", message)
                .with_hint("set `image` in its entry of the configuration's language table"));
        }
        let mut images = self.images.lock().await;
        if let Some(image) = images.get(&language.image) {
            return Ok(Arc::clone(image));
        }
        let image = Arc::new(self.daemon.image(&language.image).await?);
        images.insert(language.image.clone(), Arc::clone(&image));
        Ok(image)
    }

    /// What commands that aren't programs of a language run in: an image of the machine's ordinary programs, which is large,
    /// or else that of a language, with what programs it has.
    async fn ordinary_programs(&self) -> Result<(Arc<Language>, Arc<Image>)> {
        let mut system = system_language()?;
        if let Some(image) = &self.ordinary_image {
            system.image.clone_from(image);
            let image = self.image(&system).await?;
            return Ok((Arc::new(system), image));
        }
        match self.image(&system).await {
            Ok(image) => Ok((Arc::new(system), image)),
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                let language = self.first_language_with_an_image().await.map_err(|_| missing)?;
                let image = self.image(&language).await?;
                Ok((Arc::new(Language { interpreters: Vec::new(), ..system }), image))
            }
            Err(error) => Err(error),
        }
    }

    /// A language of the table that Crucible comes with whose image the daemon has.
    pub(super) async fn first_language_with_an_image(&self) -> Result<Arc<Language>> {
        let mut last = None;
        for name in ["bash", "python", "javascript"] {
            let language = built_in_language(name)?;
            match self.image(&language).await {
                Ok(_) => return Ok(Arc::new(language)),
                Err(error) => last = last.or(Some(error)),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "find an image", "no language has an image")))
    }

    /// The path of a language's interpreter in an image; `None` for a language that has none.
    async fn interpreter(&self, language: &Language, image: &Image, container: &Made) -> Result<Option<String>> {
        if language.interpreters.is_empty() {
            return Ok(None);
        }
        if let Some(path) = image.interpreter_for(language) {
            return Ok(Some(path.to_owned()));
        }
        let key = (image.id.clone(), language.interpreters.join(":"));
        let mut known = self.interpreters.lock().await;
        if let Some(path) = known.get(&key) {
            return Ok(Some(path.clone()));
        }
        let search = image.search_path.as_deref().unwrap_or("/usr/local/bin:/usr/bin:/bin");
        let search: Vec<&str> = search.split(':').filter(|folder| folder.starts_with('/')).collect();
        for name in &language.interpreters {
            let places: Vec<String> = if name.starts_with('/') {
                vec![name.clone()]
            } else {
                search.iter().map(|folder| format!("{}/{name}", folder.trim_end_matches('/'))).collect()
            };
            for place in places {
                if container.has(&place).await? {
                    known.insert(key, place.clone());
                    return Ok(Some(place));
                }
            }
        }
        let message = format!(
            "the image {} has no {} in {}",
            image.name,
            language.interpreters.join(" and no "),
            search.join(", ")
        );
        Err(Error::new(ErrorKind::NotFound, "find the interpreter", message)
            .with_hint("name another image in the language's entry, or another interpreter"))
    }

    /// What an image has in the folders that root inside has of its own, read once, of a container that is made for it.
    async fn contents(&self, plan: &Plan<'_>, image: &Image) -> Result<Arc<Contents>> {
        let mut known = self.contents.lock().await;
        if let Some(contents) = known.get(&image.id) {
            return Ok(Arc::clone(contents));
        }
        let container = Made::new(Arc::clone(&self.daemon), SandboxId::generate(), &image.name, plan.body()).await?;
        let read = Contents::of(&container, image).await;
        container.discard().await?;
        let contents = Arc::new(read?);
        // Of a few images: each may take some memory.
        if known.len() >= MOST_CONTENTS {
            known.pop_first();
        }
        known.insert(image.id.clone(), Arc::clone(&contents));
        Ok(contents)
    }

    /// A user id for a guest, chosen at random, so that supervisors who know nothing of each other don't meet.
    fn choose_id(&self) -> Result<u32> {
        let (start, count) = match self.daemon.facts.users {
            UserNamespaces::None => HOST_IDS,
            UserNamespaces::Remapped | UserNamespaces::Rootless => MAPPED_IDS,
        };
        let chosen = random_below(count).map_err(|source| {
            Error::new(ErrorKind::Infrastructure, "choose a user id", "the kernel gives no random numbers")
                .with_source(source)
        })?;
        Ok(start + chosen)
    }

    /// The language of a request, and its image.
    pub(super) async fn furnishing(&self, request: &SandboxRequest) -> Result<(Arc<Language>, Arc<Image>)> {
        match &request.language {
            Some(language) => Ok((Arc::clone(language), self.image(language).await?)),
            None => self.ordinary_programs().await,
        }
    }

    /// Makes one.
    pub(super) async fn make(
        self: Arc<Self>,
        request: &SandboxRequest,
        language: &Arc<Language>,
        image: &Arc<Image>,
    ) -> Result<DockerSandbox> {
        let SandboxRequest { id, limits, policy, .. } = request;
        let id = *id;
        let network = policy.network.kind();
        let users = policy.users;
        let owner = match users {
            Users::Guest => self.choose_id()?,
            Users::Root => 0,
        };
        let facts = &self.daemon.facts;
        let room = |need: &dyn Fn(&str) -> Need| -> Result<Vec<Share>> {
            shares(limits, users, need).ok_or_else(|| contents::no_room(&image.name))
        };
        let folders = room(&|_| Need::default())?;
        let plan = Plan {
            facts,
            image: &image.id,
            agent: &self.agent,
            profile: match network {
                NetworkKind::None => &self.profile,
                NetworkKind::AllowList => &self.profile_with_door,
            },
            owner,
            users,
            limits,
            shares: &folders,
            hidden: &self.hidden,
            supervisor: &self.supervisor,
            hardening: self.hardening,
        };
        let contents = match users {
            Users::Guest => None,
            Users::Root => Some(self.contents(&plan, image).await?),
        };
        let folders = match &contents {
            None => folders.clone(),
            Some(contents) => room(&|folder| contents.need(folder))?,
        };
        let plan = Plan { shares: &folders, ..plan };
        let container = match Made::new(Arc::clone(&self.daemon), id, &image.name, plan.body()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.images.lock().await.remove(&language.image);
                return Err(error);
            }
            made => made?,
        };
        let interpreter = self.interpreter(language, image, &container).await?;
        let (words, ear, complaints) = container.attach().await?;
        container.start().await?;
        // Where the runtime's own kernel answers, the daemon's filter is on that kernel, and the guest wants one of its own.
        let is_filtered_inside = facts.kernel == Kernel::Own && self.hardening == Hardening::Full;
        let beginning = Beginning {
            folders: WRITABLE.map(str::to_owned).to_vec(),
            filter: if is_filtered_inside { agent::filter(network) } else { Vec::new() },
            listen: door_address(network),
            ..Beginning::default()
        };
        let greeted = async {
            let greeted = tokio::time::timeout(GREETING, AgentClient::connect_with(words, ear, beginning)).await;
            let operation = "greet the container's agent";
            greeted
                .map_err(|_| Error::new(ErrorKind::Infrastructure, operation, "it doesn't answer"))?
                .map_err(|error| greeting_error(operation, error, &complaints.text()))
        };
        let (client, pid) = tokio::try_join!(greeted, container.pid())?;
        let Some(pid) = pid else {
            let message = "the daemon doesn't say which process is the container's first";
            return Err(Error::new(ErrorKind::Infrastructure, "look at the container", message));
        };
        let processes = plan.processes();
        if let Some(most) = processes.filter(|most| *most < LEAST_PROCESSES) {
            container.limit_processes(i64::try_from(most).unwrap_or(i64::MAX)).await?;
        }
        if let Some(contents) = contents {
            contents.put(&client).await?;
        }
        let layers = self.capabilities.layers_under(policy);
        let memory = plan.memory();
        let plans = Plans { layers: &layers, facts, owner, users, memory, processes, shares: folders };
        let evidence = Arc::new(Evidence::new(pid, &container.id, plans));
        // What the image was made for is found there by its name, by any command.
        let own = interpreter.as_deref().or(image.interpreter.as_deref());
        let features = self.capabilities.live_under(policy);
        let forks = features.contains(&LiveFeature::Forks);
        let side = AgentSide::new(client, policy, features, own, self.process_limits(limits));
        let mut monitoring = self.capabilities.monitoring.clone();
        if network == NetworkKind::AllowList {
            watching_with_a_door(&mut monitoring);
        }
        Ok(DockerSandbox(Parts {
            id,
            daemon: Arc::clone(&self.daemon),
            agent: side,
            container,
            evidence,
            layers,
            monitoring,
            interpreter,
            image: image.with_digest(),
            again: forks.then(|| Recipe {
                maker: Arc::clone(&self),
                request: SandboxRequest { readiness: Readiness::Bare, ..request.clone() },
                language: Arc::clone(language),
                image: Arc::clone(image),
            }),
        }))
    }

    /// Limits that the agent sets for each command. That of core files is the container's: the system call table lets nobody
    /// inside change it.
    fn process_limits(&self, limits: &Limits) -> Vec<(ProcessLimit, u64)> {
        if self.hardening == Hardening::Stock {
            return Vec::new();
        }
        let mut all = agent::process_limits(limits);
        if self.daemon.facts.kernel == Kernel::Shared {
            all.retain(|(limit, _)| *limit != ProcessLimit::Core);
        }
        all
    }
}

/// A process as it is told apart from a later one with its number: by its start, in ticks since the machine's.
fn supervisor(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is a name in brackets that may hold anything.
    let start = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19)).unwrap_or("0");
    format!("{pid}.{start}")
}

fn is_alive(named: &str) -> bool {
    let pid = named.split_once('.').and_then(|(pid, _)| pid.parse().ok());
    // What this program didn't write is none of its business.
    pid.is_none_or(|pid| supervisor(pid) == named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_is_known_by_its_start_and_not_by_its_number_alone() {
        let own = supervisor(std::process::id());
        assert!(is_alive(&own));
        assert!(!is_alive(&format!("{}.1", std::process::id())));
        // Somebody else's label is left alone.
        assert!(is_alive("") && is_alive("nonsense"));
    }

    #[test]
    fn ids_of_guests_are_those_that_daemons_take() {
        let most = HOST_IDS.0 + (HOST_IDS.1 - 1);
        assert!(i32::try_from(most).is_ok());
        assert!(MAPPED_IDS.0 + MAPPED_IDS.1 < 65_536);
    }
}
