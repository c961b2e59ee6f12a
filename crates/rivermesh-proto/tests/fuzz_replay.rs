//! Replays the fuzzer's seeds, and mutations of them, without a fuzzer.
//!
//! The mutations are drawn from a seed that depends on the target and the file alone, so a failure
//! comes again. It is printed with the input in hexadecimal: put those bytes into a new file beside
//! the seeds, and it stays fixed.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use rand::{RngExt as _, SeedableRng, rngs::StdRng};

#[path = "../../../fuzz/src/targets/mod.rs"]
#[expect(
    unreachable_pub,
    reason = "public for the fuzzer, which has its own crate"
)]
mod targets;

/// Mutations of each seed. There are fewer where every run costs signatures, so that the whole test
/// takes some seconds.
fn mutations(target: &str) -> usize {
    match target {
        "sync" => 100,
        "ticket" => 300,
        "entry" => 700,
        _ => 1500,
    }
}

/// The longest mutated input, in bytes.
const LONGEST: usize = 64 * 1024;

#[test]
fn every_seed_and_its_mutations() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    for (name, target) in targets::ALL {
        let mut files: Vec<_> = fs::read_dir(seeds.join(name))
            .unwrap_or_else(|error| panic!("no seeds for the target {name}: {error}"))
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        assert!(files.len() >= 3, "{name} has {} seeds", files.len());
        let all: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        for (file, seed) in files.iter().zip(&all) {
            check(name, *target, file, seed);
            let file_name = file.file_name().unwrap().as_encoded_bytes();
            let hash = blake3::hash(&[name.as_bytes(), b"/", file_name].concat());
            let mut rng = StdRng::from_seed(*hash.as_bytes());
            for _ in 0..mutations(name) {
                let other = &all[rng.random_range(0..all.len())];
                let input = mutate(seed, other, &mut rng);
                check(name, *target, file, &input);
            }
        }
    }
}

fn check(name: &str, target: fn(&[u8]), file: &Path, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let input = data_encoding::HEXLOWER.encode(input);
        panic!(
            "target {name} fails on a mutation of {}: {input}",
            file.display()
        );
    }
}

/// One to four changes of the kinds that break decoders: bits, bytes, lengths, cuts, repetitions,
/// and the tail of another input.
fn mutate(seed: &[u8], other: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = rng.random(),
            2 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
            3 => bytes.truncate(at),
            4 => bytes.insert(at, rng.random()),
            5 if at < bytes.len() => drop(bytes.remove(at)),
            // A length far beyond the input: as u32, or as a varint.
            6 => {
                let huge: &[u8] = if rng.random() {
                    &[0xff; 4]
                } else {
                    &[0xff, 0xff, 0xff, 0xff, 0x0f]
                };
                let end = bytes.len().min(at + rng.random_range(0..=huge.len()));
                bytes.splice(at..end, huge.iter().copied());
            }
            7 => {
                let tail = &other[other.len().min(at)..];
                bytes.truncate(at);
                bytes.extend(tail);
            }
            _ => bytes.push(rng.random()),
        }
    }
    bytes.truncate(LONGEST);
    bytes
}
