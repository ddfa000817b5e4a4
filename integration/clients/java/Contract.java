import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What run.sh asks (README.md beside it), the records, and the tally that checks them; knows no Kafka class. */
final class Contract {
    final String bootstrap = env("BOOTSTRAP"), topic = env("TOPIC"), group = env("GROUP"), phase = env("PHASE");
    final String state = env("STATE");
    final int records = number("RECORDS"), partitions = number("PARTITIONS"), replication = number("REPLICATION");
    final long baseTime = Long.parseLong(env("BASE_TIME"));
    final List<String> codecs = words("CODECS");
    final Set<String> features = new HashSet<>(words("FEATURES"));
    final List<String> peers = words("PEERS"); // topic:total

    /** One produce step: the records first to first + records, with one codec. */
    static final class Step {
        final String name, codec;
        final boolean idempotent;
        final int first;

        Step(String name, String codec, boolean idempotent, int first) {
            this.name = name;
            this.codec = codec;
            this.idempotent = idempotent;
            this.first = first;
        }
    }

    List<Step> steps() {
        List<Step> steps = new ArrayList<>();
        for (String codec : codecs) steps.add(new Step("produce-" + codec, codec, false, steps.size() * records));
        if (!features.contains("idempotent")) return steps;
        for (String codec : codecs) steps.add(new Step("idempotent-" + codec, codec, true, steps.size() * records));
        return steps;
    }

    int total() {
        return steps().size() * records;
    }

    Step after() {
        return new Step("after", codecs.get(codecs.size() - 1), features.contains("idempotent"), total());
    }

    static String key(int i) {
        return i % 10 == 0 ? null : "key-" + i % 50;
    }

    static String value(String topic, String codec, int i) {
        char[] padding = new char[i % 200];
        Arrays.fill(padding, (char) ('a' + i % 26));
        String head = topic + " " + codec + " " + i + " " + new String(padding);
        StringBuilder hex = new StringBuilder();
        for (byte b : sha256(head)) hex.append(String.format("%02x", b));
        return head + " " + hex;
    }

    private static byte[] sha256(String s) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(s.getBytes(StandardCharsets.UTF_8));
        } catch (java.security.NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /**
     * Checks that the records first to end arrive once each, with their own bytes, in order and without an offset left
     * out; next starts with the first offset of partitions where it is known.
     */
    static final class Tally {
        final String topic;
        final int first, end;
        final Map<Integer, Long> next = new HashMap<>();
        final Map<Integer, Integer> last = new HashMap<>();
        final Set<Integer> seen = new HashSet<>();

        Tally(String topic, int first, int end) {
            this.topic = topic;
            this.first = first;
            this.end = end;
        }

        void add(int partition, long offset, String key, String value) {
            String where = "partition " + partition + " offset " + offset + ": ";
            String[] fields = value.split(" ");
            int i = Integer.parseInt(fields[2]);
            expect(value.equals(value(topic, fields[1], i)), where + "bytes of record " + i + " differ");
            expect(java.util.Objects.equals(key, key(i)), where + "record " + i + " has key " + key);
            expect(i >= first && i < end, where + "record " + i + " is not one of " + first + " to " + (end - 1));
            expect(seen.add(i), where + "record " + i + " came twice");
            expect(i > last.getOrDefault(partition, -1), where + "record " + i + " came after " + last.get(partition));
            expect(offset == next.getOrDefault(partition, offset), where + "expected offset " + next.get(partition));
            last.put(partition, i);
            next.put(partition, offset + 1);
        }
    }

    static void expect(boolean holds, String otherwise) {
        if (!holds) throw new IllegalStateException(otherwise);
    }

    static String env(String name) {
        String v = System.getenv(name);
        return v == null ? "" : v;
    }

    static int number(String name) {
        return Integer.parseInt(env(name));
    }

    private static List<String> words(String name) {
        String all = env(name).trim();
        return all.isEmpty() ? new ArrayList<>() : Arrays.asList(all.split(" +"));
    }
}
