//! Events as they come: complete, in order, from where one left off, to the last.

use crate::place::{Place, shared};
use crate::wire::Told;
use serde_json::json;

fn kinds(events: &[Told]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

#[test]
fn an_evaluations_events_are_numbered_in_order_and_end_with_the_last() {
    let shared = shared();
    let server = &shared.server;
    let id = server.submit("for i in 1 2 3; do echo $i; sleep 0.1; done; printf '\\377' >&2");
    let path = format!("/v1/evaluations/{id}/events");
    let events: Vec<Told> = server.follow(&path, &[]).collect();
    for (event, number) in events.iter().zip(1_u64..) {
        assert_eq!((event.id, &event.data["number"], &event.data["evaluation"]), (number, &json!(number), &json!(id)));
        assert_eq!(event.data["kind"], event.kind, "{event:?}");
    }
    let seen = kinds(&events);
    assert_eq!((seen[0], *seen.last().unwrap()), ("submitted", "finished"), "{seen:?}");
    for kind in ["started", "backend_chosen", "sandbox_created", "command_started", "command_ended"] {
        assert_eq!(seen.iter().filter(|seen| **seen == kind).count(), 1, "{kind}: {seen:?}");
    }
    let globals: Vec<_> = events.iter().map(|event| event.data["global"].as_u64().unwrap()).collect();
    assert!(globals.is_sorted_by(|one, next| one < next), "{globals:?}");
    let output = |stream: &str, part: &str| -> String {
        let of =
            events.iter().filter(|event| event.kind == "output_produced" && event.data["data"]["stream"] == stream);
        of.filter_map(|event| event.data["data"][part].as_str()).collect()
    };
    assert_eq!((output("stdout", "text").as_str(), output("stderr", "base64").as_str()), ("1\n2\n3\n", "/w=="));
    // The same once more, from the store, and what comes after each place in it.
    assert_eq!(server.follow(&path, &[]).collect::<Vec<_>>(), events);
    for known in [1, events.len() / 2, events.len() - 1] {
        let number = known.to_string();
        let rest: Vec<Told> = server.follow(&path, &[("last-event-id", &number)]).collect();
        assert_eq!(rest, events[known..]);
        let rest: Vec<Told> = server.follow(&format!("{path}?after={number}"), &[]).collect();
        assert_eq!(rest, events[known..]);
    }
}

#[test]
fn whoever_knows_the_last_event_already_is_not_kept_waiting() {
    let shared = shared();
    let server = &shared.server;
    let id = server.submit("echo 1");
    server.result(&id);
    let path = format!("/v1/evaluations/{id}/events");
    let last = server.follow(&path, &[]).last().unwrap().id;
    for known in [last, last + 1, u64::try_from(i64::MAX).unwrap()] {
        assert_eq!(server.follow(&path, &[("last-event-id", &known.to_string())]).count(), 0);
    }
    let beyond = [("last-event-id", "18446744073709551615")];
    server.ask("GET", &path, &beyond, b"").expect_problem(400, &["Last-Event-ID"]);
    server.get(&format!("{path}?after=18446744073709551615")).expect_problem(400, &["after"]);
}

#[test]
fn the_firehose_tells_what_was_asked_for_from_where_one_left_off() {
    let place = Place::new();
    let server = place.serve(&[]);
    let first = server.submit("echo 1");
    server.result(&first);
    let live = server.follow("/v1/events?kind=submitted,finished", &[]);
    let second = server.submit("echo 2");
    let heard: Vec<Told> = live.take(2).collect();
    assert_eq!(kinds(&heard), ["submitted", "finished"]);
    assert!(heard.iter().all(|event| event.data["evaluation"] == second && event.data["global"] == event.id));
    let all: Vec<Told> = server.follow("/v1/events?kind=submitted,finished&after=0", &[]).take(4).collect();
    assert_eq!(kinds(&all), ["submitted", "finished", "submitted", "finished"]);
    assert_eq!(all[2..], heard);
    let known = all[1].id.to_string();
    let resumed: Vec<Told> =
        server.follow("/v1/events?kind=submitted,finished&after=0", &[("last-event-id", &known)]).take(2).collect();
    assert_eq!(resumed, heard);
    let of_one: Vec<Told> = server.follow(&format!("/v1/events?after=0&evaluation={first}"), &[]).take(3).collect();
    assert!(of_one.iter().all(|event| event.data["evaluation"] == first), "{of_one:?}");
    server.get("/v1/events?evaluation=x").expect_problem(404, &[]);
}

#[test]
fn a_web_socket_tells_the_same_and_is_closed_after_the_last() {
    let shared = shared();
    let server = &shared.server;
    let id = server.submit("echo over the socket");
    let path = format!("/v1/evaluations/{id}/events");
    let headers =
        [("upgrade", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")];
    // Without `connection: upgrade` it is none.
    server.ask("GET", &path, &headers, b"").expect_problem(400, &[]);
    let mut socket = server.open_socket(&path, &headers);
    assert_eq!((socket.status, socket.header("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    let mut told = Vec::new();
    let closing = loop {
        match socket.message() {
            (1, text) => told.push(serde_json::from_slice::<serde_json::Value>(&text).unwrap()),
            (9, _) => {}
            (opcode, _) => break opcode,
        }
    };
    socket.say(8);
    assert_eq!(closing, 8);
    let events: Vec<_> = server.follow(&path, &[]).map(|event| event.data).collect();
    assert_eq!(told, events);
}

#[test]
fn a_program_that_writes_a_lot_is_followed_to_the_last_byte() {
    let shared = shared();
    let server = &shared.server;
    let code = "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done";
    let id = server.submit(code);
    let text: String = server
        .follow(&format!("/v1/evaluations/{id}/events"), &[])
        .filter(|event| event.kind == "output_produced")
        .map(|event| event.data["data"]["text"].as_str().unwrap().to_owned())
        .collect();
    let expected: String = (0..20000).map(|number| format!("{number}\n")).collect();
    assert!(text == expected, "{} bytes of {}", text.len(), expected.len());
    assert_eq!(server.result(&id)["outcome"]["stdout"], expected);
}
