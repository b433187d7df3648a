//! «Did you mean»: the nearest known name to a mistyped one.

/// The known name nearest to `given`, if one is near enough to be meant.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: String = given.chars().take(64).flat_map(char::to_lowercase).collect();
    let allowed = (given.chars().count() / 3).max(1) + 1;
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_recognised_and_nonsense_is_not() {
        assert_eq!(nearest("pyhton", ["python", "javascript"]), Some("python"));
        assert_eq!(nearest("JAIL", ["jail", "docker"]), Some("jail"));
        assert_eq!(nearest("quaternion", ["python", "javascript"]), None);
    }
}
