//! Typed events: JSON in, JSON out, two functions of one crate.
//!
//! `quote` prices an order, `place` accepts one. Both are called by POST, and each is billed, scaled and limited by
//! itself.

use faas_core::{Context, Error, Result, function};
use serde::{Deserialize, Serialize};

/// What a customer wants.
#[derive(Debug, Clone, Deserialize)]
struct Order {
    customer: String,
    items: Vec<Item>,
}

/// One line of an order.
#[derive(Debug, Clone, Deserialize)]
struct Item {
    sku: String,
    quantity: u32,
    unit_price_cents: u64,
}

/// What an order costs.
#[derive(Debug, PartialEq, Serialize)]
struct Quote {
    subtotal_cents: u64,
    discount_cents: u64,
    total_cents: u64,
}

/// An accepted order.
#[derive(Debug, PartialEq, Serialize)]
struct Receipt {
    id: String,
    customer: String,
    quote: Quote,
}

#[function(route = "POST /orders/quote", memory = 128, timeout = "2s")]
async fn quote(order: Order) -> Result<Quote> {
    let mut subtotal_cents = 0u64;
    for item in &order.items {
        subtotal_cents = item
            .unit_price_cents
            .checked_mul(item.quantity.into())
            .and_then(|line| line.checked_add(subtotal_cents))
            .ok_or_else(|| Error::client(format!("the price of `{}` is out of range", item.sku)))?;
    }
    // ten per cent off from a hundred
    let discount_cents = if subtotal_cents >= 10_000 { subtotal_cents / 10 } else { 0 };
    Ok(Quote { subtotal_cents, discount_cents, total_cents: subtotal_cents - discount_cents })
}

#[function(route = "POST /orders", queue = "orders")]
async fn place(order: Order, context: Context) -> Result<Receipt> {
    if order.items.is_empty() {
        return Err(Error::client("an order has at least one item"));
    }
    if let Some(item) = order.items.iter().find(|item| item.quantity == 0) {
        return Err(Error::client(format!("the quantity of `{}` is zero", item.sku)));
    }
    let customer = order.customer.clone();
    let quote = quote(order).await?;
    tracing::info!(customer, total_cents = quote.total_cents, "order placed");
    Ok(Receipt { id: context.request_id().to_owned(), customer, quote })
}

faas_core::main!();

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::block_on;

    fn order(quantity: u32) -> Order {
        let item = Item { sku: "teapot".into(), quantity, unit_price_cents: 25_00 };
        Order { customer: "ada".into(), items: vec![item] }
    }

    #[test]
    fn a_hundred_earns_a_discount() {
        let total = |quantity| block_on(quote(order(quantity))).expect("a price").total_cents;
        assert_eq!(total(3), 75_00);
        assert_eq!(total(4), 90_00);
    }

    #[test]
    fn an_order_needs_something_in_it() {
        let context = Context::for_test("place");
        let error = block_on(place(order(0), context.clone())).expect_err("nothing ordered");
        assert!(error.is_client());
        assert_eq!(error.message(), "the quantity of `teapot` is zero");
        assert_eq!(block_on(place(order(1), context)).expect("accepted").id, "test");
    }

    #[test]
    fn a_price_out_of_range_is_the_customers_problem() {
        let mut order = order(2);
        order.items[0].unit_price_cents = u64::MAX;
        assert!(block_on(quote(order)).expect_err("too much").is_client());
    }

    #[faas_core::test]
    async fn an_order_after_a_quiet_hour_starts_cold_again(cloud: faas_core::testing::Cloud) {
        let order = serde_json::json!({
            "customer": "ada",
            "items": [{ "sku": "teapot", "quantity": 4, "unit_price_cents": 25_00 }],
        });
        let first = cloud.send("place", &order).await;
        assert!(first.is_cold());
        let receipt: serde_json::Value = first.json();
        assert_eq!((&receipt["id"], &receipt["quote"]["total_cents"]), (&"#1".into(), &90_00.into()));
        assert!(cloud.send("place", &order).await.is_warm());

        cloud.advance(std::time::Duration::from_secs(3600)).await;
        assert!(cloud.send("place", &order).await.is_cold());
    }
}
