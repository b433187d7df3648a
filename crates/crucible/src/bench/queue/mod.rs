//! How many tasks a second go through the queues: in, leased, acknowledged, in batches, by one client; next to Redis Streams.
//!
//! The ways alternate, round by round. The durable queue and Redis both sync what they were brought, and what was acknowledged,
//! before they answer.

mod ours;
mod redis;

use super::report::{machine, median_ratio, quantile};
use super::{Request, failed};
use crate::output::{self, Format};
use crucible_core::{Error, ErrorKind, EvaluationId, Result};
use ours::Durable;
use redis::Redis;
use serde::Serialize;
use std::fmt::Write;
use std::time::Instant;

const ROUNDS: u32 = 10;
/// How many rounds go before those that count.
const WARM_UP: u32 = 1;
/// Tasks in one call, or one pipeline.
const BATCH: usize = 256;
/// Batches in a round, and how many times as many for the queue in memory, which is faster.
const BATCHES: usize = 40;
const MORE_IN_MEMORY: usize = 10;

/// What has to be reached: tasks a second, and times what Redis takes.
const LEAST_DURABLE: f64 = 20_000.0;
const LEAST_IN_MEMORY: f64 = 500_000.0;
const LEAST_TO_REDIS: f64 = 1.5;

/// One way's rounds, in tasks a second.
#[derive(Debug, Serialize)]
struct Way {
    way: &'static str,
    tasks_per_second: f64,
    /// The slowest round.
    least: f64,
    /// The fastest round.
    most: f64,
    rounds: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    benchmark: &'static str,
    machine: String,
    batch: usize,
    tasks_per_round: usize,
    ways: Vec<Way>,
    /// The median over the rounds of how many times as many go through the durable queue; `None` without Redis.
    durable_to_redis: Option<f64>,
    figures: Vec<Figure>,
}

/// Something that has to be reached.
#[derive(Debug, Serialize)]
struct Figure {
    figure: &'static str,
    at_least: f64,
    measured: f64,
    kept: bool,
}

impl Figure {
    fn new(figure: &'static str, at_least: f64, measured: f64) -> Self {
        Self { figure, at_least, measured, kept: measured >= at_least }
    }
}

/// Measures and writes the result to standard output.
///
/// # Errors
/// Whatever keeps a queue from being measured. Redis is left out where it isn't installed.
pub(crate) fn run(request: &Request) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start the runtime", "the asynchronous runtime can't be started").with_source(error))?;
    let rounds = request.rounds.unwrap_or(ROUNDS);
    let report = runtime.block_on(measure(rounds))?;
    if report.durable_to_redis.is_none() {
        output::hint(
            "Redis isn't installed here, and nothing is compared with it; `apt-get install redis-server` installs it",
        );
    }
    match request.format {
        Format::Json => output::json(&report)?,
        Format::Text => output::data(&table(&report))?,
    };
    Ok(())
}

fn per_second(tasks: usize, began: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "so many tasks aren't brought")]
    let tasks = tasks as f64;
    tasks / began.elapsed().as_secs_f64()
}

async fn measure(rounds: u32) -> Result<Report> {
    let redis_failed = |error| {
        Error::new(ErrorKind::Io, "measure Redis", "the Redis of the benchmark can't be used").with_source(error)
    };
    let (durable, memory) = (Durable::start().await?, ours::in_memory());
    let mut redis = Redis::start().map_err(redis_failed)?;
    let [mut of_durable, mut of_memory, mut of_redis] = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..rounds + WARM_UP {
        let ids: Vec<EvaluationId> = (0..BATCH * BATCHES).map(|_| EvaluationId::generate()).collect();
        let raw: Vec<[u8; 16]> = ids.iter().map(|id| id.to_bytes()).collect();
        let began = Instant::now();
        for batch in ids.chunks(BATCH) {
            ours::pass(&durable.queue, batch).await?;
        }
        let through_durable = per_second(ids.len(), began);
        let began = Instant::now();
        if let Some(redis) = &mut redis {
            for batch in raw.chunks(BATCH) {
                redis.pass(batch).map_err(redis_failed)?;
            }
        }
        let through_redis = redis.as_ref().map(|_| per_second(ids.len(), began));
        let began = Instant::now();
        for _ in 0..MORE_IN_MEMORY {
            for batch in ids.chunks(BATCH) {
                ours::pass(&memory, batch).await?;
            }
        }
        let through_memory = per_second(ids.len() * MORE_IN_MEMORY, began);
        if round >= WARM_UP {
            of_durable.push(through_durable);
            of_memory.push(through_memory);
            of_redis.extend(through_redis);
        }
    }
    let durable_to_redis = redis.map(|_| median_ratio(&of_durable, &of_redis));
    let mut figures = vec![
        Figure::new("sqlite, tasks a second", LEAST_DURABLE, quantile(&of_durable, 0.5)),
        Figure::new("memory, tasks a second", LEAST_IN_MEMORY, quantile(&of_memory, 0.5)),
    ];
    figures.extend(durable_to_redis.map(|ratio| Figure::new("sqlite, times redis", LEAST_TO_REDIS, ratio)));
    let ways = [("sqlite", of_durable), ("redis", of_redis), ("memory", of_memory)];
    let ways = ways.into_iter().filter(|(_, rounds)| !rounds.is_empty()).map(|(way, rounds)| summary(way, rounds));
    let (ways, tasks_per_round) = (ways.collect(), BATCH * BATCHES);
    Ok(Report {
        benchmark: "queue",
        machine: machine(),
        batch: BATCH,
        tasks_per_round,
        ways,
        durable_to_redis,
        figures,
    })
}

fn summary(way: &'static str, rounds: Vec<f64>) -> Way {
    let [least, tasks_per_second, most] = [0.0, 0.5, 1.0].map(|part| quantile(&rounds, part));
    Way { way, tasks_per_second, least, most, rounds }
}

fn table(report: &Report) -> String {
    let rounds = report.ways.first().map_or(0, |way| way.rounds.len());
    let mut text = format!(
        "tasks put in, leased and acknowledged, {} at a time, {rounds} interleaved rounds, {}\n\n",
        report.batch, report.machine
    );
    text.push_str("tasks a second     median      least       most\n");
    for way in &report.ways {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{:14} {:>10.0} {:>10.0} {:>10.0}", way.way, way.tasks_per_second, way.least, way.most);
    }
    text.push_str("\nfigure                      at least   measured\n");
    for Figure { figure, at_least, measured, kept } in &report.figures {
        let kept = if *kept { "kept" } else { "NOT KEPT" };
        // A ratio is shown with its places.
        let places = if *at_least < 100.0 { 2 } else { 0 };
        let _ = writeln!(text, "{figure:24} {at_least:>11.places$} {measured:>10.places$}   {kept}");
    }
    text
}
