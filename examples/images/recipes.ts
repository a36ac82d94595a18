/**
 * What the shop's images are made of. Each has Debian's libraries that its program needs, busybox for a shell, and the program.
 */
import { execFileSync } from "node:child_process";
import { chmod, cp, mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { listClosure, unpackPackages } from "../../tools/image-builder/debian.ts";
import { busybox, makeBase, type Recipe } from "../../tools/image-builder/recipes.ts";

const shop = resolve(import.meta.dirname, "../shop");
const commonPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Packages that installing needs and running does not. */
const neverNeeded = [
  "adduser",
  "debconf",
  "dpkg",
  "init-system-helpers",
  "iproute2",
  "lsb-base",
  "passwd",
  "perl",
  "perl-base",
  "procps",
  "sysvinit-utils",
  "tar",
  "postgresql-common",
  "postgresql-client-common",
  "ssl-cert",
  "locales",
  "locales-all",
  "libllvm14",
  "ucf",
  "sensible-utils",
  "mount",
  "util-linux",
  "openssl",
  "readline-common",
  "netbase",
  "python3",
];

/** Unpacks packages with all that they need to run, over a shell and the usual folders. */
async function install(
  packages: readonly string[],
  root: string,
  cache: string,
  users: Readonly<Record<string, number>>,
): Promise<void> {
  await unpackPackages(await listClosure(packages, neverNeeded), root, cache);
  await useMergedFolders(root);
  await makeBase(root, users);
  await busybox.prepare(join(root, ".busybox"), cache);
  await cp(join(root, ".busybox/bin/busybox"), join(root, "usr/bin/busybox"));
  await rm(join(root, ".busybox"), { recursive: true });
  for (const command of [
    "sh",
    "cat",
    "ls",
    "mkdir",
    "sleep",
    "wget",
    "nc",
    "env",
    "id",
    "ps",
    "kill",
    "tar",
    "grep",
    "head",
    "chmod",
    "touch",
  ]) {
    await symlink("busybox", join(root, "usr/bin", command)).catch(() => {}); // Debian's own is there
  }
  for (const documentation of ["doc", "man", "locale", "lintian", "bash-completion"]) {
    await rm(join(root, "usr/share", documentation), { recursive: true, force: true });
  }
}

/** Debian's packages still bring /bin, /sbin and /lib; systems have had them as links into /usr since bookworm. */
async function useMergedFolders(root: string): Promise<void> {
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    await mkdir(join(root, "usr", name), { recursive: true });
    await cp(join(root, name), join(root, "usr", name), {
      recursive: true,
      verbatimSymlinks: true,
      force: false,
    }).catch(() => {}); // no package brought it
    await rm(join(root, name), { recursive: true, force: true });
    await symlink(`usr/${name}`, join(root, name));
  }
}

async function writeScript(path: string, text: string): Promise<void> {
  await writeFile(path, text);
  await chmod(path, 0o755);
}

const postgres: Recipe = {
  name: "shop/postgres:15",
  async prepare(root, cache) {
    await install(["postgresql-15", "tzdata"], root, cache, { postgres: 999 });
    await mkdir(join(root, "usr/local/bin"), { recursive: true });
    await mkdir(join(root, "var/run/postgresql"), { recursive: true });
    await mkdir(join(root, "var/lib/postgresql/data"), { recursive: true });
    await writeScript(
      join(root, "usr/local/bin/start"),
      `#!/bin/sh
# Makes the database on the first start, in a folder of its own so that it can have the mode that PostgreSQL wants.
set -e
umask 077
export PGDATA=/var/lib/postgresql/data/pgdata
if ! [ -s "$PGDATA/PG_VERSION" ]; then
  echo "$POSTGRES_PASSWORD" > /tmp/password
  initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --no-locale --encoding=UTF8 --auth=scram-sha-256
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE \\"$POSTGRES_DB\\"" | postgres --single -D "$PGDATA" postgres
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c shared_buffers=32MB -c fsync=on
`,
    );
    await writeScript(
      join(root, "usr/local/bin/ready"),
      `#!/bin/sh
exec pg_isready -q -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB"
`,
    );
    return {
      config: {
        Env: [`${commonPath}:/usr/lib/postgresql/15/bin`, "TZ=UTC"],
        Entrypoint: ["/usr/local/bin/start"],
        User: "999:999",
        WorkingDir: "/tmp",
        StopSignal: "SIGINT",
      },
      owners: { "var/lib/postgresql": { uid: 999, gid: 999 }, "var/run/postgresql": { uid: 999, gid: 999 } },
    };
  },
};

const redis: Recipe = {
  name: "shop/redis:7",
  async prepare(root, cache) {
    await install(["redis-server", "redis-tools"], root, cache, { redis: 999 });
    await mkdir(join(root, "data"), { recursive: true });
    return {
      config: {
        Env: [commonPath],
        Entrypoint: ["redis-server", "--protected-mode", "no", "--bind", "0.0.0.0"],
        User: "999:999",
        WorkingDir: "/data",
      },
      owners: { data: { uid: 999, gid: 999 } },
    };
  },
};

