//! The access tables of the TCP wrappers: hosts.allow and hosts.deny, see `hosts_access(5)`.
//!
//! The first rule of hosts.allow that matches grants access, else the first of hosts.deny that matches
//! denies it, else access is granted. The tables are read for each client, so that changes count at once,
//! as with libwrap. Of the options of `hosts_options(5)` `allow` and `deny` are known. A rule with anything
//! else (a shell command, a netgroup, a user name) that would decide denies access and says why: what cannot
//! be carried out must not let anybody in.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::access::Network;
use crate::error::printable;
use crate::option::{Access, ResolverSettings};
use crate::sys::resolver::{self, Query};

/// Where libwrap looks for its tables.
const DIRECTORY: &str = "/etc";

/// The tables and the name to look for in them.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    daemon: String,
    allow: PathBuf,
    deny: PathBuf,
}

/// What the tables say about a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Access is granted.
    Granted,
    /// Access is denied.
    Denied,
    /// Access is denied because a rule cannot be carried out; the text says which and why.
    Broken(String),
}

impl Tables {
    /// The tables the options name; `None` where no option of the TCP wrappers is given.
    pub(super) fn plan(access: &Access, program: &str) -> Option<Self> {
        if access.tcpwrap.is_none() && access.hosts_allow.is_none() && access.hosts_deny.is_none() {
            return None;
        }
        let given = access.tcpwrap.as_deref().filter(|name| !name.is_empty());
        let table = |path: &Option<PathBuf>, name| path.clone().unwrap_or_else(|| Path::new(DIRECTORY).join(name));
        Some(Self {
            daemon: given.map_or_else(|| program.to_owned(), |name| String::from_utf8_lossy(name).into_owned()),
            allow: table(&access.hosts_allow, "hosts.allow"),
            deny: table(&access.hosts_deny, "hosts.deny"),
        })
    }

    /// Asks the tables about a client. Its name is looked up only when a rule needs it.
    pub(super) async fn verdict(&self, peer: SocketAddr) -> Verdict {
        let (allow, deny) = match (read(&self.allow), read(&self.deny)) {
            (Ok(allow), Ok(deny)) => (allow, deny),
            (Err((path, error)), _) | (_, Err((path, error))) => {
                return Verdict::Broken(format!("{}: {}", path.display(), crate::error::system_message(&error)));
            }
        };
        let mut client = Client { ip: peer.ip(), name: HostName::Unasked };
        match decide(&allow, &deny, &self.daemon, &client) {
            Err(Need::Name) => {
                client.name = host_name(peer).await;
                decide(&allow, &deny, &self.daemon, &client).unwrap_or_else(Verdict::from)
            }
            result => result.unwrap_or_else(Verdict::from),
        }
    }
}

/// A table that does not exist is an empty one.
fn read(path: &Path) -> Result<String, (PathBuf, io::Error)> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err((path.to_owned(), error)),
    }
}

/// The client, as far as it is known.
#[derive(Debug)]
struct Client {
    ip: IpAddr,
    name: HostName,
}

/// The client's host name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum HostName {
    /// Not looked up yet.
    Unasked,
    /// Its name, which leads back to its address.
    Known(String),
    /// It has none.
    Unknown,
    /// It has one that does not lead back to its address (`PARANOID`).
    Lying,
}

/// Looks up the name of an address, and whether the name leads back.
async fn host_name(peer: SocketAddr) -> HostName {
    let ask = move || {
        let Some(name) = resolver::name_of(peer) else { return HostName::Unknown };
        let query = Query {
            host: std::ffi::CString::new(name.clone()).ok(),
            service: None,
            family: libc::AF_UNSPEC,
            kind: libc::SOCK_STREAM,
            flags: 0,
        };
        let back = resolver::lookup(&query, &ResolverSettings::default()).unwrap_or_default();
        let leads_back = back.iter().any(|address| address.ip().to_canonical() == peer.ip());
        if leads_back { HostName::Known(name) } else { HostName::Lying }
    };
    tokio::task::spawn_blocking(ask).await.unwrap_or(HostName::Unknown)
}

/// Why a rule cannot be decided yet, or at all.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    /// The client's name.
    Name,
    /// Something that is not supported; the text names it.
    Support(String),
}

