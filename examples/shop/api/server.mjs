/** The shop's API: products from PostgreSQL, kept for a few seconds in Redis; orders into PostgreSQL. */
import { createServer } from "node:http";
import pg from "pg";
import { createClient } from "redis";
import { cacheSeconds, cacheUrl, databaseSettings, pod, title } from "./settings.mjs";

const database = new pg.Pool({ ...databaseSettings, max: 5 });
database.on("error", (error) => console.log(`database: ${error.message}`));
const cache = createClient({ url: cacheUrl });
cache.on("error", (error) => console.log(`cache: ${error.message}`));
await cache.connect();

async function listProducts() {
  const kept = await cache.get("products");
  if (kept) return { products: JSON.parse(kept), from: "cache" };
  const { rows } = await database.query(
    "select p.id, p.name, p.cents, count(o.id)::int as sold from products p left join orders o on o.product = p.id group by p.id order by p.id",
  );
  await cache.set("products", JSON.stringify(rows), { EX: cacheSeconds });
  return { products: rows, from: "database" };
}

const routes = {
  "GET /healthz": () => ({ ok: true }),
  "GET /readyz": async () => {
    await database.query("select 1");
    await cache.ping();
    return { ok: true };
  },
  "GET /api/products": async () => ({ title, pod, ...(await listProducts()) }),
  "POST /api/orders": async (url) => {
    const { rows } = await database.query("insert into orders (product) values ($1) returning id", [
      Number(url.searchParams.get("product")),
    ]);
    await cache.del("products");
    return { order: rows[0].id, pod };
  },
};

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://api");
  const answer = (status, body) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(`${JSON.stringify(body)}\n`);
    if (!url.pathname.endsWith("z")) console.log(`${request.method} ${request.url} ${status}`);
  };
  const route = routes[`${request.method} ${url.pathname}`];
  if (!route) return answer(404, { error: "not found" });
  try {
    answer(200, await route(url));
  } catch (error) {
    answer(503, { error: error.message });
  }
});
server.listen(3000, () => console.log(`${pod.name} listens on 3000`));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
