import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.message.StreamsGroupHeartbeatRequestData;
import org.apache.kafka.common.message.StreamsGroupHeartbeatResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.requests.StreamsGroupHeartbeatRequest;
import org.apache.kafka.common.serialization.StringDeserializer;

/** The calls for share groups (KIP-932) and streams groups (KIP-1071): while they have a member, when it has left, and when they are gone. */
final class KindCalls {
    private static final TopicPartition T0 = new TopicPartition("t", 0), NONE = new TopicPartition("none", 0);
    private final Admin admin;
    private final String bootstrap;

    KindCalls(Admin admin, String bootstrap) {
        this.admin = admin;
        this.bootstrap = bootstrap;
    }

    void all() throws Exception {
        share();
        streams();
        AdminCalls.say("listGroups", "of kinds", () -> AdminCalls.get(admin.listGroups(new ListGroupsOptions().withTypes(Set.of(GroupType.SHARE, GroupType.STREAMS))).all())
            .stream().map(g -> g.groupId() + " " + g.type().get() + " " + g.groupState().get() + " " + g.protocol()).sorted().toList());
        offsetsOfNobody();
    }

    private void share() throws Exception {
        ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, "share");
        AdminCalls.get(admin.incrementalAlterConfigs(Map.of(group, List.of(AdminCalls.set("share.auto.offset.reset", "earliest")))).all());
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("group.id", "share");
        p.put("client.id", "sharer");
        try (KafkaShareConsumer<String, String> member = new KafkaShareConsumer<>(p, new StringDeserializer(), new StringDeserializer())) {
            member.subscribe(List.of("t"));
            int seen = 0;
            for (int polls = 0; seen < 7 && polls < 60; polls++) seen += member.poll(Duration.ofMillis(500)).count();
            member.commitSync();
            describeShare("with a member");
            AdminCalls.say("alterShareGroupOffsets", "with a member", () -> AdminCalls.get(admin.alterShareGroupOffsets("share", Map.of(T0, 4L)).all()));
            AdminCalls.say("deleteShareGroupOffsets", "with a member", () -> AdminCalls.get(admin.deleteShareGroupOffsets("share", Set.of("t")).all()));
            AdminCalls.say("deleteShareGroups", "with a member", () -> AdminCalls.get(admin.deleteShareGroups(List.of("share")).all()));
            AdminCalls.say("describeConsumerGroups", "a share group", () -> AdminCalls.get(admin.describeConsumerGroups(List.of("share")).all()));
            AdminCalls.say("deleteConsumerGroups", "a share group", () -> AdminCalls.get(admin.deleteConsumerGroups(List.of("share")).all()));
            AdminCalls.say("alterConsumerGroupOffsets", "a share group", () -> AdminCalls.get(admin.alterConsumerGroupOffsets("share", Map.of(T0, new OffsetAndMetadata(1))).all()));
            AdminCalls.say("listConsumerGroupOffsets", "a share group", () -> AdminCalls.get(admin.listConsumerGroupOffsets("share").all()));
        }
        describeShare("empty");
        listShare("empty");
        AdminCalls.say("alterShareGroupOffsets", "to 4", () -> AdminCalls.get(admin.alterShareGroupOffsets("share", Map.of(T0, 4L)).all()));
        AdminCalls.say("alterShareGroupOffsets", "none", () -> AdminCalls.get(admin.alterShareGroupOffsets("share", Map.of(NONE, 4L)).all()));
        AdminCalls.say("alterShareGroupOffsets", "t-9", () -> AdminCalls.get(admin.alterShareGroupOffsets("share", Map.of(new TopicPartition("t", 9), 4L)).all()));
        AdminCalls.say("alterShareGroupOffsets", "negative", () -> AdminCalls.get(admin.alterShareGroupOffsets("share", Map.of(new TopicPartition("t", 2), -4L)).all()));
        AdminCalls.say("alterShareGroupOffsets", "beyond the end", () -> AdminCalls.get(admin.alterShareGroupOffsets("share", Map.of(new TopicPartition("t", 1), 99L)).all()));
        listShare("altered");
        AdminCalls.say("listShareGroupOffsets", "of t-0 and none-0", () -> new TreeMap<>(AdminCalls.get(admin.listShareGroupOffsets(
            Map.of("share", new ListShareGroupOffsetsSpec().topicPartitions(List.of(T0, NONE)))).all()).get("share").entrySet().stream()
            .collect(Collectors.toMap(e -> e.getKey().toString(), e -> String.valueOf(e.getValue())))));
        AdminCalls.say("deleteShareGroupOffsets", "none", () -> AdminCalls.get(admin.deleteShareGroupOffsets("share", Set.of("none")).all()));
        AdminCalls.say("deleteShareGroupOffsets", "t", () -> AdminCalls.get(admin.deleteShareGroupOffsets("share", Set.of("t")).all()));
        AdminCalls.say("deleteShareGroupOffsets", "t again", () -> AdminCalls.get(admin.deleteShareGroupOffsets("share", Set.of("t")).all()));
        listShare("deleted");
    }

    private void describeShare(String what) {
        AdminCalls.say("describeShareGroups", what, () -> {
            ShareGroupDescription d = AdminCalls.get(admin.describeShareGroups(List.of("share")).all()).get("share");
            List<String> members = new ArrayList<>();
            for (ShareMemberDescription m : d.members())
                members.add(m.clientId() + " " + m.host() + " " + m.assignment().topicPartitions().stream().map(TopicPartition::toString).sorted().toList());
            return d.groupState() + " " + d.coordinator().id() + " " + d.authorizedOperations() + " " + members;
        });
    }

    private void listShare(String what) {
        AdminCalls.say("listShareGroupOffsets", what, () -> {
            TreeMap<String, String> all = new TreeMap<>();
            AdminCalls.get(admin.listShareGroupOffsets(Map.of("share", new ListShareGroupOffsetsSpec())).all()).get("share")
                .forEach((tp, o) -> all.put(tp.toString(), o == null ? null : o.startOffset() + " " + o.leaderEpoch() + " " + o.lag()));
            return all;
        });
    }

    private void streams() throws Exception {
        String member = "AAAAAAAAAAAAAAAAAAAAAQ";
        AdminCalls.say("describeStreamsGroups", "joined", () -> heartbeat(member, 0));
        describeStreams("with a member");
        AdminCalls.say("alterStreamsGroupOffsets", "with a member", () -> AdminCalls.get(admin.alterStreamsGroupOffsets("streams", Map.of(T0, new OffsetAndMetadata(4))).all()));
        AdminCalls.say("deleteStreamsGroupOffsets", "with a member", () -> AdminCalls.get(admin.deleteStreamsGroupOffsets("streams", Set.of(T0)).all()));
        AdminCalls.say("deleteStreamsGroups", "with a member", () -> AdminCalls.get(admin.deleteStreamsGroups(List.of("streams")).all()));
        AdminCalls.say("describeConsumerGroups", "a streams group", () -> AdminCalls.get(admin.describeConsumerGroups(List.of("streams")).all()));
        AdminCalls.say("describeStreamsGroups", "left", () -> heartbeat(member, -1));
        describeStreams("empty");
        AdminCalls.say("alterStreamsGroupOffsets", "to 4", () -> AdminCalls.get(admin.alterStreamsGroupOffsets("streams", Map.of(T0, new OffsetAndMetadata(4, "m"))).all()));
        AdminCalls.say("alterStreamsGroupOffsets", "none", () -> AdminCalls.get(admin.alterStreamsGroupOffsets("streams", Map.of(NONE, new OffsetAndMetadata(4))).all()));
        AdminCalls.say("listStreamsGroupOffsets", "all", () -> AdminCalls.get(admin.listStreamsGroupOffsets(Map.of("streams", new ListStreamsGroupOffsetsSpec())).all()));
        AdminCalls.say("deleteStreamsGroupOffsets", "t-0", () -> AdminCalls.get(admin.deleteStreamsGroupOffsets("streams", Set.of(T0)).all()));
        AdminCalls.say("deleteStreamsGroupOffsets", "none", () -> AdminCalls.get(admin.deleteStreamsGroupOffsets("streams", Set.of(NONE)).all()));
        AdminCalls.say("listStreamsGroupOffsets", "deleted", () -> AdminCalls.get(admin.listStreamsGroupOffsets(Map.of("streams", new ListStreamsGroupOffsetsSpec())).all()));
        AdminCalls.say("deleteConsumerGroups", "a streams group", () -> AdminCalls.get(admin.deleteConsumerGroups(List.of("streams")).all()));
    }

    private void describeStreams(String what) {
        AdminCalls.say("describeStreamsGroups", what, () -> {
            StreamsGroupDescription d = AdminCalls.get(admin.describeStreamsGroups(List.of("streams")).all()).get("streams");
            List<String> members = new ArrayList<>(), parts = new ArrayList<>();
            for (StreamsGroupMemberDescription m : d.members())
                members.add(m.clientId() + " " + m.processId() + " " + m.topologyEpoch() + " " + m.isClassic() + " " + m.assignment().activeTasks());
            for (StreamsGroupSubtopologyDescription s : d.subtopologies()) parts.add(s.subtopologyId() + " " + s.sourceTopics());
            return d.groupState() + " " + d.topologyEpoch() + " " + d.assignorName() + " " + d.topologyDescriptionStatus() + " " + parts + " " + members;
        });
    }

    /** Sends the heartbeat of a member whose topology reads t, as the streams client would: the admin client has no way to join. */
    private Object heartbeat(String member, int epoch) throws Exception {
        short version = ApiKeys.STREAMS_GROUP_HEARTBEAT.latestVersion();
        StreamsGroupHeartbeatRequestData data = new StreamsGroupHeartbeatRequestData().setGroupId("streams").setMemberId(member).setMemberEpoch(epoch);
        if (epoch == 0)
            data.setRebalanceTimeoutMs(60000).setProcessId("process").setActiveTasks(List.of()).setStandbyTasks(List.of()).setWarmupTasks(List.of())
                .setClientTags(List.of()).setTopology(new StreamsGroupHeartbeatRequestData.Topology().setEpoch(0)
                    .setSubtopologies(List.of(new StreamsGroupHeartbeatRequestData.Subtopology().setSubtopologyId("0").setSourceTopics(List.of("t")))));
        ByteBuffer request = new StreamsGroupHeartbeatRequest.Builder(data).build(version).serializeWithHeader(new RequestHeader(ApiKeys.STREAMS_GROUP_HEARTBEAT, version, "streamer", 1));
        String[] address = bootstrap.split(":");
        try (Socket socket = new Socket(address[0], Integer.parseInt(address[1]))) {
            socket.setSoTimeout(20000);
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            out.writeInt(request.remaining());
            out.write(request.array(), request.arrayOffset() + request.position(), request.remaining());
            DataInputStream in = new DataInputStream(socket.getInputStream());
            byte[] response = new byte[in.readInt()];
            in.readFully(response);
            ByteBuffer body = ByteBuffer.wrap(response);
            body.position(5); // the correlation id, and no tags
            StreamsGroupHeartbeatResponseData answer = new StreamsGroupHeartbeatResponseData(new ByteBufferAccessor(body), version);
            return answer.errorCode() + " " + answer.errorMessage() + " " + answer.status();
        }
    }

    /** What groups that are not there, or are of another kind, are told. */
    private void offsetsOfNobody() throws Exception {
        AdminCalls.get(admin.alterConsumerGroupOffsets("g", Map.of(T0, new OffsetAndMetadata(5))).all());
        AdminCalls.say("alterShareGroupOffsets", "none group", () -> AdminCalls.get(admin.alterShareGroupOffsets("made", Map.of(T0, 4L)).all()));
        AdminCalls.say("describeShareGroups", "made by its offsets", () -> AdminCalls.get(admin.describeShareGroups(List.of("made")).all()).get("made").groupState());
        AdminCalls.say("deleteShareGroups", "made by its offsets", () -> AdminCalls.get(admin.deleteShareGroups(List.of("made")).all()));
        AdminCalls.say("deleteShareGroupOffsets", "none group", () -> AdminCalls.get(admin.deleteShareGroupOffsets("none", Set.of("t")).all()));
        AdminCalls.say("deleteShareGroups", "a classic group", () -> AdminCalls.get(admin.deleteShareGroups(List.of("g")).all()));
        AdminCalls.get(admin.alterConsumerGroupOffsets("g", Map.of(T0, new OffsetAndMetadata(5))).all());
        AdminCalls.say("alterShareGroupOffsets", "a classic group", () -> AdminCalls.get(admin.alterShareGroupOffsets("g", Map.of(T0, 4L)).all()));
        AdminCalls.say("describeShareGroups", "a classic group", () -> AdminCalls.get(admin.describeShareGroups(List.of("g")).all()));
        AdminCalls.say("listShareGroupOffsets", "a classic group", () -> AdminCalls.get(admin.listShareGroupOffsets(Map.of("g", new ListShareGroupOffsetsSpec())).all()));
        AdminCalls.say("describeStreamsGroups", "a classic group", () -> AdminCalls.get(admin.describeStreamsGroups(List.of("g")).all()));
        AdminCalls.say("listStreamsGroupOffsets", "none group", () -> AdminCalls.get(admin.listStreamsGroupOffsets(Map.of("none", new ListStreamsGroupOffsetsSpec())).all()));
        AdminCalls.say("deleteStreamsGroupOffsets", "none group", () -> AdminCalls.get(admin.deleteStreamsGroupOffsets("none", Set.of(T0)).all()));
        AdminCalls.say("deleteStreamsGroups", "none", () -> AdminCalls.get(admin.deleteStreamsGroups(List.of("none")).all()));
        AdminCalls.say("deleteStreamsGroups", "streams", () -> AdminCalls.get(admin.deleteStreamsGroups(List.of("streams")).all()));
        AdminCalls.say("deleteShareGroups", "share", () -> AdminCalls.get(admin.deleteShareGroups(List.of("share")).all()));
        AdminCalls.say("describeShareGroups", "gone", () -> AdminCalls.get(admin.describeShareGroups(List.of("share")).all()));
    }
}
