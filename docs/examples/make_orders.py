#!/usr/bin/env python3
"""Write orders.ndjson, a sample order system: 300 orders over four weeks.

make_orders.py > orders.ndjson

The seed is fixed, so the file is always the same. An order is created and then paid or cancelled;
what is paid is shipped and delivered, and now and then returned.
Amounts are counted in cents and written with two digits; events are in the order of their times.
"""
import datetime
import json
import random
import sys

EPOCH = datetime.datetime(1970, 1, 1)
ORDERS = 300
START_MS = 1709539200000  # 2024-03-04T08:00:00Z, a Monday
DAY_MS = 24 * 3600 * 1000
HOUR_MS = 3600 * 1000
MINUTE_MS = 60 * 1000

PRODUCTS = [  # what, cents
    ("alpaca-scarf", 4900),
    ("cotton-cord-10m", 1250),
    ("dye-cochineal", 1890),
    ("dye-indigo", 1720),
    ("hand-spindle", 2400),
    ("knot-board", 3995),
    ("llama-wool-500g", 2999),
    ("pattern-book", 3450),
    ("quipu-kit", 5999),
    ("tally-stones", 999),
]
CITIES = ["Arequipa", "Cusco", "Lima", "Puno", "Quito", "Trujillo", "Ñaña"]
CARRIERS = ["Chasqui Express", "Andes Cargo", "Posta"]
METHODS = ["card", "card", "card", "transfer", "wallet"]
CANCEL_REASONS = ["changed my mind", "found it cheaper", "ordered twice", "payment was refused"]
RETURN_REASONS = ["wrong colour", "damaged on the way", "does not fit"]


class Cents(int):
    """Money is written as it is meant: 249.90, not 249.9."""

    def __str__(self):
        return f"{self // 100}.{self % 100:02d}"


def minutes(rng, low, high):
    return rng.randrange(low * MINUTE_MS, high * MINUTE_MS)


def created(rng, number):
    items = []
    total = 0
    for name, cents in rng.sample(PRODUCTS, rng.choice([1, 1, 1, 2, 2, 3])):
        quantity = rng.choice([1, 1, 1, 2, 3])
        items.append({"sku": name, "quantity": quantity, "price": Cents(cents)})
        total += quantity * cents
    return {
        "userId": f"user-{rng.randrange(1, 120)}",
        "status": "created",
        "totalAmount": Cents(total),
        "currency": "PEN",
        "items": items,
        "shipTo": {"city": rng.choice(CITIES), "zip": f"{rng.randrange(1000, 25000):05d}"},
        "note": None if number % 9 else "a gift, please wrap",
    }


def order(rng, number):
    """All events of one order, as (time, type, data)."""
    day = rng.randrange(28)
    time = START_MS + day * DAY_MS + int(rng.triangular(0, 14 * HOUR_MS, 9 * HOUR_MS))
    data = created(rng, number)
    if data["note"] is None:
        del data["note"]
    total = data["totalAmount"]
    events = [(time, "ORDER_CREATED", data)]

    fate = rng.random()
    if fate < 0.03:
        return events  # nobody ever paid
    if fate < 0.13:
        time += minutes(rng, 5, 3 * 24 * 60)
        reason = rng.choice(CANCEL_REASONS)
        events.append((time, "ORDER_CANCELLED", {"status": "cancelled", "reason": reason}))
        return events

    time += minutes(rng, 1, 90)
    paid = {
        "status": "paid",
        "paymentId": f"pay-{rng.randrange(16**8):08x}",
        "method": rng.choice(METHODS),
        "paidAmount": total,
    }
    events.append((time, "ORDER_PAID", paid))
    if fate < 0.17:
        time += minutes(rng, 30, 24 * 60)
        cancelled = {"status": "cancelled", "reason": "sold out", "refundedAmount": total}
        events.append((time, "ORDER_CANCELLED", cancelled))
        return events

    time += minutes(rng, 4 * 60, 40 * 60)
    shipped = {
        "status": "shipped",
        "shipment": {
            "carrier": rng.choice(CARRIERS),
            "tracking": f"QP{rng.randrange(10**9):09d}PE",
            "parcels": 1 if len(data["items"]) < 3 else 2,
        },
    }
    events.append((time, "ORDER_SHIPPED", shipped))
    if fate < 0.75:
        time += minutes(rng, 20 * 60, 120 * 60)
        where = rng.choice(["recipient", "recipient", "neighbour", "parcel box"])
        delivered = {"status": "delivered", "shipment": {"deliveredTo": where}}
        events.append((time, "ORDER_DELIVERED", delivered))
    if 0.22 < fate < 0.26:
        time += minutes(rng, 24 * 60, 96 * 60)
        returned = {
            "status": "returned",
            "reason": rng.choice(RETURN_REASONS),
            "refundedAmount": total,
        }
        events.append((time, "ORDER_RETURNED", returned))
    return events


def rfc3339(ms):
    time = EPOCH + datetime.timedelta(milliseconds=ms)
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def encode(value):
    """JSON, compact, with money in two digits."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode(k)}:{encode(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(encode(each) for each in value) + "]"
    if isinstance(value, Cents):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def main():
    rng = random.Random(20240304)
    events = []
    starts = sorted((order(rng, at) for at in range(ORDERS)), key=lambda each: each[0][0])
    for number, each in enumerate(starts, 1):
        for version, (time, kind, data) in enumerate(each):
            events.append((time, number, version, kind, data))
    events.sort(key=lambda event: event[:3])
    for time, number, _, kind, data in events:
        line = {"stream": f"order-{number}", "type": kind, "time": rfc3339(time), "data": data}
        sys.stdout.buffer.write(encode(line).encode() + b"\n")


if __name__ == "__main__":
    main()
