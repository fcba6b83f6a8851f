//! Any bytes as binary data and as every other kind of value: no panic.
#![no_main]

use ferrule::spec::{dalan, values};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    if let Ok(bytes) = dalan::read(text) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(dalan::read(format!("x{hex}").as_bytes()), Ok(bytes));
    }
    let _ = values::split_command(text).is_ok();
    let _ = values::port(text).is_ok();
    for row in ferrule::option::rows() {
        let _ = values::read(row.value, Some(text)).is_ok();
    }
});
