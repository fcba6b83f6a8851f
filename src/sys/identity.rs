//! Users, groups and root directories: looked up beforehand, then taken on for good.

use std::ffi::{CString, OsString};
use std::io;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::unistd::{Gid, Group, Uid, User, setgroups, setresgid, setresuid};

use crate::option::Principal;

/// Whom a process becomes. What is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Supplementary groups.
    pub groups: Option<Vec<Gid>>,
    /// Real, effective and saved group.
    pub group: Option<Gid>,
    /// Real, effective and saved user.
    pub user: Option<Uid>,
}

impl Credentials {
    /// Takes them on, groups first, for a user without rights cannot change these; all threads of the
    /// process change. Async-signal-safe: system calls only.
    ///
    /// # Errors
    /// EPERM also where the old user could be had back.
    pub fn apply(&self) -> Result<(), Errno> {
        if let Some(groups) = &self.groups {
            setgroups(groups)?;
        }
        if let Some(group) = self.group {
            setresgid(group, group, group)?;
        }
        if let Some(user) = self.user {
            setresuid(user, user, user)?;
            if !user.is_root() && setresuid(Uid::from_raw(u32::MAX), Uid::from_raw(0), Uid::from_raw(u32::MAX)).is_ok()
            {
                return Err(Errno::EPERM);
            }
        }
        Ok(())
    }
}

/// What passwd(5) and group(5) say about a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// User, group, and all groups the user is a member of.
    pub credentials: Credentials,
    /// The home directory.
    pub home: OsString,
    /// The login shell.
    pub shell: OsString,
}

impl Account {
    /// The variables a program run by the user expects.
    pub fn environment(&self) -> Vec<(String, OsString)> {
        vec![
            ("USER".to_owned(), self.name.clone().into()),
            ("LOGNAME".to_owned(), self.name.clone().into()),
            ("HOME".to_owned(), self.home.clone()),
            ("SHELL".to_owned(), self.shell.clone()),
        ]
    }
}

/// The user's number; a name is looked up.
pub fn user_id(user: &Principal) -> io::Result<Uid> {
    match user {
        Principal::Id(number) => Ok(Uid::from_raw(*number)),
        Principal::Name(name) => match User::from_name(name)? {
            Some(user) => Ok(user.uid),
            None => Err(unknown("user", name)),
        },
    }
}

/// The group's number; a name is looked up.
pub fn group_id(group: &Principal) -> io::Result<Gid> {
    match group {
        Principal::Id(number) => Ok(Gid::from_raw(*number)),
        Principal::Name(name) => match Group::from_name(name)? {
            Some(group) => Ok(group.gid),
            None => Err(unknown("group", name)),
        },
    }
}

/// The account of a user. The name's number is the system's; everything else is read below `root`,
/// where one is given: that is how a program that looks it up after chroot(2) sees it.
pub fn account(user: &Principal, root: Option<&Path>) -> io::Result<Account> {
    let number = user_id(user)?;
    if let Some(root) = root {
        return account_below(root, number);
    }
    let Some(user) = User::from_uid(number)? else { return Err(unknown("user", &number.to_string())) };
    let groups = nix::unistd::getgrouplist(&CString::new(user.name.as_str())?, user.gid)?;
    Ok(Account {
        name: user.name,
        credentials: Credentials { groups: Some(groups), group: Some(user.gid), user: Some(number) },
        home: user.dir.into_os_string(),
        shell: user.shell.into_os_string(),
    })
}

fn unknown(what: &str, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {what} \"{name}\""))
}

