import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import org.eclipse.paho.client.mqttv3.MqttMessage;
import org.eclipse.tahu.edge.EdgeClient;
import org.eclipse.tahu.edge.api.MetricHandler;
import org.eclipse.tahu.message.SparkplugBPayloadDecoder;
import org.eclipse.tahu.message.SparkplugBPayloadEncoder;
import org.eclipse.tahu.message.model.DataSet.DataSetBuilder;
import org.eclipse.tahu.message.model.DataSetDataType;
import org.eclipse.tahu.message.model.EdgeNodeDescriptor;
import org.eclipse.tahu.message.model.File;
import org.eclipse.tahu.message.model.MessageType;
import org.eclipse.tahu.message.model.Metric;
import org.eclipse.tahu.message.model.Metric.MetricBuilder;
import org.eclipse.tahu.message.model.MetricDataType;
import org.eclipse.tahu.message.model.Parameter;
import org.eclipse.tahu.message.model.ParameterDataType;
import org.eclipse.tahu.message.model.PropertyDataType;
import org.eclipse.tahu.message.model.PropertySet.PropertySetBuilder;
import org.eclipse.tahu.message.model.PropertyValue;
import org.eclipse.tahu.message.model.Row.RowBuilder;
import org.eclipse.tahu.message.model.SparkplugBPayload;
import org.eclipse.tahu.message.model.SparkplugBPayload.SparkplugBPayloadBuilder;
import org.eclipse.tahu.message.model.SparkplugBPayloadMap;
import org.eclipse.tahu.message.model.SparkplugBPayloadMap.SparkplugBPayloadMapBuilder;
import org.eclipse.tahu.message.model.SparkplugDescriptor;
import org.eclipse.tahu.message.model.SparkplugMeta;
import org.eclipse.tahu.message.model.StatePayload;
import org.eclipse.tahu.message.model.Template;
import org.eclipse.tahu.message.model.Template.TemplateBuilder;
import org.eclipse.tahu.message.model.Topic;
import org.eclipse.tahu.message.model.Value;
import org.eclipse.tahu.model.MqttServerDefinition;
import org.eclipse.tahu.mqtt.ClientCallback;
import org.eclipse.tahu.mqtt.MqttClientId;
import org.eclipse.tahu.mqtt.MqttServerName;
import org.eclipse.tahu.mqtt.MqttServerUrl;
import org.eclipse.tahu.util.CompressionAlgorithm;
import org.eclipse.tahu.util.PayloadUtil;
import org.eclipse.tahu.util.TopicUtil;
import org.slf4j.LoggerFactory;

/**
 * Sparkplug B edge nodes by Eclipse Tahu. Commands come on stdin, one a line, words by spaces; each is answered by "done" once it is
 * done. "start NODE PORT HOST" is the first for each node: HOST is the primary host that it waits for, or "-" for a node without one,
 * which uses names instead of aliases.
 */
