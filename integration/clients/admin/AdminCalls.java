import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.*;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Calls the admin client's methods, each on fresh and on missing things, and prints one line for every answer, without what
 * differs from cluster to cluster. README.md beside it says what the lines are compared with.
 */
final class AdminCalls {
    private static Admin admin;
    private static final Set<String> called = new HashSet<>();

    interface Call {
        Object ask() throws Exception;
    }

    /** Prints what a call answers, or its error. */
    static void say(String method, String what, Call call) {
        called.add(method);
        String answer;
        try {
            answer = String.valueOf(call.ask());
        } catch (ExecutionException e) {
            answer = error(e.getCause());
        } catch (Exception e) {
            answer = error(e);
        }
        System.out.println(method + " | " + what + " | " + plain(answer));
    }

    /** The error, without the message that the client makes of how long it took. */
    static String error(Throwable e) {
        return e instanceof TimeoutException || e instanceof org.apache.kafka.common.errors.TimeoutException ? "TimeoutException" : e.getClass().getSimpleName() + ": " + e.getMessage();
    }

    /** Without ids and addresses. */
    static String plain(String answer) {
        return answer.replaceAll("127\\.0\\.0\\.1:\\d+", "HOST").replaceAll("\\b(?!\\w*Exception)[A-Za-z0-9_-]{22}\\b", "ID").replace('\n', ' ');
    }

    static <T> T get(KafkaFuture<T> f) throws Exception {
        return f.get(20, TimeUnit.SECONDS);
    }

    static ConfigResource topic(String name) {
        return new ConfigResource(ConfigResource.Type.TOPIC, name);
    }

    static AlterConfigOp set(String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
    }

