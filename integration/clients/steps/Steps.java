import java.io.InputStream;
import java.util.Properties;
import java.util.concurrent.Callable;

/** What the scenarios in Java have in common, whatever client they use: how they tell of a step. */
final class Steps {
    private Steps() {}

    /** Carries out a step and prints how it ended. */
    static void step(String name, Callable<String> action) throws Exception {
        try {
            System.out.println("ok " + name + " " + action.call());
        } catch (Exception | AssertionError e) {
            System.out.println("FAIL " + name + " " + String.valueOf(e).replace('\n', ' '));
            throw e;
        }
    }

    /** The version of the library that a class is from, by its file of properties. */
    static String version(Class<?> of, String file) throws Exception {
        Properties p = new Properties();
        try (InputStream in = of.getResourceAsStream(file)) {
            p.load(in);
        }
        return p.getProperty("version");
    }
}
