//! The CMOS clock's registers as a time (MC146818 and its successors).

/// The registers, as read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Register 0.
    pub seconds: u8,
    /// Register 2.
    pub minutes: u8,
    /// Register 4.
    pub hours: u8,
    /// Register 7, 1 to 31.
    pub day: u8,
    /// Register 8, 1 to 12.
    pub month: u8,
    /// Register 9.
    pub year: u8,
    /// The century register, where ACPI names one.
    pub century: Option<u8>,
    /// Register B: formats.
    pub status_b: u8,
}

const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
const AFTERNOON: u8 = 1 << 7;

impl Registers {
    /// Seconds since 1970-01-01 00:00 UTC, for a clock that runs in UTC; `None` if the registers are no time.
    pub fn unix_seconds(&self) -> Option<u64> {
        let number = |raw: u8| {
            if self.status_b & BINARY != 0 {
                Some(u64::from(raw))
            } else {
                (raw & 15 < 10 && raw >> 4 < 10).then(|| u64::from(raw >> 4) * 10 + u64::from(raw & 15))
            }
        };
        let hours = if self.status_b & HOURS_24 != 0 {
            number(self.hours)?
        } else {
            let afternoon = if self.hours & AFTERNOON != 0 { 12 } else { 0 };
            number(self.hours & !AFTERNOON)? % 12 + afternoon
        };
        let year = number(self.year)?;
        let century = match self.century.and_then(number) {
            Some(century @ 19..=30) => century,
            // A clock without a century that shows 70 to 99 is one of the last century.
            _ if year >= 70 => 19,
            _ => 20,
        };
        let (month, day) = (number(self.month)?, number(self.day)?);
        let (minutes, seconds) = (number(self.minutes)?, number(self.seconds)?);
        let sane = (1..=12).contains(&month) && (1..=31).contains(&day) && hours < 24 && minutes < 60;
        if !sane || seconds > 60 {
            return None;
        }
        let days = days_since_epoch(century * 100 + year, month, day)?;
        Some(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` before.
///
/// Years count from March, so that the leap day is a year's last.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    // The same sum for 1970-01-01.
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCD: Registers = Registers {
        seconds: 0x56,
        minutes: 0x34,
        hours: 0x12,
        day: 0x29,
        month: 0x02,
        year: 0x24,
        century: Some(0x20),
        status_b: HOURS_24,
    };

    #[test]
    fn formats_agree() {
        assert_eq!(BCD.unix_seconds(), Some(1_709_210_096));
        let binary = Registers {
            seconds: 56,
            minutes: 34,
            hours: 12 | AFTERNOON,
            day: 29,
            month: 2,
            year: 24,
            century: None,
            status_b: BINARY,
        };
        assert_eq!(binary.unix_seconds(), BCD.unix_seconds());
    }

    #[test]
    fn the_epoch_is_zero_and_nonsense_is_refused() {
        let epoch = Registers {
            seconds: 0,
            minutes: 0,
            hours: 0,
            day: 1,
            month: 1,
            year: 0x70,
            century: None,
            status_b: HOURS_24,
        };
        assert_eq!(epoch.unix_seconds(), Some(0));
        assert_eq!(Registers { month: 0x13, ..BCD }.unix_seconds(), None);
        assert_eq!(Registers { seconds: 0xff, ..BCD }.unix_seconds(), None);
    }
}