    static Object config(ConfigResource r, String name) throws Exception {
        ConfigEntry e = get(admin.describeConfigs(List.of(r), new DescribeConfigsOptions().includeSynonyms(true)).all()).get(r).get(name);
        return e == null ? null : e.value() + " " + e.source() + " " + e.type() + " " + e.isReadOnly() + " " + e.synonyms();
    }

    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", args[0]);
        p.put("request.timeout.ms", "10000");
        p.put("default.api.timeout.ms", "20000");
        try (Admin a = Admin.create(p)) {
            admin = a;
            topics();
            records(args[0]);
            configs();
            quotas();
            groups();
            new KindCalls(a, args[0]).all();
            new ConfigCalls(a).all(args[0]);
            cluster();
            security();
        }
        checkAllCalled();
    }

    /** Methods that are not called, and why. */
    private static final Map<String, String> LEFT = new TreeMap<>();

    static {
        for (String name : List.of("create", "close", "metrics", "registerMetricForSubscription", "unregisterMetricFromSubscription"))
            LEFT.put(name, "asks no broker");
        for (String name : List.of("describeTransactions", "abortTransaction", "forceTerminateTransaction"))
            LEFT.put(name, "transactions are not there yet");
        for (String name : List.of("createAcls", "deleteAcls")) LEFT.put(name, "authorization is not there yet");
        for (String name : List.of("alterUserScramCredentials", "createDelegationToken", "describeDelegationToken", "expireDelegationToken", "renewDelegationToken"))
            LEFT.put(name, "authentication is not there yet");
    }

    /** Fails when the client has a method that is neither called nor explained, as a newer one may, or explains one that is called or not there. */
    static void checkAllCalled() {
        TreeSet<String> there = new TreeSet<>(), missed = new TreeSet<>(), stale = new TreeSet<>();
        for (Method m : Admin.class.getMethods()) if (m.getDeclaringClass() == Admin.class) there.add(m.getName());
        for (String name : there) if (!called.contains(name) && !LEFT.containsKey(name)) missed.add(name);
        for (String name : LEFT.keySet()) if (called.contains(name) || !there.contains(name)) stale.add(name);
        if (missed.isEmpty() && stale.isEmpty()) return;
        System.err.println("methods that are neither called nor explained: " + missed + "; explained for nothing: " + stale);
        System.exit(1);
    }

    static void topics() {
        NewTopic t = new NewTopic("t", 3, (short) 1).configs(Map.of("retention.ms", "1000000"));
        say("createTopics", "t", () -> {
            CreateTopicsResult r = admin.createTopics(List.of(t));
            return get(r.numPartitions("t")) + " " + get(r.replicationFactor("t")) + " " + get(r.config("t")).get("retention.ms").source();
        });
        for (String name : List.of("t", "", ".", "a b", "x".repeat(250), "__cluster_metadata"))
            say("createTopics", "name " + name, () -> get(admin.createTopics(List.of(new NewTopic(name, 1, (short) 1))).all()));
        say("createTopics", "t.x then t_x", () -> {
            get(admin.createTopics(List.of(new NewTopic("t.x", 1, (short) 1))).all());
            return get(admin.createTopics(List.of(new NewTopic("t_x", 1, (short) 1))).all());
        });
        say("createTopics", "0 partitions", () -> get(admin.createTopics(List.of(new NewTopic("n", 0, (short) 1))).all()));
        say("createTopics", "9 replicas", () -> get(admin.createTopics(List.of(new NewTopic("n", 1, (short) 9))).all()));
        say("createTopics", "defaults", () -> get(admin.createTopics(List.of(new NewTopic("d", Optional.empty(), Optional.empty()))).numPartitions("d")));
        say("createTopics", "assigned to nobody", () -> get(admin.createTopics(List.of(new NewTopic("n", Map.of(0, List.of(7))))).all()));
        say("createTopics", "bad config", () -> get(admin.createTopics(List.of(new NewTopic("n", 1, (short) 1).configs(Map.of("retention.ms", "x")))).all()));
        say("createTopics", "unknown config", () -> get(admin.createTopics(List.of(new NewTopic("n", 1, (short) 1).configs(Map.of("nope", "1")))).all()));
        say("createTopics", "validate only", () -> get(admin.createTopics(List.of(new NewTopic("v", 1, (short) 1)), new CreateTopicsOptions().validateOnly(true)).all()));
        say("listTopics", "", () -> new TreeSet<>(get(admin.listTopics().names())));
        say("describeTopics", "t", () -> {
            TopicDescription d = get(admin.describeTopics(List.of("t")).allTopicNames()).get("t");
            return d.name() + " " + d.isInternal() + " " + d.partitions();
        });
        say("describeTopics", "none", () -> get(admin.describeTopics(List.of("none")).allTopicNames()));
        say("describeTopics", "unknown id", () -> get(admin.describeTopics(TopicCollection.ofTopicIds(List.of(new Uuid(1, 2)))).allTopicIds()));
        say("createPartitions", "t to 4", () -> get(admin.createPartitions(Map.of("t", NewPartitions.increaseTo(4))).all()));
        say("createPartitions", "t to 4 again", () -> get(admin.createPartitions(Map.of("t", NewPartitions.increaseTo(4))).all()));
        say("createPartitions", "t to 2", () -> get(admin.createPartitions(Map.of("t", NewPartitions.increaseTo(2))).all()));
        say("createPartitions", "none", () -> get(admin.createPartitions(Map.of("none", NewPartitions.increaseTo(4))).all()));
        say("createPartitions", "two assignments for one", () -> get(admin.createPartitions(Map.of("t", NewPartitions.increaseTo(5, List.of(List.of(1), List.of(1))))).all()));
        say("deleteTopics", "d", () -> get(admin.deleteTopics(List.of("d")).all()));
        say("deleteTopics", "none", () -> get(admin.deleteTopics(List.of("none")).all()));
        say("deleteTopics", "unknown id", () -> get(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(new Uuid(1, 2)))).all()));
        say("alterPartitionReassignments", "to itself", () -> get(admin.alterPartitionReassignments(Map.of(new TopicPartition("t", 0), Optional.of(new NewPartitionReassignment(List.of(1))))).all()));
        say("alterPartitionReassignments", "to nobody", () -> get(admin.alterPartitionReassignments(Map.of(new TopicPartition("t", 0), Optional.of(new NewPartitionReassignment(List.of(7))))).all()));
        say("alterPartitionReassignments", "cancel none", () -> get(admin.alterPartitionReassignments(Map.of(new TopicPartition("t", 0), Optional.empty())).all()));
        say("listPartitionReassignments", "", () -> get(admin.listPartitionReassignments().reassignments()));
        say("electLeaders", "not needed", () -> get(admin.electLeaders(ElectionType.PREFERRED, Set.of(new TopicPartition("t", 0))).partitions()));
        say("electLeaders", "none", () -> get(admin.electLeaders(ElectionType.UNCLEAN, Set.of(new TopicPartition("none", 0))).partitions()));
    }

    static void records(String bootstrap) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("client.id", "writer");
        TopicPartition t0 = new TopicPartition("t", 0);
        try (KafkaProducer<String, String> out = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < 10; i++) out.send(new ProducerRecord<>("t", 0, 1000L + i, "k", "v" + i)).get();
            say("describeProducers", "t-0", () -> get(admin.describeProducers(List.of(t0)).partitionResult(t0)).activeProducers().stream()
                .map(s -> s.producerEpoch() + " " + s.lastSequence() + " " + s.lastTimestamp() + " " + s.coordinatorEpoch() + " " + s.currentTransactionStartOffset()).toList());
        }
        say("describeProducers", "none", () -> get(admin.describeProducers(List.of(new TopicPartition("none", 0))).all()));
        for (OffsetSpec s : List.of(OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.maxTimestamp(), OffsetSpec.forTimestamp(1005), OffsetSpec.earliestLocal(), OffsetSpec.latestTiered()))
            say("listOffsets", s.getClass().getSimpleName(), () -> get(admin.listOffsets(Map.of(t0, s)).partitionResult(t0)));
        say("deleteRecords", "before 3", () -> get(admin.deleteRecords(Map.of(t0, RecordsToDelete.beforeOffset(3))).lowWatermarks().get(t0)).lowWatermark());
        say("deleteRecords", "beyond the end", () -> get(admin.deleteRecords(Map.of(t0, RecordsToDelete.beforeOffset(99))).all()));
        say("describeLogDirs", "1", () -> get(admin.describeLogDirs(List.of(1)).allDescriptions()).get(1).values().stream()
            .map(d -> d.error() + " " + d.replicaInfos().containsKey(t0) + " " + d.totalBytes().isPresent()).toList());
        say("describeReplicaLogDirs", "t-0", () -> get(admin.describeReplicaLogDirs(List.of(new TopicPartitionReplica("t", 0, 1))).all()).values().stream().map(d -> d.getCurrentReplicaLogDir() != null).toList());
        say("alterReplicaLogDirs", "nowhere", () -> get(admin.alterReplicaLogDirs(Map.of(new TopicPartitionReplica("t", 0, 1), "/nowhere")).all()));
    }

    static void configs() {
        ConfigResource t = topic("t"), broker = new ConfigResource(ConfigResource.Type.BROKER, "1"), all = new ConfigResource(ConfigResource.Type.BROKER, "");
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, "g");
        say("incrementalAlterConfigs", "t", () -> get(admin.incrementalAlterConfigs(Map.of(t, List.of(set("segment.ms", "5000"), set("cleanup.policy", "compact")))).all()));
        for (String name : List.of("segment.ms", "cleanup.policy", "retention.ms", "max.message.bytes", "min.insync.replicas"))
            say("describeConfigs", "t " + name, () -> config(t, name));
        say("describeConfigs", "t all", () -> get(admin.describeConfigs(List.of(t)).all()).get(t).entries().stream().map(ConfigEntry::name).sorted().toList());
        say("describeConfigs", "none", () -> config(topic("none"), "retention.ms"));
        say("describeConfigs", "broker", () -> config(broker, "log.retention.ms"));
        for (String name : List.of("consumer.session.timeout.ms", "share.auto.offset.reset", "streams.num.standby.replicas", "streams.assignor.name"))
            say("describeConfigs", "group " + name, () -> config(group, name));
        for (AlterConfigOp op : List.of(set("nope", "1"), set("retention.ms", "x"), set("segment.bytes", "1"), new AlterConfigOp(new ConfigEntry("retention.ms", "1"), AlterConfigOp.OpType.APPEND)))
            say("incrementalAlterConfigs", "t " + op.configEntry().name() + " " + op.opType(), () -> get(admin.incrementalAlterConfigs(Map.of(t, List.of(op))).all()));
        say("incrementalAlterConfigs", "none", () -> get(admin.incrementalAlterConfigs(Map.of(topic("none"), List.of(set("segment.ms", "5000")))).all()));
        say("incrementalAlterConfigs", "broker static", () -> get(admin.incrementalAlterConfigs(Map.of(broker, List.of(set("num.partitions", "3")))).all()));
        say("incrementalAlterConfigs", "all brokers", () -> get(admin.incrementalAlterConfigs(Map.of(all, List.of(set("log.cleaner.threads", "1")))).all()));
        for (AlterConfigOp op : List.of(set("consumer.session.timeout.ms", "50000"), set("consumer.session.timeout.ms", "1"), set("nope", "1")))
            say("incrementalAlterConfigs", "group " + op.configEntry(), () -> get(admin.incrementalAlterConfigs(Map.of(group, List.of(op))).all()));
    }

    static void quotas() {
        ClientQuotaEntity alice = new ClientQuotaEntity(Map.of("user", "alice")), ip = new ClientQuotaEntity(Map.of("ip", "192.0.2.1"));
        Object[][] cases = {{alice, "producer_byte_rate", 1000.0}, {alice, "nope", 1.0}, {alice, "producer_byte_rate", 0.0}, {alice, "producer_byte_rate", 1.5},
            {ip, "connection_creation_rate", 5.0}, {ip, "producer_byte_rate", 5.0}, {new ClientQuotaEntity(Map.of("group", "g")), "producer_byte_rate", 5.0}};
        for (Object[] c : cases)
            say("alterClientQuotas", c[0] + " " + c[1] + " " + c[2],
                () -> get(admin.alterClientQuotas(List.of(new ClientQuotaAlteration((ClientQuotaEntity) c[0], List.of(new ClientQuotaAlteration.Op((String) c[1], (Double) c[2]))))).all()));
        say("describeClientQuotas", "all", () -> new TreeMap<>(get(admin.describeClientQuotas(ClientQuotaFilter.all()).entities()).entrySet().stream()
            .collect(Collectors.toMap(e -> e.getKey().toString(), Map.Entry::getValue))));
        Map<String, ClientQuotaFilter> filters = new TreeMap<>(Map.of(
            "alice", ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntity("user", "alice"))),
            "bob", ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntity("user", "bob"))),
            "any user", ClientQuotaFilter.containsOnly(List.of(ClientQuotaFilterComponent.ofEntityType("user"))),
            "default user", ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofDefaultEntity("user"))),
            "a group", ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntity("group", "g"))),
            "no type", ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntityType(""))),
            "a user twice", ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntityType("user"), ClientQuotaFilterComponent.ofEntity("user", "alice"))),
            "ip and user", ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntityType("ip"), ClientQuotaFilterComponent.ofEntityType("user")))));
        filters.forEach((what, f) -> say("describeClientQuotas", what, () -> get(admin.describeClientQuotas(f).entities())));
        say("alterClientQuotas", "remove", () -> get(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(ip, List.of(new ClientQuotaAlteration.Op("connection_creation_rate", null))))).all()));
        say("alterClientQuotas", "an address that is none", () -> get(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(new ClientQuotaEntity(Map.of("ip", "no address")), List.of(new ClientQuotaAlteration.Op("connection_creation_rate", 1.0))))).all()));
        say("describeClientQuotas", "after", () -> get(admin.describeClientQuotas(ClientQuotaFilter.all()).entities()));
    }

    static void groups() {
        TopicPartition t0 = new TopicPartition("t", 0);
        say("alterConsumerGroupOffsets", "g", () -> get(admin.alterConsumerGroupOffsets("g", Map.of(t0, new OffsetAndMetadata(5, "m"))).all()));
        say("listConsumerGroupOffsets", "g", () -> get(admin.listConsumerGroupOffsets("g").partitionsToOffsetAndMetadata()));
        say("listGroups", "", () -> get(admin.listGroups().all()).stream().map(GroupListing::groupId).sorted().toList());
        say("listConsumerGroups", "", () -> get(admin.listConsumerGroups().all()).stream().map(ConsumerGroupListing::groupId).sorted().toList());
        say("describeConsumerGroups", "g", () -> get(admin.describeConsumerGroups(List.of("g")).all()).get("g").groupState());
        say("describeConsumerGroups", "none", () -> get(admin.describeConsumerGroups(List.of("none")).all()));
        say("describeClassicGroups", "g", () -> get(admin.describeClassicGroups(List.of("g")).all()).get("g").state());
        say("describeShareGroups", "none", () -> get(admin.describeShareGroups(List.of("none")).all()));
        say("listShareGroupOffsets", "none", () -> get(admin.listShareGroupOffsets(Map.of("none", new ListShareGroupOffsetsSpec())).all()));
        say("describeStreamsGroups", "none", () -> get(admin.describeStreamsGroups(List.of("none")).all()));
        say("removeMembersFromConsumerGroup", "none", () -> get(admin.removeMembersFromConsumerGroup("g", new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("i")))).all()));
        say("deleteConsumerGroups", "none", () -> get(admin.deleteConsumerGroups(List.of("none")).all()));
        say("deleteShareGroups", "none", () -> get(admin.deleteShareGroups(List.of("none")).all()));
        say("alterConsumerGroupOffsets", "none", () -> get(admin.alterConsumerGroupOffsets("g", Map.of(new TopicPartition("none", 0), new OffsetAndMetadata(5))).all()));
        say("alterConsumerGroupOffsets", "long metadata", () -> get(admin.alterConsumerGroupOffsets("g", Map.of(t0, new OffsetAndMetadata(5, "m".repeat(5000)))).all()));
        say("listConsumerGroupOffsets", "none group", () -> get(admin.listConsumerGroupOffsets("none").all()));
        say("deleteConsumerGroupOffsets", "none group", () -> get(admin.deleteConsumerGroupOffsets("none", Set.of(t0)).all()));
        say("deleteConsumerGroupOffsets", "none", () -> get(admin.deleteConsumerGroupOffsets("g", Set.of(new TopicPartition("none", 0))).all()));
        say("describeClassicGroups", "none", () -> get(admin.describeClassicGroups(List.of("none")).all()));
        say("listGroups", "of a state", () -> get(admin.listGroups(new ListGroupsOptions().inGroupStates(Set.of(GroupState.EMPTY))).all()).stream().map(GroupListing::toString).sorted().toList());
        say("deleteConsumerGroupOffsets", "g", () -> get(admin.deleteConsumerGroupOffsets("g", Set.of(t0)).all()));
    }

    static void cluster() {
        say("listConfigResources", "", () -> get(admin.listConfigResources(Set.of(ConfigResource.Type.TOPIC, ConfigResource.Type.GROUP, ConfigResource.Type.BROKER), new ListConfigResourcesOptions()).all())
            .stream().filter(r -> !r.name().startsWith("__")).map(ConfigResource::toString).sorted().toList());
        say("listConfigResources", "all types", () -> get(admin.listConfigResources().all()).stream().filter(r -> !r.name().startsWith("__")).map(ConfigResource::toString).sorted().toList());
        say("listClientMetricsResources", "", () -> get(admin.listClientMetricsResources().all()));
        say("describeCluster", "", () -> get(admin.describeCluster().nodes()).stream().map(n -> n.id() + " " + n.isFenced()).toList() + " " + get(admin.describeCluster().controller()).id());
        say("describeFeatures", "", () -> new TreeMap<>(get(admin.describeFeatures().featureMetadata()).finalizedFeatures()).keySet());
        say("updateFeatures", "none", () -> get(admin.updateFeatures(Map.of("nope.version", new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions()).all()));
        say("describeMetadataQuorum", "", () -> get(admin.describeMetadataQuorum().quorumInfo()).leaderId());
        say("unregisterController", "7", () -> get(admin.unregisterController(7).all()));
        say("unregisterBroker", "7", () -> get(admin.unregisterBroker(7).all()));
        say("addRaftVoter", "7", () -> get(admin.addRaftVoter(7, new Uuid(1, 2), Set.of(new RaftVoterEndpoint("CONTROLLER", "127.0.0.1", 1))).all()));
        say("removeRaftVoter", "7", () -> get(admin.removeRaftVoter(7, new Uuid(1, 2)).all()));
        say("clientInstanceId", "", () -> admin.clientInstanceId(java.time.Duration.ofSeconds(5)));
    }

    static void security() {
        say("describeAcls", "any", () -> get(admin.describeAcls(org.apache.kafka.common.acl.AclBindingFilter.ANY).values()));
        say("describeUserScramCredentials", "", () -> get(admin.describeUserScramCredentials().all()));
        say("listTransactions", "", () -> get(admin.listTransactions().all()));
        say("fenceProducers", "x", () -> get(admin.fenceProducers(List.of("x")).all()));
    }
}
