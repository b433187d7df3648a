//! What the service keeps: checked, copied, forgotten, and one process's alone.

use crate::place::{Place, Server};
use serde_json::{Value, json};

fn results(server: &Server, count: usize) -> Vec<Value> {
    let ids: Vec<_> = (0..count).map(|number| server.submit(&format!("echo {number}"))).collect();
    ids.iter().map(|id| server.result(id)).collect()
}

#[test]
fn what_is_kept_is_there_after_the_service_and_can_be_checked_copied_and_forgotten() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut kept = results(&server, 3);
    // Too large to lie in the database.
    let large = server.submit("head -c 600000 /dev/zero | tr '\\0' x");
    kept.push(server.result(&large));
    server.stop();
    let checked = place.well(&place.on_data(&["store", "check"]));
    assert!(checked.starts_with("4 evaluations") && checked.contains("nothing is damaged"), "{checked}");
    let copy = place.path("copy");
    place.well(&place.on_data(&["store", "backup", copy.to_str().unwrap()]));
    place.badly(&place.on_data(&["store", "backup", copy.to_str().unwrap()]), 65, &["is there already"]);
    let forgotten = place.well(&place.on_data(&["store", "gc", "--older-than", "1ms"]));
    assert!(forgotten.starts_with("forgot 4 evaluations"), "{forgotten}");
    let missing = place.path("missing");
    place.badly(&["store", "check", "--data-dir", missing.to_str().unwrap()], 66, &["there is no folder"]);
    let server = place.serve(&[]);
    assert_eq!(server.get("/v1/evaluations").expect(200)["evaluations"], json!([]));
    server.stop();
    let place = place.with_data(&copy);
    let server = place.serve(&[]);
    for one in kept {
        assert_eq!(server.get(&format!("/v1/evaluations/{}", one["id"].as_str().unwrap())).expect(200), one);
    }
}

#[test]
fn a_service_that_runs_is_checked_copied_and_relieved_over_http() {
    let place = Place::new();
    let server = place.serve(&[]);
    let kept = results(&server, 2);
    let checked = server.post("/v1/store/check", &json!({})).expect(200);
    assert!(checked["sound"] == true && checked["evaluations"] == 2, "{checked}");
    server.post("/v1/store/backup", &json!({"name": "first"})).expect(204);
    server.post("/v1/store/backup", &json!({"name": "first"})).expect_problem(409, &["of that name"]);
    let forgotten = server.post("/v1/store/gc", &json!({"older_than": "1ms"})).expect(200);
    assert_eq!(forgotten["evaluations"], 2);
    let path = format!("/v1/evaluations/{}", kept[0]["id"].as_str().unwrap());
    server.get(&path).expect_problem(404, &[]);
    server.stop();
    let copy = place.data().join("backups/first");
    let place = place.with_data(&copy);
    let server = place.serve(&[]);
    assert_eq!(server.get(&path).expect(200), kept[0]);
}

#[test]
fn a_folder_that_is_served_is_no_second_process() {
    let place = Place::new();
    let server = place.serve(&[]);
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    place.badly(&place.on_data(&serve), 69, &["another process"]);
    place.badly(&place.on_data(&["store", "check"]), 69, &["another process"]);
    let address = server.address.clone();
    let elsewhere = Place::new();
    elsewhere.badly(&elsewhere.on_data(&["serve", "--listen", &address]), 69, &[&address, "--listen"]);
    assert_eq!(server.result(&server.submit("echo 1"))["state"], "finished");
}

#[test]
fn a_database_that_is_none_is_refused_at_the_start() {
    let place = Place::new();
    let server = place.serve(&[]);
    results(&server, 1);
    server.stop();
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let database = &place.data().join("crucible.db");
    let sound = std::fs::read(database).unwrap();
    std::fs::write(database, "this is no database, and long enough to be looked at as one").unwrap();
    place.badly(&place.on_data(&serve), 74, &["store check"]);
    std::fs::write(database, sound).unwrap();
    let server = place.serve(&[]);
    assert_eq!(server.get("/v1/evaluations").expect(200)["evaluations"].as_array().unwrap().len(), 1);
}

#[test]
fn what_was_written_last_and_is_torn_is_left_out_and_the_rest_is_whole() {
    let place = Place::new();
    let server = place.serve(&[]);
    let first = results(&server, 3);
    // From here on nothing is certain to be there any more.
    server.post("/v1/store/check", &json!({})).expect(200);
    let log = place.data().join("crucible.db-wal");
    let before = std::fs::read(&log).unwrap();
    results(&server, 1);
    server.kill();
    let mut torn = std::fs::read(&log).unwrap();
    // The log has its full length: what was written last is where it differs.
    assert_eq!(torn.len(), before.len());
    let end =
        torn.iter().zip(&before).rposition(|(now, before)| now != before).expect("nothing was written to the log");
    torn[end - 2000..=end].fill(0xa5);
    std::fs::write(&log, torn).unwrap();
    let server = place.serve(&[]);
    for one in &first {
        assert_eq!(server.get(&format!("/v1/evaluations/{}", one["id"].as_str().unwrap())).expect(200), *one);
    }
    let listed = server.get("/v1/evaluations").expect(200);
    for one in listed["evaluations"].as_array().unwrap() {
        assert_eq!(server.result(one["id"].as_str().unwrap())["state"], "finished");
    }
    let checked = server.post("/v1/store/check", &json!({})).expect(200);
    assert!(checked["sound"] == true, "{checked}");
    assert_eq!(server.result(&server.submit("echo 9"))["outcome"]["stdout"], "9\n");
}
