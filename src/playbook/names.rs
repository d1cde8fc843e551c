//! Where expressions and templates find the values of names.

use super::Value;

/// Looks names up. Paths are as written: `["steps", "check_lsn", "divergence"]`.
pub trait Names {
    /// The value at this path; `None` when nothing of this name exists (an error), `Null` when it exists without value.
    ///
    /// Implementations answer for *every* prefix too: `["params"]` gives the map of all parameters.
    fn lookup(&self, path: &[&str]) -> Option<Value>;
}

impl Names for Value {
    fn lookup(&self, path: &[&str]) -> Option<Value> {
        let mut here = self;
        for part in path {
            match here {
                Self::Map(map) => here = map.get(*part)?,
                _ => return None,
            }
        }
        Some(here.clone())
    }
}

/// The value at the longest prefix of `path` that is known, and the length of that prefix.
pub(super) fn lookup_longest(names: &dyn Names, path: &[String]) -> Option<(usize, Value)> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    (1..=parts.len())
        .rev()
        .find_map(|length| Some((length, names.lookup(&parts[..length])?)))
}

/// The candidate that `name` was probably meant to be: at most two edits away (one, when the name is short).
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = if name.chars().count() <= 4 { 1 } else { 2 };
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = ["check_lsn", "create_slot", "stop"];
        assert_eq!(nearest("chek_lsn", names), Some("check_lsn"));
        assert_eq!(nearest("crate_slto", names), Some("create_slot"));
        assert_eq!(nearest("sotp", names), Some("stop"));
        assert_eq!(nearest("promote", names), None);
        assert_eq!(
            nearest("stop", names),
            None,
            "the name itself is no suggestion"
        );
    }
}
