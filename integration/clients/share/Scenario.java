import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Share groups (KIP-932) under README.md beside run.sh, by the Java share consumer and Kafka's tools: each record is
 * acknowledged once, or comes again. Each step has a group of its own.
 */
public final class Scenario {
    private static final long PATIENCE = 60_000; // milliseconds that a step may wait for records
    private static final int LOCK = 3_000; // milliseconds that a member has a record to itself, in the groups that say so

    private static final Set<String> shared = Set.of("lock", "renew", "killed"); // steps whose members share a partition

    private static final String topic = System.getenv("TOPIC"), group = System.getenv("GROUP"), state = System.getenv("STATE");
    private static final String one = topic + "-one"; // of one partition, that all members share
    private static final int records = Integer.parseInt(System.getenv("RECORDS"));

    public static void main(String[] args) throws Exception {
        if (args.length > 0) {
            hold(args[0]);
            return;
        }
        if (System.getenv("PHASE").equals("1")) {
            Steps.step("version", () -> Steps.version(KafkaShareConsumer.class, "/kafka/kafka-version.properties"));
            Steps.step("create", Scenario::create);
            Steps.step("implicit", Scenario::implicit);
            Steps.step("explicit", Scenario::explicit);
            Steps.step("lock", Scenario::lock);
            Steps.step("renew", Scenario::renew);
            Steps.step("limit", Scenario::limit);
            Steps.step("killed", Scenario::killed);
            Steps.step("half", Scenario::half);
        } else {
            Steps.step("resume", Scenario::resume);
            Steps.step("tools", Scenario::tools);
        }
    }

