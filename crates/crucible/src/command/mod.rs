//! One module for each verb.

mod attack;
mod attest;
mod baseline;
mod client;
mod collect;
mod completions;
mod config_show;
mod demo;
mod doctor;
mod evaluate;
mod held;
mod image;
mod input;
mod keys;
mod mcp;
mod policy;
mod projects;
mod review;
mod rules;
mod runtime;
mod sandbox;
mod scan;
mod self_test;
mod serve;
mod store;

use crate::arguments::{Arguments, ConfigVerb, Verb};
use crate::bench;
use crate::exit::Exit;
use crate::output;
use crucible_core::{Error, ErrorKind, Result};
use tokio::runtime::Runtime;

/// Does what was asked for, and prints a failure.
pub(crate) fn dispatch(arguments: Arguments) -> Exit {
    let done = match arguments.verb {
        Verb::Run(arguments) => evaluate::run(*arguments),
        Verb::Exec(arguments) => evaluate::exec(*arguments),
        Verb::Sandbox(arguments) => sandbox::sandbox(&arguments),
        Verb::Serve(arguments) => serve::serve(&arguments),
        Verb::Mcp(arguments) => mcp::mcp(&arguments),
        Verb::Submit(arguments) => client::submit::submit(&arguments),
        Verb::Get(arguments) => client::get(&arguments),
        Verb::List(arguments) => client::list(&arguments),
        Verb::Watch(arguments) => client::watch::watch(&arguments),
        Verb::Cancel(arguments) => client::cancel(&arguments),
        Verb::Demo(arguments) => demo::demo(&arguments),
        Verb::Keys(verb) => keys::keys(&verb),
        Verb::Projects(verb) => projects::projects(&verb),
        Verb::Store(verb) => store::store(&verb),
        Verb::SelfTest(arguments) => self_test::self_test(&arguments),
        Verb::Doctor(arguments) => doctor::doctor(&arguments),
        Verb::Scan(arguments) => scan::scan(&arguments),
        Verb::Rules(verb) => rules::rules(&verb),
        Verb::Attack(arguments) => attack::attack(&arguments),
        Verb::Range(arguments) => attack::serve_in_range(&arguments),
        Verb::Attest(verb) => attest::attest(&verb),
        Verb::Policy(verb) => policy::policy(&verb),
        Verb::Review(verb) => review::review(verb),
        Verb::Image(verb) => image::image(&verb),
        Verb::Baseline(verb) => baseline::baseline(&verb),
        Verb::Runtime(verb) => runtime::runtimes(&verb),
        Verb::Config(ConfigVerb::Show(arguments)) => config_show::show(&arguments),
        Verb::Completions(arguments) => completions::completions(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments.request()).map(|()| Exit::Success),
    };
    done.unwrap_or_else(|error| {
        output::error(&error);
        Exit::Failed(error.kind())
    })
}

/// A runtime on this thread alone.
fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "start the runtime", "can't start the async runtime").with_source(error)
    })
}
