import java.nio.ByteBuffer;
import java.util.BitSet;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Counts lines "WORD NUMBER" of TOPIC by word into TOPIC-counts: through a repartition topic, since the lines have no keys,
 * and with state, the numbers that each word came with. A number counts once, since at least once is what is asked for. Runs
 * until it is killed, and says so when it has come to run.
 */
public final class Application {
    public static void main(String[] args) throws Exception {
        String topic = System.getenv("TOPIC");
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(topic, Consumed.with(Serdes.ByteArray(), Serdes.String()))
            .map((key, line) -> KeyValue.pair(line.substring(0, line.indexOf(' ')), Integer.parseInt(line.substring(line.indexOf(' ') + 1))))
            .groupByKey(Grouped.with("by-word", Serdes.String(), Serdes.Integer()))
            .aggregate(() -> new byte[0], (word, number, seen) -> with(seen, number),
                Materialized.<String, byte[], KeyValueStore<Bytes, byte[]>>as("numbers").withKeySerde(Serdes.String()).withValueSerde(Serdes.ByteArray()))
            .toStream()
            .mapValues(seen -> (long) BitSet.valueOf(seen).cardinality())
            .to(topic + "-counts", Produced.with(Serdes.String(), Serdes.Long()));
        KafkaStreams streams = new KafkaStreams(builder.build(), config(args[0]));
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setStateListener((is, was) -> {
            System.out.println(System.currentTimeMillis() + " " + is);
            if (is == KafkaStreams.State.ERROR) System.exit(1);
        });
        streams.start();
        new CountDownLatch(1).await();
    }

    private static byte[] with(byte[] seen, int number) {
        BitSet is = BitSet.valueOf(ByteBuffer.wrap(seen));
        is.set(number);
        return is.toByteArray();
    }

    private static Properties config(String directory) {
        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, System.getenv("GROUP"));
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("BOOTSTRAP"));
        p.put(StreamsConfig.STATE_DIR_CONFIG, directory);
        p.put(StreamsConfig.GROUP_PROTOCOL_CONFIG, System.getenv("PROTOCOL"));
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 500);
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        if (System.getenv("PROTOCOL").equals("classic")) {
            p.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 6000);
            p.put(StreamsConfig.consumerPrefix(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG), 1000);
        }
        return p;
    }
}
