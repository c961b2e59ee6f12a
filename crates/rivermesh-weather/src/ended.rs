//! The items of several producers as one stream that ends.

use futures::{Stream, StreamExt, stream};
use rivermesh::{Consumer, Datum, Event, consumer::LeaveReason};

/// The items of so many producers, until each has ended its stream.
///
/// A producer that dies is waited for: it has not ended its stream. What was missed is left out here and
/// stands in the consumer's statistics. Cancelling a wait loses nothing. Memory: that of the consumer.
pub fn until_ended<T: Datum>(consumer: Consumer<T>, producers: usize) -> impl Stream<Item = T> {
    stream::unfold(
        (consumer.events(), producers),
        |(mut events, mut left)| async move {
            while left > 0 {
                match events.next().await? {
                    Event::Item(delivery) => return Some((delivery.item, (events, left))),
                    Event::Left {
                        reason: LeaveReason::Ended,
                        ..
                    } => left -= 1,
                    _ => {}
                }
            }
            None
        },
    )
}
