//! The page as a browser would read it: whatever the results say, its tags are ours and nothing in it loads or runs.

use super::*;
use crate::report::sample;
use crate::report::text::visible;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Every tag, comment and declaration, as it stands.
fn tags(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let tag = &rest[start..];
        let end = tag.find('>').map_or(tag.len(), |end| end + 1);
        found.push(&tag[..end]);
        rest = &tag[end..];
    }
    found
}

/// What stands between these two.
fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
    let start = page.find(before).unwrap() + before.len();
    &page[start..start + page[start..].find(after).unwrap()]
}

#[test]
fn a_page_has_the_node_the_matrix_the_details_and_the_legend() {
    let page = html(&sample::two(), &sample::context()).unwrap();
    let expected = [
        "<title>Crucible isolation report: BREACHED on 6.18.44</title>",
        r#"<p class="overall"><span class="verdict breached"><span aria-hidden="true">✗</span> BREACHED</span> <span>2 of 9 verdicts are breaches.</span></p>"#,
        "<dt>Run by</dt><dd>root</dd>",
        "<dt>Policy</dt><dd>standard</dd>",
        "<code>sha256:9f86d081884c7d65</code>",
        r#"<time datetime="2026-05-28T20:26:40.500Z">2026-05-28T20:26:40.500Z</time>"#,
        r#"<span class="verdict breached"><span aria-hidden="true">✗</span> 2 breached</span>"#,
        r#"<tr><th scope="col">Property</th><th scope="col">jail</th><th scope="col">subprocess</th></tr>"#,
        r#"<th scope="rowgroup" class="group" colspan="3">filesystem (2)</th>"#,
        concat!(
            r#"<tr><th scope="row"><span class="id">filesystem.<wbr>host_<wbr>path<wbr></span></th>"#,
            r##"<td><a href="#p0-0" class="verdict held"><span aria-hidden="true">✓</span> held</a></td>"##,
            r##"<td><a href="#p0-0" class="verdict breached"><span aria-hidden="true">✗</span> BREACHED</a></td></tr>"##
        ),
        r##"<td><a href="#p3-0" class="verdict none"><span aria-hidden="true"></span> not run</a></td>"##,
        r#"<details id="p0-0" open>"#,
        r#"<details id="p0-1">"#,
        concat!(
            "<dt>Control arm</dt><dd><strong>reached</strong> in 14.0 ms, without mount_namespace, private_root: ",
            "the canary was opened once</dd>"
        ),
        " Guards against: CWE-22, CVE-2019-5736.</span>",
        "The control arm is the same probe in a sandbox with the named layers left off",
    ];
    for text in expected {
        assert!(page.contains(text), "not in the page: {text}\n{page}");
    }
    assert!(!page.contains(r#"id="layers""#), "no layer was left off");
}

#[test]
fn what_leaving_layers_off_showed_has_a_section() {
    let page = html(&[sample::ablated()], &sample::context()).unwrap();
    let section = between(&page, r#"<h2 id="layers">"#, "<h2");
    assert!(section.contains("2 of 3 rest on one layer."), "{section}");
    assert!(
        section.contains("<td>none</td><td><strong>network_namespace, seccomp</strong></td><td>none</td>"),
        "{section}"
    );
    assert!(section.contains("<td>mount_namespace, private_root, landlock</td><td>none</td><td>user_namespace</td>"));
}

#[test]
fn a_page_about_nothing_says_that_it_proves_nothing() {
    let page = html(&[], &sample::context()).unwrap();
    assert!(page.contains("No backend was attacked, which proves nothing."));
    let page = html(&[sample::suite("jail", Vec::new())], &sample::context()).unwrap();
    assert!(page.contains(r#"<p class="overall"><span class="verdict inconclusive">"#), "{page}");
    assert!(page.contains("No property was tested, which proves nothing."));
}

#[test]
fn the_policy_of_the_page_allows_its_own_style_sheet_and_nothing_else() {
    let page = html(&sample::hostile(), &sample::hostile_context()).unwrap();
    let style = between(&page, "<style>", "</style>");
    let policy = between(&page, r#"<meta http-equiv="Content-Security-Policy" content=""#, "\"");
    let hash = STANDARD.encode(Sha256::digest(style));
    let expected = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
    assert_eq!(policy.replace("&#39;", "'"), expected);
    assert!(page.find("Content-Security-Policy").unwrap() < page.find("<style>").unwrap());
    for loading in ["url(", "@import", "http:", "https:", "//", "<"] {
        assert!(!style.contains(loading), "{loading} in the style sheet");
    }
}

#[test]
fn no_tag_loads_or_runs_anything() {
    let page = html(&sample::hostile(), &sample::hostile_context()).unwrap();
    let known = [
        "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "p", "span", "dl",
        "div", "dt", "dd", "main", "table", "caption", "thead", "tbody", "tr", "th", "td", "time", "code", "strong",
        "a", "details", "summary", "section", "footer", "ul", "li", "wbr",
    ];
    for tag in tags(&page) {
        let name: &str = tag.trim_start_matches(['<', '/']).split([' ', '>']).next().unwrap();
        assert!(known.contains(&name), "{tag}");
        for attribute in [" src=", " style=", " on", " href=\"h", " action="] {
            assert!(!tag.contains(attribute), "{tag}");
        }
    }
}

#[test]
fn a_hostile_text_is_shown_as_it_is() {
    let page = html(&sample::hostile(), &sample::hostile_context()).unwrap();
    let page = page.replace("<wbr>", "");
    let unescaped = ["&#60;<", "&#62;>", "&#34;\"", "&#39;'", "&#38;&"]
        .iter()
        .fold(page.clone(), |page, pair| page.replace(&pair[..5], &pair[5..]));
    for text in sample::HOSTILE {
        assert!(unescaped.contains(&visible(text)), "{text:?}");
    }
    assert!(page.contains("&#60;script&#62;alert(1)&#60;/script&#62;"));
    assert!(!page.chars().any(|character| character.is_control() && character != '\n'));
}

/// The colours of one scheme, by their names.
fn colours(block: &str) -> BTreeMap<&str, [f64; 3]> {
    let part = |hex: &str| {
        let part = f64::from(u8::from_str_radix(hex, 16).unwrap()) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let pairs = block.split("--").skip(1).filter_map(|declaration| {
        let (name, value) = declaration.split_once(": #")?;
        Some((name, [part(&value[..2]), part(&value[2..4]), part(&value[4..6])]))
    });
    pairs.collect()
}

#[test]
fn every_text_stands_out_from_what_is_behind_it() {
    let luminance = |[red, green, blue]: [f64; 3]| 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    let light = colours(between(CSS, ":root {", "}"));
    let mut dark = light.clone();
    dark.extend(colours(between(CSS, "(prefers-color-scheme: dark) {", "}")));
    let mut print = light.clone();
    print.extend(colours(between(CSS, "@media print {", "}")));
    assert!(light.len() >= 13 && dark != light && print != light);
    let pairs = [
        ("text", "page"),
        ("text", "card"),
        ("soft", "page"),
        ("soft", "card"),
        ("link", "page"),
        ("held", "held-back"),
        ("breached", "breached-back"),
        ("inconclusive", "inconclusive-back"),
        ("none", "page"),
    ];
    for (scheme, colours) in [("light", light), ("dark", dark), ("print", print)] {
        for (text, back) in pairs {
            let (one, other) = (luminance(colours[text]), luminance(colours[back]));
            let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
            // WCAG 2.2, level AA, for text of any size.
            assert!(contrast >= 4.5, "{scheme}: {text} on {back} has {contrast:.2}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_adds_or_changes_a_tag(suites in sample::any_suites()) {
        let context = sample::hostile_context();
        let page = html(&suites, &context).unwrap();
        let (harmless, harmless_context) = sample::harmless(&suites, &context);
        let expected = html(&harmless, &harmless_context).unwrap();
        // An id may be broken over lines after its signs, which harmless ids don't have.
        let without_breaks = |page| tags(page).into_iter().filter(|tag| *tag != "<wbr>").collect::<Vec<_>>();
        prop_assert_eq!(without_breaks(&page), without_breaks(&expected));
    }
}
