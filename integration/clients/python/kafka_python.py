"""kafka-python under the contract of scenario.py. API_VERSION, as 0.10.0, makes it speak to the broker as to an old one."""

import os
import sys

if sys.version_info >= (3, 12):  # 2.0.2 carries a six whose importer Python 3.12 no longer takes; 3.x needs none
    import six.moves

    sys.modules["kafka.vendor.six.moves"] = six.moves

import kafka
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

import scenario

COMMON = {"bootstrap_servers": os.environ["BOOTSTRAP"]}
if os.environ.get("API_VERSION"):
    COMMON["api_version"] = tuple(int(n) for n in os.environ["API_VERSION"].split("."))


class Consumer:
    def __init__(self, topic, **config):
        self.kafka = KafkaConsumer(enable_auto_commit=False, auto_offset_reset="earliest", **COMMON, **config)
        self.partitions = [TopicPartition(topic, p) for p in range(scenario.PARTITIONS)]

    def poll(self):
        for partition, records in self.kafka.poll(timeout_ms=500).items():
            for r in records:
                yield partition.partition, r.offset, r.key, r.value

    def commit(self, offsets):
        # the later releases' OffsetAndMetadata has a third field with a default, a leader epoch
        self.kafka.commit({tp: OffsetAndMetadata(offsets[tp.partition], "") for tp in self.partitions})

    def commit_read(self):
        """What could not be committed comes again."""
        try:
            self.kafka.commit()
        except (KafkaError, AssertionError):  # 2.0.2 asserts that it is a member
            pass

    def committed(self):
        return {tp.partition: self.kafka.committed(tp) for tp in self.partitions}

    def ends(self):
        return {tp.partition: end for tp, end in self.kafka.end_offsets(self.partitions).items()}

    def close(self):
        self.kafka.close()


class Listener(ConsumerRebalanceListener):
    def __init__(self, assigned, revoked):
        self.on_partitions_assigned, self.on_partitions_revoked = assigned, revoked

    def on_partitions_assigned(self, assigned):
        """Replaced."""

    def on_partitions_revoked(self, revoked):
        """Replaced."""


class Client:
    def version(self):
        return kafka.__version__

    def create(self, topic, partitions):
        """Without the admin API, which old brokers lack, asking for the topic's metadata creates it."""
        if "admin" in scenario.FEATURES:
            admin = KafkaAdminClient(**COMMON)
            admin.create_topics([NewTopic(topic, partitions, scenario.REPLICATION)])
            admin.close()
        producer = KafkaProducer(**self.producer_config("none", False))
        found = producer.partitions_for(topic)
        producer.close()
        return len(found)

    def producer_config(self, codec, idempotent):
        config = dict(COMMON, acks="all", linger_ms=20, compression_type=None if codec == "none" else codec)
        if "enable_idempotence" in KafkaProducer.DEFAULT_CONFIG:
            config["enable_idempotence"] = idempotent
        return config

    def produce(self, topic, codec, idempotent, records):
        producer = KafkaProducer(**self.producer_config(codec, idempotent))
        sent = []
        for key, value, headers, timestamp in records:
            extra = {"headers": headers} if headers else {}
            sent.append(producer.send(topic, value=value, key=key, timestamp_ms=timestamp, **extra))
        producer.flush()
        for future in sent:
            future.get(timeout=scenario.PATIENCE)
        producer.close()

    def member(self, topic, group):
        consumer = Consumer(topic, group_id=group)
        consumer.kafka.subscribe([topic])
        return consumer

    def churner(self, topic, group, protocol, assignor, session, assigned, revoked):
        assert (protocol, assignor) == ("classic", "range"), (protocol, assignor)
        consumer = Consumer(
            topic, group_id=group, session_timeout_ms=session, heartbeat_interval_ms=session // 5,
            partition_assignment_strategy=[RangePartitionAssignor],
        )
        consumer.kafka.subscribe([topic], listener=Listener(assigned, revoked))
        return consumer

    def reader(self, topic, offsets):
        consumer = Consumer(topic)
        consumer.kafka.assign(consumer.partitions)
        for tp in consumer.partitions:
            consumer.kafka.seek(tp, offsets[tp.partition])
        return consumer

    def offsets_for_time(self, topic, ms):
        consumer = Consumer(topic)
        found = consumer.kafka.offsets_for_times({tp: ms for tp in consumer.partitions})
        consumer.close()
        return {tp.partition: at.offset for tp, at in found.items()}


scenario.run(Client())
