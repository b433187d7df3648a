//! Canonical names and globs, and the wildcards of rules.
//!
//! Invariant: matching takes at most the product of both lengths, and no memory.

/// Whether a pattern of names matches: parts with dots between them, `*` within a part, `**` for one or more parts.
pub(crate) fn name_matches(pattern: &str, name: &str) -> bool {
    if !pattern.contains('*') {
        return pattern == name;
    }
    let (mut patterns, mut names) = (Some(pattern), Some(name));
    // Where to go on when a part doesn't fit: after the last `**`, one part further.
    let mut again: Option<(Option<&str>, &str)> = None;
    loop {
        let fits = match (patterns, names) {
            (None, None) => return true,
            (Some(pattern), Some(name)) => {
                let (pattern_part, pattern_rest) = split(pattern);
                let (name_part, name_rest) = split(name);
                if pattern_part == "**" {
                    again = name_rest.map(|rest| (pattern_rest, rest));
                    (patterns, names) = (pattern_rest, name_rest);
                    if patterns.is_none() {
                        return true;
                    }
                    true
                } else if wildcard_matches(pattern_part, name_part) {
                    (patterns, names) = (pattern_rest, name_rest);
                    true
                } else {
                    false
                }
            }
            _ => false,
        };
        if !fits {
            let Some((pattern_rest, name_rest)) = again else { return false };
            let (_, further) = split(name_rest);
            (patterns, names) = (pattern_rest, further);
            again = further.map(|further| (pattern_rest, further));
            if names.is_none() && patterns.is_some() {
                return false;
            }
        }
    }
}

fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('.') {
        Some((part, rest)) => (part, Some(rest)),
        None => (name, None),
    }
}

/// Whether a part with `*` in it matches.
fn wildcard_matches(pattern: &str, text: &str) -> bool {
    glob(pattern.as_bytes(), text.as_bytes(), Separator::Nothing)
}

/// Whether a glob matches a whole path: `*` within a part, `**` across parts, `?` one character.
pub(crate) fn glob_matches(pattern: &str, path: &[u8]) -> bool {
    glob(pattern.as_bytes(), path, Separator::Slash)
}

/// Whether a pattern matches a whole word: `*` anything, `?` one character.
pub(crate) fn word_matches(pattern: &str, word: &str) -> bool {
    glob(pattern.as_bytes(), word.as_bytes(), Separator::Nothing)
}

#[derive(Clone, Copy, PartialEq)]
enum Separator {
    Nothing,
    Slash,
}

/// The pattern's last `*`, how far it has eaten, and whether it may eat a separator.
#[derive(Clone, Copy)]
struct Star {
    after: usize,
    eaten: usize,
    crosses: bool,
}

fn glob(pattern: &[u8], text: &[u8], separator: Separator) -> bool {
    let (mut at, mut place) = (0, 0);
    let (mut star, mut crossing): (Option<Star>, Option<Star>) = (None, None);
    loop {
        match pattern.get(at) {
            Some(b'*') => {
                let mut after = at + 1;
                let double = pattern.get(after) == Some(&b'*');
                while pattern.get(after) == Some(&b'*') {
                    after += 1;
                }
                let crosses = double || separator == Separator::Nothing;
                let here = Star { after, eaten: place, crosses };
                star = Some(here);
                if crosses {
                    crossing = Some(here);
                }
                // `**/` is also no part at all.
                if double
                    && separator == Separator::Slash
                    && pattern.get(after) == Some(&b'/')
                    && starts_part(text, place)
                    && glob_tail_possible(&pattern[after + 1..], &text[place..])
                {
                    return true;
                }
                at = after;
                continue;
            }
            Some(b'?') if place < text.len() && !(separator == Separator::Slash && text[place] == b'/') => {
                (at, place) = (at + 1, place + 1);
                continue;
            }
            Some(&byte) if text.get(place) == Some(&byte) => {
                (at, place) = (at + 1, place + 1);
                continue;
            }
            None if place == text.len() => return true,
            _ => {}
        }
        // Let the last star eat one more, or the last one that crosses parts.
        let retry = match star {
            Some(last) if last.eaten < text.len() && (last.crosses || text[last.eaten] != b'/') => Some(last),
            _ => crossing.filter(|last| last.eaten < text.len()),
        };
        let Some(mut retry) = retry else { return false };
        retry.eaten += 1;
        (at, place) = (retry.after, retry.eaten);
        star = Some(retry);
        if retry.crosses {
            crossing = Some(retry);
        }
    }
}

fn starts_part(text: &[u8], place: usize) -> bool {
    place == 0 || text[place - 1] == b'/'
}

/// One more look without the `**/`; patterns are short and hold few of them.
fn glob_tail_possible(pattern: &[u8], text: &[u8]) -> bool {
    glob(pattern, text, Separator::Slash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_of_names_keep_to_their_parts() {
        for (pattern, name, expected) in [
            ("os.system", "os.system", true),
            ("os.system", "os.systems", false),
            ("os.*", "os.system", true),
            ("os.*", "os.path.join", false),
            ("os.*", "os", false),
            ("os.**", "os.path.join", true),
            ("os.**", "os", false),
            ("**.connect", "?.connect", true),
            ("**.connect", "socket.socket.connect", true),
            ("**.connect", "connect", false),
            ("*.connect", "socket.socket.connect", false),
            ("os.exec*", "os.execve", true),
            ("os.exec*", "os.exec", true),
            ("**.a.**.b", "x.a.a.y.b", true),
            ("**.a.**.b", "x.a.b", false),
            ("**.a.b", "a.a.a.b", true),
            ("**.a.b", "a.a.a.c", false),
            ("a.**.b.c", "a.b.b.c", true),
            ("a.**.b.c", "a.x.b.c.d.b.c", true),
            ("*", "eval", true),
        ] {
            assert_eq!(name_matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn globs_keep_to_the_parts_of_paths() {
        for (pattern, path, expected) in [
            ("/etc/passwd", "/etc/passwd", true),
            ("/proc/*/mem", "/proc/self/mem", true),
            ("/proc/*/mem", "/proc/1/task/mem", false),
            ("/proc/**/mem", "/proc/1/task/mem", true),
            ("**/.ssh/**", "/root/.ssh/id_rsa", true),
            ("**/.ssh/**", ".ssh/id_rsa", true),
            ("**/.ssh/**", "/root/.sshd/x", false),
            ("/dev/tcp/**", "/dev/tcp/192.0.2.1/80", true),
            ("*.py", "a.py", true),
            ("*.py", "a/b.py", false),
            ("**/*.p?", "a/b.py", true),
            ("a?b", "a/b", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(glob_matches(pattern, path.as_bytes()), expected, "{pattern} {path}");
        }
    }

    proptest! {
        #[test]
        fn a_name_without_wildcards_matches_itself_alone(name in "[a-z?.]{0,20}", other in "[a-z?.]{0,20}") {
            prop_assert!(name_matches(&name, &name));
            prop_assert_eq!(name_matches(&name, &other), name == other);
        }

        #[test]
        fn two_stars_match_every_name(name in "[a-z]{1,5}(\\.[a-z]{1,5}){0,6}") {
            prop_assert!(name_matches("**", &name));
            let longer = format!("x.{name}");
            prop_assert!(name_matches("**.**", &longer));
        }

        #[test]
        fn a_glob_of_stars_matches_every_path(path in "[a-z/]{0,20}") {
            prop_assert!(glob_matches("**", path.as_bytes()));
            let is_one_part = !path.contains('/');
            prop_assert_eq!(glob_matches("*", path.as_bytes()), is_one_part);
        }
    }
}
