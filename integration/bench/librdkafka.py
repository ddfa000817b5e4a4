"""Produces with librdkafka as fast as it goes, and prints what chronik-bench would: BOOTSTRAP TOPIC SIZE SECONDS."""

import json
import sys
import time

from confluent_kafka import Producer

WARMUP = 0.5

bootstrap, topic, size, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
failed = []


def delivered(error, _message):
    if error is not None:
        failed.append(error)


producer = Producer({
    "bootstrap.servers": bootstrap,
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 5,
    "batch.size": 1000000,
    "queue.buffering.max.kbytes": 65536,
    "on_delivery": delivered,
    "delivery.report.only.error": True,
})
value = bytes(ord("A") + i * 7 % 26 for i in range(size))
began = time.monotonic()
sent = warm = 0
measured_from = None
while (now := time.monotonic()) < began + seconds:
    if measured_from is None and now >= began + WARMUP:
        warm, measured_from = max(sent - len(producer), 0), now
    try:
        for _ in range(100):
            producer.produce(topic, value)
            sent += 1
    except BufferError:
        producer.poll(0.001)
left = producer.flush(60)
ended = time.monotonic()
if failed or left:
    sys.exit(f"{left} records not acknowledged, {len(failed)} failed: {failed[:1]}")
records = sent - warm
print(json.dumps({"produce": {
    "records": records, "bytes": records * size, "acked": sent,
    "mb_per_second": records * size / 1e6 / (ended - measured_from),
}}))
