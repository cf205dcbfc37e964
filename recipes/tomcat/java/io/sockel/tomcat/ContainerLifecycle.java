package io.sockel.tomcat;

import java.util.List;
import org.apache.catalina.Lifecycle;
import org.apache.catalina.LifecycleEvent;
import org.apache.catalina.LifecycleListener;
import org.apache.catalina.Server;
import org.apache.juli.logging.Log;
import org.apache.juli.logging.LogFactory;

/**
 * Makes Tomcat keep the contract between a process and the orchestrator that runs it: a start that fails ends the
 * process, and SIGTERM ends it after the requests in flight, not before.
 *
 * <p>A listener of {@code <Server>} in server.xml.
 */
public final class ContainerLifecycle implements LifecycleListener {
    private static final Log LOG = LogFactory.getLog(ContainerLifecycle.class);

    private int graceSeconds = 20;
    private boolean exitOnFailure = true;
    private boolean started;

    /** Sets the longest time for requests in flight after SIGTERM. */
    public void setGraceSeconds(int seconds) {
        graceSeconds = seconds;
    }

    /** Sets whether an application that does not start ends the process. */
    public void setExitOnFailure(boolean exit) {
        exitOnFailure = exit;
    }

    @Override
    public void lifecycleEvent(LifecycleEvent event) {
        if (!(event.getLifecycle() instanceof Server)) {
            return;
        }

        Server server = (Server) event.getLifecycle();
        switch (event.getType()) {
            case Lifecycle.BEFORE_INIT_EVENT -> prepare(server);
            case Lifecycle.AFTER_START_EVENT -> {
                started = true;
                endIfIncomplete(server);
            }
            case Lifecycle.BEFORE_STOP_EVENT -> {
                if (started) {
                    RunningRequests.of(server).finish(graceSeconds);
                }
            }
            case Lifecycle.AFTER_DESTROY_EVENT -> {
                // a connector whose port is taken ends Tomcat, but with exit code 0
                if (!started) {
                    exitWithFailure();
                }
            }
            default -> { }
        }
    }

    private static void prepare(Server server) {
        List<String> problems = Variables.problems(System.getenv());
        try {
            TrustedCertificates.useThoseOf(System.getenv(TrustedCertificates.VARIABLE));
        } catch (IllegalStateException wrong) {
            problems.add(wrong.getMessage());
        }

        for (String notice : StartNotices.of(System.getenv(), server)) {
            LOG.warn(notice);
        }
        for (String problem : problems) {
            LOG.error(problem);
        }
        if (!problems.isEmpty()) {
            // nothing runs yet, and there is no shutdown hook that would wait for this thread
            System.exit(1);
        }
    }

    /** Ends the process if an application does not serve. Tomcat alone would go on and answer 404. */
    private void endIfIncomplete(Server server) {
        List<String> failures = ServerState.failures(server);
        for (String failure : failures) {
            LOG.error(failure);
        }

        if (exitOnFailure && !failures.isEmpty()) {
            LOG.error("the process ends with exit code 1; TOMCAT_EXIT_ON_FAILURE=false lets it go on");
            exitWithFailure();
        }
    }

    /** Ends the process soon: Tomcat's shutdown hook waits for the lock that events are sent under, so this returns. */
    private static void exitWithFailure() {
        new Thread(ContainerLifecycle::exit, "exit").start();
    }

    private static void exit() {
        System.exit(1);
    }
}
