//! The daemon's images: what a name stands for, and the list of them.
//!
//! Invariant: an image that was asked for by digest is that image or none. Containers are made of the resolved id, so that a
//! name that is moved in the meantime changes nothing.

use super::Daemon;
use super::error;
use bollard::models::ImageInspect;
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use crucible_core::{Error, ErrorKind, Language, Result};
use futures_util::TryStreamExt;

/// The label with the path of an image's interpreter, on images that Crucible made.
pub(super) const INTERPRETER_LABEL: &str = "crucible.interpreter";
/// The label with the name of the language that an image was made for.
pub(super) const LANGUAGE_LABEL: &str = "crucible.language";

/// An image of the daemon's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What it was asked for by, or its first name.
    pub name: String,
    /// Its id, as `sha256:` and hexadecimal digits.
    pub id: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// The language that it was made for of this machine's runtime, if it was.
    pub language: Option<String>,
    /// The path of its interpreter, where its maker said so.
    pub(super) interpreter: Option<String>,
    /// Where its programs are looked up.
    pub(super) search_path: Option<String>,
}

impl Image {
    /// Its name and the digest that it stands for.
    pub(super) fn with_digest(&self) -> String {
        format!("{}@{}", split_digest(&self.name).0, self.id)
    }

    /// The path of a language's interpreter, where the image's maker has said the path of one and it has that name.
    pub(super) fn interpreter_for(&self, language: &Language) -> Option<&str> {
        let path = self.interpreter.as_deref()?;
        let name = path.rsplit('/').next()?;
        language.interpreters.iter().any(|known| known == path || known == name).then_some(path)
    }
}

/// A tag in a name is what follows the last colon, unless that belongs to a registry's port.
fn split_tag(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

/// The name and the digest that are asked for in `name@sha256:...`.
fn split_digest(name: &str) -> (&str, Option<&str>) {
    name.split_once('@').map_or((name, None), |(name, digest)| (name, Some(digest)))
}

/// Refuses what can't be a name, before it becomes a part of a request's path.
fn check_name(name: &str) -> Result<()> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    let is_sound = (1..=255).contains(&name.len())
        && name.chars().all(sound)
        && !name.starts_with(['/', '.', '-', ':', '@'])
        && !name.contains("..")
        && !name.contains("//");
    if is_sound {
        return Ok(());
    }
    let message = format!("{:?} can't be the name of an image", error::shown(name));
    Err(Error::new(ErrorKind::InvalidInput, "name an image", message)
        .with_hint("it is like python:3.13-slim, python@sha256:... or sha256:..."))
}

impl Daemon {
    /// The image that a name or digest stands for.
    ///
    /// # Errors
    /// `NotFound` where the daemon has none, with the mend; `Refused` where it has another one than the digest says.
    pub async fn image(&self, name: &str) -> Result<Image> {
        const OPERATION: &str = "look up an image";
        check_name(name)?;
        match self.client.inspect_image(name).await {
            Ok(found) => {
                let image = image(name, &found)?;
                let digests = found.repo_digests.unwrap_or_default();
                match split_digest(name).1 {
                    Some(digest) if image.id != digest && !digests.iter().any(|known| known.ends_with(digest)) => {
                        Err(mismatch(name, &image.id))
                    }
                    _ => Ok(image),
                }
            }
            Err(error) if error::is_missing(&error) => {
                let (plain, digest) = split_digest(name);
                // An image that was never in a registry has no digest there, but an id.
                if let Some(digest) = digest
                    && let Ok(found) = self.client.inspect_image(plain).await
                {
                    let image = image(name, &found)?;
                    return if image.id == digest { Ok(image) } else { Err(mismatch(name, &image.id)) };
                }
                let message = format!("the daemon has no image {name}");
                Err(Error::new(ErrorKind::NotFound, OPERATION, message).with_hint(missing_hint(name)))
            }
            Err(error) => Err(error::of_daemon(OPERATION, error)),
        }
    }

    /// Every image, by name.
    ///
    /// # Errors
    /// `Infrastructure` where the daemon is lost.
    pub async fn images(&self) -> Result<Vec<Image>> {
        let options = ListImagesOptionsBuilder::default().all(false).build();
        let found = self.client.list_images(Some(options)).await;
        let found = found.map_err(|error| error::of_daemon("list the images", error))?;
        let mut images: Vec<Image> = found
            .into_iter()
            .map(|mut found| Image {
                name: found.repo_tags.drain(..).next().map_or_else(|| "<none>".to_owned(), |name| error::shown(&name)),
                id: error::shown(&found.id),
                bytes: u64::try_from(found.size).unwrap_or(0),
                language: found.labels.get(LANGUAGE_LABEL).map(|label| error::shown(label)),
                interpreter: None,
                search_path: None,
            })
            .collect();
        images.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Ok(images)
    }

