#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::*;
use crate::channel::Channel;
use crate::log::{Level, Sink};

/// A session between two addresses that are nowhere.
pub(super) fn session(number: u64) -> Session {
    Session::new(number, &side("left"), &side("right"))
}

fn side(address: &str) -> Side {
    Side::of(&Channel::default(), address, false)
}

/// A folder that goes with the test.
pub(super) struct Folder(pub PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ferrule-capture-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn settings(&self, name: &str, size: Option<u64>, files: Option<u32>) -> Settings {
        Settings::new(Target::File(self.0.join(name)), None, size, files).unwrap()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A log whose lines can be read.
pub(super) fn kept_log() -> (Log, Arc<Mutex<Vec<String>>>) {
    struct Kept(Arc<Mutex<Vec<String>>>);
    impl Sink for Kept {
        fn write(&self, _: Level, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }
    let lines = Arc::default();
    (Log::new(Level::Warn, Box::new(Kept(Arc::clone(&lines)))), lines)
}

fn error(target: Target, format: Option<&str>, size: Option<u64>, files: Option<u32>) -> String {
    Settings::new(target, format, size, files).unwrap_err().to_string()
}

fn file(name: &str) -> Target {
    Target::File(name.into())
}

#[test]
fn the_name_tells_the_format_unless_it_is_said() {
    let format = |name: &str, format: Option<&str>| Settings::new(file(name), format, None, None).unwrap().format;
    assert_eq!(format("x.txt", None), Format::Text);
    assert_eq!(format("dir.txt/x.hex", None), Format::Hex);
    assert_eq!(format("x.pcapng", None), Format::Pcapng);
    assert_eq!(format("x.txt", Some("hex")), Format::Hex);
    assert_eq!(format("x", Some("text")), Format::Text);
    assert_eq!(Settings::new(Target::Stdout, None, None, None).unwrap().format, Format::Pcapng);
    for name in ["x", "x.pcap", "x.TXT", ".txt"] {
        assert!(error(file(name), None, None, None).contains("does not say its format"), "{name}");
    }
    assert_eq!(error(file("x"), Some("pcap"), None, None), "a capture has no format \"pcap\"");
}

#[test]
fn sizes_and_numbers_have_their_bounds() {
    let rotation = |size, files| Settings::new(file("x.txt"), None, size, files).unwrap().rotation;
    assert_eq!(rotation(None, None), None);
    assert_eq!(rotation(Some(LEAST), None), Some(Rotation { size: LEAST, files: FILES }));
    assert_eq!(rotation(Some(LEAST), Some(1)), Some(Rotation { size: LEAST, files: 1 }));
    assert!(error(file("x.txt"), None, Some(LEAST - 1), None).contains("too small"));
    assert!(error(file("x.txt"), None, None, Some(3)).contains("have no size"));
    assert!(error(file("x.txt"), None, Some(LEAST), Some(0)).contains("keeps nothing"));
    assert!(error(Target::Stdout, None, Some(LEAST), None).contains("no second file"));
}

#[test]
fn sessions_are_kept_with_their_ends_and_read_by_nobody_else() {
    let folder = Folder::new();
    let (log, lines) = kept_log();
    let capture = Capture::open(&folder.settings("x.txt", None, None), "A <-> B", &log).unwrap();
    let (first, second) = (capture.session(&side("A"), &side("B")), capture.session(&side("A"), &side("B")));
    first.tap(Toward::Right).block(0, b"question\n").unwrap();
    second.tap(Toward::Left).block(0, b"\xffanswer").unwrap();
    first.tap(Toward::Right).end();
    first.ended(true, "finished".to_owned());
    drop(second);
    let third = capture.session(&side("A"), &side("B"));
    drop(capture);
    drop(third);
    let text = folder.read("x.txt");
    let rest: Vec<_> = text.lines().skip(2).map(|line| &line[27..]).collect();
    let (begins, ended) = ("* begins: A <-> B", "* ended: broken off");
    let expected = [
        &format!("1 {begins}"),
        &format!("2 {begins}"),
        "1 > question\\n",
        "2 < \\xffanswer",
        "1 * nothing more >",
        "1 * ended: finished",
        &format!("2 {ended}"),
        &format!("3 {begins}"),
        &format!("3 {ended}"),
    ];
    assert_eq!(rest, expected);
    assert!(text.starts_with("# A <-> B\n# date time session direction bytes (\\r,"));
    let mode = std::fs::metadata(folder.0.join("x.txt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(lines.lock().unwrap().is_empty());
}

#[test]
fn each_file_can_be_read_by_itself_and_none_is_too_long() {
    let folder = Folder::new();
    let settings = folder.settings("x.txt", Some(LEAST), Some(3));
    let capture = Capture::open(&settings, "A <-> B", &Log::silent()).unwrap();
    let recording = capture.session(&side("A"), &side("B"));
    let tap = recording.tap(Toward::Right);
    for number in 0..200_u64 {
        tap.block(number * 100, format!("{number:0100}").as_bytes()).unwrap();
    }
    recording.ended(true, "finished".to_owned());
    drop(capture);
    let mut names: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["x.txt", "x.txt.1", "x.txt.2"]);
    let mut numbers = Vec::new();
    for name in ["x.txt.2", "x.txt.1", "x.txt"] {
        let text = folder.read(name);
        assert!(text.len() as u64 <= LEAST, "{name}: {}", text.len());
        assert!(text.starts_with("# A <-> B\n"));
        assert!(text.lines().nth(2).unwrap().ends_with("1 * goes on: A <-> B"));
        let blocks = text.lines().filter(|line| line.get(27..).is_some_and(|rest| rest.starts_with("1 > ")));
        numbers.extend(blocks.map(|line| line[31..].parse::<u64>().unwrap()));
    }
    let first = numbers[0];
    assert!(first > 100, "older files are gone");
    assert_eq!(numbers, (first..200).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_ends_the_capture_with_one_warning() {
    let (log, lines) = kept_log();
    let settings = Settings::new(file("/dev/full"), Some("text"), None, None).unwrap();
    let capture = Capture::open(&settings, "A <-> B", &log).unwrap();
    let recording = capture.session(&side("A"), &side("B"));
    assert!(capture.queue.wait_over(Duration::from_secs(10)));
    let tap = recording.tap(Toward::Right);
    for number in 0..1000 {
        tap.block(number, b"the relay goes on").unwrap();
    }
    drop(recording);
    drop(capture);
    let lines = lines.lock().unwrap();
    let expected = "capture file \"/dev/full\": No space left on device; the capture ends here, the relay goes on";
    assert_eq!(*lines, [expected]);
}

#[test]
fn a_reader_that_does_not_read_holds_nobody_up() {
    let folder = Folder::new();
    let path = folder.0.join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let settings = Settings::new(Target::File(path.clone()), Some("pcapng"), None, None).unwrap();
    let error = Capture::open(&settings, "A <-> B", &Log::silent()).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENXIO));
    assert_eq!(error.advice(), Some("start its reader first"));
    let (log, lines) = kept_log();
    let reader = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let capture = Capture::open(&settings, "A <-> B", &log).unwrap();
    let recording = capture.session(&side("A"), &side("B"));
    let (tap, block, begun) = (recording.tap(Toward::Right), vec![7; 1 << 16], Instant::now());
    for number in 0..1000_u64 {
        tap.block(number << 16, &block).unwrap();
    }
    drop(recording);
    drop(capture);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let told = lines.lock().unwrap().concat();
    assert!(told.contains("its reader does not read; the capture ends here"), "{told}");
    drop(reader);
}

#[test]
fn two_captures_do_not_write_one_file() {
    let folder = Folder::new();
    let settings = folder.settings("x.txt", None, None);
    let capture = Capture::open(&settings, "A <-> B", &Log::silent()).unwrap();
    let error = Capture::open(&settings, "A <-> B", &Log::silent()).unwrap_err();
    assert!(error.to_string().ends_with("open: another capture writes this file"), "{error}");
    drop(capture);
    drop(Capture::open(&settings, "C <-> D", &Log::silent()).unwrap());
    let heads: Vec<_> = folder.read("x.txt").lines().filter(|line| line.contains("<->")).map(str::to_owned).collect();
    assert_eq!(heads, ["# A <-> B", "# C <-> D"], "the second run is appended to the first");
}
