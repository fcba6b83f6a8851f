//! Local time, for people: log lines, dumps, names of files.

use std::fmt;
use std::mem::MaybeUninit;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in the time zone of the process, see localtime(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// The year, all digits.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 6, Sunday is 0.
    pub weekday: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60, for leap seconds.
    pub second: u8,
    /// 0 to 999999.
    pub micros: u32,
}

impl LocalTime {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        Self::of(SystemTime::now())
    }

    /// A moment; what the C library cannot name (years beyond its range) is the epoch.
    #[must_use]
    pub fn of(moment: SystemTime) -> Self {
        let (seconds, micros) = match moment.duration_since(UNIX_EPOCH) {
            Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(0), since.subsec_micros()),
            Err(before) => (-i64::try_from(before.duration().as_secs()).unwrap_or(0), 0),
        };
        Self::from_seconds(seconds, micros)
    }

    /// Seconds and microseconds since 1970, as the kernel keeps them.
    #[must_use]
    pub fn from_seconds(seconds: i64, micros: u32) -> Self {
        let mut parts = MaybeUninit::<libc::tm>::zeroed();
        // SAFETY: localtime_r reads the seconds and fills the struct; both live as long as the call. On an
        // error it leaves the struct as it is, which is all zeros, a valid value of its plain fields.
        let parts = unsafe {
            libc::localtime_r(&raw const seconds, parts.as_mut_ptr());
            parts.assume_init()
        };
        let small = |number: libc::c_int| u8::try_from(number).unwrap_or(0);
        Self {
            year: parts.tm_year + 1900,
            month: small(parts.tm_mon + 1),
            day: small(parts.tm_mday),
            weekday: small(parts.tm_wday),
            hour: small(parts.tm_hour),
            minute: small(parts.tm_min),
            second: small(parts.tm_sec),
            micros,
        }
    }

    /// `20261122T083139`, for names of files.
    #[must_use]
    pub fn compact(&self) -> String {
        let Self { year, month, day, hour, minute, second, .. } = self;
        format!("{year}{month:02}{day:02}T{hour:02}{minute:02}{second:02}")
    }

    /// `Sun Nov 22 08:31:39 2026`, as ctime(3) writes it.
    #[must_use]
    pub fn long(&self) -> String {
        let Self { year, day, hour, minute, second, .. } = self;
        format!("{} {} {day:2} {hour:02}:{minute:02}:{second:02} {year}", self.weekday_name(), self.month_name())
    }

    /// `Nov 22 08:31:39`, as syslog(3) writes it (RFC 3164, section 4.1.2).
    #[must_use]
    pub fn syslog(&self) -> String {
        let Self { day, hour, minute, second, .. } = self;
        format!("{} {day:2} {hour:02}:{minute:02}:{second:02}", self.month_name())
    }

    fn weekday_name(&self) -> &'static str {
        ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"].get(usize::from(self.weekday)).copied().unwrap_or("???")
    }

    fn month_name(&self) -> &'static str {
        const NAMES: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        NAMES.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or("???")
    }
}

/// `2026/11/22 08:31:39`; with an alternate form (`{:#}`) the microseconds follow: `.538159`.
impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, micros, .. } = self;
        write!(f, "{year}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}")?;
        if f.alternate() { write!(f, ".{micros:06}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: LocalTime =
        LocalTime { year: 2026, month: 11, day: 2, weekday: 1, hour: 8, minute: 3, second: 9, micros: 538 };

    #[test]
    fn every_form_has_its_fixed_width() {
        assert_eq!(MOMENT.to_string(), "2026/11/02 08:03:09");
        assert_eq!(format!("{MOMENT:#}"), "2026/11/02 08:03:09.000538");
        assert_eq!(MOMENT.compact(), "20261102T080309");
        assert_eq!(MOMENT.long(), "Mon Nov  2 08:03:09 2026");
        assert_eq!(MOMENT.syslog(), "Nov  2 08:03:09");
    }

    #[test]
    fn a_year_has_passed_after_a_year_of_seconds() {
        let (early, late) = (LocalTime::from_seconds(86_400 * 10, 0), LocalTime::from_seconds(86_400 * 375, 7));
        assert_eq!((early.year, early.month), (1970, 1));
        assert_eq!((late.year, late.month, late.micros), (1971, 1, 7));
        assert_eq!(early.day, late.day);
    }
}