    /// Fetches an image from its registry.
    ///
    /// # Errors
    /// `Unavailable` where the registry can't be reached or doesn't give it, with the mend.
    pub async fn pull(&self, name: &str) -> Result<Image> {
        check_name(name)?;
        let (plain, digest) = split_digest(name);
        let (repository, tag) = split_tag(plain);
        let options = CreateImageOptionsBuilder::default().from_image(repository).tag(digest.unwrap_or(tag)).build();
        let pulled: Result<Vec<_>, _> = self.client.create_image(Some(options), None, None).try_collect().await;
        pulled.map_err(|source| {
            let error = error::of_daemon("pull an image", source);
            Error::new(ErrorKind::Unavailable, "pull an image", format!("{name} could not be pulled")).with_source(error)
                .with_hint("where nothing can be pulled, `crucible image import-host LANGUAGE` makes an image of this machine's own runtime")
        })?;
        self.image(name).await
    }

    /// Removes an image's name, and the image with its last one.
    ///
    /// # Errors
    /// `NotFound` where there is none, `Refused` while it is in use.
    pub async fn remove_image(&self, name: &str) -> Result<()> {
        const OPERATION: &str = "remove an image";
        check_name(name)?;
        let options = RemoveImageOptionsBuilder::default().force(false).noprune(false).build();
        match self.client.remove_image(name, Some(options), None).await {
            Ok(_) => Ok(()),
            Err(error) if error::is_missing(&error) => {
                Err(Error::new(ErrorKind::NotFound, OPERATION, format!("the daemon has no image {name}"))
                    .with_hint("`crucible image list` names them"))
            }
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, message }) => {
                Err(Error::new(ErrorKind::Refused, OPERATION, error::shown(&message))
                    .with_hint("end what uses it first"))
            }
            Err(error) => Err(error::of_daemon(OPERATION, error)),
        }
    }
}

fn missing_hint(name: &str) -> String {
    match name.strip_prefix("crucible/").and_then(|rest| rest.strip_suffix(":host")) {
        Some(language) => {
            format!(
                "`crucible image import-host {language}` makes it of this machine's own runtime; or name another \
                     image by languages.{language}.image"
            )
        }
        None => format!("`crucible image pull {name}` fetches it"),
    }
}

fn mismatch(name: &str, found: &str) -> Error {
    let message = format!("{name} is asked for, and the daemon has {}", error::shown(found));
    Error::new(ErrorKind::Refused, "look up an image", message)
        .with_hint("pull the image again, or ask for the digest that it has now")
}

fn image(name: &str, found: &ImageInspect) -> Result<Image> {
    let id = found.id.clone().filter(|id| is_digest(id)).ok_or_else(|| {
        Error::new(ErrorKind::Infrastructure, "look up an image", format!("the daemon gives no id for {name}"))
    })?;
    let config = found.config.as_ref();
    let label = |name: &str| config?.labels.as_ref()?.get(name).cloned();
    let variables = config.and_then(|config| config.env.as_deref()).unwrap_or_default();
    Ok(Image {
        name: name.to_owned(),
        id,
        bytes: found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
        language: label(LANGUAGE_LABEL),
        interpreter: label(INTERPRETER_LABEL).filter(|path| path.starts_with('/')),
        search_path: variables.iter().find_map(|variable| variable.strip_prefix("PATH=").map(str::to_owned)),
    })
}

fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tags_and_digests_are_told_apart() {
        assert_eq!(split_tag("python"), ("python", "latest"));
        assert_eq!(split_tag("python:3.13-slim"), ("python", "3.13-slim"));
        assert_eq!(split_tag("registry:5000/python"), ("registry:5000/python", "latest"));
        assert_eq!(split_digest("python@sha256:ab"), ("python", Some("sha256:ab")));
        assert!(missing_hint("crucible/python:host").contains("import-host python"));
        assert!(missing_hint("python:3").contains("image pull python:3"));
    }

    #[test]
    fn what_can_be_no_name_is_refused_before_it_is_asked_for() {
        for name in ["", "../x", "a/../../containers", "a b", "a?force=1", "/a", "a//b", "x\n", &"a".repeat(300)] {
            assert_eq!(check_name(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
        }
        for name in ["python", "crucible/python:host", "registry.example:5000/a/b@sha256:00", "sha256:00"] {
            check_name(name).unwrap();
        }
    }
}
