//! From the text of an address to a program and its arguments.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::option::ProgramSettings;
use crate::spec::values;

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
        let mut words = values::split_command(text)?.into_iter().map(OsString::from_vec);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_command_is_split_into_words() {
        let line = CommandLine::exec(b"sh  -c 'exit 3'", &ProgramSettings::default()).unwrap();
        assert_eq!((line.program, line.arguments), ("sh".into(), vec!["-c".into(), "exit 3".into()]));
        assert!(CommandLine::exec(b"echo it's", &ProgramSettings::default()).is_err());
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
