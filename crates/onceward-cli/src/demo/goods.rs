//! A small warehouse: orders, shipments and inventory, of the shapes and sizes that real ones have.

use std::time::{Duration, UNIX_EPOCH};

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::seq::IndexedRandom as _;
use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use super::document::Document;
use super::random::{Purpose, random};
use super::traffic::{Call, Confirmation, Traffic};

/// What an intent asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Order,
    Shipment,
    Inventory,
}

impl Kind {
    pub(super) fn of(seed: u64, intent: u32) -> Self {
        match random(seed, Purpose::Kind, intent).random_range(0..100) {
            0..45 => Self::Order,
            45..75 => Self::Shipment,
            _ => Self::Inventory,
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Order => "/orders",
            Self::Shipment => "/shipments",
            Self::Inventory => "/inventory",
        }
    }
}

#[derive(Deserialize, Serialize)]
struct Address {
    name: String,
    street: String,
    city: String,
    postal_code: String,
    country: String,
    email: String,
    phone: String,
}

#[derive(Deserialize, Serialize)]
struct Line {
    sku: String,
    description: String,
    quantity: u32,
    unit_price_cents: u32,
    gift_wrap: bool,
}

#[derive(Deserialize, Serialize)]
struct Order {
    purchase_order: String,
    channel: String,
    currency: String,
    customer_number: u32,
    ship_to: Address,
    bill_to: Address,
    lines: Vec<Line>,
}

#[derive(Deserialize, Serialize)]
struct Parcel {
    weight_grams: u32,
    length_mm: u32,
    width_mm: u32,
    height_mm: u32,
    contents: String,
    declared_value_cents: u32,
}

#[derive(Deserialize, Serialize)]
struct Shipment {
    purchase_order: String,
    carrier: String,
    service: String,
    label_format: String,
    from: Address,
    to: Address,
    parcels: Vec<Parcel>,
}

#[derive(Deserialize, Serialize)]
struct Movement {
    sku: String,
    location: String,
    quantity_change: i32,
    reason: String,
    counted_by: String,
}

#[derive(Deserialize, Serialize)]
struct Adjustment {
    purchase_order: String,
    warehouse: String,
    movements: Vec<Movement>,
}

/// The request of an intent. `variant` 0 is the one meant; others ask for other quantities.
pub(super) fn call(seed: u64, intent: u32, variant: u32) -> Call {
    let kind = Kind::of(seed, intent);
    let mut random = random(seed, Purpose::Payload, intent);
    let purchase_order = Traffic::reference(intent);
    let body = match kind {
        Kind::Order => serde_json::to_vec(&order(&mut random, purchase_order, variant)),
        Kind::Shipment => serde_json::to_vec(&shipment(&mut random, purchase_order, variant)),
        Kind::Inventory => serde_json::to_vec(&adjustment(&mut random, purchase_order, variant)),
    };
    Call {
        method: Method::POST,
        path: kind.path().to_owned(),
        content_type: Some("application/json".to_owned()),
        body: body.expect("numbers and text are JSON").into(),
    }
}

/// What the warehouse answers once the ledger has confirmed.
pub(super) fn answer(
    seed: u64,
    intent: u32,
    body: &[u8],
    confirmation: Confirmation,
) -> Result<Document, serde_json::Error> {
    match Kind::of(seed, intent) {
        Kind::Order => accepted(&serde_json::from_slice(body)?, confirmation),
        Kind::Shipment => {
            let mut random = random(seed, Purpose::Answer, intent);
            booked(&serde_json::from_slice(body)?, confirmation, &mut random)
        }
        Kind::Inventory => adjusted(&serde_json::from_slice(body)?, confirmation),
    }
}

fn accepted(order: &Order, confirmation: Confirmation) -> Result<Document, serde_json::Error> {
    let lines: Vec<_> = order
        .lines
        .iter()
        .enumerate()
        .map(|(index, line)| {
            serde_json::json!({
                "line": index + 1,
                "sku": line.sku,
                "description": line.description,
                "quantity": line.quantity,
                "unit_price_cents": line.unit_price_cents,
                "total_cents": u64::from(line.quantity) * u64::from(line.unit_price_cents),
                "allocated": true,
            })
        })
        .collect();
    let total: u64 =
        order.lines.iter().map(|l| u64::from(l.quantity) * u64::from(l.unit_price_cents)).sum();
    let answer = serde_json::json!({
        "order_number": format!("SO-{:08}", confirmation.number),
        "purchase_order": order.purchase_order,
        "status": "accepted",
        "accepted_at": instant(confirmation),
        "ship_to": order.ship_to,
        "currency": order.currency,
        "total_cents": total,
        "lines": lines,
    });
    Ok(located("orders", confirmation, serde_json::to_vec(&answer)?))
}

fn booked(
    shipment: &Shipment,
    confirmation: Confirmation,
    random: &mut impl Rng,
) -> Result<Document, serde_json::Error> {
    // A label is an image: a few KiB each, of bytes that do not compress.
    let mut label = vec![0; random.random_range(1_500..4_000) * shipment.parcels.len().min(8)];
    random.fill_bytes(&mut label);
    let number = confirmation.number.to_le_bytes();
    label[..number.len()].copy_from_slice(&number);
    let weight: u64 = shipment.parcels.iter().map(|parcel| u64::from(parcel.weight_grams)).sum();
    let answer = serde_json::json!({
        "shipment_number": format!("SH-{:08}", confirmation.number),
        "purchase_order": shipment.purchase_order,
        "tracking_code": format!("1Z{:016}", confirmation.number),
        "carrier": shipment.carrier,
        "service": shipment.service,
        "booked_at": instant(confirmation),
        "weight_grams": weight,
        "price_cents": 390 + weight / 40,
        "to": shipment.to,
        "label": { "format": shipment.label_format, "data": STANDARD.encode(label) },
    });
    Ok(located("shipments", confirmation, serde_json::to_vec(&answer)?))
}