fn account_below(root: &Path, number: Uid) -> io::Result<Account> {
    let users = read_below(root, "etc/passwd")?;
    let wanted = number.to_string();
    let fields = lines(&users).find(|fields| fields.len() >= 7 && fields[2] == wanted.as_bytes());
    let Some(fields) = fields else {
        let text = format!("there is no user {number} in {}/etc/passwd; su-d looks before chroot", root.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    };
    let name = String::from_utf8_lossy(fields[0]).into_owned();
    let number_of =
        |field: &[u8]| std::str::from_utf8(field).ok().and_then(|text| text.parse().ok()).map(Gid::from_raw);
    let Some(group) = number_of(fields[3]) else { return Err(unknown("group", &wanted)) };
    let mut groups = vec![group];
    // A root without group(5) is a root without supplementary groups.
    let listed = read_below(root, "etc/group").unwrap_or_default();
    for fields in lines(&listed).filter(|fields| fields.len() >= 4) {
        if fields[3].split(|byte| *byte == b',').any(|member| member == name.as_bytes())
            && let Some(group) = number_of(fields[2])
            && !groups.contains(&group)
        {
            groups.push(group);
        }
    }
    Ok(Account {
        name,
        credentials: Credentials { groups: Some(groups), group: Some(group), user: Some(number) },
        home: OsString::from_vec(fields[5].to_vec()),
        shell: OsString::from_vec(fields[6].to_vec()),
    })
}

fn lines(text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    text.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b':').collect())
}

/// Reads a file the way a process would that has `root` as its root: links cannot lead out of it.
fn read_below(root: &Path, path: &str) -> io::Result<Vec<u8>> {
    let directory = std::fs::File::open(root)?;
    let how = OpenHow::new().flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let mut content = Vec::new();
    std::fs::File::from(openat2(&directory, path, how)?).read_to_end(&mut content)?;
    Ok(content)
}

/// chroot(2) of the whole process, with a working directory inside.
pub fn change_root(path: &Path) -> io::Result<()> {
    nix::unistd::chroot(path)?;
    Ok(super::process::enter_root()?)
}

/// Opens the network namespace that ip-netns(8) knows by `name`.
pub fn open_namespace(name: &str) -> io::Result<std::os::fd::OwnedFd> {
    if name.is_empty() || name.contains('/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("\"{name}\" is not the name of a namespace")));
    }
    Ok(std::fs::File::open(Path::new("/run/netns").join(name))?.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_name_and_its_number_are_the_same_account() {
        let by_name = account(&Principal::Name("root".to_owned()), None).unwrap();
        let by_number = account(&Principal::Id(0), None).unwrap();
        assert_eq!(by_name, by_number);
        assert_eq!(by_name.credentials.user, Some(Uid::from_raw(0)));
        assert!(by_name.environment().contains(&("USER".to_owned(), "root".into())));
    }

    #[test]
    fn an_unknown_name_is_named_in_the_error() {
        let error = account(&Principal::Name("no-such-user".to_owned()), None).unwrap_err();
        assert!(error.to_string().contains("no-such-user"), "{error}");
        assert!(group_id(&Principal::Name("no-such-group".to_owned())).is_err());
    }

    #[test]
    fn below_a_root_its_own_files_count() {
        let root = std::env::temp_dir().join(format!("root-{}", std::process::id()));
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/passwd"), "x\nguest:x:0:42:Guest:/home/guest:/bin/rsh\n").unwrap();
        std::fs::write(root.join("etc/group"), "games:x:60:other,guest\nguests:x:42:\nmore:x:61:guestling\n").unwrap();
        let found = account(&Principal::Id(0), Some(&root));
        let missing = account(&Principal::Id(77), Some(&root));
        std::fs::remove_dir_all(&root).unwrap();
        let found = found.unwrap();
        assert_eq!(found.name, "guest");
        assert_eq!(found.credentials.groups, Some(vec![Gid::from_raw(42), Gid::from_raw(60)]));
        assert_eq!(found.shell, "/bin/rsh");
        assert!(missing.unwrap_err().to_string().contains("su-d"));
    }

    #[test]
    fn a_namespace_is_a_name_not_a_path() {
        assert_eq!(open_namespace("../../proc/1/ns/net").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(open_namespace("no-such-namespace").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
