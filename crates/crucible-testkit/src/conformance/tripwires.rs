//! Behaviours of tripwires: what a guest touches is seen by the host, what it leaves alone is not.

use super::guest::{Guest, path};
use super::stop::{Checked, Stop, ensure};
use super::suite::ConformanceSubject;
use crucible_core::{Readiness, TouchKind, Touched, WatchedPlace};
use std::time::Instant;

/// Which of these places a script touches, by the host's word.
async fn touched(guest: &Guest, places: &[WatchedPlace], script: &str) -> Result<Vec<Option<Touched>>, Stop> {
    let mut watch = guest.sandbox.watch(places).await?;
    let began = Instant::now();
    guest.run(script, &[]).await?.told()?;
    let touched = watch.touched();
    ensure!(touched.len() == places.len(), "{} places were watched, and {touched:?} is told", places.len());
    let now = Instant::now();
    let in_time = touched.iter().flatten().all(|touch| touch.at >= began && touch.at <= now);
    ensure!(in_time, "it was touched at another time than the script ran: {touched:?}");
    Ok(touched)
}

pub(super) async fn a_watched_file_that_is_opened_is_told_and_others_are_not(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    guest.write("secrets/opened", b"x").await?;
    guest.write("secrets/renamed", b"x").await?;
    guest.write("secrets/left_alone", b"x").await?;
    let places = ["secrets/opened", "secrets/renamed", "secrets/left_alone"];
    let mut watched = Vec::new();
    for name in places {
        watched.push(WatchedPlace::File(path(name)?));
    }
    let script = "
import os
# To look at names and sizes isn't to touch.
print(sorted(os.listdir('secrets')), os.stat('secrets/left_alone').st_size)
os.open('secrets/opened', os.O_RDONLY)
os.rename('secrets/renamed', 'secrets/hidden')";
    let seen = touched(&guest, &watched, script).await?;
    let how: Vec<_> = seen.iter().map(|touch| touch.map(|touch| touch.how)).collect();
    ensure!(matches!(how.first(), Some(Some(TouchKind::Opened | TouchKind::Read))), "opening it is told as {how:?}");
    ensure!(matches!(how.get(1), Some(Some(_))), "moving it is told as {how:?}");
    ensure!(how.get(2) == Some(&None), "what was left alone is told as touched: {how:?}");
    guest.finish().await
}

pub(super) async fn a_planted_listener_that_is_called_is_told_and_others_are_not(
    subject: &ConformanceSubject,
) -> Checked {
    // With nothing ready: the file system of a fork of an interpreter may know no user of the host's, and the engine plants nothing there.
    let guest = Guest::python(&ConformanceSubject { readiness: Readiness::Bare, ..subject.clone() }).await?;
    let places = [WatchedPlace::Listener(path("/tmp/called.sock")?), WatchedPlace::Listener(path("/tmp/quiet.sock")?)];
    let script = "
import socket
call = socket.socket(socket.AF_UNIX)
call.settimeout(10)
call.connect('/tmp/called.sock')
# Nobody listens to what is said, and nobody answers.
try: print('heard', call.recv(1))
except OSError as error: print('hung up', error)";
    let seen = touched(&guest, &places, script).await?;
    let how: Vec<_> = seen.iter().map(|touch| touch.map(|touch| touch.how)).collect();
    ensure!(how == [Some(TouchKind::Called), None], "one of two was called, and {how:?} is told");
    guest.finish().await
}
