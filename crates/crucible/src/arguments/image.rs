//! The arguments of `crucible image`.

use clap::{Args, Subcommand};

/// What to do with a container daemon's images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// List the daemon's images, and say which languages use which
    List(ImageListArguments),
    /// Fetch an image from its registry
    Pull(ImagePullArguments),
    /// Make an image of what a language needs of this machine, so that nothing has to be pulled
    ImportHost(ImageImportArguments),
    /// Remove an image
    Rm(ImageRemoveArguments),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible image list
  crucible image list --json | jq -r '.images[] | select(.languages != []) | .name'")]
pub(crate) struct ImageListArguments {
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible image pull python:3.13-slim
  CRUCIBLE_CONFIG=images.toml crucible run -b docker script.py

where images.toml has a language use it, by name or digest:
  [languages.python]
  image = \"python:3.13-slim\"")]
pub(crate) struct ImagePullArguments {
    /// The image, by name or digest
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible image import-host python        makes crucible/python:host
  crucible run -b docker script.py         which Python uses unless the configuration names another")]
pub(crate) struct ImageImportArguments {
    /// The language, by its name in the table
    #[arg(value_name = "LANGUAGE")]
    pub(crate) language: String,
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible image rm crucible/python:host")]
pub(crate) struct ImageRemoveArguments {
    /// The image, by name or id
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

format_of!(ImageListArguments, ImagePullArguments, ImageImportArguments);
