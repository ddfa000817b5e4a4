import java.io.FileReader;
import java.io.FileWriter;
import java.io.Reader;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * The Java client under the contract of README.md beside run.sh. It is compiled against every version under test, so it
 * uses only what kafka-clients 2.0 and 4.x have in common.
 */
public final class Scenario {
    private static final Duration POLL = Duration.ofMillis(500);
    private static final long PATIENCE = 60_000; // milliseconds that a step may wait for records

    private final Contract c = new Contract();

    public static void main(String[] args) throws Exception {
        Scenario s = new Scenario();
        switch (s.c.phase) {
            case "1": s.phaseOne(); break;
            case "2": s.phaseTwo(); break;
            case "3": Steps.step("peers", s::readPeers); break;
            case "member": s.beMember(); break;
            default: throw new IllegalArgumentException("PHASE " + s.c.phase + " is not 1, 2 or 3");
        }
    }

    private void phaseOne() throws Exception {
        Steps.step("version", () -> Steps.version(KafkaConsumer.class, "/kafka/kafka-version.properties"));
        Steps.step("create", this::create);
        for (Contract.Step s : c.steps()) Steps.step(s.name, () -> produce(s));
        try (Consumer<String, String> member = member()) {
            Steps.step("consume", () -> consume(member));
            Steps.step("commit", () -> commitHalf(member));
        }
        Steps.step("time", this::fromTime);
    }

