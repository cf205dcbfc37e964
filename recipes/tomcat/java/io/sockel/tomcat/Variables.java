package io.sockel.tomcat;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * The environment variables of server.xml. Tomcat itself takes the default where a value is none, and says so in the
 * middle of a stack trace.
 */
final class Variables {
    private Variables() {}

    /** Returns a message for each variable with a value that cannot be used. */
    static List<String> problems(Map<String, String> environment) {
        List<String> problems = new ArrayList<>();
        checkNumber(environment, "TOMCAT_HTTP_PORT_NUMBER", 1, 65_535, problems);
        checkNumber(environment, "TOMCAT_MAX_THREADS", 1, 100_000, problems);
        // an hour: no orchestrator waits longer
        checkNumber(environment, "TOMCAT_GRACE_SECONDS", 0, 3_600, problems);

        String exit = environment.getOrDefault("TOMCAT_EXIT_ON_FAILURE", "true");
        if (!exit.equals("true") && !exit.equals("false")) {
            problems.add("cannot use TOMCAT_EXIT_ON_FAILURE=" + exit + ": it is neither true nor false");
        }
        try {
            Pattern.compile(environment.getOrDefault("TOMCAT_PROXIES", ""));
        } catch (PatternSyntaxException wrong) {
            problems.add("cannot use TOMCAT_PROXIES: it is not a regular expression: " + wrong.getDescription());
        }
        return problems;
    }

    private static void checkNumber(
            Map<String, String> environment, String name, int least, int most, List<String> problems) {
        String value = environment.get(name);
        if (value == null) {
            return;
        }

        // six digits at most, so that the text fits an int
        boolean fits = value.matches("[0-9]{1,6}") && Integer.parseInt(value) >= least && Integer.parseInt(value) <= most;
        if (!fits) {
            problems.add("cannot use " + name + "=" + value + ": it is not a number from " + least + " to " + most);
        }
    }
}
