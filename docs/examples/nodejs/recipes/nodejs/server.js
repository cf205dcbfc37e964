// A web service without dependencies. An application of your own takes its place, with its node_modules.
const http = require("node:http");

const port = Number(process.env.PORT ?? 8080);
const server = http.createServer((request, response) => {
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(`Node.js ${process.version} says: grüß Gott\n`);
});

server.listen(port, () => console.log(`listening on port ${port}`));
// process 1 has no default actions for signals
process.on("SIGTERM", () => server.close(() => process.exit(0)));
