#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::consul_services::run(data));
