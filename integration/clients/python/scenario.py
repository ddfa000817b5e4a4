"""The contract's phases for a Python client. README.md beside run.sh says what is asked; which client does it, and
how, is the adapter's business: an object with the methods that are called on `client` below."""

import hashlib
import json
import os
import signal
import time

TOPIC, GROUP, STATE = os.environ["TOPIC"], os.environ["GROUP"], os.environ["STATE"] + ".json"
RECORDS, PARTITIONS, REPLICATION = (int(os.environ[name]) for name in ("RECORDS", "PARTITIONS", "REPLICATION"))
BASE_TIME = int(os.environ["BASE_TIME"])
CODECS, FEATURES = os.environ["CODECS"].split(), set(os.environ["FEATURES"].split())
TOTAL = RECORDS * len(CODECS) * (2 if "idempotent" in FEATURES else 1)
PATIENCE = 60  # seconds that a step may wait for records


def value(topic, codec, i):
    head = f"{topic} {codec} {i} {chr(ord('a') + i % 26) * (i % 200)}"
    return f"{head} {hashlib.sha256(head.encode()).hexdigest()}".encode()


def key(i):
    return None if i % 10 == 0 else f"key-{i % 50}".encode()


def record(codec, i):
    """Key, value, headers and timestamp in milliseconds of record i."""
    headers = [("codec", codec.encode()), ("seq", str(i).encode())] if "headers" in FEATURES else None
    return key(i), value(TOPIC, codec, i), headers, BASE_TIME + i


class Tally:
    """Checks that the records first to end arrive once each, with their own bytes, in order and without an offset left
    out. starts gives the first offset of partitions where it is known."""

    def __init__(self, topic, first, end, starts=None):
        self.topic, self.first, self.end = topic, first, end
        self.next, self.last, self.seen = dict(starts or {}), {}, set()

    def add(self, partition, offset, got_key, got_value):
        where = f"partition {partition} offset {offset}"
        _, codec, i, _, _ = got_value.decode().split(" ")
        i = int(i)
        assert got_value == value(self.topic, codec, i), f"{where}: bytes of record {i} differ"
        assert got_key == key(i), f"{where}: record {i} has key {got_key}"
        assert self.first <= i < self.end, f"{where}: record {i} is not one of {self.first} to {self.end - 1}"
        assert i not in self.seen, f"{where}: record {i} came twice"
        assert i > self.last.get(partition, -1), f"{where}: record {i} came after {self.last[partition]}"
        assert offset == self.next.get(partition, offset), f"{where}: expected offset {self.next[partition]}"
        self.seen.add(i)
        self.last[partition], self.next[partition] = i, offset + 1

    def read(self, consumer, count):
        """Polls until count records have come."""
        deadline = time.monotonic() + PATIENCE
        while len(self.seen) < count:
            assert time.monotonic() < deadline, f"{len(self.seen)} of {count} records came within {PATIENCE} s"
            for args in consumer.poll():
                self.add(*args)


def step(name, action, *args):
    """Runs one step and prints its outcome; what fails ends the program."""
    try:
        print("ok", name, action(*args), flush=True)
    except Exception as e:
        print("FAIL", name, type(e).__name__, str(e).replace("\n", " "), flush=True)
        raise


def run(client):
    {"1": phase_one, "2": phase_two, "3": phase_three, "member": member}[os.environ["PHASE"]](client)


def member(client):
    """Is a member of a group until SIGTERM. README.md says what it prints."""
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    protocol, assignor, session = (os.environ["MEMBER_" + name] for name in ("PROTOCOL", "ASSIGNOR", "SESSION"))
    consumer = client.churner(TOPIC, GROUP, protocol, assignor, int(session), lambda p: owns("+", p), lambda p: owns("-", p))
    while not stopping:
        for partition, offset, got_key, got_value in consumer.poll():
            say("r", partition, offset, (got_key or b"").decode(), got_value.decode())
        consumer.commit_read()
    consumer.close()


def owns(sign, partitions):
    say(sign, int(time.time() * 1000), ",".join(str(p.partition) for p in partitions))


def say(*words):
    print(*words, sep="\t", flush=True)


def phase_one(client):
    step("version", client.version)
    step("create", create, client)
    steps = [("produce-", False)] + ([("idempotent-", True)] if "idempotent" in FEATURES else [])
    steps = [(prefix + codec, codec, idempotent) for prefix, idempotent in steps for codec in CODECS]
    for n, (name, codec, idempotent) in enumerate(steps):
        step(name, produce, client, codec, idempotent, n * RECORDS)
    member = client.member(TOPIC, GROUP)
    step("consume", consume, member)
    step("commit", commit_half, member)
    member.close()
    if "offsets-for-times" in FEATURES:
        step("time", from_time, client)


def phase_two(client):
    step("after", produce, client, CODECS[-1], "idempotent" in FEATURES, TOTAL)
    step("resume", resume, client)


def phase_three(client):
    step("peers", read_peers, client)


def create(client):
    n = client.create(TOPIC, PARTITIONS)
    assert n == PARTITIONS, f"{n} partitions, not {PARTITIONS}"
    return f"{n} partitions"


def produce(client, codec, idempotent, first):
    client.produce(TOPIC, codec, idempotent, [record(codec, i) for i in range(first, first + RECORDS)])
    return f"{RECORDS} records"


def consume(member):
    tally = Tally(TOPIC, 0, TOTAL, {p: 0 for p in range(PARTITIONS)})
    tally.read(member, TOTAL)
    assert tally.next == member.ends(), f"read up to {tally.next}, the ends are {member.ends()}"
    return f"{TOTAL} records, each once"


def commit_half(member):
    half = {p: end // 2 for p, end in member.ends().items()}
    commit(member, half)
    with open(STATE, "w") as f:
        json.dump(half, f)
    return half


def commit(member, offsets):
    member.commit(offsets)
    assert member.committed() == offsets, f"committed {offsets}, read back {member.committed()}"


def from_time(client):
    first = TOTAL // 2 + 3
    offsets = client.offsets_for_time(TOPIC, BASE_TIME + first)
    reader = client.reader(TOPIC, offsets)
    Tally(TOPIC, first, TOTAL, offsets).read(reader, TOTAL - first)
    reader.close()
    return f"{TOTAL - first} records from record {first}'s time"


def resume(client):
    with open(STATE) as f:
        committed = {int(p): o for p, o in json.load(f).items()}
    member = client.member(TOPIC, GROUP)
    tally = Tally(TOPIC, 0, TOTAL + RECORDS, committed)
    assert member.committed() == committed, f"committed {committed}, after the crash {member.committed()}"
    ends = member.ends()
    assert sum(ends.values()) == TOTAL + RECORDS, f"the ends are {ends}, not {TOTAL + RECORDS} records"
    left = sum(ends.values()) - sum(committed.values())
    tally.read(member, left)
    commit(member, ends)
    member.close()
    return f"{left} records from the committed offsets on"


def read_peers(client):
    peers = [p.split(":") for p in os.environ["PEERS"].split()]
    for topic, total in peers:
        reader = client.reader(topic, {p: 0 for p in range(PARTITIONS)})
        Tally(topic, 0, int(total)).read(reader, int(total))
        reader.close()
    return "read " + " ".join(topic for topic, _ in peers)
