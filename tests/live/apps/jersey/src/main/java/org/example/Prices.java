package org.example;

import jakarta.ws.rs.ApplicationPath;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.PathParam;
import jakarta.ws.rs.core.Application;
import java.util.Set;

@ApplicationPath("/api")
public class Prices extends Application {
    @Override
    public Set<Class<?>> getClasses() {
        return Set.of(Price.class);
    }

    @Path("/price/{article}")
    public static class Price {
        @GET
        public String get(@PathParam("article") String article) {
            return article + " 4200";
        }
    }
}
