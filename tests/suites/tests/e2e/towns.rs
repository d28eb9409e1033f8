//! Towns on their way from RetailCRM's address to the courier, over lists as MeaSoft keeps them.

use harness::{Collect, Placed, World, a_parcel};
use simulators::retailcrm::TriggerKind::{Send, Update};

/// An order to a town of a region of a country.
async fn sent_to(world: &World, n: usize, [country, region, city, index]: [&str; 4]) -> Placed {
    let number = format!("{n}001");
    let (builder, collect) = a_parcel(n, &number, "incity", Collect::Cash);
    let builder = builder
        .address(city, "ул. Мира, д. 3")
        .address_field("countryIso", country)
        .address_field("region", region)
        .address_field("index", index);
    let order = world.place_as(0, &number, builder, collect);
    world.fires(Send, &order).await;
    world.settled("the send is served").await;
    order
}

/// Town and region that MeaSoft was told.
fn town(world: &World, order: &Placed) -> Option<(String, String)> {
    let there = world.measoft.order(&world.orderno(order))?;
    Some((there.receiver.town.clone(), there.receiver.regioncode.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_to_the_town_of_its_address_or_to_none() {
    let world = World::embedded("towns").start().await;
    let told = |town: &str, region: &str| Some((town.to_owned(), region.to_owned()));
    // MeaSoft's row has its type word in the name alone.
    let capital = sent_to(&world, 1, ["RU", "Москва", "Москва", ""]).await;
    assert_eq!(town(&world, &capital), told("Москва город", "77"));
    // A town and a settlement of one name in two countries.
    let abroad = sent_to(&world, 2, ["KZ", "Костанайская область", "Рудный", ""]).await;
    assert_eq!(town(&world, &abroad), told("Рудный город", "398"));
    let at_home = sent_to(&world, 3, ["RU", "Кемеровская область", "п. Рудный", ""]).await;
    assert_eq!(town(&world, &at_home), told("Рудный поселок", "42"));
    // A village and a hamlet of one name: nothing is guessed, until the index says which.
    let hamlet = sent_to(&world, 4, ["RU", "Курская область", "Калиновка", ""]).await;
    assert_eq!(town(&world, &hamlet), None);
    let dead = world.dead_letters().await;
    assert_eq!((dead.len(), dead[0]["reason"].as_str()), (1, Some("town_unclear")), "{dead:?}");
    let words = dead[0]["text"].as_str().expect("a text");
    assert!(words.contains("Калиновка деревня, Калиновка село"), "{words}");
    let edited = world.crm.edit(world.shops[0].account, hamlet.id, |order| order.set_address_field("index", "307131"));
    assert!(edited, "the order is there");
    world.fires(Update, &hamlet).await;
    world.settled("the mended order is placed").await;
    assert_eq!(town(&world, &hamlet), told("Калиновка деревня", "46"));
    assert!(world.dead_letters().await.is_empty(), "a later success closes it");
    world.finish().await;
}
