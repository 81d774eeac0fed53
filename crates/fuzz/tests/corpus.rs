//! Goal: what a fuzzer has ever found interesting stays right.
//! Method: every file of `fuzz/corpus` through its target.

use std::{fs, path::Path};

use fullduplex_fuzz::TARGETS;

/// Everybody who clones the repository has it all.
const MOST: u64 = 1 << 20;

#[test]
fn every_input_that_is_kept_passes_and_all_are_small() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut folders: Vec<_> = fs::read_dir(&corpus)
        .unwrap()
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, TARGETS.map(|(name, _)| name));

    let mut size = 0;
    for (name, target) in TARGETS {
        let files: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().collect();
        assert!(files.len() > 4, "{name} has {} inputs", files.len());
        for file in files {
            let path = file.unwrap().path();
            let data = fs::read(&path).unwrap();
            size += data.len() as u64;
            // Shown when it fails.
            println!("{}", path.display());
            target(&data);
        }
    }
    assert!(size < MOST, "the corpus has {size} bytes");
}
