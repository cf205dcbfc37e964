package org.example;

import org.apache.wicket.markup.html.WebPage;
import org.apache.wicket.markup.html.basic.Label;
import org.apache.wicket.markup.html.link.Link;

/** A page with state: the link counts, so the page is stored between two requests. */
public class PricePage extends WebPage {
    private int price = 41;

    public PricePage() {
        add(new Label("price", () -> price));
        add(new Link<Void>("more") {
            @Override
            public void onClick() {
                price++;
            }
        });
    }
}