const api: Recipe = {
  name: "shop/api:1",
  async prepare(root, cache) {
    await install(["libstdc++6", "libgcc-s1", "libatomic1"], root, cache, { node: 1000 });
    const binary = resolve(import.meta.dirname, `../../node_modules/node-linux-${process.arch}/bin/node`);
    await cp(binary, join(root, "usr/bin/node"));
    const app = join(root, "app");
    await cp(join(shop, "api"), app, { recursive: true });
    execFileSync("npm", ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: app,
    });
    return {
      config: {
        Env: [commonPath, "NODE_ENV=production"],
        Cmd: ["node", "/app/server.mjs"],
        User: "1000:1000",
        WorkingDir: "/app",
      },
    };
  },
};

const web: Recipe = {
  name: "shop/web:1",
  async prepare(root, cache) {
    await install(["nginx"], root, cache, { "www-data": 33, nobody: 65_534 });
    await mkdir(join(root, "usr/share/shop"), { recursive: true });
    await writeFile(join(root, "usr/share/shop/index.html"), await readFile(join(shop, "web/index.html")));
    await makeNginxFolders(root);
    return { config: { Env: [commonPath], Cmd: ["nginx", "-g", "daemon off;"], StopSignal: "SIGQUIT" } };
  },
};

/** What `helm create`'s chart runs: its page at port 80, under the name and tag that the chart asks for. */
const nginx: Recipe = {
  name: "nginx:1.16.0",
  async prepare(root, cache) {
    await install(["nginx"], root, cache, { "www-data": 33, nobody: 65_534 });
    await makeNginxFolders(root);
    await mkdir(join(root, "usr/share/nginx/html"), { recursive: true });
    await writeFile(
      join(root, "usr/share/nginx/html/index.html"),
      "<!DOCTYPE html><title>Welcome to nginx!</title><h1>Welcome to nginx!</h1>\n",
    );
    await writeFile(
      join(root, "etc/nginx/conf.d/default.conf"),
      "server { listen 80; root /usr/share/nginx/html; location / { index index.html; } }\n",
    );
    return {
      config: {
        Env: [commonPath],
        Cmd: ["nginx", "-g", "daemon off;"],
        StopSignal: "SIGQUIT",
        ExposedPorts: { "80/tcp": {} },
      },
    };
  },
};

/** Folders that nginx writes to, and a configuration that says what it does on standard output and takes sites from conf.d. */
async function makeNginxFolders(root: string): Promise<void> {
  for (const folder of ["body", "proxy", "fastcgi", "uwsgi", "scgi"])
    await mkdir(join(root, "var/lib/nginx", folder), { recursive: true });
  await mkdir(join(root, "etc/nginx/conf.d"), { recursive: true });
  await mkdir(join(root, "var/log/nginx"), { recursive: true });
  await writeFile(
    join(root, "etc/nginx/nginx.conf"),
    `user www-data;
worker_processes 1;
pid /tmp/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 512; }
http {
  include /etc/nginx/mime.types;
  access_log /dev/stdout;
  include /etc/nginx/conf.d/*.conf;
}
`,
  );
}

/** Node alone, run as nobody in particular: for tests that bring their program in a volume. */
const node: Recipe = {
  name: "tests/node:24",
  async prepare(root, cache) {
    await install(["libstdc++6", "libgcc-s1", "libatomic1"], root, cache, { nonroot: 65_532 });
    const binary = resolve(import.meta.dirname, `../../node_modules/node-linux-${process.arch}/bin/node`);
    await cp(binary, join(root, "usr/bin/node"));
    return { config: { Env: [commonPath], Cmd: ["node"], User: "65532:65532", WorkingDir: "/home" } };
  },
};

/** What functions in Node are laid onto, under the name by which the world knows it. */
const nodeBase: Recipe = { ...node, name: "docker.io/library/node:24-slim" };

/** The same for Python. */
const pythonBase: Recipe = {
  name: "docker.io/library/python:3-slim",
  async prepare(root, cache) {
    await install(["python3-minimal", "libpython3-stdlib"], root, cache, { nobody: 65_534 });
    return { config: { Env: [commonPath], Cmd: ["python3"] } };
  },
};

/** Bases of functions, for machines that have no way to a registry. */
export const functionRecipes: readonly Recipe[] = [nodeBase, pythonBase];

/** Images of tests. */
export const testRecipes: readonly Recipe[] = [node];

/** Images that the charts of others name. */
export const chartRecipes: readonly Recipe[] = [nginx, busybox];

/** All images of examples/shop. */
export const shopRecipes: readonly Recipe[] = [postgres, redis, api, web];
