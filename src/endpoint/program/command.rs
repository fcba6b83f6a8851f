//! From the text of an address to a program and its arguments.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::option::ProgramSettings;

/// What SYSTEM runs its command with; system(3).
const SYSTEM_SHELL: &str = "/bin/sh";

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Looked for in PATH, unless it contains a slash.
    pub program: OsString,
    /// What the program is told it was called: argv\[0\].
    pub name: OsString,
    /// The further arguments.
    pub arguments: Vec<OsString>,
    /// Variables it is given beside the inherited ones.
    pub environment: Vec<(String, OsString)>,
}

impl CommandLine {
    /// EXEC: the text is split at spaces.
    pub fn exec(text: &[u8], settings: &ProgramSettings) -> Result<Self> {
        let mut words = split(text)?.into_iter();
        let Some(program) = words.next().filter(|program| !program.is_empty()) else {
            return Err(Error::text("no program is named").hint("EXEC:<command-line>, for example EXEC:cat"));
        };
        Self::new(program, words.collect(), settings)
    }

    /// SYSTEM: the text is for /bin/sh.
    pub fn system(text: &[u8], settings: &ProgramSettings) -> Result<Self> {
        let arguments = vec!["-c".into(), OsStr::from_bytes(text).to_owned()];
        Self::new(SYSTEM_SHELL.into(), arguments, settings)
    }

    /// SHELL: the text is for the user's shell; without a text the shell is interactive.
    pub fn shell(text: Option<&[u8]>, settings: &ProgramSettings) -> Result<Self> {
        let shell = match &settings.shell {
            Some(shell) => shell.clone(),
            None => std::env::var_os("SHELL").map(PathBuf::from).ok_or_else(|| {
                Error::text("SHELL is not set in the environment").hint("name the shell: shell=/bin/sh")
            })?,
        };
        if !shell.as_os_str().as_bytes().contains(&b'/') {
            let text = format!("the shell \"{}\" has no \"/\"", shell.display());
            return Err(Error::text(text).hint("give its path: shell=/bin/sh"));
        }
        let arguments = match text {
            Some(text) => vec!["-c".into(), OsStr::from_bytes(text).to_owned()],
            None => Vec::new(),
        };
        let mut line = Self::new(shell.clone().into_os_string(), arguments, settings)?;
        line.environment.push(("SHELL".to_owned(), shell.into_os_string()));
        Ok(line)
    }

    fn new(program: OsString, arguments: Vec<OsString>, settings: &ProgramSettings) -> Result<Self> {
        if arguments.iter().chain([&program]).any(|word| word.as_bytes().contains(&0)) {
            return Err(Error::text("a command cannot contain a NUL byte"));
        }
        let base = Path::new(&program).file_name().unwrap_or(&program);
        let mut name = OsString::from(if settings.login { "-" } else { "" });
        name.push(base);
        let path = settings.path.iter().map(|path| ("PATH".to_owned(), OsStr::from_bytes(path).to_owned()));
        let environment = path.collect();
        Ok(Self { program, name, arguments, environment })
    }
}

/// Splits a command line at spaces, the way the address language quotes: `\c` takes a character
/// literally or is a C escape; `'...'` and `"..."` are taken away and keep spaces; `(...)`, `[...]` and
/// `{...}` are kept, with what is in them.
fn split(text: &[u8]) -> Result<Vec<OsString>> {
    let mut splitter = Splitter { words: Vec::new(), word: None, quote: None, closers: Vec::new() };
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' {
            let escaped = bytes.next().ok_or_else(|| Error::text("the command line ends in a backslash"))?;
            splitter.push(if splitter.closers.is_empty() { unescape(escaped) } else { escaped });
        } else {
            splitter.take(byte);
        }
    }
    if let Some(quote) = splitter.quote {
        return Err(Error::text(format!("the command line ends within {0}...{0}", char::from(quote))));
    }
    splitter.words.extend(splitter.word.take());
    Ok(splitter.words.into_iter().map(OsString::from_vec).collect())
}

