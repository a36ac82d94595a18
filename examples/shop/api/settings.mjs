/** Where the database and the cache are, from the ConfigMap and the Secret. */
const { env } = process;

export const databaseSettings = {
  host: env.DATABASE_HOST,
  database: env.DATABASE_NAME,
  user: env.DATABASE_USER,
  password: env.DATABASE_PASSWORD,
  connectionTimeoutMillis: 2000,
};
export const cacheUrl = `redis://${env.CACHE_HOST}:6379`;
export const cacheSeconds = Number(env.CACHE_SECONDS ?? 5);
export const title = env.SHOP_TITLE ?? "Shop";
export const pod = { name: env.POD_NAME, node: env.NODE_NAME };
