//! The page as a browser gets it.

use crate::place::{Place, Server, shared};

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

/// A page in a folder, and a service that serves it.
fn serve_a_page() -> (Place, Server) {
    let place = Place::new();
    let page = place.path("page");
    std::fs::create_dir_all(page.join("assets")).unwrap();
    std::fs::write(page.join("index.html"), "<!doctype html><title>test</title>").unwrap();
    std::fs::write(page.join("assets/a-1.js"), "1").unwrap();
    std::fs::write(page.join(".hidden"), "hidden").unwrap();
    std::fs::write(place.path("outside"), "outside").unwrap();
    place.configure(&format!("[serve]\npage = {:?}\n", page.display().to_string()), &[]);
    let server = place.serve(&[]);
    (place, server)
}

#[test]
fn every_place_of_the_page_is_the_page_and_the_interface_is_not() {
    let (_place, server) = serve_a_page();
    for path in ["/", "/evaluations/x", "/admin", "/index.html"] {
        let page = server.ask("GET", path, &[BROWSER], b"");
        assert_eq!((page.status, page.text().contains("<title>test")), (200, true), "{path}: {page:?}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
    }
    let script = server.get("/assets/a-1.js");
    assert_eq!((script.text().as_str(), script.header("content-type")), ("1", Some("text/javascript; charset=utf-8")));
    for path in ["/assets/gone.js", "/v1/nothing", "/v1", "/docs/nothing"] {
        assert_eq!(server.ask("GET", path, &[BROWSER], b"").status, 404, "{path}");
    }
    for path in ["/.hidden", "/%2e%2e/outside", "/../outside", "/assets/../../outside", "//etc/passwd", "/assets"] {
        server.get(path).expect_problem(404, &[]);
    }
    // Whoever is no browser is told that there is nothing.
    server.get("/evaluations/x").expect_problem(404, &[]);
    server.ask("POST", "/", &[], b"").expect_problem(405, &[]);
    server.ask("POST", "/evaluations/x", &[BROWSER], b"").expect_problem(404, &[]);
}

#[test]
fn the_page_loads_and_sends_nothing_but_its_own() {
    let shared = shared();
    let page = shared.server.ask("GET", "/", &[BROWSER], b"");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert!(!page.text().contains("<style") && !page.text().contains("style="), "{}", page.text());
}

#[test]
fn the_page_needs_no_key() {
    let place = Place::new();
    place.well(&place.on_data(&["keys", "create", "me", "--role", "admin"]));
    let server = place.serve(&["--auth", "keys"]);
    assert_eq!(server.ask("GET", "/", &[BROWSER], b"").status, 200);
    server.get("/v1/me").expect_problem(401, &[]);
}

#[test]
fn what_was_built_in_is_packed_kept_for_ever_and_known_again() {
    let shared = shared();
    let page = shared.server.ask("GET", "/", &[BROWSER], b"");
    let text = page.text();
    let Some(script) = text.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(".js")) else {
        let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name == "page"), "no page was built in: {text}");
        eprintln!("skipped: no page was built in");
        return;
    };
    let plain = shared.server.get(script);
    assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
    assert!(plain.header("cache-control").unwrap().contains("immutable"), "{:?}", plain.header("cache-control"));
    for (accepts, encoding) in [("gzip", "gzip"), ("br, gzip", "br")] {
        let packed = shared.server.ask("GET", script, &[("accept-encoding", accepts)], b"");
        assert_eq!((packed.status, packed.header("content-encoding")), (200, Some(encoding)));
        assert!(packed.body.len() < plain.body.len() / 2, "{} bytes of {}", packed.body.len(), plain.body.len());
    }
    let tag = page.header("etag").unwrap().to_owned();
    assert_eq!(shared.server.ask("GET", "/", &[BROWSER, ("if-none-match", &tag)], b"").status, 304);
}
