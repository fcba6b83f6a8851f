#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::capture::Capture;
use crate::capture::tests::{Folder, kept_log};

fn open(folder: &Folder, name: &str) -> Result<Capture> {
    Capture::open(&folder.settings(name, None, None), "A <-> B", &Log::silent())
}

fn names(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(&folder.0).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn names_are_counted_up_and_the_oldest_is_replaced() {
    for (files, expected) in [
        (Some(1), vec![]),
        (Some(2), vec![("x.1", "0")]),
        (Some(3), vec![("x.1", "0"), ("x.2", "1")]),
        (Some(9), vec![("x.1", "0"), ("x.2", "1"), ("x.3", "2")]),
        (None, vec![("x.1", "0"), ("x.2", "1"), ("x.3", "2")]),
    ] {
        let folder = Folder::new();
        let path = folder.0.join("x");
        let existing = files.unwrap_or(3).min(3);
        for number in 0..existing {
            let name = if number == 0 { "x".to_owned() } else { format!("x.{number}") };
            std::fs::write(folder.0.join(name), number.to_string()).unwrap();
        }
        std::fs::write(folder.0.join("x.20"), "behind a gap").unwrap();
        Place::of(&path).unwrap().shift(files).unwrap();
        let mut all: Vec<_> = expected.iter().map(|(name, _)| (*name).to_owned()).collect();
        all.push("x.20".to_owned());
        all.sort();
        assert_eq!(names(&folder), all, "{files:?}");
        for (name, content) in expected {
            assert_eq!(std::fs::read_to_string(folder.0.join(name)).unwrap(), content, "{files:?}: {name}");
        }
    }
}

#[test]
fn what_is_not_whole_is_kept_under_another_name() {
    let folder = Folder::new();
    drop(open(&folder, "x.pcapng").unwrap());
    drop(open(&folder, "x.pcapng").unwrap());
    let whole = std::fs::read(folder.0.join("x.pcapng")).unwrap();
    for cut in [1, 4, 30, whole.len() - 5] {
        let broken = &whole[..whole.len() - cut];
        std::fs::write(folder.0.join("x.pcapng"), broken).unwrap();
        let (log, lines) = kept_log();
        drop(Capture::open(&folder.settings("x.pcapng", None, None), "A <-> B", &log).unwrap());
        assert!(lines.lock().unwrap()[0].ends_with("its end is not whole; it is kept under another name"));
        assert_eq!(std::fs::read(folder.0.join("x.pcapng.1")).unwrap(), broken);
        assert_eq!(std::fs::read(folder.0.join("x.pcapng")).unwrap().len(), whole.len() / 2);
    }
}

#[test]
fn other_files_are_left_alone() {
    let folder = Folder::new();
    drop(open(&folder, "x.pcapng").unwrap());
    std::fs::rename(folder.0.join("x.pcapng"), folder.0.join("x.txt")).unwrap();
    std::fs::write(folder.0.join("x.pcapng"), "no packets\n").unwrap();
    for (name, words) in [("x.txt", "the file holds packets"), ("x.pcapng", "the file holds something else")] {
        let before = std::fs::read(folder.0.join(name)).unwrap();
        let error = open(&folder, name).unwrap_err();
        assert!(error.message().starts_with(words), "{error}");
        assert_eq!(std::fs::read(folder.0.join(name)).unwrap(), before);
    }
    std::os::unix::fs::symlink("x.txt", folder.0.join("link.hex")).unwrap();
    std::fs::write(folder.0.join("x.txt"), "text\n").unwrap();
    let error = Capture::open(&folder.settings("link.hex", Some(4096), None), "", &Log::silent()).unwrap_err();
    assert!(error.message().contains("no plain file"), "{error}");
    drop(open(&folder, "link.hex").unwrap());
    assert_eq!(names(&folder), ["link.hex", "x.pcapng", "x.txt"]);
}

#[test]
fn the_place_stays_whatever_becomes_of_the_path() {
    let folder = Folder::new();
    let (inner, moved) = (folder.0.join("inner"), folder.0.join("moved"));
    std::fs::create_dir(&inner).unwrap();
    let settings = Settings::new(Target::File(inner.join("x.txt")), None, Some(4096), None).unwrap();
    let mut output = Output::open(&settings, &Log::silent()).unwrap();
    output.write(b"first\n", &|| false).unwrap();
    std::fs::rename(&inner, &moved).unwrap();
    output.turn().unwrap();
    output.write(b"second\n", &|| false).unwrap();
    assert_eq!(std::fs::read_to_string(moved.join("x.txt.1")).unwrap(), "first\n");
    assert_eq!(std::fs::read_to_string(moved.join("x.txt")).unwrap(), "second\n");
    assert_eq!(output.length(), 7);
}
