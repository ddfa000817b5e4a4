import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;

/**
 * An application of Kafka Streams (Application) under README.md beside run.sh: it counts while it is killed with -9, while
 * the server is, and when it is two; what it has counted is at the end what a plain count gives.
 */
public final class Scenario {
    private static final long PATIENCE = 100_000; // milliseconds that a step may wait for the counts
    private static final int WORDS = 40;

    private static final String topic = System.getenv("TOPIC"), group = System.getenv("GROUP"), state = System.getenv("STATE");
    private static final int records = Integer.parseInt(System.getenv("RECORDS"));

    public static void main(String[] args) throws Exception {
        if (System.getenv("PHASE").equals("1")) {
            Steps.step("version", () -> Steps.version(KafkaStreams.class, "/kafka/kafka-streams-version.properties"));
            Steps.step("create", Scenario::create);
            Instance one = new Instance("one");
            try {
                Steps.step("count", () -> count(0, 1, one));
                Steps.step("killed", () -> killed(one));
            } finally {
                one.kill();
            }
            return;
        }
        Instance one = new Instance("one");
        Instance two = null;
        try {
            Steps.step("resume", () -> count(2, 3, one));
            Instance other = two = new Instance("two");
            Steps.step("scale", () -> scale(one, other));
            if (System.getenv("FEATURES").contains("groups")) Steps.step("groups", () -> groups(one, other));
            Steps.step("alone", () -> alone(one, other));
        } finally {
            one.kill();
            if (two != null) two.kill();
        }
    }

    private static String create() throws Exception {
        short replication = Short.parseShort(System.getenv("REPLICATION"));
        try (Admin admin = Admin.create(config())) {
            int partitions = Integer.parseInt(System.getenv("PARTITIONS"));
            admin.createTopics(List.of(new NewTopic(topic, partitions, replication), new NewTopic(topic + "-counts", 1, replication))).all().get();
            return partitions + " partitions";
        }
    }

    /** Produces the parts from to end, of records lines each, and waits until all that was produced is counted. */
    private static String count(int from, int end, Instance... instances) throws Exception {
        long began = System.currentTimeMillis();
        produce(from * records, end * records);
        await(end * records, instances);
        return end * records + " lines in " + WORDS + " words after " + (System.currentTimeMillis() - began) + " ms";
    }

    /** Kills an instance in the middle of its work. */
    private static String killed(Instance one) throws Exception {
        produce(records, 2 * records - records / 2);
        one.kill();
        produce(2 * records - records / 2, 2 * records);
        return "with -9, " + records + " lines more";
    }

    /** Two instances share the tasks, and the counts go on. */
    private static String scale(Instance one, Instance two) throws Exception {
        long began = System.currentTimeMillis(), deadline = began + PATIENCE;
        String owners;
        while ((owners = owners(2)) == null) {
            check(System.currentTimeMillis() < deadline, "the second instance has no tasks", one, two);
            Thread.sleep(200);
        }
        long shared = System.currentTimeMillis() - began;
        return count(3, 4, one, two) + ", two have tasks after " + shared + " ms: " + owners;
    }

    /** Kafka's own tool lists and describes the group. */
    private static String groups(Instance one, Instance two) throws Exception {
        String list = tool("--list"), members = tool("--describe", "--members", "--group", group), offsets = tool("--describe", "--group", group);
        check(list.lines().anyMatch(group::equals), "not in the list:\n" + list, one, two);
        long active = members.lines().filter(l -> l.startsWith(group + " ") && l.contains("ACTIVE")).count();
        check(active == 2, active + " members with active tasks:\n" + members, one, two);
        for (String read : List.of(topic, group + "-by-word-repartition")) {
            long partitions = offsets.lines().filter(l -> l.startsWith(group + " ") && l.split(" +")[1].equals(read)).count();
            check(partitions == Integer.parseInt(System.getenv("PARTITIONS")), partitions + " partitions of " + read + ":\n" + offsets, one, two);
        }
        return "list, describe: " + active + " members";
    }