fn adjusted(
    adjustment: &Adjustment,
    confirmation: Confirmation,
) -> Result<Document, serde_json::Error> {
    let answer = serde_json::json!({
        "adjustment_number": format!("IA-{:08}", confirmation.number),
        "purchase_order": adjustment.purchase_order,
        "warehouse": adjustment.warehouse,
        "posted_at": instant(confirmation),
        "movements": adjustment.movements,
    });
    Ok(Document::json(200, serde_json::to_vec(&answer)?))
}

fn located(folder: &str, confirmation: Confirmation, body: Vec<u8>) -> Document {
    let location = format!("/{folder}/{}", confirmation.number);
    let tag = format!("\"{:x}\"", confirmation.recorded_at_ms);
    let headers = [("content-type", "application/json"), ("location", &location), ("etag", &tag)];
    Document::new(201, headers, body.into())
}

fn instant(confirmation: Confirmation) -> String {
    let since = Duration::from_millis(confirmation.recorded_at_ms);
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

fn order(random: &mut impl Rng, purchase_order: String, variant: u32) -> Order {
    let count = heavy_tailed(random, 4, 140);
    Order {
        purchase_order,
        channel: pick(random, &["web", "phone", "marketplace", "shop"]),
        currency: pick(random, &["EUR", "USD", "GBP"]),
        customer_number: random.random_range(10_000..999_999),
        ship_to: address(random),
        bill_to: address(random),
        lines: (0..count)
            .map(|_| {
                let (sku, description) = article(random);
                Line {
                    sku,
                    description,
                    quantity: random.random_range(1..12) + variant,
                    unit_price_cents: random.random_range(99..49_999),
                    gift_wrap: random.random_bool(0.1),
                }
            })
            .collect(),
    }
}

fn shipment(random: &mut impl Rng, purchase_order: String, variant: u32) -> Shipment {
    let count = heavy_tailed(random, 1, 60);
    Shipment {
        purchase_order,
        carrier: pick(random, &["Northline", "Parcelway", "Swift & Sons"]),
        service: pick(random, &["ground", "express", "overnight"]),
        label_format: pick(random, &["PNG", "ZPL", "PDF"]),
        from: address(random),
        to: address(random),
        parcels: (0..count)
            .map(|_| Parcel {
                weight_grams: random.random_range(80..24_000) + variant,
                length_mm: random.random_range(100..900),
                width_mm: random.random_range(80..600),
                height_mm: random.random_range(20..500),
                contents: article(random).1,
                declared_value_cents: random.random_range(500..90_000),
            })
            .collect(),
    }
}

fn adjustment(random: &mut impl Rng, purchase_order: String, variant: u32) -> Adjustment {
    let count = heavy_tailed(random, 3, 90);
    Adjustment {
        purchase_order,
        warehouse: pick(random, &["HAM-1", "LYS-2", "GDN-1"]),
        movements: (0..count)
            .map(|_| Movement {
                sku: article(random).0,
                location: format!(
                    "{}-{:02}-{:03}",
                    pick(random, &["A", "B", "C", "D"]),
                    random.random_range(1..40),
                    random.random_range(1..200)
                ),
                quantity_change: random.random_range(-40..40) + variant as i32,
                reason: pick(random, &["cycle_count", "damage", "return", "receipt", "scrap"]),
                counted_by: format!("picker-{:03}", random.random_range(1..80)),
            })
            .collect(),
    }
}

/// About `usual` in the middle, twice that often, and rarely up to `most`.
fn heavy_tailed(random: &mut impl Rng, usual: u32, most: u32) -> u32 {
    match random.random_range(0..100) {
        0..85 => random.random_range(1..=2 * usual),
        85..97 => random.random_range(usual..=(6 * usual).min(most)),
        _ => random.random_range((6 * usual).min(most)..=most),
    }
}

fn address(random: &mut impl Rng) -> Address {
    let first = pick(random, &["Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Grete"]);
    let last = pick(random, &["Ahlers", "Bianchi", "Costa", "Dubois", "Ekström", "Fischer"]);
    let street =
        pick(random, &["Harbour Road", "Mühlenweg", "Rue du Port", "Via Roma", "Long Lane"]);
    let city = pick(random, &["Hamburg", "Lyon", "Gdańsk", "Torino", "Leeds", "Malmö"]);
    let email = format!("{}.{}@example.com", first.to_lowercase(), random.random_range(10..9_999));
    Address {
        name: format!("{first} {last}"),
        street: format!("{street} {}", random.random_range(1..240)),
        city,
        postal_code: format!("{:05}", random.random_range(1_000..99_999)),
        country: pick(random, &["DE", "FR", "PL", "IT", "GB", "SE"]),
        email,
        phone: format!("+49 40 {:07}", random.random_range(1_000_000..9_999_999)),
    }
}

fn article(random: &mut impl Rng) -> (String, String) {
    let what = pick(random, &["bolt", "gasket", "bearing", "bracket", "cable", "filter", "lamp"]);
    let of = pick(random, &["brass", "steel", "nylon", "oak", "aluminium", "rubber"]);
    let size = random.random_range(2..400);
    (
        format!("{}{}-{size:04}", &what[..2], &of[..2]).to_uppercase(),
        format!("{of} {what}, {size} mm"),
    )
}

fn pick(random: &mut impl Rng, from: &[&str]) -> String {
    (*from.choose(random).expect("the list is written out")).to_owned()
}
