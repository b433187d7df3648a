//! Disks that are full or can't be written, made of mounts in a mount namespace that only the service has.

use crate::place::Place;
use serde_json::{Value, json};
use std::process::Command;

/// Whether mounts can be made here, in a namespace that ends with what is in it.
fn can_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    let is_possible = tried.as_ref().is_ok_and(|tried| tried.status.success());
    if !is_possible {
        eprintln!("skipped: no mount namespace can be made here: {tried:?}");
    }
    is_possible
}

const ALONE: [&str; 6] = ["unshare", "--mount", "--propagation", "private", "sh", "-euc"];

#[test]
fn a_full_disk_refuses_what_is_new_and_loses_nothing_that_was_accepted() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    let script = "mount -t tmpfs -o size=6m,mode=700 none \"$0\"; exec \"$@\"";
    let server = place.serve_in(&[&ALONE[..], &[script, place.data().to_str().unwrap()]].concat(), &[]);
    server.send("PUT", "/v1/queue", &json!({"flow": "paused"})).expect(200);
    let filling = "#".repeat(100_000);
    let (mut accepted, mut refused) = (Vec::new(), None);
    for number in 0..500 {
        // Not the same twice, nor what would be packed to nothing.
        let noise: String = (0..40_000_u64).map(|at| char::from(b'a' + noise(number, at))).collect();
        let code = format!("echo {number} #{noise}{filling}");
        let answer = server.post("/v1/evaluations", &json!({"code": code, "language": "bash"}));
        match answer.status {
            202 => accepted.push((number, answer.json()["id"].as_str().unwrap().to_owned())),
            _ => {
                refused = Some(answer);
                break;
            }
        }
    }
    let refused = refused.expect("the disk is never full");
    refused.expect_problem(503, &["the disk is full"]);
    assert!(accepted.len() > 3, "{}", accepted.len());
    // It answers all the same.
    let listed = server.get("/v1/evaluations?limit=1000").expect(200);
    assert_eq!(listed["evaluations"].as_array().unwrap().len(), accepted.len());
    let more = Command::new("nsenter")
        .args(["--mount", "--target", &server.process().to_string(), "mount", "-o", "remount,size=64m"])
        .arg(place.data())
        .output()
        .unwrap();
    assert!(more.status.success(), "{more:?}");
    server.send("PUT", "/v1/queue", &json!({"flow": "open"})).expect(200);
    for (number, id) in &accepted {
        let found: Value = server.result(id);
        assert_eq!((&found["state"], &found["outcome"]["stdout"]), (&json!("finished"), &json!(format!("{number}\n"))));
    }
    let checked = server.post("/v1/store/check", &json!({})).expect(200);
    assert!(checked["sound"] == true && checked["evaluations"] == accepted.len(), "{checked}");
}

/// Letters that no packing makes much smaller.
fn noise(number: u64, at: u64) -> u8 {
    let mixed = (number << 32 | at).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    u8::try_from((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40 & 15).unwrap()
}

#[test]
fn a_store_that_cannot_be_written_is_refused_at_the_start() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let server = place.serve(&[]);
    let id = server.submit("echo 1");
    server.result(&id);
    server.stop();
    let script = "mount --bind \"$0\" \"$0\"; mount -o remount,bind,ro \"$0\"; exec \"$@\"";
    let mut server = place.begin_in(&[&ALONE[..], &[script, place.data().to_str().unwrap()]].concat(), &[]);
    let status = server.ended();
    assert!(!status.success(), "{status}");
    let log = place.log();
    assert!(log.contains("error: ") && !log.contains("panicked"), "{log}");
    assert!(log.to_lowercase().contains("read-only"), "{log}");
    let server = place.serve(&[]);
    assert_eq!(server.result(&id)["outcome"]["stdout"], "1\n");
}
