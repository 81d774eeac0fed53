//! What is to be gone.

use std::collections::HashSet;

use super::*;

/// The bytes of a word that is looked for: what an index has of it that leaves out the beginning it shares with the word before.
const LOOKED_FOR: usize = 13;

/// Which of these words, that end in z, are in a file of the folder.
fn words_in(folder: &Path, words: &[String]) -> Vec<String> {
    let files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let parts = files.iter().flat_map(|file| file.windows(LOOKED_FOR));
    let there: HashSet<_> = parts.filter(|part| part.ends_with(b"z")).collect();
    let end = |word: &str| word.as_bytes()[word.len() - LOOKED_FOR..].to_owned();
    let found = words.iter().filter(|word| there.contains(&*end(word)));
    found.cloned().collect()
}

/// Goal: what was deleted is nowhere in the folder, soon and without a restart.
/// Method: words that are looked for in the bytes of all files, of messages that fit a page and such that do not, edited or not, between others
/// that stay.
#[tokio::test]
async fn a_deleted_message_leaves_no_word_in_any_file() {
    let folder = TempDir::new().unwrap();
    let limits = Limits {
        erase: Duration::from_millis(10),
        ..Limits::default()
    };
    let (subject, log) = limited(folder.path(), limits);
    // Some have most in common with the next word, some little.
    let word = |n: usize| match n % 4 {
        0 | 1 => format!("secret{n:06}z"),
        _ => format!("{:08x}{n:06}z", n.wrapping_mul(2_654_435_761) % (1 << 32)),
    };
    let (mut gone, mut kept, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..600 {
        let words = [word(2 * n), word(2 * n + 1)];
        let rest = if n % 37 == 0 {
            "long ".repeat(2_000)
        } else {
            String::new()
        };
        let text = |word: &str| format!("some {word} text {rest}");
        let said = subject
            .append(says("u1", &n.to_string(), &text(&words[0])))
            .await
            .unwrap();
        let is_edited = n % 3 == 0;
        if is_edited {
            let what = What::Edit {
                target: said.seq,
                body: Some(text(&words[1]).into()),
            };
            subject
                .append(draft("u1", &format!("e{n}"), what))
                .await
                .unwrap();
        }
        let there = words.into_iter().take(1 + usize::from(is_edited));
        if n % 5 < 2 {
            targets.push(said.seq);
            gone.extend(there);
        } else {
            kept.extend(there);
        }
    }
    assert_eq!(words_in(folder.path(), &gone), gone);
    for target in targets {
        let cid = format!("d{target}");
        subject
            .append(draft("u1", &cid, What::Delete { target }))
            .await
            .unwrap();
    }
    until(|| wal_size(folder.path()) == 0).await;
    assert_eq!(words_in(folder.path(), &gone), <[String; 0]>::default());
    // The words of what was edited away are in the log alone.
    assert_eq!(words_in(folder.path(), &kept), kept);
    drop((subject, log));
    assert_eq!(words_in(folder.path(), &gone), <[String; 0]>::default());
    let conn = other(folder.path());
    conn.execute(
        "INSERT INTO search (search, rank) VALUES ('integrity-check', 1)",
        [],
    )
    .unwrap();
}
