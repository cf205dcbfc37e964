package io.sockel.tomcat;

import java.util.ArrayList;
import java.util.List;
import org.apache.catalina.Container;
import org.apache.catalina.Context;
import org.apache.catalina.LifecycleState;
import org.apache.catalina.Server;
import org.apache.catalina.Service;
import org.apache.catalina.connector.Connector;

/** What of a server's configuration is there, and whether it serves. */
final class ServerState {
    private ServerState() {}

    /** Returns the applications of all hosts. */
    static List<Context> applications(Server server) {
        List<Context> applications = new ArrayList<>();
        for (Service service : server.findServices()) {
            for (Container host : service.getContainer().findChildren()) {
                for (Container application : host.findChildren()) {
                    applications.add((Context) application);
                }
            }
        }
        return applications;
    }

    /** Returns the connectors of all services. */
    static List<Connector> connectors(Server server) {
        List<Connector> connectors = new ArrayList<>();
        for (Service service : server.findServices()) {
            connectors.addAll(List.of(service.findConnectors()));
        }
        return connectors;
    }

    /** Returns a message for each connector and application that did not start. */
    static List<String> failures(Server server) {
        List<String> failures = new ArrayList<>();
        for (Connector connector : connectors(server)) {
            if (connector.getState() != LifecycleState.STARTED) {
                failures.add("cannot listen on port " + connector.getPort() + ": see the messages above");
            }
        }
        for (Context application : applications(server)) {
            if (!application.getState().isAvailable()) {
                String path = application.getPath().isEmpty() ? "/" : application.getPath();
                failures.add("cannot start the application at `" + path + "`: see the messages above");
            }
        }
        return failures;
    }
}