    private static String tool(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", System.getenv("TOOLS_LIB") + "/*",
            "org.apache.kafka.tools.streams.StreamsGroupCommand", "--bootstrap-server", System.getenv("BOOTSTRAP")));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes());
        if (process.waitFor() != 0) throw new AssertionError(String.join(" ", arguments) + ": " + output);
        return output;
    }

    /** The second is killed, and the first counts on. */
    private static String alone(Instance one, Instance two) throws Exception {
        produce(4 * records, 5 * records - records / 2);
        two.kill();
        produce(5 * records - records / 2, 5 * records);
        long began = System.currentTimeMillis();
        await(5 * records, one);
        return 5 * records + " lines, " + (System.currentTimeMillis() - began) + " ms after the second was killed";
    }

    /** The tasks of each member when so many have some, or null. */
    private static String owners(int members) throws Exception {
        List<String> owners = new ArrayList<>();
        try (Admin admin = Admin.create(config())) {
            if (System.getenv("PROTOCOL").equals("streams")) {
                admin.describeStreamsGroups(List.of(group)).all().get().get(group).members().forEach(m -> {
                    if (!m.assignment().activeTasks().isEmpty()) owners.add(m.assignment().activeTasks().toString());
                });
            } else {
                admin.describeConsumerGroups(List.of(group)).all().get().get(group).members().forEach(m -> {
                    if (!m.assignment().topicPartitions().isEmpty()) owners.add(m.assignment().topicPartitions().toString());
                });
            }
        }
        return owners.size() == members ? String.join(" and ", owners) : null;
    }

    private static String line(int i) {
        return "word-" + (long) i * i % WORDS + " " + i;
    }

    private static void produce(int from, int end) throws Exception {
        Properties p = config();
        p.put("key.serializer", StringSerializer.class);
        p.put("value.serializer", StringSerializer.class);
        p.put("linger.ms", 5);
        List<Future<?>> sent = new ArrayList<>();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(p)) {
            for (int i = from; i < end; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, i % Integer.parseInt(System.getenv("PARTITIONS")), null, line(i))));
            }
            for (Future<?> f : sent) f.get();
        }
    }

    /** Waits until the newest counts are those of the first so many lines. */
    private static void await(int lines, Instance... instances) throws Exception {
        Map<String, Long> want = new TreeMap<>(), got = new HashMap<>();
        for (int i = 0; i < lines; i++) want.merge(line(i).split(" ")[0], 1L, Long::sum);
        Properties p = config();
        p.put("key.deserializer", StringDeserializer.class);
        p.put("value.deserializer", LongDeserializer.class);
        long deadline = System.currentTimeMillis() + PATIENCE;
        try (KafkaConsumer<String, Long> consumer = new KafkaConsumer<>(p)) {
            List<TopicPartition> all = Collections.singletonList(new TopicPartition(topic + "-counts", 0));
            consumer.assign(all);
            consumer.seekToBeginning(all);
            while (!got.equals(want)) {
                check(System.currentTimeMillis() < deadline, "counted is " + new TreeMap<>(got) + ", not " + want, instances);
                for (ConsumerRecord<String, Long> r : consumer.poll(Duration.ofMillis(200))) got.put(r.key(), r.value());
            }
        }
    }

    private static void check(boolean fine, String what, Instance... instances) throws Exception {
        for (Instance i : instances) {
            if (!i.process.isAlive()) what += "; instance " + i.name + " has ended";
            fine &= i.process.isAlive();
        }
        if (fine) return;
        for (Instance i : instances) what += "\n" + i.name + ": " + tail(i.log.toPath());
        throw new AssertionError(what);
    }

    private static String tail(Path log) throws Exception {
        List<String> lines = Files.readAllLines(log);
        return String.join("\n  ", lines.subList(Math.max(0, lines.size() - 15), lines.size()));
    }

    private static Properties config() {
        Properties p = new Properties();
        p.put("bootstrap.servers", System.getenv("BOOTSTRAP"));
        return p;
    }

    /** A process of the application, with a directory of its own that outlives it. */
    private static final class Instance {
        final String name;
        final File log;
        final Process process;

        Instance(String name) throws Exception {
            this.name = name;
            log = new File(state + "." + name + ".log");
            process = new ProcessBuilder("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=" + System.getenv().getOrDefault("LOG_LEVEL", "warn"),
                "-cp", System.getProperty("java.class.path"), "Application", state + "." + name)
                .redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(log)).start();
            Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
        }

        void kill() throws Exception {
            process.destroyForcibly().waitFor();
        }
    }
}
