package org.example;

import org.apache.wicket.Page;
import org.apache.wicket.protocol.http.WebApplication;

public class PriceApplication extends WebApplication {
    @Override
    public Class<? extends Page> getHomePage() {
        return PricePage.class;
    }

    @Override
    protected void init() {
        super.init();
        getCspSettings().blocking().disabled();
    }
}
