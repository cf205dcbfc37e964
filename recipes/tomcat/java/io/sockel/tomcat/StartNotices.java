package io.sockel.tomcat;

import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.catalina.Server;

/**
 * What people set for Tomcat's shell scripts and for other images, and what does nothing here. Only names are said:
 * values may be secrets.
 */
final class StartNotices {
    private static final String USE_JAVA_OPTIONS = "set JDK_JAVA_OPTIONS instead";

    /** Variables and what to do instead, in pairs. */
    private static final String[] VARIABLES = {
        "CATALINA_OPTS", USE_JAVA_OPTIONS,
        "JAVA_OPTS", USE_JAVA_OPTIONS,
        "JAVA_ENDORSED_DIRS", "put libraries into $CATALINA_BASE/lib",
        "CATALINA_TMPDIR", "set JDK_JAVA_OPTIONS=-Djava.io.tmpdir=... instead",
        "CATALINA_LOGGING_CONFIG", "set JDK_JAVA_OPTIONS=-Djava.util.logging.config.file=... instead",
        "LOGGING_CONFIG", "set JDK_JAVA_OPTIONS=-Djava.util.logging.config.file=... instead",
        "JPDA_ADDRESS", "set JDK_JAVA_OPTIONS=-agentlib:jdwp=... instead",
        "UMASK", "set fsGroup and the modes of volumes instead",
        "USE_SYSTEM_CA_CERTS", "name the certificates in " + TrustedCertificates.VARIABLE + " instead",
        "TOMCAT_EXTRA_JAVA_OPTS", USE_JAVA_OPTIONS,
        "TOMCAT_USERNAME", "there is no Manager: deploy the image anew instead",
        "TOMCAT_PASSWORD", "there is no Manager: deploy the image anew instead",
    };

    private StartNotices() {}

    static List<String> of(Map<String, String> environment, Server server) {
        List<String> notices = new ArrayList<>();
        for (int index = 0; index < VARIABLES.length; index += 2) {
            if (!environment.getOrDefault(VARIABLES[index], "").isEmpty()) {
                notices.add("the variable " + VARIABLES[index] + " has no effect, no shell starts Tomcat here: "
                        + VARIABLES[index + 1]);
            }
        }

        for (File folder : new File[] {server.getCatalinaBase(), server.getCatalinaHome()}) {
            File script = new File(folder, "bin/setenv.sh");
            if (script.exists()) {
                notices.add(script + " has no effect, no shell starts Tomcat here: " + USE_JAVA_OPTIONS);
            }
        }
        return notices;
    }
}
