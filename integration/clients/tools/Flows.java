import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the commands of a file (arguments: the server's kind, an address, a file; flows.txt describes the form) one after another
 * in one JVM, and prints each command whose exit code or output is not what the file says. Its exit code is 1 if there is one.
 */
final class Flows {
    private static final Map<String, String> TOOLS = Map.ofEntries(
        Map.entry("topics", "org.apache.kafka.tools.TopicCommand"),
        Map.entry("configs", "kafka.admin.ConfigCommand"),
        Map.entry("client-metrics", "org.apache.kafka.tools.ClientMetricsCommand"),
        Map.entry("consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
        Map.entry("groups", "org.apache.kafka.tools.GroupsCommand"),
        Map.entry("delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
        Map.entry("log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
        Map.entry("get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
        Map.entry("broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
        Map.entry("features", "org.apache.kafka.tools.FeatureCommand"),
        Map.entry("metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand"),
        Map.entry("cluster", "org.apache.kafka.tools.ClusterTool"),
        Map.entry("reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"),
        Map.entry("leader-election", "org.apache.kafka.tools.LeaderElectionCommand"));

    /** What ends a tool in place of the JVM. An error, so that no tool takes it for a failure of its own. */
    private static final class Ended extends Error {}

    /** One command: its words, whether it is repeated until it fits, and the lines below it. */
    private record Step(String command, boolean repeated, List<String> wanted) {}

    private static final PrintStream out = System.out;
    private static String kind, address;
    private static Path folder;
    private static int code;
    private static Member member;

    public static void main(String[] args) throws Exception {
        kind = args[0];
        address = args[1];
        folder = Files.createTempDirectory("flows");
        Exit.setExitProcedure((status, message) -> end(status));
        Exit.setHaltProcedure((status, message) -> end(status));
        int failed = 0;
        List<Step> steps = read(Path.of(args[2]));
        for (Step step : steps) {
            String wrong = run(step);
            if (wrong != null) {
                failed++;
                out.println("$ " + step.command + "\n" + wrong);
            }
        }
        out.println((steps.size() - failed) + " commands as wanted, " + failed + " not");
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }

    /** Ends a tool; the first code counts, for some tools end once more on the way out. */
    private static void end(int status) {
        if (code < 0) code = status;
        throw new Ended();
    }

    private static List<Step> read(Path file) throws Exception {
        List<Step> steps = new ArrayList<>();
        for (String line : Files.readAllLines(file)) {
            if (line.startsWith("$~ ")) steps.add(new Step(line.substring(3), true, new ArrayList<>()));
            else if (line.startsWith("$ ")) steps.add(new Step(line.substring(2), false, new ArrayList<>()));
            else if (!line.isBlank() && !line.startsWith("#")) steps.get(steps.size() - 1).wanted.add(line.strip());
        }
        return steps;
    }

    /** Runs a step, and says what is wrong with it, or null. */
    private static String run(Step step) throws Exception {
        String wrong;
        long until = System.nanoTime() + Duration.ofSeconds(20).toNanos();
        do {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            try (PrintStream to = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
                command(step.command.replace("$DIR", folder.toString()).split(" +"), to);
            }
            wrong = wrong(step.wanted, bytes.toString(StandardCharsets.UTF_8));
        } while (wrong != null && step.repeated && System.nanoTime() < until);
        return wrong;
    }

    private static String wrong(List<String> wanted, String got) throws Exception {
        int exit = 0;
        StringBuilder wrong = new StringBuilder();
        for (String want : wanted) {
            if (want.startsWith("[")) {
                if (!want.startsWith("[" + kind + "] ")) continue;
                want = want.substring(want.indexOf(' ') + 1);
            }
            if (want.startsWith("exit ")) exit = Integer.parseInt(want.substring(5));
            else if (want.startsWith("save ")) Files.writeString(folder.resolve(want.substring(5)), got);
            else if (want.startsWith("no ") == Pattern.compile(want.replaceFirst("^no ", ""), Pattern.MULTILINE).matcher(got).find())
                wrong.append("  wanted: ").append(want).append('\n');
        }
        if (exit != code) wrong.append("  exit code ").append(code).append(", not ").append(exit).append('\n');
        return wrong.length() == 0 ? null : wrong + got.indent(4);
    }

    private static void command(String[] words, PrintStream to) throws Exception {
        code = 0;
        switch (words[0]) {
            case "file" -> Files.writeString(folder.resolve(words[1]), words[2]);
            case "produce" -> produce(words[1], Integer.parseInt(words[2]));
            case "member" -> member = new Member(words[1], words[2], words[3]);
            case "leave" -> member.leave();
            default -> tool(words, to);
        }
    }

    /** Runs a tool's main as its script does, its output and errors into to. */
    private static void tool(String[] words, PrintStream to) throws Exception {
        List<String> args = new ArrayList<>(Arrays.asList(words).subList(1, words.length));
        args.addAll(List.of("--bootstrap-server", address));
        // before the subcommand, where the tool has such and its options are the tool's
        if (List.of("metadata-quorum", "features").contains(words[0])) {
            args.subList(args.size() - 2, args.size()).clear();
            args.addAll(0, List.of("--bootstrap-server", address));
        }
        PrintStream err = System.err;
        System.setOut(to);
        System.setErr(to);
        code = -1;
        try {
            Class.forName(TOOLS.get(words[0])).getMethod("main", String[].class).invoke(null, (Object) args.toArray(String[]::new));
        } catch (java.lang.reflect.InvocationTargetException e) {
            if (!(e.getCause() instanceof Ended)) {
                e.getCause().printStackTrace(to);
                end1();
            }
        } finally {
            System.setOut(out);
            System.setErr(err);
            if (code < 0) code = 0;
        }
    }

    private static void end1() {
        if (code < 0) code = 1;
    }

    /** Produces records to partition 0, record i with the timestamp 1000000000000 + 1000 i. */
    private static void produce(String topic, int n) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", address);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < n; i++) producer.send(new ProducerRecord<>(topic, 0, 1_000_000_000_000L + 1000L * i, "k", "v" + i)).get();
        }
    }

    /** A member of a group, until it leaves; it commits the ends of what it reads. */
    private static final class Member extends Thread {
        private final KafkaConsumer<String, String> consumer;
        private volatile boolean leaving;

        Member(String protocol, String group, String topic) {
            Properties p = new Properties();
            p.put("bootstrap.servers", address);
            p.put("group.id", group);
            p.put("client.id", "member-of-" + group);
            p.put("group.protocol", protocol);
            p.put("auto.offset.reset", "earliest");
            p.put("auto.commit.interval.ms", "100");
            consumer = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(List.of(topic));
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            while (!leaving) consumer.poll(Duration.ofMillis(100));
            consumer.close();
        }

        void leave() throws InterruptedException {
            leaving = true;
            join();
        }
    }
}
