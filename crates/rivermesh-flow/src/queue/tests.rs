use std::{collections::VecDeque, task::Context};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Push,
    Pop,
    Skip,
    Finish,
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => Just(Op::Push),
        12 => Just(Op::Pop),
        2 => Just(Op::Skip),
        1 => Just(Op::Finish),
        1 => Just(Op::Close),
    ]
}

fn full() -> impl Strategy<Value = Full> {
    prop_oneof![
        Just(Full::SkipOldest),
        Just(Full::SkipNewest),
        Just(Full::Detach),
        Just(Full::Block)
    ]
}

/// What the model says of a push.
fn expected(
    model: &mut VecDeque<u32>,
    open: &mut bool,
    item: u32,
    cap: usize,
    full: Full,
) -> Push<u32> {
    if !*open {
        return Push::Closed(item);
    }
    if model.len() < cap {
        model.push_back(item);
        return Push::Done;
    }
    match full {
        Full::Block => Push::Full(item),
        Full::SkipNewest => Push::Skipped(item),
        Full::Detach => {
            *open = false;
            Push::Detached(item)
        }
        Full::SkipOldest => {
            model.push_back(item);
            Push::Skipped(model.pop_front().unwrap())
        }
    }
}

proptest! {
    #[test]
    fn equals_a_naive_model(
        cap in 1_usize..5,
        full in full(),
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let queue = Queue::new(cap, full);
        let mut cx = Context::from_waker(Waker::noop());
        let (mut model, mut open, mut closed) = (VecDeque::new(), true, false);
        for (item, op) in ops.into_iter().enumerate() {
            let item = item as u32;
            match op {
                Op::Push => {
                    let expected = expected(&mut model, &mut open, item, cap, full);
                    prop_assert_eq!(queue.push(item), expected);
                }
                Op::Pop => {
                    let expected = match model.pop_front() {
                        Some(item) => Poll::Ready(Some(item)),
                        None if open => Poll::Pending,
                        None => Poll::Ready(None),
                    };
                    prop_assert_eq!(queue.poll_pop(&mut cx), expected);
                }
                Op::Skip => prop_assert_eq!(queue.skip_oldest(), model.pop_front()),
                Op::Finish => {
                    queue.finish();
                    open = false;
                }
                Op::Close => {
                    prop_assert_eq!(queue.close(), std::mem::take(&mut model));
                    (open, closed) = (false, true);
                }
            }
            let counts = queue.counts();
            prop_assert_eq!(counts.queued, model.len() as u64);
            prop_assert!(counts.queued <= cap as u64);
            prop_assert_eq!(counts.taken, counts.popped + counts.skipped + counts.queued);
            prop_assert_eq!(queue.is_closed(), closed);
            prop_assert_eq!(queue.poll_room(&mut cx).is_ready(), !open || model.len() < cap);
        }
    }
}

#[tokio::test]
async fn each_side_wakes_the_other() {
    let queue = std::sync::Arc::new(Queue::new(1, Full::Block));
    let writer = std::sync::Arc::clone(&queue);
    let writing = tokio::spawn(async move {
        for item in 0..100 {
            std::future::poll_fn(|cx| writer.poll_room(cx)).await;
            assert_eq!(writer.push(item), Push::Done);
        }
        writer.finish();
    });
    let mut got = Vec::new();
    while let Some(item) = std::future::poll_fn(|cx| queue.poll_pop(cx)).await {
        got.push(item);
    }
    writing.await.unwrap();
    assert_eq!(got, (0..100).collect::<Vec<_>>());
}
