/** Makes the tables and the first products. Runs as an init container, so it waits until the database answers. */
import pg from "pg";
import { databaseSettings } from "./settings.mjs";

const products = [
  ["Isolate, single-origin", 490],
  ["Container, hand-packed", 1290],
  ["Pod, family size", 1990],
  ["Service mesh, by the metre", 750],
];

for (let attempt = 1; ; attempt++) {
  const client = new pg.Client(databaseSettings);
  try {
    await client.connect();
    // Two replicas may migrate at once; the lock lets them take turns.
    await client.query("select pg_advisory_lock(1)");
    await client.query(
      "create table if not exists products (id serial primary key, name text unique not null, cents integer not null)",
    );
    await client.query(
      "create table if not exists orders (id serial primary key, product integer references products, at timestamptz default now())",
    );
    for (const [name, cents] of products) {
      await client.query("insert into products (name, cents) values ($1, $2) on conflict (name) do nothing", [
        name,
        cents,
      ]);
    }
    await client.end();
    console.log(`migrated after ${attempt} attempt(s)`);
    break;
  } catch (error) {
    console.log(`attempt ${attempt}: ${error.message}`);
    await client.end().catch(() => {});
    if (attempt === 120) process.exit(1);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
