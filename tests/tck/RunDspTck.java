import java.nio.file.*;
import java.util.*;
import org.eclipse.dataspacetck.core.system.ConsoleMonitor;
import org.eclipse.dataspacetck.runtime.TckRuntime;

/** Runs every test of the official DSP TCK with the properties of the file named by the first argument. */
public class RunDspTck {
    public static void main(String[] arguments) throws Exception {
        var file = new Properties();
        try (var reader = Files.newBufferedReader(Path.of(arguments[0]))) {
            file.load(reader);
        }
        var properties = new HashMap<String, String>();
        file.forEach((key, value) -> properties.put((String) key, (String) value));
        // Without it the TCK's own lookup of its launcher fails with a null pointer (its issue 215).
        properties.putIfAbsent("dataspacetck.launcher", "org.eclipse.dataspacetck.dsp.system.DspSystemLauncher");
        var monitor = new ConsoleMonitor(Boolean.parseBoolean(properties.get("dataspacetck.debug")), false);
        var summary = TckRuntime.Builder.newInstance().properties(properties)
            .addPackage("org.eclipse.dataspacetck.dsp.verification").monitor(monitor).build().execute();
        summary.getFailures().forEach(failure -> System.out.printf("FAILURE: %s: %s%n",
            failure.getTestIdentifier().getDisplayName(), failure.getException()));
        System.out.printf("COUNTS: started %d succeeded %d failed %d aborted %d skipped %d%n",
            summary.getTestsStartedCount(), summary.getTestsSucceededCount(), summary.getTestsFailedCount(),
            summary.getTestsAbortedCount(), summary.getTestsSkippedCount());
        // The TCK's threads outlive the run, so the program has to end itself.
        System.exit(summary.getTotalFailureCount() == 0 ? 0 : 1);
    }
}
