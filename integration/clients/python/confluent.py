"""confluent-kafka, and with it librdkafka, under the contract of scenario.py; it checks the CRC of all that it reads."""

import os
import time

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer as KafkaConsumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import scenario

COMMON = {"bootstrap.servers": os.environ["BOOTSTRAP"]}


class Consumer:
    def __init__(self, topic, group, **config):
        self.kafka = KafkaConsumer(
            {**COMMON, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest", "check.crcs": True, **config}
        )
        self.topic = topic

    def partitions(self, offsets=None):
        return [TopicPartition(self.topic, p, (offsets or {}).get(p, OFFSET_BEGINNING)) for p in range(scenario.PARTITIONS)]

    def poll(self):
        for m in self.kafka.consume(500, timeout=0.2):
            assert m.error() is None, m.error()
            yield m.partition(), m.offset(), m.key(), m.value()

    def commit(self, offsets):
        for tp in self.kafka.commit(offsets=self.partitions(offsets), asynchronous=False):
            assert tp.error is None, tp.error

    def commit_read(self):
        """What could not be committed comes again."""
        try:
            self.kafka.commit(asynchronous=False)
        except KafkaException:
            pass

    def committed(self):
        return {tp.partition: tp.offset for tp in self.kafka.committed(self.partitions(), timeout=10)}

    def ends(self):
        return {tp.partition: self.kafka.get_watermark_offsets(tp, timeout=10)[1] for tp in self.partitions()}

    def close(self):
        self.kafka.close()


class Client:
    def version(self):
        return confluent_kafka.__version__

    def create(self, topic, partitions):
        admin = AdminClient(COMMON)
        admin.create_topics([NewTopic(topic, partitions, scenario.REPLICATION)])[topic].result(timeout=20)
        deadline = time.monotonic() + 10  # Kafka may show a topic a moment after it has said that it is there
        while True:
            found = len(admin.list_topics(topic, timeout=10).topics[topic].partitions)
            if found or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def produce(self, topic, codec, idempotent, records):
        producer = Producer({**COMMON, "compression.type": codec, "enable.idempotence": idempotent, "acks": "all", "linger.ms": 20})
        errors = []
        for key, value, headers, timestamp in records:
            producer.produce(
                topic, value, key, headers=headers, timestamp=timestamp,
                on_delivery=lambda error, _: errors.append(error) if error else None,
            )
            producer.poll(0)
        left = producer.flush(scenario.PATIENCE)
        assert not errors and left == 0, f"{left} records not delivered, {len(errors)} errors, the first {errors[:1]}"

    def member(self, topic, group):
        consumer = Consumer(topic, group)
        consumer.kafka.subscribe([topic])
        return consumer

    def churner(self, topic, group, protocol, assignor, session, assigned, revoked):
        config = {"group.protocol": "consumer"}
        if protocol == "classic":
            config = {
                "partition.assignment.strategy": assignor, "session.timeout.ms": session, "heartbeat.interval.ms": session // 5,
            }
        consumer = Consumer(topic, group, **config)
        consumer.kafka.subscribe(
            [topic], on_assign=lambda _, p: assigned(p), on_revoke=lambda _, p: revoked(p), on_lost=lambda _, p: revoked(p)
        )
        return consumer

    def reader(self, topic, offsets):
        consumer = Consumer(topic, scenario.GROUP + "-reader")
        consumer.kafka.assign(consumer.partitions(offsets))
        return consumer

    def offsets_for_time(self, topic, ms):
        consumer = Consumer(topic, scenario.GROUP + "-reader")
        found = consumer.kafka.offsets_for_times(consumer.partitions({p: ms for p in range(scenario.PARTITIONS)}), timeout=10)
        consumer.close()
        return {tp.partition: tp.offset for tp in found}


scenario.run(Client())
