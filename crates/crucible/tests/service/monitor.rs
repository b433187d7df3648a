//! How the service fares, over time.

use crate::place::{Place, until};
use serde_json::json;

#[test]
fn statistics_tell_an_administrator_of_everybody_and_others_of_their_own() {
    let place = Place::new();
    let key = |name: &str, role: &str, project: &str| {
        let made = place.well(&place.on_data(&["keys", "create", name, "--role", role, "--project", project]));
        made.trim().to_owned()
    };
    let (admin, red, blue) =
        (key("admin", "admin", "ops"), key("red", "submitter", "red"), key("blue", "viewer", "blue"));
    let mut server = place.serve(&["--auth", "keys"]);
    server.key = Some(red);
    let id = server.submit("exit 3");
    server.result(&id);
    let of_red = until("it is counted", || {
        let told = server.get("/v1/statistics?minutes=10").expect(200);
        (told["totals"]["finished"] == json!({"exited": 1})).then_some(told)
    });
    assert_eq!((&of_red["totals"]["submitted"], &of_red["totals"]["failed"]), (&json!(1), &json!(0)));
    assert_eq!((&of_red["bucket_seconds"], of_red["buckets"].as_array().unwrap().len()), (&json!(10), 60));
    for times in ["latency_ms", "run_ms"] {
        assert!(of_red["totals"][times]["p50"].as_f64() > Some(0.0), "{of_red}");
    }
    let last = of_red["buckets"].as_array().unwrap().iter().rev().find(|bucket| bucket["queued"].is_u64()).unwrap();
    assert_eq!((&last["queued"], &last["sandboxes"], &last["oldest_age_s"]), (&json!(0), &json!(null), &json!(null)));
    server.key = Some(blue);
    let of_blue = server.get("/v1/statistics").expect(200);
    assert_eq!((&of_blue["totals"]["submitted"], &of_blue["totals"]["latency_ms"]), (&json!(0), &json!(null)));
    server.get("/v1/statistics?minutes=0").expect_problem(400, &["minutes"]);
    server.get("/v1/statistics?minutes=1441").expect_problem(400, &["minutes"]);
    server.key = Some(admin);
    let of_all = server.get("/v1/statistics").expect(200);
    assert_eq!((&of_all["totals"]["submitted"], &of_all["bucket_seconds"]), (&json!(1), &json!(30)));
    let buckets = of_all["buckets"].as_array().unwrap();
    assert!(buckets.len() == 120 && buckets.iter().any(|bucket| bucket["sandboxes"] == 0), "{of_all}");
}

#[test]
fn parts_tell_what_their_latest_tests_came_to() {
    let place = Place::new();
    let server = place.serve(&[]);
    let plain = server.get("/v1/components").expect(200);
    assert_eq!(plain["components"][0]["history"], json!(null));
    let told = server.get("/v1/components?history=true").expect(200);
    for component in told["components"].as_array().unwrap() {
        let past = &component["history"][0];
        assert_eq!((&past["at"], &past["passed"]), (&component["tested_at"], &component["passed"]), "{component}");
        assert_eq!((&past["total"], past["failed"].is_array()), (&component["total"], true), "{component}");
    }
    server.get("/v1/components?history=maybe").expect_problem(400, &[]);
}
