//! What one event looks like: socat's log line, or one line of JSON.

use super::Level;
use super::json::Json;
use crate::error::printable;
use crate::sys::time::LocalTime;

/// Longest line in bytes, its end included. A line is written whole or not at all: up to `PIPE_BUF` bytes a
/// pipe that is ready takes at one time, see pipe(7).
pub const LONGEST: usize = 4096;

/// Makes the bytes of an event.
pub trait Format: Send + Sync {
    /// One line with its end.
    fn line(&self, now: LocalTime, level: Level, message: &str) -> Vec<u8>;
}

/// Socat's form: `YYYY/MM/DD HH:MM:SS[.uuuuuu] [host ]prog[pid] L text`.
#[derive(Debug, Clone)]
pub struct LineFormat {
    /// The name before the process number.
    pub program: String,
    /// The process number.
    pub pid: u32,
    /// The machine's name, where it is to be shown.
    pub host: Option<String>,
    /// Microseconds are shown.
    pub micros: bool,
}

impl LineFormat {
    /// The form for this process, without host and microseconds.
    pub fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), pid: std::process::id(), host: None, micros: false }
    }
}

impl Format for LineFormat {
    fn line(&self, now: LocalTime, level: Level, message: &str) -> Vec<u8> {
        let stamp = if self.micros { format!("{now:#}") } else { now.to_string() };
        let host = self.host.as_deref().map(|host| format!("{host} ")).unwrap_or_default();
        let Self { program, pid, .. } = self;
        let text = printable(message.as_bytes());
        whole(format!("{stamp} {host}{program}[{pid}] {} {text}", level.letter()))
    }
}

/// One object of JSON per line, for programs: `time level program pid message`.
#[derive(Debug, Clone)]
pub struct JsonFormat {
    /// The value of `program`.
    pub program: String,
    /// The value of `pid`.
    pub pid: u32,
}

impl Format for JsonFormat {
    fn line(&self, now: LocalTime, level: Level, message: &str) -> Vec<u8> {
        // A cut line of JSON cannot be read: the message is what is cut.
        let message = cut(message, LONGEST / 8);
        let object = Json::object([
            ("time", Json::text(format!("{now:#}"))),
            ("level", Json::text(level.word())),
            ("program", Json::text(&self.program)),
            ("pid", Json::Number(f64::from(self.pid))),
            ("message", Json::text(message)),
        ]);
        whole(object.to_string())
    }
}

/// Ends the line; one that is too long is cut and ends with dots.
fn whole(mut line: String) -> Vec<u8> {
    if line.len() >= LONGEST {
        let kept = cut(&line, LONGEST - 4).len();
        line.truncate(kept);
        line.push_str("...");
    }
    line.push('\n');
    line.into_bytes()
}

/// At most `most` bytes of `text`, ending where a character does.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: LocalTime =
        LocalTime { year: 2026, month: 11, day: 22, weekday: 0, hour: 8, minute: 31, second: 39, micros: 538_159 };

    fn format(host: Option<&str>, micros: bool) -> LineFormat {
        LineFormat { program: "socat".to_owned(), pid: 42, host: host.map(str::to_owned), micros }
    }

    fn text(line: Vec<u8>) -> String {
        String::from_utf8(line).unwrap_or_default()
    }

    #[test]
    fn a_line_is_what_scripts_parse() {
        let line = |host, micros, level| text(format(host, micros).line(NOW, level, "listening on AF=2 0.0.0.0:80"));
        assert_eq!(line(None, false, Level::Notice), "2026/11/22 08:31:39 socat[42] N listening on AF=2 0.0.0.0:80\n");
        assert_eq!(
            line(Some("vm"), true, Level::Error),
            "2026/11/22 08:31:39.538159 vm socat[42] E listening on AF=2 0.0.0.0:80\n"
        );
    }

    #[test]
    fn a_message_cannot_forge_a_second_line() {
        let line = text(format(None, false).line(NOW, Level::Warn, "peer\n2026/11/22 \x1b[2J E gone"));
        assert!(line.ends_with("W peer\\x0a2026/11/22 \\x1b[2J E gone\n"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = format(None, false).line(NOW, Level::Info, &"ä".repeat(LONGEST));
        assert!(line.len() <= LONGEST);
        let line = String::from_utf8(line);
        assert!(line.is_ok_and(|line| line.ends_with("ä...\n")));
    }

    #[test]
    fn json_stays_json_when_it_is_cut() {
        let json = JsonFormat { program: "ferrule".to_owned(), pid: 7 };
        let line = text(json.line(NOW, Level::Warn, "say \"no\""));
        assert_eq!(
            line,
            "{\"time\":\"2026/11/22 08:31:39.538159\",\"level\":\"warning\",\"program\":\"ferrule\",\"pid\":7,\
             \"message\":\"say \\\"no\\\"\"}\n"
        );
        let long = text(json.line(NOW, Level::Warn, &"\n".repeat(LONGEST * 2)));
        assert!(long.len() <= LONGEST && long.ends_with("\"}\n"), "{}", long.len());
    }
}
