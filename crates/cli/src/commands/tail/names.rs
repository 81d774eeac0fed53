//! Names for files, as short as tells them apart.

use std::path::{Component, Path, PathBuf};

/// The most characters that the hub allows in a log's name.
const MAX_CHARS: usize = 64;

/// What standard input is called.
const STDIN_NAME: &str = "stdin";

/// A name for each file: the last part of its path, and as many folders before it as it takes for all names to be
/// different.
pub(super) fn distinct(files: &[PathBuf]) -> Vec<String> {
    let parts: Vec<Vec<String>> = files.iter().map(|file| parts(file)).collect();
    let mut depths = vec![1; files.len()];
    loop {
        let names: Vec<String> = parts
            .iter()
            .zip(&depths)
            .map(|(parts, &depth)| name(parts, depth))
            .collect();
        let mut has_grown = false;
        for (at, depth) in depths.iter_mut().enumerate() {
            if *depth < parts[at].len() && is_repeated(&names, at) {
                *depth += 1;
                has_grown = true;
            }
        }
        if !has_grown {
            return numbered(names);
        }
    }
}

fn is_repeated(names: &[String], at: usize) -> bool {
    names.iter().filter(|name| **name == names[at]).count() > 1
}

/// The parts of an absolute path that can stand in a name, the last one first.
fn parts(file: &Path) -> Vec<String> {
    if file.as_os_str() == super::STDIN {
        return vec![STDIN_NAME.to_owned()];
    }
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_string_lossy().replace(char::is_control, "_")),
        _ => None,
    });
    parts.collect()
}

/// The last `depth` parts. A hyphen stands for the slash, which would be part of the log's URL. Of what is too long the
/// end tells more.
fn name(parts: &[String], depth: usize) -> String {
    let wanted: Vec<&str> = parts.iter().take(depth).rev().map(String::as_str).collect();
    let joined = wanted.join("-");
    let trimmed = joined.trim();
    let excess = trimmed.chars().count().saturating_sub(MAX_CHARS);
    let name: String = trimmed.chars().skip(excess).collect();
    // A cut may have laid bare a blank, and of some paths nothing is left.
    match name.trim() {
        "" => "log".to_owned(),
        name => name.to_owned(),
    }
}

/// Names that folders cannot tell apart get numbers.
fn numbered(names: Vec<String>) -> Vec<String> {
    let mut taken: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        let numbers = (2..).map(|number| {
            let suffix = format!("-{number}");
            let room = MAX_CHARS - suffix.len();
            name.chars().take(room).collect::<String>() + &suffix
        });
        let free = std::iter::once(name.clone())
            .chain(numbers)
            .find(|name| !taken.contains(name));
        taken.extend(free);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[&str]) -> Vec<String> {
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        distinct(&files)
    }

    #[test]
    fn a_file_is_called_by_the_last_part_of_its_path() {
        assert_eq!(
            names(&["/var/log/app.log", "b.log", "-"]),
            ["app.log", "b.log", "stdin"]
        );
    }

    #[test]
    fn equal_names_get_as_many_folders_as_tells_them_apart() {
        assert_eq!(
            names(&["/a/app.log", "/b/app.log", "/b/x.log"]),
            ["a-app.log", "b-app.log", "x.log"]
        );
        assert_eq!(
            names(&["/x/a/app.log", "/y/a/app.log", "/y/b/app.log"]),
            ["x-a-app.log", "y-a-app.log", "b-app.log"]
        );
        assert_eq!(names(&["/app.log", "/b/app.log"]), ["app.log", "b-app.log"]);
    }

    #[test]
    fn names_stay_different_where_folders_do_not_help() {
        assert_eq!(
            names(&["/a/b-c", "/a/b/c", "/x/c"]),
            ["a-b-c", "a-b-c-2", "x-c"]
        );
        let long = format!("/{}/{}", "d".repeat(80), "f".repeat(80));
        let longer = format!("/{}/{}", "e".repeat(80), "f".repeat(80));
        let cut = names(&[&long, &longer]);
        assert_eq!(cut[0], "f".repeat(64));
        assert_eq!(cut[1], format!("{}-2", "f".repeat(62)));
    }

    #[test]
    fn what_cannot_stand_in_a_name_is_replaced() {
        assert_eq!(names(&["/a/x\ny", "/", "/ "]), ["x_y", "log", "log-2"]);
    }
}