impl From<Need> for Verdict {
    fn from(need: Need) -> Self {
        match need {
            Need::Support(what) => Self::Broken(what),
            // The name was looked up before, whatever came of it.
            Need::Name => Self::Denied,
        }
    }
}

/// Applies both tables.
fn decide(allow: &str, deny: &str, daemon: &str, client: &Client) -> Result<Verdict, Need> {
    for (table, text, verdict) in [("hosts.allow", allow, Verdict::Granted), ("hosts.deny", deny, Verdict::Denied)] {
        for (number, line) in lines(text) {
            let fields = split_fields(&line);
            let [daemons, clients, options @ ..] = fields.as_slice() else {
                return Err(Need::Support(format!("{table} line {number}: a colon is missing")));
            };
            let matches = list_matches(daemons, &mut |pattern| Ok(daemon_matches(pattern, daemon)))?
                && list_matches(clients, &mut |pattern| client_matches(pattern, client))?;
            if matches {
                return with_options(options, verdict)
                    .map_err(|what| Need::Support(format!("{table} line {number}: {what} is not supported")));
            }
        }
    }
    Ok(Verdict::Granted)
}

/// The lines that say something, with the number of the first of those a backslash joins.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let (part, continues) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match joined.last_mut() {
            Some((_, whole)) if open => whole.push_str(part),
            _ => joined.push((index + 1, part.to_owned())),
        }
        open = continues;
    }
    joined.retain(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    joined
}

/// The fields between colons; those in brackets (IPv6) and behind a backslash do not separate.
fn split_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut depth, mut escaped) = (0_u32, false);
    for c in line.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == ':' && depth == 0 && !escaped {
            fields.push(String::new());
        } else if let Some(field) = fields.last_mut() {
            if c == ':' && escaped {
                field.pop();
            }
            field.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    fields
}

/// The options behind the client list; the last of `allow` and `deny` counts.
fn with_options(options: &[String], verdict: Verdict) -> Result<Verdict, String> {
    let mut result = verdict;
    for option in options.iter().map(|option| option.trim()).filter(|option| !option.is_empty()) {
        result = match option.to_ascii_lowercase().as_str() {
            "allow" => Verdict::Granted,
            "deny" => Verdict::Denied,
            _ => return Err(format!("\"{}\"", printable(option.as_bytes()))),
        };
    }
    Ok(result)
}

