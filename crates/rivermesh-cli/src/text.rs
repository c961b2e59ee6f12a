//! Numbers as people read them.

/// `26115` as `26,115`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds with a fitting unit: `950 µs`, `3.2 ms`, `1.50 s`.
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// `1 item`, `2 items`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(26_115), "26,115");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(micros(950), "950 µs");
        assert_eq!(micros(3_210), "3.2 ms");
        assert_eq!(micros(1_500_000), "1.50 s");
        assert_eq!(plural(1, "item"), "1 item");
        assert_eq!(plural(2_000, "item"), "2,000 items");
    }
}
