//! What benchmarks wrote as JSON, read again: two compared, one as a picture, several as a page.
//!
//! Invariant: nothing is known here of any benchmark in particular. A list of numbers is what something took in each round; what
//! an object calls itself is the name of what it holds.

use super::report::quantile;
use crucible_core::{Error, ErrorKind, Result};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

/// The longest document that is read.
const MOST_BYTES: u64 = 16 << 20;
/// The most figures that are taken from one.
const MOST_FIGURES: usize = 2000;
/// How deep one is looked into.
const MOST_DEPTH: usize = 12;
/// By what an object in a list is told from the others.
const NAMES: [&str; 8] = ["kind", "name", "way", "what", "stage", "backend", "set", "language"];
/// Numbers that say how it was measured, and not what came of it.
const SETTINGS: [&str; 8] = ["rounds", "workers", "runs", "pairs", "promised", "version", "at most", "at least"];

/// One thing that was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    /// What it is of: the names on the way to it.
    of: String,
    /// What is counted, with its unit: the document's own key.
    key: String,
    /// One for each round, or one in all.
    values: Vec<f64>,
}

impl Figure {
    fn median(&self) -> f64 {
        quantile(&self.values, 0.5)
    }

    /// Between which values the median lies, with 95% confidence: those so many places beside the middle. Of few rounds, all.
    fn interval(&self) -> [f64; 2] {
        #[expect(clippy::cast_precision_loss, reason = "so many rounds aren't made")]
        let beside = 0.98 / (self.values.len().max(1) as f64).sqrt();
        [quantile(&self.values, (0.5 - beside).max(0.0)), quantile(&self.values, (0.5 + beside).min(1.0))]
    }

    fn is_of_rounds(&self) -> bool {
        self.values.len() > 1
    }
}

/// What a benchmark wrote.
#[derive(Debug)]
pub(super) struct Document {
    benchmark: String,
    machine: String,
    version: String,
    rounds: Option<u64>,
    figures: Vec<Figure>,
}

impl Document {
    /// Reads one.
    ///
    /// # Errors
    /// `NotFound` and `Io` where it can't be read, `InvalidInput` where no benchmark wrote it.
    pub(super) fn read(path: &Path) -> Result<Self> {
        use std::io::Read as _;
        let operation = "read a benchmark's result";
        let shown = path.display();
        let file = std::fs::File::open(path).map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Io,
            };
            Error::new(kind, operation, format!("{shown} can't be opened")).with_source(error)
        })?;
        let mut text = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(|error| {
            Error::new(ErrorKind::Io, operation, format!("{shown} can't be read")).with_source(error)
        })?;
        let too_long = u64::try_from(text.len()).is_ok_and(|length| length > MOST_BYTES);
        let parsed = if too_long { None } else { serde_json::from_slice(&text).ok() };
        parsed.and_then(|value| Self::of(&value)).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, operation, format!("{shown} is no result of a benchmark"))
                .with_hint("make one with `crucible bench NAME --json`")
        })
    }

    fn of(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut figures = Vec::new();
        walk(value, &mut Vec::new(), "", &mut figures);
        Some(Self {
            benchmark: text("benchmark")?,
            machine: text("machine").unwrap_or_default(),
            version: text("version").unwrap_or_default(),
            rounds: value.get("rounds").and_then(Value::as_u64),
            figures,
        })
    }

    fn find(&self, other: &Figure) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.of == other.of && figure.key == other.key)
    }
}