public final class TahuNodes {
    static final String GROUP = "plant";
    static final long TAKEN = 1795967340000L;

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        // Logback writes to System.out unless told otherwise.
        System.setOut(System.err);
        ((Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME)).setLevel(Level.ERROR);
        Map<String, Node> nodes = new HashMap<>();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        answers.println("ready");
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split(" ");
            if (words[0].equals("start")) {
                nodes.put(words[1], new Node(words[1], Integer.parseInt(words[2]), words[3]));
            } else {
                nodes.get(words[1]).command(words[0]);
            }
            answers.println("done");
        }
        System.exit(0);
    }

    /** One edge node with one device, "press". */
    static final class Node implements MetricHandler, ClientCallback {
        private final EdgeNodeDescriptor name;
        private final Topic deathTopic;
        private final EdgeClient client;
        private long session = -1;
        private volatile int births;
        private volatile int requests;

        Node(String node, int port, String host) throws Exception {
            boolean waits = !host.equals("-");
            name = new EdgeNodeDescriptor(GROUP, node);
            deathTopic = new Topic(SparkplugMeta.SPARKPLUG_B_TOPIC_PREFIX, GROUP, node, MessageType.NDEATH);
            MqttServerDefinition server = new MqttServerDefinition(new MqttServerName("broker"), new MqttClientId("tahu-" + node, false),
                    MqttServerUrl.getMqttServerUrlSafe("tcp://127.0.0.1:" + port), null, null, 30, deathTopic);
            client = new EdgeClient(this, name, Arrays.asList("press"), waits ? host : null, waits, 0L, List.of(server), this, null);
            Thread supervisor = new Thread(this::supervise);
            supervisor.setDaemon(true);
            supervisor.start();
            await("a connection", client::isConnected);
        }

        void command(String what) throws Exception {
            switch (what) {
                case "wait_for_births" -> await("the births", () -> births > 0);
                case "wait_until_offline" -> await("the host to be offline", () -> !client.isConnectedToPrimaryHost());
                case "expect_silence" -> check(births == 0 && !client.isConnectedToPrimaryHost(), "it was born without its host");
                case "wait_for_request" -> {
                    await("a request for births", () -> requests > 0);
                    requests = 0;
                }
                case "forget_births" -> births = 0;
                case "data" -> {
                    client.publishNodeData(payload(List.of(number("node/temp", 21.25), integers(-6), motor(-3, null))));
                    client.publishDeviceData("press", payload(List.of(rpm((short) -200, false), state("busy", 500))));
                }
                case "rpm" -> client.publishDeviceData("press", payload(List.of(rpm((short) 7, false))));
                case "history" -> client.publishDeviceData("press", payload(List.of(rpm((short) 1, true), rpm((short) 2, true))));
                case "skip" -> client.getNextSeqNum();
                case "ghost" -> client.publishDeviceData("ghost",
                        payload(List.of(new MetricBuilder(99L, MetricDataType.Double, 1.0).createMetric())));
                case "compressed" -> {
                    for (CompressionAlgorithm algorithm : List.of(CompressionAlgorithm.GZIP, CompressionAlgorithm.DEFLATE)) {
                        SparkplugBPayload plain = payload(List.of(number("node/temp", algorithm == CompressionAlgorithm.GZIP ? 1 : 2)));
                        client.publishNodeData(PayloadUtil.compress(plain, algorithm, false));
                    }
                    client.publishNodeData(PayloadUtil.compress(payload(List.of(number("node/temp", 3))), false));
                }
                case "device_death" -> client.publishDeviceDeath("press");
                case "leave" -> client.shutdown();
                default -> throw new IllegalArgumentException(what);
            }
        }

        /** Tahu's own loop never rests: it runs here only until there is a connection, and again when that is gone. */
        private void supervise() {
            try {
                Field stay = EdgeClient.class.getDeclaredField("stayRunning");
                Field lock = EdgeClient.class.getDeclaredField("clientLock");
                stay.setAccessible(true);
                lock.setAccessible(true);
                while (true) {
                    Thread loop = new Thread(client);
                    loop.setDaemon(true);
                    loop.start();
                    await("a connection", client::isConnected);
                    // The lock is free only once it has subscribed and, without a host to wait for, been born.
                    synchronized (lock.get(client)) {
                        stay.set(client, false);
                    }
                    loop.join();
                    stay.set(client, true);
                    while (client.isConnected()) {
                        Thread.sleep(10);
                    }
                }
            } catch (Throwable failed) {
                failed.printStackTrace();
                System.exit(1);
            }
        }

        @Override
        public Topic getDeathTopic() {
            return deathTopic;
        }

        @Override
        public byte[] getDeathPayloadBytes() throws Exception {
            session++;
            SparkplugBPayload death = new SparkplugBPayloadBuilder().setTimestamp(new Date()).addMetric(session()).createPayload();
            return new SparkplugBPayloadEncoder().getBytes(death, true);
        }

        private Metric session() throws Exception {
            return new MetricBuilder(SparkplugMeta.SPARKPLUG_BD_SEQUENCE_NUMBER_KEY, MetricDataType.Int64, session).createMetric();
        }

        @Override
        public void publishBirthSequence() {
            try {
                SparkplugBPayloadMap birth = new SparkplugBPayloadMapBuilder().setTimestamp(new Date()).createPayload();
                birth.addMetric(session());
                birth.addMetrics(nodeMetrics());
                client.publishNodeBirth(birth);
                client.publishDeviceBirth("press", payload(List.of(rpm((short) -3, false), state("idle", 192), unknown(), stale())));
                births++;
            } catch (Exception failed) {
                throw new IllegalStateException(failed);
            }
        }

        @Override
        public boolean hasMetric(SparkplugDescriptor of, String metric) {
            return true;
        }

        @Override
        public void messageArrived(MqttServerName server, MqttServerUrl url, MqttClientId id, String topic, MqttMessage message) {
            try {
                Topic parsed = TopicUtil.parseTopic(topic);
                if (topic.startsWith(SparkplugMeta.SPARKPLUG_TOPIC_HOST_STATE_PREFIX)) {
                    StatePayload state = new ObjectMapper().readValue(message.getPayload(), StatePayload.class);
                    client.handleStateMessage(parsed.getHostApplicationId(), state);
                } else if (parsed.getType() == MessageType.NCMD) {
                    SparkplugBPayload command = new SparkplugBPayloadDecoder().buildFromByteArray(message.getPayload(), null);
                    for (Metric metric : command.getMetrics()) {
                        check(SparkplugMeta.METRIC_NODE_REBIRTH.equals(metric.getName()) && Boolean.TRUE.equals(metric.getValue()),
                                "a command that is no request for births: " + metric);
                        client.handleRebirthRequest(true);
                        requests++;
                    }
                }
            } catch (Exception failed) {
                failed.printStackTrace();
                System.exit(1);
            }
        }

        @Override
        public void shutdown() {}

        @Override
        public void connectionLost(MqttServerName server, MqttServerUrl url, MqttClientId id, Throwable cause) {}

        @Override
        public void connectComplete(boolean again, MqttServerName server, MqttServerUrl url, MqttClientId id) {}
    }

    static SparkplugBPayload payload(List<Metric> metrics) {
        return new SparkplugBPayloadBuilder().setTimestamp(new Date()).addMetrics(metrics).createPayload();
    }

    /** A metric for each data type that a node can have. */
    static List<Metric> nodeMetrics() throws Exception {
        return List.of(
                number("node/temp", 20.5),
                integers(-5),
                of("int16", MetricDataType.Int16, (short) -30000),
                of("int32", MetricDataType.Int32, Integer.MIN_VALUE),
                of("int64", MetricDataType.Int64, Long.MIN_VALUE),
                of("uint8", MetricDataType.UInt8, (short) 200),
                of("uint16", MetricDataType.UInt16, 60000),
                of("uint32", MetricDataType.UInt32, 4000000000L),
                of("uint64", MetricDataType.UInt64, new BigInteger("18446744073709551615")),
                of("float", MetricDataType.Float, 0.5f),
                of("boolean", MetricDataType.Boolean, true),
                of("datetime", MetricDataType.DateTime, new Date(TAKEN)),
                of("text", MetricDataType.Text, "größer"),
                of("uuid", MetricDataType.UUID, "2f1b8a55-9a2e-4d0e-8f1e-0c5a3f6f9a01"),
                of("bytes", MetricDataType.Bytes, new byte[] {0, 1, (byte) 0xff}),
                of("file", MetricDataType.File, new File("a.txt", new byte[] {7})),
                of("int8s", MetricDataType.Int8Array, new Byte[] {1, -1}),
                of("int16s", MetricDataType.Int16Array, new Short[] {-2}),
                of("int32s", MetricDataType.Int32Array, new Integer[] {-3}),
                of("int64s", MetricDataType.Int64Array, new Long[] {-4L}),
                of("uint8s", MetricDataType.UInt8Array, new Short[] {250}),
                of("uint16s", MetricDataType.UInt16Array, new Integer[] {65000}),
                of("uint32s", MetricDataType.UInt32Array, new Long[] {4000000000L}),
                of("uint64s", MetricDataType.UInt64Array, new BigInteger[] {new BigInteger("18446744073709551615")}),
                of("floats", MetricDataType.FloatArray, new Float[] {1.5f}),
                of("doubles", MetricDataType.DoubleArray, new Double[] {2.5}),
                of("booleans", MetricDataType.BooleanArray, new Boolean[] {true, false}),
                of("strings", MetricDataType.StringArray, new String[] {"ab", "c"}),
                of("dates", MetricDataType.DateTimeArray, new Date[] {new Date(TAKEN)}),
                of("recipe", MetricDataType.DataSet, new DataSetBuilder(2)
                        .addColumnNames(List.of("step", "temp"))
                        .addTypes(List.of(DataSetDataType.Int32, DataSetDataType.Double))
                        .addRow(new RowBuilder().addValue(new Value<>(DataSetDataType.Int32, -1))
                                .addValue(new Value<>(DataSetDataType.Double, 80.5)).createRow())
                        .createDataSet()),
                of("motor type", MetricDataType.Template, new TemplateBuilder().version("1").definition(true)
                        .addMetric(of("rpm", MetricDataType.Int32, 0)).createTemplate()),
                motor(-1, "drive"));
    }

    static Metric of(String name, MetricDataType type, Object value) throws Exception {
        return new MetricBuilder(name, type, value).timestamp(new Date(TAKEN)).createMetric();
    }

    static Metric number(String name, double value) throws Exception {
        return of(name, MetricDataType.Double, value);
    }

    static Metric integers(int value) throws Exception {
        return of("int8", MetricDataType.Int8, (byte) value);
    }

    /** An instance of a template; data that change leave out what stays. */
    static Metric motor(int rpm, String label) throws Exception {
        TemplateBuilder motor = new TemplateBuilder().version("1").templateRef("motor type").definition(false)
                .addParameter(new Parameter("poles", ParameterDataType.Int32, 4))
                .addMetric(of("rpm", MetricDataType.Int32, rpm));
        if (label != null) {
            motor.addMetric(of("label", MetricDataType.String, label));
        }
        Template instance = motor.createTemplate();
        return of("motor", MetricDataType.Template, instance);
    }

    static Metric rpm(short value, boolean historical) throws Exception {
        PropertyValue unit = new PropertyValue(PropertyDataType.String, "{rev}/min");
        MetricBuilder rpm = new MetricBuilder("Line 1/rpm", MetricDataType.Int16, value)
                .properties(new PropertySetBuilder().addProperty("engUnit", unit).createPropertySet())
                .timestamp(new Date(TAKEN + value));
        return (historical ? rpm.isHistorical(true) : rpm).createMetric();
    }

    static Metric state(String value, int quality) throws Exception {
        PropertyValue code = new PropertyValue(PropertyDataType.Int32, quality);
        return new MetricBuilder("state", MetricDataType.String, value).timestamp(new Date(TAKEN))
                .properties(new PropertySetBuilder().addProperty(SparkplugMeta.QUALITY_PROP_NAME, code).createPropertySet())
                .createMetric();
    }

    static Metric unknown() throws Exception {
        return of("unknown", MetricDataType.Double, null);
    }

    static Metric stale() throws Exception {
        return new MetricBuilder("broken", MetricDataType.Double, 1.0).timestamp(new Date(TAKEN))
                .properties(new PropertySetBuilder()
                        .addProperty(SparkplugMeta.QUALITY_PROP_NAME, new PropertyValue(PropertyDataType.Int32, 0)).createPropertySet())
                .createMetric();
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }

    static void await(String what, BooleanSupplier condition) {
        long until = System.nanoTime() + 60_000_000_000L;
        while (!condition.getAsBoolean()) {
            check(System.nanoTime() < until, "waited in vain for " + what);
            try {
                Thread.sleep(10);
            } catch (InterruptedException stopped) {
                throw new IllegalStateException(stopped);
            }
        }
    }
}
