import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringSerializer;

/** Bad values for every config that is described, and names for which a topic is made without being asked for. */
final class ConfigCalls {
    /** What is not there yet, whole; kafka/config/testdata/without.txt says the same of all that is left out. */
    private static final Pattern LEFT = Pattern.compile("(ssl|sasl|remote|log\\.remote|transaction)\\..*");
    private final Admin admin;

    ConfigCalls(Admin admin) {
        this.admin = admin;
    }

    /** Values that configs of a type may or may not have. */
    private static List<String> values(ConfigEntry.ConfigType type) {
        switch (type) {
            case INT: case LONG: case SHORT: return List.of("x", "1.5", "-2", "-1", "0", "99999999999999999999");
            case DOUBLE: return List.of("x", "-0.1", "1.1");
            case BOOLEAN: return List.of("yes", "1");
            default: return List.of("nope", "", "a,a");
        }
    }

    void all(String bootstrap) throws Exception {
        ConfigResource topic = AdminCalls.topic("t"), broker = new ConfigResource(ConfigResource.Type.BROKER, "1"), brokers = new ConfigResource(ConfigResource.Type.BROKER, "");
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, "g");
        refused("topic", topic, topic);
        refused("all brokers", broker, brokers);
        refused("group", group, group);
        operations(topic, broker);
        autoCreated(bootstrap);
    }

    /** Operations and resources that are not what they should be. */
    private void operations(ConfigResource topic, ConfigResource broker) {
        Object[][] cases = {
            {"append", topic, new AlterConfigOp(new ConfigEntry("cleanup.policy", "delete"), AlterConfigOp.OpType.APPEND)},
            {"append what is none", topic, new AlterConfigOp(new ConfigEntry("cleanup.policy", "nope"), AlterConfigOp.OpType.APPEND)},
            {"subtract", topic, new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.SUBTRACT)},
            {"delete what is not set", topic, new AlterConfigOp(new ConfigEntry("flush.ms", null), AlterConfigOp.OpType.DELETE)},
            {"delete what is unknown", topic, new AlterConfigOp(new ConfigEntry("nope", null), AlterConfigOp.OpType.DELETE)},
            {"a broker without a number", new ConfigResource(ConfigResource.Type.BROKER, "x"), AdminCalls.set("log.retention.ms", "1000")},
            {"a broker's unknown", broker, AdminCalls.set("nope", "1")},
            {"a topic's name that is none", AdminCalls.topic("a b"), AdminCalls.set("flush.ms", "1")},
            {"a group without a name", new ConfigResource(ConfigResource.Type.GROUP, ""), AdminCalls.set("consumer.session.timeout.ms", "50000")},
            {"an unknown type", new ConfigResource(ConfigResource.Type.UNKNOWN, "x"), AdminCalls.set("a", "1")},
        };
        for (Object[] c : cases)
            AdminCalls.say("incrementalAlterConfigs", (String) c[0], () -> AdminCalls.get(admin.incrementalAlterConfigs(
                Map.of((ConfigResource) c[1], List.of((AlterConfigOp) c[2])), new AlterConfigsOptions().validateOnly(true)).all()));
        AdminCalls.say("describeConfigs", "a broker without a number", () -> AdminCalls.config(new ConfigResource(ConfigResource.Type.BROKER, "x"), "log.retention.ms"));
        AdminCalls.say("describeConfigs", "all brokers", () -> AdminCalls.config(new ConfigResource(ConfigResource.Type.BROKER, ""), "log.cleaner.threads"));
        AdminCalls.say("describeConfigs", "a logger", () -> AdminCalls.get(admin.describeConfigs(List.of(new ConfigResource(ConfigResource.Type.BROKER_LOGGER, "1"))).all()).isEmpty());
    }

    /** Asks a producer for the partitions of topics that are not there: a broker makes them, or refuses their names. */
    private static void autoCreated(String bootstrap) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("max.block.ms", "4000");
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer())) {
            for (String name : List.of("auto", "auto.x", "auto_x", "a b", ".", "..", "x".repeat(250), "x".repeat(249), "__cluster_metadata", "__consumer_offsets"))
                AdminCalls.say("createTopics", "made for a producer: " + name, () -> producer.partitionsFor(name).size());
        }
    }

    /** Sets every config of the resource that may be set to values of its type, without doing it: one line for a config, "ok" where it may be had. */
    private void refused(String of, ConfigResource described, ConfigResource altered) throws Exception {
        TreeMap<String, ConfigEntry> all = new TreeMap<>();
        for (ConfigEntry e : AdminCalls.get(admin.describeConfigs(List.of(described)).all()).get(described).entries()) all.put(e.name(), e);
        for (ConfigEntry e : all.values()) {
            if (e.isReadOnly() || LEFT.matcher(e.name()).matches()) continue;
            List<String> answers = new ArrayList<>();
            for (String value : values(e.type())) answers.add("'" + value + "' " + outcome(e.name(), value, altered));
            AdminCalls.say("incrementalAlterConfigs", of + " " + e.name() + " to bad values", () -> String.join("; ", answers));
        }
    }

    /** What is said of a value, without its repetition; of brokers without the error, which is INVALID_REQUEST in Kafka and INVALID_CONFIG here. */
    private String outcome(String name, String value, ConfigResource altered) throws Exception {
        try {
            AdminCalls.get(admin.incrementalAlterConfigs(Map.of(altered, List.of(AdminCalls.set(name, value))), new AlterConfigsOptions().validateOnly(true)).all());
            return "ok";
        } catch (ExecutionException e) {
            String error = altered.type() == ConfigResource.Type.BROKER ? "" : e.getCause().getClass().getSimpleName() + ": ";
            return error + e.getCause().getMessage().replace("Invalid value " + value + " for configuration " + name + ": ", "");
        }
    }
}
