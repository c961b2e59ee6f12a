//! A consumer with a name: what it has not committed comes again, to it or to who comes in its place,
//! and what is sent while it is away waits for it.

use rivermesh::{Condition, Delivery, Event, producer::Named};
use rivermesh_examples::{Result, Room, soon};

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let shop = room.node("shop")?.spawn().await?;
    let office = room.node("office")?.spawn().await?;
    let orders = shop
        .producer::<String>()
        .stream("orders")
        // The producer keeps what is not committed, so it says how much that may be.
        .named(Named::default().names(4).bytes(16 << 20))
        // And sends even if nobody is there.
        .online_when(Condition::always())
        .build()?;

    let mut billing = billing(&office)?;
    soon("billing", orders.when(Condition::at_least(1))).await?;
    for n in 0..10 {
        orders.send(format!("order {n}")).await?;
    }
    for n in 0..6 {
        let order = next(&mut billing).await?;
        println!("billed: {}", order.item);
        // The last two were looked at, and not billed before the program ended.
        if n < 4 {
            order.commit()?;
        }
    }
    soon("the commits", async {
        while orders.named()[0].committed < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    drop(billing);
    soon("billing to go", orders.when(Condition::at_least(1).not())).await?;

    for n in 10..15 {
        orders.send(format!("order {n}")).await?;
    }
    for name in orders.named() {
        println!("{} is {} orders behind", name.name, name.items);
    }

    let mut billing = self::billing(&office)?;
    for n in 4..15 {
        let order = next(&mut billing).await?;
        let again = if order.redelivered { ", again" } else { "" };
        println!("billed: {}{again}", order.item);
        assert_eq!((order.seq, order.redelivered), (n, n < 10));
        order.commit()?;
    }
    Ok(())
}

fn billing(office: &rivermesh::Node) -> Result<rivermesh::Consumer<String>> {
    let consumer = office.consumer().stream("orders").durable_name("billing");
    Ok(consumer.build()?)
}

async fn next(consumer: &mut rivermesh::Consumer<String>) -> Result<Delivery<String>> {
    loop {
        if let Some(Event::Item(order)) = soon("an order", consumer.next_event()).await? {
            return Ok(order);
        }
    }
}
