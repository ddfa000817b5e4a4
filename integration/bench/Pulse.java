import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Sends to every partition of a topic at a steady rate, and prints each time that one was without an acknowledgement for longer than
 * a quarter of a second: its number and the milliseconds. Arguments: BOOTSTRAP TOPIC PARTITIONS RECORDS_A_SECOND REQUEST_TIMEOUT_MS.
 */
public class Pulse {
    public static void main(String[] args) throws Exception {
        int partitions = Integer.parseInt(args[2]);
        long step = 1_000_000_000L * partitions / Integer.parseInt(args[3]);
        Properties p = new Properties();
        p.put("bootstrap.servers", args[0]);
        p.put("acks", "all");
        p.put("linger.ms", "0");
        p.put("request.timeout.ms", args[4]);
        byte[] value = new byte[1024];
        long[] last = new long[partitions]; // of an acknowledgement; only the producer's own thread has it
        Arrays.fill(last, System.nanoTime());
        try (var producer = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (long next = System.nanoTime(); ; next += step) {
                for (int i = 0; i < partitions; i++) {
                    int n = i;
                    producer.send(new ProducerRecord<>(args[1], n, null, value), (at, error) -> {
                        if (error != null) {
                            System.out.println("failed: " + error);
                            System.out.flush();
                            System.exit(1);
                        }
                        long now = System.nanoTime();
                        if (now - last[n] > 250_000_000L) {
                            System.out.println(n + " " + (now - last[n]) / 1_000_000);
                            System.out.flush();
                        }
                        last[n] = now;
                    });
                }
                long left = next + step - System.nanoTime();
                if (left > 0) {
                    Thread.sleep(left / 1_000_000, (int) (left % 1_000_000));
                }
            }
        }
    }
}