/// Notes every number below a value.
fn walk(value: &Value, names: &mut Vec<String>, key: &str, figures: &mut Vec<Figure>) {
    if figures.len() >= MOST_FIGURES || names.len() > MOST_DEPTH {
        return;
    }
    let mut note = |values: Vec<f64>| {
        if !values.is_empty() && !SETTINGS.contains(&key) {
            figures.push(Figure { of: names.join(", "), key: key.to_owned(), values });
        }
    };
    match value {
        Value::Number(number) => note(number.as_f64().into_iter().collect()),
        Value::Array(items) if items.iter().all(Value::is_number) => {
            note(items.iter().filter_map(Value::as_f64).collect())
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, names, key, figures)),
        Value::Object(fields) => {
            let former = names.len();
            let own = NAMES.iter().filter_map(|name| fields.get(*name)?.as_str()).map(str::to_owned);
            names.extend(own);
            let workers = fields.get("workers").and_then(Value::as_u64);
            names.extend(workers.map(|workers| format!("{workers} workers")));
            // An object in no list is called by its key.
            if names.len() == former && !key.is_empty() && former < MOST_DEPTH {
                names.push(key.to_owned());
            }
            for (key, value) in fields {
                walk(value, names, key, figures);
            }
            names.truncate(former);
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// How a number is shown: with four digits, or as it is if it has more before the point.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Two results of one benchmark, one beside the other. What changed by more than the rounds differ among themselves is marked.
///
/// # Errors
/// `InvalidInput` where they are of different benchmarks.
pub(super) fn compare(old: &Document, new: &Document) -> Result<String> {
    if old.benchmark != new.benchmark {
        let message = format!("one is of '{}' and one of '{}'", old.benchmark, new.benchmark);
        return Err(Error::new(ErrorKind::InvalidInput, "compare two results", message));
    }
    let mut text = format!("{}: {} and then {}\n", plain(&old.benchmark), of(old), of(new));
    if old.machine != new.machine {
        text.push_str("They were measured on different machines: only ratios can be compared.\n");
    }
    let width = old.figures.iter().map(|figure| title(figure).chars().count()).max().unwrap_or(0).min(70);
    let _ = writeln!(text, "\n{:<width$} {:>10} {:>10} {:>7}", "", "then", "now", "times");
    for figure in &old.figures {
        let Some(now) = new.find(figure) else {
            let _ = writeln!(text, "{:<width$} {:>10} {:>10}", title(figure), shown(figure.median()), "gone");
            continue;
        };
        let (before, after) = (figure.median(), now.median());
        let ratio = if before == 0.0 { String::new() } else { format!("{:.2}", after / before) };
        let ([low, high], [new_low, new_high]) = (figure.interval(), now.interval());
        let is_clear = figure.is_of_rounds() && now.is_of_rounds() && (new_low > high || new_high < low);
        let mark = if is_clear { "  changed" } else { "" };
        let _ = writeln!(text, "{:<width$} {:>10} {:>10} {ratio:>7}{mark}", title(figure), shown(before), shown(after));
    }
    for figure in new.figures.iter().filter(|figure| old.find(figure).is_none()) {
        let _ = writeln!(text, "{:<width$} {:>10} {:>10}", title(figure), "new", shown(figure.median()));
    }
    text.push_str("\nchanged: the intervals in which the medians lie with 95% confidence don't meet.\n");
    Ok(text)
}

fn of(document: &Document) -> String {
    let rounds = document.rounds.map_or_else(|| "some rounds".to_owned(), |rounds| format!("{rounds} rounds"));
    let version = if document.version.is_empty() { "this version" } else { document.version.as_str() };
    plain(&format!("{version} ({rounds}, {})", document.machine))
}

fn title(figure: &Figure) -> String {
    plain(&if figure.of.is_empty() { figure.key.clone() } else { format!("{}: {}", figure.of, figure.key) })
}

/// Without control characters: it may be anybody's file.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A picture of everything that was measured in rounds: bars for the medians, with lines for their intervals, grouped by what is
/// counted.
pub(super) fn picture(document: &Document) -> String {
    const ROW: u32 = 24;
    const WIDTH: u32 = 900;
    const LABEL: u32 = 330;
    const BAR: f64 = 430.0;
    let mut keys: Vec<&str> = Vec::new();
    for figure in document.figures.iter().filter(|figure| figure.is_of_rounds()) {
        if !keys.contains(&figure.key.as_str()) {
            keys.push(&figure.key);
        }
    }
    let mut body = String::new();
    let mut y = 58;
    for key in keys {
        let group: Vec<_> =
            document.figures.iter().filter(|figure| figure.is_of_rounds() && figure.key == key).collect();
        let most = group.iter().flat_map(|figure| figure.interval()).fold(0.0, f64::max);
        let scale = if most > 0.0 { BAR / most } else { 0.0 };
        let _ = writeln!(body, r#"<text class="key" x="10" y="{y}">{}</text>"#, escaped(key));
        y += 10;
        for figure in group {
            let ([low, high], median) = (figure.interval(), figure.median());
            let at = |value: f64| value.mul_add(scale, f64::from(LABEL));
            let (middle, base, of) = (y + ROW / 2, y + ROW / 2 + 4, escaped(&figure.of));
            let _ = writeln!(body, r#"<text x="{}" y="{base}" text-anchor="end">{of}</text>"#, LABEL - 8);
            let (top, width) = (middle - 6, (median * scale).max(0.5));
            let _ = writeln!(body, r#"<rect x="{LABEL}" y="{top}" width="{width:.1}" height="12"/>"#);
            let _ = writeln!(body, r#"<path d="M{:.1} {middle}H{:.1}"/>"#, at(low), at(high));
            let _ = writeln!(body, r#"<text x="{:.1}" y="{base}">{}</text>"#, at(high) + 8.0, shown(median));
            y += ROW;
        }
        y += 30;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" role=\"img\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>crucible bench {}</title>\n\
         <style>rect.page{{fill:#fff}}rect{{fill:#4878a8}}path{{stroke:#222;stroke-width:2}}text{{fill:#222}}.key{{font-weight:bold}}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{y}\"/>\n<text class=\"key\" x=\"10\" y=\"22\">crucible bench {}</text>\n\
         <text x=\"10\" y=\"38\" font-size=\"11\">{}</text>\n{body}</svg>\n",
        escaped(&document.benchmark),
        escaped(&document.benchmark),
        escaped(&of(document))
    )
}

fn escaped(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A page in Markdown, with a table for each result and a place for its picture.
pub(super) fn page(documents: &[Document]) -> String {
    let mut text = include_str!("performance.md").to_owned();
    for document in documents {
        let name = plain(&document.benchmark);
        let _ = writeln!(
            text,
            "\n## `crucible bench {name}`\n\nCrucible {}\n\n![Medians of {name}](performance/{name}.svg)\n\n| | | median | with 95% confidence |\n|---|---|---|---|",
            of(document)
        );
        for figure in &document.figures {
            let interval = match figure.interval() {
                [low, high] if figure.is_of_rounds() => format!("{} to {}", shown(low), shown(high)),
                _ => String::new(),
            };
            let cell = |text: &str| plain(text).replace('|', "\\|");
            let (of, key) = (cell(&figure.of), cell(&figure.key));
            let _ = writeln!(text, "| {of} | {key} | {} | {interval} |", shown(figure.median()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(plain: [f64; 9], jail: [f64; 9]) -> Document {
        let way = |name: &str, rounds: [f64; 9]| json!({"name": name, "latency_ms": rounds, "times_plain": 1.5});
        let value = json!({
            "benchmark": "warm", "machine": "2 cores", "version": "1", "rounds": 9, "found_ready": 1.0,
            "ways": [way("plain", plain), way("jail <&|\u{1b}>", jail)],
            "pool": {"hits": 7},
        });
        Document::of(&value).unwrap()
    }

    const NINE: [f64; 9] = [9.0, 9.1, 9.2, 9.3, 9.4, 9.5, 9.6, 9.7, 9.8];

    #[test]
    fn figures_are_named_by_what_they_are_of() {
        let found: Vec<_> = document(NINE, NINE).figures.iter().map(title).collect();
        let expected = [
            "found_ready",
            "pool: hits",
            "plain: latency_ms",
            "plain: times_plain",
            "jail <&|\u{fffd}>: latency_ms",
            "jail <&|\u{fffd}>: times_plain",
        ];
        assert_eq!(found.len(), expected.len());
        assert!(expected.iter().all(|title| found.iter().any(|found| found == title)), "{found:?}");
    }

    #[test]
    fn only_what_differs_by_more_than_the_rounds_do_has_changed() {
        let old = document(NINE, NINE);
        let new = document(NINE.map(|value| value + 0.2), NINE.map(|value| value / 2.0));
        let text = compare(&old, &new).unwrap();
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(line("jail <&|\u{fffd}>: latency_ms").ends_with("0.50  changed"), "{text}");
        assert!(line("plain: latency_ms").ends_with("1.02"), "{text}");
        let other = Document { benchmark: "cold".to_owned(), ..document(NINE, NINE) };
        assert_eq!(compare(&old, &other).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn names_are_no_part_of_the_picture_or_the_page() {
        let document = document(NINE, NINE);
        let picture = picture(&document);
        assert!(picture.contains("jail &lt;&amp;|\u{fffd}&gt;") && !picture.contains('\u{1b}'), "{picture}");
        assert_eq!(picture.matches("<rect").count(), 3, "the page's, and one for each way");
        assert!(page(&[document]).contains("| jail <&\\|\u{fffd}> | latency_ms | 9.400 | 9.100 to 9.700 |"));
    }

    proptest::proptest! {
        /// It may be anybody's file.
        #[test]
        fn no_document_makes_the_reader_panic(text in ".{0,300}", numbers in proptest::collection::vec(proptest::prelude::any::<f64>(), 0..9)) {
            let value = json!({"benchmark": text, "ways": [{"name": text, text.as_str(): numbers}], "deep": [[[[numbers]]]]});
            let document = Document::of(&value).unwrap();
            let _ = (picture(&document), page(&[Document::of(&value).unwrap()]), compare(&document, &document));
            let _ = serde_json::from_str::<Value>(&text).ok().map(|value| Document::of(&value));
        }
    }
}