struct Splitter {
    words: Vec<Vec<u8>>,
    word: Option<Vec<u8>>,
    quote: Option<u8>,
    closers: Vec<u8>,
}

impl Splitter {
    fn push(&mut self, byte: u8) {
        self.word.get_or_insert_default().push(byte);
    }

    fn take(&mut self, byte: u8) {
        let bracketed = !self.closers.is_empty();
        match byte {
            _ if self.quote == Some(byte) => {
                self.quote = None;
                if bracketed {
                    self.push(byte);
                }
            }
            _ if self.quote.is_some() => self.push(byte),
            b'\'' | b'"' => {
                self.quote = Some(byte);
                self.word.get_or_insert_default();
                if bracketed {
                    self.push(byte);
                }
            }
            b' ' if !bracketed => self.words.extend(self.word.take()),
            _ => {
                match byte {
                    b'(' => self.closers.push(b')'),
                    b'[' => self.closers.push(b']'),
                    b'{' => self.closers.push(b'}'),
                    _ if self.closers.last() == Some(&byte) => drop(self.closers.pop()),
                    _ => {}
                }
                self.push(byte);
            }
        }
    }
}

/// The escapes of C that the address language knows; any other character stands for itself.
fn unescape(byte: u8) -> u8 {
    match byte {
        b'0' => 0,
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn words(text: &str) -> Vec<String> {
        split(text.as_bytes()).unwrap().into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn words_are_split_at_spaces_and_runs_of_them() {
        assert_eq!(words("  ls   -l  "), ["ls", "-l"]);
        assert_eq!(words(""), [""; 0]);
        assert_eq!(words("a\tb"), ["a\tb"]);
    }

    #[test]
    fn quotes_and_brackets_keep_spaces() {
        assert_eq!(words("sh -c 'exit 3'"), ["sh", "-c", "exit 3"]);
        assert_eq!(words("a\"b c\"d ''"), ["ab cd", ""]);
        assert_eq!(words("f (a b) [c 'd e'] {f}"), ["f", "(a b)", "[c 'd e']", "{f}"]);
        assert_eq!(words("a ) b"), ["a", ")", "b"]);
    }

    #[test]
    fn backslashes_escape_everywhere() {
        assert_eq!(words("a\\ b '\\'' \\n"), ["a b", "'", "\n"]);
        assert!(split(b"a\\").is_err());
        assert!(split(b"a 'b").unwrap_err().to_string().contains("'...'"));
    }

    #[test]
    fn the_first_argument_is_the_base_name_and_gets_a_dash_for_login() {
        let mut settings = ProgramSettings::default();
        assert_eq!(CommandLine::exec(b"/bin/cat -v", &settings).unwrap().name, "cat");
        settings.login = true;
        assert_eq!(CommandLine::exec(b"/bin/cat -v", &settings).unwrap().name, "-cat");
        assert_eq!(CommandLine::system(b"x", &settings).unwrap().name, "-sh");
        assert!(CommandLine::exec(b" ", &settings).is_err());
        assert!(CommandLine::exec(b"cat \\0", &settings).is_err());
    }

    #[test]
    fn a_shell_needs_a_slash_and_is_passed_on() {
        let bare = ProgramSettings { shell: Some("sh".into()), ..ProgramSettings::default() };
        assert!(CommandLine::shell(None, &bare).is_err());
        let full = ProgramSettings { shell: Some("/bin/sh".into()), ..ProgramSettings::default() };
        let line = CommandLine::shell(Some(b"exit"), &full).unwrap();
        assert_eq!(line.arguments, ["-c", "exit"]);
        assert_eq!(line.environment, [("SHELL".to_owned(), "/bin/sh".into())]);
        assert!(CommandLine::shell(None, &full).unwrap().arguments.is_empty());
    }
}
