package io.sockel.tomcat;

import java.util.concurrent.TimeUnit;
import org.apache.catalina.Container;
import org.apache.catalina.Context;
import org.apache.catalina.Server;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.core.StandardContext;
import org.apache.catalina.core.StandardWrapper;
import org.apache.coyote.ProtocolHandler;
import org.apache.coyote.http11.AbstractHttp11Protocol;
import org.apache.juli.logging.Log;
import org.apache.juli.logging.LogFactory;

/**
 * Lets the requests of a server that stops come to their end.
 *
 * <p>Tomcat's own {@code gracefulStopAwaitMillis} counts connections, so idle keep-alive connections of a proxy would
 * hold every stop up. Here requests are counted.
 */
final class RunningRequests {
    private static final Log LOG = LogFactory.getLog(RunningRequests.class);

    /** Time between two looks. */
    private static final long PAUSE_MILLIS = 20;

    /** Looks in a row that must find nothing: a request between its connection and its servlet is not counted. */
    private static final int QUIET_LOOKS = 5;

    private final Server server;

    private RunningRequests(Server server) {
        this.server = server;
    }

    static RunningRequests of(Server server) {
        return new RunningRequests(server);
    }

    /** Takes no new connections, and returns when all requests have ended, or after this time. */
    void finish(int seconds) {
        for (Connector connector : ServerState.connectors(server)) {
            close(connector.getProtocolHandler());
        }

        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        int quiet = 0;
        while (quiet < QUIET_LOOKS) {
            long running = count();
            if (running > 0 && System.nanoTime() > end) {
                LOG.warn(running + " requests did not end within " + seconds + " s (TOMCAT_GRACE_SECONDS)");
                return;
            }
            quiet = running == 0 ? quiet + 1 : 0;

            try {
                Thread.sleep(PAUSE_MILLIS);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    /** Closes the listening socket, and makes each connection that is open end with its next answer. */
    private static void close(ProtocolHandler protocol) {
        if (protocol instanceof AbstractHttp11Protocol) {
            ((AbstractHttp11Protocol<?>) protocol).setMaxKeepAliveRequests(1);
        }
        // needs bindOnInit="false" at the connector; HTTP/2 connections are told with GOAWAY
        protocol.closeServerSocketGraceful();
    }

    /** Returns the number of requests that servlets work on, asynchronous ones included. */
    private long count() {
        long running = 0;
        for (Context application : ServerState.applications(server)) {
            if (application instanceof StandardContext) {
                running += ((StandardContext) application).getInProgressAsyncCount();
            }
            for (Container servlet : application.findChildren()) {
                if (servlet instanceof StandardWrapper) {
                    running += ((StandardWrapper) servlet).getCountAllocated();
                }
            }
        }
        return running;
    }
}