/// Whether a list matches: `a b EXCEPT c d EXCEPT e` is `(a b) EXCEPT ((c d) EXCEPT e)`.
fn list_matches(list: &str, matches: &mut dyn FnMut(&str) -> Result<bool, Need>) -> Result<bool, Need> {
    let words: Vec<&str> =
        list.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty()).collect();
    let mut parts = words.split(|word| word.eq_ignore_ascii_case("EXCEPT")).rev();
    let mut any = |part: &[&str]| -> Result<bool, Need> {
        for word in part {
            if matches(word)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let mut result = parts.next().map_or(Ok(false), &mut any)?;
    for part in parts {
        result = any(part)? && !result;
    }
    Ok(result)
}

fn daemon_matches(pattern: &str, daemon: &str) -> bool {
    pattern.eq_ignore_ascii_case("ALL") || pattern.eq_ignore_ascii_case(daemon)
}

fn client_matches(pattern: &str, client: &Client) -> Result<bool, Need> {
    let unsupported = |what: &str| Err(Need::Support(format!("{what} \"{}\"", printable(pattern.as_bytes()))));
    match pattern.to_ascii_uppercase().as_str() {
        "ALL" => return Ok(true),
        "KNOWN" => return known(client).map(|name| name.is_some()),
        "UNKNOWN" => return known(client).map(|name| name.is_none()),
        "PARANOID" => return known(client).map(|_| client.name == HostName::Lying),
        "LOCAL" => return known(client).map(|name| name.is_some_and(|name| !name.contains('.'))),
        _ => {}
    }
    match pattern.chars().next() {
        Some('@') => return unsupported("a netgroup"),
        Some('/') => return unsupported("a file of patterns"),
        Some('.') => return named(client, |name| ends_with(name, pattern)),
        _ => {}
    }
    if pattern.contains('@') {
        return unsupported("a user's name");
    }
    if let Some(network) = network(pattern) {
        return Ok(network.contains(client.ip));
    }
    if pattern.contains('/') || pattern.contains('[') {
        return unsupported("the network");
    }
    if let Some(prefix) = pattern.strip_suffix('.').filter(|prefix| prefix.bytes().all(is_dotted)) {
        return Ok(client.ip.to_string().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')));
    }
    if pattern.contains(['*', '?']) {
        let matches = glob(pattern.as_bytes(), client.ip.to_string().as_bytes());
        let numeric = pattern.bytes().all(|byte| is_dotted(byte) || matches!(byte, b'*' | b'?'));
        return if matches || numeric {
            Ok(matches)
        } else {
            let lower = pattern.to_ascii_lowercase();
            named(client, |name| glob(lower.as_bytes(), name.to_ascii_lowercase().as_bytes()))
        };
    }
    named(client, |name| name.eq_ignore_ascii_case(pattern))
}

fn is_dotted(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

/// The client's name, if it has one that can be believed.
fn known(client: &Client) -> Result<Option<&str>, Need> {
    match &client.name {
        HostName::Unasked => Err(Need::Name),
        HostName::Known(name) => Ok(Some(name)),
        HostName::Unknown | HostName::Lying => Ok(None),
    }
}

fn named(client: &Client, matches: impl Fn(&str) -> bool) -> Result<bool, Need> {
    known(client).map(|name| name.is_some_and(matches))
}

fn ends_with(name: &str, suffix: &str) -> bool {
    name.len() > suffix.len() && name.to_ascii_lowercase().ends_with(&suffix.to_ascii_lowercase())
}

/// A pattern of numbers: `n.n.n.n`, `n.n.n.n/m.m.m.m`, `n.n.n.n/bits`, `[v6]`, `[v6]/bits`.
fn network(pattern: &str) -> Option<Network> {
    let (address, mask) = match pattern.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (pattern, None),
    };
    let bare = address.strip_prefix('[').map_or(Some(address), |rest| rest.strip_suffix(']'))?;
    let address: IpAddr = bare.parse().ok()?;
    match mask {
        None => Network::new(address, if address.is_ipv4() { 32 } else { 128 }),
        Some(mask) => match mask.parse::<IpAddr>() {
            Ok(mask) => Network::with_mask(address, mask),
            Err(_) => Network::new(address, mask.parse().ok()?),
        },
    }
}

/// `*` stands for any text, `?` for one byte.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|byte| *byte == b'?' || *byte == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            p = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn client(ip: &str, name: HostName) -> Client {
        Client { ip: ip.parse().unwrap(), name }
    }

    fn with_address(allow: &str, deny: &str, ip: &str) -> Result<Verdict, Need> {
        decide(allow, deny, "socat", &client(ip, HostName::Unasked))
    }

    fn matches(pattern: &str, client: &Client) -> Result<bool, Need> {
        list_matches(pattern, &mut |pattern| client_matches(pattern, client))
    }

    #[test]
    fn allow_comes_before_deny_and_silence_grants() {
        assert_eq!(with_address("", "", "10.0.0.1"), Ok(Verdict::Granted));
        assert_eq!(with_address("", "ALL: ALL", "10.0.0.1"), Ok(Verdict::Denied));
        assert_eq!(with_address("socat: 10.0.0.1", "ALL: ALL", "10.0.0.1"), Ok(Verdict::Granted));
        assert_eq!(with_address("sshd: 10.0.0.1", "ALL: ALL", "10.0.0.1"), Ok(Verdict::Denied));
        assert_eq!(with_address("sshd, SOCAT : ALL", "ALL: ALL", "10.0.0.1"), Ok(Verdict::Granted));
    }

    #[test]
    fn comments_and_joined_lines() {
        let deny = "# ALL: ALL\n\nsocat: \\\n  10. \\\n  192.168.\nsshd: ALL\n";
        assert_eq!(with_address("", deny, "10.9.9.9"), Ok(Verdict::Denied));
        assert_eq!(with_address("", deny, "192.168.1.1"), Ok(Verdict::Denied));
        assert_eq!(with_address("", deny, "11.9.9.9"), Ok(Verdict::Granted));
    }

    #[test]
    fn numbers_need_no_names() {
        let v4 = client("131.155.72.9", HostName::Unasked);
        for pattern in ["131.155.", "131.155.72.0/255.255.254.0", "131.155.72.0/23", "131.155.72.9", "131.155.*"] {
            assert_eq!(matches(pattern, &v4), Ok(true), "{pattern}");
        }
        for pattern in ["131.15.", "13.", "131.155.74.0/255.255.254.0", "131.155.72.8", "1?.155.*"] {
            assert_eq!(matches(pattern, &v4), Ok(false), "{pattern}");
        }
        let v6 = client("3ffe:505:2:1::7", HostName::Unasked);
        assert_eq!(matches("[3ffe:505:2:1::]/64", &v6), Ok(true));
        assert_eq!(matches("[3ffe:505:2:2::]/64", &v6), Ok(false));
        assert_eq!(with_address("", "ALL: [3ffe:505:2:1::]/64", "3ffe:505:2:1::7"), Ok(Verdict::Denied));
    }

    #[test]
    fn names_are_asked_for_only_when_needed() {
        let unasked = client("10.0.0.1", HostName::Unasked);
        assert_eq!(matches("10.0.0.1 .example.org", &unasked), Ok(true));
        assert_eq!(matches(".example.org 10.0.0.1", &unasked), Err(Need::Name));
        let known = client("10.0.0.1", HostName::Known("Host.Example.org".into()));
        for pattern in [".example.org", "host.example.ORG", "host.*", "KNOWN", "ALL EXCEPT .example.com"] {
            assert_eq!(matches(pattern, &known), Ok(true), "{pattern}");
        }
        for pattern in [".example.com", "example.org", "LOCAL", "UNKNOWN", "PARANOID"] {
            assert_eq!(matches(pattern, &known), Ok(false), "{pattern}");
        }
        assert_eq!(matches("LOCAL", &client("10.0.0.1", HostName::Known("desk".into()))), Ok(true));
        assert_eq!(matches("UNKNOWN", &client("10.0.0.1", HostName::Unknown)), Ok(true));
        assert_eq!(matches("PARANOID", &client("10.0.0.1", HostName::Lying)), Ok(true));
    }

    #[test]
    fn except_nests_to_the_right() {
        let inside = |ip: &str| matches("10. EXCEPT 10.1. EXCEPT 10.1.1.1", &client(ip, HostName::Unasked));
        assert_eq!(inside("10.2.0.1"), Ok(true));
        assert_eq!(inside("10.1.0.1"), Ok(false));
        assert_eq!(inside("10.1.1.1"), Ok(true));
    }

    #[test]
    fn options_of_a_rule() {
        assert_eq!(with_address("ALL: 10. : deny", "", "10.0.0.1"), Ok(Verdict::Denied));
        assert_eq!(with_address("", "ALL: 10. : ALLOW", "10.0.0.1"), Ok(Verdict::Granted));
        let broken = with_address("ALL: 10. : spawn /bin/true", "", "10.0.0.1").unwrap_err();
        assert_eq!(broken, Need::Support("hosts.allow line 1: \"spawn /bin/true\" is not supported".into()));
        assert_eq!(with_address("ALL: 10. : spawn /bin/true", "", "11.0.0.1"), Ok(Verdict::Granted));
    }

    #[test]
    fn what_cannot_be_understood_denies() {
        for rule in ["ALL: @admins", "ALL: user@host", "ALL: /etc/patterns", "nonsense", "ALL: 10.0.0.0/99"] {
            assert!(matches!(with_address(rule, "", "10.0.0.1"), Err(Need::Support(_))), "{rule}");
        }
    }

    #[tokio::test]
    async fn missing_tables_are_empty_and_files_are_read() {
        let scratch = crate::endpoint::testing::Scratch::new("tables");
        let access = Access {
            tcpwrap: Some(Vec::new()),
            hosts_allow: Some(scratch.path("allow")),
            hosts_deny: Some(scratch.path("deny")),
            ..Access::default()
        };
        let tables = Tables::plan(&access, "socat").unwrap();
        let peer = "127.0.0.1:9".parse().unwrap();
        assert_eq!(tables.verdict(peer).await, Verdict::Granted);
        std::fs::write(scratch.path("deny"), "socat: 127.\n").unwrap();
        assert_eq!(tables.verdict(peer).await, Verdict::Denied);
        std::fs::create_dir(scratch.path("allow")).unwrap();
        assert!(matches!(tables.verdict(peer).await, Verdict::Broken(_)));
    }
}
