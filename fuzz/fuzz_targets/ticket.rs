#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rivermesh_fuzz::ticket(data));
