/**
 * The program of Knative Services in tests: tells what it sees of its request and of the container around it. It dies of SIGTERM at once, whatever it has under way.
 */
import { createServer } from "node:http";

let active = 0;
let most = 0;

const server = createServer(async (request, response) => {
  most = Math.max(most, ++active);
  const url = new URL(request.url ?? "/", "http://localhost");
  let body = "";
  for await (const piece of request) body += piece;
  await new Promise((resolve) => setTimeout(resolve, Number(url.searchParams.get("ms") ?? 0)));
  active--;
  const { K_REVISION: revision, HOSTNAME: pod } = process.env;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ revision, pod, most, body: body.length }));
});

process.on("SIGTERM", () => process.exit(0));
server.listen(Number(process.env.PORT));
