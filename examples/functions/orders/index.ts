/**
 * Orders: asks another function (a container) for the price and keeps the order in PostgreSQL. POST /?what=apple&count=3 makes one, GET / lists them.
 */
import { Client } from "pg";

interface Env {
  readonly PRICES_URL: string;
  readonly DATABASE_URL: string;
}

type Price = { readonly name: string; readonly cents: number };

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const database = new Client({ connectionString: env.DATABASE_URL });
    // What fails is told to the query that it fails; and in an isolate the driver takes the end of its own socket for an error.
    database.on("error", () => {});
    await database.connect();
    try {
      await database.query(
        "CREATE TABLE IF NOT EXISTS orders (id SERIAL PRIMARY KEY, what TEXT, count INT, cents INT)",
      );
      return request.method === "POST" ? await order(request, env, database) : await list(database);
    } finally {
      await database.end();
    }
  },
};

async function order(request: Request, env: Env, database: Client): Promise<Response> {
  const { searchParams } = new URL(request.url);
  const [what, count] = [searchParams.get("what") ?? "", Number(searchParams.get("count") ?? 1)];
  const answer = await fetch(`${env.PRICES_URL}/${encodeURIComponent(what)}`);
  if (!answer.ok) return new Response(await answer.text(), { status: answer.status });
  const price = (await answer.json()) as Price;
  const { rows } = await database.query("INSERT INTO orders (what, count, cents) VALUES ($1, $2, $3) RETURNING *", [
    what,
    count,
    count * price.cents,
  ]);
  console.log("ordered", count, what);
  return Response.json(rows[0], { status: 201 });
}

async function list(database: Client): Promise<Response> {
  const { rows } = await database.query("SELECT * FROM orders ORDER BY id");
  return Response.json(rows);
}
