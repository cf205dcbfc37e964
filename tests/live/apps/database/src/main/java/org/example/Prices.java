package org.example;

import jakarta.servlet.ServletException;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import javax.naming.InitialContext;
import javax.naming.NamingException;
import javax.sql.DataSource;

/** Asks a database that the context's description names; the driver is in $CATALINA_BASE/lib. */
@WebServlet("/price")
public class Prices extends HttpServlet {
    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws ServletException, IOException {
        try {
            DataSource source = (DataSource) new InitialContext().lookup("java:comp/env/jdbc/shop");
            try (Connection connection = source.getConnection();
                    Statement statement = connection.createStatement();
                    ResultSet rows = statement.executeQuery("select sum(n) from generate_series(1, 10) as n")) {
                rows.next();
                response.getWriter().print("sum " + rows.getInt(1));
            }
        } catch (SQLException | NamingException cause) {
            throw new ServletException(cause);
        }
    }
}