    private static String create() throws Exception {
        int partitions = Integer.parseInt(System.getenv("PARTITIONS"));
        try (Admin admin = Admin.create(config())) {
            short replication = Short.parseShort(System.getenv("REPLICATION"));
            admin.createTopics(List.of(new NewTopic(topic, partitions, replication), new NewTopic(one, 1, replication))).all().get();
        }
        Properties p = config();
        p.put("linger.ms", 5);
        List<Future<?>> sent = new ArrayList<>();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < records; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, i % partitions, null, String.valueOf(i))));
                sent.add(producer.send(new ProducerRecord<>(one, 0, null, String.valueOf(i))));
            }
            for (Future<?> f : sent) f.get();
        }
        return records + " records in " + partitions + " partitions";
    }

    /** Two members get each record once, and acknowledge it by asking for more. */
    private static String implicit() throws Exception {
        Deliveries all = new Deliveries();
        List<Integer> shares = new ArrayList<>();
        try (Member member = new Member("implicit", "implicit", Map.of()); Member two = new Member("implicit", "implicit", Map.of())) {
            List<Member> members = List.of(member, two);
            for (long end = patience(); all.size() < records; ) {
                for (Member m : members) all.add(m.poll());
                check(System.currentTimeMillis() < end, all.size() + " of " + records + " records came");
            }
            for (Member m : members) all.add(m.poll());
            for (Member m : members) shares.add(m.got);
        }
        all.expect(i -> 1);
        return records + " records, each once, to two members: " + shares;
    }

    /** What is released comes again, what is rejected or accepted does not. */
    private static String explicit() throws Exception {
        Deliveries all = new Deliveries();
        try (Member member = new Member("explicit", "explicit", Map.of())) {
            for (long end = patience(); all.count < records + released(records); ) {
                ConsumerRecords<String, String> some = member.poll();
                all.add(some);
                for (ConsumerRecord<String, String> r : some) {
                    int i = Integer.parseInt(r.value());
                    boolean first = r.deliveryCount().get() == 1;
                    member.consumer.acknowledge(r, i % 10 == 3 && first ? AcknowledgeType.RELEASE : i % 10 == 7 ? AcknowledgeType.REJECT : AcknowledgeType.ACCEPT);
                }
                member.commit();
                check(System.currentTimeMillis() < end, all.count + " deliveries");
            }
            all.add(member.poll());
        }
        all.expect(i -> i % 10 == 3 ? 2 : 1);
        return all.count + " deliveries of " + records + " records";
    }

    private static int released(int n) {
        return n / 10 + (n % 10 > 3 ? 1 : 0);
    }

    /** What a member does not acknowledge in time comes to another one. */
    private static String lock() throws Exception {
        Deliveries all = new Deliveries();
        int held;
        try (Member slow = new Member("lock", "explicit", Map.of("share.record.lock.duration.ms", String.valueOf(LOCK)))) {
            ConsumerRecords<String, String> its = slow.some();
            all.add(its);
            held = its.count();
            try (Member quick = new Member("lock", "implicit", Map.of())) {
                quick.drain(all, records + held);
            }
            Set<Integer> twice = Deliveries.numbers(its);
            all.expect(i -> twice.contains(i) ? 2 : 1);
        }
        return held + " records came again after " + LOCK + " ms";
    }

    /** What a member renews stays its own (KIP-1222). */
    private static String renew() throws Exception {
        Deliveries all = new Deliveries();
        int held;
        try (Member slow = new Member("renew", "explicit", Map.of("share.record.lock.duration.ms", String.valueOf(LOCK)));
             Member quick = new Member("renew", "implicit", Map.of())) {
            ConsumerRecords<String, String> its = slow.some();
            all.add(its);
            held = its.count();
            for (int i = 0; i < 6; i++) {
                for (ConsumerRecord<String, String> r : its) slow.consumer.acknowledge(r, AcknowledgeType.RENEW);
                slow.commit();
                all.add(quick.poll());
                Thread.sleep(LOCK / 3);
                its = slow.poll();
                check(its.count() == held, its.count() + " of " + held + " renewed records are there");
            }
            for (ConsumerRecord<String, String> r : its) slow.consumer.acknowledge(r);
            slow.commit();
            quick.drain(all, records);
        }
        all.expect(i -> 1);
        return held + " records were held for " + 2 * LOCK + " ms";
    }

    /** What nobody accepts comes as often as share.delivery.count.limit says. */
    private static String limit() throws Exception {
        Deliveries all = new Deliveries();
        try (Member member = new Member("limit", "explicit", Map.of("share.delivery.count.limit", "3"))) {
            for (long end = patience(); all.count < 3 * records; ) {
                ConsumerRecords<String, String> some = member.poll();
                all.add(some);
                for (ConsumerRecord<String, String> r : some) member.consumer.acknowledge(r, AcknowledgeType.RELEASE);
                member.commit();
                check(System.currentTimeMillis() < end, all.count + " deliveries");
            }
            all.add(member.poll());
        }
        all.expect(i -> 3);
        return all.count + " deliveries of " + records + " records";
    }

    /** What a member had that is killed with -9 comes to others long before its lock ends. */
    private static String killed() throws Exception {
        prepare("killed", Map.of());
        Process other = new ProcessBuilder("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-cp", System.getProperty("java.class.path"), "Scenario", "killed").redirectErrorStream(true).start();
        int held;
        try {
            String line;
            do {
                line = other.inputReader().readLine();
                check(line != null, "the other member ended");
            } while (!line.startsWith("holds "));
            held = Integer.parseInt(line.substring(6));
        } finally {
            other.destroyForcibly().waitFor();
        }
        long began = System.currentTimeMillis();
        Deliveries all = new Deliveries();
        try (Member member = new Member("killed", "implicit", Map.of())) {
            member.drain(all, records);
        }
        long took = System.currentTimeMillis() - began;
        check(took < 20_000, "it took " + took + " ms");
        check(all.twice == held, all.twice + " records came again, not " + held);
        all.expect(i -> 1);
        return held + " records of a member that was killed, after " + took + " ms";
    }

    private static void hold(String name) throws Exception {
        try (Member m = new Member(name, "explicit", Map.of())) {
            System.out.println("holds " + m.some().count());
            Thread.sleep(PATIENCE);
        }
    }

    /** Half of the records are accepted; of others that are on their way, the server is killed before they are. */
    private static String half() throws Exception {
        StringBuilder accepted = new StringBuilder();
        int n = 0;
        Member member = new Member("half", "explicit", Map.of());
        for (long end = patience(); n < records / 2; ) {
            ConsumerRecords<String, String> some = member.poll();
            for (ConsumerRecord<String, String> r : some) {
                boolean mine = Integer.parseInt(r.value()) % 3 != 0;
                member.consumer.acknowledge(r, mine ? AcknowledgeType.ACCEPT : AcknowledgeType.RELEASE);
                if (mine) {
                    accepted.append(r.value()).append('\n');
                    n++;
                }
            }
            member.commit();
            check(System.currentTimeMillis() < end, n + " records were accepted");
        }
        Files.writeString(Path.of(state + ".accepted"), accepted);
        int held = member.some().count();
        Runtime.getRuntime().halt(said("ok half " + n + " records accepted, " + held + " held")); // without giving them back
        return null;
    }

    private static int said(String line) {
        System.out.println(line);
        System.out.flush();
        return 0;
    }

    /** After the server was killed with -9, what was accepted does not come again, and all else does. */
    private static String resume() throws Exception {
        Set<Integer> accepted = new TreeSet<>();
        for (String line : Files.readAllLines(Path.of(state + ".accepted"))) accepted.add(Integer.parseInt(line));
        Deliveries all = new Deliveries();
        try (Member member = new Member("half", "implicit", Map.of())) {
            member.drain(all, records - accepted.size());
        }
        all.expect(i -> accepted.contains(i) ? 0 : 1);
        return all.count + " records, and none of " + accepted.size();
    }

    /** Kafka's own tools list, describe, reset and delete a group, and consume in it. */
    private static String tools() throws Exception {
        String g = group + "-half", read = "kafka-share-groups ";
        expect(groups("--list"), l -> l.equals(g), 1, read + "--list");
        expect(groups("--describe", "--group", g, "--state"), l -> l.startsWith(g) && l.contains("Empty"), 1, read + "--state");
        int partitions = Integer.parseInt(System.getenv("PARTITIONS"));
        expect(offsets(g), l -> l.matches(g + " +" + topic + " .* 0 *"), partitions, "nothing is left");
        groups("--reset-offsets", "--group", g, "--topic", topic, "--to-earliest", "--execute");
        expect(offsets(g), l -> l.matches(g + " +" + topic + " +[0-9]+ +0 .*"), partitions, "all from the beginning");
        String again = tool("org.apache.kafka.tools.consumer.ConsoleShareConsumer", "--topic", topic, "--group", g,
            "--max-messages", String.valueOf(records), "--timeout-ms", "30000");
        Set<String> numbers = new TreeSet<>();
        again.lines().filter(l -> l.matches("[0-9]+")).forEach(numbers::add);
        check(numbers.size() == records, "kafka-console-share-consumer read " + numbers.size() + " records: " + again);
        groups("--delete-offsets", "--group", g, "--topic", topic);
        expect(offsets(g), l -> l.startsWith(g) && l.contains(topic), 0, "no offsets are left");
        groups("--delete", "--group", g);
        expect(groups("--list"), l -> l.equals(g), 0, "the group is gone");
        return "list, describe, reset, consume, delete";
    }

    private static String offsets(String g) throws Exception {
        return groups("--describe", "--group", g, "--offsets");
    }

    private static String groups(String... arguments) throws Exception {
        return tool("org.apache.kafka.tools.consumer.group.ShareGroupCommand", arguments);
    }

    private static String tool(String name, String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", System.getenv("TOOLS_LIB") + "/*", name,
            "--bootstrap-server", System.getenv("BOOTSTRAP")));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes());
        check(process.waitFor() == 0, String.join(" ", arguments) + ": " + output);
        return output;
    }

    private static void expect(String output, java.util.function.Predicate<String> line, int n, String what) {
        check(output.lines().filter(line).count() == n, what + ":\n" + output);
    }

    private static Properties config() {
        Properties p = new Properties();
        p.put("bootstrap.servers", System.getenv("BOOTSTRAP"));
        return p;
    }

    private static long patience() {
        return System.currentTimeMillis() + PATIENCE;
    }

    private static void check(boolean fine, String what) {
        if (!fine) throw new AssertionError(what);
    }

    /** Makes the group of a step begin with the first record. */
    private static void prepare(String step, Map<String, String> configs) throws Exception {
        Map<String, String> all = new TreeMap<>(configs);
        all.put("share.auto.offset.reset", "earliest");
        List<AlterConfigOp> ops = new ArrayList<>();
        all.forEach((k, v) -> ops.add(new AlterConfigOp(new ConfigEntry(k, v), AlterConfigOp.OpType.SET)));
        Collection<AlterConfigOp> set = ops;
        try (Admin admin = Admin.create(config())) {
            admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, group + "-" + step), set)).all().get();
        }
    }

    /** A member of the group of a step. */
    private static final class Member implements AutoCloseable {
        final KafkaShareConsumer<String, String> consumer;
        int got;

        Member(String step, String mode, Map<String, String> configs) throws Exception {
            prepare(step, configs);
            Properties p = config();
            p.put("group.id", group + "-" + step);
            p.put("share.acknowledgement.mode", mode);
            consumer = new KafkaShareConsumer<>(p, new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(List.of(shared.contains(step) ? one : topic));
        }

        ConsumerRecords<String, String> poll() {
            ConsumerRecords<String, String> some = consumer.poll(Duration.ofMillis(500));
            got += some.count();
            return some;
        }

        /** Polls until something comes. */
        ConsumerRecords<String, String> some() {
            for (long end = patience(); ; check(System.currentTimeMillis() < end, "no record comes")) {
                ConsumerRecords<String, String> some = poll();
                if (!some.isEmpty()) return some;
            }
        }

        /** Polls until there were so many deliveries, acknowledges them, and looks for more. */
        void drain(Deliveries all, int deliveries) {
            for (long end = patience(); all.count < deliveries; ) {
                all.add(poll());
                check(System.currentTimeMillis() < end, all.count + " deliveries, not " + deliveries);
            }
            all.add(poll());
        }

        void commit() {
            for (Map.Entry<TopicIdPartition, java.util.Optional<KafkaException>> e : consumer.commitSync().entrySet()) {
                if (e.getValue().isPresent()) throw e.getValue().get();
            }
        }

        @Override
        public void close() {
            consumer.close();
        }
    }

    /** How often each record came. */
    private static final class Deliveries {
        final Map<Integer, Integer> by = new TreeMap<>();
        int count, twice; // twice: not for the first time, by what the broker says

        void add(ConsumerRecords<String, String> some) {
            for (ConsumerRecord<String, String> r : some) {
                by.merge(Integer.parseInt(r.value()), 1, Integer::sum);
                count++;
                if (r.deliveryCount().get() > 1) twice++;
            }
        }

        int size() {
            return by.size();
        }

        void expect(java.util.function.IntUnaryOperator times) {
            for (int i = 0; i < records; i++) {
                check(by.getOrDefault(i, 0) == times.applyAsInt(i), "record " + i + " came " + by.getOrDefault(i, 0) + " times, not " + times.applyAsInt(i));
            }
        }

        static Set<Integer> numbers(ConsumerRecords<String, String> some) {
            Set<Integer> all = new TreeSet<>();
            for (ConsumerRecord<String, String> r : some) all.add(Integer.parseInt(r.value()));
            return all;
        }
    }
}
