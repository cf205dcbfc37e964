package org.example;

import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.web.servlet.support.SpringBootServletInitializer;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

@SpringBootApplication
@RestController
public class Shop extends SpringBootServletInitializer {
    record Price(String article, int cents) {}

    @GetMapping("/price")
    Price price(@RequestParam("article") String article) {
        return new Price(article, 4200);
    }
}
