//! `ls --lag`.

use rivermesh::{Condition, Invite, Node, Rendezvous, producer::Named};
use serde_json::Value;

use crate::tool::Place;

// The test waits for lines with its thread blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ls_tells_how_far_behind_the_consumers_with_a_name_are() {
    let place = Place::new();
    let mut hub = place.start(&["node", "--json", "--bind", "127.0.0.1:0"]);
    let up: Value = serde_json::from_str(&hub.line()).unwrap();
    let peer = Node::builder(up["network"].as_str().unwrap())
        .name("shop")
        .bind("127.0.0.1:0".parse().unwrap())
        .join(up["invite"].as_str().unwrap().parse::<Invite>().unwrap())
        .rendezvous(Rendezvous::Off)
        .spawn()
        .await
        .unwrap();
    let orders = peer.producer::<String>().stream("orders");
    let orders = orders
        .online_when(Condition::always())
        .named(Named::default())
        .build()
        .unwrap();
    let nobody = place.run(&["ls", "--lag"], "").good();
    assert!(nobody.lines.is_empty(), "{nobody:?}");
    assert!(nobody.stderr.contains("no producer knows"), "{nobody:?}");

    let consumer = peer.consumer::<String>().stream("orders");
    let mut consumer = consumer.durable_name("billing").build().unwrap();
    orders.when(Condition::at_least(1)).await;
    for n in 0..10 {
        orders.send(format!("order {n}")).await.unwrap();
    }
    consumer.recv().await.unwrap();
    consumer.commit_up_to(peer.id(), 0).unwrap();
    let committed = async {
        while orders.named()[0].committed == 0 {
            tokio::task::yield_now().await;
        }
    };
    committed.await;
    let list = place
        .run(&["ls", "--lag", "--wait", "4s", "--json"], "")
        .good()
        .lines
        .join("\n");
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    assert_eq!(list.len(), 1, "{list:?}");
    let row = &list[0];
    assert_eq!(
        (&row["name"], &row["stream"]),
        (&"billing".into(), &"orders".into())
    );
    assert_eq!((&row["committed"], &row["items"]), (&1.into(), &9.into()));
    assert_eq!(
        (&row["holders"], &row["away_us"]),
        (&1.into(), &Value::Null)
    );
    let table = place.run(&["ls", "--lag", "--wait", "4s"], "").good().lines;
    assert_eq!(table.len(), 2, "{table:?}");
    assert!(
        table[0].starts_with("STREAM") && table[1].starts_with("orders"),
        "{table:?}"
    );
    peer.shutdown().await;
}
