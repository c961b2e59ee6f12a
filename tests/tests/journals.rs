//! Journals outlive the process that writes them, torn or not.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::fs;

use rivermesh_proto::{Epoch, NodeId, StreamName};
use rivermesh_tests::oracle::{
    ConsumerEnd, ConsumerEvent, ConsumerJournal, Key, Leave, ProducerEnd, ProducerJournal,
    ReadError, Rules, Run,
};

const COUNT: u64 = 50;

fn node() -> NodeId {
    // The base point of Ed25519, a valid public key (RFC 8032, section 5.1).
    let mut bytes = [0x66; 32];
    bytes[0] = 0x58;
    NodeId::from_bytes(&bytes).unwrap()
}

fn stream() -> StreamName {
    StreamName::new("journals").unwrap()
}

#[test]
fn a_run_is_judged_from_files() {
    let dir = tempfile::tempdir().unwrap();
    let (at_producer, at_consumer) = (dir.path().join("p"), dir.path().join("c"));
    let key = Key::from_seed(3);
    let (producer, epoch) = (node(), Epoch(u64::MAX));
    let mut p = ProducerJournal::create(&at_producer, producer, epoch, stream()).unwrap();
    let mut c = ConsumerJournal::create(&at_consumer, "c", stream()).unwrap();
    c.push(ConsumerEvent::Joined {
        producer,
        epoch,
        seq: 0,
    })
    .unwrap();
    for n in 0..COUNT {
        let seq = p.attempt().unwrap();
        assert_eq!(seq, n);
        assert_eq!(p.attempt().unwrap(), n, "a refused item keeps its number");
        c.received(producer, epoch, seq, &key.payload(&p.place(seq), 100))
            .unwrap();
        p.accepted().unwrap();
    }
    let range = p.attempt_many(10).unwrap();
    p.accepted_many(10).unwrap();
    c.push(ConsumerEvent::Missed {
        producer,
        epoch,
        from: range.start,
        to: range.end,
    })
    .unwrap();
    c.push(ConsumerEvent::Committed {
        producer,
        epoch,
        below: COUNT,
    })
    .unwrap();
    c.push(ConsumerEvent::Left {
        producer,
        epoch,
        why: Leave::Ended,
    })
    .unwrap();
    p.finish().unwrap();
    c.finish(ConsumerEnd::Drained).unwrap();

    let rules = Rules {
        min_items: COUNT,
        min_faults: 0,
        ..Rules::default()
    };
    let mut run = Run::new(key);
    run.producer(ProducerJournal::read(&at_producer).unwrap());
    run.consumer(ConsumerJournal::read(&at_consumer).unwrap());
    let report = run.check(&rules).unwrap();
    assert_eq!(
        (report.accepted, report.received, report.missed),
        (COUNT + 10, COUNT, 10)
    );
    assert!(ProducerJournal::create(&at_producer, producer, epoch, stream()).is_err());
}

#[test]
fn a_journal_that_is_torn_anywhere_still_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, torn) = (dir.path().join("whole"), dir.path().join("torn"));
    let mut p = ProducerJournal::create(&whole, node(), Epoch(1), stream()).unwrap();
    for _ in 0..5 {
        p.attempt().unwrap();
        p.accepted().unwrap();
    }
    p.finish().unwrap();
    let bytes = fs::read(&whole).unwrap();
    let first = bytes.iter().position(|b| *b == b'\n').unwrap();
    let mut counts = 0;
    for length in 0..bytes.len() {
        fs::write(&torn, &bytes[..length]).unwrap();
        match ProducerJournal::read(&torn) {
            Ok(journal) => {
                assert!(length > first && journal.end().is_none());
                assert!(journal.count() >= counts, "counts only grow");
                counts = journal.count();
                assert_eq!(journal.killed().end(), Some(ProducerEnd::Killed));
            }
            Err(ReadError::Record { line: 1, .. }) => assert!(length <= first),
            Err(error) => panic!("{length} bytes: {error}"),
        }
    }
    assert_eq!(counts, 5);
    assert_eq!(
        ProducerJournal::read(&whole).unwrap().end(),
        Some(ProducerEnd::Finished)
    );
}

#[test]
fn a_consumer_that_was_killed_keeps_what_it_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    let mut c = ConsumerJournal::create(&path, "c", stream()).unwrap();
    c.received(node(), Epoch(1), 0, &[0; 32]).unwrap();
    c.flush().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"received\":{\"producer\":\"\xff");
    fs::write(&path, &bytes).unwrap();
    let read = ConsumerJournal::read(&path).unwrap();
    assert_eq!((read.events().len(), read.end()), (1, None));

    bytes.extend_from_slice(b"\n{}\n");
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(
        ConsumerJournal::read(&path),
        Err(ReadError::Line { line: 3, .. })
    ));
}

#[test]
fn a_journal_that_contradicts_itself_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    drop(ProducerJournal::create(&path, node(), Epoch(1), stream()).unwrap());
    let head = fs::read_to_string(&path).unwrap();
    for (tail, line) in [
        ("{\"attempted\":2}\n{\"accepted\":3}\n", 3),
        ("{\"attempted\":2}\n{\"attempted\":1}\n", 3),
        ("\"finished\"\n{\"attempted\":1}\n", 3),
        (head.as_str(), 2),
    ] {
        fs::write(&path, format!("{head}{tail}")).unwrap();
        match ProducerJournal::read(&path) {
            Err(ReadError::Record { line: at, .. }) => assert_eq!(at, line, "{tail}"),
            other => panic!("{tail}: {other:?}"),
        }
    }
}
