//! The program of the README: a producer and a consumer on one node.

use rivermesh::{Datum, Node};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, Datum)]
#[datum(name = "kitchen/temperature")]
struct Celsius(f32);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder("home").spawn().await?;
    let producer = node.produce::<Celsius>()?;
    let mut consumer = node.consume::<Celsius>()?; // from this node and any other of "home"
    producer.send(Celsius(20.5)).await?;
    println!("{:?}", consumer.recv().await);
    node.shutdown().await;
    Ok(())
}