    /** Is a member of a group until SIGTERM. README.md says what it prints. */
    private void beMember() throws Exception {
        Properties p = common(c.group);
        boolean classic = Contract.env("MEMBER_PROTOCOL").equals("classic");
        if (classic) {
            int session = Contract.number("MEMBER_SESSION");
            String range = "org.apache.kafka.clients.consumer.RangeAssignor", cooperative = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
            p.put("partition.assignment.strategy", Contract.env("MEMBER_ASSIGNOR").equals("range") ? range : cooperative);
            p.put("session.timeout.ms", String.valueOf(session));
            p.put("heartbeat.interval.ms", String.valueOf(session / 5));
        } else {
            p.put("group.protocol", "consumer");
        }
        AtomicBoolean stopping = new AtomicBoolean();
        Thread self = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping.set(true);
            try {
                self.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }));
        try (Consumer<String, String> member = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer())) {
            member.subscribe(Collections.singleton(c.topic), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> some) {
                    owns("+", some);
                }

                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> some) {
                    owns("-", some);
                }
            });
            while (!stopping.get()) {
                for (ConsumerRecord<String, String> r : member.poll(Duration.ofMillis(200)))
                    System.out.println("r\t" + r.partition() + "\t" + r.offset() + "\t" + r.key() + "\t" + r.value());
                System.out.flush();
                try {
                    member.commitSync();
                } catch (KafkaException e) {
                    // what could not be committed comes again
                }
            }
        }
    }

    private static void owns(String sign, Collection<TopicPartition> some) {
        StringBuilder list = new StringBuilder();
        for (TopicPartition tp : some) list.append(list.length() == 0 ? "" : ",").append(tp.partition());
        System.out.println(sign + "\t" + System.currentTimeMillis() + "\t" + list);
        System.out.flush();
    }

    private void phaseTwo() throws Exception {
        Steps.step("after", () -> produce(c.after()));
        Steps.step("resume", this::resume);
    }

    private String create() throws Exception {
        try (AdminClient admin = AdminClient.create(common())) {
            admin.createTopics(Collections.singleton(new NewTopic(c.topic, c.partitions, (short) c.replication))).all().get();
        }
        try (Producer<String, String> producer = producer("none", false)) {
            int n = producer.partitionsFor(c.topic).size();
            Contract.expect(n == c.partitions, n + " partitions, not " + c.partitions);
            return n + " partitions";
        }
    }

    private String produce(Contract.Step s) throws Exception {
        try (Producer<String, String> producer = producer(s.codec, s.idempotent)) {
            List<Future<?>> sent = new ArrayList<>();
            for (int i = s.first; i < s.first + c.records; i++) sent.add(producer.send(record(s.codec, i)));
            producer.flush();
            for (Future<?> f : sent) f.get();
        }
        return c.records + " records";
    }

    private ProducerRecord<String, String> record(String codec, int i) {
        ProducerRecord<String, String> r = new ProducerRecord<>(c.topic, null, c.baseTime + i, Contract.key(i), Contract.value(c.topic, codec, i));
        Headers h = r.headers();
        h.add("codec", codec.getBytes(StandardCharsets.UTF_8));
        h.add("seq", String.valueOf(i).getBytes(StandardCharsets.UTF_8));
        return r;
    }

    private String consume(Consumer<String, String> member) {
        Contract.Tally tally = new Contract.Tally(c.topic, 0, c.total());
        for (int p = 0; p < c.partitions; p++) tally.next.put(p, 0L);
        read(member, tally, c.total());
        Contract.expect(tally.next.equals(ends(member)), "read up to " + tally.next + ", the ends are " + ends(member));
        return c.total() + " records, each once";
    }

    private String commitHalf(Consumer<String, String> member) throws Exception {
        Map<Integer, Long> half = ends(member);
        half.replaceAll((p, end) -> end / 2);
        commit(member, half);
        Properties state = new Properties();
        half.forEach((p, offset) -> state.setProperty(p.toString(), offset.toString()));
        try (Writer w = new FileWriter(c.state + ".properties")) {
            state.store(w, null);
        }
        return half.toString();
    }

    private String fromTime() {
        int first = c.total() / 2 + 3;
        Contract.Tally tally = new Contract.Tally(c.topic, first, c.total());
        try (Consumer<String, String> reader = consumer(null)) {
            Map<TopicPartition, Long> times = new HashMap<>();
            for (TopicPartition tp : partitions(c.topic)) times.put(tp, c.baseTime + first);
            reader.assign(partitions(c.topic));
            for (Map.Entry<TopicPartition, OffsetAndTimestamp> e : reader.offsetsForTimes(times).entrySet()) {
                reader.seek(e.getKey(), e.getValue().offset());
                tally.next.put(e.getKey().partition(), e.getValue().offset());
            }
            read(reader, tally, c.total() - first);
        }
        return c.total() - first + " records from record " + first + "'s time";
    }

    private String resume() throws Exception {
        Properties state = new Properties();
        try (Reader r = new FileReader(c.state + ".properties")) {
            state.load(r);
        }
        Map<Integer, Long> committed = new HashMap<>();
        for (String p : state.stringPropertyNames()) committed.put(Integer.valueOf(p), Long.valueOf(state.getProperty(p)));
        Contract.expect(committed().equals(committed), "committed " + committed + ", after the crash " + committed());
        Contract.Tally tally = new Contract.Tally(c.topic, 0, c.total() + c.records);
        tally.next.putAll(committed);
        try (Consumer<String, String> member = member()) {
            Map<Integer, Long> ends = ends(member);
            Contract.expect(sum(ends) == c.total() + c.records, "the ends are " + ends + ", not " + (c.total() + c.records) + " records");
            long left = sum(ends) - sum(committed);
            read(member, tally, left);
            commit(member, ends);
            return left + " records from the committed offsets on";
        }
    }

    private String readPeers() {
        for (String peer : c.peers) {
            String topic = peer.split(":")[0];
            int total = Integer.parseInt(peer.split(":")[1]);
            try (Consumer<String, String> reader = consumer(null)) {
                reader.assign(partitions(topic));
                reader.seekToBeginning(partitions(topic));
                read(reader, new Contract.Tally(topic, 0, total), total);
            }
        }
        return "read " + String.join(" ", c.peers).replaceAll(":[0-9]+", "");
    }

    private static void read(Consumer<String, String> consumer, Contract.Tally tally, long count) {
        long deadline = System.currentTimeMillis() + PATIENCE;
        while (tally.seen.size() < count) {
            Contract.expect(System.currentTimeMillis() < deadline, tally.seen.size() + " of " + count + " records came");
            for (ConsumerRecord<String, String> r : consumer.poll(POLL)) tally.add(r.partition(), r.offset(), r.key(), r.value());
        }
    }

    private void commit(Consumer<String, String> member, Map<Integer, Long> offsets) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> m = new HashMap<>();
        offsets.forEach((p, offset) -> m.put(new TopicPartition(c.topic, p), new OffsetAndMetadata(offset)));
        member.commitSync(m);
        Contract.expect(committed().equals(offsets), "committed " + offsets + ", read back " + committed());
    }

    private Map<Integer, Long> committed() throws Exception {
        Map<Integer, Long> offsets = new HashMap<>();
        try (AdminClient admin = AdminClient.create(common())) {
            admin.listConsumerGroupOffsets(c.group).partitionsToOffsetAndMetadata().get()
                .forEach((tp, o) -> offsets.put(tp.partition(), o.offset()));
        }
        return offsets;
    }

    private Map<Integer, Long> ends(Consumer<String, String> consumer) {
        Map<Integer, Long> ends = new HashMap<>();
        consumer.endOffsets(partitions(c.topic)).forEach((tp, end) -> ends.put(tp.partition(), end));
        return ends;
    }

    private List<TopicPartition> partitions(String topic) {
        List<TopicPartition> list = new ArrayList<>();
        for (int p = 0; p < c.partitions; p++) list.add(new TopicPartition(topic, p));
        return list;
    }

    private static long sum(Map<Integer, Long> offsets) {
        return offsets.values().stream().mapToLong(Long::longValue).sum();
    }

    private Properties common() {
        Properties p = new Properties();
        p.put("bootstrap.servers", c.bootstrap);
        return p;
    }

    private Producer<String, String> producer(String codec, boolean idempotent) {
        Properties p = common();
        p.put("acks", "all");
        p.put("compression.type", codec);
        p.put("enable.idempotence", String.valueOf(idempotent));
        p.put("linger.ms", "20");
        return new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
    }

    private Consumer<String, String> member() {
        Consumer<String, String> member = consumer(c.group);
        member.subscribe(Collections.singleton(c.topic));
        return member;
    }

    /** A consumer that checks every CRC; without a group it only reads. */
    private Consumer<String, String> consumer(String group) {
        return new KafkaConsumer<>(common(group), new StringDeserializer(), new StringDeserializer());
    }

    private Properties common(String group) {
        Properties p = common();
        if (group != null) p.put("group.id", group);
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        p.put("check.crcs", "true");
        return p;
    }
}
